//! What other hubs established: when it counts, what rules make of it, and what they would have said without.

use std::sync::Arc;

use ewtp_clearance::arrangement::{Arrangement, FactKind, HsRange};
use ewtp_clearance::decide::Without;
use ewtp_clearance::recognition::{Foreign, Goods, Recognised, recognise};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::hash::sha256;
use ewtp_proto::v1::{DecisionCode, Effect};

use crate::{LAST_OF_JUNE_MS, decided, filing, run};

const RULES: &str = r#"
name = "recognising"
version = 1
visibility = "public"
territory = "BE"
time_zone = "Europe/Brussels"
valid_from = "2026-01-01"
currency = "EUR"
[[rate]]
currency = "USD"
value = "0.92"
from = "2026-01-01"
[[text]]
code = "COFFEE"
en = "Coffee is examined"
[[text]]
code = "SCORE"
en = "Risk"
[[text]]
code = "OPERATOR"
en = "From an authorised operator"
[[rule]]
id = "R1"
effect = "security"
applies = ["advance"]
when = "items.exists(i, i.hs.startsWith('09')) && !recognised('inspection', 'waive_physical')"
then = "PHYS_CONTROL"
reason = "COFFEE"
[[rule]]
id = "R2"
effect = "admissibility"
applies = ["advance"]
when = "50 - risk_relief() > 40"
then = "DOC_CONTROL"
reason = "SCORE"
[[rule]]
id = "R3"
effect = "admissibility"
applies = ["advance"]
when = "has(filing.exporter_id) && aeo(filing.exporter_id)"
then = "NOTE"
reason = "OPERATOR"
"#;

fn document() -> Arrangement {
    let text = include_str!("../../../../samples/arrangement-be-ke.toml");
    Arrangement::parse(text).unwrap()
}

fn coffee(usd: &str) -> Facts {
    let mut coffee = filing("090111", "Coffee, green", usd);
    coffee.core.as_mut().unwrap().exporter_id = "KEP051234567X".into();
    Facts::of_filing(&coffee, LAST_OF_JUNE_MS, std::collections::BTreeMap::new())
}

fn foreign(kind: FactKind, operator: Option<(&str, &str)>) -> Foreign {
    Foreign {
        cited_for: None,
        kind,
        hub: "KE".parse().unwrap(),
        statement: sha256(&[kind.name().as_bytes()]),
        log_index: 7,
        goods: Vec::new(),
        operator: operator.map(|(id, category)| (id.to_owned(), category.to_owned())),
        certificate: String::new(),
    }
}

fn counted(facts: &Facts, foreign: &[Foreign]) -> Vec<Recognised> {
    let ruleset = Ruleset::parse(RULES).unwrap();
    let rates = Arc::unwrap_or_clone(ruleset.rates_on(ruleset.day_of(facts.at_ms)));
    recognise(&document(), &"BE".parse().unwrap(), foreign, facts, &rates)
}

#[test]
fn a_fact_relieves_where_the_document_says_so_and_the_decision_says_what_else_it_would_be() {
    let ruleset = Ruleset::parse(RULES).unwrap();
    let facts = coffee("4210.55");
    let all = decided(run(&facts, &ruleset, None));
    let security = &all[&(Effect::Security as i32)];
    assert_eq!((security.code, security.without.clone()), (DecisionCode::PhysControl, None));
    assert!(security.relied_upon.is_empty());

    let mut known = facts.clone();
    let inspected = foreign(FactKind::Inspection, None);
    let operator = foreign(FactKind::Aeo, Some(("P051234567X", "AEO-S")));
    known.recognised = counted(&facts, &[inspected, operator]);
    assert_eq!(known.recognised.len(), 2);
    let all = decided(run(&known, &ruleset, None));
    let security = &all[&(Effect::Security as i32)];
    assert_eq!(security.code, DecisionCode::Clear);
    let relied = &security.relied_upon[0];
    assert_eq!((relied.line.as_str(), relied.items.as_slice()), ("coffee-inspection", &[1][..]));
    assert_eq!(relied.arrangement, document().digest.to_hex());
    let without = Without::Decided(DecisionCode::PhysControl, vec!["R1".into()]);
    assert_eq!(security.without, Some(without));
    let admissibility = &all[&(Effect::Admissibility as i32)];
    assert_eq!(
        (admissibility.code, admissibility.rules_fired.as_slice()),
        (DecisionCode::Clear, &["R3".to_owned()][..])
    );
    let without = Without::Decided(DecisionCode::DocControl, vec!["R2".into()]);
    assert_eq!((admissibility.relied_upon.len(), &admissibility.without), (1, &Some(without)));
    // What is replayed from the facts' JSON is the same.
    let again = Facts::from_json(&known.to_json()).unwrap();
    assert_eq!(run(&again, &ruleset, None), run(&known, &ruleset, None));
    // Facts without recognition read as before.
    assert!(!String::from_utf8(facts.to_json()).unwrap().contains("recognised"));
}

