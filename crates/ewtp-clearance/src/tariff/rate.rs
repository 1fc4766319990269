//! Rates as tariffs write them: `Free`, `7.5%`, `33 1/3%`, `0.98 cents/kg`, `$1.189/pf. liter`, `10 EUR/100 kg`,
//! `1.1 cents/kg + 5%`, and references that a machine can't follow.
//!
//! The grammar is that of the Harmonized Tariff Schedule of the United States, general notes 3 and statistical annotations, and of the EU's
//! specific duties (`EUR/100 kg`).

use rust_decimal::Decimal;

/// A rate of duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Nothing is charged.
    Free,
    /// The sum of its terms.
    Sum(Vec<Term>),
    /// So much per unit, less for each degree under a number of degrees, but not less than a floor (sugars by polarisation).
    Sliding {
        /// Per unit at or above the degrees.
        full: Specific,
        /// Less for each degree.
        less: Decimal,
        /// Degrees.
        under: Decimal,
        /// Never less per unit.
        floor: Decimal,
    },
    /// A rule that stands elsewhere, in its words.
    Elsewhere(String),
}

/// A term of a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// Of the customs value.
    Percent(Percent),
    /// Per unit.
    Specific(Specific),
}

/// A percentage, exact: 33 1/3 is 100 over 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent {
    /// Numerator.
    pub of: Decimal,
    /// Denominator, 1 or more.
    pub over: u32,
}

/// An amount per unit, in the tariff's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specific {
    /// Amount for `per` units.
    pub amount: Decimal,
    /// How many units it is for: 100 in `EUR/100 kg`.
    pub per: u32,
    /// Unit, UN/ECE Recommendation 20; empty for units that it doesn't have, such as the proof litre.
    pub unit: &'static str,
    /// What is measured, if it isn't the goods themselves: `lead content`, `including weight of container`.
    pub of: String,
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no rate: {problem}; allowed: Free, 7.5%, 33 1/3%, 1.1 cents/kg, $2/t, 10 EUR/100 kg, terms joined by +, or a rule in words that begins with See or The rate"
)]
pub struct RateError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub problem: String,
}

/// Units as tariffs write them, longest first where one begins another.
const UNITS: &[(&str, &str)] = &[
    ("clean kg", "KGM"),
    ("kg", "KGM"),
    ("pf. liter", ""),
    ("pf.liter", ""),
    ("liter", "LTR"),
    ("litre", "LTR"),
    ("hl", "HLT"),
    ("doz.", "DZN"),
    ("pr.", "NPR"),
    ("pair", "NPR"),
    ("bbl", "BLL"),
    ("gross", "GRO"),
    ("article", "H87"),
    ("item", "H87"),
    ("piece", "H87"),
    ("no.", "H87"),
    ("m2", "MTK"),
    ("m3", "MTQ"),
    ("m", "MTR"),
    ("t", "TNE"),
    ("g", "GRM"),
    ("1000", "MIL"),
];

impl Rate {
    /// Reads a rate; amounts are in `currency`.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn parse(text: &str, currency: &str) -> Result<Self, RateError> {
        let text = text.trim();
        let fault =
            |problem: &str| RateError { text: text.to_owned(), problem: problem.to_owned() };
        if text.eq_ignore_ascii_case("free") {
            return Ok(Self::Free);
        }
        if text.starts_with("See ") || text.starts_with("The rate ") {
            return Ok(Self::Elsewhere(text.to_owned()));
        }
        if let Some((full, rest)) = text.split_once(" less ") {
            return sliding(full, rest, currency)
                .ok_or_else(|| fault("a sliding rate is cut short"));
        }
        let mut terms = Vec::new();
        for piece in text.split('+') {
            let term = percent(piece).map(Term::Percent);
            let term = term.or_else(|| specific(piece, currency).map(Term::Specific));
            terms.push(term.ok_or_else(|| fault(&format!("{:?} is no term", piece.trim())))?);
        }
        let zero = |t: &Term| match t {
            Term::Percent(p) => p.of.is_zero(),
            Term::Specific(s) => s.amount.is_zero(),
        };
        if terms.iter().all(zero) {
            return Ok(Self::Free);
        }
        Ok(Self::Sum(terms))
    }
}

