//! Reports: what of each filing that this hub assessed goes into the figures, and the signed statement of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ewtp_clearance::report::{Figures, Found, Relied, fairness, recognition};
use ewtp_log::HubId;
use ewtp_proto::store::v1::{CaseRecord, FilingRecord, Stands};
use ewtp_proto::v1::{self, ControlResult};
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::{code, counting_decision, effects_of, hub, is_completed, is_invalidated};
use ewtp_trade::codes::Country;
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
    if request.publish && request.kind != "fairness" {
        fault(
            "kind",
            &request.kind,
            "fairness: what recognition did tells of controls, which is for the agency",
        );
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
    let documents = Documents::of(shared);
    loop {
        let page = Views(&*shared.store).cases(&Whose::All, from, PAGE).await?;
        let more = page.len() == PAGE;
        for case in page {
            from = case.ordinal + 1;
            if case.created_ms >= to_ms {
                return Ok(Some(out));
            }
            let results = quality::results(shared, &case).await?;
            let mut all = Vec::new();
            for way in ways(shared, &case) {
                all.push(of_way(shared, &case, &way).await?);
            }
            // What was found in a case counts once: with the goods that were to be controlled.
            let controlled = all.iter().position(|f| f.controlled).unwrap_or(0);
            if let Some(figures) = all.get_mut(controlled) {
                figures.found = found(&documents, &results);
            }
            out.extend(all);
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

/// The filings of a case that this hub assesses and that stand, by the goods that they are about: an import filing that an advance filing
/// became goes with it.
fn ways<'a>(shared: &Shared, case: &'a CaseRecord) -> Vec<Vec<&'a FilingRecord>> {
    let stands = |f: &&FilingRecord| {
        f.assessed_by == shared.identity.hub.as_str()
            && !f.partial
            && !is_invalidated(case, f)
            && !is_completed(case, f)
    };
    let live: Vec<&FilingRecord> = case.filings.iter().filter(stands).collect();
    let came_from = |f: &FilingRecord| live.iter().any(|o| o.filing_id == f.adopts);
    let first = live.iter().filter(|f| !came_from(f));
    let whole = |f: &&'a FilingRecord| {
        let became = live.iter().filter(|o| o.adopts == f.filing_id);
        std::iter::once(*f).chain(became.copied()).collect()
    };
    first.map(whole).collect()
}

/// What was found in a case, of each fact once: of several findings the newest.
fn found(documents: &Documents, results: &[v1::ArrivalFinding]) -> Vec<Found> {
    let key = |f: &v1::ArrivalFinding| (f.kind.clone(), f.hub.clone(), f.certificate_id.clone());
    let newest: BTreeMap<_, _> = results.iter().map(|f| (key(f), f)).collect();
    let one = |f: &v1::ArrivalFinding| Found {
        is_false: f.result() == ControlResult::False,
        document: documents.0.get(&f.arrangement).copied().unwrap_or_default(),
        hub: f.hub.clone(),
    };
    newest.into_values().map(one).collect()
}

/// What a peer's filing says of itself, if it is what it can be: figures are no place for texts.
fn known(text: &str, is: impl Fn(&str) -> bool) -> String {
    if is(text) { text } else { "not known" }.to_owned()
}

async fn of_way(
    shared: &Shared,
    case: &CaseRecord,
    way: &[&FilingRecord],
) -> Result<Figures, StoreError> {
    let views = Views(&*shared.store);
    let mut out = Figures { decided_after_ms: Some(0), ..Figures::default() };
    for (n, filing) in way.iter().enumerate() {
        let stands = filing.stands.clone().unwrap_or_default();
        let at = stands.at.clone().unwrap_or_default();
        let statement = views.statement(&at).await?;
        let core: v1::FilingCore = statement.and_then(|s| s.part("core")).unwrap_or_default();
        if n == 0 {
            let filer = core.filer.clone().unwrap_or_default();
            out.size = match filer.size() {
                v1::SizeClass::Unspecified => "not known",
                v1::SizeClass::Micro => "micro",
                v1::SizeClass::Small => "small",
                v1::SizeClass::Medium => "medium",
                v1::SizeClass::Large => "large",
            }
            .to_owned();
            out.channel = known(&filer.channel, |c| ["trader", "platform"].contains(&c));
            out.origin = known(&core.country_of_export, |c| Country::parse(c).is_some());
            out.filed_at.clone_from(&stands.hub);
            out.governed = governed(shared, &stands, &core.country_of_export);
        }
        let chapters = core.items.iter().filter_map(|i| i.commodity_code.get(..2));
        out.chapters.extend(chapters.map(str::to_owned));
        let decided = decided_after(case, filing);
        out.decided_after_ms = out.decided_after_ms.zip(decided).map(|(a, b)| a.max(b));
        for effect in effects_of(filing) {
            let Some(decision) = counting_decision(case, filing, *effect) else { continue };
            out.controlled |= orders_control(decision);
            out.refused |=
                matches!(code(decision), v1::DecisionCode::Refuse | v1::DecisionCode::Dnl);
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

/// Whether an arrangement with the hub of origin was in force when a filing was logged: the hub at which it was filed, else, of what is
/// lodged here, the one that speaks for the country of export.
fn governed(shared: &Shared, stands: &Stands, country: &str) -> bool {
    let directory = shared.directory.load();
    let there = stands.hub.parse::<HubId>().ok().filter(|h| *h != shared.identity.hub);
    let origin = there.or_else(|| directory.peer_for(country).map(|p| p.hub.clone()));
    let standing = origin.and_then(|hub| directory.arrangements.get(&hub).cloned());
    standing.is_some_and(|s| matches!(s.governed(stands.logged_ms), Governs::Document(_)))
}

/// The log index of a published report.
///
/// # Errors
/// Reading.
pub async fn published(
    shared: &Shared,
    kind: &str,
    number: u64,
) -> Result<Option<u64>, StoreError> {
    let all = Views(&*shared.store).reports(kind).await?;
    let found = all.into_iter().find(|r| r.number == number);
    Ok(found.map(|r| r.log_index))
}
