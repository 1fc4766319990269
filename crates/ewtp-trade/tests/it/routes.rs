//! Routes: who has a say, what is not connected, what is unresolved; and selectors.

use std::collections::BTreeSet;

use ewtp_proto::v1;
use ewtp_trade::route::{Resolved, Speaker, overlap, resolve};
use v1::FilingType;

struct Hub {
    hub: &'static str,
    territories: Vec<String>,
    offices: Vec<String>,
    competences: Vec<String>,
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|t| (*t).to_owned()).collect()
}

fn hub(hub: &'static str, offices: &[&str], competences: &[&str]) -> Hub {
    let territories = vec![hub[..2].to_owned()];
    Hub { hub, territories, offices: texts(offices), competences: texts(competences) }
}

impl Hub {
    fn speaker(&self) -> Speaker<'_> {
        let Self { hub, territories, offices, competences } = self;
        Speaker { hub, territories, offices, competences }
    }
}

fn filing(kind: FilingType, to: &str, hs: &str, offices: &[&str]) -> v1::FilingCore {
    v1::FilingCore {
        r#type: kind as i32,
        country_of_export: "KE".into(),
        country_of_destination: to.into(),
        offices: texts(offices),
        items: vec![v1::CoreItem { commodity_code: hs.into(), ..Default::default() }],
        ..Default::default()
    }
}

fn run(core: &v1::FilingCore, peers: &[&Hub]) -> Result<Resolved, Vec<v1::Finding>> {
    let me = hub("KE", &["KE*"], &["customs", "plant-health", "health", "tax"]);
    let peers: Vec<Speaker<'_>> = peers.iter().map(|p| p.speaker()).collect();
    resolve(core, &me.speaker(), &peers)
}

fn set(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|t| (*t).to_owned()).collect()
}

#[test]
fn the_audience_follows_from_offices_and_from_what_the_goods_need() {
    let customs = hub("BE", &["BE*"], &["customs", "tax"]);
    let plants = hub("BE-PH", &[], &["plant-health"]);
    let transit = hub("NL", &["NL0*"], &["customs"]);
    let all = [&customs, &plants, &transit];
    let coffee = filing(FilingType::Advance, "BE", "090111", &["KE001000", "NL000510"]);
    let resolved = run(&coffee, &all).unwrap();
    assert_eq!(resolved.assessed_by, "BE");
    assert_eq!(resolved.audience, set(&["BE", "NL"]), "own offices are no audience");
    let roses = filing(FilingType::Advance, "BE", "060311", &[]);
    assert_eq!(run(&roses, &all).unwrap().audience, set(&["BE", "BE-PH"]));
    let export = filing(FilingType::Export, "BE", "060311", &["KE001000"]);
    let resolved = run(&export, &all).unwrap();
    assert_eq!((resolved.assessed_by.as_str(), resolved.unconnected.len()), ("KE", 0));
    let transit = filing(FilingType::Transit, "BE", "090111", &["KE001000", "NL000510"]);
    assert_eq!(run(&transit, &all).unwrap().assessed_by, "NL", "who is crossed assesses it");
}

#[test]
fn what_a_connected_country_does_not_speak_for_is_a_violation_that_lists_what_is_known() {
    let customs = hub("BE", &["BE101*"], &["customs"]);
    let roses = filing(FilingType::Advance, "BE", "060311", &["BE222000"]);
    let violations = run(&roses, &[&customs]).unwrap_err();
    let codes: Vec<&str> = violations.iter().map(|v| v.code.as_str()).collect();
    assert_eq!(codes, ["competence-unknown", "office-unknown"]);
    assert_eq!(violations[0].value, "plant-health");
    assert!(violations[0].allowed.contains("BE for customs"), "{:?}", violations[0]);
    assert_eq!(violations[1].path, "core.offices[0]");
    assert!(violations[1].allowed.contains("BE has BE101*"), "{:?}", violations[1]);
}

#[test]
fn a_country_without_any_hub_is_not_connected_and_no_error() {
    let roses = filing(FilingType::Advance, "FR", "060311", &["NL000510"]);
    let resolved = run(&roses, &[]).unwrap();
    assert_eq!(resolved.assessed_by, "");
    assert_eq!(resolved.unconnected, set(&["FR", "NL"]));
}

#[test]
fn two_hubs_never_speak_for_the_same() {
    let all = hub("BE", &["BE*"], &["customs", "tax"]);
    let tax = hub("BE-TX", &[], &["tax"]);
    let office = hub("BE-AN", &["BE101000"], &["health"]);
    let plants = hub("BE-PH", &[], &["plant-health"]);
    let said = |a: &Hub, b: &Hub| overlap(&a.speaker(), &b.speaker());
    assert_eq!(said(&all, &tax).unwrap(), "tax in BE");
    assert_eq!(said(&office, &all).unwrap(), "the offices BE101000");
    assert_eq!(said(&all, &plants), None);
    assert_eq!(said(&hub("NL", &["NL*"], &["customs"]), &all), None);
}
