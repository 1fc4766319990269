//! Exact money and mass: decimals that are never rounded silently.
//!
//! `rust_decimal`'s `from_str` and additions round past 28 digits without a word, so texts are read with
//! `from_str_exact` and sums are made in integers of the finest scale.

use std::fmt;
use std::str::FromStr;

use iso_currency::Currency;
use rust_decimal::Decimal;

/// Most fraction digits of any amount or mass.
pub const FRACTION_DIGITS_MAX: u32 = 17;
const SCALE: i128 = 10i128.pow(FRACTION_DIGITS_MAX);

/// Why a text is no amount or mass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not digits with at most one point.
    #[error("a decimal is written with digits and at most one point, e.g. 1250.00")]
    Syntax,
    /// Below zero.
    #[error("a decimal here is not negative")]
    Negative,
    /// Too many digits to be exact.
    #[error("a decimal here has at most 28 digits, 17 of them after the point")]
    Digits,
    /// A sum left the range.
    #[error("the sum has more digits than can be kept exactly")]
    Overflow,
    /// Not an ISO 4217 code.
    #[error("not an ISO 4217 currency code")]
    Currency,
}

/// Reads a decimal exactly: digits, optionally a point and at most 17 more digits.
///
/// # Errors
/// [`QuantityError`].
pub fn parse_decimal(text: &str) -> Result<Decimal, QuantityError> {
    if text.starts_with('-') {
        return Err(QuantityError::Negative);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(QuantityError::Syntax);
    }
    if fraction.len() > FRACTION_DIGITS_MAX as usize || whole.len() + fraction.len() > 28 {
        return Err(QuantityError::Digits);
    }
    Decimal::from_str_exact(text).map_err(|_| QuantityError::Digits)
}

/// An amount in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Reads an amount and an ISO 4217 code.
    ///
    /// # Errors
    /// [`QuantityError`].
    pub fn parse(amount: &str, currency: &str) -> Result<Self, QuantityError> {
        let currency = Currency::from_code(currency).ok_or(QuantityError::Currency)?;
        Ok(Self { amount: parse_decimal(amount)?, currency })
    }

    /// An amount in a currency already known.
    #[must_use]
    pub const fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// The amount.
    #[must_use]
    pub const fn amount(&self) -> Decimal {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// ISO 4217 code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.currency.code()
    }

    /// Whether it has non-zero digits beyond the currency's minor unit. Currencies without one (XAU …) have no limit.
    #[must_use]
    pub fn exceeds_minor_unit(&self) -> bool {
        let minor = u32::from(self.currency.exponent().unwrap_or(FRACTION_DIGITS_MAX as u16));
        self.amount.normalize().scale() > minor
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.code())
    }
}

/// A sum in integers of 10^−17: exact or refused, never rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactSum(i128);

impl ExactSum {
    /// Adds a decimal.
    ///
    /// # Errors
    /// [`QuantityError::Overflow`]; the sum is then unchanged.
    pub fn add(&mut self, value: Decimal) -> Result<(), QuantityError> {
        let up = FRACTION_DIGITS_MAX.checked_sub(value.scale()).ok_or(QuantityError::Digits)?;
        let units = value.mantissa().checked_mul(10i128.pow(up)).ok_or(QuantityError::Overflow)?;
        self.0 = self.0.checked_add(units).ok_or(QuantityError::Overflow)?;
        Ok(())
    }

    /// Adds another sum.
    ///
    /// # Errors
    /// [`QuantityError::Overflow`].
    pub fn add_sum(&mut self, other: Self) -> Result<(), QuantityError> {
        self.0 = self.0.checked_add(other.0).ok_or(QuantityError::Overflow)?;
        Ok(())
    }
}

impl fmt::Display for ExactSum {
    /// Without trailing zeros after the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / SCALE, (self.0 % SCALE).unsigned_abs());
        let digits = format!("{fraction:017}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{digits}"),
        }
    }
}

impl FromStr for ExactSum {
    type Err = QuantityError;

    /// Reads what `Display` wrote; the whole part may be longer than a single decimal's.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let fits = fraction.len() <= FRACTION_DIGITS_MAX as usize
            && fraction.bytes().all(|b| b.is_ascii_digit());
        let parse = |t: &str| t.parse::<i128>().map_err(|_| QuantityError::Syntax);
        if !fits || whole.starts_with('-') {
            return Err(QuantityError::Syntax);
        }
        let up = 10i128.pow(FRACTION_DIGITS_MAX - fraction.len() as u32);
        let whole = parse(whole)?.checked_mul(SCALE).ok_or(QuantityError::Overflow)?;
        whole.checked_add(parse(fraction)? * up).map(Self).ok_or(QuantityError::Overflow)
    }
}
