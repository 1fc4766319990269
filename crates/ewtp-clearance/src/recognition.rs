//! Recognition: which facts that another hub established count here, by the arrangement that governs, and the functions by which
//! rules ask for them.
//!
//! Rules speak of recognition through these functions alone, so that the same ruleset run without the facts says what would have been
//! decided otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use cel::{Context, ExecutionError};
use ewtp_log::{Hash, HubId};
use ewtp_proto::v1;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::arrangement::{Arrangement, FactKind, HsRange, Recognition, RecognitionEffect};
use crate::facts::{Fact, Facts};
use crate::value::{Rates, exact_add, exact_mul, exact_sub, unit_factor};

/// A fact that another hub established, as this hub holds it.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// What it is.
    pub kind: FactKind,
    /// Hub that said it.
    pub hub: HubId,
    /// Commitment of its statement.
    pub statement: Hash,
    /// Index in that hub's log.
    pub log_index: u64,
    /// Goods that it is about; all of the case's if empty.
    pub goods: Vec<Goods>,
    /// Places of the items for which it is cited, from 0; `None` where it is for all.
    pub cited_for: Option<BTreeSet<usize>>,
    /// Operator that it is about, as certified, and the category.
    pub operator: Option<(String, String)>,
    /// Certificate that it stands in; empty if in none.
    pub certificate: String,
}

/// Goods that a fact is about.
#[derive(Clone, Debug)]
pub struct Goods {
    /// Commodity codes.
    pub hs: HsRange,
    /// Country of origin; any if empty.
    pub origin: String,
    /// At most so much, with its unit.
    pub most: Option<(Decimal, String)>,
}

impl Goods {
    /// Whether an item is such goods, however much of them.
    fn are(&self, item: &BTreeMap<String, Fact>) -> bool {
        let origin = self.origin.is_empty() || text(item.get("origin")) == self.origin;
        self.hs.covers(text(item.get("hs"))) && origin
    }
}

/// Which items goods cover: each line as far as its quantity goes, in the order of the items. What isn't known of an item isn't covered.
fn covered_by<'a>(
    goods: &[Goods],
    items: impl Iterator<Item = &'a BTreeMap<String, Fact>>,
) -> Vec<&'a BTreeMap<String, Fact>> {
    let mut left: Vec<_> = goods.iter().map(|g| g.most.clone()).collect();
    let mut takes = |item: &BTreeMap<String, Fact>| {
        goods.iter().zip(&mut left).filter(|(g, _)| g.are(item)).any(|(_, left)| {
            let Some((left, unit)) = left else { return true };
            let rest = quantity(item, unit).and_then(|q| exact_sub(*left, q));
            rest.filter(|rest| *rest >= Decimal::ZERO).map(|rest| *left = rest).is_some()
        })
    };
    items.filter(|item| takes(item)).collect()
}

/// How much of each line items ask for; `None` where one of them doesn't say it in the line's unit. Goods that are in no line ask for
/// nothing. Of several lines that an item fits the first is taken that has room, else the last.
#[must_use]
pub fn asked_of<'a>(
    lines: &[Goods],
    items: impl Iterator<Item = &'a BTreeMap<String, Fact>>,
) -> Option<Vec<Decimal>> {
    let mut asked = vec![Decimal::ZERO; lines.len()];
    for item in items {
        let mut chosen = None;
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.are(item)) {
            let (most, unit) = line.most.as_ref()?;
            let sum = exact_add(asked[at], quantity(item, unit)?)?;
            chosen = Some((at, sum));
            if sum <= *most {
                break;
            }
        }
        if let Some((at, sum)) = chosen {
            asked[at] = sum;
        }
    }
    Some(asked)
}

/// How much an item is in a unit: by its quantity, else by its net or gross mass.
fn quantity(item: &BTreeMap<String, Fact>, unit: &str) -> Option<Decimal> {
    let stated = match item.get("quantity") {
        Some(Fact::Quantity { value, unit: of }) => {
            unit_factor(of, unit).and_then(|f| exact_mul(value.parse().ok()?, f))
        }
        _ => None,
    };
    let mass = |name: &str| match item.get(name) {
        Some(Fact::Mass { kg }) => {
            unit_factor("KGM", unit).and_then(|f| exact_mul(kg.parse().ok()?, f))
        }
        _ => None,
    };
    stated.or_else(|| mass("net_mass")).or_else(|| mass("gross_mass"))
}

/// A fact that counts here. It stands among the facts of a decision, so that a replay sees it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recognised {
    /// Kind, as documents name it.
    pub kind: String,
    /// Effects, as documents name them.
    pub effects: Vec<String>,
    /// Numbers of the items that it covers.
    pub items: Vec<i64>,
    /// Operator, as filings name it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator: Vec<String>,
    /// Tier of the operator, as the document calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tier: String,
    /// Hub that said it.
    pub hub: String,
    /// Commitment of its statement, hex.
    pub statement: String,
    /// Index in that hub's log.
    pub log_index: u64,
    /// Digest of the arrangement's document, hex.
    pub arrangement: String,
    /// Its number.
    pub document: u64,
    /// Line of the document.
    pub line: String,
    /// Certificate that it stands in; empty if in none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate: String,
}

