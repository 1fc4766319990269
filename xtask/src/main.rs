//! What developers run: `cargo xtask ci` is all that CI calls; `cargo xtask tidy` checks what a program can of the style;
//! `cargo xtask instructions` counts what the hot functions cost; `cargo xtask cds-schema` makes the table of HMRC's schemas anew,
//! `cargo xtask codelists` the code lists.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers prints")]

mod cds_schema;
mod ceb_schema;
mod codelists;
mod instructions;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The checkout that `cargo xtask` was called in: asked when it runs, since a binary in a shared target directory may have
/// been built in another one.
fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    manifest.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()).join("..")
}

/// What `data` and `vectors` of the corpus stand in.
fn corpus(root: &Path) -> PathBuf {
    std::env::var_os("EWTP_CORPUS").map_or_else(|| root.join("../shared"), PathBuf::from)
}

fn cargo(args: &[&str]) -> Result<(), String> {
    let started = Instant::now();
    println!("\n== cargo {}", args.join(" "));
    let status =
        Command::new("cargo").args(args).current_dir(root()).status().map_err(|e| e.to_string())?;
    println!("== {:.0} s", started.elapsed().as_secs_f32());
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", args.join(" "))) }
}

/// Runs the demo as the README says and checks what it counts.
fn demo() -> Result<(), String> {
    println!("\n== cargo run --release --bin ewtp -- demo --json");
    let output = Command::new("cargo")
        .args(["run", "--release", "--bin", "ewtp", "--", "demo", "--json"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    println!("{last}");
    let score: serde_json::Value =
        serde_json::from_str(last).map_err(|e| format!("the demo's JSON: {e}"))?;
    let number =
        |path: &[&str]| path.iter().fold(&score, |v, k| &v[*k]).as_u64().unwrap_or(u64::MAX);
    let filed = number(&["filed"]);
    let wanted = [
        ("filed", filed > 100),
        ("cleared", number(&["decided", "cleared"]) + number(&["decided", "do_not_load"]) == filed),
        ("do_not_load", number(&["decided", "do_not_load"]) == 1),
        ("info_requests", number(&["info_requests"]) == 1),
        ("restarts", number(&["restarts"]) == 1),
        ("lost", number(&["lost"]) == 0),
        ("doubled", number(&["doubled"]) == 0),
        ("receipts_verified", number(&["receipts_verified"]) >= 10),
        ("conditional", number(&["decided", "conditional"]) == 1),
        ("adopted", number(&["adopted"]) == 1),
        ("released", number(&["released"]) == 1),
        ("amended", number(&["amended"]) == 1),
        ("invalidated", number(&["invalidated"]) == 1),
        ("not_connected", number(&["not_connected"]) == 1),
        ("elapsed_ms", number(&["elapsed_ms"]) < 90_000),
    ];
    match wanted.iter().find(|(_, holds)| !holds) {
        Some((name, _)) => Err(format!("the demo's {name} is wrong")),
        None if output.status.success() => Ok(()),
        None => Err("the demo failed".into()),
    }
}

/// Nothing of the simulation is in what `cargo build` makes: Cargo unites the features of what is built together, so a default
/// member too many would ship bugs that were planted.
fn shipped() -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "--edges", "normal,features", "--prefix", "none"])
        .current_dir(root())
        .output()
        .map_err(|e| e.to_string())?;
    let tree = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !tree.contains("ewtp-store") {
        return Err(format!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    match ["feature \"planted\"", "feature \"simulation\""].iter().find(|f| tree.contains(**f)) {
        Some(found) => Err(format!("what ships is built with {found}: see default-members")),
        None => Ok(()),
    }
}

/// What verifies receipts, evidence and logs can be embedded: without runtime, threads, sockets or files, and for WebAssembly where
/// that target is installed.
fn embeddable() -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "-p", "ewtp-trust", "--edges", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .map_err(|e| e.to_string())?;
    let tree = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !tree.contains("ewtp-log") {
        return Err(format!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let unwanted =
        ["tokio", "mio", "rayon", "rustls", "sled", "rustix", "socket2", "tempfile", "prost"];
    let crates = tree.lines().filter_map(|l| l.split(' ').next());
    if let Some(found) = crates.into_iter().find(|c| unwanted.contains(c)) {
        return Err(format!("ewtp-trust can't be embedded: it needs {found}"));
    }
    let target = "wasm32-unknown-unknown";
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map_err(|e| e.to_string())?.stdout;
    let std = Path::new(String::from_utf8_lossy(&sysroot).trim()).join("lib/rustlib").join(target);
    if std.exists() {
        return cargo(&["build", "--locked", "-p", "ewtp-trust", "--target", target]);
    }
    println!("!!! SKIPPED: {target} is not installed; rustup target add {target} to build for it");
    Ok(())
}

fn ci() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run(&root())?;
    shipped()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    embeddable()?;
    cargo(&["test", "--workspace", "--locked"])?;
    demo()?;
    instructions::run(&root(), false)
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("ci") => ci(),
        Some("tidy") => tidy::run(&root()),
        Some("demo") => demo(),
        Some("instructions") => {
            instructions::run(&root(), std::env::args().any(|a| a == "--record"))
        }
        Some("cds-schema") => cds_schema::run(&root()),
        Some("ceb-schema") => ceb_schema::run(&root()),
        Some("codelists") => codelists::run(&root()),
        _ => {
            Err("usage: cargo xtask ci | tidy | demo | instructions [--record] | cds-schema | ceb-schema | codelists".into())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
