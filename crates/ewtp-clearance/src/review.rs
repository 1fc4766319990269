//! A second look at a ruleset before it is published: types, facts that may be missing, rules that can't fire or never matter.
//!
//! Publication refuses what can't run at all; this finds what runs and isn't meant. It is static: it doesn't need cases.

mod overlap;
mod types;
mod words;

use crate::ruleset::Ruleset;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Every evaluation that comes there fails: an officer's task, always.
    Fault,
    /// It is probably not meant.
    Remark,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How bad.
    pub severity: Severity,
    /// The rule.
    pub rule: String,
    /// What, and what to do.
    pub what: String,
}

/// Looks at all rules of a ruleset, in their order.
#[must_use]
pub fn review(ruleset: &Ruleset) -> Vec<Found> {
    let mut out = Vec::new();
    for rule in &ruleset.rules {
        let typed = types::check(rule.when.program().expression(), ruleset);
        let faults = typed.faults.into_iter().map(|what| (Severity::Fault, what));
        let unguarded = typed.unguarded.into_iter().map(|path| {
            let what = format!(
                "{path} may be missing: then the rule is an officer's task; ask has({path}) before"
            );
            (Severity::Remark, what)
        });
        let id = rule.id.clone();
        let found = |(severity, what)| Found { severity, rule: id.clone(), what };
        out.extend(faults.chain(unguarded).map(found));
    }
    out.extend(overlap::unreachable(ruleset));
    out.extend(overlap::overlapping(ruleset));
    out
}
