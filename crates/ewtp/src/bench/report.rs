//! What was measured: one JSON object a line for scripts, tables for people.

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::output::Output;

/// Figures on their way out.
pub(crate) struct Report<'a> {
    out: &'a Output,
    rows: Vec<Map<String, Value>>,
}

/// Latencies in microseconds, up to a minute, to three digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty one.
    pub(crate) fn new() -> Result<Self, CliError> {
        Histogram::new_with_bounds(1, 60_000_000, 3)
            .map(Self)
            .map_err(|e| CliError::Bench(e.to_string()))
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn at(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile)
    }
}

/// Several runs of one measurement: the median, and how far apart they were.
pub(crate) fn median(mut rates: Vec<f64>) -> (f64, f64) {
    rates.sort_by(f64::total_cmp);
    let middle = rates.get(rates.len() / 2).copied().unwrap_or_default();
    let apart = rates.last().unwrap_or(&0.0) - rates.first().unwrap_or(&0.0);
    (middle, if middle > 0.0 { apart / middle } else { 0.0 })
}

fn command(words: &[&str]) -> String {
    let Some((program, args)) = words.split_first() else { return String::new() };
    let output = std::process::Command::new(program).args(args).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// Kind of file system that holds a directory.
pub(crate) fn file_system(dir: &Path) -> String {
    let text = command(&["df", "--output=fstype", &dir.display().to_string()]);
    text.lines().last().unwrap_or_default().trim().to_owned()
}

fn first_line(file: &str, start: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(start)).unwrap_or_default();
    line.split_once(':').map(|(_, v)| v.trim().to_owned()).unwrap_or_default()
}

impl<'a> Report<'a> {
    pub(crate) fn new(out: &'a Output) -> Self {
        Self { out, rows: Vec::new() }
    }

    /// What the figures were measured on.
    pub(crate) fn machine(&mut self, dir: &Path) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (model, memory) =
            (first_line("/proc/cpuinfo", "model name"), first_line("/proc/meminfo", "MemTotal"));
        let (kernel, disk) = (command(&["uname", "-r"]), file_system(dir));
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        self.out.note(&format!(
            "{cores} cores ({model}), {memory}, kernel {kernel}, {disk}, ewtp {} ({profile})",
            env!("CARGO_PKG_VERSION")
        ));
        if self.out.is_json() {
            self.out.json_line(&json!({
                "bench": "machine", "cores": cores, "model": model, "memory": memory,
                "kernel": kernel, "file_system": disk, "version": env!("CARGO_PKG_VERSION"),
                "profile": profile,
            }));
        }
    }

    /// One line as it is, for other tools.
    pub(crate) fn line(&self, line: &Value) {
        self.out.json_line(line);
    }

    /// A measurement.
    pub(crate) fn row(&mut self, row: Value) {
        let Value::Object(row) = row else { return };
        if self.out.is_json() {
            self.out.json_line(&Value::Object(row.clone()));
        } else {
            let text: Vec<String> = row.iter().map(|(k, v)| format!("{k} {}", shown(v))).collect();
            self.out.note(&text.join(", "));
        }
        self.rows.push(row);
    }

    /// A floor that was measured before.
    pub(crate) fn floor(&self, name: &str) -> Option<f64> {
        let row = self.rows.iter().rev().find(|r| r["bench"] == "floor" && r["name"] == name)?;
        row.get("per_s").and_then(Value::as_f64)
    }

    /// Tables of what was measured, one a kind.
    pub(crate) fn table(&self) {
        if self.out.is_json() {
            return;
        }
        let mut kinds: Vec<&Value> = self.rows.iter().map(|r| &r["bench"]).collect();
        kinds.dedup();
        for kind in kinds {
            let rows: Vec<_> = self.rows.iter().filter(|r| r["bench"] == *kind).collect();
            let mut columns: Vec<&str> = Vec::new();
            for key in rows.iter().flat_map(|r| r.keys()).filter(|k| *k != "bench") {
                if !columns.contains(&key.as_str()) {
                    columns.push(key);
                }
            }
            let cells = |r: &&Map<String, Value>| {
                columns.iter().map(|c| r.get(*c).map(shown).unwrap_or_default()).collect()
            };
            self.out.say(&format!("\n{}", kind.as_str().unwrap_or_default()));
            let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
            self.out.table(&columns, &cells, &Value::Null);
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() && f.abs() < 100.0 => format!("{f:.2}"),
            Some(f) => thousands(f),
            None => n.to_string(),
        },
        other => other.to_string(),
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && c.is_ascii_digit() {
            out.push(',');
        }
        out.push(c);
    }
    out
}
