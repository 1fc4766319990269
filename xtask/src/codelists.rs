//! Makes the code lists that come with `ewtp-trade`, and the descriptions that `ewtp codes search` reads, from public lists
//! (`$EWTP_CORPUS/data`). Codes alone: wording is taken from the United States' tariff, which is public.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use roxmltree::Document;

/// A list as it is written.
struct List {
    source: &'static str,
    /// Characters of the prefix; 0 for none.
    prefix: usize,
    codes: BTreeSet<String>,
    /// Lines of codes that left: last day or `-`, and what replaced them.
    ended: BTreeMap<String, String>,
}

/// Codes that the HS of 2022 no longer has, with those that replaced them (WCO's correlation table of the HS 2022 to the HS 2017);
/// the ones that everyday trade meets.
const HS_ENDED: &[(&str, &str)] = &[
    ("300220", "300241"),
    ("300230", "300242"),
    ("851712", "851713 851714"),
    ("851770", "851771 851779"),
    ("852580", "852581 852582 852583 852589"),
    ("854140", "854141 854142 854143 854149"),
];
/// Formerly used alpha-2 codes that older data has (ISO 3166-3).
const COUNTRIES_ENDED: &[(&str, &str)] = &[
    ("AN", "2010-12-15 BQ CW SX"),
    ("CS", "2006-09-26 ME RS"),
    ("TP", "2002-05-20 TL"),
    ("YU", "2003-07-23 ME RS"),
    ("ZR", "1997-07-14 CD"),
];
/// Terms of the editions of 2000 and 2010 (ICC); 2010 held from 1 January 2011, 2020 from 1 January 2020.
const INCOTERMS_ENDED: &[(&str, &str)] = &[
    ("DAF", "2010-12-31 DAP"),
    ("DAT", "2019-12-31 DPU"),
    ("DDU", "2010-12-31 DAP"),
    ("DEQ", "2010-12-31 DPU"),
    ("DES", "2010-12-31 DAP"),
];

fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    // UNECE publishes UN/LOCODE in ISO 8859-1, whose bytes are the first characters of Unicode.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|e| e.as_bytes().iter().map(|b| char::from(*b)).collect()))
}

/// Rows of a CSV with a header, as texts by column.
fn rows(path: &Path) -> Result<Vec<BTreeMap<String, String>>, String> {
    let text = read(path)?;
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    reader
        .deserialize()
        .collect::<Result<_, csv::Error>>()
        .map_err(|e| format!("{}: {e}", path.display()))
}

fn cell<'a>(row: &'a BTreeMap<String, String>, column: &str) -> &'a str {
    row.get(column).map_or("", |v| v.trim())
}

fn ended(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(code, what)| ((*code).to_owned(), (*what).to_owned())).collect()
}

