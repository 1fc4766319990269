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
