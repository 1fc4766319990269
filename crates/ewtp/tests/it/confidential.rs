//! What is for authorities alone reaches no trader: not in what it is shown, not in its receipts, not in answers to its questions, not in
//! logs and metrics; and the confidential ruleset leaves to nobody.

use std::collections::BTreeMap;
use std::path::Path;

use ewtp_proto::v1;

use crate::canaries::found;
use crate::recognition::{HEAD, agree, issue};
use crate::stage::{Hub, advance, case, file, pin, repository, stops_whole, until};

/// A confidential ruleset whose every text is a canary.
const RISK: &str = r#"
name = "be-risk"
version = 1
visibility = "confidential"
territory = "BE"
time_zone = "Europe/Brussels"
valid_from = "2026-01-01"
currency = "EUR"
legal_basis = "SECRETCANARY-LAW"
[[text]]
code = "SECRETCANARY-CODE"
en = "SECRETCANARY-TEXT"
[[rule]]
id = "SECRETCANARY-RULE"
effect = "security"
applies = ["advance"]
when = "filing.exporter_name != 'SECRETCANARY-NAME' && !recognised('inspection', 'waive_scan')"
then = "SCAN_CONTROL"
reason = "SECRETCANARY-CODE"
audience = "authority"
"#;

/// Of authorities, but not of the ruleset: an officer's words, and what a filer writes for authorities.
const OF_OFFICERS: [&str; 4] =
    ["OFFICERCANARY-NOTE", "OFFICERCANARY-REASON", "OFFICERCANARY-PROPOSAL", "OFFICERCANARY-FREED"];

const PUBLIC: &str = r#"
[[text]]
code = "LOOKED-AT"
en = "Papers of coffee are looked at"
[[rule]]
id = "BE-P1"
effect = "admissibility"
applies = ["advance"]
when = "items.exists(i, has(i.hs) && i.hs.startsWith('0901'))"
then = "DOC_CONTROL"
reason = "LOOKED-AT"
[[approval]]
effect = "release"
codes = ["SEIZE"]
"#;

