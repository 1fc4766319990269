//! Statements of two logs that cross: every pair, in both orders, at both hubs; and thousands of random interleavings of two
//! and three hubs. All hubs compute the same case.

use ewtp_proto::v1;
use ewtp_trade::act::Act;
use ewtp_trade::case;
use proptest::prelude::*;
use v1::{CaseState, ConditionOutcome, DecisionCode, Effect, EventCode};

use crate::world::{
    ADVANCE, DESTINATION, ORIGIN, Shown, World, adoption, advance, answer, decision, event, import,
    invalidation, question, route, selecting, settled, shown, unconnected,
};

const KE: usize = 0;
const BE: usize = 1;
const IMPORT: &str = "BE-IMPORT";

/// What the hub of the filer may say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    Amend,
    Invalidate,
    Answer,
    AnswerLate,
    Depart,
}

/// What the hub of the destination may say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Here {
    Clear,
    Conditional,
    DoNotLoad,
    Refuse,
    Ask,
    Overdue,
    Revoke,
    Adopt,
    WithdrawImport,
    Settle,
    Fail,
    Present,
    Release,
    RevokeReleased,
}

/// A world in which both acts may be said, if there is one.
fn base(there: There, here: Here) -> World {
    let mut world = World::filed();
    let asks = matches!(there, There::Answer | There::AnswerLate) || here == Here::Overdue;
    if asks {
        let deadline = if there == There::AnswerLate { 0 } else { 900_000 };
        world.say(BE, question(1, deadline));
    }
    let cleared = [
        Here::Revoke,
        Here::Adopt,
        Here::WithdrawImport,
        Here::Present,
        Here::Release,
        Here::RevokeReleased,
    ];
    if cleared.contains(&here) {
        for effect in [Effect::Security, Effect::Admissibility] {
            world.say(BE, decision(ADVANCE, 1, effect, DecisionCode::Clear, &[]));
        }
    }
    if [Here::Settle, Here::Fail].contains(&here) {
        world.say(BE, decision(ADVANCE, 1, Effect::Security, DecisionCode::Clear, &[]));
        let code = DecisionCode::ClearConditional;
        world.say(BE, decision(ADVANCE, 1, Effect::Admissibility, code, &["paid"]));
    }
    world.settle();
    if [Here::WithdrawImport, Here::Release, Here::RevokeReleased].contains(&here) {
        world.say(BE, adoption(1, IMPORT));
        world.say(BE, import(IMPORT, 1));
        world.say(BE, decision(IMPORT, 1, Effect::Fiscal, DecisionCode::Clear, &[]));
    }
    if [Here::Release, Here::RevokeReleased].contains(&here) {
        world.say(BE, event(EventCode::Presented, 1, &[]));
    }
    // Whoever knows of an adoption withdraws nothing: there it is on its way as well.
    if there != There::Invalidate {
        world.settle();
    }
    if here == Here::RevokeReleased {
        // The release is on its way as well: its hub heard nothing of the other side's act yet.
        world.say(BE, decision(IMPORT, 1, Effect::Release, DecisionCode::Release, &[]));
    }
    world
}

fn request_of(world: &World, at: usize) -> Vec<u8> {
    let request = world.hubs[at].case.requests.first();
    request.and_then(|r| r.stands.as_ref()).map(|s| s.commitment.clone()).unwrap_or_default()
}

/// Says an act at the filer's hub; false if that hub refuses it by what it knows.
fn say_there(world: &mut World, act: There) -> bool {
    let version = world.version(KE, ADVANCE);
    match act {
        There::Amend => {
            world.try_say(KE, Act::Amend { filing: ADVANCE }, advance(version + 1, false)).is_ok()
        }
        There::Invalidate => {
            world.try_say(KE, Act::Invalidate { filing: ADVANCE }, invalidation(ADVANCE)).is_ok()
        }
        There::Answer | There::AnswerLate => {
            let request = request_of(world, KE);
            world.say(KE, answer(&request));
            true
        }
        There::Depart => {
            let code = EventCode::Departed;
            world.try_say(KE, Act::Happen { code }, event(code, version, &[])).is_ok()
        }
    }
}

fn decide(world: &mut World, filing: &str, effect: Effect, code: DecisionCode, c: &[&str]) -> bool {
    let version = world.version(BE, filing);
    let act = Act::Decide { filing, version, effect, code, contingency: false };
    world.try_say(BE, act, decision(filing, version, effect, code, c)).is_ok()
}

