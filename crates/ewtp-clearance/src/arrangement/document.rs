//! Reads an arrangement's document: TOML with every fault told.

use ewtp_log::{Hash, HubId};
use ewtp_proto::v1::Finding;
use ewtp_trade::Money;
use ewtp_trade::finding::{Say, finding};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{
    Arrangement, FactKind, HsRange, Identifier, Recognition, RecognitionEffect, Threshold, Tier,
};

/// Most lines of one sort in a document.
const LINES_MAX: usize = 200;
/// Most bytes of a text in it.
const TEXT_BYTES_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    between: Vec<String>,
    number: u64,
    #[serde(default)]
    previous: String,
    title: String,
    legal_reference: String,
    time_zone: String,
    valid_from: String,
    valid_until: Option<String>,
    #[serde(default)]
    data_scope: Vec<String>,
    #[serde(default)]
    recognition: Vec<RawRecognition>,
    #[serde(default)]
    tier: Vec<RawTier>,
    #[serde(default)]
    identifier: Vec<RawIdentifier>,
    #[serde(default)]
    threshold: Vec<RawThreshold>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecognition {
    id: String,
    by: String,
    kind: String,
    effects: Vec<String>,
    #[serde(default)]
    hs: Vec<String>,
    #[serde(default)]
    tiers: Vec<String>,
    value_up_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTier {
    of: String,
    category: String,
    tier: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIdentifier {
    of: String,
    certified: String,
    filed: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawThreshold {
    by: String,
    kind: String,
    checked_at_least: u32,
    false_permille: u32,
}

pub(super) struct Faults(pub(super) Vec<Finding>);

impl Faults {
    pub(super) fn add(&mut self, path: &str, value: &str, allowed: &str) {
        let fix = "correct the document and propose it again";
        self.0.push(finding(path, value, Say { code: "arrangement", allowed, fix }));
    }

    fn hub(&mut self, path: &str, text: &str, between: &[HubId]) -> Option<HubId> {
        let found = between.iter().find(|h| h.as_str() == text).cloned();
        if found.is_none() {
            let names: Vec<&str> = between.iter().map(HubId::as_str).collect();
            self.add(path, text, &format!("one of {}", names.join(", ")));
        }
        found
    }

    fn kind(&mut self, path: &str, text: &str) -> Option<FactKind> {
        let found = FactKind::by_name(text);
        if found.is_none() {
            let names: Vec<&str> = FactKind::ALL.into_iter().map(FactKind::name).collect();
            self.add(path, text, &format!("one of {}", names.join(", ")));
        }
        found
    }

    fn day(&mut self, path: &str, text: &str) -> Option<Date> {
        let day = text.parse().ok();
        if day.is_none() {
            self.add(path, text, "a day as YYYY-MM-DD");
        }
        day
    }

    fn text(&mut self, path: &str, text: &str) {
        let said = !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX;
        if !said || text.chars().any(char::is_control) {
            self.add(path, text, "one line of 1 to 500 bytes");
        }
    }
}

impl Raw {
    pub(super) fn check(self, digest: Hash, faults: &mut Faults) -> Option<Arrangement> {
        let hubs: Vec<HubId> = self.between.iter().filter_map(|h| h.parse().ok()).collect();
        let between = match <[HubId; 2]>::try_from(hubs) {
            Ok([a, b]) if a < b && self.between.len() == 2 => [a, b],
            _ => {
                faults.add("between", &self.between.join(", "), "two hubs, the smaller id first");
                return None;
            }
        };
        if self.number == 0 {
            faults.add("number", "0", "counts from 1");
        }
        let previous = match self.previous.as_str() {
            "" => None,
            hex => Hash::from_hex(hex),
        };
        if (self.number > 1) != previous.is_some()
            || (self.number == 1 && !self.previous.is_empty())
        {
            let allowed = "SHA-256 of the document before in hex; nothing in the first";
            faults.add("previous", &self.previous, allowed);
        }
        faults.text("title", &self.title);
        faults.text("legal_reference", &self.legal_reference);
        let time_zone = TimeZone::get(&self.time_zone).ok();
        if time_zone.is_none() {
            faults.add("time_zone", &self.time_zone, "an IANA name such as Africa/Nairobi");
        }
        let valid_from = faults.day("valid_from", &self.valid_from);
        let valid_until = self.valid_until.as_deref().and_then(|d| faults.day("valid_until", d));
        if let (Some(from), Some(until)) = (valid_from, valid_until)
            && until < from
        {
            faults.add("valid_until", &until.to_string(), "a day not before valid_from");
        }
        for part in
            self.data_scope.iter().filter(|p| !matches!(p.as_str(), "parties" | "goods" | "value"))
        {
            faults.add("data_scope", part, "parties, goods, value; core is always shown");
        }
        for (name, lines) in [
            ("recognition", self.recognition.len()),
            ("tier", self.tier.len()),
            ("identifier", self.identifier.len()),
            ("threshold", self.threshold.len()),
        ] {
            if lines > LINES_MAX {
                faults.add(name, &lines.to_string(), "at most 200");
                return None;
            }
        }
        if self.recognition.is_empty() {
            faults.add("recognition", "0", "at least one line: without, nothing is recognised");
        }
        let tiers = tiers(self.tier, &between, faults);
        let recognitions = recognitions(self.recognition, &between, &tiers, faults);
        let identifiers = identifiers(self.identifier, &between, faults);
        let thresholds = thresholds(self.threshold, &between, faults);
        Some(Arrangement {
            number: self.number,
            previous,
            title: self.title,
            legal_reference: self.legal_reference,
            time_zone_name: self.time_zone,
            time_zone: time_zone?,
            valid_from: valid_from?,
            valid_until,
            data_scope: self.data_scope.into_iter().collect(),
            recognitions,
            tiers,
            identifiers,
            thresholds,
            digest,
            between,
        })
    }
}

fn recognitions(
    raw: Vec<RawRecognition>,
    between: &[HubId],
    tiers: &[Tier],
    faults: &mut Faults,
) -> Vec<Recognition> {
    let mut out: Vec<Recognition> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = |field: &str| format!("recognition[{i}].{field}");
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let named = (1..=64).contains(&raw.id.len()) && raw.id.bytes().all(plain);
        if !named || out.iter().any(|r| r.id == raw.id) {
            faults.add(&at("id"), &raw.id, "1-64 of a-z 0-9 -, each once");
        }
        let by = faults.hub(&at("by"), &raw.by, between);
        let kind = faults.kind(&at("kind"), &raw.kind);
        let mut effects = Vec::new();
        for effect in &raw.effects {
            match RecognitionEffect::parse(effect) {
                Some(effect) => effects.push(effect),
                None => faults.add(
                    &at("effects"),
                    effect,
                    "note, lower_risk_score(1 to 1000), priority, waive_documents, waive_scan, waive_physical",
                ),
            }
        }
        if raw.effects.is_empty() {
            faults.add(&at("effects"), "", "at least one effect");
        }
        let mut hs = Vec::new();
        for range in &raw.hs {
            match HsRange::parse(range) {
                Some(range) => hs.push(range),
                None => faults.add(&at("hs"), range, "2 to 10 digits, or a range of two such"),
            }
        }
        if !raw.tiers.is_empty() && kind.is_some_and(|k| k != FactKind::Aeo) {
            faults.add(&at("tiers"), &raw.tiers.join(", "), "tiers in lines of kind aeo alone");
        }
        for tier in raw.tiers.iter().filter(|t| !tiers.iter().any(|known| known.tier == **t)) {
            faults.add(&at("tiers"), tier, "a tier that a [[tier]] of the document names");
        }
        let value_up_to = raw.value_up_to.as_deref().and_then(|text| {
            let money = text.split_once(' ').and_then(|(n, c)| Money::parse(n, c).ok());
            if money.is_none() {
                faults.add(&at("value_up_to"), text, "an amount and a currency, e.g. 10000 EUR");
            }
            money
        });
        if let (Some(by), Some(kind)) = (by, kind) {
            out.push(Recognition {
                id: raw.id,
                by,
                kind,
                effects,
                hs,
                tiers: raw.tiers,
                value_up_to,
            });
        }
    }
    out
}

fn tiers(raw: Vec<RawTier>, between: &[HubId], faults: &mut Faults) -> Vec<Tier> {
    let mut out: Vec<Tier> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        faults.text(&format!("tier[{i}].category"), &raw.category);
        faults.text(&format!("tier[{i}].tier"), &raw.tier);
        let Some(of) = faults.hub(&format!("tier[{i}].of"), &raw.of, between) else { continue };
        if out.iter().any(|t| t.of == of && t.category == raw.category) {
            faults.add(
                &format!("tier[{i}].category"),
                &raw.category,
                "each category of a hub once",
            );
        }
        out.push(Tier { of, category: raw.category, tier: raw.tier });
    }
    out
}

fn identifiers(raw: Vec<RawIdentifier>, between: &[HubId], faults: &mut Faults) -> Vec<Identifier> {
    let mut out = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = |field: &str| format!("identifier[{i}].{field}");
        faults.text(&at("certified"), &raw.certified);
        faults.text(&at("filed"), &raw.filed);
        let stars = |t: &str| t.matches('*').count();
        let ends = |t: &str| t.find('*').is_none_or(|star| star + 1 == t.len());
        let fits = stars(&raw.certified) == stars(&raw.filed) && stars(&raw.filed) <= 1;
        if !fits || !ends(&raw.certified) || !ends(&raw.filed) {
            faults.add(&at("filed"), &raw.filed, "both with one * at the end, or both without");
        }
        if let Some(of) = faults.hub(&at("of"), &raw.of, between) {
            out.push(Identifier { of, certified: raw.certified, filed: raw.filed });
        }
    }
    out
}

fn thresholds(raw: Vec<RawThreshold>, between: &[HubId], faults: &mut Faults) -> Vec<Threshold> {
    let mut out: Vec<Threshold> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = |field: &str| format!("threshold[{i}].{field}");
        if raw.checked_at_least == 0 {
            faults.add(&at("checked_at_least"), "0", "at least 1");
        }
        if raw.false_permille >= 1000 {
            faults.add(&at("false_permille"), &raw.false_permille.to_string(), "0 to 999");
        }
        let by = faults.hub(&at("by"), &raw.by, between);
        let kind = faults.kind(&at("kind"), &raw.kind);
        if let (Some(by), Some(kind)) = (by, kind) {
            if out.iter().any(|t| (&t.by, t.kind) == (&by, kind)) {
                faults.add(&at("kind"), kind.name(), "each kind of a hub once");
            }
            let (checked_at_least, false_permille) = (raw.checked_at_least, raw.false_permille);
            out.push(Threshold { by, kind, checked_at_least, false_permille });
        }
    }
    out
}
