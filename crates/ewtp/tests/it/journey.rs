//! The README's way, by the command line alone: declare, show, receipts, replay; and a table with bad rows.

use std::path::Path;
use std::process::Command;

use ewtp_proto::v1;

use crate::stage::{EWTP, Hub, all_cases, pin, repository, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_declared_shown_proven_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (ke, be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    ke.publish("ke-export");
    be.publish("be-advance");
    be.publish("be-risk");
    ke.add_party("coop", "platform", "KEP051234567X");
    let document = repository("samples/coffee.toml").display().to_string();
    let filings = ke.json("coop", &["declare", &document]);
    assert_eq!(filings.as_array().unwrap().len(), 2, "export and advance");
    until("both assessments", || async {
        let cases = all_cases(&mut ke.trade("coop").await).await;
        let [case] = cases.as_slice() else { panic!("one case: {cases:?}") };
        (case.filings == 2 && case.decisions.len() == 3 && case.state() == v1::CaseState::Cleared)
            .then_some(())
    })
    .await;
    let shown = String::from_utf8(ke.run("coop", &["case", "show", "COOP-0001"]).stdout).unwrap();
    assert!(shown.contains("duty and tax to expect: 1099.99 EUR"), "{shown}");
    assert!(
        shown.contains("Release needs the invoice"),
        "texts of the deciding hub's rules: {shown}"
    );
    for (hub, profile) in [(&ke, "coop"), (&be, "operator")] {
        let replayed = hub.run(profile, &["case", "replay", "COOP-0001"]);
        let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
        assert!(replayed.status.success() && text.contains("agrees"), "{text}");
    }
    notices(&ke, dir.path());
    let out = dir.path().join("receipts");
    let receipts = ke.json(
        "coop",
        &["receipt", "export", "COOP-0001", "--with-lane", "--out", &out.display().to_string()],
    );
    let receipts = receipts.as_array().unwrap();
    assert_eq!(receipts.len(), 5, "two filings, three decisions");
    drop((ke, be));
    for r in receipts {
        let (receipt, chain) = (r["receipt"].as_str().unwrap(), r["descriptors"].as_str().unwrap());
        let verify = |args: &[&str]| {
            Command::new(EWTP)
                .args(["receipt", "verify", receipt, "--descriptor", chain])
                .args(args)
                .output()
                .unwrap()
        };
        assert!(verify(&[]).status.success(), "with no hub running: {receipt}");
        let wrong = verify(&["--fingerprint", &"0".repeat(64)]);
        assert_eq!(wrong.status.code(), Some(1));
        let mut bytes = std::fs::read(receipt).unwrap();
        let at = bytes.len() / 2;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        std::fs::write(receipt, bytes).unwrap();
        assert!(!verify(&[]).status.success(), "a changed byte: {receipt}");
    }
}

/// The advance filing's part of the case as notifications that HMRC's software reads.
fn notices(ke: &Hub, dir: &Path) {
    let case = ke.json("coop", &["case", "show", "COOP-0001"]);
    let core = |f: &serde_json::Value| f["filing"]["core"].clone();
    let filings = case["filings"].as_array().unwrap().iter().map(core);
    let advance = filings.into_iter().find(|c| c["type"] == "FILING_TYPE_ADVANCE").unwrap();
    let out = dir.join("notices").display().to_string();
    let several = ke.run("coop", &["case", "notices", "COOP-0001", "--out-dir", &out]);
    assert!(String::from_utf8_lossy(&several.stderr).contains("--filing"), "{several:?}");
    let id = advance["filing_id"].as_str().unwrap();
    let asked = ["case", "notices", "COOP-0001", "--filing", id, "--out-dir", &out];
    let written = ke.json("coop", &asked);
    let names: Vec<&str> =
        written.as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DMSRCV", "DMSACC", "DMSROG"]);
    let cleared = std::fs::read_to_string(written[2]["file"].as_str().unwrap()).unwrap();
    let mrn = advance["mrn"].as_str().unwrap();
    assert!(cleared.contains(&format!("<ID>{mrn}</ID>")), "{cleared}");
    // China's system has no advance filings; its receipts are the export filing's.
    let china = ke.run("coop", &[&asked[..], &["--form", "ceb"]].concat());
    assert!(String::from_utf8_lossy(&china.stderr).contains("import and export"), "{china:?}");
}

#[test]
fn bad_rows_of_a_table_are_named_with_what_is_allowed_and_the_good_ones_are_filed() {
    let dir = tempfile::tempdir().unwrap();
    let cn = Hub::start(dir.path(), "CN");
    cn.add_account("platform", "platform");
    let declarants = dir.path().join("declarants.txt");
    std::fs::write(&declarants, "KRXQWN3SX\n").unwrap();
    cn.mandates(&declarants);
    let fixture =
        std::fs::read_to_string(repository("tests/fixtures/korea/declarations.csv")).unwrap();
    let mut lines = fixture.lines();
    let header = lines.next().unwrap();
    let good = "10000001,2026-06-14,12,B,11,21,11,40,XQWN3SX,BVUA8TJ,HZXH8M3,,382499,CN,CN,8.0,A,E,95.7,532.5,0,0";
    let table = [
        header,
        good,
        "10000002,2026-06-14",
        &good.replace("10000001", "10000003").replace(",40,XQ", ",77,XQ"),
        &good.replace("10000001", "10000004").replace("382499", "3824").replace("95.7", "heavy"),
    ];
    let csv = dir.path().join("table.csv");
    std::fs::write(&csv, table.join("\n")).unwrap();
    let mapping = repository("samples/korea.mapping.toml").display().to_string();
    let import = |csv: &std::path::Path| {
        cn.run("platform", &["--json", "import", "--mapping", &mapping, &csv.display().to_string()])
    };
    let output = import(&csv);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = ["rows", "accepted", "rejected"].map(|k| summary[k].as_u64().unwrap());
    assert_eq!(counts, [4, 1, 3]);
    let mut rejects = csv::Reader::from_path(dir.path().join("table.rejects.csv")).unwrap();
    let rejects: Vec<Vec<String>> =
        rejects.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
    let named: Vec<(&str, &str, &str)> = rejects.iter().map(|r| (&*r[0], &*r[1], &*r[2])).collect();
    for wanted in [
        ("3", "", "2 columns"),
        ("4", "core.transport_mode", "77"),
        ("5", "core.items[0].commodity_code", "3824"),
        ("5", "goods.items[0].net_mass_kg", "heavy"),
    ] {
        assert!(named.contains(&wanted), "{wanted:?} in {named:?}");
    }
    assert!(
        rejects.iter().all(|r| !r[3].is_empty() && !r[4].is_empty()),
        "what is allowed, how to mend it"
    );
    // The same table again files nothing twice.
    let again: serde_json::Value = serde_json::from_slice(&import(&csv).stdout).unwrap();
    assert_eq!((again["accepted"].as_u64(), again["repeated"].as_u64()), (Some(1), Some(1)));
    let other = dir.path().join("other.csv");
    std::fs::write(&other, "a,b\n1,2\n").unwrap();
    let wrong = import(&other);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("lacks the columns Country of Departure")
    );
}
