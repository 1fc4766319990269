//! The desk's finer points: two questions at once, the random draw and its audit, IOSS holders, departures under a stop.

use ewtp_hub::clock::{Clock as _, SystemClock};
use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use v1::{CaseState, EventCode};

use crate::stage::{Hub, advance, case, file, pin, shows, until};

fn stage(dir: &std::path::Path) -> (Hub, Hub) {
    let (ke, be) = (Hub::start(dir, "KE"), Hub::start(dir, "BE"));
    pin(&ke, &be, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    be.add_account("officer", "officer");
    (ke, be)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_questions_keeps_its_deadline_and_the_rules_wait_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = stage(dir.path());
    let mut vague = advance("ASK-1", "KE", "BE");
    vague.goods.as_mut().unwrap().items[0].description = "parts".into();
    let filed = file(&mut ke.trade("platform").await, vague).await;
    let asked = shows(&be, "officer", &filed.case_id, CaseState::InfoRequested).await;
    let core = asked.filings[0].filing.as_ref().unwrap().core.clone().unwrap();
    let now_ms = SystemClock.now_ms() as i64;
    let question = |code: &str, within_s: i64| v1::AskRequest {
        case_id: filed.case_id.clone(),
        filing_id: core.filing_id.clone(),
        filing_version: 1,
        questions: vec![v1::Question { code: code.into(), ..Default::default() }],
        deadline_ms: now_ms + 1000 * within_s,
        idempotency_key: code.into(),
    };
    let mut desk = DeskServiceClient::new(be.channel("officer").await);
    desk.ask(question("SOON", 8)).await.unwrap();
    desk.ask(question("LATE", 3600)).await.unwrap();
    let all = until("three questions at the filer's hub", || async {
        let case = case(&ke, "platform", &filed.case_id).await?;
        (case.info_requests.len() == 3).then_some(case)
    })
    .await;
    // The rules' own question is answered; they don't decide while an officer waits.
    let rules = all
        .info_requests
        .iter()
        .find(|r| r.trader.as_ref().is_some_and(|t| t.questions[0].code == "DESCRIPTION-VAGUE"));
    let answer = v1::AnswerInformationRequestRequest {
        case_id: filed.case_id.clone(),
        request: rules.unwrap().statement.clone().unwrap().commitment,
        answers: vec![v1::Answer { code: "DESCRIPTION-VAGUE".into(), value: "Rollers".into() }],
        ..Default::default()
    };
    let mut trade = ke.trade("platform").await;
    let first = trade.answer_information_request(answer.clone()).await.unwrap().into_inner();
    let again = trade.answer_information_request(answer).await.unwrap().into_inner();
    assert_eq!(first, again, "who asks again is told where it stands");
    // The first deadline passes though a later question was asked after it.
    let overdue = until("the overdue answer", || async {
        let case = case(&ke, "platform", &filed.case_id).await?;
        case.events
            .iter()
            .find_map(|e| e.core.clone().filter(|c| c.code() == EventCode::AnswerOverdue))
    })
    .await;
    let soon = all
        .info_requests
        .iter()
        .find(|r| r.trader.as_ref().is_some_and(|t| t.questions[0].code == "SOON"));
    assert_eq!(overdue.request, soon.unwrap().statement.clone().unwrap().commitment);
    let case = case(&be, "officer", &filed.case_id).await.unwrap();
    assert!(case.decisions.is_empty(), "{:?}", case.decisions);
}

#[tokio::test(flavor = "multi_thread")]
async fn draws_are_logged_before_and_an_auditor_checks_them_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let ke = Hub::start(dir.path(), "KE");
    let mut be = Hub::make(dir.path(), "BE");
    let config = be.process.dir.join("hub.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[desk]\ndraw_period_s = 2\n")).unwrap();
    be.process.start().unwrap();
    be.save_profile("operator");
    pin(&ke, &be, "full");
    be.publish("be-advance");
    be.publish("be-risk");
    be.add_account("auditor", "auditor");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    let mut last = String::new();
    for n in 0..20 {
        let mut filing = advance(&format!("DRAW-{n}"), "KE", "BE");
        filing.core.as_mut().unwrap().transport_mode = "5".into();
        last = file(&mut trade, filing).await.case_id;
    }
    let decided = |c: &v1::Case| c.decisions.len() == 2;
    let whole = until("the last decision", || async {
        case(&be, "operator", &last).await.filter(|c| decided(c))
    })
    .await;
    let drawn = |d: &v1::CaseDecision| d.authority.as_ref().unwrap().draw;
    assert!(whole.decisions.iter().all(|d| drawn(d).is_some()));
    assert_eq!(drawn(&whole.decisions[0]), drawn(&whole.decisions[1]), "one draw a filing");
    let trader = until("the decision at the origin", || async {
        case(&ke, "platform", &last).await.filter(|c| decided(c))
    })
    .await;
    assert!(trader.decisions.iter().all(|d| d.authority.is_none()));
    // Replayed with the draw, it agrees.
    let replayed = be.json("operator", &["case", "replay", &last]);
    assert!(replayed.as_array().unwrap().iter().all(|r| r["replay"] == "agrees"), "{replayed}");
    // However many periods the decisions fell into: once all are over, each decision was checked.
    let checked = |rows: &[serde_json::Value]| -> usize {
        let count =
            |r: &serde_json::Value| r["detail"].as_str()?.split(' ').next()?.parse::<usize>().ok();
        rows.iter().filter(|r| r["verdict"] == "right").filter_map(count).sum::<usize>()
    };
    let rows = until("the end of the periods", || {
        let rows = be.json("auditor", &["audit", "draws"]);
        async move {
            let rows = rows.as_array().unwrap().clone();
            (checked(&rows) == 40).then_some(rows)
        }
    })
    .await;
    assert!(rows.iter().all(|r| r["verdict"] != "wrong"), "{rows:?}");
    let refused = be.run("operator", &["audit", "draws"]);
    assert!(!refused.status.success(), "keys are for auditors");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_an_ioss_number_adopts_and_a_carrier_does_not_depart_what_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = stage(dir.path());
    ke.add_party("carrier", "trader", "KECARRIER1");
    be.add_party("marketplace", "platform", "IM5532027340");
    let mut sold = advance("IOSS-1", "KE", "BE");
    let parties = sold.parties.as_mut().unwrap();
    parties.fiscal_reference = "IM5532027340".into();
    parties.carrier = Some(v1::Party { id: "KECARRIER1".into(), ..Default::default() });
    let filed = file(&mut ke.trade("platform").await, sold.clone()).await;
    let there = shows(&be, "marketplace", &filed.case_id, CaseState::Cleared).await;
    let args = ["adopt", &there.case_id, "--declarant", "IM5532027340", "--lrn", "IOSS-IMPORT"];
    let document = dir.path().join("import.json");
    std::fs::write(&document, r#"{"core": {"importer_id": "BE0123456789"}}"#).unwrap();
    let document = document.display().to_string();
    let adopted = be.json("marketplace", &[&args[..], &["--document", &document]].concat());
    let import = adopted["accepted"]["filing_id"].as_str().unwrap();
    // Said again though the advance filing has changed meanwhile, it is answered as it was then.
    let again = be.json("marketplace", &[&args[..], &["--document", &document]].concat());
    assert_eq!(again["accepted"]["filing_id"], import);

    let mut stopped = sold;
    stopped.core.as_mut().unwrap().lrn = "IOSS-2".into();
    stopped.core.as_mut().unwrap().items[0].commodity_code = "360410".into();
    let stopped = file(&mut ke.trade("platform").await, stopped).await;
    shows(&ke, "carrier", &stopped.case_id, CaseState::DoNotLoad).await;
    let refused = ke.run("carrier", &["event", &stopped.case_id, "departed"]);
    let told = String::from_utf8_lossy(&refused.stdout).into_owned()
        + &String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("may be loaded"), "{told}");
    ke.add_account("officer", "officer");
    ke.json("officer", &["desk", "event", &stopped.case_id, "departed"]);
    shows(&be, "officer", &stopped.case_id, CaseState::ControlOnArrival).await;
}