/// Says an act at the destination's hub; false if that hub refuses it by what it knows.
fn say_here(world: &mut World, act: Here) -> bool {
    let version = world.version(BE, ADVANCE);
    let adm = Effect::Admissibility;
    match act {
        Here::Clear => {
            decide(world, ADVANCE, Effect::Security, DecisionCode::Clear, &[])
                && decide(world, ADVANCE, adm, DecisionCode::Clear, &[])
        }
        Here::Conditional => {
            decide(world, ADVANCE, Effect::Security, DecisionCode::Clear, &[])
                && decide(world, ADVANCE, adm, DecisionCode::ClearConditional, &["paid"])
        }
        Here::DoNotLoad => decide(world, ADVANCE, Effect::Security, DecisionCode::Dnl, &[]),
        Here::Refuse => decide(world, ADVANCE, adm, DecisionCode::Refuse, &[]),
        Here::Ask => {
            let act = Act::Ask { filing: ADVANCE, version };
            world.try_say(BE, act, question(version, 900_000)).is_ok()
        }
        Here::Overdue => {
            let request = request_of(world, BE);
            world.say(BE, event(EventCode::AnswerOverdue, 1, &request));
            true
        }
        Here::Revoke => decide(world, ADVANCE, adm, DecisionCode::Revoke, &[]),
        Here::RevokeReleased => decide(world, IMPORT, Effect::Fiscal, DecisionCode::Revoke, &[]),
        Here::Adopt => {
            let act = Act::Adopt { filing: ADVANCE, version };
            let said = world.try_say(BE, act, adoption(version, IMPORT)).is_ok();
            said && !world.say(BE, import(IMPORT, 1)).is_empty()
        }
        Here::WithdrawImport => {
            world.try_say(BE, Act::Invalidate { filing: IMPORT }, invalidation(IMPORT)).is_ok()
        }
        Here::Settle | Here::Fail => {
            let imposed = world.hubs[BE].case.decisions.iter().find(|d| !d.conditions.is_empty());
            let imposed = imposed.and_then(|d| d.stands.clone()).unwrap_or_default().commitment;
            let outcome = match act {
                Here::Settle => ConditionOutcome::Met,
                _ => ConditionOutcome::Failed,
            };
            let act = Act::Settle { decision: &imposed, condition: "paid", outcome };
            world.try_say(BE, act, settled(&imposed, "paid", outcome)).is_ok()
        }
        Here::Present => {
            let code = EventCode::Presented;
            world.try_say(BE, Act::Happen { code }, event(code, version, &[])).is_ok()
        }
        Here::Release => {
            let (version, effect) = (world.version(BE, IMPORT), Effect::Release);
            // While a question is open only an officer's act releases.
            let contingency = !world.hubs[BE].case.requests.is_empty();
            let code = DecisionCode::Release;
            let act = Act::Decide { filing: IMPORT, version, effect, code, contingency };
            world.try_say(BE, act, decision(IMPORT, version, effect, code, &[])).is_ok()
        }
    }
}

const THERE: [There; 5] =
    [There::Amend, There::Invalidate, There::Answer, There::AnswerLate, There::Depart];

const HERE: [Here; 14] = [
    Here::Clear,
    Here::Conditional,
    Here::DoNotLoad,
    Here::Refuse,
    Here::Ask,
    Here::Overdue,
    Here::Revoke,
    Here::Adopt,
    Here::WithdrawImport,
    Here::Settle,
    Here::Fail,
    Here::Present,
    Here::Release,
    Here::RevokeReleased,
];

fn both(world: &World, what: &str) -> Shown {
    let (there, here) = (shown(&world.hubs[KE].case), shown(&world.hubs[BE].case));
    assert_eq!(there, here, "{what}: the two hubs differ");
    here
}

