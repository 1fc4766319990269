//! `cargo xtask instructions`: how many instructions the pure hot functions take, counted by callgrind, beside a recorded
//! baseline. Counts move with the code, the compiler and the crates, and with nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The baseline: counts, and the compiler that they were recorded with.
const BASELINE: &str = "tests/instructions.json";
/// How far a count may rise. Hash maps seeded anew in each process move the counts of `decide` by a few thousandths, and a
/// crate's patch release moves others by a few hundredths; what a person would call slower is more than this.
const TOLERANCE: f64 = 0.05;
/// Another compiler inlines otherwise: it is told, and only what is far off fails.
const TOLERANCE_OTHER_COMPILER: f64 = 0.20;

/// Counts all functions; compares with the baseline or records it anew.
pub(crate) fn run(root: &Path, record: bool) -> Result<(), String> {
    let valgrind = Command::new("valgrind").arg("--version").output();
    if valgrind.is_err() {
        return Err("valgrind is not installed: apt-get install valgrind".into());
    }
    let program = build(root)?;
    let compiler = output(Command::new("rustc").arg("--version"))?.trim().to_owned();
    let mut counts = BTreeMap::new();
    for name in output(&mut Command::new(&program))?.lines() {
        counts.insert(name.to_owned(), count(&program, name)?);
    }
    let path = root.join(BASELINE);
    if record {
        let text = serde_json::json!({"compiler": compiler, "instructions": counts});
        let text = serde_json::to_string_pretty(&text).map_err(|e| e.to_string())?;
        return std::fs::write(&path, text + "\n").map_err(|e| format!("{BASELINE}: {e}"));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{BASELINE}: {e}"))?;
    let baseline: Value = serde_json::from_str(&text).map_err(|e| format!("{BASELINE}: {e}"))?;
    compare(&baseline, &compiler, &counts)
}

/// The bench program of `ewtp-clearance`, as Cargo names it.
fn build(root: &Path) -> Result<PathBuf, String> {
    let text = output(Command::new("cargo").current_dir(root).args([
        "bench",
        "--quiet",
        "--locked",
        "--package",
        "ewtp-clearance",
        "--bench",
        "instructions",
        "--no-run",
        "--message-format=json",
    ]))?;
    let built = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let mut built = built.filter(|m| m["target"]["name"] == "instructions");
    let executable = built.next_back();
    let executable = executable.as_ref().and_then(|m| m["executable"].as_str());
    executable.map(PathBuf::from).ok_or_else(|| "cargo named no bench program".into())
}

fn output(command: &mut Command) -> Result<String, String> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !out.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs one function under callgrind; what is counted is what `counted` calls.
fn count(program: &Path, name: &str) -> Result<u64, String> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted*", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg(name)
        .output()
        .map_err(|e| e.to_string())?;
    let told = String::from_utf8_lossy(&out.stderr);
    let line = told.lines().find_map(|l| l.split_once("Collected : ")).map(|(_, n)| n.trim());
    let count = line.and_then(|n| n.parse().ok()).filter(|n| *n > 0 && out.status.success());
    count.ok_or_else(|| format!("callgrind counted nothing for {name}: {told}"))
}

#[expect(clippy::print_stdout, reason = "a tool for developers prints")]
fn compare(baseline: &Value, compiler: &str, counts: &BTreeMap<String, u64>) -> Result<(), String> {
    let same = baseline["compiler"] == compiler;
    let tolerance = if same { TOLERANCE } else { TOLERANCE_OTHER_COMPILER };
    if !same {
        println!("recorded with {}, this is {compiler}", baseline["compiler"]);
    }
    let mut risen = Vec::new();
    println!("{:<16} {:>12} {:>12} {:>8}", "function", "baseline", "now", "change");
    for (name, now) in counts {
        let before = baseline["instructions"][name].as_u64();
        let before = before.ok_or_else(|| format!("{name} has no baseline: {RECORD}"))?;
        let change = *now as f64 / before as f64 - 1.0;
        println!("{name:<16} {before:>12} {now:>12} {:>+7.1}%", change * 100.0);
        if change > tolerance {
            risen.push(name.as_str());
        } else if change < -tolerance {
            println!("  {name} takes fewer instructions than recorded; keep it so: {RECORD}");
        }
    }
    let recorded = baseline["instructions"].as_object();
    if let Some(gone) = recorded.into_iter().flatten().find(|(name, _)| !counts.contains_key(*name))
    {
        return Err(format!("{} is recorded and no longer counted; {RECORD}", gone.0));
    }
    if risen.is_empty() {
        return Ok(());
    }
    let (names, allowed) = (risen.join(", "), tolerance * 100.0);
    Err(format!(
        "more than {allowed:.0}% more instructions in {names}; where that is meant, {RECORD}, and say why in the commit"
    ))
}

const RECORD: &str = "record it: cargo xtask instructions --record";
