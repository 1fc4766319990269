//! `ewtp convert`, as scripts use it.

use std::path::Path;
use std::process::Command;

use tempfile::tempdir;

fn convert(args: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ewtp")).arg("convert").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn exit_codes_tell_kept_lost_and_refused() {
    let dir = tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ewtp-formats/tests/samples");
    let xml = samples.join("export.xml");
    let (code, json, _) = convert(&["--from", "cds", "--to", "json", xml.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let file = dir.path().join("export.json");
    std::fs::write(&file, &json).unwrap();
    let out = dir.path().join("out");
    let out_dir = out.to_str().unwrap();
    let back = ["--from", "json", "--to", "cds", "--out-dir", out_dir, file.to_str().unwrap()];
    assert_eq!(convert(&back), (Some(0), String::new(), String::new()));
    let written = std::fs::read_to_string(out.join("export.xml")).unwrap();
    assert!(written.contains("<ID>CONU1234567</ID>"));

    // Nothing is written over.
    let (code, _, told) = convert(&back);
    assert_eq!((code, told.contains("is there already")), (Some(2), true), "{told}");
    std::fs::remove_file(out.join("export.xml")).unwrap();

    let with_class = json.replacen("\"lrn\":", "\"retention_class\": \"standard\", \"lrn\":", 1);
    std::fs::write(&file, with_class).unwrap();
    let (code, _, told) = convert(&back);
    assert_eq!(
        (code, told.trim_end().ends_with("core.retention_class")),
        (Some(3), true),
        "{told}"
    );

    let mut cut = std::fs::read_to_string(&xml).unwrap();
    cut.truncate(cut.len() / 2);
    let file = dir.path().join("cut.xml");
    std::fs::write(&file, cut).unwrap();
    let (code, _, told) = convert(&["--from", "cds", "--to", "json", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(told.contains("cut.xml: line") && told.contains("not well-formed"), "{told}");
}

#[test]
fn messages_of_one_parcel_are_joined_over_files_and_contradictions_are_told() {
    let dir = tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/ceb");
    let payment = std::fs::read_to_string(samples.join("payment.xml")).unwrap();
    let other = dir.path().join("payment.xml");
    std::fs::write(&other, payment.replace("林小满", "陈大暑")).unwrap();
    let order = samples.join("order.xml");
    let files = [order.to_str().unwrap(), other.to_str().unwrap()];
    let (code, json, told) = convert(&[&["--from", "ceb", "--to", "json"], &files[..]].concat());
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        told.trim(),
        "contradiction: filing YS20261103000417: core.importer_name is 林小满, CEB411 says 陈大暑"
    );
    let parcel = dir.path().join("parcel.json");
    std::fs::write(&parcel, json).unwrap();
    let parcel = parcel.to_str().unwrap();
    let (code, _, told) = convert(&["--from", "json", "--to", "ceb", parcel]);
    assert_eq!(code, Some(2), "two messages are two documents: {told}");
    let out = dir.path().join("out");
    let to = ["--from", "json", "--to", "ceb", parcel, "--out-dir", out.to_str().unwrap()];
    assert_eq!(convert(&to), (Some(0), String::new(), String::new()));
    let again = std::fs::read_to_string(out.join("parcel-CEB411-2.xml")).unwrap();
    assert!(again.contains("<ceb:payerName>陈大暑</ceb:payerName>"));
    // CDS has no place for what China alone has; that is told.
    let cds = ["--from", "json", "--to", "cds", parcel];
    let (code, _, told) = convert(&cds);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("lost:") && told.contains("carried CEB311/OrderHead/discount"), "{told}");
}

/// More rows than a piece of them has, over two files: the names of columns stand once, and what is broken at the end costs the end.
#[test]
fn tables_go_through_piece_by_piece_with_one_head() {
    let dir = tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples");
    let orders = std::fs::read_to_string(samples.join("shop-orders.csv")).unwrap();
    let (head, rows) = orders.split_once('\n').unwrap();
    let many = dir.path().join("many.csv");
    // The first two rows are good.
    let good: String = rows.split_inclusive('\n').take(2).collect();
    std::fs::write(&many, format!("{head}\n{}", good.repeat(1250))).unwrap();
    let mapping = samples.join("shop.mapping.toml");
    let (many, mapping) = (many.to_str().unwrap(), mapping.to_str().unwrap());
    let lines = |text: &str, with: &str| text.lines().filter(|l| l.contains(with)).count();

    let (code, json, told) =
        convert(&["--from", "csv", "--to", "json", "--mapping", mapping, many, many]);
    let made = lines(&json, "\"lrn\":");
    assert!(code != Some(1) && made == 5000, "{made}: {told}");
    let whole = dir.path().join("whole.json");
    std::fs::write(&whole, &json).unwrap();
    let whole = whole.to_str().unwrap();
    let (_, table, _) =
        convert(&["--from", "json", "--to", "csv", "--mapping", mapping, whole, whole]);
    let first = table.lines().next().unwrap();
    assert_eq!(table.lines().filter(|l| *l == first).count(), 1);
    assert_eq!(table.lines().count(), 2 * made + 1);

    let out = dir.path().join("out");
    let to_dir = ["--from", "json", "--to", "json", "--out-dir", out.to_str().unwrap()];
    std::fs::write(dir.path().join("cut.json"), json.trim_end().trim_end_matches('}')).unwrap();
    let cut = dir.path().join("cut.json");
    let (code, _, told) = convert(&[&to_dir[..], &[cut.to_str().unwrap()]].concat());
    let line = format!("line {}", json.trim_end().lines().count());
    assert_eq!((code, told.contains(&line)), (Some(1), true), "{told}");
    let kept = std::fs::read_to_string(out.join("cut.json")).unwrap();
    assert_eq!(lines(&kept, "\"lrn\":"), made - 1);
}
