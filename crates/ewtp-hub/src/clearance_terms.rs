//! What a decision or question takes from the public ruleset in force, where the officer or system says nothing else.

use ewtp_clearance::Ruleset;
use ewtp_proto::v1;

use crate::desk::ruleset_refs;
use crate::shared::Shared;

/// Terms of now.
pub(crate) struct Terms {
    /// The public ruleset in force, by digest: the reasons' texts stand there.
    pub(crate) rulesets: Vec<v1::RulesetRef>,
    /// Law or arrangement.
    pub(crate) legal_basis: String,
    /// How long a decision is good, milliseconds.
    pub(crate) validity_ms: i64,
    /// Time to answer, milliseconds.
    pub(crate) answer_within_ms: i64,
}

/// How long a decision is good while no ruleset says so, days.
const VALIDITY_DAYS: i64 = 30;
/// Time to answer while no ruleset says so, hours.
const ANSWER_HOURS: i64 = 24;

impl Terms {
    /// A reason whose texts stand in that ruleset, if it names no other.
    pub(crate) fn name_of(&self, mut reason: v1::Reason) -> v1::Reason {
        if reason.ruleset.is_empty() {
            reason.ruleset = self.rulesets.first().map(|r| r.name.clone()).unwrap_or_default();
        }
        reason
    }

    /// The same for a list.
    pub(crate) fn named(&self, reasons: &[v1::Reason]) -> Vec<v1::Reason> {
        reasons.iter().cloned().map(|r| self.name_of(r)).collect()
    }

    pub(crate) fn now(shared: &Shared, now_ms: i64) -> Self {
        let directory = shared.directory.load();
        let public: Option<&Ruleset> = directory.ruleset_at(now_ms, false).map(|r| &**r);
        let rulesets: Vec<&Ruleset> = public.into_iter().collect();
        let days = public.map_or(VALIDITY_DAYS, |r| i64::from(r.validity_days));
        let hours = public.map_or(ANSWER_HOURS, |r| i64::from(r.answer_within_hours));
        Self {
            rulesets: ruleset_refs(&rulesets),
            legal_basis: public.map(|r| r.legal_basis.clone()).unwrap_or_default(),
            validity_ms: days * 86_400_000,
            answer_within_ms: hours * 3_600_000,
        }
    }
}
