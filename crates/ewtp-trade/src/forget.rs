//! What a case has of a statement that is erased: where it stands is kept, and that it was there; what it said is not.

use ewtp_proto::store::v1::{CaseRecord, FilingRecord, ForgottenRecord, Locator, Stands};

/// A statement of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidIn {
    /// Where it stands.
    pub stands: Stands,
    /// Its kind; `refused` for one that is not honoured here, of whatever kind it is.
    pub kind: &'static str,
    /// Filing that it is a version of.
    pub filing_id: String,
}

/// All statements of a case that hold what somebody gave or was told, oldest kinds first. Erasures and keepings are not among
/// them: they hold positions and rules, and stay. Nor are events that select many cases: they belong to none.
#[must_use]
pub fn said_in(case: &CaseRecord) -> Vec<SaidIn> {
    let mut out = Vec::new();
    let mut add = |kind, stands: Option<&Stands>, filing_id: &str| {
        let filing_id = filing_id.to_owned();
        out.extend(stands.cloned().map(|stands| SaidIn { stands, kind, filing_id }));
    };
    for filing in &case.filings {
        for stands in filing.earlier.iter().chain(&filing.stands) {
            add("filing", Some(stands), &filing.filing_id);
        }
    }
    case.invalidations.iter().for_each(|i| add("invalidation", i.stands.as_ref(), ""));
    case.adoptions.iter().for_each(|a| add("adoption", a.stands.as_ref(), ""));
    case.decisions.iter().for_each(|d| add("decision", d.stands.as_ref(), ""));
    case.requests.iter().for_each(|r| add("info-request", r.stands.as_ref(), ""));
    case.answers.iter().for_each(|a| add("info-answer", a.stands.as_ref(), ""));
    case.outcomes.iter().for_each(|o| add("condition-outcome", o.stands.as_ref(), ""));
    case.routes.iter().for_each(|r| add("route", r.stands.as_ref(), ""));
    let events = case.events.iter().filter(|e| !e.selects);
    events.for_each(|e| add("event", e.stands.as_ref(), ""));
    case.refusals.iter().for_each(|r| add("ack", r.stands.as_ref(), ""));
    case.refusals.iter().for_each(|r| add("refused", r.refused.as_ref(), ""));
    out
}

/// Takes out of a case what it has of the statement at a place; nothing named: all of it.
pub fn forget(case: &mut CaseRecord, at: &Locator, parts: &[String]) {
    let first = case.filings.first().map(|f| f.filing_id.clone());
    if parts.is_empty() {
        without(case, at);
    } else {
        for filing in case.filings.iter_mut().filter(|f| stands_at(f.stands.as_ref(), at)) {
            without_parts(filing, parts);
        }
    }
    let gone = |name: &str| parts.iter().any(|p| p == name);
    let still_first = case.filings.first().map(|f| &f.filing_id) == first.as_ref();
    if !still_first {
        case.summary = None;
    }
    let of_first = case.filings.first().is_some_and(|f| stands_at(f.stands.as_ref(), at));
    if let Some(summary) = &mut case.summary {
        summary.filings = case.filings.len() as u32;
        if of_first && gone("value") {
            summary.value.clear();
        }
        if of_first && gone("goods") {
            summary.net_mass_kg.clear();
        }
    }
}

/// Whether a case is only a shell: everything that was said in it is erased.
#[must_use]
pub fn is_forgotten(case: &CaseRecord) -> bool {
    !case.forgotten.is_empty() && said_in(case).is_empty()
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
    if parts.iter().any(|p| p == "parties") {
        filing.carrier_id.clear();
        filing.fiscal_reference.clear();
    }
}