impl Recognised {
    /// As a decision names it. Who the operator is stands in the filing, for those who see it.
    #[must_use]
    pub fn named(&self) -> v1::RecognisedFact {
        let bytes = |hex: &str| Hash::from_hex(hex).map(|h| h.0.to_vec()).unwrap_or_default();
        v1::RecognisedFact {
            kind: self.kind.clone(),
            effects: self.effects.clone(),
            items: self.items.iter().filter_map(|n| u32::try_from(*n).ok()).collect(),
            hub: self.hub.clone(),
            statement: bytes(&self.statement),
            log_index: self.log_index,
            arrangement: bytes(&self.arrangement),
            document: self.document,
            line: self.line.clone(),
            certificate_id: self.certificate.clone(),
        }
    }
}

/// Which foreign facts count for a filing, by the document that governs between the two hubs. Lines that are another hub's, other goods,
/// larger values, other tiers, and filings of which less was shown than the document says, recognise nothing.
#[must_use]
pub fn recognise(
    document: &Arrangement,
    me: &HubId,
    foreign: &[Foreign],
    facts: &Facts,
    rates: &Rates,
) -> Vec<Recognised> {
    if document.data_scope.iter().any(|part| !facts.scope.contains(part)) {
        return Vec::new();
    }
    let lines = document.recognitions.iter().filter(|line| line.by == *me);
    let lines = lines.filter(|line| within_ceiling(line, facts, rates));
    let counted = lines.flat_map(|line| {
        let same = foreign.iter().filter(|fact| fact.kind == line.kind);
        same.filter_map(move |fact| counts(document, line, fact, facts))
    });
    counted.collect()
}

fn counts(
    document: &Arrangement,
    line: &Recognition,
    fact: &Foreign,
    facts: &Facts,
) -> Option<Recognised> {
    let within = |ranges: &[HsRange], code: &str| {
        ranges.is_empty() || ranges.iter().any(|range| range.covers(code))
    };
    let cited = |at: usize| fact.cited_for.as_ref().is_none_or(|places| places.contains(&at));
    let items = facts.items.iter().enumerate().filter(|(at, _)| cited(*at)).map(|(_, item)| item);
    let about = items.filter(|item| within(&line.hs, text(item.get("hs"))));
    let theirs = match fact.goods.as_slice() {
        [] => about.collect(),
        goods => covered_by(goods, about),
    };
    let items: Vec<i64> = theirs
        .into_iter()
        .filter_map(|item| match item.get("number") {
            Some(Fact::Count(number)) => Some(*number),
            _ => None,
        })
        .collect();
    if items.is_empty() {
        return None;
    }
    let (mut operator, mut tier) = (Vec::new(), String::new());
    if let Some((certified, category)) = &fact.operator {
        operator = document.filed_as(&fact.hub, certified);
        tier = document.tier_of(&fact.hub, category).unwrap_or_default().to_owned();
        if !line.tiers.is_empty() && !line.tiers.contains(&tier) {
            return None;
        }
    }
    Some(Recognised {
        kind: line.kind.name().to_owned(),
        effects: line.effects.iter().map(ToString::to_string).collect(),
        items,
        operator,
        tier,
        hub: fact.hub.to_string(),
        statement: fact.statement.to_hex(),
        log_index: fact.log_index,
        arrangement: document.digest.to_hex(),
        document: document.number,
        line: line.id.clone(),
        certificate: fact.certificate.clone(),
    })
}

fn text(fact: Option<&Fact>) -> &str {
    match fact {
        Some(Fact::Text(text)) => text,
        _ => "",
    }
}

/// Whether a consignment is worth no more than a line allows. What it is worth has to be known.
fn within_ceiling(line: &Recognition, facts: &Facts, rates: &Rates) -> bool {
    let Some(ceiling) = line.value_up_to else { return true };
    let home = |amount: Decimal, currency: &str| rates.to_home(amount, currency);
    let most = home(ceiling.amount(), ceiling.code());
    let of = |fact: &Fact| match fact {
        Fact::Money { amount, currency } => home(amount.parse().ok()?, currency),
        _ => None,
    };
    let items = facts
        .items
        .iter()
        .map(|item| of(item.get("value")?))
        .try_fold(Decimal::ZERO, |sum, next| sum.checked_add(next?))
        .filter(|_| !facts.items.is_empty());
    // Of the total and the sum of the items the larger: neither makes the other smaller.
    let total = facts.filing.get("invoice_total").map(of);
    let worth = match (total, items) {
        (Some(total), Some(items)) => total.map(|total| total.max(items)),
        (Some(total), None) => total,
        (None, items) => items,
    };
    matches!((worth, most), (Some(worth), Some(most)) if worth <= most)
}

