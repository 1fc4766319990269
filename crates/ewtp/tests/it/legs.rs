//! Goods on their way over a third country: each hub adds its own word, all see the whole chain as far as their role goes, and the transit
//! hub holds no price.

use std::collections::BTreeMap;
use std::path::Path;

use ewtp_proto::v1::{self, CaseState, EventCode};

use crate::canaries::found;
use crate::stage::{Hub, advance, case, file, pin, shows, stops_whole, until};

/// Prices that stand nowhere else: of an item, and the guarantee.
const PRICES: [&str; 2] = ["98765.43", "87654.32"];

fn priced(lrn: &str, kind: v1::FilingType) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    let core = filing.core.as_mut().unwrap();
    core.r#type = kind as i32;
    core.offices = vec!["NL000510".into()];
    core.exporter_id = "KEP051234567X".into();
    core.declarant_id = "KEP051234567X".into();
    let money = |amount: &str| Some(v1::Money { amount: amount.into(), currency: "EUR".into() });
    let value = filing.value.as_mut().unwrap();
    (value.invoice_total, value.items[0].value) = (money(PRICES[0]), money(PRICES[0]));
    let goods = filing.goods.as_mut().unwrap();
    goods.containers = vec![v1::Container {
        id: "MSCU1234565".into(),
        seals: vec![v1::Seal { id: "KE-SEAL-1".into(), ..Default::default() }],
        ..Default::default()
    }];
    match kind {
        v1::FilingType::Export => goods.items[0].procedure = "1000".into(),
        v1::FilingType::Transit => {
            goods.total_packages = 2;
            goods.transit_time_limit = "2099-12-31".into();
            value.guarantee = Some(v1::Guarantee {
                r#type: "1".into(),
                reference: "26NL000510ABCDEF1".into(),
                amount: money(PRICES[1]),
                ..Default::default()
            });
        }
        _ => {}
    }
    filing
}