/// What a case is when both acts were logged before either hub heard of the other's.
const fn crossed(there: There, here: Here) -> CaseState {
    match (there, here) {
        // A release stands whatever the filer says meanwhile; what is revoked after it opens a check.
        (_, Here::Release) => CaseState::Released,
        (_, Here::RevokeReleased) => CaseState::PostReleaseCheck,
        // A withdrawal undoes everything but a release and an adoption.
        (There::Invalidate, Here::Adopt) => CaseState::Cleared,
        (There::Invalidate, _) => CaseState::Invalidated,
        // Decisions on an older version release nothing; that a question about it was open or overdue no longer counts.
        (There::Amend, _) => CaseState::Pending,
        // A late answer changes nothing about the question that is open on other grounds.
        (There::AnswerLate, Here::Overdue) => CaseState::Held,
        (There::Depart, Here::DoNotLoad) => CaseState::ControlOnArrival,
        (There::Depart, Here::Overdue) => CaseState::Held,
        (_, Here::Overdue) => CaseState::Pending,
        (_, Here::DoNotLoad) => CaseState::DoNotLoad,
        (_, Here::Refuse) => CaseState::Refused,
        (_, Here::Ask) => CaseState::InfoRequested,
        (_, Here::Revoke | Here::Fail) => CaseState::Held,
        (_, Here::Conditional) => CaseState::ClearedConditional,
        (_, Here::Clear | Here::Adopt | Here::WithdrawImport | Here::Settle | Here::Present) => {
            CaseState::Cleared
        }
    }
}

#[test]
fn every_pair_that_crosses_means_the_same_at_both_hubs_in_both_orders() {
    for there in THERE {
        for here in HERE {
            for filer_first in [true, false] {
                let what = format!("{there:?} and {here:?}, filer first: {filer_first}");
                let mut world = base(there, here);
                let (a, b) = if filer_first {
                    (say_there(&mut world, there), say_here(&mut world, here))
                } else {
                    let b = say_here(&mut world, here);
                    (say_there(&mut world, there), b)
                };
                assert!(a && b, "{what}: may be said");
                world.settle();
                assert_eq!(both(&world, &what).state, crossed(there, here), "{what}");
            }
        }
    }
}

#[test]
fn what_is_heard_before_is_either_built_upon_or_refused_by_name() {
    for there in THERE {
        for here in HERE {
            let mut world = base(there, here);
            say_there(&mut world, there);
            world.settle();
            say_here(&mut world, here);
            world.settle();
            both(&world, &format!("{there:?}, heard, then {here:?}"));
            let mut world = base(there, here);
            say_here(&mut world, here);
            world.settle();
            say_there(&mut world, there);
            world.settle();
            both(&world, &format!("{here:?}, heard, then {there:?}"));
        }
    }
}

#[test]
fn nothing_is_withdrawn_or_amended_after_a_release_that_is_known() {
    let mut world = base(There::Amend, Here::Release);
    assert!(say_here(&mut world, Here::Release));
    world.settle();
    for (act, fact) in [
        (Act::Amend { filing: ADVANCE }, advance(2, false)),
        (Act::Invalidate { filing: ADVANCE }, invalidation(ADVANCE)),
    ] {
        let refused = world.try_say(KE, act, fact).unwrap_err();
        assert_eq!(refused.code, "released");
    }
    assert_eq!(both(&world, "released").state, CaseState::Released);
}

#[test]
fn an_adopted_filing_is_withdrawn_only_after_its_import_filing() {
    let mut world = base(There::Amend, Here::WithdrawImport);
    let act = Act::Invalidate { filing: ADVANCE };
    let refused = world.try_say(KE, act, invalidation(ADVANCE)).unwrap_err();
    assert_eq!(refused.code, "adopted");
    assert!(say_here(&mut world, Here::WithdrawImport));
    world.settle();
    assert!(say_there(&mut world, There::Invalidate));
    world.settle();
    assert_eq!(both(&world, "withdrawn").state, CaseState::Invalidated);
}

#[test]
fn release_needs_what_it_says_and_a_contingency_is_an_act_of_its_own() {
    let mut world = base(There::Depart, Here::Settle);
    let refused = || Act::Decide {
        filing: ADVANCE,
        version: 1,
        effect: Effect::Release,
        code: DecisionCode::Release,
        contingency: false,
    };
    let release = decision(ADVANCE, 1, Effect::Release, DecisionCode::Release, &[]);
    let told = world.try_say(BE, refused(), release.clone()).unwrap_err();
    assert_eq!(told.allowed, "once these are there: adoption, presentation, condition");
    let act = match refused() {
        Act::Decide { filing, version, effect, code, .. } => {
            Act::Decide { filing, version, effect, code, contingency: true }
        }
        other => other,
    };
    assert!(world.try_say(BE, act, release).is_ok());
    world.settle();
    assert_eq!(both(&world, "contingency").state, CaseState::Released);
}