/// Everything that an account can call, whether it may or not.
fn outputs(hub: &Hub, profile: &str, id: &str, certificate: &str, dir: &Path) -> String {
    let out = dir.join(format!("out-{}-{profile}", hub.process.hub));
    std::fs::create_dir_all(&out).unwrap();
    let (folder, bundle) =
        (out.display().to_string(), out.join("whole.ewtp-case").display().to_string());
    let coffee = repository("samples/coffee.toml").display().to_string();
    let since = "2026-01-01T00:00:00Z";
    let calls: &[&[&str]] = &[
        &["case", "list"],
        &["case", "show", id],
        &["case", "replay", id],
        &["case", "replay", id, "--as-of", "2099-01-01T00:00:00Z"],
        &["case", "notices", id, "--out-dir", &folder],
        &["receipt", "export", id, "--out", &folder, "--with-lane"],
        &["receipt", "case", id, "--out", &bundle],
        &["declare", &coffee, "--only", "advance", "--dry-run"],
        &["certificate", "prove", certificate, "--out", &folder],
        &["certificate", "list"],
        &["certificate", "ledger", certificate],
        &["rules", "drafts"],
        &["ruleset", "list"],
        &["ruleset", "show", "be-risk"],
        &["desk", "list", "--all"],
        &["arrangement", "show"],
        &["arrangement", "quality"],
        &["report", "recognition", "--from", since],
        &["report", "fairness", "--from", since],
        &["report", "receipt", "fairness", "1", "--out", &folder],
        &["hub", "status"],
    ];
    let watch: &[&[&str]] = match profile {
        "platform" => &[&["case", "watch", "--count", "6"]],
        _ => &[],
    };
    let mut all = String::new();
    for call in calls.iter().chain(watch) {
        for json in [&[][..], &["--json"]] {
            let run = hub.run(profile, &[json, call].concat());
            all.push_str(&String::from_utf8_lossy(&run.stdout));
            all.push_str(&String::from_utf8_lossy(&run.stderr));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_the_confidential_is_in_nothing_that_a_trader_or_an_outsider_gets() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    for officer in ["officer", "second"] {
        be.add_account(officer, "officer");
    }
    ke.add_account("officer", "officer");
    ke.add_party("platform", "platform", "KEP051234567X");
    ke.add_party("grower", "trader", "P051234567X");
    be.add_party("importer", "trader", "BE0123456789");
    for (name, text) in [("public.toml", [HEAD, PUBLIC].concat()), ("risk.toml", RISK.to_owned())] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        be.json("operator", &["ruleset", "publish", path.to_str().unwrap()]);
    }
    agree(dir.path(), &be, &ke).await;
    let inspection =
        std::fs::read_to_string(repository("samples/certificate-inspection.toml")).unwrap();
    let used = inspection.replace("time_zone", "use = \"quantity\"\ntime_zone");
    let certificate = issue(&ke, dir.path(), "inspection.toml", &used);

    // One that the confidential rule controls, and one that it lets go for what was recognised.
    let mut trade = ke.trade("platform").await;
    let mut plain = advance("SECRET-1", "KE", "BE");
    let core = plain.core.as_mut().unwrap();
    (core.exporter_id, core.importer_id) = ("KEP051234567X".into(), "BE0123456789".into());
    let mut recognised = plain.clone();
    recognised.core.as_mut().unwrap().lrn = "SECRET-2".into();
    recognised.goods.as_mut().unwrap().documents = vec![v1::DocumentReference {
        category: "C".into(),
        r#type: "085".into(),
        id: "KEPHIS-2026-000117".into(),
        ..Default::default()
    }];
    let first = file(&mut trade, plain).await.case_id;
    let second = file(&mut trade, recognised).await.case_id;
    until("what the confidential rule relied upon", || async {
        let all = case(&be, "officer", &second).await?.decisions;
        let fact =
            |d: &v1::CaseDecision| d.authority.as_ref().is_some_and(|a| !a.recognised.is_empty());
        all.iter().any(fact).then_some(())
    })
    .await;
    // An officer adds words for authorities, proposes, and inspects; the other approves nothing.
    let decide = ["desk", "decide", &first, "--effect", "security", "--code", "PHYS_CONTROL"];
    let words = ["--authority-reason", OF_OFFICERS[1], "--note", OF_OFFICERS[0]];
    be.json("officer", &[&decide[..], &words].concat());
    for what in ["arrived", "presented"] {
        be.json("officer", &["desk", "event", &second, what]);
    }
    be.json(
        "officer",
        &[
            "desk",
            "event",
            &second,
            "inspected",
            "--found",
            "inspection=false",
            "--note",
            OF_OFFICERS[0],
        ],
    );
    be.json(
        "officer",
        &[
            "desk",
            "decide",
            &second,
            "--effect",
            "release",
            "--code",
            "SEIZE",
            "--note",
            OF_OFFICERS[2],
        ],
    );
    let free = ["certificate", "free", &certificate, "--case", &second, "--reason", "abandoned"];
    ke.json("officer", &free);
    until("the officer's decision and the inspection at Kenya", || async {
        let decided = case(&ke, "platform", &first).await?;
        let inspected = case(&ke, "platform", &second).await?;
        (decided.decisions.len() >= 3 && inspected.events.len() >= 3).then_some(())
    })
    .await;

    let mut shown = String::new();
    for id in [&first, &second] {
        shown.push_str(&outputs(&ke, "platform", id, &certificate, dir.path()));
        shown.push_str(&outputs(&ke, "grower", id, &certificate, dir.path()));
        shown.push_str(&outputs(&be, "importer", id, &certificate, dir.path()));
    }
    for hub in [&be, &ke] {
        shown.push_str(&ewtp_testnet::http_get(&hub.process.public(), "/metrics").unwrap());
        shown.push_str(&std::fs::read_to_string(hub.process.log()).unwrap());
    }
    // The search finds what is there: the agency sees it, and it lies on its disk.
    let known = outputs(&be, "officer", &first, &certificate, dir.path());
    assert!(known.contains("SECRETCANARY-RULE") && known.contains(OF_OFFICERS[1]), "{known}");
    std::fs::remove_dir_all(dir.path().join("out-BE-officer")).unwrap();
    let needles: BTreeMap<String, Vec<u8>> = ["SECRETCANARY", "OFFICERCANARY"]
        .into_iter()
        .flat_map(|t| {
            let coded = ewtp_log::base64::encode(t.as_bytes());
            [(t.to_owned(), t.as_bytes().to_vec()), (format!("{t} as base64"), coded.into_bytes())]
        })
        .collect();
    let at = [be.process.dir.clone(), ke.process.dir.clone()];
    [be, ke].into_iter().for_each(stops_whole);
    assert!(found(&at[0], &needles).contains_key("SECRETCANARY"), "it is on the agency's own disk");
    for canary in ["SECRETCANARY", "OFFICERCANARY"] {
        let place = shown
            .find(canary)
            .map(|at| &shown[at.saturating_sub(300)..(at + 100).min(shown.len())]);
        assert!(place.is_none(), "{canary} was shown: {place:?}");
    }
    for outsider in ["out-KE-platform", "out-KE-grower", "out-BE-importer"] {
        let held = found(&dir.path().join(outsider), &needles);
        assert!(held.is_empty(), "{outsider}: {held:?}");
    }
    // Of the ruleset itself the peer agency holds no condition, no text and no law, whatever it is shown of decisions.
    let rules: BTreeMap<String, Vec<u8>> =
        ["SECRETCANARY-NAME", "SECRETCANARY-TEXT", "SECRETCANARY-LAW"]
            .into_iter()
            .map(|t| (t.to_owned(), t.as_bytes().to_vec()))
            .collect();
    assert!(found(&at[1], &rules).is_empty(), "{:?}", found(&at[1], &rules));
}
