//! Two hubs and what may pass between them.

use std::path::Path;

use ewtp_proto::v1;

use crate::stage::{Hub, advance, all_cases, file, pin, until};

const CANARY_VALUE: &str = "77777.31";
const CANARY_NOTE: &str = "canary-of-the-filer-9f31";
const CANARY_AUTHORITY: &str = "canary-of-the-authority-27aa";

/// Every file below a directory, searched for a text.
pub(crate) fn holds(dir: &Path, needle: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_scope_reaches_the_peers_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, mut sg) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "SG"));
    ke.add_peer(&sg, "acdd");
    sg.add_peer(&ke, "full");
    sg.publish("sg-advance");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    let mut filing = advance("CANARY-1", "KE", "SG");
    let value = filing.value.as_mut().unwrap();
    value.invoice_total.as_mut().unwrap().amount = CANARY_VALUE.into();
    value.items[0].value.as_mut().unwrap().amount = CANARY_VALUE.into();
    filing.authority =
        Some(v1::FilingAuthority { note: CANARY_AUTHORITY.into(), ..Default::default() });
    let request = v1::SubmitRequest {
        filing: Some(filing),
        filer_note: CANARY_NOTE.into(),
        ..Default::default()
    };
    let mut export = request.clone();
    trade.submit(request).await.unwrap();
    // What the origin decides on its export filing is said to the destination too, without what its scope withholds.
    ke.publish("ke-export");
    ke.add_account("auditor", "auditor");
    if let Some(core) = export.filing.as_mut().and_then(|f| f.core.as_mut()) {
        core.r#type = v1::FilingType::Export as i32;
        core.lrn = "CANARY-1E".into();
        core.declarant_id = "KEP051234567X".into();
        core.exporter_id = "KEP051234567X".into();
    }
    if let Some(goods) = export.filing.as_mut().and_then(|f| f.goods.as_mut()) {
        goods.items[0].procedure = "1000".into();
    }
    ke.mandates(&principals(dir.path()));
    let exported = trade.submit(export).await.unwrap().into_inner().result.unwrap();
    let v1::submit_response::Result::Accepted(exported) = exported else { panic!("{exported:?}") };
    for (hub, profile) in [(&ke, "auditor"), (&sg, "operator")] {
        until("the export decision", || async {
            let request = v1::GetCaseRequest { case_id: exported.case_id.clone() };
            let case = hub.trade(profile).await.get_case(request).await.ok()?.into_inner().case?;
            (!case.decisions.is_empty()).then_some(())
        })
        .await;
    }
    let replayed = ke.json("auditor", &["case", "replay", &exported.case_id]);
    assert_eq!(replayed[0]["replay"], "agrees", "{replayed}");
    let trade = &trade;
    let case = until("the decision", || async move {
        let cases = all_cases(&mut trade.clone()).await;
        cases.into_iter().find(|c| c.state() == v1::CaseState::Cleared)
    })
    .await;
    let request = v1::GetCaseRequest { case_id: case.case_id.clone() };
    let there =
        sg.trade("operator").await.get_case(request).await.unwrap().into_inner().case.unwrap();
    assert_eq!(
        there.filings[0].withheld_parts,
        ["parties", "goods", "value", "authority", "internal", "signature"]
    );
    let scope = there.decisions.iter().flat_map(|d| d.core.clone().unwrap().insufficient_scope);
    assert_eq!(scope.collect::<Vec<_>>(), ["SG-A4"], "a rule that needs the value says so");
    sg.process.stop().unwrap();
    assert!(
        holds(&ke.process.dir, CANARY_VALUE) && holds(&ke.process.dir, CANARY_NOTE),
        "the search finds what is there"
    );
    for canary in [CANARY_VALUE, CANARY_NOTE, CANARY_AUTHORITY] {
        assert!(!holds(&sg.process.dir, canary), "{canary} reached the peer");
    }
}

