//! What a tariff says, read once.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::rate::Rate;
use crate::ruleset::Faults;

/// What a customs value is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Valuation {
    /// The price alone (the United States' free-on-board value).
    #[default]
    Price,
    /// The price with transport and insurance to the destination, unless its terms hold them (EU, WTO members in the main).
    Delivered,
}

/// A duty on a code, for some days.
#[derive(Clone, Debug)]
pub struct Line {
    /// Rate.
    pub rate: Rate,
    /// As written.
    pub text: String,
    /// First day; `None` from the beginning.
    pub from: Option<Date>,
    /// Last day; `None` without end.
    pub until: Option<Date>,
}

/// A lower duty by origin.
#[derive(Clone, Debug)]
pub struct Preference {
    /// Beginnings of codes.
    pub hs: Vec<String>,
    /// Countries of origin.
    pub origins: Vec<String>,
    /// Types of documents of which one proves it; empty if none is needed.
    pub certificates: Vec<String>,
    /// The duty.
    pub line: Line,
}

/// Nothing is charged up to a value.
#[derive(Clone, Debug)]
pub struct Relief {
    /// Of duty or of VAT.
    pub of_vat: bool,
    /// Intrinsic value of the consignment up to which it holds, tariff's currency.
    pub up_to: Decimal,
    /// Countries of origin that it is kept from.
    pub not_from: Vec<String>,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub until: Option<Date>,
}

/// What a fixed amount is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each distinct heading of six digits.
    Heading,
    /// Each item.
    Item,
    /// The consignment.
    Consignment,
}

/// A fixed amount (e.g. Regulation (EU) 2026/382: 3 EUR per distinct six-digit heading of goods sent by post or under IOSS).
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Tariff's currency.
    pub amount: Decimal,
    /// What it is charged for.
    pub per: Per,
    /// Intrinsic value of the consignment up to which it holds.
    pub up_to: Decimal,
    /// `ioss`, `post`: one of them has to hold; empty for all.
    pub schemes: Vec<String>,
    /// Modes of transport; empty for all.
    pub modes: Vec<String>,
    /// It stands instead of the duties on the goods.
    pub instead_of_duty: bool,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub until: Option<Date>,
}

/// VAT or another tax on value and duty.
#[derive(Clone, Debug)]
pub struct Vat {
    /// Beginnings of codes; empty for all.
    pub hs: Vec<String>,
    /// Percent.
    pub percent: Decimal,
    /// First day.
    pub from: Option<Date>,
    /// Last day.
    pub until: Option<Date>,
}

/// Charges: what an estimate is made of.
#[derive(Debug, Default)]
pub struct Charges {
    /// What the customs value is made of.
    pub valuation: Valuation,
    /// Duties by code; the longest beginning counts.
    pub duty: BTreeMap<String, Vec<Line>>,
    /// Preferences in order.
    pub preferences: Vec<Preference>,
    /// Reliefs.
    pub reliefs: Vec<Relief>,
    /// Fixed amounts.
    pub fixed: Vec<Fixed>,
    /// VAT; the longest beginning of a code counts.
    pub vat: Vec<Vat>,
    /// Intrinsic value up to which VAT may be prepaid under IOSS.
    pub ioss_up_to: Option<Decimal>,
}

impl Charges {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.duty.is_empty()
            && self.preferences.is_empty()
            && self.fixed.is_empty()
            && self.vat.is_empty()
    }
}

/// Whether a day is within.
pub(super) fn holds(from: Option<Date>, until: Option<Date>, day: Date) -> bool {
    from.is_none_or(|first| first <= day) && until.is_none_or(|last| day <= last)
}

