//! What the origin established counts at the destination as far as their arrangement goes, is named in the decision, and is lost when the
//! origin takes it back.

use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::{self, DecisionCode, Effect};

use crate::stage::{Hub, advance, case, file, pin, repository, until};

/// Coffee is controlled by its documents, unless the origin cleared its export and that is recognised.
const RULES: &str = r#"
name = "be-recognising"
version = 1
visibility = "public"
territory = "BE"
time_zone = "Europe/Brussels"
valid_from = "2026-01-01"
currency = "EUR"
[[rate]]
currency = "USD"
value = "0.92"
from = "2026-01-01"
[[text]]
code = "DOCUMENTS"
en = "The documents of coffee are looked at"
[[rule]]
id = "BE-R1"
effect = "security"
applies = ["advance"]
when = "items.exists(i, has(i.hs) && i.hs.startsWith('0901')) && !recognised('export-control', 'waive_documents')"
then = "DOC_CONTROL"
reason = "DOCUMENTS"
"#;

async fn agree(dir: &std::path::Path, be: &Hub, ke: &Hub) {
    let text = std::fs::read_to_string(repository("samples/arrangement-be-ke.toml")).unwrap();
    let theirs = "by = \"KE\"\nkind = \"export-control\"\neffects = [\"note\"]";
    let ours = "by = \"BE\"\nkind = \"export-control\"\neffects = [\"waive_documents\"]";
    assert!(text.contains(theirs));
    let path = dir.join("arrangement.toml");
    std::fs::write(&path, text.replace(theirs, ours)).unwrap();
    let propose = ["arrangement", "propose", path.to_str().unwrap(), "--peer", "KE"];
    let proposed = be.json("operator", &propose);
    let digest = ewtp_log::base64::decode(proposed["open"]["digest"].as_str().unwrap()).unwrap();
    let digest = ewtp_log::Hash::from_slice(&digest).unwrap().to_hex();
    let accept = ["arrangement", "accept", &digest, "--peer", "BE"];
    until("the proposal to arrive", || async {
        ke.run("operator", &accept).status.success().then_some(())
    })
    .await;
    until("the agreement", || async {
        let state = be.json("operator", &["arrangement", "show", "--peer", "KE"]);
        (state["governs"] == "1").then_some(())
    })
    .await;
}

/// Belgium's decisions on security, oldest first, as an officer there sees them.
async fn on_security(be: &Hub, id: &str, count: usize) -> Vec<v1::CaseDecision> {
    until(&format!("decision {count} of Belgium"), || async {
        let all = case(be, "officer", id).await?.decisions;
        let ours = |d: &v1::CaseDecision| {
            let core = d.core.clone().unwrap_or_default();
            core.effect() == Effect::Security && d.statement.as_ref().is_some_and(|s| s.hub == "BE")
        };
        let ours: Vec<_> = all.into_iter().filter(ours).collect();
        (ours.len() == count).then_some(ours)
    })
    .await
}

fn code(decision: &v1::CaseDecision) -> DecisionCode {
    decision.core.as_ref().map(v1::DecisionCore::code).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_origin_cleared_is_not_controlled_again_until_the_origin_takes_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    be.add_account("officer", "officer");
    ke.add_account("officer", "officer");
    ke.add_party("platform", "platform", "KE051234567X");
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, RULES).unwrap();
    be.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
    agree(dir.path(), &be, &ke).await;

    let mut export = advance("RECOGNISED-E", "KE", "BE");
    if let (Some(core), Some(goods)) = (&mut export.core, &mut export.goods) {
        core.r#type = v1::FilingType::Export as i32;
        core.declarant_id = "KE051234567X".into();
        core.exporter_id = "KE051234567X".into();
        goods.items[0].procedure = "1000".into();
    }
    let exported = file(&mut ke.trade("platform").await, export).await;
    let mut ahead = advance("RECOGNISED", "KE", "BE");
    ahead.core.as_mut().unwrap().case_id.clone_from(&exported.case_id);
    let id = file(&mut ke.trade("platform").await, ahead).await.case_id;

    // Kenya has no ruleset yet: nothing is established, and nothing recognised.
    let first = on_security(&be, &id, 1).await;
    assert_eq!(code(&first[0]), DecisionCode::DocControl);
    assert!(first[0].trader.as_ref().unwrap().recognised.is_empty());

    // What Kenya decides then, Belgium takes into account.
    ke.publish("ke-export");
    let second = on_security(&be, &id, 2).await.remove(1);
    assert_eq!(code(&second), DecisionCode::Clear);
    let fact = second.trader.as_ref().unwrap().recognised[0].clone();
    assert_eq!(
        (fact.kind.as_str(), fact.hub.as_str(), fact.line.as_str()),
        ("export-control", "KE", "export-control")
    );
    let seen = case(&be, "officer", &id).await.unwrap();
    let cited = seen.decisions.iter().filter_map(|d| d.statement.as_ref());
    assert!(
        cited.into_iter().any(|s| s.hub == "KE" && s.log_index == fact.log_index),
        "its receipt can be asked for"
    );
    // What would have been decided without is for authorities.
    let without = second.authority.as_ref().unwrap().without.clone().unwrap();
    assert_eq!(
        (without.code(), without.rules_fired),
        (DecisionCode::DocControl, vec!["BE-R1".to_owned()])
    );
    let at_ke = until("the decision at Kenya", || async {
        let all = case(&ke, "platform", &id).await?.decisions;
        all.into_iter().find(|d| d.trader.as_ref().is_some_and(|t| !t.recognised.is_empty()))
    })
    .await;
    assert!(at_ke.authority.is_none(), "{at_ke:?}");

    // An officer in Kenya holds the export: what was recognised is no more.
    let filing_id = exported.filing_id.clone();
    let request = v1::DecideRequest {
        case_id: id.clone(),
        filing_id,
        filing_version: 1,
        effect: Effect::Security as i32,
        code: DecisionCode::Hold as i32,
        reasons: vec![v1::Reason { code: "OFFICER".into(), ..Default::default() }],
        idempotency_key: "hold".into(),
        ..Default::default()
    };
    let mut desk = DeskServiceClient::new(ke.channel("officer").await);
    let held = desk.decide(request).await.unwrap().into_inner().result.unwrap();
    assert!(matches!(held, v1::decide_response::Result::Logged(_)), "{held:?}");
    let third = on_security(&be, &id, 3).await.remove(2);
    assert_eq!(code(&third), DecisionCode::DocControl);
    assert!(third.trader.as_ref().unwrap().recognised.is_empty());

    // All three are replayed from what they hold.
    let replay = be.json("officer", &["case", "replay", &id]);
    let rows = replay.as_array().unwrap();
    let ours: Vec<_> = rows.iter().filter(|r| r["hub"] == "BE").collect();
    assert!(ours.len() >= 3 && ours.iter().all(|r| r["replay"] == "agrees"), "{replay}");
    let shown = String::from_utf8(be.run("officer", &["case", "show", &id]).stdout).unwrap();
    for line in ["recognised: export-control of KE", "without recognition: DOC_CONTROL by BE-R1"] {
        assert!(shown.contains(line), "{shown}");
    }
}
