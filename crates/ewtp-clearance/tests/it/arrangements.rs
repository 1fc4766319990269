//! Arrangements: what a document says, and what the steps of two hubs come to however they cross.

use ewtp_clearance::arrangement::chain::{Act, Chain, Side, Step, Void, conclude};
use ewtp_clearance::arrangement::{
    Arrangement, FactKind, RecognitionEffect, differences, for_people, governing,
};
use ewtp_log::Hash;
use ewtp_log::hash::sha256;
use proptest::prelude::*;

const DOCUMENT: &str = r#"
between = ["BE", "KE"]
number = 1
title = "Mutual recognition of controls and operators between Belgium and Kenya"
legal_reference = "Decision 3/2026 of the Joint Customs Cooperation Committee"
time_zone = "Africa/Nairobi"
valid_from = "2026-12-01"
valid_until = "2028-11-30"
data_scope = ["parties", "goods", "value"]

[[recognition]]
id = "coffee-inspection"
by = "BE"
kind = "inspection"
effects = ["waive_physical", "waive_scan"]
hs = ["0901-0902", "210111"]
value_up_to = "20000 EUR"

[[recognition]]
id = "operators"
by = "BE"
kind = "aeo"
effects = ["lower_risk_score(20)", "priority"]
tiers = ["security"]

[[recognition]]
id = "export-control"
by = "KE"
kind = "export-control"
effects = ["note"]

[[tier]]
of = "KE"
category = "AEO-S"
tier = "security"

[[identifier]]
of = "KE"
certified = "P*"
filed = "KEP*"

[[threshold]]
by = "BE"
kind = "inspection"
checked_at_least = 20
false_permille = 50
"#;

fn document() -> Arrangement {
    Arrangement::parse(DOCUMENT).unwrap()
}

#[test]
fn a_document_reads_as_text_and_its_amendment_as_differences() {
    let before = document();
    insta::assert_snapshot!("an_arrangement_for_people", for_people(&before));
    let amended = DOCUMENT
        .replace("number = 1", &format!("number = 2\nprevious = \"{}\"", before.digest.to_hex()))
        .replace("20000 EUR", "35000 EUR")
        .replace("valid_from = \"2026-12-01\"", "valid_from = \"2027-01-01\"")
        .replace("[\"note\"]", "[\"note\", \"waive_documents\"]");
    let after = Arrangement::parse(&amended).unwrap();
    insta::assert_snapshot!("an_amendment", differences(&before, &after).join("\n"));
    assert_eq!(differences(&before, &before), Vec::<String>::new());
}

#[test]
fn every_fault_is_told_with_its_place() {
    let bad =
        DOCUMENT.replace("\"BE\", \"KE\"", "\"KE\", \"BE\"").replace("Africa/Nairobi", "Nairobi");
    let faults = Arrangement::parse(&bad).unwrap_err();
    assert_eq!(faults.len(), 1, "without its hubs nothing else can be said: {faults:?}");
    let bad = DOCUMENT
        .replace("number = 1", "number = 2")
        .replace("Africa/Nairobi", "Nairobi")
        .replace("2028-11-30", "2025-11-30")
        .replace("lower_risk_score(20)", "lower_risk_score(0)")
        .replace("0901-0902", "0902-0901")
        .replace("20000 EUR", "many EUR")
        .replace("tiers = [\"security\"]", "tiers = [\"gold\"]")
        .replace("filed = \"KEP*\"", "filed = \"KEP\"")
        .replace("by = \"KE\"", "by = \"CN\"")
        .replace("\"inspection\"\nchecked", "\"inspections\"\nchecked")
        .replace("\"goods\", \"value\"", "\"goods\", \"authority\"");
    let told: Vec<String> =
        Arrangement::parse(&bad).unwrap_err().iter().map(ewtp_trade::finding::line).collect();
    insta::assert_snapshot!("faults_of_an_arrangement", told.join("\n"));
}

#[test]
fn ranges_effects_and_identifiers_mean_what_they_say() {
    let a = document();
    let covers = |code: &str| a.recognitions[0].hs.iter().any(|r| r.covers(code));
    let expected = [("0901110000", true), ("090230", true), ("09", false), ("0903", false)];
    assert!(expected.iter().all(|(code, is)| covers(code) == *is));
    assert!(covers("2101110000") && !covers("210112"));
    assert_eq!(a.filed_as(&"KE".parse().unwrap(), "P051234567X"), ["KEP051234567X"]);
    assert_eq!(a.filed_as(&"KE".parse().unwrap(), "A1"), ["A1"]);
    assert_eq!(a.filed_as(&"BE".parse().unwrap(), "P051234567X"), ["P051234567X"]);
    assert_eq!(a.tier_of(&"KE".parse().unwrap(), "AEO-S"), Some("security"));
    for name in RecognitionEffect::NAMES {
        let text = name.replace("score", "score(7)");
        assert_eq!(RecognitionEffect::parse(&text).unwrap().to_string(), text);
    }
    assert!(FactKind::ALL.iter().all(|k| FactKind::by_name(k.name()) == Some(*k)));
}

