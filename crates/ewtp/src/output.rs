//! Tables for people, JSON for scripts. The one file that prints.
#![expect(clippy::print_stderr, reason = "printing is what it is for")]

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::error::CliError;

pub(crate) struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A table, or the same as JSON.
    pub(crate) fn table(&self, headers: &[&str], rows: &[Vec<String>], json: &Value) {
        if self.json {
            put(&format!("{json}\n"));
            return;
        }
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(headers);
        for row in rows {
            table.add_row(row);
        }
        put(&format!("{table}\n"));
    }

    /// Lines of `name: value`, or the same as JSON.
    pub(crate) fn facts(&self, facts: &[(&str, String)], json: &Value) {
        if self.json {
            put(&format!("{json}\n"));
            return;
        }
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in facts {
            put(&format!("{name:width$}  {value}\n"));
        }
    }

    /// Data as it is.
    pub(crate) fn data(&self, text: &str) {
        put(text);
    }

    /// One JSON line.
    pub(crate) fn json_line(&self, json: &Value) {
        put(&format!("{json}\n"));
    }

    /// A remark for people, on standard error.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Text for people on standard output; with `--json` on standard error.
    pub(crate) fn say(&self, text: &str) {
        if self.json { eprintln!("{text}") } else { put(&format!("{text}\n")) }
    }

    pub(crate) fn error(&self, error: &CliError) {
        let (red, plain) = if self.colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        eprintln!("{red}error{plain}: {error}");
        if let Some(hint) = error.hint() {
            eprintln!("  hint: {hint}");
        }
    }
}

/// Writes to standard output. Who closed it, as `head` does, wants no more: what the command does goes on all the same.
/// Standard output took no more, and not because its reader had enough.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether something could not be written to standard output.
pub(crate) fn is_broken() -> bool {
    put("");
    BROKEN.load(Ordering::Relaxed)
}

fn put(text: &str) {
    let mut out = std::io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let broken = written.is_err_and(|e| e.kind() != std::io::ErrorKind::BrokenPipe);
    if broken && !BROKEN.swap(true, Ordering::Relaxed) {
        eprintln!("error: standard output can't be written to; what it holds isn't whole");
    }
}
