//! Events about many cases: which they cover, whatever the order in which a hub hears of them, and what amendments show.

use ewtp_proto::store::v1::{CaseRecord, SelectingEvent, Stands};
use ewtp_proto::v1;
use ewtp_trade::case;
use ewtp_trade::changes::changes;
use ewtp_trade::record::{Fact, event, put};
use ewtp_trade::selector::{COVERS_MS, join, name};
use v1::event_selector::By;
use v1::{DecisionCode, Effect, EventCode, FilingType, GoodsState};

const FILED_MS: u64 = 1_000_000;

fn stands(hub: &str, logged_ms: u64, log_index: u64) -> Stands {
    Stands {
        hub: hub.into(),
        logged_ms,
        log_index,
        commitment: log_index.to_be_bytes().to_vec(),
        ..Default::default()
    }
}

/// A case of one advance filing by air in a container.
fn flown(carrier: &str) -> CaseRecord {
    let core = v1::FilingCore {
        r#type: FilingType::Advance as i32,
        case_id: "C".into(),
        filing_id: "F".into(),
        version: 1,
        assessed_by: "BE".into(),
        conveyance: "KL566".into(),
        departure_date: "2026-11-30".into(),
        ..Default::default()
    };
    let goods = v1::FilingGoods {
        transport_document: "074-1".into(),
        containers: vec![v1::Container { id: "AKE123".into(), ..Default::default() }],
        ..Default::default()
    };
    let parties = v1::FilingParties {
        carrier: Some(v1::Party { id: carrier.into(), ..Default::default() }),
        ..Default::default()
    };
    let mut case = CaseRecord { case_id: "C".into(), ..Default::default() };
    let fact = Fact::Filing {
        core: Box::new(core),
        account: String::new(),
        parties: Box::new(parties),
        goods: Box::new(goods),
    };
    put(&mut case, stands("KE", FILED_MS, 1), fact);
    case
}

fn said(by: By, code: EventCode, hub: &str, logged_ms: u64, carrier: &str) -> SelectingEvent {
    let selector = v1::EventSelector { by: Some(by) };
    let core = v1::EventCore {
        code: code as i32,
        carrier_id: carrier.into(),
        selector: Some(selector.clone()),
        ..Default::default()
    };
    SelectingEvent {
        event: Some(event(stands(hub, logged_ms, 2), core)),
        selector: name(&selector).unwrap(),
    }
}

fn after(mut case: CaseRecord, events: Vec<SelectingEvent>) -> (GoodsState, GoodsState) {
    join(&mut case, events);
    (case::goods(&case, "KE"), case::goods(&case, "BE"))
}

#[test]
fn an_event_moves_what_names_it_and_was_filed_before_it_and_not_too_long_before() {
    let flight = || By::Conveyance("KL566/2026-11-30".into());
    let departed = |by, logged_ms, carrier: &str| {
        let event = said(by, EventCode::Departed, "KE", logged_ms, carrier);
        after(flown("NLKL"), vec![event]).0
    };
    let now = FILED_MS + 1;
    let yes = GoodsState::Departed;
    for by in [flight(), By::TransportDocument("074-1".into()), By::Container("AKE123".into())] {
        assert_eq!(departed(by, now, ""), yes);
    }
    assert_eq!(departed(flight(), now, "NLKL"), yes, "its own carrier");
    assert_eq!(departed(flight(), FILED_MS + COVERS_MS, ""), yes);
    let no = GoodsState::Expected;
    assert_eq!(departed(flight(), now, "FRAF"), no, "another carrier");
    assert_eq!(departed(flight(), FILED_MS - 1, ""), no, "before it was filed");
    assert_eq!(departed(flight(), FILED_MS + COVERS_MS + 1, ""), no, "a container of long ago");
    assert_eq!(departed(By::Conveyance("KL566".into()), now, ""), no, "of another day");
    assert_eq!(departed(By::Receptacle("074-1".into()), now, ""), no, "of another kind");
}