/// `7.5%`, `33 1/3%`; `5% on the entire set` is charged on the value as well.
fn percent(text: &str) -> Option<Percent> {
    let (number, rest) = text.split_once('%')?;
    if !matches!(rest.trim(), "" | "on the entire set") {
        return None;
    }
    let (whole, fraction) = match number.trim().split_once(' ') {
        Some((whole, fraction)) => (whole, Some(fraction.trim())),
        None => (number.trim(), None),
    };
    let whole = decimal(whole)?;
    let Some(fraction) = fraction else { return Some(Percent { of: whole, over: 1 }) };
    let (of, over) = fraction.split_once('/')?;
    let over: u32 = over.parse().ok().filter(|n| (2..=99).contains(n))?;
    let of = whole.checked_mul(Decimal::from(over))?.checked_add(decimal(of)?)?;
    Some(Percent { of, over })
}

/// `1.1 cents/kg on lead content`, `$2/t, including weight of container`, `10 EUR/100 kg`.
fn specific(text: &str, currency: &str) -> Option<Specific> {
    let (money, rest) = text.trim().split_once('/')?;
    let amount = match money.trim() {
        dollars if dollars.starts_with('$') => decimal(dollars.get(1..)?)?,
        cents if cents.ends_with("cents") => {
            let cents = decimal(cents.strip_suffix("cents")?.trim())?;
            Decimal::try_from_i128_with_scale(cents.mantissa(), cents.scale() + 2).ok()?
        }
        named => decimal(named.strip_suffix(currency).filter(|_| !currency.is_empty())?.trim())?,
    };
    let rest = rest.trim();
    // 1000 stands for a thousand pieces where no unit follows.
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (per, unit) = match (rest.get(..digits)?.parse::<u32>(), rest.get(digits..)?.trim()) {
        (Ok(per), unit) if per > 0 && !unit.is_empty() => (per, unit),
        _ => (1, rest),
    };
    let (name, code) = UNITS.iter().find(|(name, _)| begins(unit, name))?;
    let of = unit.get(name.len()..)?.trim().trim_start_matches(',').trim();
    let of = of.strip_prefix("on ").or_else(|| of.strip_prefix("of ")).unwrap_or(of);
    Some(Specific { amount, per, unit: code, of: of.to_owned() })
}

/// Whether a text begins with a unit, and not with a longer word.
fn begins(text: &str, unit: &str) -> bool {
    let rest = text.strip_prefix(unit);
    rest.is_some_and(|r| unit.ends_with('.') || r.is_empty() || r.starts_with([' ', ',']))
}

/// `… less 0.02 cents/kg for each degree under 100 degrees (…) but not less than 3.1 cents/kg`.
fn sliding(full: &str, rest: &str, currency: &str) -> Option<Rate> {
    let full = specific(full, currency)?;
    let (less, rest) = rest.split_once(" for each degree under ")?;
    let (degrees, rest) = rest.split_once(" degrees")?;
    let (_, floor) = rest.split_once(" but not less than ")?;
    let less = specific(&less.replace(" /", "/"), currency)?;
    let floor = specific(&floor.replace(" /", "/"), currency)?;
    let same = less.unit == full.unit && floor.unit == full.unit;
    same.then_some(())?;
    Some(Rate::Sliding {
        full,
        less: less.amount,
        under: decimal(degrees.trim())?,
        floor: floor.amount,
    })
}

/// A decimal that is not negative.
fn decimal(text: &str) -> Option<Decimal> {
    let number = ewtp_trade::quantity::parse_decimal(text).ok()?;
    (!number.is_sign_negative()).then_some(number)
}
