//! A first estimate of duty and tax. It says for which day and at which rates it holds; what is owed is fixed later by
//! the destination's rule. Amounts payable are rounded half up to the currency's minor unit, each line once.

use std::collections::BTreeSet;

use ewtp_proto::v1::{DutyEstimate, DutyLine, Money};
use ewtp_trade::quantity::Money as Exact;
use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::facts::{Fact, Facts};
use crate::ruleset::Ruleset;
use crate::value::exact_mul;

/// Why no estimate could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstimateError {
    /// No rate for a currency on the day.
    #[error("no rate for {0} on this day")]
    Rate(String),
    /// Too many digits to be exact.
    #[error("the amounts have too many digits to be exact")]
    Digits,
}

/// Estimates duty and tax of the items whose values are known; `None` where no value is visible.
///
/// # Errors
/// [`EstimateError`].
pub fn estimate(
    facts: &Facts,
    ruleset: &Ruleset,
    day: Date,
) -> Result<Option<DutyEstimate>, EstimateError> {
    if !facts.scope.iter().any(|p| p == "value") {
        return Ok(None);
    }
    let rates = ruleset.rates_on(day);
    let mut sheet = Sheet { ruleset, lines: Vec::new(), total: Decimal::ZERO };
    let mut whole = Decimal::ZERO;
    let mut lines_hs6: BTreeSet<&str> = BTreeSet::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for item in &facts.items {
        let Some(Fact::Money { amount, currency }) = item.get("value") else { continue };
        let exact = Exact::parse(amount, currency).map_err(|_| EstimateError::Digits)?;
        let home = rates
            .to_home(exact.amount(), currency)
            .ok_or_else(|| EstimateError::Rate(currency.clone()))?;
        if let Some(rate) = rates.rates.get(currency).filter(|_| currency != &rates.home) {
            used.insert(format!("{currency}={rate} {}", rates.home));
        }
        let base = sheet.round(home);
        whole = whole.checked_add(base).ok_or(EstimateError::Digits)?;
        let number = match item.get("number") {
            Some(Fact::Count(n)) => u32::try_from(*n).unwrap_or_default(),
            _ => 0,
        };
        let hs = match item.get("hs") {
            Some(Fact::Text(hs)) => hs.as_str(),
            _ => "",
        };
        lines_hs6.insert(hs.get(..6).unwrap_or(hs));
        let percent = longest_prefix(ruleset, hs);
        let duty = sheet.percent(number, "duty", base, percent)?;
        if let Some(vat) = ruleset.charges.vat {
            sheet.percent(
                number,
                "vat",
                base.checked_add(duty).ok_or(EstimateError::Digits)?,
                vat,
            )?;
        }
    }
    for fixed in &ruleset.charges.fixed {
        if whole <= fixed.up_to && fixed.from <= day && fixed.until.is_none_or(|last| day <= last) {
            let count = Decimal::from(lines_hs6.len() as u64);
            let amount = exact_mul(fixed.amount, count).ok_or(EstimateError::Digits)?;
            sheet.line(
                0,
                "fixed",
                whole,
                format!("{} {} x {count}", fixed.amount, ruleset.currency),
                amount,
            )?;
        }
    }
    Ok(Some(DutyEstimate {
        total: Some(sheet.money(sheet.total)),
        lines: sheet.lines,
        for_date: day.to_string(),
        rates: used.into_iter().collect(),
        time_zone: ruleset.time_zone_name.clone(),
    }))
}

fn longest_prefix(ruleset: &Ruleset, hs: &str) -> Decimal {
    let matching =
        ruleset.charges.duty.iter().filter(|(prefix, _)| hs.starts_with(prefix.as_str()));
    matching.max_by_key(|(prefix, _)| prefix.len()).map_or(Decimal::ZERO, |(_, percent)| *percent)
}

struct Sheet<'a> {
    ruleset: &'a Ruleset,
    lines: Vec<DutyLine>,
    total: Decimal,
}

impl Sheet<'_> {
    fn digits(&self) -> u32 {
        let zero = Exact::parse("0", &self.ruleset.currency);
        zero.ok().and_then(|m| m.currency().exponent()).map_or(2, u32::from)
    }

    fn round(&self, amount: Decimal) -> Decimal {
        amount.round_dp_with_strategy(self.digits(), RoundingStrategy::MidpointAwayFromZero)
    }

    fn money(&self, amount: Decimal) -> Money {
        let mut amount = self.round(amount);
        amount.rescale(self.digits());
        Money { amount: amount.to_string(), currency: self.ruleset.currency.clone() }
    }

    fn percent(
        &mut self,
        item: u32,
        kind: &str,
        base: Decimal,
        percent: Decimal,
    ) -> Result<Decimal, EstimateError> {
        if percent.is_zero() {
            return Ok(Decimal::ZERO);
        }
        let hundredth = Decimal::new(1, 2);
        let exact = exact_mul(base, percent)
            .and_then(|p| exact_mul(p, hundredth))
            .ok_or(EstimateError::Digits)?;
        let amount = self.round(exact);
        self.line(item, kind, base, format!("{percent}%"), amount)?;
        Ok(amount)
    }

    fn line(
        &mut self,
        item: u32,
        kind: &str,
        base: Decimal,
        rate: String,
        amount: Decimal,
    ) -> Result<(), EstimateError> {
        self.total = self.total.checked_add(amount).ok_or(EstimateError::Digits)?;
        let (base, amount) = (Some(self.money(base)), Some(self.money(amount)));
        self.lines.push(DutyLine { item, kind: kind.to_owned(), base, rate, amount });
        Ok(())
    }
}
