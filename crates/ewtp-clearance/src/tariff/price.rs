//! What a filing comes to on a day: every step a line, amounts payable rounded half up to the currency's minor unit, each line once.
//! What is owed is fixed later by the destination's rule.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1::{DutyEstimate, DutyLine, DutyOpen, Money, Quantity};
use ewtp_trade::quantity::Money as Exact;
use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};

use super::charges::{Charges, Fixed, Line, Per, Preference, Relief, Valuation, holds, percent_of};
use super::rate::{Rate, Specific, Term};
use crate::facts::{Fact, Facts};
use crate::ruleset::Ruleset;
use crate::value::{Rates, exact_mul, unit_factor};

/// Why no estimate could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// No rate for a currency on the day.
    #[error("no rate for {0} on this day")]
    Rate(String),
    /// Too many digits to be exact.
    #[error("the amounts have too many digits to be exact")]
    Digits,
    /// No amount.
    #[error(
        "{amount:?} {currency:?} is no amount of a filing: allowed are digits with a point, such as 80.00, and an ISO 4217 code"
    )]
    Amount {
        /// As it stands.
        amount: String,
        /// Its currency.
        currency: String,
    },
}

/// Terms of delivery (Incoterms 2020, and DAT and DDU of editions before) whose price holds transport to the destination.
const DELIVERED: &[&str] = &["CFR", "CIF", "CPT", "CIP", "DAP", "DPU", "DDP", "DAT", "DDU"];
/// Those of them whose price holds insurance as well.
const INSURED: &[&str] = &["CIF", "CIP", "DAP", "DPU", "DDP", "DAT", "DDU"];

/// Prices the items whose values are known, by the charges of `tariffs` or, without tariffs, of the ruleset; `None` where no value is
/// visible.
///
/// # Errors
/// [`PriceError`].
pub fn price(
    facts: &Facts,
    ruleset: &Ruleset,
    tariffs: &[&Ruleset],
    day: Date,
) -> Result<Option<DutyEstimate>, PriceError> {
    if !facts.scope.iter().any(|p| p == "value") {
        return Ok(None);
    }
    let charges: Vec<&Charges> = match tariffs {
        [] => vec![&ruleset.charges],
        several => several.iter().map(|t| &t.charges).collect(),
    };
    // What a hub publishes speaks one currency; each tariff may bring exchange rates.
    let of = tariffs.first().copied().unwrap_or(ruleset);
    let mut rates = Rates { home: of.currency.clone(), ..Rates::default() };
    for tariff in tariffs.iter().rev().copied().chain(tariffs.is_empty().then_some(ruleset)) {
        rates.rates.extend(tariff.rates_on(day).rates.clone());
    }
    let mut sheet = Sheet {
        facts,
        charges,
        day,
        home: of,
        rates,
        schedule: !tariffs.is_empty(),
        unvalued: false,
        estimate: DutyEstimate {
            for_date: day.to_string(),
            time_zone: of.time_zone_name.clone(),
            ..Default::default()
        },
        total: Decimal::ZERO,
        used: BTreeSet::new(),
    };
    let mut goods = sheet.values()?;
    sheet.delivered(&mut goods)?;
    let whole = sum(goods.iter().map(|g| g.value))?;
    if facts.items.is_empty() {
        sheet.open(0, "duty", "", "items".into());
    }
    let fixed = sheet.fixed(&mut goods, whole)?;
    if fixed {
        // What is charged by heading has to have one.
        for item in goods.iter().filter(|g| g.hs.len() < 6) {
            sheet.open(item.number, "fixed", "", "a commodity code of six digits".into());
        }
    } else {
        sheet.duties(&mut goods, whole)?;
    }
    sheet.vat(&goods, whole)?;
    let total = sheet.money(sheet.total);
    sheet.estimate.total = Some(total);
    sheet.estimate.rates = sheet.used.into_iter().collect();
    Ok(Some(sheet.estimate))
}

fn sum(amounts: impl Iterator<Item = Decimal>) -> Result<Decimal, PriceError> {
    let add = |sum: Decimal, one: Decimal| sum.checked_add(one);
    let mut amounts = amounts;
    amounts.try_fold(Decimal::ZERO, add).ok_or(PriceError::Digits)
}

/// An item on its way through the sheet, in the tariff's currency.
struct Goods<'a> {
    facts: &'a BTreeMap<String, Fact>,
    number: u32,
    hs: &'a str,
    origin: &'a str,
    /// Intrinsic value.
    value: Decimal,
    /// What duty is charged on.
    customs: Decimal,
    /// Duties so far, fixed ones included.
    duty: Decimal,
}

