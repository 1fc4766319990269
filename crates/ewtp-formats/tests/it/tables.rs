//! Tables as they are: marks, units, days, encodings, dirt.

use std::collections::BTreeMap;
use std::path::Path;

use ewtp_formats::mapping::{Mapping, MappingError};
use ewtp_formats::table::{Table, TableError};
use ewtp_trade::{CodeLists, check_filing};
use proptest::prelude::*;

use crate::corpus::folder;

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").join(name);
    std::fs::read(path).unwrap()
}

fn mapping(name: &str) -> Mapping {
    Mapping::parse(std::str::from_utf8(&sample(name)).unwrap()).unwrap()
}

/// A whole table.
#[derive(Debug)]
struct Whole {
    columns: BTreeMap<String, usize>,
    rows: Vec<(u64, csv::StringRecord)>,
}

fn read(bytes: &[u8], mapping: &Mapping) -> Result<Whole, TableError> {
    let mut table = Table::open(bytes, mapping)?;
    let mut rows = Vec::new();
    while let Some(row) = table.next_row()? {
        rows.push(row);
    }
    Ok(Whole { columns: table.columns, rows })
}

/// Rows without end, and how many bytes of them were asked for.
struct Endless<'a> {
    given: &'a std::cell::Cell<usize>,
}

impl std::io::Read for Endless<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let text = b"a,b\n\xc3\xa4,2\n";
        let at = self.given.get();
        for (i, to) in into.iter_mut().enumerate() {
            // The header once, the row again and again.
            let from = if at + i < 4 { at + i } else { 4 + (at + i - 4) % 5 };
            *to = text[from];
        }
        self.given.set(at + into.len());
        Ok(into.len())
    }
}

#[test]
fn a_table_is_read_as_it_is_asked_for() {
    let mapping = Mapping::parse("name = \"x\"\n[element.\"core.lrn\"]\ncolumn = \"a\"\n").unwrap();
    let given = std::cell::Cell::new(0);
    let mut table = Table::open(Endless { given: &given }, &mapping).unwrap();
    for line in 2..100_002 {
        let (at, row) = table.next_row().unwrap().unwrap();
        assert_eq!((at, &row[0]), (line, "\u{e4}"));
    }
    // 100,000 rows of 5 bytes, and no more than two chunks ahead.
    assert!((500_000..700_000).contains(&given.get()), "{}", given.get());
}

#[test]
fn bytes_that_an_encoding_lacks_are_found_where_they_stand_also_far_inside() {
    let mapping = Mapping::parse("name = \"x\"\n[element.\"core.lrn\"]\ncolumn = \"a\"\n").unwrap();
    let mut bytes = b"a,b\n".to_vec();
    for _ in 0..50_000 {
        bytes.extend_from_slice(b"row,2\n");
    }
    bytes.extend_from_slice(b"r\xffw,2\nrow,2\n");
    let wrong = read(&bytes, &mapping).unwrap_err();
    assert_eq!(wrong, TableError::Bytes { line: 50_002, encoding: "UTF-8".into() });
    // A character that is cut at the end, and one that two reads share, are told and read.
    assert!(matches!(read(b"a,b\nx,\xc3", &mapping), Err(TableError::Bytes { line: 2, .. })));
    let mut long = b"a,b\n".to_vec();
    long.resize((64 << 10) - 1, b'x');
    long.extend_from_slice("ä,1\n".as_bytes());
    let whole = read(&long, &mapping).unwrap();
    assert!(whole.rows[0].1[0].ends_with('ä'), "over the border of a chunk");
}

/// Good rows, and what is wrong with the others: mapping and check.
fn look_through(mapping: &Mapping, bytes: &[u8]) -> (usize, Vec<String>) {
    let table = read(bytes, mapping).unwrap();
    let lists = CodeLists::default();
    let (mut good, mut told) = (0, Vec::new());
    for (line, row) in &table.rows {
        match mapping.filing(&table.columns, row) {
            Err(errors) => told.extend(errors.iter().map(|e| format!("{line}: {e}"))),
            Ok(filing) => match check_filing(&filing, &lists) {
                Ok(_) => good += 1,
                Err(all) => {
                    told.extend(all.iter().map(|v| format!("{line}: {} {:?}", v.path, v.value)));
                }
            },
        }
    }
    (good, told)
}

