//! Rulesets, and tariffs, which are rulesets without rules: versioned, effective-dated TOML documents with a time zone. They are statements, so the hub's log signs
//! them; their digest is SHA-256 of the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use ewtp_log::Hash;
use ewtp_log::hash::sha256;
use ewtp_proto::v1::{DecisionCode, Effect, Finding};
use ewtp_trade::act::codes_of;
use ewtp_trade::quantity::parse_decimal;
use iso_currency_code::is_currency;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::expression::Expression;
use crate::facts::DRAW;
use crate::tariff::{Charges, RawCharges, RawDuty, RawFixed, RawPreference, RawRelief, VatField};
use crate::value::Rates;

/// Longest ruleset, bytes: it must fit into a statement.
pub const RULESET_BYTES_MAX: usize = 200 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRuleset {
    #[serde(default = "default_kind")]
    kind: String,
    name: String,
    version: u32,
    visibility: String,
    territory: String,
    time_zone: String,
    valid_from: String,
    valid_until: Option<String>,
    currency: String,
    legal_basis: Option<String>,
    #[serde(default = "default_validity_days")]
    validity_days: u32,
    #[serde(default = "default_answer_hours")]
    answer_within_hours: u32,
    #[serde(default = "default_decide_hours")]
    decide_within_hours: u32,
    #[serde(default)]
    rate: Vec<RawRate>,
    valuation: Option<String>,
    lines: Option<String>,
    ioss_up_to: Option<String>,
    #[serde(default)]
    duty: Vec<RawDuty>,
    #[serde(default)]
    preference: Vec<RawPreference>,
    #[serde(default)]
    relief: Vec<RawRelief>,
    #[serde(default)]
    fixed: Vec<RawFixed>,
    #[serde(default)]
    vat: VatField,
    #[serde(default)]
    text: Vec<BTreeMap<String, String>>,
    #[serde(default)]
    rule: Vec<RawRule>,
    #[serde(default)]
    approval: Vec<RawApproval>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApproval {
    effect: String,
    codes: Vec<String>,
}

fn default_kind() -> String {
    "rules".to_owned()
}
const fn default_validity_days() -> u32 {
    30
}
const fn default_answer_hours() -> u32 {
    48
}
const fn default_decide_hours() -> u32 {
    24
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    currency: String,
    value: String,
    from: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    effect: String,
    applies: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
    when: String,
    then: String,
    reason: String,
    #[serde(default = "default_audience")]
    audience: String,
    #[serde(default)]
    params: BTreeMap<String, String>,
    ask: Option<String>,
    condition: Option<String>,
}

fn default_audience() -> String {
    "trader".to_owned()
}

/// What a rule does when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Decides this code, unless something weightier fires.
    Decide(DecisionCode),
    /// Asks the filer.
    Ask,
    /// Says what release still needs.
    Need,
    /// Gives a reason alone.
    Note,
}

/// Who may read a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The trader and authorities.
    Trader,
    /// Authorities only.
    Authority,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Unique within the ruleset.
    pub id: String,
    /// What it is about.
    pub effect: Effect,
    /// Filing types in lower case.
    pub applies: Vec<String>,
    /// Parts that it needs; outside the scope it says *insufficient scope*.
    pub needs: Vec<String>,
    /// Condition.
    pub when: Expression,
    /// What follows.
    pub then: Action,
    /// Reason code.
    pub reason: String,
    /// Who may read the reason.
    pub audience: Audience,
    /// Parameters: text with `{filing.field}`-free constants.
    pub params: BTreeMap<String, String>,
    /// Path of the element asked about.
    pub ask: Option<String>,
    /// Id of the condition that it imposes.
    pub condition: Option<String>,
}

