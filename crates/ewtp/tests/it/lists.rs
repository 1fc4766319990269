//! Code lists between hubs.

use serde_json::Value;

use crate::stage::{Hub, advance, file, pin, stops_whole, submit, until};

/// Editions of offices at a hub: publisher, name, whether it holds.
fn offices(hub: &Hub) -> Vec<(String, String, bool)> {
    let all = hub.json("operator", &["codes", "list", "--hub"]);
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = all.as_array().unwrap().iter().filter(|r| r["list"] == "offices");
    rows.map(|r| (text(r, "hub"), text(r, "edition"), r["in_force"] == true)).collect()
}

fn publish(
    hub: &Hub,
    dir: &std::path::Path,
    edition: [&str; 2],
    csv: &str,
) -> std::process::Output {
    let file = dir.join(format!("{}.csv", edition[0]));
    std::fs::write(&file, csv).unwrap();
    let list = ["--list", "offices", "--edition", edition[0], "--from", edition[1]];
    let mut args =
        vec!["codes", "publish", file.to_str().unwrap(), "--time-zone", "Europe/Brussels"];
    args.extend(list);
    hub.run("operator", &args)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_edition_reaches_every_peer_also_one_that_joins_later_and_filings_are_checked_by_it()
 {
    let dir = tempfile::tempdir().unwrap();
    let [ke, be, nl] = ["KE", "BE", "NL"].map(|id| Hub::start(dir.path(), id));
    ke.add_account("platform", "platform");
    pin(&ke, &be, "full");
    let mut trade = ke.trade("platform").await;
    let to = |lrn: &str, office: &str| {
        let mut filing = advance(lrn, "KE", "BE");
        filing.core.as_mut().unwrap().offices = vec![office.to_owned()];
        filing
    };
    file(&mut trade, to("BEFORE", "BE000009")).await;

    // What is another's, and what can't be read, is refused with all that is wrong.
    let foreign = publish(&be, dir.path(), ["bad", "2026-01-01"], "code\nBE000001\nKE000001\n");
    let told = String::from_utf8_lossy(&foreign.stderr).into_owned();
    assert!(!foreign.status.success() && told.contains("codes of BE"), "{told}");
    let unread = publish(&be, dir.path(), ["b d", "2026-13-01"], "offices\nBE000001\n");
    let told = String::from_utf8_lossy(&unread.stderr).into_owned();
    for fault in ["edition:", "valid_from:", "text:"] {
        assert!(told.contains(fault), "{told}");
    }

    let csv = "code,until,replaced_by\nBE000001,,\nBE000002,,\nBE000003,2026-06-30,BE000002\n";
    let published = publish(&be, dir.path(), ["2026-07", "2026-07-01"], csv);
    assert!(published.status.success(), "{published:?}");
    let again = publish(&be, dir.path(), ["2026-07", "2026-07-01"], csv);
    assert!(!again.status.success(), "a name is used once");
    publish(&be, dir.path(), ["2099", "2099-01-01"], "code\nBE000002\n");
    let expected = |hub: &str| {
        vec![
            (hub.to_owned(), "2026-07".to_owned(), true),
            (hub.to_owned(), "2099".to_owned(), false),
        ]
    };
    until("the editions at KE", || async { (offices(&ke) == expected("BE")).then_some(()) }).await;
    assert_eq!(offices(&be), expected(""));

    let unknown = submit(&mut trade, to("UNKNOWN", "BE000009")).await;
    let ewtp_proto::v1::submit_response::Result::Refused(refused) = unknown else {
        panic!("{unknown:?}");
    };
    assert_eq!((refused.violations[0].code.as_str(), refused.violations.len()), ("office", 1));
    let left = file(&mut trade, to("LEFT", "BE000003")).await;
    assert_eq!(left.warnings[0].fix, "replaced by BE000002");
    assert!(file(&mut trade, to("GOOD", "BE000001")).await.warnings.is_empty());

    // Who joins later is told what holds and what will.
    pin(&nl, &be, "full");
    until("the editions at NL", || async { (offices(&nl) == expected("BE")).then_some(()) }).await;
    // A hub that isn't relied upon any more isn't in its lists either.
    ke.json("operator", &["peer", "suspend", "BE", "--reason", "TEST"]);
    assert_eq!(offices(&ke), []);
    [ke, be, nl].into_iter().for_each(stops_whole);
}
