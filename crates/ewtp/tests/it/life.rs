//! A consignment's life among those who have a say: adoption, withdrawal, conditions, release, mandates, completion.

use std::time::Duration;

use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use tonic::Code;
use tonic::transport::Channel;
use v1::{CaseState, ConditionOutcome, DecisionCode, Effect, EventCode};

use crate::stage::{Hub, advance, file, pin, submit, until};

const EXPORTER: &str = "KEP051234567X";
const IMPORTER: &str = "BE0123456789";

/// Two hubs; at the destination an importer, a broker, an officer and a system.
fn stage(dir: &std::path::Path) -> (Hub, Hub) {
    let (ke, be) = (Hub::start(dir, "KE"), Hub::start(dir, "BE"));
    pin(&ke, &be, "full");
    ke.publish("ke-export");
    be.publish("be-advance");
    ke.add_party("platform", "platform", EXPORTER);
    be.add_party("importer", "trader", IMPORTER);
    be.add_party("broker", "platform", "BE0999999999");
    be.add_account("officer", "officer");
    be.add_account("system", "system");
    (ke, be)
}

/// An advance filing that the rules of the destination clear.
fn coffee(lrn: &str) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    if let Some(core) = &mut filing.core {
        core.exporter_id = EXPORTER.into();
        core.importer_id = IMPORTER.into();
        core.departure_date = "2026-12-01".into();
    }
    filing
}

async fn case(hub: &Hub, profile: &str, id: &str) -> v1::Case {
    until("the case to be known", || async {
        let request = v1::GetCaseRequest { case_id: id.into() };
        match hub.trade(profile).await.get_case(request).await {
            Ok(found) => found.into_inner().case,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{status}"),
        }
    })
    .await
}

/// Both hubs come to show the same, and it is this state.
async fn both(ke: &Hub, be: &Hub, id: &str, state: CaseState) -> v1::Case {
    until(state.as_str_name(), || async {
        let profile = if ke.process.hub == "KE" { "platform" } else { "officer" };
        let (there, here) = (case(ke, profile, id).await, case(be, "officer", id).await);
        let same = there.state == here.state
            && there.needs == here.needs
            && there.goods == here.goods
            && assessed(&there) == assessed(&here)
            && there.adoptions == here.adoptions;
        (same && here.state() == state).then_some(here)
    })
    .await
}