struct Sheet<'a> {
    facts: &'a Facts,
    charges: Vec<&'a Charges>,
    day: Date,
    home: &'a Ruleset,
    rates: Rates,
    /// The charges are those of tariffs, which hold every code that there is.
    schedule: bool,
    /// The value of some goods isn't known: nothing is below any threshold.
    unvalued: bool,
    estimate: DutyEstimate,
    total: Decimal,
    used: BTreeSet<String>,
}

fn text<'a>(facts: &'a BTreeMap<String, Fact>, name: &str) -> &'a str {
    match facts.get(name) {
        Some(Fact::Text(text)) => text,
        _ => "",
    }
}

impl<'a> Sheet<'a> {
    fn digits(&self) -> u32 {
        let zero = Exact::parse("0", &self.home.currency);
        zero.ok().and_then(|m| m.currency().exponent()).map_or(2, u32::from)
    }

    fn round(&self, amount: Decimal) -> Decimal {
        amount.round_dp_with_strategy(self.digits(), RoundingStrategy::MidpointAwayFromZero)
    }

    fn money(&self, amount: Decimal) -> Money {
        let mut amount = self.round(amount);
        amount.rescale(self.digits());
        Money { amount: amount.to_string(), currency: self.home.currency.clone() }
    }

    /// A fact of money in the tariff's currency, rounded, with its rate.
    fn at_home(&mut self, fact: &Fact) -> Result<Option<(Decimal, Money, String)>, PriceError> {
        let Fact::Money { amount, currency } = fact else { return Ok(None) };
        let no_amount =
            || PriceError::Amount { amount: amount.clone(), currency: currency.clone() };
        let exact = Exact::parse(amount, currency).map_err(|_| no_amount())?;
        if exact.amount().is_sign_negative() {
            return Err(no_amount());
        }
        let home = self.rates.to_home(exact.amount(), currency);
        let home = home.ok_or_else(|| PriceError::Rate(currency.clone()))?;
        let rate = match self.rates.rates.get(currency).filter(|_| *currency != self.rates.home) {
            Some(rate) => format!("{currency}={rate} {}", self.rates.home),
            None => String::new(),
        };
        self.used.extend((!rate.is_empty()).then(|| rate.clone()));
        let given = Money { amount: amount.clone(), currency: currency.clone() };
        Ok(Some((self.round(home), given, rate)))
    }