/// Everything but prices.
fn no_price(dir: &Path) -> String {
    let path = dir.join("no-price.toml");
    let text = "name = \"transit\"\nparts = [\"core\", \"parties\", \"goods\", \"authority\", \"signature\", \"trader\"]\nlegal_basis = \"transit convention\"\n";
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transit_hub_adds_its_word_holds_no_price_and_its_refusal_reaches_all() {
    let dir = tempfile::tempdir().unwrap();
    let [ke, nl, be] = ["KE", "NL", "BE"].map(|id| Hub::start(dir.path(), id));
    pin(&ke, &be, "full");
    let scope = no_price(dir.path());
    for hub in [&ke, &be] {
        hub.add_peer(&nl, &scope);
        nl.add_peer(hub, "full");
    }
    ke.add_party("platform", "platform", "KEP051234567X");
    for hub in [&ke, &nl, &be] {
        hub.add_account("officer", "officer");
    }
    ke.publish("ke-export");
    be.publish("be-advance");
    publish_transit(&nl, dir.path());

    let mut trade = ke.trade("platform").await;
    let exported = file(&mut trade, priced("LEGS-E", v1::FilingType::Export)).await;
    let id = exported.case_id;
    for (lrn, kind) in [("LEGS-T", v1::FilingType::Transit), ("LEGS-A", v1::FilingType::Advance)] {
        let mut filing = priced(lrn, kind);
        filing.core.as_mut().unwrap().case_id.clone_from(&id);
        file(&mut trade, filing).await;
    }
    shows(&ke, "platform", &id, CaseState::Cleared).await;
    until("the word of three hubs at each", || async {
        for hub in [&ke, &nl, &be] {
            let seen = case(hub, "officer", &id).await?;
            let hubs: std::collections::BTreeSet<String> = seen
                .decisions
                .iter()
                .filter_map(|d| Some(d.statement.as_ref()?.hub.clone()))
                .collect();
            if hubs.len() != 3 || seen.filings.len() != 3 {
                return None;
            }
        }
        Some(())
    })
    .await;
    let waits = nl.json("officer", &["desk", "list", "--all"]);
    assert_eq!(waits[0]["item"]["time_limit"], true, "{waits}");

    // Under way: the seals are checked where they arrive, broken, and put on anew.
    let event = |hub: &Hub, what: &str, more: &[&str]| {
        hub.json("officer", &[&["desk", "event", &id, what], more].concat());
    };
    event(&ke, "departed", &[]);
    event(&nl, "arrived", &["--office", "NL000510"]);
    event(&nl, "seals-checked", &["--found", "seals=false", "--seal", "KE-SEAL-1"]);
    let unnamed = nl.run("officer", &["desk", "event", &id, "resealed"]);
    assert_eq!(unnamed.status.code(), Some(1), "new seals are named: {unnamed:?}");
    event(&nl, "resealed", &["--seal", "NL-SEAL-7"]);
    let early = nl.run("officer", &["desk", "event", &id, "guarantee-released"]);
    assert_eq!(early.status.code(), Some(1), "the goods have not left yet: {early:?}");
    let known = until("the new seal at Kenya", || async {
        let seen = case(&ke, "platform", &id).await?;
        let resealed =
            |e: &&v1::CaseEvent| e.core.as_ref().is_some_and(|c| c.code() == EventCode::Resealed);
        seen.events.iter().any(|e| resealed(&e)).then_some(seen)
    })
    .await;
    let seals: Vec<String> =
        known.events.iter().filter_map(|e| e.trader.clone()).flat_map(|t| t.seals).collect();
    assert_eq!(seals, ["KE-SEAL-1", "NL-SEAL-7"]);

    // The Dutch officer refuses: all see it, and what it does to the whole.
    let refuse = [
        "desk",
        "decide",
        &id,
        "--effect",
        "admissibility",
        "--code",
        "REFUSE",
        "--reason",
        "SEALS",
    ];
    let cores = case(&nl, "officer", &id).await.unwrap().filings.into_iter();
    let mut cores = cores.filter_map(|f| f.filing?.core);
    let transit = cores.find(|c| c.r#type() == v1::FilingType::Transit).unwrap().filing_id;
    nl.json("officer", &[&refuse[..], &["--filing", &transit]].concat());
    for (hub, profile) in [(&ke, "platform"), (&be, "officer"), (&nl, "officer")] {
        shows(hub, profile, &id, CaseState::Refused).await;
    }
    // It is taken back, the goods go on, and the guarantee is released.
    let clear = [
        "desk",
        "decide",
        &id,
        "--effect",
        "admissibility",
        "--code",
        "CLEAR",
        "--filing",
        &transit,
    ];
    nl.json("officer", &clear);
    for (hub, profile) in [(&ke, "platform"), (&be, "officer")] {
        shows(hub, profile, &id, CaseState::Cleared).await;
    }
    event(&nl, "presented", &[]);
    event(&nl, "exited", &["--office", "NL000510"]);
    event(&nl, "guarantee-released", &[]);
    event(&be, "arrived", &[]);

    // One file shows the whole chain, offline.
    let whole = until("the end of the way at Kenya", || async {
        let seen = case(&ke, "platform", &id).await?;
        let of = |code: EventCode| {
            seen.events.iter().any(|e| e.core.as_ref().is_some_and(|c| c.code() == code))
        };
        (of(EventCode::GuaranteeReleased) && of(EventCode::Arrived)).then_some(seen)
    })
    .await;
    let legs: BTreeMap<&str, v1::GoodsState> =
        whole.goods.iter().map(|g| (g.hub.as_str(), g.state())).collect();
    assert_eq!(
        legs,
        BTreeMap::from([
            ("BE", v1::GoodsState::Arrived),
            ("KE", v1::GoodsState::Departed),
            ("NL", v1::GoodsState::Exited),
        ])
    );
    let path = dir.path().join("whole.ewtp-case");
    ke.json("platform", &["receipt", "case", &id, "--out", path.to_str().unwrap()]);
    let verified = std::process::Command::new(crate::stage::EWTP)
        .args(["--json", "receipt", "verify", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let text = String::from_utf8(verified.stdout).unwrap();
    for hub in ["KE", "NL", "BE"] {
        assert!(text.contains(&format!("\"hub\":\"{hub}\"")), "{hub} is missing in {text}");
    }

    // No price is anywhere at the transit hub: not on its disk, not in what it shows, not in its receipts.
    let theirs = dir.path().join("theirs.ewtp-case");
    nl.json("officer", &["receipt", "case", &id, "--out", theirs.to_str().unwrap()]);
    let shown = case(&nl, "officer", &id).await.unwrap();
    let shown = format!("{shown:?}{}", std::fs::read_to_string(&theirs).unwrap());
    let metrics = ewtp_testnet::http_get(&nl.process.public(), "/metrics").unwrap();
    let at = nl.process.dir.clone();
    let here = ke.process.dir.clone();
    [ke, nl, be].into_iter().for_each(stops_whole);
    let prices: BTreeMap<String, Vec<u8>> =
        PRICES.iter().map(|p| ((*p).to_owned(), p.as_bytes().to_vec())).collect();
    assert_eq!(found(&here, &prices).len(), 2, "they can be found where they are");
    assert!(found(&at, &prices).is_empty(), "{:?}", found(&at, &prices));
    for price in PRICES {
        assert!(!shown.contains(price) && !metrics.contains(price), "{price}");
    }
}

fn publish_transit(nl: &Hub, dir: &Path) {
    let rules = dir.join("transit.toml");
    let text = "name = \"nl-transit\"\nversion = 1\nvisibility = \"public\"\nterritory = \"NL\"\ntime_zone = \"Europe/Amsterdam\"\nvalid_from = \"2026-01-01\"\ncurrency = \"EUR\"\n";
    std::fs::write(&rules, text).unwrap();
    nl.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_last_day_a_transit_is_told_to_be_late_unless_its_goods_left() {
    let dir = tempfile::tempdir().unwrap();
    let [mut ke, mut nl] = ["KE", "NL"].map(|id| Hub::start(dir.path(), id));
    pin(&ke, &nl, "full");
    ke.add_party("platform", "platform", "KEP051234567X");
    for hub in [&ke, &nl] {
        hub.add_account("officer", "officer");
    }
    publish_transit(&nl, dir.path());
    let amsterdam = jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap();
    let now = jiff::Timestamp::now();
    let last_day = amsterdam.to_datetime(now).date().tomorrow().unwrap();
    let mut trade = ke.trade("platform").await;
    let mut cases = Vec::new();
    for lrn in ["LATE", "IN-TIME"] {
        let mut filing = priced(lrn, v1::FilingType::Transit);
        filing.goods.as_mut().unwrap().transit_time_limit = last_day.to_string();
        cases.push(file(&mut trade, filing).await.case_id);
    }
    drop(trade);
    until("both decisions", || async {
        let waits = nl.json("officer", &["desk", "list", "--all"]);
        (waits.as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    for what in ["arrived", "presented", "exited"] {
        nl.json("officer", &["desk", "event", &cases[1], what]);
    }
    // A minute behind the midnight of the zone of the rules.
    let next = last_day.tomorrow().unwrap().at(0, 1, 0, 0);
    let ahead = amsterdam.to_timestamp(next).unwrap().as_second() - now.as_second();
    for hub in [&mut ke, &mut nl] {
        hub.play(ahead);
    }
    let late = |c: v1::Case| {
        let code = |e: &v1::CaseEvent| e.core.as_ref().map(v1::EventCore::code);
        c.events.iter().any(|e| code(e) == Some(EventCode::TimeLimitPassed))
    };
    until("the event at Kenya", || async {
        late(case(&ke, "platform", &cases[0]).await?).then_some(())
    })
    .await;
    until("the other's work to end", || async {
        let open = nl.json("officer", &["desk", "list", "--all"]);
        let rows = open.as_array()?.clone();
        let officers = rows.iter().filter(|r| r["item"]["case_id"] == cases[0].as_str());
        (rows.len() == 1 && officers.count() == 1).then_some(())
    })
    .await;
    assert!(!late(case(&nl, "officer", &cases[1]).await.unwrap()));
    [ke, nl].into_iter().for_each(stops_whole);
}
