//! Officers' work: what goes first, what is due, four eyes, and the exchange of files with a national system.

use ewtp_proto::v1::{self, DecisionCode, Effect};
use serde_json::{Value, json};

use crate::recognition::{HEAD, agree, issue};
use crate::stage::{Hub, advance, case, file, pin, stops_whole, until};

/// Nothing about coffee can be evaluated without its number of packages: an officer looks. Refusals and seizures need two.
const RULES: &str = r#"
[[text]]
code = "PACKED"
en = "Its packages are looked at"
[[rule]]
id = "BE-W1"
effect = "security"
applies = ["advance"]
when = "filing.total_packages > 3 || risk_relief() > 100"
then = "HOLD"
reason = "PACKED"
[[approval]]
effect = "admissibility"
codes = ["REFUSE"]
[[approval]]
effect = "release"
codes = ["SEIZE"]
"#;

const OPERATOR: &str = r#"
[core]
kind = "aeo"
issuer = "Kenya Revenue Authority"
reference = "AEO-77"
valid_from = "2026-01-01"
time_zone = "Africa/Nairobi"
[holder]
id = "P051234567X"
name = "Nyeri Highland Coffee Growers"
country = "KE"
category = "AEO-S"
"#;

fn from(lrn: &str, exporter: &str) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    filing.core.as_mut().unwrap().exporter_id = exporter.into();
    filing
}

fn listed(be: &Hub, filters: &[&str]) -> Vec<Value> {
    let all = be.json("ann", &[&["desk", "list"], filters].concat());
    all.as_array().unwrap().iter().map(|row| row["item"].clone()).collect()
}