/// Names of the functions by which rules ask for recognised facts.
pub const FUNCTIONS: &[&str] = &["recognised", "recognised_for", "aeo", "risk_relief"];

/// Which facts were asked for and found, by their place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<Mutex<BTreeSet<usize>>>);

impl Asked {
    /// Those since it was asked last.
    pub(crate) fn take(&self) -> BTreeSet<usize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn found(&self, places: impl Iterator<Item = usize>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(places);
    }
}

/// A recognised fact as functions see it.
struct Known {
    kind: String,
    effects: Vec<RecognitionEffect>,
    items: BTreeSet<i64>,
    operator: Vec<String>,
}

/// Adds the functions to a context.
pub(crate) fn register(context: &mut Context<'_, '_>, facts: &Facts, asked: &Asked) {
    let known: Arc<Vec<Known>> = Arc::new(facts.recognised.iter().map(known).collect());
    let all: Arc<Vec<i64>> = Arc::new(
        facts
            .items
            .iter()
            .filter_map(|item| match item.get("number") {
                Some(Fact::Count(number)) => Some(*number),
                _ => None,
            })
            .collect(),
    );
    let (facts, found) = (Arc::clone(&known), asked.clone());
    // Names of ours are not the standard library's (a test calls each of them).
    let _ = context.add_function("recognised", move |kind: Arc<String>, effect: Arc<String>| {
        covered(&facts, &found, &kind, &effect, &all)
    });
    let (facts, found) = (Arc::clone(&known), asked.clone());
    let _ = context.add_function(
        "recognised_for",
        move |item: i64, kind: Arc<String>, effect: Arc<String>| {
            covered(&facts, &found, &kind, &effect, &[item])
        },
    );
    let (facts, found) = (Arc::clone(&known), asked.clone());
    let _ = context.add_function("aeo", move |party: Arc<String>| {
        let of = |(at, fact): (usize, &Known)| {
            (fact.kind == FactKind::Aeo.name() && fact.operator.contains(&party)).then_some(at)
        };
        let places: Vec<usize> = facts.iter().enumerate().filter_map(of).collect();
        found.found(places.iter().copied());
        !places.is_empty()
    });
    let found = asked.clone();
    let _ = context.add_function("risk_relief", move || {
        let points = |fact: &Known| fact.effects.iter().map(|e| points(*e)).max().unwrap_or(0);
        found.found(known.iter().enumerate().filter(|(_, f)| points(f) > 0).map(|(at, _)| at));
        // Of several facts of a kind the best counts.
        let kinds: BTreeSet<&str> = known.iter().map(|f| f.kind.as_str()).collect();
        let best = |kind: &&str| known.iter().filter(|f| f.kind == **kind).map(points).max();
        kinds.iter().filter_map(best).sum::<i64>()
    });
}

const fn points(effect: RecognitionEffect) -> i64 {
    match effect {
        RecognitionEffect::LowerRiskScore(points) => points as i64,
        _ => 0,
    }
}

fn known(fact: &Recognised) -> Known {
    Known {
        kind: fact.kind.clone(),
        effects: fact.effects.iter().filter_map(|e| RecognitionEffect::parse(e)).collect(),
        items: fact.items.iter().copied().collect(),
        operator: fact.operator.clone(),
    }
}

/// Whether facts of a kind with an effect cover all these items.
fn covered(
    facts: &[Known],
    asked: &Asked,
    kind: &str,
    effect: &str,
    items: &[i64],
) -> Result<bool, ExecutionError> {
    let unknown = |what: &str, known: &[&str]| {
        let message = format!("no {what}; known: {}", known.join(", "));
        ExecutionError::function_error("recognised", message)
    };
    if FactKind::by_name(kind).is_none() {
        return Err(unknown(kind, &FactKind::ALL.map(FactKind::name)));
    }
    if !RecognitionEffect::NAMES.contains(&effect) {
        return Err(unknown(effect, &RecognitionEffect::NAMES));
    }
    let such: Vec<(usize, &Known)> = facts
        .iter()
        .enumerate()
        .filter(|(_, f)| f.kind == kind && f.effects.iter().any(|e| e.name() == effect))
        .collect();
    let all = items.iter().all(|item| such.iter().any(|(_, f)| f.items.contains(item)));
    if all && !items.is_empty() {
        let helps = |f: &Known| items.iter().any(|item| f.items.contains(item));
        asked.found(such.iter().filter(|(_, f)| helps(f)).map(|(at, _)| *at));
    }
    Ok(all && !items.is_empty())
}