#[test]
fn a_shops_orders_are_filings_and_what_is_wrong_is_told_for_each_cell() {
    let (good, told) = look_through(&mapping("shop.mapping.toml"), &sample("shop-orders.csv"));
    assert_eq!(good, 2);
    insta::assert_snapshot!(told.join("\n"));
    let mapping = mapping("shop.mapping.toml");
    let table = read(&sample("shop-orders.csv"), &mapping).unwrap();
    let filing = mapping.filing(&table.columns, &table.rows[0].1).unwrap();
    let (core, goods, value) = (filing.core.unwrap(), filing.goods.unwrap(), filing.value.unwrap());
    assert_eq!((core.lrn.as_str(), core.departure_date.as_str()), ("10001-1", "2026-11-24"));
    assert_eq!((goods.gross_mass_kg.as_str(), goods.total_packages), ("2.15", 1));
    assert_eq!(value.invoice_total.unwrap().amount, "1040.50", "as written, but for the marks");
    assert!(core.synthesised.contains(&"core.lrn".to_owned()), "an expression is made up");
    assert!(!core.synthesised.contains(&"goods.items[0].gross_mass_kg".to_owned()));
}

/// Real deliveries: what says in words where a number belongs is a reject with its place, never a crash and never a zero.
#[test]
fn the_dirt_of_real_deliveries_is_told() {
    let Some(folder) = folder("usaid-scms-shipments/dev") else { return };
    let bytes = std::fs::read(folder.join("scms_delivery_history.tsv")).unwrap();
    let (good, told) = look_through(&mapping("scms.mapping.toml"), &bytes);
    let of = |text: &str| told.iter().filter(|t| t.contains(text)).count();
    assert_eq!(good, 3033);
    // One element's own column, and the copy of it.
    assert_eq!(of("goods.gross_mass_kg: \"Weight Captured Separately\""), 785);
    assert_eq!(of("goods.items[0].gross_mass_kg: \"Weight Captured Separately\""), 785);
    assert!(told.iter().all(|t| t.split(':').next().unwrap().parse::<u64>().unwrap() > 1));
}

fn one(element: &str, cell: &str) -> Result<String, String> {
    let text = format!("name = \"t\"\n[element.\"core.lrn\"]\ncolumn = \"c\"\n{element}");
    let mapping = Mapping::parse(&text).map_err(|e| e.to_string())?;
    let columns = BTreeMap::from([("c".to_owned(), 0)]);
    let row = csv::StringRecord::from(vec![cell]);
    let filing = mapping.filing(&columns, &row).map_err(|e| e[0].to_string())?;
    Ok(filing.core.map(|c| c.lrn).unwrap_or_default())
}

#[test]
fn numbers_and_days_are_read_exactly_or_not_at_all() {
    let plain = "decimal = { thousands = \",\" }";
    assert_eq!(one(plain, "1,234,567.890").unwrap(), "1234567.890");
    for wrong in
        ["1,23", "12,34.5", "1.2.3", ".5", "5.", "-1", "1e5", "Weight Captured Separately", "١"]
    {
        assert!(one(plain, wrong).unwrap_err().contains("core.lrn"), "{wrong}");
    }
    assert_eq!(one("decimal = { point = \",\", thousands = \".\" }", "1.234,5").unwrap(), "1234.5");
    assert_eq!(one("decimal = { unit = \"lb\" }", "10").unwrap(), "4.5359237");
    assert_eq!(one("decimal = { unit = \"g\" }", "1500").unwrap(), "1.5");
    assert!(
        one("decimal = { unit = \"lb\" }", "0.1234567890123").unwrap_err().contains("17 digits")
    );
    let two_digits = "date = \"%d-%b-%y\"";
    assert_eq!(one(two_digits, "14-Nov-06").unwrap(), "2006-11-14");
    assert_eq!(one(two_digits, "01-Jan-69").unwrap(), "1969-01-01");
    assert!(one(two_digits, "31-Feb-06").is_err());
    assert_eq!(one("empty = [\"N/A\"]", "N/A").unwrap(), "");
    assert_eq!(one("empty = [\"N/A\"]\ndefault = \"x\"", "N/A").unwrap(), "x");
    assert!(one("list = \"countries\"", "Kenya").unwrap_err().contains("countries ISO3166-1"));
    for bad in [
        "date = \"%d\"",
        "decimal = { unit = \"stone\" }",
        "list = \"colours\"",
        "decimal = { point = \",\", thousands = \",\" }",
    ] {
        assert!(one(bad, "1").unwrap_err().starts_with("mapping: core.lrn"), "{bad}");
    }
}

