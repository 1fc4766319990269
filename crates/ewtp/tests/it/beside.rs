//! Filings beside each other: an import lodged apart, returns, supplements, filings that end without use; and tariffs, which price them.

use std::path::Path;

use ewtp_proto::v1;
use v1::CaseState;

use crate::federation::principals;
use crate::stage::{Hub, advance, case, file, pin, repository, shows, until};

const IMPORTER: &str = "BE0123456789";
const EXPORTER: &str = "KEP051234567X";

/// An export filing of the goods of [`advance`].
fn export(lrn: &str, ucr: &str) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    let core = filing.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Export as i32;
    core.ucr = ucr.into();
    core.importer_id = IMPORTER.into();
    (core.declarant_id, core.exporter_id) = (EXPORTER.into(), EXPORTER.into());
    let goods = filing.goods.as_mut().unwrap();
    goods.items[0].procedure = "1000".into();
    goods.transport_document = format!("HAWB-{lrn}");
    filing
}

/// The same goods from the other side.
fn import(lrn: &str, ucr: &str, declarant: &str) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    let core = filing.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Import as i32;
    core.ucr = ucr.into();
    (core.declarant_id, core.importer_id) = (declarant.into(), declarant.into());
    core.exporter_id = EXPORTER.into();
    filing.goods.as_mut().unwrap().items[0].procedure = "4000".into();
    filing
}

struct Pair {
    ke: Hub,
    be: Hub,
}

