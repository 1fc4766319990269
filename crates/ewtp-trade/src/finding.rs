//! Findings: violations refuse a filing, warnings are kept exactly, counted and shown.

use ewtp_proto::v1;

/// All findings about one filing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Each one refuses the filing.
    pub violations: Vec<v1::Finding>,
    /// Each one is kept.
    pub warnings: Vec<v1::Finding>,
}

/// What is said about one element.
#[derive(Clone, Copy, Debug)]
pub struct Say<'a> {
    /// Stable code.
    pub code: &'static str,
    /// What is allowed.
    pub allowed: &'a str,
    /// How to mend it.
    pub fix: &'a str,
}

impl Findings {
    /// Adds a violation.
    pub fn violation(&mut self, path: &str, value: &str, say: Say<'_>) {
        self.violations.push(finding(path, value, say));
    }

    /// Adds a warning.
    pub fn warning(&mut self, path: &str, value: &str, say: Say<'_>) {
        self.warnings.push(finding(path, value, say));
    }
}

/// One finding.
#[must_use]
pub fn finding(path: &str, value: &str, say: Say<'_>) -> v1::Finding {
    v1::Finding {
        code: say.code.to_owned(),
        path: path.to_owned(),
        wco_path: crate::wco::wco_path(path).unwrap_or_default(),
        value: value.chars().take(80).collect(),
        allowed: say.allowed.to_owned(),
        fix: say.fix.to_owned(),
    }
}

/// One line for people: path, value, what is allowed, how to mend it.
#[must_use]
pub fn line(f: &v1::Finding) -> String {
    let wco = if f.wco_path.is_empty() { String::new() } else { format!(" ({})", f.wco_path) };
    format!("{}: {}{wco} is {:?}; allowed: {}; {}", f.code, f.path, f.value, f.allowed, f.fix)
}
