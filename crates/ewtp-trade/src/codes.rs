//! Codes by their syntax; whether a list knows them is the business of `lists`.

use std::fmt;

/// ISO 3166-1 alpha-2, and the user-assigned XI, XK and EU that trade uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads a code that the standard or trade knows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 2] = text.as_bytes().try_into().ok()?;
        let known = matches!(text, "XI" | "XK" | "EU") || rust_iso3166::from_alpha2(text).is_some();
        known.then_some(Self(bytes))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Local reference number: an..22, unique per account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lrn(String);

impl Lrn {
    /// Reads 1–22 letters, digits, `-`, `/`, `.` or `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ok = (1..=22).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'.' | b'_'));
        ok.then(|| Self(text.to_owned()))
    }

    /// The reference.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// HS chapters 01–97 without the reserved 77, and the national 98 and 99; 6 to 10 digits.
#[must_use]
pub fn hs_syntax(code: &str) -> bool {
    let chapter = code.get(..2).and_then(|c| c.parse::<u8>().ok());
    (6..=10).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_digit())
        && chapter.is_some_and(|c| (1..=99).contains(&c) && c != 77)
}

/// UCR of WCO's recommendation of 2004: a year digit, a country, company id and reference, at most 35.
#[must_use]
pub fn ucr_syntax(text: &str) -> bool {
    let (Some(year), Some(country), Some(rest)) = (text.get(..1), text.get(1..3), text.get(3..))
    else {
        return false;
    };
    text.len() <= 35
        && year.bytes().all(|b| b.is_ascii_digit())
        && Country::parse(country).is_some()
        && !rest.is_empty()
        && rest.bytes().all(|b| {
            b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'(' | b')')
        })
}

/// A party's id: country prefix and 1–33 of A–Z, 0–9 and `-` (EORI: an..17; the WCO TIN guideline fixes no maximum).
#[must_use]
pub fn party_id_syntax(text: &str) -> bool {
    let prefix = text.get(..2).and_then(Country::parse).is_some();
    prefix
        && (3..=35).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
}

/// UN/LOCODE: country and three of A–Z and 2–9.
#[must_use]
pub fn locode_syntax(text: &str) -> bool {
    let (Some(country), Some(place)) = (text.get(..2), text.get(2..)) else { return false };
    Country::parse(country).is_some()
        && place.len() == 3
        && place.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'9').contains(&b))
}

/// Customs office: country and six of A–Z and 0–9.
#[must_use]
pub fn office_syntax(text: &str) -> bool {
    let (Some(country), Some(rest)) = (text.get(..2), text.get(2..)) else { return false };
    Country::parse(country).is_some()
        && rest.len() == 6
        && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// A calendar day, YYYY-MM-DD.
#[must_use]
pub fn day_syntax(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// UN/ECE Recommendation 19 modes in use.
pub const TRANSPORT_MODES: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9"];
