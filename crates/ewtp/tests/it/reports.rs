//! What is found on arrival comes back to who had vouched for it, raises an alarm that an officer answers, and goes into the reports.

use ewtp_proto::v1::{self, CaseState, DecisionCode};
use serde_json::{Value, json};

use crate::recognition::{CERTIFIED, HEAD, agree_on, issue, on_security};
use crate::stage::{Hub, advance, file, pin, repository, stops_whole, until, verified};

const EXPORTER: &str = "KEP051234567X";
const SINCE: [&str; 2] = ["--from", "2026-01-01T00:00:00Z"];

fn citing(lrn: &str, reference: &str) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    let core = filing.core.as_mut().unwrap();
    core.exporter_id = EXPORTER.into();
    core.filer = Some(v1::Filer { size: v1::SizeClass::Micro as i32, ..Default::default() });
    filing.goods.as_mut().unwrap().documents = vec![v1::DocumentReference {
        category: "C".into(),
        r#type: "085".into(),
        id: reference.into(),
        ..Default::default()
    }];
    filing
}

/// Goods arrive, are presented and inspected at Belgium.
fn inspect(be: &Hub, case: &str, found: &[&str]) {
    for what in ["arrived", "presented"] {
        be.json("officer", &["desk", "event", case, what]);
    }
    let found: Vec<&str> = found.iter().flat_map(|f| ["--found", f]).collect();
    be.json("officer", &[&["desk", "event", case, "inspected"], &found[..]].concat());
}