#[test]
fn a_misspelt_element_is_refused_with_the_mapping() {
    let parse = |path: &str| {
        Mapping::parse(&format!("name = \"t\"\n[element.\"{path}\"]\ncolumn = \"a\"")).map(drop)
    };
    for path in ["core.lrn", "core.items[2].commodity_code", "core.items[0].quantity.value"] {
        assert_eq!(parse(path), Ok(()));
    }
    for path in ["core.lnr", "cor.lrn", "core.items[2].comodity_code"] {
        let error = parse(path).unwrap_err();
        assert!(matches!(error, MappingError::Form { .. }), "{path}: {error}");
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

#[test]
fn expressions_see_the_row_and_nothing_else() {
    let parse = |expression: &str| {
        Mapping::parse(&format!(
            "name = \"t\"\n[element.\"core.lrn\"]\nexpression = '{expression}'"
        ))
    };
    let mapping =
        parse("row[\"a\"] + \"-\" + (row[\"b\"] == \"\" ? \"none\" : row[\"b\"])").unwrap();
    let table = read(b"a,b\nX,\nY,2\n", &mapping).unwrap();
    let lrn =
        |at: usize| mapping.filing(&table.columns, &table.rows[at].1).unwrap().core.unwrap().lrn;
    assert_eq!((lrn(0), lrn(1)), ("X-none".to_owned(), "Y-2".to_owned()));
    let lacking = read(b"a\nX\n", &mapping).unwrap_err();
    assert_eq!(lacking, TableError::Columns(vec!["b".into()]));
    assert!(matches!(parse("env + \"\""), Err(MappingError::Expression { .. })));
    assert!(matches!(parse("row["), Err(MappingError::Expression { .. })));
    let float = parse("1.5").unwrap();
    let error = float.filing(&table.columns, &table.rows[0].1).unwrap_err();
    assert!(error[0].to_string().contains("no text"), "{error:?}");
}

#[test]
fn a_table_has_any_encoding_and_says_so_when_it_is_another() {
    let text = |head: &str| {
        format!("name = \"t\"\n{head}[element.\"core.importer_name\"]\ncolumn = \"n\"\n")
    };
    let mapping = |head: &str| Mapping::parse(&text(head)).unwrap();
    let first =
        |bytes: &[u8], head: &str| read(bytes, &mapping(head)).map(|t| t.rows[0].1[0].to_owned());
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("n\nØ\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    assert_eq!(first(&utf16, "").unwrap(), "Ø", "by its byte order mark");
    assert_eq!(first("\u{feff}n\nØ\n".as_bytes(), "").unwrap(), "Ø");
    let windows = "[table]\nencoding = \"windows-1252\"\n";
    assert_eq!(first(b"n\n\xd8\n", windows).unwrap(), "Ø");
    assert_eq!(first(b"n\n\xc4\xe3\n", "[table]\nencoding = \"gbk\"\n").unwrap(), "你");
    let wrong = first(b"n\nx\n\xd8\n", "").unwrap_err();
    assert_eq!(wrong, TableError::Bytes { line: 3, encoding: "UTF-8".into() });
    assert!(matches!(
        first(b"n\nx\n", "[table]\nencoding = \"klingon\"\n"),
        Err(TableError::Encoding(_))
    ));
    assert_eq!(first(b"", "").unwrap_err(), TableError::Empty);
    assert_eq!(first(b"n,n\n1,2\n", "").unwrap_err(), TableError::Twice("n".into()));
}

proptest! {
    /// A cell that a mapping writes is read again as the same value.
    #[test]
    fn what_is_written_is_read_again(whole in 0u64..1_000_000_000, fraction in "[0-9]{0,6}") {
        let value = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
        for form in ["decimal = { point = \",\" }", "decimal = { unit = \"kg\" }", "decimal = {}"] {
            let text = format!("name = \"t\"\n[element.\"goods.gross_mass_kg\"]\ncolumn = \"c\"\n{form}");
            let mapping = Mapping::parse(&text).unwrap();
            let goods = ewtp_proto::v1::FilingGoods { gross_mass_kg: value.clone(), ..Default::default() };
            let filing = ewtp_proto::v1::Filing { goods: Some(goods), ..Default::default() };
            let (row, lost) = mapping.row(&filing);
            prop_assert!(lost.is_empty(), "{:?}", lost);
            let columns = BTreeMap::from([("c".to_owned(), 0)]);
            let again = mapping.filing(&columns, &csv::StringRecord::from(row)).unwrap();
            prop_assert_eq!(&again.goods.unwrap().gross_mass_kg, &value);
        }
    }
}