/// The days of a document begin and end at midnight in its zone: 21:00 in UTC.
#[test]
fn the_newest_that_has_begun_governs_until_its_last_day_is_over() {
    let first = document();
    let amended = DOCUMENT
        .replace("number = 1", &format!("number = 2\nprevious = \"{}\"", first.digest.to_hex()))
        .replace("valid_from = \"2026-12-01\"", "valid_from = \"2027-01-01\"")
        .replace("2028-11-30", "2027-06-30");
    let second = Arrangement::parse(&amended).unwrap();
    let at = |instant: &str| {
        let ms = instant.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        governing([&first, &second].into_iter(), ms).map(|a| a.number)
    };
    assert_eq!(at("2026-11-30T20:59:59Z"), None);
    assert_eq!(at("2026-11-30T21:00:00Z"), Some(1));
    assert_eq!(at("2026-12-31T20:59:59Z"), Some(1));
    assert_eq!(at("2026-12-31T21:00:00Z"), Some(2));
    assert_eq!(at("2027-06-30T20:59:59Z"), Some(2));
    // The first document doesn't come back.
    assert_eq!(at("2027-06-30T21:00:00Z"), None);
}

fn digest(name: &str) -> Hash {
    sha256(&[name.as_bytes()])
}

fn propose(number: u64, name: &str, previous: Option<&str>, instead_of: Option<&str>) -> Act {
    let (previous, instead_of) = (previous.map(digest), instead_of.map(digest));
    Act::Propose { number, digest: digest(name), previous, instead_of }
}

fn accept(number: u64, name: &str) -> Act {
    Act::Accept { number, digest: digest(name) }
}

fn steps(all: &[(Act, usize)]) -> Vec<Step> {
    all.iter().map(|(act, seen)| Step { act: act.clone(), seen: *seen }).collect()
}

fn agreed(chain: &Chain) -> Vec<(u64, Hash, bool)> {
    chain.agreed.iter().map(|a| (a.number, a.digest, a.ended.is_some())).collect()
}

#[test]
fn of_two_proposals_that_cross_the_smaller_ids_stands() {
    let first = steps(&[(propose(1, "ours", None, None), 0)]);
    let second = steps(&[(propose(1, "theirs", None, None), 0), (accept(1, "ours"), 1)]);
    let open = conclude(&first, &second[..1]).open.unwrap();
    assert_eq!((open.digest, open.proposed), (digest("ours"), (Side::First, 0)));
    let chain = conclude(&first, &second);
    assert_eq!(agreed(&chain), [(1, digest("ours"), false)]);
    assert_eq!(chain.given_way, [(Side::Second, 0)]);
    // Who says the crossed one is accepted says nothing.
    let first = steps(&[(propose(1, "ours", None, None), 0), (accept(1, "theirs"), 1)]);
    let chain = conclude(&first, &second[..1]);
    assert_eq!(chain.void, [((Side::First, 1), Void::NothingOpen)]);
}

#[test]
fn an_acceptance_in_flight_holds_though_its_proposal_was_replaced() {
    let first = steps(&[
        (propose(1, "draft", None, None), 0),
        (propose(1, "better", None, Some("draft")), 0),
    ]);
    let second = steps(&[(accept(1, "draft"), 1)]);
    let chain = conclude(&first, &second);
    assert_eq!(agreed(&chain), [(1, digest("draft"), false)]);
    assert_eq!((chain.open, chain.given_way), (None, vec![(Side::First, 1)]));
}

