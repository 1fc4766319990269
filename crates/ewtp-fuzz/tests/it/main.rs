//! Two seconds of each fuzz target, with everything else that is tested: as a run of its own it would build its libraries once more.

#[test]
fn no_input_of_two_seconds_breaks_a_parser() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ewtp-fuzz"))
        .args(["--seconds", "2"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("inputs"), "{shown}");
}
