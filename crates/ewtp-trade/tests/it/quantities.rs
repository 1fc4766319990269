use std::str::FromStr as _;

use ewtp_trade::quantity::{ExactSum, Money, QuantityError, parse_decimal};
use proptest::prelude::*;

#[test]
fn decimals_are_exact_or_refused() {
    assert_eq!(parse_decimal("4897.0999999999985").unwrap().to_string(), "4897.0999999999985");
    for (text, error) in [
        ("-1", QuantityError::Negative),
        ("1e3", QuantityError::Syntax),
        ("1,5", QuantityError::Syntax),
        ("+1", QuantityError::Syntax),
        (".5", QuantityError::Syntax),
        ("5.", QuantityError::Syntax),
        ("", QuantityError::Syntax),
        ("1.123456789012345678", QuantityError::Digits),
        ("12345678901234567890123456789", QuantityError::Digits),
    ] {
        assert_eq!(parse_decimal(text), Err(error), "{text:?}");
    }
}

#[test]
fn minor_units_are_those_of_the_currency() {
    let exceeds = |amount, currency| Money::parse(amount, currency).unwrap().exceeds_minor_unit();
    assert!(!exceeds("30520.0", "KRW") && exceeds("30520.5", "KRW"), "the won has none");
    assert!(!exceeds("1.25", "EUR") && exceeds("1.255", "EUR"));
    assert!(!exceeds("1.255", "KWD"), "the Kuwaiti dinar has three");
    assert_eq!(Money::parse("1", "EURO"), Err(QuantityError::Currency));
}

proptest! {
    /// Compared with sums of digits in strings: the naive way of long addition in units of 10^-17.
    #[test]
    fn sums_are_those_of_whole_numbers(parts in prop::collection::vec((0u64..1_000_000_000, 0u64..100_000_000_000_000_000), 1..50)) {
        let mut sum = ExactSum::default();
        let mut units: u128 = 0;
        for (whole, fraction) in &parts {
            sum.add(parse_decimal(&format!("{whole}.{fraction:017}")).unwrap()).unwrap();
            units += u128::from(*whole) * 100_000_000_000_000_000 + u128::from(*fraction);
        }
        let text = format!("{}.{:017}", units / 100_000_000_000_000_000, units % 100_000_000_000_000_000);
        let trimmed = text.trim_end_matches('0').trim_end_matches('.');
        prop_assert_eq!(sum.to_string(), trimmed);
        prop_assert_eq!(ExactSum::from_str(trimmed).unwrap(), sum);
    }
}
