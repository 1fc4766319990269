//! Messages of China's e-commerce system: what comes back, what is joined, what is told.

use ewtp_formats::ceb::codes::List;
use ewtp_formats::ceb::{self, CebError, Joined, Message};
use ewtp_formats::convert::{Form, read, write};
use ewtp_formats::responses::{self, Ours, System};
use ewtp_formats::xml::XmlError;
use ewtp_proto::v1;
use ewtp_trade::lists::{ListBook, ListKind, Listed};

use crate::canonical::lines;
use crate::corpus::folder;

/// China Customs' sample messages.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let Some(dev) = folder("china-ceb/dev/2018-113") else { return Vec::new() };
    let mut out = Vec::new();
    for direction in ["import", "export"] {
        for entry in std::fs::read_dir(dev.join(direction)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            out.push((name, std::fs::read(&path).unwrap()));
        }
    }
    assert_eq!(out.len(), 35);
    out.sort();
    out
}

/// Canonical lines but for the signature, which holds for one document alone.
fn unsigned(xml: &[u8]) -> Vec<String> {
    lines(std::str::from_utf8(xml).unwrap())
        .into_iter()
        .filter(|l| !l.contains("}Signature["))
        .collect()
}

#[test]
fn every_message_of_the_corpus_comes_back() {
    for (name, bytes) in corpus() {
        let message = ceb::read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let xml = ceb::write(&message).unwrap();
        assert_eq!(unsigned(xml.as_bytes()), unsigned(&bytes), "{name}");
        let json = ceb::json::to_json(&message);
        let again = ceb::json::from_json(&json).unwrap().unwrap();
        assert_eq!(ceb::write(&again).unwrap(), xml, "{name} by way of JSON");
    }
}

#[test]
fn what_makes_filings_comes_back_by_way_of_filings() {
    for (name, bytes) in corpus() {
        let message = ceb::read(&bytes).unwrap();
        if !message.is_filed() {
            assert!(matches!(ceb::join(&[message]), Err(CebError::Fields(_))), "{name}");
            continue;
        }
        let joined = ceb::join(std::slice::from_ref(&message)).unwrap();
        assert_eq!(joined.len(), message.len(), "{name}");
        let filings: Vec<_> = joined.into_iter().map(|j| j.filing).collect();
        let made = ceb::messages(&filings).unwrap();
        assert_eq!(made.lost, Vec::<String>::new(), "{name}");
        assert_eq!(made.messages.len(), 1, "{name}");
        let xml = ceb::write(&made.messages[0]).unwrap();
        assert_eq!(unsigned(xml.as_bytes()), unsigned(&bytes), "{name}");
    }
}

/// The project's own messages of one parcel: order, payment, logistics, inventory.
fn parcel(names: &[&str]) -> Vec<Message> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/ceb");
    let bytes = |name: &&str| std::fs::read(format!("{dir}/{name}.xml")).unwrap();
    names.iter().map(bytes).map(|b| ceb::read(&b).unwrap()).collect()
}

