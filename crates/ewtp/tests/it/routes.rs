//! Who is on a route, who joins later, and events that move many cases.

use std::path::Path;

use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_testnet::HubProcess;
use tokio_stream::StreamExt as _;
use v1::event_selector::By;
use v1::{CaseState, EventCode, GoodsState};

use crate::stage::{EWTP, Hub, advance, all_cases, case, file, pin, shows, submit, until};

fn codes(outcome: v1::submit_response::Result) -> Vec<String> {
    match outcome {
        v1::submit_response::Result::Refused(refused) => {
            refused.violations.into_iter().map(|v| v.code).collect()
        }
        v1::submit_response::Result::Accepted(accepted) => panic!("{accepted:?}"),
    }
}

async fn record(
    hub: &Hub,
    request: v1::RecordEventRequest,
) -> Result<v1::StatementRef, Vec<v1::Finding>> {
    use v1::record_event_response::Result as Outcome;
    let mut desk = DeskServiceClient::new(hub.channel("officer").await);
    match desk.record_event(request).await.unwrap().into_inner().result.unwrap() {
        Outcome::Logged(at) => Ok(at),
        Outcome::Refused(refused) => Err(refused.violations),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_joins_later_is_told_what_waited_and_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, fr) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "FR"));
    ke.add_account("platform", "platform");
    fr.publish("be-advance");
    let mut trade = ke.trade("platform").await;
    let mut waiting = Vec::new();
    for n in 0..3 {
        let accepted = file(&mut trade, advance(&format!("WAIT-{n}"), "KE", "FR")).await;
        assert!(accepted.audience.is_empty());
        waiting.push(accepted);
    }
    // One is amended while it waits: both versions are told, in order.
    let mut amended = advance("WAIT-0-V2", "KE", "FR");
    let core = amended.core.as_mut().unwrap();
    core.case_id.clone_from(&waiting[0].case_id);
    core.filing_id.clone_from(&waiting[0].filing_id);
    core.function = v1::FilingFunction::Amendment as i32;
    amended.goods.as_mut().unwrap().items[0].description = "Coffee, green, washed".into();
    assert_eq!(file(&mut trade, amended).await.version, 2);
    let before = case(&ke, "platform", &waiting[0].case_id).await.unwrap();
    assert_eq!(before.state(), CaseState::NotConnected);
    pin(&ke, &fr, "full");
    for accepted in &waiting {
        let here = shows(&ke, "platform", &accepted.case_id, CaseState::Cleared).await;
        let there = shows(&fr, "operator", &accepted.case_id, CaseState::Cleared).await;
        assert!(here.not_honoured.is_empty() && there.not_honoured.is_empty(), "{here:?}");
        assert!(here.decisions.iter().all(|d| d.statement.as_ref().unwrap().hub == "FR"));
    }
    let there = case(&fr, "operator", &waiting[0].case_id).await.unwrap();
    let changes = &there.filings[0].changes;
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].path, "goods.items[0].description");
    assert_eq!(changes[0].after, "Coffee, green, washed");
    // Nothing is told twice: the lane holds each filing version and each route once.
    assert_eq!(fr.status().await.heard, 4 + 3, "four versions and three routes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_route_tells_the_new_hubs_everything_and_the_old_ones_too() {
    let dir = tempfile::tempdir().unwrap();
    let ke = Hub::start(dir.path(), "KE");
    let (be, nl) = (Hub::start(dir.path(), "BE"), Hub::start(dir.path(), "NL"));
    for hub in [&be, &nl] {
        pin(&ke, hub, "full");
        hub.publish("be-advance");
        hub.add_account("officer", "officer");
    }
    pin(&be, &nl, "full");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    let filed = file(&mut trade, advance("ROUTE-1", "KE", "BE")).await;
    assert_eq!(filed.audience, ["BE"]);
    shows(&ke, "platform", &filed.case_id, CaseState::Cleared).await;
    assert!(case(&nl, "officer", &filed.case_id).await.is_none());
    let next = |lrn: &str, to: &str| {
        let mut filing = advance(lrn, "KE", to);
        let core = filing.core.as_mut().unwrap();
        core.case_id.clone_from(&filed.case_id);
        core.filing_id.clone_from(&filed.filing_id);
        core.function = v1::FilingFunction::Amendment as i32;
        core.offices = vec!["NL000510".into()];
        filing
    };
    // Over Rotterdam now: the Dutch hub hears both versions, and its word on the goods counts everywhere.
    let second = file(&mut trade, next("ROUTE-2", "BE")).await;
    assert_eq!(second.audience, ["BE", "NL"]);
    let there = until("the case to be known on its way", || async {
        case(&nl, "officer", &filed.case_id).await
    })
    .await;
    assert_eq!(there.filings[0].changes.len(), 1, "{:?}", there.filings[0].changes);
    shows(&ke, "platform", &filed.case_id, CaseState::Cleared).await;
    let arrived = v1::RecordEventRequest {
        case_id: filed.case_id.clone(),
        code: EventCode::Arrived as i32,
        office: "NL000510".into(),
        idempotency_key: "arrived".into(),
        ..Default::default()
    };
    let at = record(&nl, arrived.clone()).await.unwrap();
    assert_eq!(record(&nl, arrived).await.unwrap(), at);
    for hub in [&ke, &be] {
        until("the leg on the way", || async {
            let legs = case(hub, "operator", &filed.case_id).await?.goods;
            let there = |l: &&v1::GoodsLeg| l.hub == "NL" && l.state() == GoodsState::Arrived;
            legs.iter().find(there).map(drop)
        })
        .await;
    }
    // Sold on: the goods go to the Netherlands. What Belgium decided releases nothing any more.
    let third = file(&mut trade, next("ROUTE-3", "NL")).await;
    assert_eq!((third.version, third.audience.len()), (3, 2));
    let now = shows(&ke, "platform", &filed.case_id, CaseState::Cleared).await;
    assert!(now.filings[0].assessments.iter().all(|a| a.hub == "NL"));
    // Belgium hears that the goods go elsewhere, and nothing of what is decided there.
    let there = shows(&be, "officer", &filed.case_id, CaseState::Pending).await;
    assert!(there.filings[0].assessments.iter().all(|a| a.hub == "NL"));
    assert!(now.not_honoured.is_empty(), "{:?}", now.not_honoured);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_need_another_agency_reach_it_and_unknown_competences_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let make = |id: &str, competences: &[&str]| {
        let competences = competences.iter().map(|c| (*c).to_owned()).collect();
        let (program, home) = (Path::new(EWTP), dir.path().join(id));
        let mut process =
            HubProcess::init_for(program, &home, id, "a passphrase for tests", competences)
                .unwrap();
        process.start().unwrap();
        let hub = Hub { process };
        hub.save_profile("operator");
        hub
    };
    let ke = Hub::start(dir.path(), "KE");
    let (customs, plants) = (make("BE", &["customs", "tax"]), make("BE-PH", &["plant-health"]));
    pin(&ke, &customs, "full");
    customs.publish("be-advance");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    let roses = |lrn: &str| {
        let mut filing = advance(lrn, "KE", "BE");
        filing.core.as_mut().unwrap().items[0].commodity_code = "060311".into();
        filing
    };
    assert_eq!(codes(submit(&mut trade, roses("ROSES-1")).await), ["competence-unknown"]);
    pin(&ke, &plants, "full");
    let filed = file(&mut trade, roses("ROSES-1")).await;
    assert_eq!(filed.audience, ["BE", "BE-PH"]);
    let plants = &plants;
    until("the plant health service to know", || async {
        case(plants, "operator", &filed.case_id).await
    })
    .await;
    // Two hubs never speak for the same.
    let twin = make("BE-TX", &["tax"]);
    let descriptor = twin.process.descriptor().display().to_string();
    let fingerprint = twin.process.chain.fingerprint().to_hex();
    let args = ["peer", "add", &descriptor, "--fingerprint", &fingerprint, "--scope", "full"];
    let refused = ke.run("operator", &args);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("BE speaks for tax in BE already"),
        "{told}"
    );
}

