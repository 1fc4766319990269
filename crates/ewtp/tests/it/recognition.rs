//! What the origin established counts at the destination as far as their arrangement goes, is named in the decision, and is lost when the
//! origin takes it back.

use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::{self, DecisionCode, Effect};

use crate::arrangements::open_digest;
use crate::stage::{Hub, advance, case, file, pin, repository, stops_whole, until, verified};

/// What every ruleset here begins with.
pub(crate) const HEAD: &str = r#"
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
"#;

/// Coffee is controlled by its documents, unless the origin cleared its export and that is recognised.
const RULES: &str = r#"
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

pub(crate) async fn agree(dir: &std::path::Path, be: &Hub, ke: &Hub) {
    agree_on(dir, be, ke, |text| text).await;
}

/// The same on a text that is changed.
pub(crate) async fn agree_on(
    dir: &std::path::Path,
    be: &Hub,
    ke: &Hub,
    change: impl FnOnce(String) -> String,
) {
    let text = std::fs::read_to_string(repository("samples/arrangement-be-ke.toml")).unwrap();
    let theirs = "by = \"KE\"\nkind = \"export-control\"\neffects = [\"note\"]";
    let ours = "by = \"BE\"\nkind = \"export-control\"\neffects = [\"waive_documents\"]";
    assert!(text.contains(theirs));
    let path = dir.join("arrangement.toml");
    std::fs::write(&path, change(text.replace(theirs, ours))).unwrap();
    let propose = ["arrangement", "propose", path.to_str().unwrap(), "--peer", "KE"];
    let proposed = be.json("operator", &propose);
    let digest = open_digest(&proposed);
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

/// Coffee is examined unless Kenya inspected it; its traders are let through at the border if they are authorised.
pub(crate) const CERTIFIED: &str = r#"
[[text]]
code = "EXAMINED"
en = "Coffee is examined"
[[text]]
code = "UNKNOWN"
en = "The exporter is not known to be authorised"
[[rule]]
id = "BE-C1"
effect = "security"
applies = ["advance"]
when = "items.exists(i, has(i.hs) && i.hs.startsWith('0901') && !recognised_for(i.number, 'inspection', 'waive_physical'))"
then = "PHYS_CONTROL"
reason = "EXAMINED"
[[rule]]
id = "BE-C2"
effect = "admissibility"
applies = ["advance"]
when = "!(has(filing.exporter_id) && aeo(filing.exporter_id))"
then = "DOC_CONTROL"
reason = "UNKNOWN"
"#;

/// A certificate's id, as the hub that vouches gives it.
pub(crate) fn issue(hub: &Hub, dir: &std::path::Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    let issued = hub.json("officer", &["certificate", "issue", path.to_str().unwrap()]);
    issued["core"]["certificate_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_count_where_they_fit_and_their_revocation_reaches_open_cases() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    be.add_account("officer", "officer");
    ke.add_account("officer", "officer");
    ke.add_party("platform", "platform", "KEP051234567X");
    ke.add_party("elsewhere", "platform", "KEP000000000Z");
    ke.add_party("grower", "trader", "P051234567X");
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, [HEAD, CERTIFIED].concat()).unwrap();
    be.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);

    // One before the arrangement, which is told once it is agreed; what can't be one is refused with all that is wrong.
    let inspection =
        std::fs::read_to_string(repository("samples/certificate-inspection.toml")).unwrap();
    let inspected = issue(&ke, dir.path(), "inspection.toml", &inspection);
    agree(dir.path(), &be, &ke).await;
    let operator = "[core]\nkind = \"aeo\"\nissuer = \"Kenya Revenue Authority\"\nreference = \"AEO-77\"\nvalid_from = \"2026-01-01\"\ntime_zone = \"Africa/Nairobi\"\n[holder]\nid = \"P051234567X\"\nname = \"Nyeri Highland Coffee Growers\"\ncountry = \"KE\"\ncategory = \"AEO-S\"\n";
    let authorised = issue(&ke, dir.path(), "operator.toml", operator);
    let bad = dir.path().join("bad.toml");
    std::fs::write(
        &bad,
        inspection.replace("inspection\"", "inspections\"").replace("\"KE\"\n\n", "\"Kenya\"\n\n"),
    )
    .unwrap();
    let refused = ke.run("officer", &["certificate", "issue", bad.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.contains("core.kind") && told.contains("holder.country"), "{told}");
    until("both certificates at Belgium", || async {
        let all = be.json("officer", &["certificate", "list", "--hub", "KE"]);
        (all.as_array().unwrap().len() == 2).then_some(())
    })
    .await;

    let cites = |lrn: &str, exporter: &str, reference: &str| {
        let mut filing = advance(lrn, "KE", "BE");
        filing.core.as_mut().unwrap().exporter_id = exporter.into();
        filing.goods.as_mut().unwrap().documents = vec![v1::DocumentReference {
            category: "C".into(),
            r#type: "085".into(),
            id: reference.into(),
            ..Default::default()
        }];
        filing
    };
    let mut trade = ke.trade("platform").await;
    let good = file(&mut trade, cites("GOOD", "KEP051234567X", "KEPHIS-2026-000117")).await.case_id;
    let borrowed = cites("ANOTHER", "KEP000000000Z", "KEPHIS-2026-000117");
    let another = file(&mut ke.trade("elsewhere").await, borrowed).await;
    let false_one = file(&mut trade, cites("FALSE", "KEP051234567X", "KEPHIS-2026-999999")).await;
    let first = on_security(&be, &good, 1).await.remove(0);
    assert_eq!(code(&first), DecisionCode::Clear);
    let fact = &first.trader.as_ref().unwrap().recognised[0];
    assert_eq!(
        (fact.kind.as_str(), fact.certificate_id.as_str()),
        ("inspection", inspected.as_str())
    );
    for other in [&another.case_id, &false_one.case_id] {
        let decided = on_security(&be, other, 1).await.remove(0);
        assert_eq!(code(&decided), DecisionCode::PhysControl, "another's, or none: nothing counts");
    }
    let on_admissibility = |id: String| {
        let be = &be;
        async move {
            let all = case(be, "officer", &id).await.unwrap().decisions;
            let ours = |d: &&v1::CaseDecision| {
                d.core.as_ref().is_some_and(|c| c.effect() == Effect::Admissibility)
            };
            all.iter().filter(ours).map(code).collect::<Vec<_>>()
        }
    };
    assert_eq!(
        on_admissibility(good.clone()).await,
        [DecisionCode::Clear],
        "an authorised operator"
    );
    assert_eq!(on_admissibility(another.case_id.clone()).await, [DecisionCode::DocControl]);

    // The holder shows a buyer one line and no more.
    let out = dir.path().join("shown");
    let prove = ["certificate", "prove", &inspected, "--part", "core", "--part", "line-1", "--out"];
    ke.json("grower", &[&prove[..], &[out.to_str().unwrap()]].concat());
    let (receipt, keys) =
        (out.join(format!("{inspected}.ewtp-receipt")), out.join("KE.descriptors.jsonl"));
    let verified = verified(&receipt, &keys);
    let content = verified["content"].as_str().unwrap();
    assert!(
        content.contains("valid from 2026-01-01 to 2027-12-31; lines shown 1 of 2; HS 0901"),
        "{content}"
    );
    let shown = std::fs::read_to_string(&receipt).unwrap();
    assert!(
        !shown.contains("line-2\n") || verified["withheld"].as_array().unwrap().len() >= 3,
        "{verified}"
    );
    let open = verified["not_proven"].to_string();
    assert!(open.contains("what is left of a quantity"), "{open}");
    // Its holder's account is also the one that has the id by which arrangements map it.
    let mapped = dir.path().join("mapped").display().to_string();
    ke.json("platform", &["certificate", "prove", &inspected, "--out", &mapped]);
    let not_mine = ke.run("elsewhere", &["certificate", "prove", &inspected]);
    assert!(!not_mine.status.success(), "another account is not told of it");

    // A revocation reaches the case that relied on it, and the operator's suspension the other effect.
    ke.json(
        "officer",
        &["certificate", "revoke", &inspected, "--reason", "the sample was exchanged"],
    );
    let second = on_security(&be, &good, 2).await.remove(1);
    assert_eq!(code(&second), DecisionCode::PhysControl);
    assert!(second.trader.as_ref().unwrap().recognised.is_empty());
    ke.json("officer", &["certificate", "suspend", &authorised, "--reason", "audit"]);
    until("the operator's suspension to count", || async {
        let codes = on_admissibility(good.clone()).await;
        (codes == [DecisionCode::Clear, DecisionCode::DocControl]).then_some(())
    })
    .await;
    let final_one = ke.run("officer", &["certificate", "reinstate", &inspected, "--reason", "-"]);
    assert_eq!(final_one.status.code(), Some(1), "what was revoked stays so");
    let replay = be.json("officer", &["case", "replay", &good]);
    assert!(
        replay
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["hub"] == "BE")
            .all(|r| r["replay"] == "agrees"),
        "{replay}"
    );
    [be, ke].into_iter().for_each(stops_whole);
}

