//! HMRC's declarations: all that is valid comes out as it went in, by named fields.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_formats::cds::{self, CdsError, Destination};
use ewtp_formats::xml::XmlError;
use ewtp_proto::v1;
use serde_json::Value;

use crate::canonical::lines;
use crate::corpus::hmrc_samples;

/// Our own samples: an import of low value, an export in containers, an amendment.
const SAMPLES: [&str; 3] = [
    include_str!("../samples/import.xml"),
    include_str!("../samples/export.xml"),
    include_str!("../samples/amendment.xml"),
];

/// Declarations of the corpus and our own.
fn declarations() -> Vec<(String, String)> {
    let ours = SAMPLES.iter().enumerate().map(|(i, xml)| (format!("own {i}"), (*xml).to_owned()));
    let theirs = hmrc_samples().into_iter().filter(|(_, verdict, _)| verdict == "decl");
    ours.chain(theirs.map(|(name, _, b)| (name, String::from_utf8(b).unwrap()))).collect()
}

#[test]
fn every_sample_is_judged_as_the_schema_judges_it() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, verdict, bytes) in hmrc_samples() {
        let judged = match cds::validate(&bytes) {
            Ok(()) => "valid",
            Err(CdsError::Xml(XmlError::Malformed { line, .. })) => {
                assert!(line > 0, "{name}");
                "malformed"
            }
            Err(CdsError::Root { .. }) => "root",
            Err(CdsError::Invalid(all)) => {
                assert!(all.iter().all(|v| v.line > 0 && !v.path.is_empty()), "{name}: {all:?}");
                "invalid"
            }
            Err(other) => panic!("{name}: {other}"),
        };
        let agrees = match verdict.as_str() {
            "decl" | "notif" => judged == "valid",
            "malformed" => judged == "malformed",
            // Without namespace, the root itself is another.
            "invalid" | "other-root" => judged == "invalid" || judged == "root",
            _ => false,
        };
        assert!(agrees, "{name}: {verdict} by libxml2, here {judged}: {:?}", cds::validate(&bytes));
        *seen.entry(verdict).or_default() += 1;
    }
    assert!(seen.is_empty() || seen["decl"] == 167 && seen["notif"] == 5, "{seen:?}");
}

#[test]
fn what_is_valid_comes_out_as_it_went_in_also_by_way_of_json() {
    for (name, xml) in declarations() {
        let read = cds::read(xml.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let json = serde_json::to_string(&read).unwrap();
        let filing: v1::Filing = serde_json::from_str(&json).unwrap();
        let written = cds::write(&filing).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(written.lost, Vec::<String>::new(), "{name}");
        let (before, after) = (lines(&xml), lines(&written.xml));
        assert!(before.len() > 10, "{name}");
        if before != after {
            let difference = before.iter().zip(&after).find(|(a, b)| a != b);
            panic!("{name}: {difference:?}, {} and {} lines", before.len(), after.len());
        }
    }
}

#[test]
fn nine_of_ten_leaves_have_a_name_and_none_is_carried_as_a_document() {
    let (mut named, mut carried, mut computed) = (0, 0, 0);
    for (name, xml) in declarations() {
        let read = cds::read(xml.as_bytes()).unwrap();
        for ((_, destination), count) in cds::report(xml.as_bytes()).unwrap() {
            match destination {
                Destination::Field(_) => named += count,
                Destination::Carried(_) => carried += count,
                Destination::Computed => computed += count,
            }
        }
        let json = serde_json::to_string(&read).unwrap();
        assert!(!json.contains("</") && !json.contains("<?xml"), "{name}");
    }
    let all = named + carried + computed;
    eprintln!("{named} of {all} leaves have a name, {computed} are computed, {carried} carried");
    assert!(named * 10 >= all * 9, "{named} of {all}; carried {carried}, computed {computed}");
}

/// Every text that a named field holds, changed: the document changes in that element and nowhere else.
#[test]
fn a_named_field_that_is_changed_changes_that_element_alone() {
    let mut changed = BTreeSet::new();
    for (name, xml) in declarations() {
        let read = cds::read(xml.as_bytes()).unwrap();
        let json = serde_json::to_value(&read).unwrap();
        for pointer in texts(&json, String::new()) {
            let field: String = pointer.split('/').filter(|p| p.parse::<u32>().is_err()).collect();
            // One of a kind is enough; what others follow from changes more, and carried elements aren't named.
            let follows = ["/core/type", "/core/function"].contains(&pointer.as_str());
            if follows || pointer.contains("/carried/") || !changed.insert(field) {
                continue;
            }
            let mut other = json.clone();
            let slot = other.pointer_mut(&pointer).unwrap();
            let was = slot.as_str().unwrap().to_owned();
            // Of the same kind, so that the schema still allows it.
            let last = was.chars().last().unwrap();
            let next = match last {
                '1' => '2',
                '0'..='9' => '1',
                'A' => 'B',
                'Z' if pointer.ends_with("_time") => continue,
                _ => 'A',
            };
            let mut text: String = was.chars().take(was.chars().count() - 1).collect();
            text.push(next);
            *slot = Value::String(text);
            let filing: v1::Filing = serde_json::from_value(other).unwrap();
            // What only some values may be, such as ContainerCode, has no neighbour.
            let Ok(written) = cds::write(&filing) else { continue };
            let (before, after) = (lines(&xml), lines(&written.xml));
            assert_eq!(before.len(), after.len(), "{name}: {pointer}");
            let differ = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 1, "{name}: {pointer} {was}");
        }
    }
    assert!(changed.len() > 60, "{changed:?}");
}