/// Charges as TOML has them.
#[derive(Default)]
pub(crate) struct RawCharges {
    pub(crate) valuation: Option<String>,
    pub(crate) lines: Option<String>,
    pub(crate) duty: Vec<RawDuty>,
    pub(crate) preference: Vec<RawPreference>,
    pub(crate) relief: Vec<RawRelief>,
    pub(crate) fixed: Vec<RawFixed>,
    pub(crate) vat: Vec<RawVat>,
    pub(crate) ioss_up_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDuty {
    hs: String,
    rate: Option<String>,
    /// As rulesets before 0.2 wrote it: `percent = "7.5"`.
    percent: Option<String>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPreference {
    hs: Vec<String>,
    origins: Vec<String>,
    rate: String,
    #[serde(default)]
    certificates: Vec<String>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRelief {
    of: String,
    up_to: String,
    #[serde(default)]
    not_from: Vec<String>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFixed {
    amount: String,
    #[serde(default = "per_heading")]
    per: String,
    up_to: String,
    #[serde(default)]
    schemes: Vec<String>,
    #[serde(default)]
    modes: Vec<String>,
    #[serde(default)]
    instead_of_duty: bool,
    from: Option<String>,
    until: Option<String>,
}

fn per_heading() -> String {
    "heading".to_owned()
}

/// VAT as `[[vat]]`, or as rulesets before 0.2 wrote it: `vat = "21"`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum VatField {
    Percent(String),
    Several(Vec<RawVat>),
}

impl Default for VatField {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl VatField {
    pub(crate) fn several(self) -> Vec<RawVat> {
        match self {
            Self::Percent(percent) => {
                vec![RawVat { percent, hs: Vec::new(), from: None, until: None }]
            }
            Self::Several(all) => all,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawVat {
    percent: String,
    #[serde(default)]
    hs: Vec<String>,
    from: Option<String>,
    until: Option<String>,
}

impl RawCharges {
    /// Reads them; amounts are in `currency`.
    pub(crate) fn check(self, currency: &str, faults: &mut Faults) -> Charges {
        let valuation = match self.valuation.as_deref() {
            None | Some("price") => Valuation::Price,
            Some("delivered") => Valuation::Delivered,
            Some(other) => {
                faults.add("valuation", other, "price or delivered");
                Valuation::Price
            }
        };
        let mut duty: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for (at, text) in self.lines.iter().flat_map(|l| l.lines()).enumerate() {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (code, rate) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let path = format!("lines, line {}", at + 1);
            let line = faults.rate_line(&path, rate.trim(), currency, (None, None));
            let code = faults.code(&path, code);
            duty.entry(code).or_default().extend(line);
        }
        for (i, raw) in self.duty.into_iter().enumerate() {
            let path = format!("duty[{i}]");
            let days = faults.days(&path, raw.from.as_deref(), raw.until.as_deref());
            let percent = raw.percent.map(|p| format!("{p}%"));
            let rate = raw.rate.or(percent).unwrap_or_default();
            let line = faults.rate_line(&path, &rate, currency, days);
            let code = faults.code(&path, &raw.hs);
            duty.entry(code).or_default().extend(line);
        }
        for (code, lines) in &duty {
            for (i, line) in lines.iter().enumerate() {
                let overlaps = |other: &&Line| {
                    let late = |a: Option<Date>, b: Option<Date>| matches!((a, b), (Some(last), Some(first)) if last < first);
                    !late(line.until, other.from) && !late(other.until, line.from)
                };
                if lines.iter().take(i).any(|other| overlaps(&other)) {
                    faults.add(format!("duty on {code}"), &line.text, "one rate a day");
                }
            }
        }
        let preferences = self.preference.into_iter().enumerate().filter_map(|(i, raw)| {
            let path = format!("preference[{i}]");
            let days = faults.days(&path, raw.from.as_deref(), raw.until.as_deref());
            let line = faults.rate_line(&path, &raw.rate, currency, days)?;
            let hs = raw.hs.iter().map(|code| faults.code(&path, code)).collect();
            Some(Preference { hs, origins: raw.origins, certificates: raw.certificates, line })
        });
        let preferences = preferences.collect();
        let reliefs = self.relief.into_iter().enumerate().map(|(i, raw)| {
            let path = format!("relief[{i}]");
            if !matches!(raw.of.as_str(), "duty" | "vat") {
                faults.add(format!("{path}.of"), &raw.of, "duty or vat");
            }
            let (from, until) = faults.days(&path, raw.from.as_deref(), raw.until.as_deref());
            let up_to = faults.decimal(&format!("{path}.up_to"), &raw.up_to);
            Relief { of_vat: raw.of == "vat", up_to, not_from: raw.not_from, from, until }
        });
        let reliefs = reliefs.collect();
        let fixed =
            self.fixed.into_iter().enumerate().map(|(i, raw)| raw.check(i, faults)).collect();
        let vat = self.vat.into_iter().enumerate().map(|(i, raw)| {
            let path = format!("vat[{i}]");
            let (from, until) = faults.days(&path, raw.from.as_deref(), raw.until.as_deref());
            let hs = raw.hs.iter().map(|code| faults.code(&path, code)).collect();
            let percent = faults.decimal(&format!("{path}.percent"), &raw.percent);
            if percent.is_sign_negative() || percent > Decimal::ONE_HUNDRED {
                faults.add(format!("{path}.percent"), &raw.percent, "0 to 100");
            }
            Vat { hs, percent, from, until }
        });
        let vat = vat.collect();
        let ioss_up_to = self.ioss_up_to.as_deref().map(|v| faults.decimal("ioss_up_to", v));
        Charges { valuation, duty, preferences, reliefs, fixed, vat, ioss_up_to }
    }
}

impl RawFixed {
    fn check(self, i: usize, faults: &mut Faults) -> Fixed {
        let path = format!("fixed[{i}]");
        let per = match self.per.as_str() {
            "heading" => Per::Heading,
            "item" => Per::Item,
            "consignment" => Per::Consignment,
            other => {
                faults.add(format!("{path}.per"), other, "heading, item or consignment");
                Per::Consignment
            }
        };
        for scheme in self.schemes.iter().filter(|s| !matches!(s.as_str(), "ioss" | "post")) {
            faults.add(format!("{path}.schemes"), scheme, "ioss, post");
        }
        let (from, until) = faults.days(&path, self.from.as_deref(), self.until.as_deref());
        Fixed {
            amount: faults.decimal(&format!("{path}.amount"), &self.amount),
            per,
            up_to: faults.decimal(&format!("{path}.up_to"), &self.up_to),
            schemes: self.schemes,
            modes: self.modes,
            instead_of_duty: self.instead_of_duty,
            from,
            until,
        }
    }
}

impl Faults {
    fn days(
        &mut self,
        path: &str,
        from: Option<&str>,
        until: Option<&str>,
    ) -> (Option<Date>, Option<Date>) {
        let from = from.map(|day| self.day(&format!("{path}.from"), day));
        let until = until.map(|day| self.day(&format!("{path}.until"), day));
        if let (Some(first), Some(last)) = (from, until)
            && last < first
        {
            self.add(format!("{path}.until"), &last.to_string(), format!("{first} or later"));
        }
        (from, until)
    }

    fn rate_line(
        &mut self,
        path: &str,
        text: &str,
        currency: &str,
        (from, until): (Option<Date>, Option<Date>),
    ) -> Option<Line> {
        match Rate::parse(text, currency) {
            Ok(rate) => Some(Line { rate, text: text.to_owned(), from, until }),
            Err(e) => {
                self.add(format!("{path}.rate"), text, e.to_string());
                None
            }
        }
    }

    /// A code without the points that people read it by.
    fn code(&mut self, path: &str, code: &str) -> String {
        let plain = code.replace('.', "");
        let digits = plain.bytes().all(|b| b.is_ascii_digit());
        if !digits || !matches!(plain.len(), 0 | 2..=10) {
            let allowed =
                "2 to 10 digits, e.g. 0901.21; none for all that have no line of their own";
            self.add(format!("{path}.hs"), code, allowed);
        }
        plain
    }
}

/// A percentage of a base, exact.
pub(super) fn percent_of(base: Decimal, of: Decimal, over: u32) -> Option<Decimal> {
    let exact = crate::value::exact_mul(base, of)?;
    let exact = crate::value::exact_mul(exact, Decimal::new(1, 2))?;
    match over {
        1 => Some(exact),
        // Thirds don't end: 28 digits are beyond every minor unit, and no third lies half way between two of them.
        over => exact.checked_div(Decimal::from(over)),
    }
}
