//! Rulesets: what is refused at publication, what the shipped ones decide, and that it is always the same.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say what they skip"
)]

mod arrangements;
mod draws;
mod ledger;
mod recognition;
mod reports;
mod review;
mod tariffs;

use std::collections::BTreeMap;
use std::path::Path;

use ewtp_clearance::decide::{Decided, Input, Outcome, decide};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_proto::v1;
use proptest::prelude::*;
use v1::{DecisionCode, Effect, FilingType};

fn shipped(name: &str) -> Ruleset {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../rulesets/{name}.toml"));
    Ruleset::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// 2026-06-30T21:59:59Z is still June in Brussels; a second later July begins there.
const LAST_OF_JUNE_MS: i64 = 1_782_856_799_000;

fn filing(hs: &str, description: &str, usd: &str) -> v1::Filing {
    let money = || Some(v1::Money { amount: usd.into(), currency: "USD".into() });
    let address =
        |country: &str| Some(v1::Address { country: country.into(), ..Default::default() });
    v1::Filing {
        core: Some(v1::FilingCore {
            r#type: FilingType::Advance as i32,
            exporter_name: "An exporter".into(),
            importer_id: "BE0123456789".into(),
            country_of_export: "KE".into(),
            country_of_destination: "BE".into(),
            transport_mode: "4".into(),
            items: vec![v1::CoreItem {
                number: 1,
                commodity_code: hs.into(),
                origin: "KE".into(),
                quantity: Some(v1::Quantity { value: "6".into(), unit: "TNE".into() }),
            }],
            ..Default::default()
        }),
        parties: Some(v1::FilingParties { importer_address: address("BE"), ..Default::default() }),
        goods: Some(v1::FilingGoods {
            items: vec![v1::GoodsItem {
                number: 1,
                description: description.into(),
                gross_mass_kg: "11".into(),
                net_mass_kg: "10".into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            invoice_total: money(),
            items: vec![v1::ValueItem { number: 1, value: money(), ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn run(facts: &Facts, public: &Ruleset, confidential: Option<&Ruleset>) -> Outcome {
    decide(Input {
        kind: FilingType::Advance,
        adopted: false,
        facts,
        public,
        confidential,
        tariffs: &[],
        draw: None,
    })
}

fn decided(outcome: Outcome) -> BTreeMap<i32, Decided> {
    match outcome {
        Outcome::Decided(all) => all.into_iter().map(|d| (d.effect as i32, d)).collect(),
        other => panic!("{other:?}"),
    }
}

fn facts(filing: &v1::Filing, at_ms: i64) -> Facts {
    Facts::of_filing(filing, at_ms, BTreeMap::new())
}

#[test]
fn shipped_rulesets_are_good_and_have_at_least_25_rules() {
    let names = ["be-advance", "be-risk", "be-tariff", "kr-advance", "sg-advance", "ke-export"];
    let rules: usize = names.iter().map(|n| shipped(n).rules.len()).sum();
    assert!(rules >= 25, "{rules}");
}

#[test]
fn units_are_converted_and_the_estimate_is_rounded_once_a_line() {
    let ruleset = shipped("be-advance");
    let all = decided(run(
        &facts(&filing("090111", "Coffee, green", "4210.55"), LAST_OF_JUNE_MS),
        &ruleset,
        None,
    ));
    let admissibility = &all[&(Effect::Admissibility as i32)];
    assert_eq!(admissibility.code, DecisionCode::DocControl, "6 TNE are more than 5000 KGM");
    assert_eq!(admissibility.rules_fired, ["BE-A5", "BE-A8"]);
    let estimate = admissibility.estimate.as_ref().unwrap();
    // 4210.55 USD at 0.92 = 3873.706 EUR, rounded to 3873.71; 7.5% of it 290.528; 21% of 4164.24 = 874.4904.
    let amounts: Vec<String> =
        estimate.lines.iter().map(|l| l.amount.clone().unwrap().amount).collect();
    assert_eq!(amounts, ["3873.71", "290.53", "874.49"], "the exchange is a step of its own");
    assert_eq!(estimate.total.as_ref().unwrap().amount, "1165.02");
    assert_eq!(
        (estimate.for_date.as_str(), estimate.rates[0].as_str()),
        ("2026-06-30", "USD=0.92 EUR")
    );
}

#[test]
fn a_date_border_lies_in_the_rulesets_zone() {
    let ruleset = shipped("be-advance");
    let small = filing("460219", "Baskets woven of sisal", "100.00");
    let charged = |at| {
        let all = decided(run(&facts(&small, at), &ruleset, None));
        let admissibility = all[&(Effect::Admissibility as i32)].clone();
        let fixed = admissibility.estimate.unwrap().lines.into_iter().find(|l| l.kind == "fixed");
        (
            admissibility.rules_fired.contains(&"BE-A7".to_owned()),
            fixed.map(|l| l.amount.unwrap().amount),
        )
    };
    assert_eq!(charged(LAST_OF_JUNE_MS), (false, None), "30 June 23:59:59 in Brussels");
    assert_eq!(
        charged(LAST_OF_JUNE_MS + 1000),
        (true, Some("3.00".into())),
        "1 July 00:00:00 in Brussels"
    );
}

#[test]
fn a_missing_fact_and_a_narrow_scope_are_told_apart() {
    let ruleset = shipped("be-advance");
    let mut nobody = filing("460219", "Baskets woven of sisal", "2000.00");
    nobody.core.as_mut().unwrap().importer_id.clear();
    let all = decided(run(&facts(&nobody, LAST_OF_JUNE_MS), &ruleset, None));
    let needed: Vec<_> =
        all[&(Effect::Admissibility as i32)].needed.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(needed, ["IMPORTER-NEEDED", "INVOICE-NEEDED"]);
    nobody.value = None;
    nobody.parties = None;
    let all = decided(run(&facts(&nobody, LAST_OF_JUNE_MS), &ruleset, None));
    let admissibility = &all[&(Effect::Admissibility as i32)];
    assert_eq!(admissibility.insufficient_scope, ["BE-A2", "BE-A5", "BE-A6", "BE-A7"]);
    assert!(admissibility.estimate.is_none(), "no value, no estimate");
}

#[test]
fn questions_come_first_unless_it_must_not_be_loaded() {
    let ruleset = shipped("be-advance");
    let vague = filing("847990", "parts", "480");
    let Outcome::Ask(questions) = run(&facts(&vague, LAST_OF_JUNE_MS), &ruleset, None) else {
        panic!()
    };
    assert_eq!(questions[0].code, "DESCRIPTION-VAGUE");
    let answers = BTreeMap::from([("DESCRIPTION-VAGUE".to_owned(), "Rollers".to_owned())]);
    let answered = Facts::of_filing(&vague, LAST_OF_JUNE_MS, answers);
    assert_eq!(
        decided(run(&answered, &ruleset, None))[&(Effect::Security as i32)].code,
        DecisionCode::Clear
    );
    let fireworks = filing("360410", "parts", "480");
    let all = decided(run(&facts(&fireworks, LAST_OF_JUNE_MS), &ruleset, None));
    assert_eq!(all[&(Effect::Security as i32)].code, DecisionCode::Dnl);
}

#[test]
fn what_a_confidential_ruleset_says_is_for_authorities_alone() {
    let (public, risk) = (shipped("be-advance"), shipped("be-risk"));
    let mut watched = filing("460219", "Baskets woven of sisal", "100");
    watched.core.as_mut().unwrap().exporter_name = "Blackwater Trading Ltd".into();
    let security = decided(run(&facts(&watched, LAST_OF_JUNE_MS), &public, Some(&risk)))
        [&(Effect::Security as i32)]
        .clone();
    assert_eq!(security.code, DecisionCode::Dnl);
    assert_eq!(security.authority_reasons[0].code, "RISK-EXPORTER");
    assert!(security.reasons.is_empty() && security.rules_fired.is_empty());
}

#[test]
fn a_rule_that_fails_is_an_officers_task_never_a_no() {
    let ruleset = with_rule("convert(filing.invoice_total, 'EUR') == money('1','EUR')").unwrap();
    let mut foreign = filing("460219", "Baskets woven of sisal", "100");
    foreign.value.as_mut().unwrap().invoice_total.as_mut().unwrap().currency = "XOF".into();
    let Outcome::Officer(errors) = run(&facts(&foreign, LAST_OF_JUNE_MS), &ruleset, None) else {
        panic!()
    };
    assert!(errors[0].contains("no rate for XOF"), "{errors:?}");
    let missing = with_rule("filing.importer_id == 'BE1'").unwrap();
    let mut nobody = filing("460219", "Baskets woven of sisal", "100");
    nobody.core.as_mut().unwrap().importer_id.clear();
    assert!(matches!(run(&facts(&nobody, LAST_OF_JUNE_MS), &missing, None), Outcome::Officer(_)));
}

#[test]
fn do_not_load_stands_though_something_else_fails() {
    let ruleset = shipped("be-advance");
    let mut fireworks = filing("360410", "Fireworks, assorted", "100");
    let money = v1::Money { amount: "100".into(), currency: "XOF".into() }; // no rate: rules and estimate fail
    fireworks.value.as_mut().unwrap().invoice_total = Some(money.clone());
    fireworks.value.as_mut().unwrap().items[0].value = Some(money);
    let all = decided(run(&facts(&fireworks, LAST_OF_JUNE_MS), &ruleset, None));
    assert_eq!(all[&(Effect::Security as i32)].code, DecisionCode::Dnl);
    assert!(all[&(Effect::Admissibility as i32)].estimate.is_none());
}

#[test]
fn a_question_that_would_reach_the_trader_is_no_rule_for_authorities() {
    let text = |visibility: &str, audience: &str| {
        format!(
            "name = \"t\"\nversion = 1\nvisibility = \"{visibility}\"\nterritory = \"BE\"\n\
             time_zone = \"UTC\"\nvalid_from = \"2026-01-01\"\ncurrency = \"EUR\"\n[[text]]\ncode = \"R\"\nen = \"t\"\n\
             [[rule]]\nid = \"T1\"\neffect = \"security\"\napplies = [\"advance\"]\nwhen = \"true\"\nthen = \"ASK\"\n\
             reason = \"R\"\naudience = \"{audience}\"\n"
        )
    };
    assert!(Ruleset::parse(&text("public", "trader")).is_ok());
    for (visibility, audience) in [("public", "authority"), ("confidential", "trader")] {
        let faults = Ruleset::parse(&text(visibility, audience)).unwrap_err();
        assert!(faults[0].allowed.contains("reaches the trader"), "{faults:?}");
    }
}

#[test]
fn too_many_steps_are_an_officers_task() {
    let ruleset = with_rule("items.all(a, items.all(b, a.number >= 0 && b.number >= 0))").unwrap();
    let mut large = filing("460219", "Baskets woven of sisal", "100");
    let outcome = |n: u32, large: &mut v1::Filing| {
        let item = large.core.as_ref().unwrap().items[0].clone();
        large.core.as_mut().unwrap().items =
            (1..=n).map(|number| v1::CoreItem { number, ..item.clone() }).collect();
        run(&facts(large, LAST_OF_JUNE_MS), &ruleset, None)
    };
    assert!(matches!(outcome(30, &mut large), Outcome::Decided(_)));
    let Outcome::Officer(errors) = outcome(900, &mut large) else { panic!() };
    assert!(errors[0].contains("steps"), "{errors:?}");
}

fn with_rule(when: &str) -> Result<Ruleset, Vec<v1::Finding>> {
    Ruleset::parse(&format!(
        "name = \"t\"\nversion = 1\nvisibility = \"public\"\nterritory = \"BE\"\ntime_zone = \"Europe/Brussels\"\n\
         valid_from = \"2026-01-01\"\ncurrency = \"EUR\"\n[[rate]]\ncurrency = \"USD\"\nvalue = \"0.9\"\nfrom = \"2026-01-01\"\n\
         [[text]]\ncode = \"R\"\nen = \"text\"\n[[rule]]\nid = \"T1\"\neffect = \"security\"\napplies = [\"advance\"]\n\
         when = {when:?}\nthen = \"NOTE\"\nreason = \"R\"\n"
    ))
}

#[test]
fn publication_refuses_floats_unknown_names_and_deep_nesting() {
    for (when, why) in [
        ("1.5 < 2.0", "the double"),
        ("filing.weight == 'x'", "filing has no field weight"),
        ("items.exists(i, i.colour == 'red')", "an item has no field colour"),
        ("goods == 'x'", "the name goods is unknown"),
        ("now() == 'x'", "the function now is unknown"),
        ("double('1.5') > 1", "the function double is unknown"),
        ("items.all(a, items.all(b, items.all(c, true)))", "nest 3 deep"),
        ("filing.", "not a CEL expression"),
    ] {
        let faults = with_rule(when).unwrap_err();
        assert!(faults[0].allowed.contains(why), "{when}: {faults:?}");
    }
    let faults = Ruleset::parse("name = \"T!\"").unwrap_err();
    assert!(!faults.is_empty());
}

#[test]
fn reasons_are_rendered_in_the_readers_language() {
    let ruleset = shipped("be-advance");
    let none = BTreeMap::new();
    assert!(ruleset.render("EXPLOSIVES", &none, &["fr"]).starts_with("Les explosifs"));
    assert!(ruleset.render("EXPLOSIVES", &none, &["fr-BE"]).starts_with("Les explosifs"));
    assert!(ruleset.render("EXPLOSIVES", &none, &["zh"]).contains("爆炸物"));
    assert!(
        ruleset.render("EXPLOSIVES", &none, &["sw"]).starts_with("Explosives"),
        "English stands in"
    );
    assert_eq!(ruleset.render("NO-SUCH", &none, &["en"]), "NO-SUCH");
}

proptest! {
    /// Facts survive their JSON, and the same facts give the same outcome.
    #[test]
    fn a_replay_agrees(hs in "[0-9]{6}", kg in 0u32..20_000, usd in 0u32..1_000_000, text in "[a-z ]{0,20}") {
        let mut filing = filing(&hs, &text, &format!("{}.{:02}", usd / 100, usd % 100));
        filing.goods.as_mut().unwrap().items[0].net_mass_kg = kg.to_string();
        let (public, risk) = (shipped("be-advance"), shipped("be-risk"));
        let first = facts(&filing, LAST_OF_JUNE_MS);
        let again = Facts::from_json(&first.to_json()).unwrap();
        prop_assert_eq!(&again, &first);
        prop_assert_eq!(run(&first, &public, Some(&risk)), run(&again, &public, Some(&risk)));
    }
}