#[test]
fn an_end_ends_what_it_did_not_wait_for_and_a_later_document_begins_anew() {
    let first = steps(&[
        (propose(1, "one", None, None), 0),
        (propose(2, "two", Some("one"), None), 1),
        (propose(3, "three", Some("two"), None), 3),
    ]);
    // The end crosses the second document's acceptance.
    let second = steps(&[
        (accept(1, "one"), 1),
        (accept(2, "two"), 2),
        (Act::End, 2),
        (accept(3, "three"), 3),
    ]);
    let chain = conclude(&first[..2], &second[..3]);
    assert_eq!(agreed(&chain), [(1, digest("one"), true), (2, digest("two"), true)]);
    let chain = conclude(&first, &second);
    let expected =
        [(1, digest("one"), true), (2, digest("two"), true), (3, digest("three"), false)];
    assert_eq!(agreed(&chain), expected);
    assert_eq!(chain.holding().map(|a| a.number).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_suspension_is_its_sayers_to_take_back() {
    let first = steps(&[(propose(1, "one", None, None), 0), (Act::Suspend, 1), (Act::Suspend, 1)]);
    let second = steps(&[(accept(1, "one"), 1), (Act::Resume, 2)]);
    let chain = conclude(&first, &second);
    assert_eq!((chain.suspended.as_slice(), chain.holding().count()), (&[Side::First][..], 0));
    let void = [((Side::First, 2), Void::Nothing), ((Side::Second, 1), Void::Nothing)];
    assert_eq!(chain.void, void);
    let mut resumed = first;
    resumed.push(Step { act: Act::Resume, seen: 2 });
    assert_eq!(conclude(&resumed, &second).holding().count(), 1);
}

#[test]
fn who_claims_to_know_what_was_not_said_says_nothing() {
    let first = steps(&[(propose(1, "one", None, None), 1)]);
    let second = steps(&[(accept(1, "one"), 1)]);
    let chain = conclude(&first, &second);
    assert_eq!((chain.agreed.len(), chain.void[0]), (0, ((Side::First, 0), Void::Seen)));
}

/// What an officer wants, whatever the state is; an unlikely wish is dropped or, of a liar, said all the same.
#[derive(Clone, Debug)]
enum Wish {
    Propose(u8),
    Accept,
    Suspend,
    Resume,
    End,
    /// Hear so many of the other's steps.
    Hear(u8),
    /// Anything at all.
    Lie(u8, u8, u8),
}

fn wish() -> impl Strategy<Value = (bool, Wish)> {
    let wish = prop_oneof![
        3 => (0u8..4).prop_map(Wish::Propose),
        4 => Just(Wish::Accept),
        1 => Just(Wish::Suspend),
        1 => Just(Wish::Resume),
        1 => Just(Wish::End),
        6 => (1u8..4).prop_map(Wish::Hear),
        1 => (0u8..4, 0u8..4, 0u8..3).prop_map(|(a, b, c)| Wish::Lie(a, b, c)),
    ];
    (any::<bool>(), wish)
}

/// A hub as it is: its own steps, and how many of the other's it has heard.
#[derive(Default)]
struct Hub {
    said: Vec<Step>,
    heard: usize,
}

fn act_of(wish: &Wish, side: Side, view: &Chain) -> Option<Act> {
    let number = view.agreed.len() as u64 + 1;
    let previous = view.agreed.last().map(|a| a.digest);
    Some(match wish {
        Wish::Propose(text) => Act::Propose {
            number,
            digest: digest(&format!("{number} {text}")),
            previous,
            instead_of: view.open.as_ref().map(|o| o.digest),
        },
        Wish::Accept => {
            let open = view.open.as_ref().filter(|o| o.proposed.0 != side)?;
            Act::Accept { number, digest: open.digest }
        }
        Wish::Suspend => Act::Suspend,
        Wish::Resume => Act::Resume,
        Wish::End => Act::End,
        Wish::Lie(0, number, text) => accept(u64::from(*number), &format!("{number} {text}")),
        Wish::Lie(_, number, text) => {
            propose(u64::from(*number), &format!("{number} {text}"), None, None)
        }
        Wish::Hear(_) => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever two hubs propose, amend, accept, suspend and end while their words are in flight, they end with one chain, and what
    /// was agreed under a number stays so at each of them.
    #[test]
    fn all_interleavings_end_in_one_chain(wishes in proptest::collection::vec(wish(), 1..40)) {
        let mut hubs = [Hub::default(), Hub::default()];
        let mut agreed_at = [Vec::<Hash>::new(), Vec::new()];
        for (second, wish) in &wishes {
            let (me, side) = match second {
                false => (0, Side::First),
                true => (1, Side::Second),
            };
            let other_said = hubs[1 - me].said.len();
            if let Wish::Hear(count) = wish {
                hubs[me].heard = other_said.min(hubs[me].heard + usize::from(*count));
            }
            let heard = hubs[me].heard;
            let view = |hubs: &[Hub; 2]| match side {
                Side::First => conclude(&hubs[0].said, &hubs[1].said[..heard]),
                Side::Second => conclude(&hubs[0].said[..heard], &hubs[1].said),
            };
            if let Some(act) = act_of(wish, side, &view(&hubs)) {
                hubs[me].said.push(Step { act, seen: heard });
            }
            // What it knows now: documents agreed before are still agreed, one to a number.
            let chain = view(&hubs);
            let numbers: Vec<u64> = chain.agreed.iter().map(|a| a.number).collect();
            prop_assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
            let now: Vec<Hash> = chain.agreed.iter().map(|a| a.digest).collect();
            prop_assert!(now.starts_with(&agreed_at[me]), "{now:?} after {:?}", agreed_at[me]);
            agreed_at[me] = now;
        }
        let chain = conclude(&hubs[0].said, &hubs[1].said);
        for known in &agreed_at {
            let all: Vec<Hash> = chain.agreed.iter().map(|a| a.digest).collect();
            prop_assert!(all.starts_with(known), "{all:?} after {known:?}");
        }
        // An honest hub's steps all count when they are said.
        let honest = !wishes.iter().any(|(_, w)| matches!(w, Wish::Lie(..)));
        let void = chain.void.iter().filter(|(_, why)| *why != Void::Nothing).count();
        prop_assert!(!honest || void == 0, "{:?}", chain.void);
        // The two agree, unless one has ended or suspended it, as soon as they go on talking.
        if let Some(open) = &chain.open {
            let accepted = Step {
                act: Act::Accept { number: open.number, digest: open.digest },
                seen: hubs[open.proposed.0 as usize].said.len(),
            };
            hubs[open.proposed.0.other() as usize].said.push(accepted);
            let after = conclude(&hubs[0].said, &hubs[1].said);
            prop_assert_eq!(after.agreed.last().map(|a| a.digest), Some(open.digest));
        }
    }
}