    /// The items with their values; a step where a currency is exchanged.
    fn values(&mut self) -> Result<Vec<Goods<'a>>, PriceError> {
        let mut out = Vec::new();
        for facts in &self.facts.items {
            let number = match facts.get("number") {
                Some(Fact::Count(n)) => u32::try_from(*n).unwrap_or_default(),
                _ => 0,
            };
            let found = facts.get("value").map(|v| self.at_home(v)).transpose()?.flatten();
            let Some((value, given, rate)) = found else {
                self.unvalued = true;
                self.open(number, "duty", "", "a value".into());
                continue;
            };
            if !rate.is_empty() {
                self.step(number, "value", given, rate, value, String::new());
            }
            let (hs, origin) = (text(facts, "hs"), text(facts, "origin"));
            let duty = Decimal::ZERO;
            out.push(Goods { facts, number, hs, origin, value, customs: value, duty });
        }
        Ok(out)
    }

    /// Adds transport and insurance to the customs values where they belong to them and the price doesn't hold them, by value.
    fn delivered(&mut self, goods: &mut [Goods<'a>]) -> Result<(), PriceError> {
        if !self.charges.iter().any(|c| c.valuation == Valuation::Delivered) {
            return Ok(());
        }
        let terms = text(&self.facts.filing, "terms");
        for (kind, held) in [("freight", DELIVERED), ("insurance", INSURED)] {
            let fact = self.facts.filing.get(kind).filter(|_| !held.contains(&terms));
            let Some((amount, given, rate)) = fact.map(|f| self.at_home(f)).transpose()?.flatten()
            else {
                continue;
            };
            let shares = self.shares(amount, goods)?;
            for (item, share) in goods.iter_mut().zip(shares).filter(|(_, share)| !share.is_zero())
            {
                item.customs = item.customs.checked_add(share).ok_or(PriceError::Digits)?;
                let note = "by value".to_owned();
                self.step(item.number, kind, given.clone(), rate.clone(), share, note);
            }
        }
        Ok(())
    }

    /// An amount over the items by value, in minor units that sum up to it: what division leaves goes to the first ones.
    fn shares(&self, amount: Decimal, goods: &[Goods<'_>]) -> Result<Vec<Decimal>, PriceError> {
        let whole = sum(goods.iter().map(|g| g.value))?;
        if whole.is_zero() {
            return Ok(vec![Decimal::ZERO; goods.len()]);
        }
        let minor = Decimal::new(1, self.digits());
        let share = |g: &Goods<'_>| {
            let exact = amount.checked_mul(g.value)?.checked_div(whole)?;
            Some(exact.round_dp_with_strategy(self.digits(), RoundingStrategy::ToZero))
        };
        let mut out =
            goods.iter().map(share).collect::<Option<Vec<_>>>().ok_or(PriceError::Digits)?;
        let mut left = amount.checked_sub(sum(out.iter().copied())?).ok_or(PriceError::Digits)?;
        for one in &mut out {
            if left < minor {
                break;
            }
            (*one, left) = (*one + minor, left - minor);
        }
        Ok(out)
    }

    /// Charges fixed amounts; whether one stands instead of duties.
    fn fixed(&mut self, goods: &mut [Goods<'a>], whole: Decimal) -> Result<bool, PriceError> {
        let charges: Vec<&'a Charges> = self.charges.clone();
        let mut instead = false;
        for fixed in charges.iter().flat_map(|c| &c.fixed) {
            if !self.applies(fixed, whole) || goods.is_empty() {
                continue;
            }
            let firsts = firsts(fixed.per, goods);
            let count = Decimal::from(firsts.len() as u64);
            let amount = exact_mul(fixed.amount, count).ok_or(PriceError::Digits)?;
            for at in firsts {
                if let Some(item) = goods.get_mut(at) {
                    item.duty = item.duty.checked_add(fixed.amount).ok_or(PriceError::Digits)?;
                }
            }
            let (word, currency) = (per(fixed.per), &self.home.currency);
            let rate = format!("{} {currency}/{word} x {count}", fixed.amount);
            self.charge(0, "fixed", whole, rate, amount, None, String::new())?;
            instead |= fixed.instead_of_duty;
        }
        Ok(instead)
    }

    fn applies(&self, fixed: &Fixed, whole: Decimal) -> bool {
        let scheme = |s: &String| match s.as_str() {
            "ioss" => self.is_ioss(),
            _ => text(&self.facts.filing, "mode") == "5",
        };
        let mode = text(&self.facts.filing, "mode");
        !self.unvalued
            && whole <= fixed.up_to
            && holds(fixed.from, fixed.until, self.day)
            && (fixed.schemes.is_empty() || fixed.schemes.iter().any(scheme))
            && (fixed.modes.is_empty() || fixed.modes.iter().any(|m| m == mode))
    }

    fn is_ioss(&self) -> bool {
        self.facts.filing.get("ioss") == Some(&Fact::Flag(true))
    }

    /// The relief that holds for goods of an origin in a consignment of this value.
    fn relief(&self, of_vat: bool, whole: Decimal, origin: &str) -> Option<&'a Relief> {
        let all = self.charges.iter().flat_map(|c| &c.reliefs);
        let holds = |r: &&Relief| {
            r.of_vat == of_vat
                && !self.unvalued
                && whole <= r.up_to
                && !r.not_from.iter().any(|o| o == origin)
                && holds(r.from, r.until, self.day)
        };
        all.filter(holds).max_by_key(|r| r.up_to)
    }

    fn duties(&mut self, goods: &mut [Goods<'a>], whole: Decimal) -> Result<(), PriceError> {
        for item in goods {
            if let Some(relief) =
                self.relief(false, whole, item.origin).filter(|_| !item.hs.is_empty())
            {
                let note = format!("relief up to {} {}", relief.up_to, self.home.currency);
                let (base, zero) = (item.customs, Decimal::ZERO);
                self.charge(item.number, "duty", base, String::new(), zero, None, note)?;
                continue;
            }
            let charges: Vec<&'a Charges> = self.charges.clone();
            let mut found = false;
            for charges in charges {
                let preference = self.preference(charges, item);
                let (line, note) = match preference {
                    Some((preference, proof)) => (Some(&preference.line), proof),
                    None => (self.line(charges, item.hs), String::new()),
                };
                let Some(line) = line else { continue };
                found = true;
                let duty = self.duty(item, line, note)?;
                item.duty = item.duty.checked_add(duty).ok_or(PriceError::Digits)?;
            }
            if !found && self.schedule {
                self.open(item.number, "duty", "", self.no_line(item.hs));
            }
        }
        Ok(())
    }

    /// Why a schedule has no line for a code.
    fn no_line(&self, hs: &str) -> String {
        let longer = |c: &&Charges| c.duty.keys().any(|code| is_longer(code, hs));
        match (hs, self.charges.iter().any(longer)) {
            ("", _) => "a commodity code".to_owned(),
            (hs, true) => format!("a longer commodity code than {hs}: its lines differ"),
            (hs, false) => format!("a line for {hs} in the tariff"),
        }
    }

    /// The line of the longest beginning of a code that holds on the day; none if the code could be one of several longer ones.
    fn line(&self, charges: &'a Charges, hs: &str) -> Option<&'a Line> {
        if self.schedule && charges.duty.keys().any(|code| is_longer(code, hs)) {
            return None;
        }
        let beginnings = (0..=hs.len()).rev().filter_map(|n| hs.get(..n));
        for beginning in beginnings {
            let lines = charges.duty.get(beginning).into_iter().flatten();
            let found = lines.into_iter().find(|l| holds(l.from, l.until, self.day));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The first preference that the goods have a claim to, and by what.
    fn preference(
        &self,
        charges: &'a Charges,
        item: &Goods<'a>,
    ) -> Option<(&'a Preference, String)> {
        let documents = |facts: &'a BTreeMap<String, Fact>| match facts.get("documents") {
            Some(Fact::Texts(all)) => all.as_slice(),
            _ => &[],
        };
        let shown: Vec<&String> =
            documents(item.facts).iter().chain(documents(&self.facts.filing)).collect();
        charges.preferences.iter().find_map(|p| {
            let goods = p.hs.is_empty() || p.hs.iter().any(|h| item.hs.starts_with(h.as_str()));
            let origin = p.origins.iter().any(|o| o == item.origin);
            let day = holds(p.line.from, p.line.until, self.day);
            let proof = match p.certificates.as_slice() {
                [] => Some(format!("preference, origin {}", item.origin)),
                some => some
                    .iter()
                    .find(|c| shown.contains(c))
                    .map(|c| format!("preference, origin {}, {c}", item.origin)),
            };
            proof.filter(|_| goods && origin && day).map(|proof| (p, proof))
        })
    }

    /// Charges a duty; what it came to.
    fn duty(&mut self, item: &Goods<'_>, line: &Line, note: String) -> Result<Decimal, PriceError> {
        let terms = match &line.rate {
            Rate::Free => {
                let (base, zero) = (item.customs, Decimal::ZERO);
                self.charge(item.number, "duty", base, line.text.clone(), zero, None, note)?;
                return Ok(zero);
            }
            Rate::Sum(terms) => terms,
            Rate::Sliding { .. } => {
                self.open(item.number, "duty", &line.text, "degrees of polarisation".into());
                return Ok(Decimal::ZERO);
            }
            Rate::Elsewhere(rule) => {
                self.open(item.number, "duty", &line.text, format!("a rule elsewhere: {rule}"));
                return Ok(Decimal::ZERO);
            }
        };
        let (mut exact, mut measure) = (Decimal::ZERO, None);
        for term in terms {
            let amount = match term {
                Term::Percent(p) => percent_of(item.customs, p.of, p.over),
                Term::Specific(specific) => {
                    let Some((count, of)) = measured(item.facts, specific) else {
                        let missing = missing(specific);
                        self.open(item.number, "duty", &line.text, missing);
                        return Ok(Decimal::ZERO);
                    };
                    measure = Some(of);
                    let amount = exact_mul(specific.amount, count);
                    amount.and_then(|a| a.checked_div(Decimal::from(specific.per)))
                }
            };
            let amount = amount.ok_or(PriceError::Digits)?;
            exact = exact.checked_add(amount).ok_or(PriceError::Digits)?;
        }
        let amount = self.round(exact);
        self.charge(item.number, "duty", item.customs, line.text.clone(), amount, measure, note)?;
        Ok(amount)
    }

    fn vat(&mut self, goods: &[Goods<'a>], whole: Decimal) -> Result<(), PriceError> {
        let prepaid = self.charges.iter().filter_map(|c| c.ioss_up_to).any(|v| whole <= v);
        let prepaid = prepaid && self.is_ioss() && !self.unvalued;
        for item in goods {
            let Some(percent) = self.vat_of(item.hs).filter(|p| !p.is_zero()) else { continue };
            let base = item.customs.checked_add(item.duty).ok_or(PriceError::Digits)?;
            let relief = self.relief(true, whole, item.origin);
            let (amount, note) = match (prepaid, relief) {
                (true, _) => (Decimal::ZERO, "prepaid under IOSS".to_owned()),
                (false, Some(relief)) => {
                    let note = format!("relief up to {} {}", relief.up_to, self.home.currency);
                    (Decimal::ZERO, note)
                }
                (false, None) => {
                    let exact = percent_of(base, percent, 1).ok_or(PriceError::Digits)?;
                    (self.round(exact), self.without(item.number).to_owned())
                }
            };
            self.charge(item.number, "vat", base, format!("{percent}%"), amount, None, note)?;
        }
        Ok(())
    }

    /// What an item's VAT says where a charge that it is on top of is open: the amount would pass for the whole otherwise.
    fn without(&self, item: u32) -> &'static str {
        let open = self.estimate.open.iter().any(|o| o.item == item);
        if open { "at least: its duty is open" } else { "" }
    }

    fn vat_of(&self, hs: &str) -> Option<Decimal> {
        let all = self.charges.iter().flat_map(|c| &c.vat);
        let length = |v: &super::charges::Vat| match v.hs.as_slice() {
            [] => Some(0),
            some => some.iter().filter(|h| hs.starts_with(h.as_str())).map(String::len).max(),
        };
        let here = all.filter(|v| holds(v.from, v.until, self.day));
        here.filter_map(|v| Some((length(v)?, v.percent))).max_by_key(|(l, _)| *l).map(|(_, p)| p)
    }

    fn step(
        &mut self,
        item: u32,
        kind: &str,
        base: Money,
        rate: String,
        to: Decimal,
        note: String,
    ) {
        let (base, amount) = (Some(base), Some(self.money(to)));
        let kind = kind.to_owned();
        self.estimate.lines.push(DutyLine { item, kind, base, rate, amount, measure: None, note });
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a line")]
    fn charge(
        &mut self,
        item: u32,
        kind: &str,
        base: Decimal,
        rate: String,
        amount: Decimal,
        measure: Option<Quantity>,
        note: String,
    ) -> Result<(), PriceError> {
        self.total = self.total.checked_add(amount).ok_or(PriceError::Digits)?;
        let (base, amount) = (Some(self.money(base)), Some(self.money(amount)));
        let kind = kind.to_owned();
        self.estimate.lines.push(DutyLine { item, kind, base, rate, amount, measure, note });
        Ok(())
    }

    fn open(&mut self, item: u32, kind: &str, rate: &str, missing: String) {
        let (kind, rate) = (kind.to_owned(), rate.to_owned());
        self.estimate.open.push(DutyOpen { item, kind, rate, missing });
    }
}

/// Whether a line's code is longer than a filing's, and begins with it.
fn is_longer(line: &str, hs: &str) -> bool {
    !hs.is_empty() && line.len() > hs.len() && line.starts_with(hs)
}

/// The items that a fixed amount is charged with: each, the first of each heading, or the first.
fn firsts(per: Per, goods: &[Goods<'_>]) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (at, item) in goods.iter().enumerate() {
        let first = match per {
            Per::Item => true,
            Per::Heading => seen.insert(item.hs.get(..6).unwrap_or(item.hs)),
            Per::Consignment => at == 0,
        };
        out.extend(first.then_some(at));
    }
    out
}

const fn per(per: Per) -> &'static str {
    match per {
        Per::Heading => "heading",
        Per::Item => "item",
        Per::Consignment => "consignment",
    }
}

fn missing(specific: &Specific) -> String {
    match (specific.of.as_str(), specific.unit) {
        ("", "") => "a measure that filings don't have".to_owned(),
        ("", unit) => format!("a quantity in {unit}"),
        (of, _) => format!("measure: {of}"),
    }
}

/// How much of a unit an item has, and as what it was told: its quantity, else its masses.
fn measured(item: &BTreeMap<String, Fact>, specific: &Specific) -> Option<(Decimal, Quantity)> {
    let decimal = |text: &str| ewtp_trade::quantity::parse_decimal(text).ok();
    let quantity = |value: &str, unit: &str| Quantity { value: value.into(), unit: unit.into() };
    let in_unit = |value: &str, unit: &str| {
        let count = exact_mul(decimal(value)?, unit_factor(unit, specific.unit)?)?;
        Some((count, quantity(value, unit)))
    };
    // The weight of containers is in the gross mass.
    let gross = specific.of == "including weight of container";
    if specific.unit.is_empty() || !(specific.of.is_empty() || gross) {
        return None;
    }
    if let (Some(Fact::Quantity { value, unit }), false) = (item.get("quantity"), gross)
        && let Some(found) = in_unit(value, unit)
    {
        return Some(found);
    }
    let masses = if gross { &["gross_mass"][..] } else { &["net_mass", "gross_mass"][..] };
    masses.iter().find_map(|name| match item.get(*name) {
        Some(Fact::Mass { kg }) => in_unit(kg, "KGM"),
        _ => None,
    })
}