/// Kenya and Belgium, an exporter's platform at the one, an importer and another at the other.
fn pair(dir: &Path) -> Pair {
    let (ke, be) = (Hub::start(dir, "KE"), Hub::start(dir, "BE"));
    pin(&ke, &be, "full");
    ke.add_account("platform", "platform");
    ke.mandates(&principals(dir));
    be.add_party("importer", "trader", IMPORTER);
    be.add_party("other", "trader", "BE0999999999");
    for hub in [&ke, &be] {
        hub.add_account("officer", "officer");
    }
    Pair { ke, be }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_lodged_apart_joins_the_case_and_both_hubs_show_the_same_differences() {
    let dir = tempfile::tempdir().unwrap();
    let Pair { ke, be } = pair(dir.path());
    let ucr = "6KEP051234567X-0417";
    let exported = file(&mut ke.trade("platform").await, export("OUT-1", ucr)).await;
    until("the export at the destination", || case(&be, "officer", &exported.case_id)).await;

    // Who isn't the importer that the export names gets a case of its own, though the UCR is right.
    let apart = file(&mut be.trade("other").await, import("IN-0", ucr, "BE0999999999")).await;
    assert_ne!(apart.case_id, exported.case_id);
    let seen = case(&be, "officer", &apart.case_id).await.unwrap();
    let relation = |c: &v1::Case| {
        let all = c.links.iter().map(|l| (l.relation.clone(), l.case_id.clone()));
        all.collect::<Vec<_>>()
    };
    assert_eq!(relation(&seen), [("beside".into(), exported.case_id.clone())]);
    let own = case(&be, "other", &apart.case_id).await.unwrap();
    assert!(own.links.is_empty(), "another's case is no business of theirs: {:?}", own.links);

    let mut differs = import("IN-1", ucr, IMPORTER);
    let value = differs.value.as_mut().unwrap();
    value.items[0].value.as_mut().unwrap().amount = "90.00".into();
    differs.core.as_mut().unwrap().items[0].origin = "ET".into();
    let joined = file(&mut be.trade("importer").await, differs).await;
    assert_eq!(joined.case_id, exported.case_id, "the case of the goods");

    let there = case(&be, "officer", &joined.case_id).await.unwrap();
    let here = until("the import at the origin", || async {
        case(&ke, "officer", &joined.case_id).await.filter(|c| !c.matches.is_empty())
    })
    .await;
    assert_eq!(here.matches, there.matches, "both come to the same");
    let found = &here.matches[0];
    assert_eq!((found.found_by.as_str(), found.import_version), ("ucr", 1));
    let told: Vec<_> = found
        .discrepancies
        .iter()
        .map(|d| (d.what.as_str(), d.origin_says.as_str(), d.import_says.as_str()))
        .collect();
    assert_eq!(told, [("value", "120.00 USD", "90.00 USD"), ("origin", "090111 KE", "090111 ET"),]);
    let text = be.run("officer", &["case", "show", &joined.case_id]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("origin says 120.00 USD, import says 90.00 USD (tolerated: 5%)"),
        "{text}"
    );
    // The importer sees what it declared, and not what the exporter said of prices beyond its own filing.
    let own = case(&be, "importer", &joined.case_id).await.unwrap();
    assert!(own.matches[0].not_compared.iter().any(|w| w == "value"), "{:?}", own.matches);

    // Without a UCR the transport document finds it; a second import of the same goods doesn't join the first.
    let second = file(&mut ke.trade("platform").await, export("OUT-2", "")).await;
    until("the second export", || case(&be, "officer", &second.case_id)).await;
    let mut by_document = import("IN-2", "", IMPORTER);
    by_document.goods.as_mut().unwrap().transport_document = "HAWB-OUT-2".into();
    // A number that others can guess draws nobody into their case: the import has to name the same exporter.
    for (lrn, exporter) in [("IN-2A", ""), ("IN-2B", "KEP000000000X")] {
        let mut guessed = by_document.clone();
        let core = guessed.core.as_mut().unwrap();
        (core.lrn, core.exporter_id) = (lrn.into(), exporter.into());
        let own = file(&mut be.trade("importer").await, guessed).await;
        assert_ne!(own.case_id, second.case_id, "{exporter:?}");
    }
    let found = file(&mut be.trade("importer").await, by_document.clone()).await;
    assert_eq!(found.case_id, second.case_id);
    by_document.core.as_mut().unwrap().lrn = "IN-3".into();
    let again = file(&mut be.trade("importer").await, by_document).await;
    assert_ne!(again.case_id, second.case_id);

    // With neither, what agrees is shown to officers with how much of it does.
    let third = file(&mut ke.trade("platform").await, export("OUT-3", "")).await;
    until("the third export", || case(&be, "officer", &third.case_id)).await;
    let alone = file(&mut be.trade("importer").await, import("IN-4", "", IMPORTER)).await;
    let seen = case(&be, "officer", &alone.case_id).await.unwrap();
    let candidate = seen.links.iter().find(|l| l.case_id == third.case_id).unwrap();
    assert_eq!((candidate.relation.as_str(), candidate.score), ("candidate", 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_parts_and_supplements_are_linked() {
    let dir = tempfile::tempdir().unwrap();
    let Pair { ke, be } = pair(dir.path());
    be.add_account("shop", "platform");
    let principals = dir.path().join("be.txt");
    std::fs::write(&principals, format!("{IMPORTER}\n")).unwrap();
    let file_name = principals.display().to_string();
    let args = ["mandate", "give", "--principals", &file_name, "--account", "shop"];
    be.json("operator", &[&args[..], &["--from", "2000-01-01", "--until", "2099-12-31"]].concat());
    let ucr = "6KEP051234567X-0500";
    let out = file(&mut ke.trade("platform").await, export("SOLD-1", ucr)).await;
    until("the export at the destination", || case(&be, "officer", &out.case_id)).await;
    let cites = |filing: &mut v1::Filing, of: &str| {
        let previous = &mut filing.goods.as_mut().unwrap().previous_documents;
        let one =
            v1::DocumentReference { r#type: "DCR".into(), id: of.into(), ..Default::default() };
        previous.push(one);
    };
    // Sent back: from where it went, to where it came from.
    let mut back = advance("BACK-1", "BE", "KE");
    let core = back.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Export as i32;
    (core.declarant_id, core.exporter_id) = (IMPORTER.into(), IMPORTER.into());
    back.goods.as_mut().unwrap().items[0].procedure = "3171".into();
    cites(&mut back, ucr);
    let back = file(&mut be.trade("shop").await, back).await;
    // A part of it, the same way, and what supplements a simplified declaration.
    let mut part = export("PART-1", "6KEP051234567X-0501");
    cites(&mut part, ucr);
    let part = file(&mut ke.trade("platform").await, part).await;
    let mut supplement = export("SUPPLEMENT-1", "");
    supplement.core.as_mut().unwrap().supplements = vec![out.mrn.clone()];
    let supplement = file(&mut ke.trade("platform").await, supplement).await;

    let links = |c: &v1::Case| {
        let mut all: Vec<_> =
            c.links.iter().map(|l| (l.relation.clone(), l.case_id.clone())).collect();
        all.sort();
        all
    };
    let expected = [
        ("holds".to_owned(), part.case_id.clone()),
        ("returned-by".to_owned(), back.case_id.clone()),
        ("supplemented-by".to_owned(), supplement.case_id.clone()),
    ];
    for hub in [&ke, &be] {
        until("the links", || async {
            let seen = case(hub, "officer", &out.case_id).await?;
            (links(&seen) == expected).then_some(())
        })
        .await;
    }
    let seen = case(&be, "officer", &back.case_id).await.unwrap();
    assert_eq!(links(&seen)[0], ("return-of".to_owned(), out.case_id.clone()));
    let seen = case(&ke, "officer", &part.case_id).await.unwrap();
    assert!(links(&seen).contains(&("part-of".to_owned(), out.case_id.clone())), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filing_that_is_never_used_ends_and_its_peers_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let Pair { mut ke, be } = pair(dir.path());
    let moved = file(&mut ke.trade("platform").await, export("USED-1", "")).await;
    let unused = file(&mut ke.trade("platform").await, export("UNUSED-1", "")).await;
    until("both at the destination", || async {
        case(&be, "officer", &moved.case_id).await.and(case(&be, "officer", &unused.case_id).await)
    })
    .await;
    let exited =
        ke.run("officer", &["desk", "event", &moved.case_id, "exited", "--office", "KE000001"]);
    assert!(exited.status.success(), "{exited:?}");
    ke.process.stop().unwrap();
    let config = ke.process.config();
    let text = std::fs::read_to_string(&config).unwrap();
    ke.process.configure("\n[expiry]\nexport = \"soon\"\n").unwrap();
    let refused = std::process::Command::new(env!("CARGO_BIN_EXE_ewtp"))
        .args(["hub", "run", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("150 days"), "{told}");
    std::fs::write(&config, text).unwrap();
    let terms = "\n[retention]\ncadence_s = 1\n[expiry]\nexport = \"1 second\"\n";
    ke.process.configure(terms).unwrap();
    ke.process.start().unwrap();
    for hub in [&ke, &be] {
        until("the end", || async {
            let seen = case(hub, "officer", &unused.case_id).await?;
            let filing = seen.filings.first()?;
            (filing.state() == v1::FilingState::Expired).then_some(())
        })
        .await;
    }
    let kept = case(&ke, "officer", &moved.case_id).await.unwrap();
    assert_eq!(kept.filings[0].state(), v1::FilingState::Registered, "its goods have left");
    let text = ke.run("platform", &["case", "show", &unused.case_id]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("expired: "), "{text}");
    let own_word = ke.run("platform", &["invalidate", &moved.case_id, "--reason", "EXPIRED"]);
    assert!(!own_word.status.success(), "it is the hub's own word");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_prices_by_the_tariff_in_force_and_is_replayed_at_both_hubs() {
    let dir = tempfile::tempdir().unwrap();
    let Pair { ke, be } = pair(dir.path());
    be.publish("be-tariff");
    be.publish("be-advance");
    be.add_account("auditor", "auditor");
    let mut filing = advance("PRICED-1", "KE", "BE");
    let core = filing.core.as_mut().unwrap();
    core.items[0].commodity_code = "090121".into();
    let value = filing.value.as_mut().unwrap();
    value.items[0].value.as_mut().unwrap().amount = "1000.00".into();
    value.freight = Some(v1::Money { amount: "100.00".into(), currency: "EUR".into() });
    value.terms = "EXW".into();
    filing.authority =
        Some(v1::FilingAuthority { ioss: "IM0561234567".into(), ..Default::default() });
    let written = dir.path().join("priced.json");
    std::fs::write(&written, serde_json::to_string(&filing).unwrap()).unwrap();
    let filed = file(&mut ke.trade("platform").await, filing).await;
    let cleared = shows(&ke, "platform", &filed.case_id, CaseState::Cleared).await;
    let admissibility = cleared.decisions.iter().find_map(|d| d.trader.as_ref()?.estimate.clone());
    let estimate = admissibility.unwrap();
    // 1000 USD at 0.90 and 100 EUR of freight: 1000 EUR; 7.5% duty, 6% VAT on 1075.00. 1000 EUR are too much for IOSS.
    assert_eq!(estimate.total.as_ref().unwrap().amount, "139.50", "{estimate:?}");
    let cited: Vec<_> = cleared.decisions[0]
        .core
        .as_ref()
        .unwrap()
        .rulesets
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(cited, ["be-advance", "be-tariff"]);
    for (hub, profile) in [(&be, "auditor"), (&ke, "officer")] {
        let replayed = hub.json(profile, &["case", "replay", &filed.case_id]);
        assert!(replayed.as_array().unwrap().iter().all(|r| r["replay"] == "agrees"), "{replayed}");
    }
    // Its number is for agencies alone.
    let shown = serde_json::to_string(&cleared).unwrap();
    assert!(!shown.contains("IM0561234567"), "a trader is shown the number");
    // The same, offline and before.
    let tariff = repository("rulesets/be-tariff.toml").display().to_string();
    let args = ["duties", written.to_str().unwrap(), "--tariff", &tariff];
    let offline = ke.json("platform", &[&args[..], &["--at", "2026-11-26T12:00:00Z"]].concat());
    assert_eq!(offline[0]["estimate"]["total"]["amount"], "139.50", "{offline}");
    // A name is of rules or of a tariff, and tariffs speak one currency.
    let text = std::fs::read_to_string(repository("rulesets/be-tariff.toml")).unwrap();
    let other = dir.path().join("other.toml");
    let other_currency = text.replace("name = \"be-tariff\"", "name = \"be-more\"");
    let other_currency =
        other_currency.replace("currency = \"EUR\"\nlegal", "currency = \"GBP\"\nlegal");
    std::fs::write(
        &other,
        other_currency
            .replace(" EUR/", " GBP/")
            .replace("currency = \"EUR\"", "currency = \"USD\""),
    )
    .unwrap();
    let refused = be.run("operator", &["ruleset", "publish", other.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("one currency"), "{told}");
}
