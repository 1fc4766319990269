//! What may be said next about a case, by what its hub knows of it: looked at before a statement is logged, so that each
//! track is a sequence that makes sense. Who may say it is asked elsewhere.

use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1;
use v1::{ConditionOutcome, DecisionCode, Effect, EventCode, FilingType, GoodsState};

use crate::case::{
    adoption, counting_decision, filing, goods, goods_released, hub, is_completed, is_invalidated,
    kind, leading_filing, outcome,
};
use crate::release::needs;

/// An act that somebody wants to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// The next version of a filing.
    Amend {
        /// Filing.
        filing: &'a str,
    },
    /// Withdrawal of a filing.
    Invalidate {
        /// Filing.
        filing: &'a str,
    },
    /// Adoption of a version of an advance filing.
    Adopt {
        /// Filing.
        filing: &'a str,
        /// Version.
        version: u32,
    },
    /// A decision.
    Decide {
        /// Filing.
        filing: &'a str,
        /// Version.
        version: u32,
        /// Effect.
        effect: Effect,
        /// Code.
        code: DecisionCode,
        /// Release though something is missing: an officer's act in the stated degraded mode.
        contingency: bool,
    },
    /// A question about a version of a filing.
    Ask {
        /// Filing.
        filing: &'a str,
        /// Version.
        version: u32,
    },
    /// Outcome of a condition.
    Settle {
        /// Decision that imposed it.
        decision: &'a [u8],
        /// Its id.
        condition: &'a str,
        /// Outcome.
        outcome: ConditionOutcome,
    },
    /// An event on this hub's ground.
    Happen {
        /// What happened.
        code: EventCode,
    },
}

/// Why an act can't be logged now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: allowed is {allowed}; {fix}")]
pub struct Untimely {
    /// Stable code.
    pub code: &'static str,
    /// What is allowed.
    pub allowed: String,
    /// What to do.
    pub fix: &'static str,
}

fn untimely(code: &'static str, allowed: impl Into<String>, fix: &'static str) -> Untimely {
    Untimely { code, allowed: allowed.into(), fix }
}

/// Looks whether an act makes sense now, at the hub `me`.
///
/// # Errors
/// [`Untimely`].
pub fn check(case: &CaseRecord, me: &str, act: Act<'_>) -> Result<(), Untimely> {
    match act {
        Act::Amend { filing } => amend(case, me, known(case, filing)?),
        Act::Invalidate { filing } => invalidate(case, me, known(case, filing)?),
        Act::Adopt { filing, version } => adopt(case, me, known(case, filing)?, version),
        Act::Decide { filing, version, effect, code, contingency } => {
            let filing = assessed_here(case, me, known(case, filing)?, version)?;
            decide(case, filing, effect, code, contingency)
        }
        Act::Ask { filing, version } => {
            let filing = assessed_here(case, me, known(case, filing)?, version)?;
            not_released(case, filing)
        }
        Act::Settle { decision, condition, outcome } => {
            settle(case, me, decision, condition, outcome)
        }
        Act::Happen { code } => happen(case, me, code),
    }
}

fn known<'a>(case: &'a CaseRecord, id: &str) -> Result<&'a FilingRecord, Untimely> {
    filing(case, id).ok_or_else(|| {
        untimely("filing-unknown", "a filing of this case", "show the case: ewtp case show")
    })
}

fn own<'a>(me: &str, filing: &'a FilingRecord) -> Result<&'a FilingRecord, Untimely> {
    let at = hub(filing.stands.as_ref());
    if at == me {
        return Ok(filing);
    }
    Err(untimely("filing-elsewhere", format!("at {at}, where it was filed"), "say it there"))
}

fn stands<'a>(case: &CaseRecord, filing: &'a FilingRecord) -> Result<&'a FilingRecord, Untimely> {
    if is_invalidated(case, filing) {
        return Err(untimely("invalidated", "a filing that stands", "file a new one"));
    }
    Ok(filing)
}

fn not_released(case: &CaseRecord, filing: &FilingRecord) -> Result<(), Untimely> {
    if kind(filing) != FilingType::Export && goods_released(case) {
        let fix = "the goods are released: what is wrong with them is settled at the destination";
        return Err(untimely("released", "a case whose goods are not released", fix));
    }
    Ok(())
}

