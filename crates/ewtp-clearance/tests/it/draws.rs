//! The random draw, and conditions that rules impose.

use ewtp_clearance::Ruleset;
use ewtp_clearance::decide::{Input, Outcome, decide};
use ewtp_clearance::draw::{DRAWS, draw, key_digest, period_key};
use ewtp_log::hash::sha256;
use ewtp_proto::v1::{DecisionCode, Effect, FilingType};

use crate::{LAST_OF_JUNE_MS, facts, filing, shipped};

fn ruleset(visibility: &str, rule: &str) -> Result<Ruleset, String> {
    let text = format!(
        "name = \"t\"\nversion = 1\nvisibility = \"{visibility}\"\nterritory = \"BE\"\ntime_zone = \"UTC\"\n\
         valid_from = \"2026-01-01\"\ncurrency = \"EUR\"\n[[rate]]\ncurrency = \"USD\"\nvalue = \"0.92\"\nfrom = \"2026-01-01\"\n[[text]]\ncode = \"R\"\nen = \"A reason.\"\n\
         [[rule]]\nid = \"T-1\"\neffect = \"admissibility\"\napplies = [\"advance\"]\nreason = \"R\"\n{rule}\n"
    );
    Ruleset::parse(&text).map_err(|faults| format!("{faults:?}"))
}

#[test]
fn draws_differ_by_period_and_filing_and_are_spread_evenly() {
    let (june, july) = (period_key(b"secret", 1), period_key(b"secret", 2));
    assert_ne!(key_digest(&june), key_digest(&july));
    let filings: Vec<_> = (0..20_000_u32).map(|n| sha256(&[&n.to_be_bytes()])).collect();
    let below = |key, limit| filings.iter().filter(|f| draw(key, f) < limit).count();
    assert!(filings.iter().all(|f| draw(&june, f) < DRAWS));
    // 2 % of 20,000 are 400, give or take 20 (one standard deviation); a tenth are 2,000, give or take 42.
    assert!((300..500).contains(&below(&june, 20_000)), "{}", below(&june, 20_000));
    assert!((1_790..2_210).contains(&below(&july, 100_000)));
    assert!(filings.iter().any(|f| draw(&june, f) != draw(&july, f)));
}

#[test]
fn confidential_rules_alone_look_at_the_draw_and_its_limit_selects() {
    let rule = "when = \"draw < 20000\"\nthen = \"PHYS_CONTROL\"";
    let refused = ruleset("public", rule).unwrap_err();
    assert!(refused.contains("confidential rulesets only"), "{refused}");
    let risk = ruleset("confidential", rule).unwrap();
    assert!(risk.draws() && !shipped("be-advance").draws());
    let mut light = filing("090111", "Coffee, green", "100.00");
    light.core.as_mut().unwrap().items[0].quantity.as_mut().unwrap().unit = "KGM".into();
    let (public, facts) = (shipped("be-advance"), facts(&light, LAST_OF_JUNE_MS));
    let with = |draw| {
        let confidential = Some(&risk);
        let (kind, public, facts) = (FilingType::Advance, &public, &facts);
        decide(Input { kind, adopted: false, facts, public, confidential, tariffs: &[], draw })
    };
    let code = |draw| match with(Some(draw)) {
        Outcome::Decided(all) => {
            all.into_iter().find(|d| d.effect == Effect::Admissibility).map(|d| d.code)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(code(19_999), Some(DecisionCode::PhysControl));
    assert_eq!(code(20_000), Some(DecisionCode::Clear));
    // Without a draw it is an officer's task, never a silent no.
    assert!(matches!(with(None), Outcome::Officer(_)));
}

#[test]
fn a_rule_imposes_its_condition_and_says_whose_it_is() {
    let bare = ruleset("public", "when = \"true\"\nthen = \"CLEAR_CONDITIONAL\"").unwrap_err();
    assert!(bare.contains("id of a condition"), "{bare}");
    let rule = "when = \"true\"\nthen = \"CLEAR_CONDITIONAL\"\ncondition = \"GUARANTEE\"";
    assert!(ruleset("confidential", rule).unwrap_err().contains("must know it"));
    let public = ruleset("public", rule).unwrap();
    let facts = facts(&filing("090111", "Coffee", "100.00"), LAST_OF_JUNE_MS);
    let input = Input {
        kind: FilingType::Advance,
        adopted: false,
        facts: &facts,
        public: &public,
        confidential: None,
        tariffs: &[],
        draw: None,
    };
    let Outcome::Decided(all) = decide(input) else { panic!() };
    let decided = all.into_iter().find(|d| d.effect == Effect::Admissibility).unwrap();
    assert_eq!(decided.code, DecisionCode::ClearConditional);
    assert_eq!(decided.conditions.len(), 1);
    assert_eq!(decided.conditions[0].id, "GUARANTEE");
    assert_eq!(decided.conditions[0].what.as_ref().unwrap().code, "R");
}

#[test]
fn shipped_rulesets_speak_english_french_and_chinese() {
    for name in ["be-advance", "be-risk", "ke-export", "kr-advance", "sg-advance"] {
        for (code, texts) in shipped(name).texts {
            for language in ["en", "fr", "zh"] {
                assert!(texts.contains_key(language), "{name} {code} has no {language}");
            }
        }
    }
}