/// Codes of an OASIS genericode list; those with status X left it.
fn genericode(path: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
    let text = read(path)?;
    let document = Document::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let (mut codes, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for row in document.descendants().filter(|n| n.tag_name().name() == "Row") {
        let value = |column: &str| {
            let cell = row.children().find(|c| c.attribute("ColumnRef") == Some(column))?;
            cell.descendants().find_map(|n| {
                n.text().filter(|_| n.is_text() && !n.text().unwrap_or_default().trim().is_empty())
            })
        };
        let Some(code) = value("code").map(|c| c.trim().to_owned()) else { continue };
        match value("status").map(str::trim) {
            Some("X") => gone.insert(code),
            _ => codes.insert(code),
        };
    }
    Ok((codes, gone))
}

fn hs(lists: &Path) -> Result<List, String> {
    let rows = rows(&lists.join("harmonized-system/harmonized-system.csv"))?;
    let codes =
        rows.iter().map(|r| cell(r, "hscode").to_owned()).filter(|c| c.len() == 6).collect();
    let ended =
        HS_ENDED.iter().map(|(c, to)| ((*c).to_owned(), format!("2021-12-31 {to}"))).collect();
    let source = "Harmonized System 2022, codes alone: datasets/harmonized-system 905e5a0f (PDDL)";
    Ok(List { source, prefix: 4, codes, ended })
}

fn countries(lists: &Path) -> Result<List, String> {
    let rows = rows(&lists.join("country-codes/country-codes.csv"))?;
    let two = |r: &BTreeMap<String, String>| cell(r, "ISO3166-1-Alpha-2").to_owned();
    let mut codes: BTreeSet<String> = rows.iter().map(two).filter(|c| c.len() == 2).collect();
    // User-assigned codes that trade uses: Northern Ireland, Kosovo, the European Union.
    codes.extend(["XI", "XK", "EU"].map(str::to_owned));
    let source =
        "ISO 3166-1 alpha-2: datasets/country-codes caa72d1e (PDDL); XI, XK, EU are user-assigned";
    Ok(List { source, prefix: 0, codes, ended: ended(COUNTRIES_ENDED) })
}

fn currencies(lists: &Path) -> Result<List, String> {
    let rows = rows(&lists.join("currency-codes/codes-all.csv"))?;
    let (mut codes, mut gone) = (BTreeSet::new(), BTreeMap::new());
    for row in &rows {
        let code = cell(row, "AlphabeticCode").to_owned();
        match cell(row, "WithdrawalDate") {
            _ if code.is_empty() => {}
            "" => drop(codes.insert(code)),
            _ => drop(gone.insert(code, "-".to_owned())),
        }
    }
    gone.retain(|code, _| !codes.contains(code));
    let source = "ISO 4217: datasets/currency-codes ab9b0ae8 (PDDL)";
    Ok(List { source, prefix: 0, codes, ended: gone })
}

fn locodes(lists: &Path) -> Result<List, String> {
    let mut codes = BTreeSet::new();
    for part in 1..=3 {
        let path = lists.join(format!("un-locode-2023-1/2023-1 UNLOCODE CodeListPart{part}.csv"));
        let text = read(&path)?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        for row in reader.records() {
            let row = row.map_err(|e| format!("{}: {e}", path.display()))?;
            let (country, place) = (row.get(1).unwrap_or_default(), row.get(2).unwrap_or_default());
            if country.len() == 2 && place.len() == 3 {
                codes.insert(format!("{country}{place}"));
            }
        }
    }
    let source = "UN/LOCODE 2023-1, codes alone: UNECE";
    Ok(List { source, prefix: 2, codes, ended: BTreeMap::new() })
}

fn units(lists: &Path) -> Result<List, String> {
    let rows = rows(&lists.join("unece-units-of-measure/units-of-measure.csv"))?;
    let (mut codes, mut gone) = (BTreeSet::new(), BTreeMap::new());
    for row in &rows {
        let code = cell(row, "CommonCode").to_owned();
        match cell(row, "Status") {
            "X" => drop(gone.insert(code, "-".to_owned())),
            _ => drop(codes.insert(code)),
        }
    }
    let source = "UN/ECE Recommendation 20: datasets/unece-units-of-measure f6427ebe (PDDL)";
    Ok(List { source, prefix: 0, codes, ended: gone })
}

fn packages(lists: &Path) -> Result<List, String> {
    let (codes, gone) =
        genericode(&lists.join("ubl-2.3-gc/PackagingTypeCode-2.3-incl-deleted.gc"))?;
    let ended = gone.into_iter().map(|c| (c, "-".to_owned())).collect();
    let source = "UN/ECE Recommendation 21, 10e: OASIS UBL 2.3 genericode";
    Ok(List { source, prefix: 0, codes, ended })
}

fn modes(lists: &Path) -> Result<List, String> {
    let (codes, _) = genericode(&lists.join("ubl-2.3-gc/TransportModeCode-2.3.gc"))?;
    let source = "UN/ECE Recommendation 19: OASIS UBL 2.3 genericode";
    Ok(List { source, prefix: 0, codes, ended: BTreeMap::new() })
}

fn incoterms() -> List {
    let codes =
        "EXW FCA CPT CIP DAP DPU DDP FAS FOB CFR CIF".split(' ').map(str::to_owned).collect();
    List { source: "Incoterms 2020 (ICC)", prefix: 0, codes, ended: ended(INCOTERMS_ENDED) }
}

fn text(list: &List) -> String {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for code in &list.codes {
        let (prefix, rest) = code.split_at_checked(list.prefix).unwrap_or((code, ""));
        lines.entry(prefix).or_default().push(rest);
    }
    let mut out = format!("# {}. Made by `cargo xtask codelists`.\n", list.source);
    for (prefix, rest) in lines {
        let prefix = if prefix.is_empty() { "-" } else { prefix };
        for row in rest.chunks(24) {
            let _ = writeln!(out, "{prefix} {}", row.join(" "));
        }
    }
    for (code, what) in &list.ended {
        let _ = writeln!(out, "~{code} {what}");
    }
    out
}

/// Code and description of the lines of a tariff.
fn descriptions(corpus: &Path) -> Result<String, String> {
    let rows = rows(&corpus.join("us-hts8/dev/us_hts8_2025.csv"))?;
    let mut out = String::from(
        "# Harmonized Tariff Schedule of the United States 2025, chapters 10 to 69: code and description (USITC, US Government work).\n\
        # Made by `cargo xtask codelists`.\n",
    );
    for row in &rows {
        let description =
            cell(row, "brief_description").split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(out, "{} {description}", cell(row, "hts8"));
    }
    Ok(out)
}

/// Writes the lists.
///
/// # Errors
/// What can't be read.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let data = crate::corpus(root).join("data");
    let lists = data.join("codelists");
    let made = [
        ("hs2022", hs(&lists)?),
        ("countries", countries(&lists)?),
        ("currencies", currencies(&lists)?),
        ("locodes", locodes(&lists)?),
        ("units", units(&lists)?),
        ("packages", packages(&lists)?),
        ("modes", modes(&lists)?),
        ("incoterms", incoterms()),
    ];
    let write = |path: PathBuf, text: String| {
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    };
    for (name, list) in &made {
        println!("{name}: {} codes, {} left", list.codes.len(), list.ended.len());
        write(root.join(format!("crates/ewtp-trade/src/lists/{name}.txt")), text(list))?;
    }
    write(root.join("crates/ewtp-formats/src/tariff/us-hts8.txt"), descriptions(&data)?)
}