/// A checked ruleset.
#[derive(Debug)]
pub struct Ruleset {
    /// Name.
    pub name: String,
    /// Version.
    pub version: u32,
    /// It says what is charged, and has no rules.
    pub is_tariff: bool,
    /// Only the agency and its auditors read it.
    pub confidential: bool,
    /// Country that it speaks for.
    pub territory: String,
    /// IANA name of its zone.
    pub time_zone_name: String,
    /// Its zone: days begin and end in it.
    pub time_zone: TimeZone,
    /// First day.
    pub valid_from: Date,
    /// Last day.
    pub valid_until: Option<Date>,
    /// Currency of estimates.
    pub currency: String,
    /// Law.
    pub legal_basis: String,
    /// Days that a decision holds.
    pub validity_days: u32,
    /// Hours that a filer has to answer.
    pub answer_within_hours: u32,
    /// Hours within which a decision is promised.
    pub decide_within_hours: u32,
    /// (currency, value of one unit, first day), as written.
    pub rates: Vec<(String, Decimal, Date)>,
    /// Charges.
    pub charges: Charges,
    /// Texts by code and language (BCP 47).
    pub texts: BTreeMap<String, BTreeMap<String, String>>,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// SHA-256 of the text.
    pub digest: Hash,
    /// Decisions by hand that a second officer has to approve.
    pub approvals: Vec<(Effect, DecisionCode)>,
    /// Looked up once: every decision asks.
    asks_for_recognition: bool,
}

mod iso_currency_code {
    use ewtp_trade::Money;

    pub(super) fn is_currency(code: &str) -> bool {
        Money::parse("0", code).is_ok()
    }
}

pub(crate) struct Faults(Vec<Finding>);

impl Faults {
    pub(crate) fn add(&mut self, path: impl Into<String>, value: &str, allowed: impl Into<String>) {
        self.0.push(Finding {
            code: "ruleset".into(),
            path: path.into(),
            value: value.chars().take(80).collect(),
            allowed: allowed.into(),
            fix: "correct the ruleset and publish it again".into(),
            ..Default::default()
        });
    }

    pub(crate) fn day(&mut self, path: &str, text: &str) -> Date {
        text.parse().unwrap_or_else(|_| {
            self.add(path, text, "a day as YYYY-MM-DD");
            Date::MIN
        })
    }

    pub(crate) fn decimal(&mut self, path: &str, text: &str) -> Decimal {
        parse_decimal(text).unwrap_or_else(|e| {
            self.add(path, text, e.to_string());
            Decimal::ZERO
        })
    }
}

