//! Rules made in public: a draft with its figures, comments of an account here and of a peer's, answers, and adoption, all on record.

use serde_json::Value;

use crate::recognition::HEAD;
use crate::stage::{Hub, pin, stops_whole, until};

const RULES: &str = r#"
[[text]]
code = "PACKED"
en = "Its packages are looked at"
[[rule]]
id = "BE-D1"
effect = "security"
applies = ["advance"]
when = "items.exists(i, has(i.hs) && i.hs.startsWith('0901'))"
then = "DOC_CONTROL"
reason = "PACKED"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_commented_on_at_home_and_abroad_answered_and_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let [be, ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    be.add_party("importer", "trader", "BE0123456789");
    be.add_account("officer", "officer");
    ke.add_party("platform", "platform", "KEP051234567X");
    let (draft, figures) = (dir.path().join("draft.toml"), dir.path().join("figures.json"));
    std::fs::write(&draft, [HEAD, RULES].concat()).unwrap();
    let file = draft.to_str().unwrap();
    // What it would have changed stands beside it, as the simulation told.
    let simulated =
        be.json("officer", &["rules", "simulate", file, "--since", "2026-01-01T00:00:00Z"]);
    std::fs::write(&figures, simulated.to_string()).unwrap();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(12);
    let until_then = ["--until", &soon.to_string()];
    let hidden = dir.path().join("hidden.toml");
    std::fs::write(
        &hidden,
        [HEAD, RULES].concat().replace("visibility = \"public\"", "visibility = \"confidential\""),
    )
    .unwrap();
    let refused = be.run(
        "operator",
        &[&["rules", "propose", hidden.to_str().unwrap()], &until_then[..]].concat(),
    );
    assert_eq!(refused.status.code(), Some(1), "confidential rules are not made in public");
    let propose = ["rules", "propose", file, "--figures", figures.to_str().unwrap()];
    let id = be.json("operator", &[&propose[..], &until_then].concat())["draft"]
        .as_str()
        .unwrap()
        .to_owned();

    // Abroad it is known, with its text and figures.
    until("the draft at Kenya", || async {
        let all = ke.json("platform", &["rules", "drafts"]);
        (all.as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let text =
        String::from_utf8(ke.run("platform", &["rules", "draft", &id, "--text"]).stdout).unwrap();
    assert_eq!(text, [HEAD, RULES].concat());
    let wrong = ke.run("platform", &["rules", "comment", &id, "--rule", "BE-D9", "--text", "no"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("BE-D1"), "{wrong:?}");
    ke.json(
        "platform",
        &["rules", "comment", &id, "--rule", "BE-D1", "--text", "Roasted coffee needs no papers"],
    );
    be.json("importer", &["rules", "comment", &id, "--text", "Say from which day it holds"]);
    let both = until("both comments at Belgium", || async {
        let shown = be.json("importer", &["rules", "draft", &id]);
        (shown["comments"].as_array().map_or(0, Vec::len) == 2).then_some(shown)
    })
    .await;
    let told = both["draft"]["figures"].as_str().unwrap();
    assert!(told.contains("filings") && !told.contains("each"), "cases are no figures: {both}");
    let comment = |author: &str| -> String {
        let all: Vec<Value> = both["comments"].as_array().unwrap().clone();
        let found = all.into_iter().find(|c| c["core"]["author"] == author).unwrap();
        found["core"]["comment_id"].as_str().unwrap().to_owned()
    };

    // It is not adopted before its time, nor before each comment is answered.
    let changed = dir.path().join("adopted.toml");
    std::fs::write(&changed, [HEAD, RULES].concat().replace("'0901'", "'09011'")).unwrap();
    let adopt = ["ruleset", "publish", changed.to_str().unwrap(), "--draft", &id];
    let early = be.run("operator", &adopt);
    let told = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(
        told.contains("time for comments is over") && told.contains("an answer to every comment"),
        "{told}"
    );
    let answer = |id: &str, comment: &str, outcome: &str, text: &str| {
        be.json(
            "operator",
            &["rules", "answer", id, comment, "--outcome", outcome, "--text", text],
        );
    };
    answer(&id, &comment("platform"), "taken-up", "Green coffee alone");
    answer(&id, &comment("importer"), "not-taken-up", "It stands in valid_from");
    until("the time for comments to be over", || async {
        be.run("operator", &adopt).status.success().then_some(())
    })
    .await;
    let late = be.run("importer", &["rules", "comment", &id, "--text", "too late"]);
    assert_eq!(late.status.code(), Some(1));
    let at_home = until("the answer and the adoption at Kenya", || async {
        let shown = ke.json("platform", &["rules", "draft", &id]);
        (shown["adopted"]["adopted_version"] == 1 && shown["comments"][0]["answer"].is_object())
            .then_some(shown)
    })
    .await;
    assert_eq!(
        at_home["comments"].as_array().unwrap().len(),
        1,
        "comments given elsewhere are not its business"
    );
    let page = String::from_utf8(be.run("importer", &["rules", "draft", &id]).stdout).unwrap();
    for line in ["adopted as version 1", "not taken up", "taken up", "simulated: {"] {
        assert!(page.contains(line), "{page}");
    }
    [be, ke].into_iter().for_each(stops_whole);
}
