//! `ewtp rules`, as an agency's lawyer and its operator use it.

use std::process::{Command, Output};

use crate::stage::{EWTP, Hub, all_cases, case, pin, repository, until};

fn rules(args: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = Command::new(EWTP).arg("rules").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn shipped_rulesets_are_checked_and_decide_their_examples() {
    let names = ["be-advance", "be-risk", "ke-export", "kr-advance", "sg-advance"];
    let files = names.map(|n| repository(&format!("rulesets/{n}.toml")).display().to_string());
    let mut check = vec!["check"];
    check.extend(files.iter().map(String::as_str));
    let (code, shown, told) = rules(&check);
    assert_eq!(code, Some(0), "{shown}{told}");
    let (code, shown, told) = rules(&["test", &files[0]]);
    assert_eq!(code, Some(0), "{shown}{told}");
    assert!(shown.contains("fireworks by air are not loaded"), "{shown}");
    assert!(told.contains("no example makes"), "{told}");
}

#[test]
fn an_example_that_differs_and_a_rule_that_fails_end_in_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(repository(name)).unwrap();
    let ruleset = dir.path().join("be-advance.toml");
    let changed = read("rulesets/be-advance.toml").replace("'5000', 'KGM'", "'500', 'KGM'");
    std::fs::write(&ruleset, changed).unwrap();
    let examples = dir.path().join("be-advance.examples.toml");
    std::fs::write(&examples, read("rulesets/be-advance.examples.toml")).unwrap();
    let (code, shown, _) = rules(&["test", ruleset.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(shown.contains("admissibility is DOC_CONTROL, expected CLEAR"), "{shown}");

    let bad = read("rulesets/ke-export.toml")
        .replace("i.hs.startsWith('080261')", "i.number == '080261'");
    std::fs::write(&ruleset, bad).unwrap();
    let (code, shown, _) = rules(&["check", ruleset.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(shown.contains("compares a whole number with a text"), "{shown}");
}

/// What the destination's public rules say before is what they decide after; each question is logged, and nothing is filed.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_is_decided_afterwards_and_files_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    ke.add_party("coop", "platform", "KEP051234567X");
    let coffee = repository("samples/coffee.toml").display().to_string();
    let alone = ke.json("coop", &["declare", &coffee, "--only", "advance", "--dry-run"]);
    assert!(alone[0]["precheck"]["why_not"].as_str().unwrap().contains("no hub"), "{alone}");
    pin(&be, &ke, "full");
    be.publish("be-advance");
    let entries = ke.status().await.log_size;
    let before = until("Belgium's public rules", || async {
        let asked = ke.json("coop", &["declare", &coffee, "--only", "advance", "--dry-run"]);
        asked[0]["precheck"]["decisions"].is_array().then_some(asked)
    })
    .await;
    let precheck = &before[0]["precheck"];
    assert_eq!(
        (precheck["assessed_by"].as_str(), &before[0]["selection_included"]),
        (Some("BE"), &false.into())
    );
    assert!(ke.status().await.log_size > entries, "it is logged who asked");
    assert!(all_cases(&mut ke.trade("coop").await).await.is_empty(), "and nothing is filed");

    let shown = ke.run("coop", &["declare", &coffee, "--only", "advance", "--dry-run"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("Risk and selection are not included"), "{shown}");
    let filed = ke.json("coop", &["declare", &coffee, "--only", "advance"]);
    let id = filed[0]["accepted"]["case_id"].as_str().unwrap().to_owned();
    let decided = until("both decisions", || async {
        case(&ke, "coop", &id).await.map(|c| c.decisions).filter(|d| d.len() == 2)
    })
    .await;
    for said in precheck["decisions"].as_array().unwrap() {
        let same = |d: &&ewtp_proto::v1::CaseDecision| {
            let core = d.core.clone().unwrap_or_default();
            said["effect"] == core.effect().as_str_name()
        };
        let decision = decided.iter().find(same).unwrap();
        let core = decision.core.clone().unwrap();
        assert_eq!(said["code"], core.code().as_str_name());
        let estimate = decision.trader.as_ref().unwrap().estimate.clone();
        let total = estimate.and_then(|e| e.total).map(|m| m.amount);
        assert_eq!(said["estimate"]["total"]["amount"].as_str().map(str::to_owned), total);
    }
}