#[test]
fn what_was_seized_stays_seized_when_its_container_arrives() {
    let mut case = flown("");
    let at = |n: u64| stands("BE", FILED_MS + 10 * n, 10 + n);
    let one = |code: EventCode| {
        Fact::Event(Box::new(v1::EventCore {
            code: code as i32,
            selector: Some(v1::EventSelector { by: Some(By::CaseId("C".into())) }),
            ..Default::default()
        }))
    };
    put(&mut case, at(1), one(EventCode::Presented));
    put(&mut case, at(2), one(EventCode::Seized));
    let container = || By::Container("AKE123".into());
    let arrived = said(container(), EventCode::Arrived, "BE", FILED_MS + 30, "");
    assert_eq!(after(case, vec![arrived]).1, GoodsState::Seized);
    let arrived = said(container(), EventCode::Arrived, "BE", FILED_MS + 5, "");
    assert_eq!(after(flown(""), vec![arrived]).1, GoodsState::Arrived);
}

#[test]
fn an_aircraft_that_departs_after_a_do_not_load_may_have_left_the_goods_behind() {
    let stopped = |departed_ms: u64| {
        let mut case = flown("");
        let core = v1::DecisionCore {
            case_id: "C".into(),
            filing_id: "F".into(),
            filing_version: 1,
            effect: Effect::Security as i32,
            code: DecisionCode::Dnl as i32,
            ..Default::default()
        };
        put(&mut case, stands("BE", FILED_MS + 100, 9), Fact::Decision(Box::new(core)));
        let by = By::Conveyance("KL566/2026-11-30".into());
        join(&mut case, vec![said(by, EventCode::Departed, "KE", departed_ms, "")]);
        case::state(&case, FILED_MS + 500)
    };
    assert_eq!(stopped(FILED_MS + 50), v1::CaseState::ControlOnArrival);
    assert_eq!(stopped(FILED_MS + 150), v1::CaseState::DoNotLoad);
}

#[test]
fn an_amendment_shows_what_it_changed_and_nothing_else() {
    let item = |description: &str| v1::GoodsItem {
        number: 1,
        description: description.into(),
        ..Default::default()
    };
    let filing = |version, description: &str, items: usize| v1::Filing {
        core: Some(v1::FilingCore {
            version,
            lrn: format!("L-{version}"),
            items: vec![v1::CoreItem { number: 1, ..Default::default() }; 1],
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: "10".into(),
            items: vec![item(description); items],
            ..Default::default()
        }),
        ..Default::default()
    };
    let before = filing(1, "Coffee", 1);
    let mut after = filing(2, "Fireworks", 2);
    after.value = Some(v1::FilingValue { terms: "DAP".into(), ..Default::default() });
    let said: Vec<(String, String, String)> =
        changes(&before, &after).into_iter().map(|c| (c.path, c.before, c.after)).collect();
    let row = |path: &str, before: &str, after: &str| {
        (path.to_owned(), before.to_owned(), after.to_owned())
    };
    assert_eq!(
        said,
        [
            row("goods.items[0].description", "Coffee", "Fireworks"),
            row("goods.items[1].description", "", "Fireworks"),
            row("goods.items[1].number", "", "1"),
        ],
        "a part that one of the two lacks says nothing"
    );
    let attached = |goods: &v1::FilingGoods, digest: u8| v1::Filing {
        goods: Some(v1::FilingGoods {
            attachments: vec![v1::AttachmentReference {
                digest: vec![digest; 32],
                size: 19,
                media_type: "application/pdf".into(),
                salt: vec![1; 16],
            }],
            ..goods.clone()
        }),
        ..before.clone()
    };
    let goods = before.goods.clone().unwrap();
    let replaced = changes(&attached(&goods, 1), &attached(&goods, 0xab));
    assert_eq!(replaced.len(), 1, "one document, not its four fields: {replaced:?}");
    assert_eq!(replaced[0].path, "goods.attachments[0]");
    assert_eq!(replaced[0].after, "abababababab… (application/pdf, 19 bytes)");
    let wco = changes(&before, &after).remove(0).wco_path;
    assert_eq!(wco, "GoodsShipment/GovernmentAgencyGoodsItem/Commodity/Description");
    assert!(changes(&before, &before).is_empty());
}
