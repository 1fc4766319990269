//! What a case has of a statement that is erased: where it stands is kept, and that it was there; what it said is not.

use ewtp_proto::store::v1::{CaseRecord, FilingRecord, ForgottenRecord, Locator, Stands};
use ewtp_proto::v1::CaseState;

use crate::case::state;

/// A statement of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidIn {
    /// Where it stands.
    pub stands: Stands,
    /// Its kind; `refused` for one that is not honoured here, of whatever kind it is.
    pub kind: &'static str,
    /// Filing that it is a version of, or is about; empty where it is about the goods, or nothing known.
    pub filing_id: String,
}

/// All statements of a case that hold what somebody gave or was told, oldest kinds first; routes too. Erasures and keepings are not
/// among them: they hold positions and rules, and stay. Nor are events that select many cases: they belong to none.
#[must_use]
pub fn said_in(case: &CaseRecord) -> Vec<SaidIn> {
    let mut out = Vec::new();
    let mut add = |kind, stands: Option<&Stands>, filing_id: &str| {
        let filing_id = filing_id.to_owned();
        out.extend(stands.cloned().map(|stands| SaidIn { stands, kind, filing_id }));
    };
    let is = |stands: Option<&Stands>, commitment: &[u8]| {
        stands.is_some_and(|s| s.commitment == commitment)
    };
    let asked = |request: &[u8]| case.requests.iter().find(|r| is(r.stands.as_ref(), request));
    let decided = |by: &[u8]| case.decisions.iter().find(|d| is(d.stands.as_ref(), by));
    for filing in &case.filings {
        for stands in filing.earlier.iter().chain(&filing.stands) {
            add("filing", Some(stands), &filing.filing_id);
        }
    }
    for i in &case.invalidations {
        add("invalidation", i.stands.as_ref(), &i.filing_id);
    }
    for a in &case.adoptions {
        add("adoption", a.stands.as_ref(), &a.filing_id);
    }
    for d in &case.decisions {
        add("decision", d.stands.as_ref(), &d.filing_id);
    }
    for r in &case.requests {
        add("info-request", r.stands.as_ref(), &r.filing_id);
    }
    for a in &case.answers {
        let about = asked(&a.request).map(|r| r.filing_id.as_str());
        add("info-answer", a.stands.as_ref(), about.unwrap_or_default());
    }
    for o in &case.outcomes {
        let about = decided(&o.decision).map(|d| d.filing_id.as_str());
        add("condition-outcome", o.stands.as_ref(), about.unwrap_or_default());
    }
    for r in &case.routes {
        add("route", r.stands.as_ref(), &r.filing_id);
    }
    for e in case.events.iter().filter(|e| !e.selects) {
        add("event", e.stands.as_ref(), &e.filing_id);
    }
    for r in &case.refusals {
        add("ack", r.stands.as_ref(), "");
        add("refused", r.refused.as_ref(), "");
    }
    out
}

/// Numbers of the erased statements of a kind and subject, whoever said them: the next one is numbered behind them, since an
/// identity is used once.
pub fn erased_numbers<'a>(
    case: &'a CaseRecord,
    kind: &'a str,
    subject: &'a str,
) -> impl Iterator<Item = u64> + 'a {
    let whole = case.forgotten.iter().filter(|f| f.parts.is_empty());
    whole.filter(move |f| f.kind == kind && f.subject == subject).map(|f| f.number)
}

/// Whether the business of a case is over, so that an order from elsewhere may end what was said in it.
#[must_use]
pub fn is_over(case: &CaseRecord, at_ms: u64) -> bool {
    use CaseState::{Destroyed, Invalidated, Lapsed, Released, Returned};
    let over = [Destroyed, Invalidated, Lapsed, Released, Returned];
    case.filings.is_empty() || over.contains(&state(case, at_ms))
}

/// Takes out of a case what it has of the statement at a place; nothing named: all of it.
pub fn forget(case: &mut CaseRecord, at: &Locator, parts: &[String]) {
    if parts.is_empty() {
        without(case, at);
    } else {
        for filing in case.filings.iter_mut().filter(|f| stands_at(f.stands.as_ref(), at)) {
            without_parts(filing, parts);
        }
    }
    // A refusal quotes what it refuses.
    for reason in case.refusals.iter_mut().flat_map(|r| &mut r.reasons) {
        reason.value.clear();
    }
}

/// Whether a case is only a shell: everything that was said in it is erased.
#[must_use]
pub fn is_forgotten(case: &CaseRecord) -> bool {
    !case.forgotten.is_empty() && said_in(case).iter().all(|s| s.kind == "route")
}

/// Notes that a statement was erased, whole or in part.
pub fn note(case: &mut CaseRecord, record: ForgottenRecord) {
    let known = case.forgotten.iter_mut().find(|f| f.stands == record.stands);
    match known {
        Some(known) => {
            let whole = known.parts.is_empty() || record.parts.is_empty();
            let mut parts = std::mem::take(&mut known.parts);
            parts.extend(record.parts.iter().cloned());
            parts.sort();
            parts.dedup();
            *known = ForgottenRecord { parts: if whole { Vec::new() } else { parts }, ..record };
        }
        None => case.forgotten.push(record),
    }
}

fn stands_at(stands: Option<&Stands>, at: &Locator) -> bool {
    stands.and_then(|s| s.at.as_ref()) == Some(at)
}

fn without(case: &mut CaseRecord, at: &Locator) {
    let elsewhere = |stands: Option<&Stands>| !stands_at(stands, at);
    for filing in &mut case.filings {
        filing.earlier.retain(|s| elsewhere(Some(s)));
    }
    case.filings.retain(|f| elsewhere(f.stands.as_ref()));
    case.invalidations.retain(|i| elsewhere(i.stands.as_ref()));
    case.adoptions.retain(|a| elsewhere(a.stands.as_ref()));
    case.decisions.retain(|d| elsewhere(d.stands.as_ref()));
    case.requests.retain(|r| elsewhere(r.stands.as_ref()));
    case.answers.retain(|a| elsewhere(a.stands.as_ref()));
    case.outcomes.retain(|o| elsewhere(o.stands.as_ref()));
    case.routes.retain(|r| elsewhere(r.stands.as_ref()));
    case.events.retain(|e| elsewhere(e.stands.as_ref()));
    case.refusals.retain(|r| elsewhere(r.stands.as_ref()) && elsewhere(r.refused.as_ref()));
}

fn without_parts(filing: &mut FilingRecord, parts: &[String]) {
    let gone = |name: &str| parts.iter().any(|p| p == name);
    if gone("parties") {
        filing.carrier_id.clear();
        filing.fiscal_reference.clear();
    }
    if let Some(summary) = &mut filing.summary {
        if gone("value") {
            summary.value.clear();
        }
        if gone("goods") {
            summary.net_mass_kg.clear();
        }
    }
}
