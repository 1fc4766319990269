//! How a cell writes its value: decimals with marks and units, days in any order. Nothing is rounded and no century is guessed but by
//! the rule that the format says (`%y`: 69 to 99 are 1969 to 1999).

use ewtp_trade::quantity::parse_decimal;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDecimal {
    #[serde(default = "point")]
    point: char,
    thousands: Option<char>,
    unit: Option<String>,
}

fn point() -> char {
    '.'
}

/// Units of mass in kilograms, exact (pound and ounce: international yard and pound agreement of 1959).
const UNITS: &[(&str, &str)] = &[
    ("kg", "1"),
    ("g", "0.001"),
    ("mg", "0.000001"),
    ("t", "1000"),
    ("lb", "0.45359237"),
    ("oz", "0.028349523125"),
];

/// How a cell writes its value.
pub(crate) enum Form {
    /// As it is.
    Text,
    /// A decimal; a mass in kilograms if it has a unit.
    Decimal { point: char, thousands: Option<char>, factor: Option<Decimal> },
    /// A day, by strptime.
    Day(String),
}

impl Form {
    pub(crate) fn parse(decimal: Option<RawDecimal>, day: Option<String>) -> Result<Self, String> {
        match (decimal, day) {
            (None, None) => Ok(Self::Text),
            (None, Some(format)) => {
                let there = |what: &str| format.contains(what);
                let year = there("%Y") || there("%y");
                let month = there("%m") || there("%b") || there("%B");
                match year && month && (there("%d") || there("%e")) {
                    true => Ok(Self::Day(format)),
                    false => {
                        Err(format!("date {format:?} has no day, month and year, as in %d-%b-%y"))
                    }
                }
            }
            (Some(raw), None) => {
                if raw.thousands == Some(raw.point) {
                    return Err("decimal: point and thousands are the same mark".into());
                }
                let factor = match raw.unit.as_deref() {
                    None => None,
                    Some(unit) => {
                        let names: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
                        let found = UNITS.iter().find(|(name, _)| *name == unit);
                        let factor = found.and_then(|(_, kg)| parse_decimal(kg).ok());
                        Some(factor.ok_or_else(|| {
                            format!("unit {unit:?} is none of {}", names.join(", "))
                        })?)
                    }
                };
                Ok(Self::Decimal { point: raw.point, thousands: raw.thousands, factor })
            }
            (Some(_), Some(_)) => Err("it can't be a decimal and a date".into()),
        }
    }

    /// The value as a filing has it; what is allowed, if it is none.
    pub(crate) fn read(&self, cell: &str) -> Result<String, String> {
        match self {
            Self::Text => Ok(cell.to_owned()),
            Self::Day(format) => Date::strptime(format, cell)
                .map(|day| day.to_string())
                .map_err(|_| format!("a day as {format}")),
            Self::Decimal { point, thousands, factor } => {
                let allowed = || {
                    let marks =
                        thousands.map(|t| format!(", thousands by {t:?}")).unwrap_or_default();
                    format!("a number with {point:?} before its fraction{marks}")
                };
                let plain = plain(cell, *point, *thousands).ok_or_else(allowed)?;
                let number = parse_decimal(&plain).map_err(|_| allowed())?;
                match factor {
                    // As written: trailing zeros are part of what was declared.
                    None => Ok(plain),
                    Some(factor) if *factor == Decimal::ONE => Ok(plain),
                    Some(factor) => exact_product(number, *factor).ok_or_else(|| {
                        "a mass whose kilograms have at most 17 digits after the point".into()
                    }),
                }
            }
        }
    }

    /// A cell that reads as this value; `None` if none does exactly.
    pub(crate) fn write(&self, value: &str) -> Option<String> {
        let cell = match self {
            Self::Text => value.to_owned(),
            Self::Day(format) => value.parse::<Date>().ok()?.strftime(format).to_string(),
            Self::Decimal { point, factor, .. } => {
                let number = parse_decimal(value).ok()?;
                let number = match factor.filter(|f| *f != Decimal::ONE) {
                    None => value.to_owned(),
                    Some(factor) => number.checked_div(factor)?.normalize().to_string(),
                };
                number.replace('.', &point.to_string())
            }
        };
        (self.read(&cell).as_deref() == Ok(value)).then_some(cell)
    }
}

/// Digits and at most one point, without marks between thousands; `None` if the marks aren't where they belong.
fn plain(cell: &str, point: char, thousands: Option<char>) -> Option<String> {
    let (whole, fraction) = match cell.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (cell, None),
    };
    let whole = match thousands.filter(|mark| whole.contains(*mark)) {
        None => whole.to_owned(),
        Some(mark) => {
            let groups: Vec<&str> = whole.split(mark).collect();
            let (first, rest) = groups.split_first()?;
            let fits = (1..=3).contains(&first.len()) && rest.iter().all(|g| g.len() == 3);
            fits.then(|| groups.concat())?
        }
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    match fraction {
        None => digits(&whole).then_some(whole),
        Some(fraction) => {
            (digits(&whole) && digits(fraction)).then(|| format!("{whole}.{fraction}"))
        }
    }
}

/// A product in integers: `rust_decimal` rounds past 28 digits without a word.
fn exact_product(a: Decimal, b: Decimal) -> Option<String> {
    let mantissa = a.mantissa().checked_mul(b.mantissa())?;
    let product =
        Decimal::try_from_i128_with_scale(mantissa, a.scale() + b.scale()).ok()?.normalize();
    parse_decimal(&product.to_string()).ok()?;
    Some(product.to_string())
}