/// Cases of one flight; enough that watchers expand its event in several pages.
const FLOWN: usize = 600;

#[tokio::test(flavor = "multi_thread")]
async fn one_event_moves_every_case_of_a_flight_and_watchers_miss_none_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ke, mut be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    ke.add_account("officer", "officer");
    be.add_account("officer", "officer");
    let flown = |lrn: String, conveyance: &str| {
        let mut filing = advance(&lrn, "KE", "BE");
        let core = filing.core.as_mut().unwrap();
        core.conveyance = conveyance.into();
        core.departure_date = "2026-12-01".into();
        v1::SubmitRequest { filing: Some(filing), ..Default::default() }
    };
    let mut trade = ke.trade("platform").await;
    let request = move |sequence| {
        let flight = if sequence == 0 { "KL999" } else { "KL566" };
        let request = Some(flown(format!("FLOWN-{sequence}"), flight));
        v1::SubmitStreamRequest { sequence, request }
    };
    let filings = tokio_stream::iter((0..=FLOWN as u64).map(request));
    let mut answers = trade.submit_stream(filings).await.unwrap().into_inner();
    let mut other = String::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let result = answer.response.unwrap().result.unwrap();
        let v1::submit_response::Result::Accepted(accepted) = result else { panic!() };
        if answer.sequence == 0 {
            other = accepted.case_id;
        }
    }
    let cleared = || async {
        let cases = all_cases(&mut be.trade("operator").await).await;
        (cases.iter().filter(|c| c.state() == CaseState::Cleared).count() == FLOWN + 1)
            .then_some(())
    };
    until("all to be cleared", cleared).await;
    // Watchers of both sides have seen everything so far.
    let last = newest(&mut ke.trade("platform").await).await;
    let flight = |id: &str| Some(v1::EventSelector { by: Some(By::Conveyance(id.into())) });
    let departed = |id: &str| v1::RecordEventRequest {
        selector: flight(id),
        code: EventCode::Departed as i32,
        idempotency_key: format!("departed {id}"),
        ..Default::default()
    };
    let nothing = record(&ke, departed("KL566/2026-12-02")).await.unwrap_err();
    assert_eq!(nothing[0].code, "selects-nothing");
    let said = ke.status().await.said;
    let at = record(&ke, departed("KL566/2026-12-01")).await.unwrap();
    assert_eq!(record(&ke, departed("KL566/2026-12-01")).await.unwrap(), at);
    assert_eq!(ke.status().await.said, said + 1, "one statement, however many cases");
    // A stream that nobody reads holds up no other call of its connection.
    let channel = ke.channel("platform").await;
    let unread = v1::WatchCasesRequest { cursor: 0 };
    let mut shared = v1::trade_service_client::TradeServiceClient::new(channel);
    let unread = shared.watch_cases(unread).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let request = v1::GetCaseRequest { case_id: other.clone() };
    let answer = tokio::time::timeout(crate::stage::PATIENCE, shared.get_case(request)).await;
    assert!(answer.is_ok_and(|a| a.is_ok()));
    drop(unread);
    // A watcher reads part of it, its hub restarts, and it goes on where it was.
    let mut seen = watch(&ke, last, 100).await;
    let cursor = seen.iter().map(|(_, cursor)| *cursor).max().unwrap();
    assert!(cursor < last + 1, "not all of the event was seen, so its number is not given out");
    ke.process.stop().unwrap();
    ke.process.start().unwrap();
    seen.extend(watch(&ke, cursor, FLOWN).await);
    let mut ids: Vec<String> = seen.into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), FLOWN);
    assert!(!ids.contains(&other));
    let gone = |c: &v1::Case| {
        let leg = c.goods.iter().find(|l| l.hub == "KE");
        leg.map(v1::GoodsLeg::state) == Some(GoodsState::Departed)
    };
    for id in ids.iter().step_by(97) {
        until("departure at the destination", || async {
            case(&be, "officer", id).await.filter(|c| gone(c))
        })
        .await;
    }
    assert!(!gone(&case(&ke, "officer", &other).await.unwrap()));
    // The inbox of the destination saw the same, from the same kind of cursor, over a restart as well.
    let mut moved = std::collections::BTreeMap::new();
    let mut cursor = 0;
    for restarted in [false, true] {
        let mut desk = DeskServiceClient::new(be.channel("officer").await);
        let request = v1::WatchInboxRequest { cursor };
        let mut inbox = desk.watch_inbox(request).await.unwrap().into_inner();
        let enough = |moved: &std::collections::BTreeMap<String, u32>| match restarted {
            false => moved.len() >= 100,
            true => moved.values().filter(|n| **n >= 3).count() >= FLOWN,
        };
        while !enough(&moved) {
            let change = inbox.next().await.unwrap().unwrap();
            cursor = change.cursor;
            *moved.entry(change.case.unwrap().case_id).or_insert(0) += 1;
        }
        if !restarted {
            be.process.stop().unwrap();
            be.process.start().unwrap();
        }
    }
    assert_eq!(moved.len(), FLOWN + 1);
}

/// Number of the newest change that an account sees.
async fn newest(
    trade: &mut v1::trade_service_client::TradeServiceClient<tonic::transport::Channel>,
) -> u64 {
    let request = v1::WatchCasesRequest { cursor: 0 };
    let mut changes = trade.watch_cases(request).await.unwrap().into_inner();
    let mut last = 0;
    let quiet = std::time::Duration::from_secs(1);
    while let Ok(Some(change)) = tokio::time::timeout(quiet, changes.next()).await {
        last = change.unwrap().cursor;
    }
    last
}

/// The next changes after a cursor: case and cursor.
async fn watch(hub: &Hub, cursor: u64, count: usize) -> Vec<(String, u64)> {
    let request = v1::WatchCasesRequest { cursor };
    let mut trade = hub.trade("platform").await;
    let mut changes = trade.watch_cases(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < count {
        let change = changes.next().await.unwrap().unwrap();
        seen.push((change.case.unwrap().case_id, change.cursor));
    }
    seen
}