fn amend(case: &CaseRecord, me: &str, filing: &FilingRecord) -> Result<(), Untimely> {
    not_released(case, stands(case, own(me, filing)?)?)
}

fn invalidate(case: &CaseRecord, me: &str, filing: &FilingRecord) -> Result<(), Untimely> {
    let filing = stands(case, own(me, filing)?)?;
    not_released(case, filing)?;
    if adoption(case, filing).is_some() {
        let fix = "ask the declarant at the destination to withdraw the import filing first";
        return Err(untimely("adopted", "an advance filing that nobody adopted", fix));
    }
    Ok(())
}

fn version_is_newest(filing: &FilingRecord, version: u32) -> Result<(), Untimely> {
    if filing.version == version {
        return Ok(());
    }
    let allowed = format!("version {}, the newest", filing.version);
    Err(untimely("version", allowed, "look at the newest version first: ewtp case show"))
}

fn adopt(case: &CaseRecord, me: &str, filing: &FilingRecord, version: u32) -> Result<(), Untimely> {
    if kind(filing) != FilingType::Advance || filing.partial {
        let fix = "a partial filing is completed first; others are not adopted";
        return Err(untimely("filing-type", "a complete advance filing", fix));
    }
    assessed_here(case, me, filing, version)?;
    not_released(case, filing)?;
    if adoption(case, filing).is_some_and(|a| a.filing_version == version) {
        let fix = "show the case: ewtp case show";
        return Err(untimely("adopted", "a version that nobody adopted", fix));
    }
    Ok(())
}

fn assessed_here<'a>(
    case: &CaseRecord,
    me: &str,
    filing: &'a FilingRecord,
    version: u32,
) -> Result<&'a FilingRecord, Untimely> {
    if filing.assessed_by != me {
        let allowed = format!("at {}, which assesses it", filing.assessed_by);
        return Err(untimely("assessed-elsewhere", allowed, "leave it to that hub"));
    }
    version_is_newest(filing, version)?;
    if is_completed(case, filing) {
        let fix = "decide on the filing that completed it";
        return Err(untimely("completed", "a filing that none has completed", fix));
    }
    stands(case, filing)
}

/// Codes that each effect may have.
#[must_use]
pub fn codes_of(effect: Effect) -> &'static [DecisionCode] {
    use DecisionCode::{
        Clear, ClearConditional, ClearPostAudit, Detain, Dnl, DocControl, Hold, NoAction,
        PhysControl, Refuse, Release, Revoke, ScanControl, Seize,
    };
    match effect {
        Effect::Security => {
            &[Clear, ScanControl, PhysControl, DocControl, Hold, Dnl, NoAction, Revoke]
        }
        Effect::Admissibility => &[
            Clear,
            ClearConditional,
            ClearPostAudit,
            DocControl,
            ScanControl,
            PhysControl,
            Hold,
            Refuse,
            NoAction,
            Revoke,
        ],
        Effect::Fiscal => {
            &[Clear, ClearConditional, ClearPostAudit, DocControl, Hold, Refuse, NoAction, Revoke]
        }
        Effect::Release => &[Release, Hold, Detain, Seize, Refuse, Revoke],
        Effect::Unspecified => &[],
    }
}

fn decide(
    case: &CaseRecord,
    filing: &FilingRecord,
    effect: Effect,
    code: DecisionCode,
    contingency: bool,
) -> Result<(), Untimely> {
    if !codes_of(effect).contains(&code) {
        let names: Vec<&str> = codes_of(effect)
            .iter()
            .map(|c| c.as_str_name().trim_start_matches("DECISION_CODE_"))
            .collect();
        return Err(untimely("decision-code", names.join(", "), "choose a code of that effect"));
    }
    let before = counting_decision(case, filing, effect);
    let revoked = before.is_some_and(|d| d.code == DecisionCode::Revoke as i32);
    if code == DecisionCode::Revoke && (before.is_none() || revoked) {
        let fix = "decide on the effect itself";
        return Err(untimely("nothing-to-revoke", "an effect that is decided", fix));
    }
    // After release a revocation opens a check, and what follows it closes the check again.
    if code != DecisionCode::Revoke && !revoked {
        not_released(case, filing)?;
    }
    if code == DecisionCode::Release && !contingency {
        let missing: Vec<String> = needs(case)
            .iter()
            .map(|n| n.what.as_str_name().trim_start_matches("RELEASE_NEED_").to_ascii_lowercase())
            .collect();
        if !missing.is_empty() {
            let fix = "see what release still needs: ewtp case show";
            let allowed = format!("once these are there: {}", missing.join(", "));
            return Err(untimely("release-needs", allowed, fix));
        }
    }
    Ok(())
}

