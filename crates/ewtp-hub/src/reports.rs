//! Reports: what of each filing that this hub assessed goes into the figures, and the signed statement of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ewtp_clearance::report::{Figures, Found, Relied, fairness, recognition};
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1::{self, ControlResult};
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::{code, counting_decision, effects_of, hub};
use ewtp_trade::finding::{Say, finding};

use crate::arrangements::Governs;
use crate::draft::{Draft, NewStatement, SayError};
use crate::quality::{self, is_control, orders_control};
use crate::shared::Shared;

/// Cases that are read at once.
const PAGE: usize = 256;
/// Most filings of one report: more are taken in several reports.
const FILINGS_MAX: usize = 1_000_000;

/// Takes the figures, and says them if that is wanted.
///
/// # Errors
/// [`SayError`].
pub async fn report(
    shared: &Arc<Shared>,
    request: &v1::ReportRequest,
    account: &str,
) -> Result<v1::ReportResponse, SayError> {
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let to_ms = if request.to_ms == 0 { now_ms } else { request.to_ms };
    let mut faults = Vec::new();
    let mut fault = |path: &str, value: &str, allowed: &str| {
        let fix = "see: ewtp report --help";
        faults.push(finding(path, value, Say { code: "report", allowed, fix }));
    };
    if !["recognition", "fairness"].contains(&request.kind.as_str()) {
        fault("kind", &request.kind, "recognition, fairness");
    }
    if request.from_ms < 0 || request.from_ms >= to_ms {
        fault("from_ms", &request.from_ms.to_string(), "an instant before to_ms");
    }
    if request.publish && to_ms > now_ms {
        fault("to_ms", &to_ms.to_string(), "an instant that has passed, of what is published");
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let log_size = shared.head.borrow().size;
    let span = (request.from_ms, to_ms);
    let Some(all) = figures(shared, span).await? else {
        let allowed = format!("a span with at most {FILINGS_MAX} filings");
        let say = Say { code: "report", allowed: &allowed, fix: "take several shorter spans" };
        return Err(SayError::Faults(vec![finding("from_ms", "", say)]));
    };
    let text = match request.kind.as_str() {
        "recognition" => serde_json::to_string(&recognition(&all)),
        _ => serde_json::to_string(&fairness(&all)),
    };
    let figures = text.unwrap_or_default();
    let mut response = v1::ReportResponse { figures, ..Default::default() };
    if request.publish {
        let act = Arc::clone(&shared.acts).lock_owned().await;
        let before = Views(&*shared.store).reports(&request.kind).await?;
        let number = before.last().map_or(0, |r| r.number) + 1;
        let core = v1::ReportCore {
            kind: request.kind.clone(),
            from_ms: request.from_ms,
            to_ms,
            figures: response.figures.clone(),
            log_size,
        };
        let internal = v1::ArrangementInternal { account: account.to_owned() };
        let statement = NewStatement::new("report", &request.kind, number)?
            .part("core", &core)?
            .part("internal", &internal)?;
        let draft = Draft { statements: vec![statement], ..Draft::default() };
        let logged = shared.own.submit_act(draft, act).await?;
        response.number = number;
        response.statement =
            logged.statements.first().map(|(index, commitment)| v1::StatementRef {
                hub: shared.identity.hub.to_string(),
                commitment: commitment.0.to_vec(),
                log_index: *index,
            });
    }
    Ok(response)
}

/// The first case that was opened at an instant or later.
async fn first_case(shared: &Shared, from_ms: u64) -> Result<u64, StoreError> {
    let views = Views(&*shared.store);
    let (mut low, mut high) = (0, views.counters().await?.cases);
    while low < high {
        let middle = low + (high - low) / 2;
        let case = views.cases(&Whose::All, middle, 1).await?;
        match case.first() {
            Some(case) if case.created_ms < from_ms => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Figures of all filings that this hub assesses, of cases that were first known in a span; `None` where they are too many.
async fn figures(
    shared: &Arc<Shared>,
    (from_ms, to_ms): (i64, i64),
) -> Result<Option<Vec<Figures>>, StoreError> {
    let (from_ms, to_ms) =
        (u64::try_from(from_ms).unwrap_or(0), u64::try_from(to_ms).unwrap_or(u64::MAX));
    let mut from = first_case(shared, from_ms).await?;
    let mut out = Vec::new();
    let mut arrangements = Documents::of(shared);
    loop {
        let page = Views(&*shared.store).cases(&Whose::All, from, PAGE).await?;
        let more = page.len() == PAGE;
        for case in page {
            from = case.ordinal + 1;
            if case.created_ms >= to_ms {
                return Ok(Some(out));
            }
            for filing in &case.filings {
                if filing.assessed_by == shared.identity.hub.as_str() && !filing.partial {
                    out.push(of_filing(shared, &mut arrangements, &case, filing).await?);
                }
            }
        }
        if out.len() > FILINGS_MAX {
            return Ok(None);
        }
        if !more {
            return Ok(Some(out));
        }
    }
}

/// Numbers of arrangements' documents by their digests.
struct Documents(BTreeMap<Vec<u8>, u64>);

impl Documents {
    fn of(shared: &Shared) -> Self {
        let directory = shared.directory.load();
        let all = directory.arrangements.values().flat_map(|standing| standing.agreed());
        Self(all.map(|d| (d.digest.0.to_vec(), d.number)).collect())
    }
}

async fn of_filing(
    shared: &Shared,
    documents: &mut Documents,
    case: &CaseRecord,
    filing: &FilingRecord,
) -> Result<Figures, StoreError> {
    let views = Views(&*shared.store);
    let stands = filing.stands.clone().unwrap_or_default();
    let at = stands.at.clone().unwrap_or_default();
    let statement = views.statement(&at).await?;
    let core: v1::FilingCore = statement.and_then(|s| s.part("core")).unwrap_or_default();
    let filer = core.filer.clone().unwrap_or_default();
    let size = match filer.size() {
        v1::SizeClass::Unspecified => "not known",
        v1::SizeClass::Micro => "micro",
        v1::SizeClass::Small => "small",
        v1::SizeClass::Medium => "medium",
        v1::SizeClass::Large => "large",
    };
    let channel = if filer.channel.is_empty() { "not known" } else { &filer.channel };
    let mut out = Figures {
        filed_at: stands.hub.clone(),
        origin: core.country_of_export.clone(),
        size: size.to_owned(),
        channel: channel.to_owned(),
        chapters: core
            .items
            .iter()
            .filter_map(|i| i.commodity_code.get(..2))
            .map(str::to_owned)
            .collect(),
        decided_after_ms: decided_after(case, filing),
        governed: governed(shared, &stands.hub, stands.logged_ms),
        ..Figures::default()
    };
    for effect in effects_of(filing) {
        let Some(decision) = counting_decision(case, filing, *effect) else { continue };
        out.controlled |= orders_control(decision);
        out.refused |= matches!(code(decision), v1::DecisionCode::Refuse | v1::DecisionCode::Dnl);
        let at = decision.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
        let Some(statement) = views.statement(&at).await? else { continue };
        let trader: v1::DecisionTrader = statement.part("trader").unwrap_or_default();
        let authority: v1::DecisionAuthority = statement.part("authority").unwrap_or_default();
        for fact in trader.recognised.iter().chain(&authority.recognised) {
            out.relied.insert(Relied {
                hub: fact.hub.clone(),
                document: fact.document,
                kind: fact.kind.clone(),
            });
        }
        let without = authority.without.as_ref().map(v1::WithoutRecognition::code);
        out.waived |= without.is_some_and(is_control) && !orders_control(decision);
        out.by_draw |= orders_control(decision) && by_draw(shared, &statement, &authority);
    }
    for found in quality::results(shared, case).await? {
        out.found.push(Found {
            is_false: found.result() == ControlResult::False,
            document: documents.0.get(&found.arrangement).copied().unwrap_or_default(),
            hub: found.hub,
        });
    }
    Ok(out)
}

/// Whether one of the rules that ordered a control looked at the random draw.
fn by_draw(
    shared: &Shared,
    statement: &ewtp_store::Statement,
    authority: &v1::DecisionAuthority,
) -> bool {
    let core: v1::DecisionCore = statement.part("core").unwrap_or_default();
    let cited: BTreeSet<&[u8]> = core.rulesets.iter().map(|r| r.digest.as_slice()).collect();
    let directory = shared.directory.load();
    let rulesets = directory.rulesets.iter().filter(|r| cited.contains(r.digest.0.as_slice()));
    rulesets.into_iter().any(|r| authority.rules_fired.iter().any(|id| r.draws_by(id)))
}

/// From when a filing was first known here until every effect had a decision of this hub.
fn decided_after(case: &CaseRecord, filing: &FilingRecord) -> Option<u64> {
    let first = filing.earlier.first().or(filing.stands.as_ref())?.received_ms;
    let mut last = 0;
    for effect in effects_of(filing) {
        let of = case.decisions.iter().filter(|d| {
            d.filing_id == filing.filing_id
                && d.effect == *effect as i32
                && hub(d.stands.as_ref()) == filing.assessed_by
        });
        let decided = of.filter_map(|d| d.stands.as_ref()).map(|s| s.logged_ms).min()?;
        last = last.max(decided);
    }
    Some(last.saturating_sub(first))
}

/// Whether an arrangement with a hub was in force when a filing was logged there.
fn governed(shared: &Shared, at: &str, logged_ms: u64) -> bool {
    let directory = shared.directory.load();
    let standing = at.parse::<HubId>().ok();
    let standing = standing.and_then(|hub| directory.arrangements.get(&hub).cloned());
    standing.is_some_and(|s| matches!(s.governed(logged_ms), Governs::Document(_)))
}

/// Where a published report stands.
///
/// # Errors
/// Reading.
pub async fn published(
    shared: &Shared,
    kind: &str,
    number: u64,
) -> Result<Option<(u64, Option<Hash>)>, StoreError> {
    let all = Views(&*shared.store).reports(kind).await?;
    let found = all.into_iter().find(|r| r.number == number);
    Ok(found.map(|r| (r.log_index, Hash::from_slice(&r.commitment))))
}
