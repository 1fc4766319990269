//! The demo as its user runs it, and what it leaves behind.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::stage::{EWTP, until};

struct Daemons(Vec<Child>);

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The printed commands as (arguments), without the program.
fn commands(text: &str, marker: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|l| l.starts_with(EWTP) && l.contains(marker));
    lines.map(|l| l.split(' ').skip(1).map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_counts_right_and_its_hubs_can_be_started_again_and_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(EWTP)
        .args(["demo", "--json", "--keep", "--backlog", "300", "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let story = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{story}");
    let score: Value = serde_json::from_slice(&output.stdout).unwrap();
    // At least: filings go on until the strike has fallen.
    let filed = usize::try_from(score["filed"].as_u64().unwrap()).unwrap();
    assert!(filed >= 304, "{story}");
    let decided = serde_json::json!({"cleared": filed - 1, "do_not_load": 1, "conditional": 1});
    assert_eq!(score["decided"], decided);
    for once in ["adopted", "released", "amended", "invalidated", "not_connected"] {
        assert_eq!(score[once], 1, "{once}: {story}");
    }
    let rest = ["info_requests", "restarts", "lost", "doubled"].map(|k| score[k].as_u64().unwrap());
    assert_eq!(rest, [1, 1, 0, 0]);
    assert!(
        score["receipts_verified"].as_u64().unwrap() >= 14
            && score["pages_verified"].as_u64().unwrap() > 5
    );
    assert!(score["elapsed_ms"].as_u64().unwrap() > 0);
    for said in [
        "before the goods leave",
        "Explosives and ammunition may not be loaded",
        "statements behind",
        "sees this case and none of the first one's",
        "risk engine gives it 70 points",
    ] {
        assert!(story.contains(said), "{said}: {story}");
    }

    let starts = commands(&story, "hub run --config");
    assert_eq!(starts.len(), 3, "{story}");
    let start =
        |args: &Vec<String>| Command::new(EWTP).args(args).stderr(Stdio::null()).spawn().unwrap();
    let _daemons = Daemons(starts.iter().map(start).collect());
    let look = commands(&story, "case list");
    assert_eq!(look.len(), 3);
    let mut by_state: BTreeMap<String, usize> = BTreeMap::new();
    let mut sizes = Vec::new();
    for args in &look {
        let cases: Vec<Value> = until("the kept hub's case list", || async {
            let output = Command::new(EWTP).arg("--json").args(args).output().unwrap();
            output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
        })
        .await;
        sizes.push(cases.len());
        for case in cases.iter().filter(|_| sizes.len() == 1) {
            *by_state.entry(case["state"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    // Seven more cases live on after clearance, one of them for a country without a hub.
    assert_eq!(sizes, [filed + 7, filed + 5, 1], "Kenya's, Belgium's, Singapore's");
    let states = [
        ("cleared", filed + 1),
        ("cleared_conditional", 1),
        ("do_not_load", 2),
        ("released", 1),
        ("invalidated", 1),
        ("not_connected", 1),
    ];
    assert_eq!(by_state, states.map(|(name, n)| (name.to_owned(), n)).into());
    for args in commands(&story, "hub status").iter().chain(&commands(&story, "case show")) {
        let output = Command::new(EWTP).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_benchmark_files_what_hubs_accept() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(EWTP)
        .args(["bench", "restart", "--statements", "200", "--repeats", "1", "--json", "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().any(|l| l["bench"] == "restart"), "{lines:?}");
}
