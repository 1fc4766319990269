//! Documents between forms: what comes back, and what is told as lost.

use ewtp_formats::convert::{ConvertError, Form, read, write};
use ewtp_formats::mapping::Mapping;
use ewtp_formats::table::TableError;

const MAPPING: &str = r#"
name = "shop"
[element."core.type"]
constant = "FILING_TYPE_EXPORT"
[element."core.lrn"]
column = "Order"
[element."core.country_of_destination"]
column = "To"
lookup = { "Kenya" = "KE", "Belgium" = "BE" }
[element."core.importer_id"]
column = "Buyer"
prefix_column = "To code"
[element."core.importer_name"]
copy = "Buyer"
default = "not named"
[element."parties.importer_address.country"]
column = "To code"
[element."core.departure_date"]
copy = "Sent"
[element."core.items[0].number"]
constant = 1
[element."core.items[0].commodity_code"]
column = "HS"
"#;
const TABLE: &str = "Order,To,To code,Buyer,Sent,HS\nA-1,Kenya,KE,77,2026-11-01,090111\nA-2,Belgium,BE,,2026-11-02,\n";

fn mapping() -> Mapping {
    Mapping::parse(MAPPING).unwrap()
}

#[test]
fn a_table_comes_back_by_way_of_json() {
    let mapping = mapping();
    let table = read(Form::Csv, TABLE.as_bytes(), Some(&mapping)).unwrap();
    assert!(table.lost.is_empty() && table.rejects.is_empty());
    let json = write(Form::Json, &table, None).unwrap();
    assert!(json.lost.is_empty());
    let again = read(Form::Json, json.documents[0].1.as_bytes(), None).unwrap();
    assert_eq!(again.filings, table.filings);
    let back = write(Form::Csv, &again, Some(&mapping)).unwrap();
    let rows: Vec<&str> = back.documents[0].1.lines().collect();
    assert_eq!(rows[0], "To,Sent,Buyer,To code,HS,Order", "by element");
    assert_eq!(rows[1], "Kenya,2026-11-01,77,KE,090111,A-1");
    assert_eq!(rows[2], "Belgium,2026-11-02,,BE,,A-2");
    assert!(back.lost.is_empty(), "{:?}", back.lost);
}

#[test]
fn what_a_table_or_a_mapping_has_no_place_for_is_told() {
    let more = "Order,To,To code,Buyer,Sent,HS,Colour,Note\nA-1,Kenya,KE,77,,090111,red,\n";
    let mut table = read(Form::Csv, more.as_bytes(), Some(&mapping())).unwrap();
    let lost: Vec<_> = table.lost.iter().map(String::as_str).collect();
    assert_eq!(lost, ["column Colour"], "Note is empty");
    let core = table.filings[0].core.as_mut().unwrap();
    core.ucr = "6GB123-1".into();
    core.offices = vec!["GB000060".into(), "BE000001".into()];
    core.country_of_destination = "NL".into();
    let written = write(Form::Csv, &table, Some(&mapping())).unwrap();
    let lost = ["core.country_of_destination", "core.offices", "core.ucr"];
    assert_eq!(Vec::from_iter(written.lost), lost);
}

#[test]
fn what_is_no_document_of_its_form_is_told_with_its_place() {
    let row = "Order,To,To code,Buyer,Sent,HS\nA-1,Kenia,KE,77,,1\nA-2,Kenya,KE\n";
    let rejects = read(Form::Csv, row.as_bytes(), Some(&mapping())).unwrap().rejects;
    let told: Vec<String> = rejects.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "row 2: core.country_of_destination: \"Kenia\" is not in the lookup; allowed: Belgium, Kenya",
            "row 3: the row has 3 columns, the header 6"
        ]
    );
    let lacking = read(Form::Csv, b"Order,To\n", Some(&mapping())).unwrap_err();
    assert!(matches!(lacking, ConvertError::Table(TableError::Columns(c)) if c.len() == 4));
    assert_eq!(read(Form::Csv, b"", None).unwrap_err(), ConvertError::NoMapping);
    assert_eq!(read(Form::Json, b" \n", None).unwrap_err(), ConvertError::Empty);
    assert_eq!(
        read(Form::Json, b"\xef\xbb\xbf{}", None).unwrap().filings.len(),
        1,
        "a byte order mark"
    );
    let json = read(Form::Json, b"{\"core\":{\"lrm\":\"x\"}}", None).unwrap_err().to_string();
    assert!(json.contains("lrm") && json.contains("line 1"), "{json}");
}

/// What precedes a fault is a piece of its own, and the fault follows with its place.
#[test]
fn good_records_before_a_broken_one_are_kept() {
    let pieces = |form: Form, mapping: Option<&Mapping>, bytes: &[u8]| {
        let format = form.format(mapping);
        let pieces = format.pieces(Box::new(bytes));
        pieces.map(|p| p.map(|r| r.filings.len()).map_err(|e| e.to_string())).collect::<Vec<_>>()
    };
    let json = b"{\"core\":{}} {\"core\":{}}\n {\"core\":{\"lrm\":\"1\"}} {\"core\":{}}";
    let told = pieces(Form::Json, None, json);
    assert_eq!(told[0], Ok(2));
    let error = told[1].clone().unwrap_err();
    assert!(error.contains("unknown field `lrm`") && error.contains("line 2 column 15"), "{error}");
    assert_eq!(told.len(), 2);

    let orders = include_bytes!("../../../../samples/shop-orders.csv");
    let text = String::from_utf8_lossy(orders);
    let mut rows: Vec<u8> =
        text.split_inclusive('\n').take(3).flat_map(|line| line.bytes()).collect();
    rows.extend(b"\xff\n");
    let mapping = Mapping::parse(include_str!("../../../../samples/shop.mapping.toml")).unwrap();
    let told = pieces(Form::Csv, Some(&mapping), &rows);
    assert_eq!(told[0], Ok(2), "{told:?}");
    assert!(told[1].clone().unwrap_err().contains("line 4"), "{told:?}");

    // A quote that doesn't end is found before the memory does.
    let mut rows: Vec<u8> =
        text.split_inclusive('\n').take(3).flat_map(|line| line.bytes()).collect();
    rows.push(b'"');
    rows.extend(vec![b'x'; 9 << 20]);
    let told = pieces(Form::Csv, Some(&mapping), &rows);
    assert_eq!(told[0], Ok(2), "{:?}", told.len());
    assert!(told[1].clone().unwrap_err().contains("more than 4 MiB"), "{told:?}");
}

/// Messages in JSON that aren't what they say they are, are told and not dropped.
#[test]
fn what_is_no_message_in_json_is_told() {
    let good = include_str!("../../../../samples/ceb/order.xml");
    let read_one = read(Form::Ceb, good.as_bytes(), None).unwrap();
    assert_eq!(read_one.filings.len(), 1);
    for (bad, why) in [
        (r#"{"CEB622Message":{},"CEB623Message":{}}"#, "one field named CEBnnnMessage"),
        (r#"{"CEB622":{}}"#, "one field named CEBnnnMessage"),
        (r#"{"CEB622Message":{"InventoryReturn":{}}}"#, "no list of records"),
        (r#"{"CEB622Message":{"InventoryReturn":["x"]}}"#, "holds no elements"),
    ] {
        let error = read(Form::Json, format!("\n{bad}").as_bytes(), None).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("line 1"), "{bad}: {error}");
    }
}
