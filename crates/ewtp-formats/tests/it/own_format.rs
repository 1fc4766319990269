//! A format of somebody's own, as docs/add-a-format.md has it: a manifest, a line a parcel.

use ewtp_formats::convert::{ConvertError, Form, Format, Read, Written, whole};
use ewtp_proto::v1;

// manifest begins
/// `HAWB;kilograms;packages` a line, as a courier's warehouse prints it.
struct Manifest;

impl Format for Manifest {
    fn name(&self) -> &str {
        "manifest"
    }

    fn extension(&self) -> &str {
        "txt"
    }

    fn read(&self, bytes: &[u8]) -> Result<Read, ConvertError> {
        let text = std::str::from_utf8(bytes).map_err(|e| fault(1, &e.to_string()))?;
        let mut out = Read::default();
        for (line, row) in (1..).zip(text.lines()) {
            match row.split(';').collect::<Vec<_>>().as_slice() {
                [document, mass, packages] => match packages.parse() {
                    Ok(packages) => out.filings.push(parcel(document, mass, packages)),
                    Err(_) => out.rejects.push(fault(line, "packages is no number")),
                },
                _ => out.rejects.push(fault(line, "allowed: HAWB;kilograms;packages")),
            }
        }
        Ok(out)
    }

    fn write(&self, read: &Read) -> Result<Written, ConvertError> {
        let (mut out, mut text) = (Written::default(), String::new());
        for filing in &read.filings {
            let goods = filing.goods.clone().unwrap_or_default();
            let (document, mass) = (goods.transport_document, goods.gross_mass_kg);
            text.push_str(&format!("{document};{mass};{}\n", goods.total_packages));
            // What else it says, part by part, has no place in a manifest.
            let kept = parcel(&document, &mass, goods.total_packages).goods;
            let parts = [
                ("core", filing.core.is_some()),
                ("parties", filing.parties.is_some()),
                ("goods", filing.goods != kept),
                ("value", filing.value.is_some()),
                ("authority", filing.authority.is_some()),
            ];
            out.lost.extend(parts.iter().filter(|p| p.1).map(|p| p.0.to_owned()));
        }
        out.documents.push((None, text));
        Ok(out)
    }
}

fn parcel(document: &str, mass: &str, packages: u32) -> v1::Filing {
    let goods = v1::FilingGoods {
        transport_document: document.to_owned(),
        gross_mass_kg: mass.to_owned(),
        total_packages: packages,
        ..Default::default()
    };
    v1::Filing { goods: Some(goods), ..Default::default() }
}

fn fault(line: usize, problem: &str) -> ConvertError {
    ConvertError::Other { format: "manifest".into(), problem: format!("line {line}: {problem}") }
}
// manifest ends

#[test]
fn a_format_of_ones_own_goes_to_every_other_and_back() {
    let text = "SF7700112233;1.95;1\nSF7700112234;12;3\n";
    let read = Manifest.read(text.as_bytes()).unwrap();
    let json = Form::Json.format(None).write(&read).unwrap();
    let again = Form::Json.format(None).read(json.documents[0].1.as_bytes()).unwrap();
    let back = Manifest.write(&again).unwrap();
    assert_eq!((back.documents[0].1.as_str(), back.lost.len()), (text, 0));
    let mut from_elsewhere = again;
    from_elsewhere.filings[0].core = Some(v1::FilingCore::default());
    from_elsewhere.filings[0].goods.as_mut().unwrap().location = "CNHGH".into();
    let lost = Manifest.write(&from_elsewhere).unwrap().lost;
    assert_eq!(lost.iter().map(String::as_str).collect::<Vec<_>>(), ["core", "goods"]);
    let bad = Manifest.read(b"SF1;1;x\nSF2;2\n").unwrap();
    let told: Vec<String> = bad.rejects.iter().map(ToString::to_string).collect();
    let expected = [
        "manifest: line 1: packages is no number",
        "manifest: line 2: allowed: HAWB;kilograms;packages",
    ];
    assert_eq!(told, expected);
    assert!(matches!(whole(Manifest.read(b"").unwrap()), Err(ConvertError::Empty)));
}

/// The document shows this very code.
#[test]
fn the_document_shows_what_is_tried_here() {
    let dir = env!("CARGO_MANIFEST_DIR");
    let code = std::fs::read_to_string(format!("{dir}/tests/it/own_format.rs")).unwrap();
    let (_, rest) = code.split_once("// manifest begins\n").unwrap();
    let (shown, _) = rest.split_once("// manifest ends\n").unwrap();
    let path = format!("{dir}/../../docs/add-a-format.md");
    let document = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("EWTP_WRITE_DOCS").is_some() {
        let (before, rest) = document.split_once("```rust\n").unwrap();
        let (_, after) = rest.split_once("```\n").unwrap();
        std::fs::write(&path, format!("{before}```rust\n{shown}```\n{after}")).unwrap();
        return;
    }
    assert!(document.contains(shown), "docs/add-a-format.md shows other code");
}
