//! What a second look finds in a ruleset, and that it finds nothing in what is right.

use ewtp_clearance::Ruleset;
use ewtp_clearance::review::{Severity, review};

use crate::shipped;

const HEAD: &str = r#"
name = "looked-at"
version = 1
visibility = "public"
territory = "BE"
time_zone = "Europe/Brussels"
valid_from = "2026-01-01"
valid_until = "2026-12-31"
currency = "EUR"
[[text]]
code = "R"
en = "text"
"#;

/// A ruleset of these conditions, R1 and on, each with what it decides.
fn ruleset(rules: &[(&str, &str)]) -> Ruleset {
    let mut text = HEAD.to_owned();
    for (i, (when, then)) in rules.iter().enumerate() {
        text.push_str(&format!(
            "[[rule]]\nid = \"R{}\"\neffect = \"security\"\napplies = [\"advance\"]\nwhen = {when:?}\nthen = \"{then}\"\nreason = \"R\"\n",
            i + 1
        ));
    }
    Ruleset::parse(&text).unwrap()
}

fn told(rules: &[(&str, &str)]) -> Vec<String> {
    let word = |s: Severity| if s == Severity::Fault { "fault" } else { "remark" };
    let found = review(&ruleset(rules)).into_iter();
    found.map(|f| format!("{} {}: {}", word(f.severity), f.rule, f.what)).collect()
}

#[test]
fn shipped_rulesets_have_no_faults() {
    for name in ["be-advance", "be-risk", "kr-advance", "sg-advance", "ke-export"] {
        let found = review(&shipped(name));
        let faults: Vec<_> = found.iter().filter(|f| f.severity == Severity::Fault).collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}

#[test]
fn types_are_checked_where_evaluation_would_fail() {
    for (when, what) in [
        ("filing.category == 'x'", "compares a whole number with a text"),
        (
            "has(filing.invoice_total) && filing.invoice_total > 100",
            "compares money with a whole number",
        ),
        (
            "has(filing.gross_mass) && gt(filing.gross_mass, money('1', 'EUR'))",
            "compares a mass with money",
        ),
        (
            "has(filing.freight) && lt(convert(filing.freight, 'USD'), money('1', 'USD'))",
            "converts into EUR alone",
        ),
        ("items.exists(i, i.number.startsWith('1'))", "is about texts"),
        ("items.exists(i, i.number)", "is a whole number, not true or false"),
        ("filing.lrn", "is a text, not true or false"),
        ("'X' in [1, 2]", "looks for a text in a list of a whole number"),
        ("items.map(i, i.number).exists(n, n == 'x')", "compares a whole number with a text"),
        ("filing.partial ? 1 : 2", "not true or false"),
        ("recognised('inspections', 'note')", "no such kind"),
        ("recognised_for(items[0].hs, 'inspection', 'waive')", "no such effect"),
        (
            "in_unit(money('1', 'EUR'), 'KGM') == quantity('1', 'KGM')",
            "is about quantities and masses",
        ),
        ("sum(items.map(i, i.number)) == 1", "wrong number or kind"),
    ] {
        let found = told(&[(when, "NOTE")]);
        assert!(
            found.iter().any(|f| f.starts_with("fault R1") && f.contains(what)),
            "{when}: {found:?}"
        );
    }
    let good = [
        ("items.filter(i, has(i.hs)).map(i, i.hs).exists(h, h.startsWith('09'))", "NOTE"),
        ("items.all(i, has(i.value) && ge(i.value, money('1', 'EUR')))", "NOTE"),
        ("gt(sum(items.filter(i, has(i.value)).map(i, i.value)), money('1', 'EUR'))", "NOTE"),
        ("'R' in answers && size(answers['R']) > 3", "NOTE"),
        ("has(filing.documents) && 'N954' in filing.documents", "NOTE"),
        ("!has(filing.mode) || filing.mode == '4'", "NOTE"),
        ("has(filing.importer_id) ? aeo(filing.importer_id) : false", "NOTE"),
    ];
    let found = told(&good);
    assert!(found.iter().all(|f| !f.starts_with("fault")), "{found:#?}");
}

#[test]
fn facts_that_may_be_missing_are_asked_for_before() {
    let missing = |when: &str| {
        told(&[(when, "NOTE")]).into_iter().filter(|f| f.contains("may be missing")).count()
    };
    assert_eq!(missing("filing.mode == '4'"), 1);
    assert_eq!(missing("has(filing.mode) && filing.mode == '4'"), 0);
    assert_eq!(missing("filing.mode == '4' && has(filing.mode)"), 1, "too late");
    assert_eq!(missing("!has(filing.mode) || filing.mode == '4'"), 0);
    assert_eq!(missing("has(filing.mode) || filing.mode == '4'"), 1);
    assert_eq!(missing("items.exists(i, i.hs == '0901')"), 1);
    assert_eq!(missing("items.exists(i, has(i.hs) && has(i.origin) && i.hs == i.origin)"), 0);
    assert_eq!(missing("has(filing.mode) ? filing.mode == '4' : filing.terms == 'DAP'"), 1);
    assert_eq!(missing("filing.country_of_export == 'KE' && items[0].number == 1"), 0);
}

#[test]
fn rules_that_never_fire_or_never_matter_are_found() {
    let never = |when: &str| told(&[(when, "HOLD")]).iter().any(|f| f.contains("never fires"));
    assert!(never("filing.type == 'advance' && filing.type == 'export'"));
    assert!(never("filing.partial && !filing.partial"));
    assert!(never("today >= '2027-01-01'") && never("today < '2026-01-01'"));
    assert!(never("'2026-06-01' == today && today == '2026-06-02'"));
    assert!(!never("today >= '2026-12-31'") && !never("today <= '2026-01-01'"));
    assert!(!never("filing.type == 'advance' || filing.type == 'export'"));

    let covered = told(&[
        ("filing.partial", "HOLD"),
        ("filing.partial && filing.type == 'advance'", "DOC_CONTROL"),
        ("filing.type == 'advance'", "DOC_CONTROL"),
        ("filing.partial && (filing.type=='advance')", "DNL"),
    ]);
    let never: Vec<&String> = covered.iter().filter(|f| f.contains("never counts")).collect();
    assert!(
        never.len() == 1 && never[0].contains("R2: its code never counts: R1 asks for less"),
        "{covered:#?}"
    );
    let twice = told(&[("filing.partial", "HOLD"), ("(filing.partial)", "HOLD")]);
    assert!(
        twice.len() == 1 && twice[0].contains("R2: its code never counts: R1 asks for the same"),
        "{twice:?}"
    );
    assert!(told(&[("true", "HOLD")])[0].contains("fires for every filing"));
}
