//! What a program can check of the style: crate arrows, file sizes, headers, banned crates, links in documents.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, lines. Past 500 look for the second idea; past this it fails.
const LINES_MAX: usize = 650;

/// Crates in order: each may use only those before it.
const ORDER: &[&str] = &[
    // First, since it links nothing of what it measures.
    "ewtp-ground-truth",
    "ewtp-proto",
    "ewtp-log",
    "ewtp-trust",
    "ewtp-tls",
    "ewtp-trade",
    "ewtp-clearance",
    "ewtp-formats",
    "ewtp-store",
    "ewtp-hub",
    "ewtp-fuzz",
    "ewtpd",
    "ewtp-testnet",
    "ewtp-risk-engine",
    "ewtp",
];

fn files(dir: &Path, extension: &str, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let hidden =
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.') || n == "target");
        if path.is_dir() && !hidden {
            files(&path, extension, out);
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
}

pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut faults = Vec::new();
    arrows(root, &mut faults);
    sources(root, &mut faults);
    links(root, &mut faults);
    banned(root, &mut faults);
    pure(root, &mut faults);
    if faults.is_empty() {
        println!("tidy: good");
        return Ok(());
    }
    faults.iter().for_each(|f| eprintln!("tidy: {f}"));
    Err(format!("tidy found {} faults", faults.len()))
}

/// A crate uses only crates above it in the table of docs/architecture.md.
fn arrows(root: &Path, faults: &mut Vec<String>) {
    for (place, name) in ORDER.iter().enumerate() {
        let manifest = fs::read_to_string(root.join("crates").join(name).join("Cargo.toml"))
            .unwrap_or_default();
        let uses = manifest.lines().filter_map(|l| l.strip_suffix(".workspace = true"));
        for used in uses.filter(|u| ORDER.contains(u)) {
            let below = ORDER.iter().position(|n| *n == used).is_some_and(|at| at >= place);
            if below || used == "ewtpd" {
                faults.push(format!("{name} may not use {used}"));
            }
        }
    }
}

fn sources(root: &Path, faults: &mut Vec<String>) {
    let mut all = Vec::new();
    files(&root.join("crates"), "rs", &mut all);
    files(&root.join("xtask"), "rs", &mut all);
    for path in all {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{name} has {lines} lines; at most {LINES_MAX}"));
        }
        let is_test = name.contains("/tests/");
        if !is_test && !text.starts_with("//!") {
            faults.push(format!("{name} has no header that says what it is"));
        }
        if name.ends_with("mod.rs") {
            faults.push(format!("{name}: a module is a file of its own name"));
        }
        for word in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"] {
            if text.contains(word) && !name.starts_with("xtask") {
                faults.push(format!("{name} contains {word}"));
            }
        }
    }
}

/// Relative links in documents lead somewhere.
fn links(root: &Path, faults: &mut Vec<String>) {
    let mut all = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    files(&root.join("docs"), "md", &mut all);
    for path in all {
        let Ok(text) = fs::read_to_string(&path) else {
            faults.push(format!("{} is missing", path.display()));
            continue;
        };
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = target.starts_with("http") || file.is_empty();
            if !outside && !path.parent().unwrap_or(root).join(file).exists() {
                faults.push(format!("{} links to {target}, which isn't there", path.display()));
            }
        }
    }
}

fn banned(root: &Path, faults: &mut Vec<String>) {
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    for name in ["openssl", "native-tls"] {
        if lock.contains(&format!("name = \"{name}\"")) {
            faults.push(format!("Cargo.lock holds {name}"));
        }
    }
}

/// The pure cores read no file, no socket and no clock, and start no thread: what they conclude depends on their arguments alone.
fn pure(root: &Path, faults: &mut Vec<String>) {
    for name in ["ewtp-log", "ewtp-trust", "ewtp-trade", "ewtp-clearance"] {
        let mut all = Vec::new();
        files(&root.join("crates").join(name).join("src"), "rs", &mut all);
        for path in all {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for word in [
                "std::fs",
                "std::net",
                "std::thread",
                "std::env",
                "SystemTime",
                "Instant::now",
                "Timestamp::now",
            ] {
                if text.contains(word) {
                    faults.push(format!("{} uses {word}: {name} is pure", path.display()));
                }
            }
        }
    }
}