fn texts(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![at],
        Value::Array(list) => {
            let one = |(i, v): (usize, &Value)| texts(v, format!("{at}/{i}"));
            list.iter().enumerate().flat_map(one).collect()
        }
        Value::Object(map) => map.iter().flat_map(|(k, v)| texts(v, format!("{at}/{k}"))).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_carried_is_ignored_once_its_field_says_something_else() {
    let read = cds::read(SAMPLES[0].as_bytes()).unwrap();
    let mut filing = read;
    // The sample spells its packages "010": the field says 10, the spelling is carried.
    let goods = filing.goods.as_mut().unwrap();
    assert_eq!(goods.total_packages, 10);
    assert!(goods.carried.iter().any(|c| c.value == "010" && c.instead_of == "10"));
    goods.total_packages = 11;
    let written = cds::write(&filing).unwrap().xml;
    assert!(written.contains("<TotalPackageQuantity>11</TotalPackageQuantity>"), "{written}");
}

#[test]
fn what_cds_has_no_place_for_is_told() {
    let mut filing = cds::read(SAMPLES[1].as_bytes()).unwrap();
    filing.core.as_mut().unwrap().retention_class = "standard".into();
    filing.goods.as_mut().unwrap().receptacle = "R".into();
    filing.goods.as_mut().unwrap().carried.push(v1::CarriedElement {
        path: "NoSuch/Element".into(),
        value: "1".into(),
        ..Default::default()
    });
    let lost = cds::write(&filing).unwrap().lost;
    assert_eq!(lost, ["carried NoSuch/Element", "core.retention_class", "goods.receptacle"]);
}

/// Carried elements come from whoever wrote the JSON: a path can't bring its own XML, nor reach where the schema has no place.
#[test]
fn what_is_carried_cant_write_what_it_likes() {
    let clean = cds::read(SAMPLES[1].as_bytes()).unwrap();
    let before = cds::write(&clean).unwrap().xml;
    let attacks = [
        "TypeCode@x=\"1\"><ID>1</ID><y",
        "TypeCode@listID=\"1\" name",
        "TypeCode@xmlns",
        "GoodsShipment/GovernmentAgencyGoodsItem[1000]/SequenceNumeric",
        "GoodsShipment/GovernmentAgencyGoodsItem[0]/SequenceNumeric",
        "GoodsShipment/GovernmentAgencyGoodsItem[-1]/SequenceNumeric",
        "TypeCode[2]",
        "../Declaration/TypeCode/More",
        "../../TypeCode",
        "",
    ];
    for path in attacks {
        let mut filing = clean.clone();
        filing.goods.as_mut().unwrap().carried.push(v1::CarriedElement {
            path: path.into(),
            value: "1".into(),
            ..Default::default()
        });
        let written = cds::write(&filing).unwrap();
        assert_eq!((written.xml.as_str(), written.lost.len()), (before.as_str(), 1), "{path}");
    }
    // A text is a text.
    let mut filing = clean;
    filing.goods.as_mut().unwrap().items[0].description = "</Description><x y=\"z\">&amp;".into();
    let read = cds::read(cds::write(&filing).unwrap().xml.as_bytes()).unwrap();
    assert_eq!(read.goods.unwrap().items[0].description, "</Description><x y=\"z\">&amp;");
}

/// What no field names belongs to its item, wherever the item stands, and goes with it.
#[test]
fn what_is_carried_of_an_item_follows_it() {
    let filing = cds::read(SAMPLES[0].as_bytes()).unwrap();
    let cups = |xml: &str| {
        let item = xml.split("<GovernmentAgencyGoodsItem>").find(|i| i.contains("Coffee cups"));
        item.unwrap().contains("UNDGID") && xml.matches("UNDGID").count() == 2
    };
    assert!(cups(&cds::write(&filing).unwrap().xml));
    let mut turned = filing.clone();
    let (core, goods, value) = (
        turned.core.as_mut().unwrap(),
        turned.goods.as_mut().unwrap(),
        turned.value.as_mut().unwrap(),
    );
    core.items.reverse();
    goods.items.reverse();
    value.items.reverse();
    assert!(cups(&cds::write(&turned).unwrap().xml));
    turned.core.as_mut().unwrap().items.remove(1);
    turned.goods.as_mut().unwrap().items.remove(1);
    turned.value.as_mut().unwrap().items.remove(1);
    let written = cds::write(&turned).unwrap();
    assert!(!written.xml.contains("UNDGID") && !written.lost.is_empty(), "{:?}", written.lost);
}

/// A list whose first has a guard that doesn't hold begins at its beginning, entry by entry.
#[test]
fn lists_without_their_first_are_written_whole() {
    let filing: v1::Filing = serde_json::from_value(serde_json::json!({
        "core": {"type": "FILING_TYPE_IMPORT", "lrn": "L-1", "items": [{"number": 1}]},
        "parties": {"fiscal_references": [{"id": "GB111", "role": "FR1"}, {"id": "GB222", "role": "FR2"}]},
        "goods": {"items": [{"number": 1, "classifications": [{"code": "0010164-4", "type": "CV"}]}]},
    }))
    .unwrap();
    let xml = cds::write(&filing).unwrap().xml;
    assert_eq!(
        (xml.matches("<DomesticDutyTaxParty>").count(), xml.matches("<Classification>").count()),
        (2, 1)
    );
    let read = cds::read(xml.as_bytes()).unwrap();
    assert_eq!(read.parties.unwrap().fiscal_references, filing.parties.unwrap().fiscal_references);
}

/// Empty elements, and those of which no field has a name, before others of their kind.
#[test]
fn elements_without_names_leave_gaps_and_no_errors() {
    let duty = "<DutyTaxFee>";
    let nameless = "<DutyTaxFee><AdValoremTaxBaseAmount currencyID=\"GBP\">1</AdValoremTaxBaseAmount></DutyTaxFee><DutyTaxFee>";
    let procedure = "<GovernmentProcedure><CurrentCode>C07</CurrentCode>";
    let gap = "<GovernmentProcedure><PreviousCode>07</PreviousCode></GovernmentProcedure><GovernmentProcedure><CurrentCode>C07</CurrentCode>";
    let document = "<AdditionalDocument>";
    let empty = "<AdditionalDocument/><AdditionalDocument>";
    for (from, to) in [(duty, nameless), (procedure, gap), (document, empty)] {
        let xml = SAMPLES[0].replacen(from, to, 1);
        assert_ne!(xml, SAMPLES[0]);
        let read = cds::read(xml.as_bytes()).unwrap_or_else(|e| panic!("{to}: {e}"));
        let written = cds::write(&read).unwrap();
        assert_eq!((lines(&xml), written.lost), (lines(&written.xml), Vec::new()), "{to}");
    }
}

/// What is carried is what the document said of something else, never another value for a field that a hub checked.
#[test]
fn what_is_carried_changes_no_field_and_no_unit() {
    let mut filing = cds::read(SAMPLES[0].as_bytes()).unwrap();
    let forged = |value: &str, absent| v1::CarriedElement {
        path: "InvoiceAmount".into(),
        value: value.into(),
        instead_of: "64.50".into(),
        absent,
    };
    for (value, absent) in [("5.00", false), ("", true)] {
        let mut filing = filing.clone();
        filing.value.as_mut().unwrap().carried.push(forged(value, absent));
        let written = cds::write(&filing).unwrap();
        assert!(written.xml.contains(">64.50</InvoiceAmount>"), "{}", written.xml);
        assert_eq!(written.lost, ["carried InvoiceAmount"]);
    }
    // The sample's net mass is in grams, and carried; once the field says kilograms the unit goes.
    filing.goods.as_mut().unwrap().items[0].net_mass_kg = "2.1".into();
    let xml = cds::write(&filing).unwrap().xml;
    assert!(xml.contains("<NetNetWeightMeasure>2.1</NetNetWeightMeasure>"), "{xml}");
    let read = cds::read(xml.as_bytes()).unwrap();
    assert_eq!(read.goods.unwrap().items[0].net_mass_kg, "2.1");
}

#[test]
fn what_contradicts_itself_is_no_document() {
    let filing = cds::read(SAMPLES[0].as_bytes()).unwrap();
    let refused = |change: fn(&mut v1::Filing)| {
        let mut filing = filing.clone();
        change(&mut filing);
        cds::write(&filing).unwrap_err().to_string()
    };
    let crossed = refused(|f| f.goods.as_mut().unwrap().items.reverse());
    assert!(crossed.contains("goods.items[0].number is 2"), "{crossed}");
    let kind = refused(|f| f.core.as_mut().unwrap().r#type = v1::FilingType::Export as i32);
    assert!(kind.contains("core.declaration_type IMD"), "{kind}");
    let fraction = refused(|f| {
        let total = f.value.as_mut().unwrap().invoice_total.as_mut().unwrap();
        total.amount = "86125.20000000001".into();
    });
    assert_eq!(
        fraction,
        "InvoiceAmount (value.invoice_total) is \"86125.20000000001\"; allowed: at most 3 digits after the point"
    );
}

#[test]
fn a_filing_from_elsewhere_is_written_by_the_schema() {
    let filing: v1::Filing = serde_json::from_value(serde_json::json!({
        "core": {
            "type": "FILING_TYPE_EXPORT", "lrn": "L-1", "declarant_id": "GB123456789000",
            "items": [{"number": 1, "commodity_code": "090111", "origin": "KE"}],
        },
        "goods": {"items": [{"number": 1, "packages": 3, "package_type": "BG"}]},
        "value": {"items": [{"number": 1, "value": {"amount": "10.50", "currency": "GBP"}}]},
    }))
    .unwrap();
    let written = cds::write(&filing).unwrap();
    assert_eq!(written.lost, Vec::<String>::new());
    insta::assert_snapshot!(written.xml);
    let mut wrong = filing;
    wrong.core.as_mut().unwrap().lrn = "x".repeat(40);
    let refused = cds::write(&wrong).unwrap_err().to_string();
    assert!(
        refused.contains("FunctionalReferenceID") && refused.contains("at most 35"),
        "{refused}"
    );
}

/// Of several exit offices CDS has a place for the first.
#[test]
fn the_first_of_several_is_written_where_there_is_one_place() {
    let mut filing = cds::read(SAMPLES[1].as_bytes()).unwrap();
    let core = filing.core.as_mut().unwrap();
    core.offices = vec!["GB000060".into(), "BE000001".into()];
    let written = cds::write(&filing).unwrap();
    assert!(written.xml.contains("<ExitOffice>"), "{}", written.xml);
    assert!(written.xml.contains("<ID>GB000060</ID>") && !written.xml.contains("BE000001"));
    assert_eq!(written.lost, ["core.offices"]);
}

/// A function that has no name of ours is carried, and no default takes its place.
#[test]
fn every_function_code_comes_back() {
    for code in ["9", "13", "14"] {
        let xml = SAMPLES[1].replace("FunctionCode>9<", &format!("FunctionCode>{code}<"));
        assert!(code == "9" || xml != SAMPLES[1]);
        let written = cds::write(&cds::read(xml.as_bytes()).unwrap()).unwrap();
        assert_eq!(lines(&written.xml), lines(&xml), "{code}");
        assert!(written.lost.is_empty(), "{:?}", written.lost);
    }
}