fn row(shown: &Value, by: &str) -> Value {
    let rows = shown["rows"].as_array().unwrap();
    let found = rows.iter().find(|r| r["by"] == by && r["kind"] == "inspection");
    found.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_on_arrival_reach_the_origin_raise_an_alarm_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    for hub in [&be, &ke] {
        hub.add_account("officer", "officer");
    }
    ke.add_party("platform", "platform", EXPORTER);
    let there = be.process.dir.display().to_string();
    let small =
        ["account", "add", "importer", "--role", "trader", "--size", "small", "--out", &there];
    be.json("operator", &[&small[..], &["--registered-id", "BE0123456789"]].concat());
    let rules = dir.path().join("rules.toml");
    // The rule on inspections alone.
    let rule = CERTIFIED.split("[[rule]]\nid = \"BE-C2\"").next().unwrap();
    let rule = rule.replace("\"advance\"", "\"advance\", \"import\"");
    std::fs::write(&rules, [HEAD, &rule].concat()).unwrap();
    be.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
    agree_on(dir.path(), &be, &ke, |text| {
        text.replace("checked_at_least = 20", "checked_at_least = 3")
    })
    .await;
    let inspection =
        std::fs::read_to_string(repository("samples/certificate-inspection.toml")).unwrap();
    issue(&ke, dir.path(), "inspection.toml", &inspection);
    until("the certificate at Belgium", || async {
        let all = be.json("officer", &["certificate", "list", "--hub", "KE"]);
        (all.as_array().unwrap().len() == 1).then_some(())
    })
    .await;

    // Twelve rely upon the inspection, one cites what is none, and two are lodged at Belgium by its own importers.
    let mut trade = ke.trade("platform").await;
    let mut cases = Vec::new();
    for n in 0..12 {
        cases.push(
            file(&mut trade, citing(&format!("GOOD-{n}"), "KEPHIS-2026-000117")).await.case_id,
        );
    }
    let alone = file(&mut trade, citing("ALONE", "KEPHIS-NONE")).await.case_id;
    let mut at_be = be.trade("importer").await;
    for n in 0..2 {
        let mut own = citing(&format!("OWN-{n}"), "");
        let core = own.core.as_mut().unwrap();
        core.r#type = v1::FilingType::Import as i32;
        (core.declarant_id, core.importer_id) = ("BE0123456789".into(), "BE0123456789".into());
        core.country_of_export = "UG".into();
        let goods = own.goods.as_mut().unwrap();
        goods.documents.clear();
        goods.items[0].procedure = "4000".into();
        file(&mut at_be, own).await;
    }
    for (id, code) in cases
        .iter()
        .map(|id| (id, DecisionCode::Clear))
        .chain([(&alone, DecisionCode::PhysControl)])
    {
        let decided = on_security(&be, id, 1).await.remove(0);
        assert_eq!(decided.core.unwrap().code(), code, "{id}");
    }

    // What is found false is told with the fact that was relied upon; what nothing relied upon is about no hub.
    let odd = be
        .run("officer", &["desk", "event", &cases[0], "inspected", "--found", "inspections=false"]);
    assert_eq!(odd.status.code(), Some(1), "{odd:?}");
    inspect(&be, &cases[0], &["inspection=conforms", "goods=conforms"]);
    inspect(&be, &cases[1], &["inspection=false"]);
    inspect(&be, &alone, &["inspection=false", "goods=false"]);
    let before = be.json("officer", &["arrangement", "quality", "--peer", "KE"]);
    assert!(before["alarms"].is_null(), "two are too few: {before}");
    assert_eq!(
        (&row(&before, "BE")["checked"], &row(&before, "BE")["found_false"]),
        (&json!(2), &json!(1))
    );
    inspect(&be, &cases[2], &["inspection=false"]);
    let at_home = until("the alarm at Kenya", || async {
        let shown = ke.json("officer", &["arrangement", "quality", "--peer", "BE"]);
        (shown["alarms"].as_array().unwrap().len() == 1).then_some(shown)
    })
    .await;
    assert_eq!(
        (&row(&at_home, "BE")["checked"], &row(&at_home, "BE")["found_false"]),
        (&json!(3), &json!(2))
    );
    let core = &at_home["alarms"][0]["core"];
    assert_eq!(
        (&core["checked"], &core["found_false"], &core["hub"]),
        (&json!(3), &json!(2), &json!("KE"))
    );
    inspect(&be, &cases[3], &["inspection=false"]);
    let after = be.json("officer", &["arrangement", "quality"]);
    assert_eq!(after["alarms"].as_array().unwrap().len(), 1, "it is not raised with every finding");
    // Nothing is suspended by itself: what came in after the alarm is recognised still, until an officer signs.
    let later = file(&mut trade, citing("LATER", "KEPHIS-2026-000117")).await.case_id;
    assert_eq!(
        on_security(&be, &later, 1).await.remove(0).core.unwrap().code(),
        DecisionCode::Clear
    );
    be.json("officer", &["arrangement", "suspend", "--peer", "KE", "--alarm", "inspection"]);
    until("the suspension at Kenya, with its figures", || async {
        let shown = ke.json("operator", &["arrangement", "show", "--peer", "BE"]);
        let steps = shown["steps"].as_array()?.clone();
        let said = steps.last()?["reason"].as_str()?.to_owned();
        (shown["suspended_by"] == json!(["BE"]) && said.contains("of 3 facts of kind inspection"))
            .then_some(())
    })
    .await;

    // The report.
    let asked = [&["report", "recognition"], &SINCE[..]].concat();
    let report = be.json("officer", &asked);
    let all = &report["figures"]["arrangements"];
    assert_eq!(report["figures"]["filings"], 16);
    assert_eq!(all.as_array().unwrap().len(), 1, "{report}");
    let counts = |name: &str| all[0][name].as_u64().unwrap();
    let figures = ["cases", "checks_waived", "controlled", "facts_checked", "disagreements"];
    assert_eq!(figures.map(counts), [13, 13, 0, 4, 3], "{report}");
    assert_eq!(all[0]["comparable"]["filings"], 2, "{report}");
    assert_eq!(all[0]["comparable"]["controlled"], 2, "{report}");
    assert_eq!(all[0]["without_recognition"]["decided"], 1);
    let page = String::from_utf8(be.run("officer", &asked).stdout).unwrap();
    assert!(
        page.contains("recognised facts checked on arrival: 4; of these found false: 3"),
        "{page}"
    );
    let csv =
        String::from_utf8(be.run("officer", &[&asked[..], &["--csv"]].concat()).stdout).unwrap();
    assert!(csv.lines().nth(1).unwrap().starts_with("KE,1,13,13,0,0,4,3,"), "{csv}");

    // Equal treatment: the smallest cells are not shown, and the report is a statement that anyone verifies.
    let none = be.run("importer", &[&["report", "fairness"], &SINCE[..]].concat());
    assert_ne!(none.status.code(), Some(0), "reports are the agency's to publish");
    let fair = be.json("officer", &[&["report", "fairness", "--publish"], &SINCE[..]].concat());
    let names = |by: &str| -> Vec<(String, bool)> {
        let cells = fair["figures"][by].as_array().unwrap().iter();
        cells.map(|c| (c["name"].as_str().unwrap().into(), c["shown"].is_object())).collect()
    };
    assert_eq!(names("by_size"), [("micro".into(), false), ("small".into(), false)], "{fair}");
    let out = dir.path().join("published");
    be.json("importer", &["report", "receipt", "fairness", "1", "--out", out.to_str().unwrap()]);
    let receipt = out.join("fairness-1.ewtp-receipt");
    let verified = verified(&receipt, &out.join("fairness-1.descriptors.jsonl"));
    let content = verified["content"].as_str().unwrap();
    assert!(
        content.contains("report fairness") && content.contains("\"cell_min\":10"),
        "{content}"
    );
    let state = crate::stage::case(&be, "officer", &cases[1]).await.unwrap();
    assert_ne!(state.state(), CaseState::Released);
    [be, ke].into_iter().for_each(stops_whole);
}