#[test]
fn a_route_found_later_means_the_same_wherever_it_is_heard_in_whatever_order() {
    // What a third hub hears next: of the origin (filing, then route), or of the destination (its two decisions).
    for order in
        [[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0]]
    {
        let mut world = World::new(&[(ORIGIN, 5_000), (DESTINATION, 1_000), ("NL", 9_000)]);
        world.say(KE, unconnected());
        world.hear(BE, KE);
        assert_eq!(both(&world, "waits").state, CaseState::NotConnected);
        world.say(KE, route(1));
        world.hear(BE, KE);
        for effect in [Effect::Security, Effect::Admissibility] {
            world.say(BE, decision(ADVANCE, 1, effect, DecisionCode::Clear, &[]));
        }
        for from in order {
            assert!(world.hear(2, from), "{order:?}");
        }
        world.settle();
        assert_eq!(both(&world, "connected").state, CaseState::Cleared);
        assert_eq!(shown(&world.hubs[2].case), shown(&world.hubs[KE].case), "{order:?}");
    }
}

/// One step of a random run: who acts, what, and who hears what afterwards.
fn step(world: &mut World, third: bool, n: u8, hears: u8) {
    match n % 22 {
        // An event about many cases is said without looking at each.
        20 => drop(world.say(KE, selecting(EventCode::Departed))),
        21 => drop(world.say(BE, selecting(EventCode::Arrived))),
        0..=4 => drop(say_there(world, THERE[usize::from(n) % 5])),
        5..=17 => {
            let act = HERE[usize::from(n) % HERE.len()];
            if act != Here::Overdue || !world.hubs[BE].case.requests.is_empty() {
                say_here(world, act);
            }
        }
        _ if third => {
            let code = if n.is_multiple_of(2) { EventCode::Arrived } else { EventCode::Incident };
            let act = Act::Happen { code };
            drop(world.try_say(2, act, event(code, 1, &[])));
        }
        _ => {}
    }
    let hubs = world.hubs.len();
    for bit in 0..8 {
        if hears & (1 << bit) != 0 {
            world.hear(bit % hubs, (bit / hubs + bit + 1) % hubs);
        }
    }
}

fn run(hubs: &[(&'static str, u64)], steps: &[(u8, u8)]) -> World {
    let mut world = World::new(hubs);
    world.say(KE, advance(1, false));
    for (n, hears) in steps {
        // Nobody decides about what he has not heard of.
        if world.version(BE, ADVANCE) == 0 {
            world.hear(BE, KE);
        }
        step(&mut world, hubs.len() > 2, *n, *hears);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn two_and_three_hubs_compute_one_case_from_any_interleaving(
        steps in prop::collection::vec(any::<(u8, u8)>(), 0..40),
        clocks in prop::array::uniform3(0u64..100_000),
        three in any::<bool>(),
    ) {
        let mut hubs = vec![(ORIGIN, clocks[0]), (DESTINATION, clocks[1])];
        if three {
            hubs.push(("NL", clocks[2]));
        }
        let mut world = run(&hubs, &steps);
        world.settle();
        let first = shown(&world.hubs[0].case);
        for hub in &world.hubs {
            prop_assert_eq!(&shown(&hub.case), &first, "{} and {}", hub.id, world.hubs[0].id);
        }
    }

    /// At the hub that says it, release stays; and *do not load* is never overlooked while the goods are there.
    #[test]
    fn a_release_is_never_undone(steps in prop::collection::vec(any::<(u8, u8)>(), 1..40)) {
        let after = [CaseState::Released, CaseState::PostReleaseCheck];
        let mut released = false;
        let mut world = World::filed();
        for (n, hears) in steps {
            step(&mut world, false, n, hears);
            let case = &world.hubs[BE].case;
            let state = case::state(case, crate::world::AT);
            if released {
                prop_assert!(after.contains(&state), "{state:?} after release");
            }
            released |= case::goods_released(case);
            let dnl = case::leading_filing(case).is_some_and(|f| {
                case::counting_decision(case, f, Effect::Security)
                    .is_some_and(|d| case::code(d) == DecisionCode::Dnl)
            });
            let stopped = [CaseState::DoNotLoad, CaseState::ControlOnArrival];
            prop_assert!(!dnl || released || stopped.contains(&state), "{state:?} under a DNL");
        }
    }
}
