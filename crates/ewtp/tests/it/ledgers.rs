//! Certificates for one use or a quantity: what is spent once isn't spent twice, whoever files it where.

use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::{self, DecisionCode, Effect, LedgerEntry};

use crate::recognition::{CERTIFIED, HEAD, agree, issue, on_security};
use crate::stage::{Hub, advance, case, file, pin, repository, stops_whole, until, verified};

const EXPORTER: &str = "KEP051234567X";

/// A filing of so much coffee that cites a certificate.
fn coffee(lrn: &str, kg: &str, reference: &str) -> v1::Filing {
    let mut filing = advance(lrn, "KE", "BE");
    let core = filing.core.as_mut().unwrap();
    core.exporter_id = EXPORTER.into();
    core.items[0].quantity = Some(v1::Quantity { value: kg.into(), unit: "KGM".into() });
    let goods = filing.goods.as_mut().unwrap();
    (goods.items[0].net_mass_kg, goods.items[0].gross_mass_kg) = (kg.into(), kg.into());
    goods.gross_mass_kg = kg.into();
    goods.items[0].documents = vec![v1::DocumentReference {
        category: "C".into(),
        r#type: "085".into(),
        id: reference.into(),
        ..Default::default()
    }];
    filing
}

/// The same lodged at the destination, as an import of its own.
fn import(lrn: &str, kg: &str, reference: &str) -> v1::Filing {
    let mut filing = coffee(lrn, kg, reference);
    let core = filing.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Import as i32;
    (core.declarant_id, core.importer_id) = ("BE0123456789".into(), "BE0123456789".into());
    filing.goods.as_mut().unwrap().items[0].procedure = "4000".into();
    filing
}

/// What the ledger says of a case, as a hub shows it: entries and how much, the newest of each sort.
async fn drawn(hub: &Hub, id: &str) -> Vec<(LedgerEntry, String)> {
    let shown = case(hub, "officer", id).await.map(|c| c.drawings).unwrap_or_default();
    let of = |d: v1::CaseDrawing| {
        let quantities = d.goods.unwrap_or_default().quantities;
        let value = quantities.first().map(|q| q.value.clone()).unwrap_or_default();
        (d.core.unwrap_or_default().entry(), value)
    };
    shown.into_iter().map(of).collect()
}