fn one(messages: &[Message]) -> Joined {
    let mut all = ceb::join(messages).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// A message with a text instead of another.
fn changed(name: &str, from: &str, to: &str) -> Message {
    let message = parcel(&[name]).remove(0);
    let xml = ceb::write(&message).unwrap();
    assert!(xml.contains(from), "{from} is not in {name}");
    ceb::read(xml.replace(from, to).as_bytes()).unwrap()
}

#[test]
fn order_payment_and_logistics_make_one_filing() {
    let three = one(&parcel(&["payment", "logistics", "order"]));
    assert!(three.contradictions.is_empty(), "{:?}", three.contradictions);
    let core = three.filing.core.clone().unwrap();
    assert_eq!((core.lrn.as_str(), core.importer_name.as_str()), ("YS20261103000417", "林小满"));
    let four = one(&parcel(&["payment", "logistics", "order", "inventory"]));
    assert!(four.contradictions.is_empty(), "{:?}", four.contradictions);
    let json = serde_json::to_string_pretty(&four.filing).unwrap();
    insta::assert_snapshot!("a_parcel_of_four_messages", json);
}

#[test]
fn each_message_of_a_parcel_comes_back_and_a_changed_field_changes_them_all() {
    let messages = parcel(&["inventory", "order", "logistics", "payment"]);
    let mut filing = one(&messages).filing;
    let made = ceb::messages(std::slice::from_ref(&filing)).unwrap();
    assert_eq!(made.lost, Vec::<String>::new());
    let before: Vec<String> = messages.iter().map(|m| ceb::write(m).unwrap()).collect();
    let after: Vec<String> = made.messages.iter().map(|m| ceb::write(m).unwrap()).collect();
    assert_eq!(after, before);
    filing.core.as_mut().unwrap().importer_name = "周立夏".into();
    filing.goods.as_mut().unwrap().items[1].net_mass_kg = "1.3".into();
    filing.value.as_mut().unwrap().items[0].value =
        Some(v1::Money { amount: "170.00".into(), currency: "USD".into() });
    let again = ceb::messages(std::slice::from_ref(&filing)).unwrap().messages;
    let differences: Vec<String> = again
        .iter()
        .zip(&before)
        .flat_map(|(m, before)| {
            let now = ceb::write(m).unwrap();
            let pairs = lines(&now).into_iter().zip(lines(before));
            let changed: Vec<_> = pairs.filter(|(a, b)| a != b).map(|(a, _)| a).collect();
            changed
        })
        .map(|line| line.replace("{http://www.chinaport.gov.cn/ceb}", ""))
        .collect();
    assert_eq!(
        differences,
        [
            "/CEB621Message[1]/Inventory[1]/InventoryHead[1]/buyerName[1]=周立夏",
            "/CEB621Message[1]/Inventory[1]/InventoryList[1]/currency[1]=502",
            "/CEB621Message[1]/Inventory[1]/InventoryList[1]/totalPrice[1]=170.00",
            "/CEB621Message[1]/Inventory[1]/InventoryList[2]/qty2[1]=1.3",
            "/CEB311Message[1]/Order[1]/OrderHead[1]/buyerName[1]=周立夏",
            "/CEB311Message[1]/Order[1]/OrderList[1]/totalPrice[1]=170.00",
            "/CEB311Message[1]/Order[1]/OrderList[1]/currency[1]=502",
            "/CEB411Message[1]/Payment[1]/PaymentHead[1]/payerName[1]=周立夏",
        ]
    );
}

/// The order lists the mugs first, the inventory the coffee.
#[test]
fn each_message_keeps_the_order_of_its_own_items() {
    let [inventory, order] = &parcel(&["inventory", "order"])[..] else { panic!() };
    let xml = ceb::write(order).unwrap();
    let (begin, end) = (xml.find("<ceb:OrderList>").unwrap(), xml.find("</ceb:Order>").unwrap());
    let list = &xml[begin..end];
    let second = list.rfind("<ceb:OrderList>").unwrap();
    let turned = format!("{}{}", &list[second..], &list[..second]);
    let turned = ceb::read(xml.replace(list, &turned).as_bytes()).unwrap();
    assert_ne!(ceb::write(&turned).unwrap(), xml);
    let joined = one(&[inventory.clone(), turned.clone()]);
    assert!(joined.contradictions.is_empty(), "{:?}", joined.contradictions);
    let json = serde_json::to_string(&joined.filing).unwrap();
    let again: v1::Filing = serde_json::from_str(&json).unwrap();
    let made = ceb::messages(&[again]).unwrap();
    assert_eq!(made.lost, Vec::<String>::new());
    let made: Vec<String> = made.messages.iter().map(|m| ceb::write(m).unwrap()).collect();
    assert_eq!(made, [ceb::write(inventory).unwrap(), ceb::write(&turned).unwrap()]);
}

#[test]
fn messages_that_contradict_each_other_are_told_and_come_back() {
    let mut messages = parcel(&["inventory", "order"]);
    messages.push(changed("payment", ">林小满<", ">陈大暑<"));
    messages.push(changed("logistics", "<ceb:weight>1.95", "<ceb:weight>2.5"));
    let joined = one(&messages);
    let told: Vec<String> = joined
        .contradictions
        .iter()
        .map(|c| format!("{} {} {} {}", c.kind, c.path, c.said, c.says))
        .collect();
    assert_eq!(
        told,
        ["CEB511 goods.gross_mass_kg 1.95 2.5", "CEB411 core.importer_name 林小满 陈大暑",]
    );
    let made = ceb::messages(&[joined.filing]).unwrap().messages;
    for message in &messages {
        let again = made.iter().find(|m| m.kind() == message.kind()).unwrap();
        assert_eq!(ceb::write(again).unwrap(), ceb::write(message).unwrap());
    }
}

#[test]
fn what_was_paid_and_what_one_costs_is_compared_too() {
    let messages = [
        parcel(&["inventory"]).remove(0),
        changed("order", "<ceb:price>88.00", "<ceb:price>99.00"),
        changed("payment", "<ceb:amountPaid>277.11", "<ceb:amountPaid>300"),
    ];
    let told: Vec<String> = one(&messages)
        .contradictions
        .iter()
        .map(|c| format!("{}: {} {} {}", c.kind, c.path, c.said, c.says))
        .collect();
    let expected =
        ["CEB411: the amount paid 277.11 300", "CEB311: the price of one of item 1 88.00 99.00"];
    assert_eq!(told, expected);
}

#[test]
fn messages_of_other_parcels_stay_apart() {
    let mut messages = parcel(&["order", "payment"]);
    messages.push(changed("logistics", "YS20261103000417", "YS20261103000418"));
    messages.push(changed("order", "YS20261103000417", "YS20261103000419"));
    // The same order twice: two parcels, of which the payment is the first one's.
    messages.extend(parcel(&["order"]));
    let kinds = |j: &Joined| j.filing.goods.clone().unwrap().source.unwrap().type_name;
    let all: Vec<String> = ceb::join(&messages).unwrap().iter().map(kinds).collect();
    assert_eq!(all, ["CEB311+CEB411", "CEB311", "CEB311", "CEB511"]);
}

#[test]
fn an_order_number_is_its_platforms() {
    let other = |name: &str| changed(name, "3301960C2D", "3301960ZZZ");
    let messages = [
        parcel(&["inventory"]).remove(0),
        other("inventory"),
        other("order"),
        parcel(&["order"]).remove(0),
        parcel(&["logistics"]).remove(0),
    ];
    let joined = ceb::join(&messages).unwrap();
    let told = |j: &Joined| {
        let platform = j.filing.parties.clone().unwrap().platform.map(|p| p.id).unwrap_or_default();
        (
            platform,
            j.filing.goods.clone().unwrap().source.unwrap().type_name,
            j.contradictions.len(),
        )
    };
    let all: Vec<_> = joined.iter().map(told).collect();
    let expected = [
        ("CN3301960C2D".to_owned(), "CEB621+CEB311".to_owned(), 0),
        ("CN3301960ZZZ".to_owned(), "CEB621+CEB311".to_owned(), 0),
        // Logistics name no platform: two parcels fit, so it is nobody's.
        (String::new(), "CEB511".to_owned(), 0),
    ];
    assert_eq!(all, expected);
}

#[test]
fn what_a_filing_couldnt_hold_is_carried_and_identity_numbers_are_for_agencies() {
    let odd = changed("order", "<ceb:freight>18.00", "<ceb:freight>+5");
    let filing = one(std::slice::from_ref(&odd)).filing;
    assert!(filing.value.as_ref().unwrap().freight.is_none(), "+5 is no amount of a filing");
    let payer = changed("payment", "330106199001010017", "440301199505050025");
    let joined = one(&[parcel(&["inventory"]).remove(0), payer]);
    let authority = joined.filing.authority.clone().unwrap();
    assert_eq!(authority.carried[0].path, "CEB411/PaymentHead/payerIdNumber");
    let shown = v1::Filing { authority: None, ..joined.filing };
    let json = serde_json::to_string(&shown).unwrap();
    assert!(!json.contains("4403011995") && !json.contains("3301061990"), "{json}");
}

#[test]
fn a_filing_from_elsewhere_becomes_an_inventory_or_is_told_what_it_lacks() {
    let mut filing = one(&parcel(&["inventory"])).filing;
    for carried in [
        &mut filing.parties.as_mut().unwrap().carried,
        &mut filing.value.as_mut().unwrap().carried,
        &mut filing.goods.as_mut().unwrap().carried,
    ] {
        carried.retain(|c| c.path.contains("BaseTransfer/") || c.path.ends_with("gmodel"));
    }
    filing.goods.as_mut().unwrap().source = None;
    filing.core.as_mut().unwrap().ucr = "6KE-77-1".into();
    // What is said twice where the message has one place, and what it has none for.
    let goods = filing.goods.as_mut().unwrap();
    let certificate = |kind: &str| v1::DocumentReference {
        r#type: kind.into(),
        id: "KE-EUR1-9".into(),
        ..Default::default()
    };
    goods.documents.extend([certificate("954"), certificate("220")]);
    filing.core.as_mut().unwrap().offices.push("CN000101".into());
    let made = ceb::messages(std::slice::from_ref(&filing)).unwrap();
    let lost = [
        "core.offices",
        "core.ucr",
        "goods.documents[1].id",
        "goods.documents[1].type",
        "goods.documents[2].id",
        "goods.documents[2].type",
    ];
    assert_eq!(made.lost, lost);
    // Net masses are the first statutory quantity; where there is none, that is told below.
    assert_eq!(
        (made.messages[0].text(0, "qty1"), made.messages[0].text(0, "unit1")),
        ("0.5", "035")
    );
    filing.goods.as_mut().unwrap().documents.truncate(1);
    filing.core.as_mut().unwrap().offices.truncate(1);
    let CebError::Invalid(all) = ceb::write(&made.messages[0]).unwrap_err() else { panic!() };
    let told: Vec<_> = all.iter().map(|v| v.allowed.as_str()).collect();
    assert_eq!(
        told,
        [
            "declTime is mandatory",
            "buyerIdType is mandatory",
            "buyerTelephone is mandatory",
            "netWeight is mandatory",
        ]
    );
    let more = |leaf: &str, value: &str| v1::CarriedElement {
        path: format!("CEB621/InventoryHead/{leaf}"),
        value: value.into(),
        ..Default::default()
    };
    filing.goods.as_mut().unwrap().carried.extend([
        more("declTime", "20261103"),
        more("buyerIdType", "1"),
        more("buyerTelephone", "13800000000"),
        more("netWeight", "1.70"),
    ]);
    let made = ceb::messages(&[filing]).unwrap();
    let message = &made.messages[0];
    let text = |name: &str| message.text(0, name).to_owned();
    assert_eq!(
        (text("ieFlag"), text("price"), text("unit")),
        ("I".into(), "88".into(), "007".into())
    );
    insta::assert_snapshot!(
        "an_inventory_of_a_filing_from_elsewhere",
        ceb::write(message).unwrap()
    );
}

#[test]
fn other_encodings_are_read_and_what_is_no_message_is_told_with_its_place() {
    let xml = ceb::write(&parcel(&["order"])[0]).unwrap();
    let gbk = xml.replace("encoding=\"UTF-8\"", "encoding=\"GBK\"");
    let (bytes, _, _) = encoding_rs::GBK.encode(&gbk);
    assert_eq!(ceb::write(&ceb::read(&bytes).unwrap()).unwrap(), xml);
    let cut = &bytes[..bytes.len() - 1000];
    assert!(matches!(ceb::read(cut), Err(CebError::Xml(XmlError::Malformed { .. }))));
    let told = |from: &str, to: &str| {
        assert!(xml.contains(from));
        ceb::read(xml.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    };
    let all = [
        told("<ceb:qty>2</ceb:qty>", "<ceb:qty>two</ceb:qty>"),
        told("<ceb:unit>136</ceb:unit>", "<ceb:unit>bag of it</ceb:unit>"),
        told("<ceb:buyerName>林小满</ceb:buyerName>", ""),
        told(
            "<ceb:discount>0</ceb:discount>",
            "<ceb:discount>0</ceb:discount><ceb:freight>1</ceb:freight>",
        ),
        told("<ceb:gnum>1</ceb:gnum>", "<ceb:gnum>12345678901</ceb:gnum>"),
        told("<ceb:copCode>", "<ceb:colour>red</ceb:colour><ceb:copCode>"),
        told("guid=\"5A3C1F01-", "guid=\""),
        told("http://www.chinaport.gov.cn/ceb", "urn:other"),
        told("CEB311Message", "CEB999Message"),
        told("<ceb:Order>", "<!DOCTYPE a [<!ENTITY b \"c\">]><ceb:Order>"),
    ];
    insta::assert_snapshot!("told_of_messages", all.join("\n\n"));
    let large = vec![b' '; 100 << 20];
    assert!(matches!(ceb::read(&large), Err(CebError::Xml(XmlError::TooLarge { .. }))));
}

#[test]
fn codes_stand_once_and_come_back_as_one_of_their_kind() {
    let lists = ListBook::default().at(1_793_000_000_000);
    for list in [List::Countries, List::Currencies, List::Units, List::Modes] {
        for (at, (theirs, ours)) in list.rows().iter().enumerate() {
            let before = list.rows().iter().take(at).any(|(t, _)| t == theirs);
            assert!(!before, "{theirs} stands twice in {list:?}");
            let again = list.theirs(ours).and_then(|t| list.ours(t));
            assert_eq!(again, Some(*ours), "{list:?} {theirs}");
        }
    }
    for (list, kind) in [
        (List::Countries, ListKind::Countries),
        (List::Currencies, ListKind::Currencies),
        (List::Units, ListKind::Units),
    ] {
        for (_, ours) in list.rows() {
            assert!(matches!(lists.listed(kind, ours), Listed::Yes), "{ours} is not in {list:?}");
        }
    }
    // Chinese counts by the shape of things; pieces go back as the plainest.
    assert_eq!((List::Units.ours("011"), List::Units.theirs("H87")), (Some("H87"), Some("007")));
}

#[test]
fn receipts_go_to_json_and_back_and_are_no_filings() {
    let receipt = r#"{"CEB622Message": {"guid": "5A3C1F09-7B2E-4D61-9A10-C0FFEE000009", "version": "1.0", "InventoryReturn": [{
        "guid": "5A3C1F04-7B2E-4D61-9A10-C0FFEE000004", "customsCode": "2991", "copNo": "HZ2026110300417", "preNo": "P29912026000000017",
        "returnStatus": "800", "returnTime": "20261108120000000", "returnInfo": "放行"}]}}"#;
    let receipt = receipt.replace("P29912026000000017", "P29912026000000178");
    let read_json = read(Form::Json, receipt.as_bytes(), None).unwrap();
    let xml = write(Form::Ceb, &read_json, None).unwrap();
    let (kind, xml) = &xml.documents[0];
    assert_eq!(*kind, Some("CEB622"));
    let back = read(Form::Ceb, xml.as_bytes(), None).unwrap();
    assert!(back.filings.is_empty());
    let json = write(Form::Json, &back, None).unwrap();
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&json.documents[0].1), value(&receipt));
    // A filing and a receipt in one file come back as two.
    let filing = one(&parcel(&["order"])).filing;
    let both =
        format!("{}\n{}", serde_json::to_string_pretty(&filing).unwrap(), json.documents[0].1);
    let both = read(Form::Json, both.as_bytes(), None).unwrap();
    assert_eq!((both.filings.len(), both.messages.len()), (1, 1));
    let refused = write(Form::Cds, &both, None).unwrap().refused;
    let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.contains("CEB622")), "{told:?}");
    let unknown = receipt.replace("returnInfo", "returnedInfo");
    let told = read(Form::Json, unknown.as_bytes(), None).unwrap_err().to_string();
    let expected =
        "InventoryReturn has no element returnedInfo, in the value that begins at line 1";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_case_answers_each_message_that_its_filing_came_from() {
    let filing = one(&parcel(&["inventory", "payment"])).filing;
    let mut case = crate::dms::case_of(filing);
    let receipts = ceb::receipts::of_case(&case, "F").unwrap();
    let told: Vec<String> = receipts
        .iter()
        .map(|r| format!("{} {} {}", r.message.kind(), r.status, r.message.text(0, "returnTime")))
        .collect();
    assert_eq!(
        told,
        [
            "CEB622 3 19700101080001000",
            "CEB412 3 19700101080001000",
            "CEB622 120 19700101080001000",
            "CEB412 120 19700101080001000",
            "CEB622 500 19700101080003000",
            "CEB622 399 19700101080004000",
            "CEB622 800 19700101080009000",
        ]
    );
    let last = &receipts.last().unwrap().message;
    insta::assert_snapshot!("a_receipt_of_release", ceb::write(last).unwrap());
    // What is written is the code that the table has for it.
    let code = |status: &str| responses::by_code(System::Ceb, status).unwrap().ours;
    assert_eq!(code("800"), Ours::Decision(v1::Effect::Release, v1::DecisionCode::Release));
    // A filing from elsewhere is answered as an inventory.
    case.filings[0].filing.as_mut().unwrap().goods.as_mut().unwrap().source = None;
    let again = ceb::receipts::of_case(&case, "F").unwrap();
    assert!(again.iter().all(|r| r.message.kind() == "CEB622") && again.len() == 5);
    assert!(ceb::receipts::of_case(&case, "G").unwrap().is_empty());
}