#[test]
fn what_the_document_does_not_cover_does_not_count() {
    let inspected = || foreign(FactKind::Inspection, None);
    let count = |facts: &Facts, fact: Foreign| counted(facts, &[fact]).len();
    let facts = coffee("4210.55");
    assert_eq!(count(&facts, inspected()), 1);
    // 21,739.13 USD are 20,000.00 EUR; a cent more is too much.
    assert_eq!(count(&coffee("21739.13"), inspected()), 1);
    assert_eq!(count(&coffee("21739.14"), inspected()), 0, "above the ceiling");
    let mut tea = facts.clone();
    tea.items[0].insert("hs".into(), ewtp_clearance::facts::Fact::Text("090300".into()));
    assert_eq!(count(&tea, inspected()), 0, "other goods");
    let about = |hs: &str, origin: &str, most: Option<(&str, &str)>| {
        let mut fact = inspected();
        fact.goods = vec![Goods {
            hs: HsRange::parse(hs).unwrap(),
            origin: origin.into(),
            most: most.map(|(value, unit)| (value.parse().unwrap(), unit.into())),
        }];
        fact
    };
    assert_eq!(count(&facts, about("06-14", "", None)), 1);
    assert_eq!(count(&facts, about("2101", "", None)), 0, "the fact is about other goods");
    assert_eq!(count(&facts, about("0901", "KE", Some(("6000", "KGM")))), 1, "6 t are 6000 kg");
    assert_eq!(count(&facts, about("0901", "KE", Some(("5999", "KGM")))), 0, "more than it says");
    assert_eq!(count(&facts, about("0901", "UG", None)), 0, "of another origin");
    assert_eq!(count(&facts, about("0901", "", Some(("6", "LTR")))), 0, "in no unit that is known");
    let mut understated = coffee("21739.14");
    let total =
        ewtp_clearance::facts::Fact::Money { amount: "1.00".into(), currency: "USD".into() };
    understated.filing.insert("invoice_total".into(), total);
    assert_eq!(count(&understated, inspected()), 0, "the items are worth more than the total says");
    let untiered = foreign(FactKind::Aeo, Some(("P051234567X", "AEO-C")));
    assert_eq!(count(&facts, untiered), 0, "a category that the document gives no such tier");
    assert_eq!(count(&facts, foreign(FactKind::Licence, None)), 0, "a kind without a line");
    assert_eq!(count(&facts, foreign(FactKind::ExportControl, None)), 0, "the other's line");
    let mut narrow = facts.clone();
    narrow.scope.retain(|part| part != "value");
    assert_eq!(count(&narrow, inspected()), 0, "less was shown than the document says");
    let mut unpriced = facts;
    unpriced.filing.remove("invoice_total");
    unpriced.items[0].remove("value");
    assert_eq!(count(&unpriced, inspected()), 0, "nobody knows what it is worth");
}

#[test]
fn rules_ask_for_recognition_by_its_functions_alone() {
    let with = |when: &str| {
        let text = RULES.replace("50 - risk_relief() > 40", when);
        Ruleset::parse(&text).map(|r| r.asks_for_recognition())
    };
    for when in [
        "recognised_for(items[0].number, 'licence', 'note')",
        "recognised('origin', 'waive_documents')",
        "aeo('X')",
        "risk_relief() == 0",
    ] {
        assert_eq!(with(when), Ok(true), "{when}");
    }
    for when in ["recognised.size() > 0", "arrangement == ''", "filing.recognised == 1"] {
        assert!(with(when).is_err(), "{when}");
    }
    // A kind or effect that doesn't exist is an officer's task, never a no.
    for when in ["recognised('inspections', 'note')", "recognised('inspection', 'waive')"] {
        let text = RULES.replace("50 - risk_relief() > 40", when);
        let outcome = run(&coffee("1"), &Ruleset::parse(&text).unwrap(), None);
        assert!(matches!(outcome, ewtp_clearance::Outcome::Officer(_)), "{when}");
    }
}
