use ewtp_proto::v1;
use ewtp_trade::lists::{CodeLists, Edition, ListBook, ListError, ListKind, Listed, first_instant};
use ewtp_trade::wco::wco_path;
use ewtp_trade::{check_filing, elements};

/// A complete export filing of one item.
pub(crate) fn export() -> v1::Filing {
    let address =
        || Some(v1::Address { city: "Nyeri".into(), country: "KE".into(), ..Default::default() });
    let money = |amount: &str| Some(v1::Money { amount: amount.into(), currency: "USD".into() });
    v1::Filing {
        core: Some(v1::FilingCore {
            r#type: v1::FilingType::Export as i32,
            function: v1::FilingFunction::Original as i32,
            lrn: "L-1".into(),
            category: v1::ConsignmentCategory::HighValue as i32,
            declarant_id: "KEP051234567X".into(),
            exporter_id: "KEP051234567X".into(),
            exporter_name: "An exporter".into(),
            importer_name: "A consignee".into(),
            transport_mode: "4".into(),
            country_of_export: "KE".into(),
            country_of_destination: "BE".into(),
            retention_class: "standard".into(),
            items: vec![v1::CoreItem {
                number: 1,
                commodity_code: "090111".into(),
                origin: "KE".into(),
                quantity: Some(v1::Quantity { value: "10".into(), unit: "KGM".into() }),
            }],
            ..Default::default()
        }),
        parties: Some(v1::FilingParties {
            exporter_address: address(),
            importer_address: address(),
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: "11".into(),
            items: vec![v1::GoodsItem {
                number: 1,
                description: "Coffee".into(),
                net_mass_kg: "10".into(),
                procedure: "1000".into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            invoice_total: money("120.00"),
            items: vec![v1::ValueItem { number: 1, value: money("120.00"), ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The built-in lists, and one of an agency.
fn with_list(kind: ListKind, csv: &str) -> CodeLists {
    let mut book = ListBook::default();
    book.add(Edition::from_csv(kind, "test", 0, csv).unwrap());
    book.at(i64::MAX)
}

fn missing(filing: &v1::Filing) -> Vec<String> {
    let violations = check_filing(filing, &CodeLists::default()).unwrap_err();
    violations.into_iter().filter(|v| v.code == "element-missing").map(|v| v.path).collect()
}

#[test]
fn what_is_mandatory_depends_on_the_type_of_filing() {
    assert!(check_filing(&export(), &CodeLists::default()).is_ok());
    let mut advance = export();
    let core = advance.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Advance as i32;
    core.declarant_id.clear();
    core.exporter_id.clear();
    advance.goods.as_mut().unwrap().items[0].procedure.clear();
    assert!(
        check_filing(&advance, &CodeLists::default()).is_ok(),
        "nobody is declarant before adoption"
    );
    advance.core.as_mut().unwrap().r#type = v1::FilingType::Export as i32;
    let expected = ["core.declarant_id", "core.exporter_id", "goods.items[0].procedure"];
    assert_eq!(missing(&advance), expected);
}

#[test]
fn what_is_mandatory_depends_on_the_category_of_consignment() {
    let mut letter = export();
    let core = letter.core.as_mut().unwrap();
    core.items[0] = v1::CoreItem { number: 1, ..Default::default() };
    letter.value = None;
    let goods = ["core.items[0].commodity_code", "core.items[0].origin", "core.items[0].quantity"];
    let values = ["value.invoice_total", "value.items[0].value"];
    let mut all: Vec<&str> = goods.into_iter().chain(values).collect();
    let mut told = missing(&letter);
    all.sort_unstable();
    told.sort();
    assert_eq!(told, all);
    letter.core.as_mut().unwrap().category = v1::ConsignmentCategory::Documents as i32;
    assert!(check_filing(&letter, &CodeLists::default()).is_ok());

    // Origin isn't asked of a low value on its way in; on its way out it is.
    let mut parcel = export();
    let core = parcel.core.as_mut().unwrap();
    core.category = v1::ConsignmentCategory::LowValueDutiable as i32;
    core.items[0].origin.clear();
    assert_eq!(missing(&parcel), ["core.items[0].origin"]);
    parcel.core.as_mut().unwrap().r#type = v1::FilingType::Advance as i32;
    assert!(check_filing(&parcel, &CodeLists::default()).is_ok());
}

#[test]
fn a_partial_filing_is_the_seven_and_one() {
    let mut partial = export();
    let core = partial.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Advance as i32;
    core.partial = true;
    core.transport_mode.clear();
    core.items[0] = v1::CoreItem { number: 1, ..Default::default() };
    partial.value = None;
    let goods = partial.goods.as_mut().unwrap();
    goods.items[0] =
        v1::GoodsItem { number: 1, description: "Coffee".into(), ..Default::default() };
    assert_eq!(missing(&partial), ["goods.total_packages", "goods.transport_document"]);
    let goods = partial.goods.as_mut().unwrap();
    goods.total_packages = 2;
    goods.transport_document = "HAWB-1".into();
    assert!(check_filing(&partial, &CodeLists::default()).is_ok());
}

#[test]
fn an_empty_filing_misses_every_mandatory_element_at_once() {
    let empty = v1::Filing {
        core: Some(v1::FilingCore {
            r#type: v1::FilingType::Export as i32,
            items: vec![v1::CoreItem::default()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let category = v1::ConsignmentCategory::Unspecified;
    let mandatory =
        |e: &&elements::Element| e.need(elements::Column::Export, category) == elements::Need::M;
    let table = elements::ELEMENTS.iter().filter(mandatory);
    let wanted: Vec<String> =
        table.map(|e| e.path.replace("[]", "[0]")).filter(|p| p != "core.type").collect();
    assert_eq!(missing(&empty), wanted);
}

#[test]
fn the_rest_of_the_vocabulary_is_checked_where_it_is_there() {
    let mut filing = export();
    let core = filing.core.as_mut().unwrap();
    core.declaration_type = "EXD".into();
    core.acceptance_time = "2026-11-01T08:00:00+01:00".into();
    core.supervising_office = "GBBEL004".into();
    let goods = filing.goods.as_mut().unwrap();
    goods.itinerary = vec!["GB".into(), "EG".into()];
    goods.items[0].documents = vec![v1::DocumentReference {
        category: "C".into(),
        r#type: "506".into(),
        quantity: Some(v1::Quantity { value: "10".into(), unit: "KGM".into() }),
        ..Default::default()
    }];
    assert!(check_filing(&filing, &CodeLists::default()).is_ok());

    let core = filing.core.as_mut().unwrap();
    core.declaration_type = "EXPORT".into();
    core.acceptance_time = "2026-11-01T08:00:00".into();
    core.supervising_office = "Belfast".into();
    let goods = filing.goods.as_mut().unwrap();
    goods.itinerary[1] = "Egypt".into();
    goods.containerised = "yes".into();
    goods.containers =
        vec![v1::Container { seals: vec![v1::Seal::default(); 100], ..Default::default() }];
    goods.items[0].documents[0].quantity.as_mut().unwrap().value = "ten".into();
    goods.carried = vec![v1::CarriedElement::default()];
    let value = filing.value.as_mut().unwrap();
    let negative = Some(v1::Money { amount: "-1".into(), currency: "EUR".into() });
    value.items[0].duties = vec![v1::DeclaredDuty { payable: negative, ..Default::default() }];
    let violations = check_filing(&filing, &CodeLists::default()).unwrap_err();
    let told: Vec<&str> = violations.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(
        told,
        [
            "core.declaration_type",
            "core.acceptance_time",
            "core.supervising_office",
            "goods.containerised",
            "goods.itinerary[1]",
            "goods.containers[0].seals",
            "goods.carried[0].path",
            "goods.items[0].documents[0].quantity.value",
            "value.items[0].duties[0].payable.amount",
        ]
    );
}

#[test]
fn dirt_is_kept_and_warned_about() {
    let lists = with_list(ListKind::Hs, "hscode,description\n090111,coffee\n0901,heading\n");
    let mut filing = export();
    let core = filing.core.as_mut().unwrap();
    core.items[0].commodity_code = "851770".into();
    core.items[0].origin = "ZZ".into();
    core.mrn = "20GB1Q3RTK463FGVR5".into();
    filing.goods.as_mut().unwrap().items[0].net_mass_kg = "0.0".into();
    let price = filing.value.as_mut().unwrap().items[0].value.as_mut().unwrap();
    *price = v1::Money { amount: "12.345".into(), currency: "EUR".into() };
    let checked = check_filing(&filing, &lists).unwrap();
    let mut codes: Vec<&str> = checked.warnings.iter().map(|w| w.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        ["hs-left-list", "mrn-check-digit", "origin-unknown", "price-fraction", "zero-mass"]
    );
}

#[test]
fn an_agencys_list_refuses_what_a_built_in_one_only_warns_about() {
    let mut filing = export();
    filing.core.as_mut().unwrap().items[0].quantity.as_mut().unwrap().unit = "QZZ".into();
    let warned = check_filing(&filing, &CodeLists::default()).unwrap();
    assert_eq!(warned.warnings[0].code, "unit-unlisted");
    let lists = with_list(ListKind::Units, "Status,CommonCode\nX,KGM\n");
    assert_eq!(check_filing(&filing, &lists).unwrap_err()[0].code, "unit");
    let without = Edition::from_csv(ListKind::Units, "x", 0, "a,b\n1,2\n");
    assert_eq!(without.unwrap_err(), ListError::Column);
}

#[test]
fn items_of_different_parts_belong_together_by_place_and_number() {
    let mut filing = export();
    filing.goods.as_mut().unwrap().items[0].number = 2;
    let violations = check_filing(&filing, &CodeLists::default()).unwrap_err();
    assert_eq!((violations[0].code.as_str(), violations.len()), ("items-differ", 1));
    assert_eq!(violations[0].path, "goods.items[0].number");
}

#[test]
fn a_code_that_left_its_list_says_when_and_what_replaced_it() {
    let mut filing = export();
    filing.core.as_mut().unwrap().items[0].commodity_code = "85177000".into();
    filing.value.as_mut().unwrap().terms = "DAT".into();
    filing.goods.as_mut().unwrap().location = "KEXXX".into();
    let checked = check_filing(&filing, &CodeLists::default()).unwrap();
    let told: Vec<String> =
        checked.warnings.iter().map(|w| format!("{}: {}; {}", w.path, w.allowed, w.fix)).collect();
    assert_eq!(
        told,
        [
            "goods.location: a code of locodes 2023-1; compare it with a newer edition",
            "core.items[0].commodity_code: a code of hs HS2022; this one left it after 2021-12-31; replaced by 851771 or 851779",
            "value.terms: a code of incoterms 2020; this one left it after 2019-12-31; replaced by DPU",
        ]
    );
    filing.value.as_mut().unwrap().terms = "ABC".into();
    assert_eq!(check_filing(&filing, &CodeLists::default()).unwrap_err()[0].code, "terms");
}

#[test]
fn a_filing_is_checked_by_the_edition_of_its_time() {
    let mut filing = export();
    filing.core.as_mut().unwrap().offices = vec!["KE000001".into(), "NL000001".into()];
    let day = |day| first_instant(day, "Africa/Nairobi").unwrap();
    let mut book = ListBook::default();
    let old = "code,until,replaced_by\nKE000001,,\nKE000002,,\n";
    let new = "code,until,replaced_by\nKE000002,,\nKE000001,2026-11-30,KE000003 KE000002\n";
    for (name, from, csv) in [("old", "2026-01-01", old), ("new", "2026-12-01", new)] {
        book.add(Edition::from_csv(ListKind::Offices, name, day(from), csv).unwrap());
    }
    let at = |ms| check_filing(&filing, &book.at(ms)).map(|c| c.warnings);
    // Midnight in Nairobi is nine in the evening of the day before in UTC.
    assert_eq!(at(day("2026-12-01") - 1).unwrap(), []);
    let after = at(day("2026-12-01")).unwrap();
    assert_eq!(
        (after.len(), after[0].path.as_str()),
        (1, "core.offices[0]"),
        "NL isn't in a list of KE's"
    );
    assert_eq!(after[0].fix, "replaced by KE000003 or KE000002");
    assert_eq!(at(day("2025-06-01")).unwrap(), [], "before the first edition nobody knows");
    filing.core.as_mut().unwrap().offices = vec!["KE000009".into()];
    assert_eq!(check_filing(&filing, &book.at(i64::MAX)).unwrap_err()[0].code, "office");
    // An agency's places stand above the built-in list for its own country, and leave the others alone.
    let mut places = Edition::from_csv(ListKind::Locodes, "ke", 0, "code\nKEXYZ\n").unwrap();
    places.publisher = "KE".into();
    book.add(places);
    let lists = book.at(i64::MAX);
    assert_eq!(lists.listed(ListKind::Locodes, "KEXYZ"), Listed::Yes);
    assert_eq!(lists.listed(ListKind::Locodes, "KEMBA"), Listed::No);
    assert_eq!(lists.listed(ListKind::Locodes, "BEANR"), Listed::Yes);
    assert_eq!(book.at(0).edition(ListKind::Hs), "none");
    assert!(
        first_instant("2026-13-01", "UTC").is_err()
            && first_instant("2026-01-01", "Nairobi").is_err()
    );
}

#[test]
fn findings_name_the_wco_path() {
    let path = |p| wco_path(p);
    assert_eq!(path("core.lrn").unwrap(), "FunctionalReferenceID");
    let value = "GoodsShipment/GovernmentAgencyGoodsItem/CustomsValueAmount";
    assert_eq!(path("value.items[3].value.amount").unwrap(), value);
    assert_eq!(path("value.items[3].value.currency").unwrap(), format!("{value}@currencyID"));
    let quantity = "GoodsShipment/GovernmentAgencyGoodsItem/Commodity/GoodsMeasure/TariffQuantity";
    assert_eq!(path("core.items[0].quantity.unit").unwrap(), quantity);
    assert_eq!(path("parties.seller").unwrap(), "GoodsShipment/Seller", "what holds all of it");
    assert_eq!(path("parties.exporter_address.country").unwrap(), "Exporter/Address/CountryCode");
    assert_eq!(path("core.no_such_element"), None);
}
