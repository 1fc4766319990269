//! Movement reference numbers: an18, year, country, 13 characters and the check digit of ISO 6346.

use crate::codes::Country;

/// Check digit of the first 17 characters: letters A = 10, B = 12 … skipping multiples of 11; weights 2^i; mod 11 mod 10.
#[must_use]
pub fn check_digit(first17: &str) -> Option<u8> {
    if first17.len() != 17 {
        return None;
    }
    let mut sum: u32 = 0;
    for (i, b) in first17.bytes().enumerate() {
        let value = match b {
            b'0'..=b'9' => u32::from(b - b'0'),
            b'A'..=b'Z' => {
                let n = 10 + u32::from(b - b'A');
                n + (n - 1) / 10 // 10, 12, 13 … 21, 23 … 32, 34 …: every multiple of 11 is left out
            }
            _ => return None,
        };
        sum += value << i;
    }
    u8::try_from(sum % 11 % 10).ok()
}

/// What a foreign or own MRN turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MrnVerdict {
    /// Syntax and check digit hold.
    Good,
    /// The syntax holds, the check digit doesn't: a warning where it is foreign.
    CheckDigit,
    /// Not an MRN.
    Syntax,
}

/// Judges an MRN.
#[must_use]
pub fn judge(text: &str) -> MrnVerdict {
    let (Some(first17), Some(last)) = (text.get(..17), text.get(17..)) else {
        return MrnVerdict::Syntax;
    };
    let year = text.get(..2).is_some_and(|y| y.bytes().all(|b| b.is_ascii_digit()));
    let country = text.get(2..4).and_then(Country::parse).is_some();
    let rest = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if text.len() != 18 || !year || !country || !rest {
        return MrnVerdict::Syntax;
    }
    if check_digit(first17).is_some_and(|d| last == d.to_string()) {
        MrnVerdict::Good
    } else {
        MrnVerdict::CheckDigit
    }
}

/// Makes an MRN from the year, the country and 13 random symbols below 36.
#[must_use]
pub fn make(year: u16, country: &str, random: [u8; 13]) -> String {
    let symbols = random
        .iter()
        .map(|r| char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[usize::from(r % 36)]));
    let first17: String = format!("{:02}{country}", year % 100).chars().chain(symbols).collect();
    let digit = check_digit(&first17).unwrap_or(0);
    format!("{first17}{digit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_known_numbers() {
        // ISO 6346's own example, padded to 17 places by nothing: its 10 characters are checked in `letters`.
        assert_eq!(judge("20GB1Q3RTK463FGVR4"), MrnVerdict::Good);
        assert_eq!(judge("20GB1Q3RTK463FGVR5"), MrnVerdict::CheckDigit);
        assert_eq!(judge("20gb1Q3RTK463FGVR4"), MrnVerdict::Syntax);
        assert_eq!(judge("20ZZ1Q3RTK463FGVR4"), MrnVerdict::Syntax);
    }

    #[test]
    fn made_numbers_hold() {
        let mrn = make(2026, "KE", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 35, 36]);
        assert_eq!(judge(&mrn), MrnVerdict::Good);
        assert!(mrn.starts_with("26KE"));
    }
}