async fn draws(hub: &Hub, id: &str, expected: &[(LedgerEntry, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(e, q)| (*e, (*q).to_owned())).collect();
    until(&format!("{expected:?}"), || async { (drawn(hub, id).await == expected).then_some(()) })
        .await;
}

fn code(decision: &v1::CaseDecision) -> DecisionCode {
    decision.core.as_ref().map(v1::DecisionCore::code).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quantity_is_spent_once_across_a_partition_and_the_loser_can_prove_why() {
    let dir = tempfile::tempdir().unwrap();
    let [mut be, mut ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    be.add_account("officer", "officer");
    ke.add_account("officer", "officer");
    ke.add_party("platform", "platform", EXPORTER);
    be.add_party("importer", "trader", "BE0123456789");
    let rules = dir.path().join("rules.toml");
    let applies = ["\"advance\"", "\"advance\", \"import\""];
    std::fs::write(&rules, [HEAD, CERTIFIED].concat().replace(applies[0], applies[1])).unwrap();
    be.json("operator", &["ruleset", "publish", rules.to_str().unwrap()]);
    agree(dir.path(), &be, &ke).await;

    // Filed before the certificate is there: it is reserved as soon as it is issued.
    let mut trade = ke.trade("platform").await;
    let first = file(&mut trade, coffee("FIRST", "400", "QUOTA-1")).await;
    let sample = std::fs::read_to_string(repository("samples/certificate-quantity.toml")).unwrap();
    let quota = sample.replace("KEPHIS-LOT-2026-0044", "QUOTA-1");
    let quota = issue(&ke, dir.path(), "quota.toml", &quota);
    draws(&ke, &first.case_id, &[(LedgerEntry::Reserved, "400")]).await;
    draws(&be, &first.case_id, &[(LedgerEntry::Reserved, "400")]).await;
    until("clearance by the reservation", || async {
        let newest = case(&be, "officer", &first.case_id).await?.decisions.into_iter();
        let mut security =
            newest.filter(|d| d.core.as_ref().is_some_and(|c| c.effect() == Effect::Security));
        security.next_back().filter(|d| code(d) == DecisionCode::Clear)
    })
    .await;

    // A partition: 500 of the 600 that are left are filed at the one hub, and 500 at the other.
    be.process.stop().unwrap();
    let at_origin = file(&mut trade, coffee("ORIGIN", "500", "QUOTA-1")).await.case_id;
    draws(&ke, &at_origin, &[(LedgerEntry::Reserved, "500")]).await;
    drop(trade);
    ke.process.stop().unwrap();
    be.process.start().unwrap();
    let apart =
        file(&mut be.trade("importer").await, import("APART", "500", "QUOTA-1")).await.case_id;
    let before = on_security(&be, &apart, 1).await.remove(0);
    assert_eq!(
        code(&before),
        DecisionCode::PhysControl,
        "nothing is recognised that isn't reserved"
    );
    ke.process.start().unwrap();
    for hub in [&be, &ke] {
        draws(hub, &at_origin, &[(LedgerEntry::Reserved, "500")]).await;
        draws(hub, &apart, &[(LedgerEntry::Refused, "500")]).await;
    }
    let winner = on_security(&be, &at_origin, 1).await.remove(0);
    assert_eq!(code(&winner), DecisionCode::Clear);
    assert_eq!(winner.trader.unwrap().recognised[0].certificate_id, quota);

    // The refusal is proven offline with what was left, and by whom the rest is held.
    let refused = case(&be, "importer", &apart).await.unwrap().drawings.remove(0);
    let (core, goods) = (refused.core.unwrap(), refused.goods.unwrap());
    assert_eq!((goods.left[0].value.as_str(), core.held_by.len()), ("100", 2));
    let commitment = refused.statement.unwrap().commitment;
    let request =
        v1::GetReceiptRequest { case_id: apart.clone(), commitment, ..Default::default() };
    let receipt = be.trade("importer").await.get_receipt(request).await.unwrap().into_inner();
    let (path, keys) = (dir.path().join("refused.receipt"), dir.path().join("keys.jsonl"));
    std::fs::write(&path, receipt.receipt).unwrap();
    std::fs::write(&keys, receipt.descriptors).unwrap();
    let verified = verified(&path, &keys);
    let content = verified["content"].as_str().unwrap();
    assert!(
        content.contains("refused") && content.contains("500 KGM asked, 100 KGM left"),
        "{content}"
    );
    let shown = String::from_utf8(be.run("importer", &["case", "show", &apart]).stdout).unwrap();
    assert!(shown.contains("500 KGM asked, 100 KGM left; 2 other entries hold it"), "{shown}");

    // A smaller version of what was refused gets what is left; what is withdrawn is free again.
    let mut smaller = import("APART-2", "100", "QUOTA-1");
    let filed = case(&be, "importer", &apart)
        .await
        .unwrap()
        .filings
        .remove(0)
        .filing
        .unwrap()
        .core
        .unwrap();
    let core = smaller.core.as_mut().unwrap();
    (core.case_id, core.filing_id) = (filed.case_id.clone(), filed.filing_id.clone());
    core.function = v1::FilingFunction::Amendment as i32;
    core.version = 2;
    file(&mut be.trade("importer").await, smaller).await;
    let both = [(LedgerEntry::Refused, "500"), (LedgerEntry::Reserved, "100")];
    draws(&be, &apart, &both).await;
    until("clearance of the smaller one", || async {
        let all = case(&be, "officer", &apart).await?.decisions;
        let on_it = |d: &v1::CaseDecision| {
            d.core.as_ref().is_some_and(|c| c.effect() == Effect::Security && c.filing_version == 2)
        };
        all.into_iter().rfind(on_it).filter(|d| code(d) == DecisionCode::Clear)
    })
    .await;
    ke.json(
        "platform",
        &["invalidate", &first.case_id, "--filing", &first.filing_id, "--reason", "UNSOLD"],
    );
    draws(&be, &first.case_id, &[(LedgerEntry::Released, "")]).await;
    let ledger = ke.json("officer", &["certificate", "ledger", &quota]);
    assert_eq!(ledger["taken"][0]["value"], "600", "{ledger}");
    assert_eq!(ledger["total"][0]["value"], "1000");

    // An officer frees by hand what an abandoned filing holds; its version doesn't get it again.
    let freed = ["certificate", "free", &quota, "--case", &at_origin, "--reason", "abandoned"];
    assert_eq!(ke.json("officer", &freed)["freed"], true);
    draws(&be, &at_origin, &[(LedgerEntry::Released, "")]).await;
    assert_eq!(
        on_security(&be, &at_origin, 2).await.remove(1).core.unwrap().code(),
        DecisionCode::PhysControl
    );
    assert_eq!(ke.run("officer", &freed).status.code(), Some(1), "nothing is held any more");

    // What is released at the destination is written off.
    release(&be, &apart).await;
    let spent = [(LedgerEntry::Refused, "500"), (LedgerEntry::WrittenOff, "100")];
    draws(&ke, &apart, &spent).await;
    [be, ke].into_iter().for_each(stops_whole);
}

/// An officer releases goods in the stated degraded mode: what release needs is another test's.
async fn release(be: &Hub, id: &str) {
    let filing =
        case(be, "officer", id).await.unwrap().filings.remove(0).filing.unwrap().core.unwrap();
    let request = v1::DecideRequest {
        case_id: id.to_owned(),
        filing_id: filing.filing_id,
        filing_version: filing.version,
        effect: Effect::Release as i32,
        code: DecisionCode::Release as i32,
        contingency: true,
        note: "the scanner is down".into(),
        reasons: vec![v1::Reason { code: "OFFICER".into(), ..Default::default() }],
        idempotency_key: "release".into(),
        ..Default::default()
    };
    let mut desk = DeskServiceClient::new(be.channel("officer").await);
    let released = desk.decide(request).await.unwrap().into_inner().result.unwrap();
    assert!(matches!(released, v1::decide_response::Result::Logged(_)), "{released:?}");
}