fn cases(items: &[Value]) -> Vec<&str> {
    items.iter().map(|i| i["case_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_ordered_two_officers_agree_and_a_national_system_decides_by_files() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    for officer in ["ann", "bob"] {
        be.add_account(officer, "officer");
    }
    be.add_account("system", "system");
    be.add_account("auditor", "auditor");
    ke.add_account("officer", "officer");
    ke.add_party("platform", "platform", "KEP051234567X");
    ke.add_party("elsewhere", "platform", "KEP000000000Z");
    let rules = dir.path().join("rules.toml");
    let wrong = RULES.replace("[\"SEIZE\"]", "[\"SEIZED\"]");
    std::fs::write(&rules, [HEAD, &wrong].concat()).unwrap();
    let told = be.run("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.contains("approval[1].codes") && told.contains("RELEASE, HOLD, DETAIN, SEIZE"),
        "{told}"
    );
    std::fs::write(&rules, [HEAD, RULES].concat()).unwrap();
    be.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
    agree(dir.path(), &be, &ke).await;
    issue(&ke, dir.path(), "operator.toml", OPERATOR);
    until("the certificate at Belgium", || async {
        let all = be.json("ann", &["certificate", "list", "--hub", "KE"]);
        (all.as_array().unwrap().len() == 1).then_some(())
    })
    .await;

    // The later one goes first: its exporter is an authorised operator, and the arrangement lets such go first.
    let plain =
        file(&mut ke.trade("elsewhere").await, from("PLAIN", "KEP000000000Z")).await.case_id;
    until("the first work", || async { (listed(&be, &[]).len() == 1).then_some(()) }).await;
    let first = file(&mut ke.trade("platform").await, from("FIRST", "KEP051234567X")).await.case_id;
    let both = until("both", || async {
        let all = listed(&be, &[]);
        (all.len() == 2).then_some(all)
    })
    .await;
    assert_eq!(cases(&both), [first.as_str(), plain.as_str()]);
    assert_eq!(cases(&listed(&be, &["--priority"])), [first.as_str()]);
    assert!(
        listed(&be, &["--overdue"]).is_empty() && listed(&be, &["--due-within", "23"]).is_empty()
    );
    assert_eq!(listed(&be, &["--due-within", "25"]).len(), 2, "the ruleset promises a day");
    assert_eq!(listed(&be, &["--filed-at", "KE", "--reason", "total_packages"]).len(), 2);
    assert!(
        listed(&be, &["--filed-at", "BE"]).is_empty()
            && listed(&be, &["--office", "BE101000"]).is_empty()
    );

    // Four eyes: who proposes doesn't approve; an auditor or a system neither.
    let refuse = [
        "desk",
        "decide",
        &plain,
        "--effect",
        "admissibility",
        "--code",
        "REFUSE",
        "--reason",
        "PACKED",
        "--key",
        "once",
    ];
    let proposed = be.json("ann", &refuse);
    let work = proposed["proposed"]["work_id"].as_str().unwrap().to_owned();
    assert_eq!(be.json("ann", &refuse), proposed, "the same again is answered the same");
    let waiting = listed(&be, &["--proposals"]);
    assert_eq!((waiting.len(), &waiting[0]["proposal"]["proposed_by"]), (1, &json!("ann")));
    let undecided = case(&be, "ann", &plain).await.unwrap();
    assert!(undecided.decisions.is_empty(), "nothing is decided by a proposal");
    for who in ["ann", "system", "auditor"] {
        let own = be.run(who, &["desk", "approve", &work]);
        assert_ne!(own.status.code(), Some(0), "{who}: {own:?}");
    }
    be.json("bob", &["desk", "approve", &work, "--key", "yes"]);
    let decided = case(&be, "ann", &plain).await.unwrap().decisions.remove(0);
    let core = decided.core.unwrap();
    assert_eq!((core.effect(), core.code()), (Effect::Admissibility, DecisionCode::Refuse));
    assert!(listed(&be, &["--proposals"]).is_empty());
    assert_eq!(be.run("bob", &["desk", "approve", &work]).status.code(), Some(1), "it is done");
    let refuse_first = [
        "desk",
        "decide",
        &first,
        "--effect",
        "admissibility",
        "--code",
        "REFUSE",
        "--reason",
        "PACKED",
    ];
    let second =
        be.json("system", &refuse_first)["proposed"]["work_id"].as_str().unwrap().to_owned();
    be.json("bob", &["desk", "decline", &second, "--note", "the papers are in order"]);
    assert!(case(&be, "ann", &first).await.unwrap().decisions.is_empty());

    // A national system takes the work as a file and decides by one.
    let folder = dir.path().join("exchange");
    let exchange = ["desk", "exchange", folder.to_str().unwrap(), "--once"];
    be.json("system", &exchange);
    let names = |sub: &str| -> Vec<String> {
        let all = std::fs::read_dir(folder.join(sub)).unwrap();
        all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mine = names("out").into_iter().find_map(|name| {
        let text = std::fs::read_to_string(folder.join("out").join(name)).unwrap();
        let work: Value = serde_json::from_str(&text).unwrap();
        (work["work"]["case_id"] == first.as_str()).then_some(work)
    });
    let mine = mine.unwrap();
    let filing = &mine["case"]["filings"][0]["filing"]["core"];
    for (effect, name) in
        [("EFFECT_SECURITY", "a"), ("EFFECT_ADMISSIBILITY", "b"), ("EFFECT_NONE", "c")]
    {
        let decision = json!({
            "case_id": first, "filing_id": filing["filing_id"], "filing_version": 1, "effect": effect,
            "code": "DECISION_CODE_CLEAR", "note": "national risk engine",
        });
        std::fs::write(folder.join("in").join(format!("{name}.json")), decision.to_string())
            .unwrap();
    }
    let done = be.json("system", &exchange);
    assert_eq!((&done["said"], &done["refused"]), (&json!(2), &json!(1)), "{done}");
    assert_eq!((names("in").len(), names("done").len(), names("refused").len()), (0, 2, 1));
    let cleared = case(&be, "ann", &first).await.unwrap();
    let codes: Vec<_> = cleared.decisions.iter().map(|d| d.core.clone().unwrap()).collect();
    assert!(
        codes
            .iter()
            .all(|c| c.code() == DecisionCode::Clear && c.source() == v1::DecisionSource::System),
        "{codes:?}"
    );
    assert_eq!(codes.len(), 2);
    until("the work's file to go", || async {
        be.json("system", &exchange);
        let left =
            names("out").iter().any(|name| name.starts_with(filing["filing_id"].as_str().unwrap()));
        (!left).then_some(())
    })
    .await;
    [be, ke].into_iter().for_each(stops_whole);
}