fn settle(
    case: &CaseRecord,
    me: &str,
    decision: &[u8],
    condition: &str,
    next: ConditionOutcome,
) -> Result<(), Untimely> {
    let imposed = case.decisions.iter().find(|d| {
        d.stands.as_ref().is_some_and(|s| s.commitment == decision && s.hub == me)
            && d.conditions.iter().any(|c| c == condition)
    });
    let Some(imposed) = imposed else {
        let fix = "show the case: ewtp case show";
        return Err(untimely("condition-unknown", "a condition that this hub imposed", fix));
    };
    match (outcome(case, imposed, condition), next) {
        (_, ConditionOutcome::Unspecified) => {
            Err(untimely("outcome", "met, waived or failed", "say which"))
        }
        // What failed may still be waived or met late; what is settled stays.
        (ConditionOutcome::Unspecified, _)
        | (ConditionOutcome::Failed, ConditionOutcome::Met | ConditionOutcome::Waived) => Ok(()),
        (now, _) => {
            let name = now.as_str_name().trim_start_matches("CONDITION_OUTCOME_");
            let allowed = format!("an open condition; this one is {}", name.to_ascii_lowercase());
            Err(untimely("condition-settled", allowed, "nothing is left to do"))
        }
    }
}

/// What may happen to goods in a state, on one hub's ground.
#[must_use]
pub fn may_follow(state: GoodsState, code: EventCode) -> bool {
    use EventCode as E;
    use GoodsState as G;
    match code {
        E::Departed => {
            matches!(state, G::Expected | G::Presented | G::UnderControl | G::Released | G::Exited)
        }
        E::Incident => matches!(state, G::Expected | G::Departed | G::Incident),
        E::Arrived => matches!(state, G::Expected | G::Departed | G::Incident),
        E::Presented => matches!(state, G::Expected | G::Arrived | G::Departed | G::Incident),
        E::Inspected | E::Held | E::Detained | E::Seized | E::Returned | E::Destroyed => {
            matches!(state, G::Presented | G::UnderControl | G::Held | G::Detained | G::Arrived)
                || (state == G::Seized && matches!(code, E::Returned | E::Destroyed))
        }
        E::Released => matches!(state, G::Presented | G::UnderControl | G::Held | G::Detained),
        E::Exited => matches!(state, G::Expected | G::Presented | G::UnderControl | G::Released),
        E::SealsChecked | E::Resealed => {
            !matches!(state, G::Seized | G::Destroyed | G::Returned | G::Unspecified)
        }
        E::GuaranteeReleased => {
            matches!(state, G::Released | G::Exited | G::Returned | G::Destroyed)
        }
        E::TimeLimitPassed
        | E::AnswerOverdue
        | E::RuleError
        | E::DecisionOverdue
        | E::Unspecified => false,
    }
}

fn happen(case: &CaseRecord, me: &str, code: EventCode) -> Result<(), Untimely> {
    let state = goods(case, me);
    if !may_follow(state, code) {
        let name = state.as_str_name().trim_start_matches("GOODS_STATE_").to_ascii_lowercase();
        let allowed = format!("what may follow on goods that are {name} here");
        return Err(untimely("goods-state", allowed, "show the case: ewtp case show"));
    }
    let at_destination = leading_filing(case).is_some_and(|f| f.assessed_by == me);
    if code == EventCode::Released && at_destination {
        let fix = "release by a decision: ewtp desk release";
        return Err(untimely("release-needs", "a decision of effect release", fix));
    }
    Ok(())
}