impl Ruleset {
    /// Parses and checks a ruleset.
    ///
    /// # Errors
    /// Every fault, with its place and what is allowed.
    pub fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let mut faults = Faults(Vec::new());
        if text.len() > RULESET_BYTES_MAX {
            faults.add("", &text.len().to_string(), "at most 200 KiB");
            return Err(faults.0);
        }
        let raw: RawRuleset = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(e) => {
                faults.add("", "", format!("TOML of a ruleset: {e}"));
                return Err(faults.0);
            }
        };
        let ruleset = raw.check(sha256(&[text.as_bytes()]), &mut faults);
        if faults.0.is_empty() { Ok(ruleset) } else { Err(faults.0) }
    }

    /// The civil day of an instant in the ruleset's zone.
    #[must_use]
    pub fn day_of(&self, at_ms: i64) -> Date {
        jiff::Timestamp::from_millisecond(at_ms)
            .map_or(Date::MIN, |t| self.time_zone.to_datetime(t).date())
    }

    /// Whether it is in force on a day.
    #[must_use]
    pub fn in_force(&self, day: Date) -> bool {
        self.valid_from <= day && self.valid_until.is_none_or(|last| day <= last)
    }

    /// Rates of a day: of each currency the newest not after it.
    #[must_use]
    pub fn rates_on(&self, day: Date) -> Arc<Rates> {
        let mut newest: BTreeMap<&str, (Date, Decimal)> = BTreeMap::new();
        for (currency, value, from) in self.rates.iter().filter(|(_, _, from)| *from <= day) {
            let entry = newest.entry(currency).or_insert((*from, *value));
            if entry.0 <= *from {
                *entry = (*from, *value);
            }
        }
        let rates = newest.into_iter().map(|(c, (_, v))| (c.to_owned(), v)).collect();
        Arc::new(Rates { home: self.currency.clone(), rates })
    }

    /// Whether a rule looks at the random draw.
    #[must_use]
    pub fn draws(&self) -> bool {
        self.rules.iter().any(|r| r.when.mentions(DRAW))
    }

    /// Whether the rule of this id looks at the random draw.
    #[must_use]
    pub fn draws_by(&self, id: &str) -> bool {
        self.rules.iter().any(|r| r.id == id && r.when.mentions(DRAW))
    }

    /// Whether a rule asks for recognised facts.
    #[must_use]
    pub const fn asks_for_recognition(&self) -> bool {
        self.asks_for_recognition
    }

    /// Text of a reason in the first of `languages` that has one, else in English, else its code.
    #[must_use]
    pub fn render(
        &self,
        code: &str,
        params: &BTreeMap<String, String>,
        languages: &[&str],
    ) -> String {
        let Some(texts) = self.texts.get(code) else { return code.to_owned() };
        // BCP 47: who reads fr-BE reads fr.
        let primary = |l: &str| l.split('-').next().unwrap_or_default().to_owned();
        let of = |l: &&str| texts.get(*l).or_else(|| texts.get(&primary(l)));
        let wanted = languages.iter().find_map(of).or_else(|| texts.get("en"));
        let mut text =
            wanted.or_else(|| texts.values().next()).cloned().unwrap_or_else(|| code.to_owned());
        for (name, value) in params {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

impl RawRuleset {
    fn check(self, digest: Hash, faults: &mut Faults) -> Ruleset {
        let confidential = match self.visibility.as_str() {
            "public" => false,
            "confidential" => true,
            other => {
                faults.add("visibility", other, "public or confidential");
                false
            }
        };
        let name_ok = !self.name.is_empty()
            && self.name.len() <= 64
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !name_ok {
            faults.add("name", &self.name, "1-64 of a-z 0-9 -");
        }
        if self.version == 0 {
            faults.add("version", "0", "counts from 1");
        }
        let time_zone = TimeZone::get(&self.time_zone).unwrap_or_else(|_| {
            faults.add("time_zone", &self.time_zone, "an IANA name such as Europe/Brussels");
            TimeZone::UTC
        });
        if !is_currency(&self.currency) {
            faults.add("currency", &self.currency, "an ISO 4217 code");
        }
        let rates = self.rate.iter().enumerate().map(|(i, r)| {
            if !is_currency(&r.currency) {
                faults.add(format!("rate[{i}].currency"), &r.currency, "an ISO 4217 code");
            }
            let value = faults.decimal(&format!("rate[{i}].value"), &r.value);
            (r.currency.clone(), value, faults.day(&format!("rate[{i}].from"), &r.from))
        });
        let rates = rates.collect();
        let is_tariff = self.kind == "tariff";
        if !is_tariff && self.kind != "rules" {
            faults.add("kind", &self.kind, "rules or tariff");
        }
        if is_tariff && (confidential || !self.rule.is_empty()) {
            faults.add("kind", "tariff", "public, and without rules");
        }
        let charges = RawCharges {
            valuation: self.valuation,
            lines: self.lines,
            duty: self.duty,
            preference: self.preference,
            relief: self.relief,
            fixed: self.fixed,
            vat: self.vat.several(),
            ioss_up_to: self.ioss_up_to,
        };
        let charges = charges.check(&self.currency, faults);
        if is_tariff && charges.is_empty() {
            faults.add("lines", "", "at least one charge: lines, duty, fixed or vat");
        }
        let mut texts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (i, mut text) in self.text.into_iter().enumerate() {
            match text.remove("code") {
                Some(code) if !text.is_empty() => drop(texts.insert(code, text)),
                _ => faults.add(format!("text[{i}]"), "", "a code and at least one language"),
            }
        }
        let rules: Vec<Rule> = self
            .rule
            .into_iter()
            .enumerate()
            .filter_map(|(i, r)| r.check(i, confidential, &texts, faults))
            .collect();
        for (i, rule) in rules.iter().enumerate() {
            if rules.iter().take(i).any(|r| r.id == rule.id) {
                faults.add(format!("rule[{i}].id"), &rule.id, "each id once");
            }
        }
        let approvals =
            self.approval.into_iter().enumerate().flat_map(|(i, a)| a.check(i, faults)).collect();
        let asks_for_recognition = rules.iter().any(|r| r.when.asks_for_recognition());
        Ruleset {
            asks_for_recognition,
            valid_from: faults.day("valid_from", &self.valid_from),
            valid_until: self.valid_until.as_deref().map(|d| faults.day("valid_until", d)),
            name: self.name,
            version: self.version,
            is_tariff,
            confidential,
            territory: self.territory,
            time_zone_name: self.time_zone,
            time_zone,
            currency: self.currency,
            legal_basis: self.legal_basis.unwrap_or_default(),
            validity_days: self.validity_days,
            answer_within_hours: self.answer_within_hours,
            decide_within_hours: self.decide_within_hours,
            rates,
            charges,
            texts,
            rules,
            approvals,
            digest,
        }
    }
}

impl RawApproval {
    fn check(self, i: usize, faults: &mut Faults) -> Vec<(Effect, DecisionCode)> {
        let at = |field: &str| format!("approval[{i}].{field}");
        let name = self.effect.to_ascii_uppercase();
        let effect = Effect::from_str_name(&format!("EFFECT_{name}"));
        let Some(effect) = effect.filter(|e| *e != Effect::Unspecified) else {
            let allowed = "security, admissibility, fiscal or release";
            faults.add(at("effect"), &self.effect, allowed);
            return Vec::new();
        };
        let possible = codes_of(effect);
        let mut out = Vec::new();
        for code in &self.codes {
            match DecisionCode::from_str_name(&format!("DECISION_CODE_{code}")) {
                Some(known) if possible.contains(&known) => out.push((effect, known)),
                _ => {
                    let names = possible.iter().map(|c| c.as_str_name());
                    let names = names.map(|n| n.trim_start_matches("DECISION_CODE_"));
                    faults.add(at("codes"), code, names.collect::<Vec<_>>().join(", "));
                }
            }
        }
        if self.codes.is_empty() {
            faults.add(at("codes"), "", "at least one code");
        }
        out
    }
}

impl RawRule {
    fn check(
        self,
        i: usize,
        confidential: bool,
        texts: &BTreeMap<String, BTreeMap<String, String>>,
        faults: &mut Faults,
    ) -> Option<Rule> {
        let at = |field: &str| format!("rule[{i}] {}: {field}", self.id);
        let effect = match self.effect.as_str() {
            "security" => Effect::Security,
            "admissibility" => Effect::Admissibility,
            "fiscal" => Effect::Fiscal,
            other => {
                faults.add(at("effect"), other, "security, admissibility or fiscal");
                Effect::Unspecified
            }
        };
        for kind in self
            .applies
            .iter()
            .filter(|k| !matches!(k.as_str(), "export" | "advance" | "transit" | "import"))
        {
            faults.add(at("applies"), kind, "export, advance, transit, import");
        }
        for part in
            self.needs.iter().filter(|p| !matches!(p.as_str(), "parties" | "goods" | "value"))
        {
            faults.add(at("needs"), part, "parties, goods, value");
        }
        let then = match self.then.as_str() {
            "ASK" => Action::Ask,
            "NEED" => Action::Need,
            "NOTE" => Action::Note,
            code => match DecisionCode::from_str_name(&format!("DECISION_CODE_{code}")) {
                Some(code) if crate::decide::weight(code).is_some() => Action::Decide(code),
                _ => {
                    faults.add(
                        at("then"),
                        code,
                        "ASK, NEED, NOTE or a code such as CLEAR, PHYS_CONTROL, HOLD, DNL",
                    );
                    Action::Note
                }
            },
        };
        let audience = match self.audience.as_str() {
            "trader" => Audience::Trader,
            "authority" => Audience::Authority,
            other => {
                faults.add(at("audience"), other, "trader or authority");
                Audience::Authority
            }
        };
        if then == Action::Ask && (audience == Audience::Authority || confidential) {
            faults.add(
                at("then"),
                "ASK",
                "in public rules for traders only: a question reaches the trader",
            );
        }
        if !texts.contains_key(&self.reason) {
            faults.add(at("reason"), &self.reason, "a code that a [[text]] has");
        }
        let conditional = then == Action::Decide(DecisionCode::ClearConditional);
        if conditional != self.condition.is_some() {
            let allowed = "the id of a condition with CLEAR_CONDITIONAL, and only with it";
            faults.add(at("condition"), self.condition.as_deref().unwrap_or_default(), allowed);
        }
        if conditional && (audience == Audience::Authority || confidential) {
            let allowed = "in public rules for traders only: who has to meet it must know it";
            faults.add(at("condition"), self.condition.as_deref().unwrap_or_default(), allowed);
        }
        let when = match Expression::compile(&self.when) {
            Ok(when) => when,
            Err(e) => {
                faults.add(at("when"), &self.when, e.to_string());
                return None;
            }
        };
        if !confidential && when.mentions(DRAW) {
            faults.add(at("when"), DRAW, "the draw in confidential rulesets only");
        }
        Some(Rule {
            id: self.id.clone(),
            effect,
            applies: self.applies,
            needs: self.needs,
            when,
            then,
            reason: self.reason,
            audience,
            params: self.params,
            ask: self.ask,
            condition: self.condition,
        })
    }
}