/// A file that names the exporter of the export filing.
pub(crate) fn principals(dir: &Path) -> std::path::PathBuf {
    let file = dir.join("principals.txt");
    std::fs::write(&file, "KEP051234567X\n").unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_and_goods_outside_the_scope_never_reach_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, mut be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    be.add_peer(&ke, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    ke.add_account("officer", "officer");
    // Coffee and what is decided about it, nothing else: no events, no watches, no questions.
    let kinds = ["filing", "decision", "ack", "route"].map(str::to_owned).to_vec();
    let scope = v1::DataScope {
        name: "coffee".into(),
        parts: ["core", "parties", "goods", "value"].map(str::to_owned).to_vec(),
        kinds,
        hs_prefixes: vec!["0901".into()],
        legal_basis: "coffee pilot".into(),
    };
    let text = std::fs::read_to_string(be.process.descriptor()).unwrap();
    let request = v1::AddPeerRequest {
        descriptors: text.lines().map(str::to_owned).collect(),
        fingerprint: be.process.chain.fingerprint().0.to_vec(),
        scope: Some(scope),
    };
    ke.operator().await.add_peer(request).await.unwrap();
    let mut trade = ke.trade("platform").await;
    let mut watches = advance("CANARY-W", "KE", "BE");
    watches.core.as_mut().unwrap().items[0].commodity_code = "910111".into();
    watches.core.as_mut().unwrap().exporter_name = "Canary Watchmakers".into();
    let watches = file(&mut trade, watches).await;
    assert!(watches.audience.is_empty(), "not connected, as far as these goods go");
    let coffee = file(&mut trade, advance("CANARY-C", "KE", "BE")).await;
    let ke_ = &ke;
    until("the coffee to be cleared", || async move {
        let cases = all_cases(&mut ke_.trade("operator").await).await;
        cases.into_iter().find(|c| c.lrn == "CANARY-C" && c.state() == v1::CaseState::Cleared)
    })
    .await;
    ke.json("officer", &["desk", "event", &coffee.case_id, "departed", "--office", "KE777777"]);
    let last = file(&mut trade, advance("CANARY-L", "KE", "BE")).await.case_id;
    until("what was said after the event", || async {
        let request = v1::GetCaseRequest { case_id: last.clone() };
        be.trade("operator").await.get_case(request).await.ok()
    })
    .await;
    be.process.stop().unwrap();
    for canary in ["Canary Watchmakers", "KE777777"] {
        assert!(holds(&ke.process.dir, canary), "the search finds what is there");
        assert!(!holds(&be.process.dir, canary), "{canary} reached the peer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_fetched_from_an_offset_by_whom_the_scope_shows_it_alone() {
    use ewtp_log::receipt::Receipt;
    use ewtp_proto::v1::federation_service_client::FederationServiceClient;

    let dir = tempfile::tempdir().unwrap();
    let (ke, mut sg) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "SG"));
    ke.add_peer(&sg, "acdd");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    let accepted = file(&mut trade, advance("FETCH-1", "KE", "SG")).await;
    let request = v1::GetReceiptRequest {
        case_id: accepted.case_id,
        commitment: accepted.commitment.clone(),
        ..Default::default()
    };
    let text = trade.get_receipt(request).await.unwrap().into_inner().receipt;
    let receipt = Receipt::parse(&text).unwrap();
    // The peer's own key, used by hand: its daemon is not needed for this.
    sg.process.stop().unwrap();
    let keys = sg.process.dir.join("data/keys");
    let identity =
        ewtp_tls::TlsIdentity::load(&keys.join("tls.crt"), &keys.join("tls.key")).unwrap();
    let pins = vec![ke.process.server_spki];
    let channel = ewtp_hub::client::dial(&identity, &ke.process.federation(), pins).await.unwrap();
    let fetch = |name: &str, offset: u64| {
        let (_, blob) = receipt.parts.iter().find(|(n, _)| n == name).unwrap();
        let request = v1::FetchPartRequest {
            commitment: accepted.commitment.clone(),
            digest: ewtp_log::statement::part_digest(name, blob).0.to_vec(),
            offset,
            lane_number: 1,
        };
        let (mut client, blob) = (FederationServiceClient::new(channel.clone()), blob.clone());
        async move {
            let mut chunks = client.fetch_part(request).await?.into_inner();
            let mut got = Vec::new();
            while let Some(chunk) = chunks.message().await? {
                got.extend(chunk.chunk);
            }
            Ok::<_, tonic::Status>((got, blob))
        }
    };
    let (got, blob) = fetch("core", 0).await.unwrap();
    assert_eq!(got, blob);
    let (got, blob) = fetch("core", 100).await.unwrap();
    assert_eq!(got, blob[100..]);
    assert_eq!(fetch("value", 0).await.unwrap_err().code(), tonic::Code::NotFound);
    // A newer stream replaces the older.
    let mut client = FederationServiceClient::new(channel.clone());
    let request = v1::SubscribeRequest {
        generation: 1,
        descriptor_version: 1,
        protocol: 1,
        ..Default::default()
    };
    let mut older = client.subscribe(request).await.unwrap().into_inner();
    assert!(older.message().await.unwrap().is_some(), "the backlog");
    let mut newer = client.subscribe(request).await.unwrap().into_inner();
    assert!(older.message().await.unwrap().is_none(), "the older ends");
    assert!(newer.message().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_question_is_an_event_and_an_officers_task_at_both_hubs() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    ke.add_account("platform", "platform");
    let shipped =
        std::fs::read_to_string(crate::stage::repository("rulesets/be-advance.toml")).unwrap();
    let impatient = shipped.replace("answer_within_hours = 48", "answer_within_hours = 0");
    assert_ne!(impatient, shipped);
    let file_name = dir.path().join("impatient.toml");
    std::fs::write(&file_name, impatient).unwrap();
    be.json("operator", &["ruleset", "publish", &file_name.display().to_string()]);
    let mut vague = advance("LATE-1", "KE", "BE");
    vague.goods.as_mut().unwrap().items[0].description = "parts".into();
    file(&mut ke.trade("platform").await, vague).await;
    for (hub, profile) in [(&be, "operator"), (&ke, "platform")] {
        let case = until("the state held", || async {
            let cases = all_cases(&mut hub.trade(profile).await).await;
            cases.into_iter().find(|c| c.state() == v1::CaseState::Held)
        })
        .await;
        let request = v1::GetCaseRequest { case_id: case.case_id };
        let case =
            hub.trade(profile).await.get_case(request).await.unwrap().into_inner().case.unwrap();
        assert_eq!(
            case.events[0].core.clone().unwrap_or_default().code(),
            v1::EventCode::AnswerOverdue
        );
    }
    let status = be.status().await;
    assert_eq!((status.inbox, status.officer_tasks), (0, 1));
    // The filer answers after all: the officer's task gives way, and the rules decide.
    let case = all_cases(&mut ke.trade("platform").await).await.remove(0);
    ke.json(
        "platform",
        &["case", "answer", &case.case_id, "DESCRIPTION-VAGUE=Rollers for a pulping machine"],
    );
    until("the decision", || async {
        let cases = all_cases(&mut ke.trade("platform").await).await;
        (cases[0].state() == v1::CaseState::Cleared).then_some(())
    })
    .await;
    assert_eq!(be.status().await.officer_tasks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_idle_hubs_log_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    ke.add_account("platform", "platform");
    be.publish("be-advance");
    let mut trade = ke.trade("platform").await;
    file(&mut trade, advance("IDLE-1", "KE", "BE")).await;
    let trade = &trade;
    until("the decision", || async move {
        all_cases(&mut trade.clone()).await.iter().any(|c| c.decisions.len() == 2).then_some(())
    })
    .await;
    let before = (ke.status().await.log_size, be.status().await.log_size);
    // Long enough for every timer of a hub to fire several times; nothing may come of it.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!((ke.status().await.log_size, be.status().await.log_size), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_peer_is_cut_off_and_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    let connected = |hub: &'static str, of: &Hub| {
        let peers = of.json("operator", &["peer", "list"]);
        let found = peers.as_array().unwrap().iter().find(|p| p["hub"] == hub).cloned().unwrap();
        (found["connected"].as_bool().unwrap(), found["state"].as_str().unwrap().to_owned())
    };
    until("both lanes", || async {
        (connected("BE", &ke).0 && connected("KE", &be).0).then_some(())
    })
    .await;
    ke.json("operator", &["peer", "suspend", "BE", "--reason", "a drill"]);
    until("the end of the connection", || async { (!connected("KE", &be).0).then_some(()) }).await;
    // A filing for a hub that is suspended is accepted, and not connected.
    let accepted = file(&mut trade, advance("CUT-1", "KE", "BE")).await;
    assert!(accepted.audience.is_empty());
    ke.json("operator", &["peer", "resume", "BE", "--reason", "the drill is over"]);
    until("both lanes again", || async { (connected("KE", &be).0).then_some(()) }).await;
    file(&mut trade, advance("CUT-2", "KE", "BE")).await;
    let (ke_, be) = (&ke, &be);
    // What waited is told now, and decided like what was filed after.
    for hub in [ke_, be] {
        until("both to be cleared at both hubs", || async move {
            let cases = all_cases(&mut hub.trade("operator").await).await;
            let cleared = |c: &&v1::CaseSummary| c.state() == v1::CaseState::Cleared;
            (cases.iter().filter(cleared).count() == 2).then_some(())
        })
        .await;
    }
    ke.json("operator", &["peer", "remove", "BE", "--reason", "the agency was merged"]);
    until("the end", || async { (!connected("KE", be).0).then_some(()) }).await;
    assert_eq!(connected("BE", &ke).1, "removed");
}