/// Filings with their tracks.
fn assessed(case: &v1::Case) -> Vec<(Vec<u8>, i32, Vec<v1::Assessment>)> {
    let of = |f: &v1::CaseFiling| {
        let at = f.statement.clone().unwrap_or_default().commitment;
        (at, f.state, f.assessments.clone())
    };
    let mut all: Vec<_> = case.filings.iter().map(of).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

async fn desk(hub: &Hub, profile: &str) -> DeskServiceClient<Channel> {
    DeskServiceClient::new(hub.channel(profile).await)
}

fn filing_id(case: &v1::Case, kind: v1::FilingType) -> (String, u32) {
    let cores = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    let core = cores.into_iter().find(|c| c.r#type() == kind).unwrap();
    (core.filing_id.clone(), core.version)
}

fn decision(
    case: &v1::Case,
    kind: v1::FilingType,
    effect: Effect,
    code: DecisionCode,
    key: &str,
) -> v1::DecideRequest {
    let (filing_id, filing_version) = filing_id(case, kind);
    v1::DecideRequest {
        case_id: case.case_id.clone(),
        filing_id,
        filing_version,
        effect: effect as i32,
        code: code as i32,
        idempotency_key: key.into(),
        ..Default::default()
    }
}

async fn decide(
    hub: &Hub,
    profile: &str,
    request: v1::DecideRequest,
) -> Result<v1::StatementRef, Vec<v1::Finding>> {
    use v1::decide_response::Result as Outcome;
    match desk(hub, profile).await.decide(request).await.unwrap().into_inner().result.unwrap() {
        Outcome::Logged(at) => Ok(at),
        Outcome::Refused(refused) => Err(refused.violations),
        v1::decide_response::Result::Proposed(p) => panic!("no second officer is wanted: {p:?}"),
    }
}

fn adoption(case: &v1::Case, lrn: &str, declarant: &str, code: &str) -> v1::AdoptRequest {
    let (filing_id, filing_version) = filing_id(case, v1::FilingType::Advance);
    let core =
        v1::FilingCore { lrn: lrn.into(), declarant_id: declarant.into(), ..Default::default() };
    v1::AdoptRequest {
        case_id: case.case_id.clone(),
        filing_id,
        filing_version,
        one_time_code: code.into(),
        filing: Some(v1::Filing { core: Some(core), ..Default::default() }),
    }
}

async fn adopt(
    hub: &Hub,
    profile: &str,
    request: v1::AdoptRequest,
) -> Result<v1::Accepted, Vec<v1::Finding>> {
    use v1::adopt_response::Result as Outcome;
    match hub.trade(profile).await.adopt(request).await.unwrap().into_inner().result.unwrap() {
        Outcome::Accepted(accepted) => Ok(accepted),
        Outcome::Refused(refused) => Err(refused.violations),
    }
}

async fn withdraw(
    hub: &Hub,
    profile: &str,
    case_id: &str,
    filing_id: &str,
) -> Result<v1::StatementRef, Vec<v1::Finding>> {
    use v1::invalidate_response::Result as Outcome;
    let request = v1::InvalidateRequest {
        case_id: case_id.into(),
        filing_id: filing_id.into(),
        reason: "ORDER-CANCELLED".into(),
    };
    match hub.trade(profile).await.invalidate(request).await.unwrap().into_inner().result.unwrap() {
        Outcome::Logged(at) => Ok(at),
        Outcome::Refused(refused) => Err(refused.violations),
    }
}

async fn report(
    hub: &Hub,
    profile: &str,
    case_id: &str,
    code: EventCode,
) -> Result<(), Vec<v1::Finding>> {
    use v1::report_event_response::Result as Outcome;
    let request = v1::ReportEventRequest {
        case_id: case_id.into(),
        code: code as i32,
        idempotency_key: format!("{case_id}-{}", code as i32),
        ..Default::default()
    };
    let answer = hub.trade(profile).await.report_event(request).await.unwrap().into_inner();
    match answer.result.unwrap() {
        Outcome::Logged(_) => Ok(()),
        Outcome::Refused(refused) => Err(refused.violations),
    }
}

fn codes(violations: &[v1::Finding]) -> Vec<&str> {
    violations.iter().map(|v| v.code.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consignment_is_cleared_adopted_presented_released_and_checked_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = stage(dir.path());
    // Export and advance in one case: what Kenya decides on the export filing is known in Belgium too.
    let mut export = coffee("LIFE-1E");
    if let (Some(core), Some(goods)) = (&mut export.core, &mut export.goods) {
        core.r#type = v1::FilingType::Export as i32;
        core.declarant_id = EXPORTER.into();
        goods.items[0].procedure = "1000".into();
    }
    let exported = file(&mut ke.trade("platform").await, export).await;
    let mut advance = coffee("LIFE-1");
    advance.core.as_mut().unwrap().case_id.clone_from(&exported.case_id);
    let filed = file(&mut ke.trade("platform").await, advance).await;
    let id = filed.case_id.clone();
    let cleared = both(&ke, &be, &id, CaseState::Cleared).await;
    let needs: Vec<v1::ReleaseNeed> = cleared.needs.iter().map(v1::CaseNeed::what).collect();
    assert_eq!(needs, [v1::ReleaseNeed::Adoption, v1::ReleaseNeed::Presentation]);

    // The importer that the filing names sees it at its own hub and adopts it; a broker without mandate does neither.
    assert_eq!(case(&be, "importer", &id).await.case_id, id);
    let request = v1::GetCaseRequest { case_id: id.clone() };
    let hidden = be.trade("broker").await.get_case(request).await.unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    let not_mine = adopt(&be, "broker", adoption(&cleared, "IMP-0", "BE0999999999", "")).await;
    assert_eq!(codes(&not_mine.unwrap_err()), ["case-unknown"]);
    let request = adoption(&cleared, "IMP-1", IMPORTER, "");
    let import = adopt(&be, "importer", request.clone()).await.unwrap();
    let again = adopt(&be, "importer", request).await.unwrap();
    assert!(again.repeated_submission, "{again:?}");
    assert_eq!(again.log_index, import.log_index);
    let adopted = until("the fiscal decision at both", || async {
        let case = both(&ke, &be, &id, CaseState::Cleared).await;
        let fiscal = |d: &v1::CaseDecision| d.core.as_ref().is_some_and(|c| c.effect == 3);
        case.decisions.iter().any(fiscal).then_some(case)
    })
    .await;
    assert_eq!(adopted.adoptions.len(), 1);
    let exporter_asks = withdraw(&ke, "platform", &id, &filed.filing_id).await.unwrap_err();
    assert_eq!(codes(&exporter_asks), ["adopted"]);

    // Release needs the goods to be there; only who declares or carries says so.
    let import_kind = v1::FilingType::Import;
    let release =
        |key: &str| decision(&adopted, import_kind, Effect::Release, DecisionCode::Release, key);
    let early = decide(&be, "officer", release("r-0")).await.unwrap_err();
    assert_eq!(early[0].allowed, "once these are there: presentation");
    assert_eq!(
        codes(&report(&ke, "platform", &id, EventCode::Departed).await.unwrap_err()),
        ["rights"]
    );
    report(&be, "importer", &id, EventCode::Presented).await.unwrap();
    let first = decide(&be, "officer", release("r-1")).await.unwrap();
    let repeated = decide(&be, "officer", release("r-1")).await.unwrap();
    assert_eq!(first, repeated, "an act is repeated without a second effect");
    let other = v1::DecideRequest { note: "another".into(), ..release("r-1") };
    let reused = decide(&be, "officer", other).await.unwrap_err();
    assert_eq!(codes(&reused), ["idempotency-key-reused"]);
    let released = both(&ke, &be, &id, CaseState::Released).await;
    assert!(released.needs.is_empty());
    let late = withdraw(&ke, "platform", &id, &filed.filing_id).await.unwrap_err();
    assert_eq!(codes(&late), ["released"]);

    // What is revoked afterwards takes nothing back: it opens a check.
    let advance_kind = v1::FilingType::Advance;
    let revoke =
        decision(&released, advance_kind, Effect::Admissibility, DecisionCode::Revoke, "revoke-1");
    decide(&be, "system", revoke).await.unwrap();
    let checked = both(&ke, &be, &id, CaseState::PostReleaseCheck).await;
    let last = checked.decisions.last().unwrap().core.as_ref().unwrap();
    assert_eq!(last.source(), v1::DecisionSource::System);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_one_time_code_adopts_and_a_withdrawal_undoes_a_clearance() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = stage(dir.path());
    let filed = file(&mut ke.trade("platform").await, coffee("CODE-1")).await;
    assert_eq!(filed.one_time_code.len(), 16);
    let case = both(&ke, &be, &filed.case_id, CaseState::Cleared).await;
    let wrong = "A".repeat(16);
    let refused = adopt(&be, "broker", adoption(&case, "IMP-1", "BE0999999999", &wrong)).await;
    assert_eq!(codes(&refused.unwrap_err()), ["case-unknown"]);
    let request = adoption(&case, "IMP-1", "BE0999999999", &filed.one_time_code);
    let import = adopt(&be, "broker", request).await.unwrap();
    both(&ke, &be, &filed.case_id, CaseState::Cleared).await;
    // The broker withdraws the import filing, then the exporter its own.
    withdraw(&be, "broker", &filed.case_id, &import.filing_id).await.unwrap();
    until("the withdrawal there", || async {
        let case = self::case(&ke, "platform", &filed.case_id).await;
        (!case.invalidations.is_empty()).then_some(())
    })
    .await;
    let gone_at = withdraw(&ke, "platform", &filed.case_id, &filed.filing_id).await.unwrap();
    let gone = both(&ke, &be, &filed.case_id, CaseState::Invalidated).await;
    assert_eq!(gone.invalidations.len(), 2);
    // Who asks again, not knowing what became of it, is told where it stands.
    let twice = withdraw(&ke, "platform", &filed.case_id, &filed.filing_id).await.unwrap();
    assert_eq!(twice, gone_at);
    // A resend is still answered as it was.
    let again = file(&mut ke.trade("platform").await, coffee("CODE-1")).await;
    assert!(again.repeated_submission);
    assert_eq!(again.one_time_code, filed.one_time_code);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_imposes_a_condition_that_is_met_and_systems_waive_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = stage(dir.path());
    let filed = file(&mut ke.trade("platform").await, coffee("COND-1")).await;
    let case = both(&ke, &be, &filed.case_id, CaseState::Cleared).await;
    let conditional = v1::DecideRequest {
        conditions: vec![v1::Condition {
            id: "GUARANTEE".into(),
            what: Some(v1::Reason { code: "GUARANTEE".into(), ..Default::default() }),
        }],
        ..decision(
            &case,
            v1::FilingType::Advance,
            Effect::Admissibility,
            DecisionCode::ClearConditional,
            "c-1",
        )
    };
    let without = v1::DecideRequest { conditions: Vec::new(), ..conditional.clone() };
    assert_eq!(codes(&decide(&be, "officer", without).await.unwrap_err()), ["list"]);
    let wrong_code =
        decision(&case, v1::FilingType::Advance, Effect::Admissibility, DecisionCode::Dnl, "c-2");
    let told = decide(&be, "officer", wrong_code).await.unwrap_err();
    assert!(told[0].allowed.contains("CLEAR_CONDITIONAL") && told[0].code == "decision-code");
    let imposed = decide(&be, "officer", conditional).await.unwrap();
    let conditioned = both(&ke, &be, &filed.case_id, CaseState::ClearedConditional).await;
    let open = conditioned.needs.iter().find(|n| n.condition_id == "GUARANTEE").unwrap();
    assert_eq!(open.decision, imposed.commitment);
    let settle = |outcome: ConditionOutcome, key: &str| v1::SettleConditionRequest {
        case_id: filed.case_id.clone(),
        decision: imposed.commitment.clone(),
        condition_id: "GUARANTEE".into(),
        outcome: outcome as i32,
        reference: "GRN 26BE000000000001".into(),
        idempotency_key: key.into(),
    };
    use v1::settle_condition_response::Result as Outcome;
    let mut system = desk(&be, "system").await;
    let waived = system.settle_condition(settle(ConditionOutcome::Waived, "s-1")).await.unwrap();
    assert!(matches!(waived.into_inner().result, Some(Outcome::Refused(_))));
    let met = system.settle_condition(settle(ConditionOutcome::Met, "s-2")).await.unwrap();
    assert!(matches!(met.into_inner().result, Some(Outcome::Logged(_))));
    let settled = both(&ke, &be, &filed.case_id, CaseState::Cleared).await;
    let shown = settled.decisions.iter().flat_map(|d| &d.conditions).next().unwrap();
    assert_eq!(shown.outcome(), ConditionOutcome::Met);
    assert_eq!(shown.reference, "GRN 26BE000000000001");
    // Officers and systems decide; traders don't.
    let refused = desk(&be, "importer").await.list_inbox(v1::ListInboxRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_asks_and_takes_over_what_the_rules_would_have_decided() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, mut be) = stage(dir.path());
    be.process.stop().unwrap();
    be.process.configure("\n[desk]\npaused = true\n").unwrap();
    be.process.start().unwrap();
    let filed = file(&mut ke.trade("platform").await, coffee("ASK-1")).await;
    let pending = both(&ke, &be, &filed.case_id, CaseState::Pending).await;
    let (filing_id, filing_version) = self::filing_id(&pending, v1::FilingType::Advance);
    let mut inbox = desk(&be, "officer").await;
    let listed = inbox.list_inbox(v1::ListInboxRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.items.len(), 1);
    let question = v1::Question { code: "FARM".into(), ..Default::default() };
    let ask = v1::AskRequest {
        case_id: filed.case_id.clone(),
        filing_id,
        filing_version,
        questions: vec![question],
        idempotency_key: "ask-1".into(),
        ..Default::default()
    };
    inbox.ask(ask).await.unwrap();
    let asked = both(&ke, &be, &filed.case_id, CaseState::InfoRequested).await;
    let answer = v1::AnswerInformationRequestRequest {
        case_id: filed.case_id.clone(),
        request: asked.info_requests[0].statement.as_ref().unwrap().commitment.clone(),
        answers: vec![v1::Answer { code: "FARM".into(), value: "Gatura, plot 7".into() }],
        ..Default::default()
    };
    ke.trade("platform").await.answer_information_request(answer).await.unwrap();
    let answered = both(&ke, &be, &filed.case_id, CaseState::Pending).await;
    // One effect is decided by the system: what is left is an officer's, and the rules find nothing to do any more.
    let advance = v1::FilingType::Advance;
    let dnl = decision(&answered, advance, Effect::Security, DecisionCode::Dnl, "sys-1");
    decide(&be, "system", dnl).await.unwrap();
    both(&ke, &be, &filed.case_id, CaseState::DoNotLoad).await;
    let request = v1::ListInboxRequest { officers_only: true, ..Default::default() };
    let left = inbox.list_inbox(request.clone()).await.unwrap().into_inner();
    assert_eq!(left.items[0].reason, "still to be decided: ADMISSIBILITY");
    let clear = decision(&answered, advance, Effect::Security, DecisionCode::Clear, "off-1");
    decide(&be, "officer", clear).await.unwrap();
    let clear = decision(&answered, advance, Effect::Admissibility, DecisionCode::Clear, "off-2");
    decide(&be, "officer", clear).await.unwrap();
    let done = both(&ke, &be, &filed.case_id, CaseState::Cleared).await;
    let security = done.decisions.iter().filter_map(|d| d.core.as_ref());
    let newest = security.into_iter().rfind(|c| c.effect() == Effect::Security).unwrap();
    assert!(!newest.supersedes.is_empty(), "the later decision names the one that it supersedes");
    let empty = inbox.list_inbox(request).await.unwrap().into_inner();
    assert!(empty.items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_files_for_a_party_without_its_mandate_and_a_party_sees_its_cases_later() {
    let dir = tempfile::tempdir().unwrap();
    let ke = Hub::start(dir.path(), "KE");
    ke.add_account("platform", "platform");
    let parties = ["KEP000000001A", "KEP000000002B"];
    let filing = |lrn: &str, party: &str| {
        let mut filing = advance(lrn, "KE", "BE");
        if let Some(core) = &mut filing.core {
            core.exporter_id = party.into();
        }
        filing
    };
    let mut platform = ke.trade("platform").await;
    let refused = |answer| match answer {
        v1::submit_response::Result::Refused(refused) => refused.violations,
        v1::submit_response::Result::Accepted(_) => panic!("accepted"),
    };
    let violations = refused(submit(&mut platform, filing("M-0", parties[0])).await);
    assert_eq!(codes(&violations), ["mandate-missing"]);
    let file_of_parties = dir.path().join("parties.txt");
    std::fs::write(&file_of_parties, parties.join("\n")).unwrap();
    ke.mandates(&file_of_parties);
    let mut cases = Vec::new();
    for (n, party) in parties.iter().enumerate() {
        cases.push(file(&mut platform, filing(&format!("M-{}", n + 1), party)).await.case_id);
    }
    // The first party gets an account of its own: it sees its case, in lists and in changes, and not the other's.
    ke.add_party("coop", "trader", parties[0]);
    let mut coop = ke.trade("coop").await;
    let listed = crate::stage::all_cases(&mut coop).await;
    assert_eq!(listed.iter().map(|c| &c.case_id).collect::<Vec<_>>(), [&cases[0]]);
    let hidden = coop.get_case(v1::GetCaseRequest { case_id: cases[1].clone() }).await;
    assert_eq!(hidden.unwrap_err().code(), Code::NotFound);
    let mut changes =
        coop.watch_cases(v1::WatchCasesRequest { cursor: 0 }).await.unwrap().into_inner();
    let first = changes.message().await.unwrap().unwrap();
    assert_eq!(first.case.unwrap().case_id, cases[0]);
    let more = tokio::time::timeout(Duration::from_millis(300), changes.message()).await;
    assert!(more.is_err(), "a change of another's case");
    // It takes its mandate back: the platform files nothing more for it, and still sees what it filed.
    let revoked = v1::MandateCore {
        principal_id: parties[0].into(),
        account: "platform".into(),
        filing_types: vec!["advance".into()],
        valid_from: "2000-01-01".into(),
        valid_until: "2099-12-31".into(),
        time_zone: "Africa/Nairobi".into(),
        revoked: true,
    };
    let request = v1::PutMandateRequest { mandate: Some(revoked.clone()) };
    coop.put_mandate(request.clone()).await.unwrap();
    let violations = refused(submit(&mut platform, filing("M-3", parties[0])).await);
    assert_eq!(codes(&violations), ["mandate-missing"]);
    assert_eq!(crate::stage::all_cases(&mut platform).await.len(), 2);
    // Nobody gives a mandate for another.
    let stolen = v1::MandateCore { principal_id: parties[1].into(), revoked: false, ..revoked };
    let request = v1::PutMandateRequest { mandate: Some(stolen) };
    use v1::put_mandate_response::Result as Outcome;
    match coop.put_mandate(request).await.unwrap().into_inner().result.unwrap() {
        Outcome::Refused(refused) => assert_eq!(codes(&refused.violations), ["rights"]),
        Outcome::Logged(_) => panic!("logged"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_filing_is_completed_by_another_filer_who_has_the_code() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = stage(dir.path());
    ke.add_account("forwarder", "platform");
    let mut partial = coffee("SEVEN-1");
    partial.core.as_mut().unwrap().partial = true;
    partial.goods.as_mut().unwrap().total_packages = 1;
    partial.goods.as_mut().unwrap().transport_document = "HAWB-7".into();
    let first = file(&mut ke.trade("platform").await, partial).await;
    let mut complete = advance("SEVEN-2", "KE", "BE");
    let core = complete.core.as_mut().unwrap();
    core.case_id.clone_from(&first.case_id);
    core.completes.clone_from(&first.filing_id);
    core.departure_date = "2026-12-01".into();
    let mut forwarder = ke.trade("forwarder").await;
    let mut request = v1::SubmitRequest { filing: Some(complete), ..Default::default() };
    use v1::submit_response::Result as Outcome;
    match forwarder.submit(request.clone()).await.unwrap().into_inner().result.unwrap() {
        Outcome::Refused(refused) => assert_eq!(codes(&refused.violations), ["case-unknown"]),
        Outcome::Accepted(_) => panic!("joined without the code"),
    }
    request.one_time_code.clone_from(&first.one_time_code);
    let joined = forwarder.submit(request).await.unwrap().into_inner().result.unwrap();
    let Outcome::Accepted(second) = joined else { panic!("refused") };
    assert_eq!(second.case_id, first.case_id);
    let case = both(&ke, &be, &first.case_id, CaseState::Cleared).await;
    let closed = |id: &str| {
        let of = |f: &&v1::CaseFiling| {
            f.filing.as_ref().and_then(|f| f.core.as_ref()).is_some_and(|c| c.filing_id == id)
        };
        case.filings.iter().find(of).unwrap().state() == v1::FilingState::Closed
    };
    assert!(closed(&first.filing_id) && !closed(&second.filing_id));
    let seen = self::case(&ke, "forwarder", &first.case_id).await;
    let values: Vec<bool> =
        seen.filings.iter().map(|f| f.filing.as_ref().is_some_and(|f| f.value.is_some())).collect();
    assert_eq!(values, [false, true], "another filer's prices are not shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_comes_onto_the_route_hears_what_the_destination_said_before() {
    onto_the_route(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_comes_onto_the_route_may_hear_the_destination_before_the_origin() {
    onto_the_route(true).await;
}

/// The goods of a case go another way; the hub that is new to it may hear the destination's import filing before the origin's case.
async fn onto_the_route(destination_first: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (mut ke, be) = stage(dir.path());
    let mut nl = Hub::start(dir.path(), "NL");
    pin(&ke, &nl, "full");
    pin(&be, &nl, "full");
    nl.add_account("officer", "officer");
    let mut export = coffee("WAY-1E");
    if let (Some(core), Some(goods)) = (&mut export.core, &mut export.goods) {
        core.r#type = v1::FilingType::Export as i32;
        core.declarant_id = EXPORTER.into();
        goods.items[0].procedure = "1000".into();
    }
    let exported = file(&mut ke.trade("platform").await, export.clone()).await;
    let mut advance = coffee("WAY-1");
    advance.core.as_mut().unwrap().case_id.clone_from(&exported.case_id);
    let id = file(&mut ke.trade("platform").await, advance).await.case_id;
    let cleared = both(&ke, &be, &id, CaseState::Cleared).await;
    adopt(&be, "importer", adoption(&cleared, "IMP-1", IMPORTER, "")).await.unwrap();
    until("the fiscal decision", || async {
        let case = both(&ke, &be, &id, CaseState::Cleared).await;
        (case.decisions.len() == 4).then_some(())
    })
    .await;
    // The export filing is amended: the goods go over Rotterdam. Kenya tells the Dutch hub what it said so far; Belgium does so
    // with the first thing that it says after it heard of that.
    let core = export.core.as_mut().unwrap();
    core.lrn = "WAY-1E2".into();
    core.case_id.clone_from(&exported.case_id);
    core.filing_id.clone_from(&exported.filing_id);
    core.function = v1::FilingFunction::Amendment as i32;
    core.offices = vec!["NL000510".into()];
    if destination_first {
        nl.process.stop().unwrap();
    }
    let second = file(&mut ke.trade("platform").await, export).await;
    assert_eq!(second.audience, ["BE", "NL"]);
    until("Belgium to hear of the route", || async {
        let case = case(&be, "officer", &id).await;
        let of_export = |f: &&v1::CaseFiling| {
            f.filing.as_ref().and_then(|f| f.core.as_ref()).is_some_and(|c| c.version == 2)
        };
        case.filings.iter().find(of_export).map(drop)
    })
    .await;
    if destination_first {
        ke.process.stop().unwrap();
    }
    report(&be, "importer", &id, EventCode::Presented).await.unwrap();
    let adopted = case(&be, "officer", &id).await;
    let kind = v1::FilingType::Import;
    let release = decision(&adopted, kind, Effect::Release, DecisionCode::Release, "release");
    decide(&be, "officer", release).await.unwrap();
    if destination_first {
        nl.process.start().unwrap();
        until("the Dutch hub to hear of the release", || async {
            let heard = case(&nl, "officer", &id).await;
            let mut said = heard.decisions.iter().filter_map(|d| d.core.as_ref());
            said.any(|c| c.effect() == Effect::Release).then_some(())
        })
        .await;
        ke.process.start().unwrap();
    }
    let there = both(&nl, &be, &id, CaseState::Released).await;
    assert!(there.not_honoured.is_empty(), "{:?}", there.not_honoured);
    let on_its_way = case(&nl, "officer", &id).await;
    assert_eq!(on_its_way.filings.len(), 3);
    assert!(on_its_way.not_honoured.is_empty(), "{:?}", on_its_way.not_honoured);
    both(&ke, &be, &id, CaseState::Released).await;
}

/// Statements of which something has left the hub's disk since its start.
fn forgotten(hub: &Hub) -> u64 {
    let metrics = ewtp_testnet::http_get(&hub.process.public(), "/metrics").unwrap();
    let count = metrics.lines().find_map(|l| l.strip_prefix("ewtp_forgotten_statements_total "));
    count.map_or(0, |n| n.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_at_the_origin_does_not_end_what_the_importers_own_account_filed() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, mut be) = stage(dir.path());
    // BE's janitor comes round every second.
    be.process.stop().unwrap();
    be.process.configure("\n[retention]\ncadence_s = 1\n").unwrap();
    be.process.start().unwrap();
    ke.add_account("archivist", "officer");
    let filed = file(&mut ke.trade("platform").await, coffee("KEEP-OWN-1")).await;
    let cleared = both(&ke, &be, &filed.case_id, CaseState::Cleared).await;
    adopt(&be, "importer", adoption(&cleared, "IMP-OWN", IMPORTER, "")).await.unwrap();
    report(&be, "importer", &filed.case_id, EventCode::Presented).await.unwrap();
    let adopted = until("the fiscal decision", || async {
        let case = case(&be, "officer", &filed.case_id).await;
        (case.adoptions.len() == 1 && case.decisions.len() >= 3).then_some(case)
    })
    .await;
    let kind = v1::FilingType::Import;
    let release = decision(&adopted, kind, Effect::Release, DecisionCode::Release, "own-r");
    decide(&be, "officer", release).await.unwrap();
    both(&ke, &be, &filed.case_id, CaseState::Released).await;
    ke.json("archivist", &["case", "erase", &filed.case_id, "--reason", "COURT-1"]);
    until("the advance filing to go", || async {
        let case = case(&be, "officer", &filed.case_id).await;
        (case.filings.len() == 1).then_some(())
    })
    .await;
    // The janitor compacts at the end of each round in which something went: two compactions later it has come back to the order.
    until("the first compaction", || async { (forgotten(&be) > 0).then_some(()) }).await;
    let first = forgotten(&be);
    let other = file(&mut ke.trade("platform").await, coffee("KEEP-OWN-2")).await;
    both(&ke, &be, &other.case_id, CaseState::Cleared).await;
    withdraw(&ke, "platform", &other.case_id, &other.filing_id).await.unwrap();
    both(&ke, &be, &other.case_id, CaseState::Invalidated).await;
    ke.json("archivist", &["case", "erase", &other.case_id, "--reason", "COURT-2"]);
    until("the next one", || async { (forgotten(&be) > first).then_some(()) }).await;
    let left = case(&be, "officer", &filed.case_id).await;
    let import = left.filings[0].filing.as_ref().unwrap().core.as_ref().unwrap();
    assert_eq!((import.lrn.as_str(), import.r#type()), ("IMP-OWN", kind));
    assert_eq!(left.state(), CaseState::Released);
}