/// Belgium's decisions on security, oldest first, as an officer there sees them.
pub(crate) async fn on_security(be: &Hub, id: &str, count: usize) -> Vec<v1::CaseDecision> {
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
    std::fs::write(&rules, [HEAD, RULES].concat()).unwrap();
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
    // A draft that controls goods themselves: of the two decisions that count one changes.
    let draft = dir.path().join("draft.toml");
    let text = [HEAD, RULES].concat();
    let text =
        text.replace("\"DOC_CONTROL\"", "\"PHYS_CONTROL\"").replace("version = 1", "version = 2");
    std::fs::write(&draft, text).unwrap();
    let since = ["--since", "2026-01-01T00:00:00Z"];
    let simulate = [&["rules", "simulate", draft.to_str().unwrap()], &since[..]].concat();
    let simulated = be.json("officer", &simulate);
    let count = |name: &str| simulated[name].as_u64();
    assert_eq!(
        (count("filings"), count("decisions"), count("changed")),
        (Some(1), Some(2), Some(1)),
        "{simulated}"
    );
    assert_eq!(simulated["controls"], serde_json::json!({"then": 1, "draft": 1}));
    assert_eq!(simulated["each"][0][3], "PHYS_CONTROL");
    for line in ["recognised: export-control of KE", "without recognition: DOC_CONTROL by BE-R1"] {
        assert!(shown.contains(line), "{shown}");
    }
}
