//! Intake: from a submission to a draft. Parses once, collects every violation, resolves the route, and claims the LRN.

use std::sync::{Arc, LazyLock};

use ewtp_log::hash::sha256;
use ewtp_log::statement::STATEMENT_BYTES_MAX;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::{Message as _, v1};
use ewtp_store::{StoreError, Views};
use ewtp_trade::act::{self, Act, Untimely};
use ewtp_trade::case::{adoption, goods_released};
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::route::{self, Resolved};
use ewtp_trade::{CheckedFiling, check_filing, mrn};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::attachments::missing;
use crate::casebook::Viewer;
use crate::certificates;
use crate::clock::{new_id, random};
use crate::connect;
use crate::directory::{has_role, speaker};
use crate::draft::{Draft, DraftError, FilingAt, LrnClaim, NewStatement, WorkPlan};
use crate::links;
use crate::queue::Submitter;
use crate::shared::Shared;
use crate::standing;

/// Why a call failed; a refused filing is a result, not one of these.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The committer.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

/// Whether the caller may be slowed, or is told *busy* at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A stream: wait for room.
    Wait,
    /// A single call: refuse when full.
    Refuse,
}

/// Where a filing goes.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) audience: Vec<HubId>,
    pub(crate) assessed_by: String,
    pub(crate) unconnected: Vec<String>,
}

pub(crate) fn refused(violations: Vec<v1::Finding>, first_receipt: String) -> v1::SubmitResponse {
    crate::metrics::refused(violations.first().map_or("unknown", |v| v.code.as_str()));
    let refused = v1::Refused { violations, first_receipt };
    v1::SubmitResponse { result: Some(v1::submit_response::Result::Refused(refused)) }
}

fn too_large(bytes: usize, limit: usize) -> v1::SubmitResponse {
    let allowed = format!("{limit} bytes with all parts");
    let fix = "split the filing or shorten its texts";
    let say = Say { code: "too-large", allowed: &allowed, fix };
    refused(vec![finding("", &format!("{bytes} bytes"), say)], String::new())
}

/// Files one filing for an account.
///
/// # Errors
/// [`IntakeError`].
pub async fn submit(
    shared: &Arc<Shared>,
    account: &v1::AccountRecord,
    request: &v1::SubmitRequest,
    pace: Pace,
) -> Result<v1::SubmitResponse, IntakeError> {
    static EMPTY: LazyLock<v1::Filing> = LazyLock::new(v1::Filing::default);
    let digest = sha256(&[&request.encode_to_vec()]).0;
    let filing = request.filing.as_ref().unwrap_or(&EMPTY);
    let checked = match check_filing(filing, &shared.lists_now()) {
        Ok(checked) => checked,
        Err(violations) => return Ok(refused(violations, String::new())),
    };
    // Nothing that could never be said waits in a queue.
    let bytes = request.encoded_len();
    if bytes > STATEMENT_BYTES_MAX {
        return Ok(too_large(bytes, STATEMENT_BYTES_MAX));
    }
    let claim = LrnClaim { key: lrn_key(shared, &account.id, checked.lrn.as_str()), digest };
    let mut violations = standing::unentitled(shared, account, checked.core).await?;
    violations.extend(misplaced(shared, &checked));
    if let Some(goods) = filing.goods.as_ref().filter(|g| !g.attachments.is_empty()) {
        violations.extend(missing(shared, "goods.attachments", &goods.attachments).await?);
    }
    let resolved = route(shared, &checked).map_err(|unresolved| violations.extend(unresolved));
    if resolved.is_err() || !violations.is_empty() {
        // What was logged while the mandate was in force keeps its answer.
        let first = first_answer(shared, checked.lrn.as_str(), &claim).await?;
        return Ok(first.unwrap_or_else(|| refused(violations, String::new())));
    }
    for _ in 0..REPLANS_MAX {
        let code = &request.one_time_code;
        let joined = match joined(shared, &account.id, &checked, code).await? {
            Ok(joined) => joined,
            Err(violations) => {
                let first = first_answer(shared, checked.lrn.as_str(), &claim).await?;
                return Ok(first.unwrap_or_else(|| refused(violations, String::new())));
            }
        };
        let note = request.filer_note.clone();
        // Looked at anew: a hub may have joined since the case was read last.
        let Ok(mut route) = route(shared, &checked) else { continue };
        if let Some(violation) = out_of_scope(&joined, &route, checked.core) {
            let first = first_answer(shared, checked.lrn.as_str(), &claim).await?;
            return Ok(first.unwrap_or_else(|| refused(vec![violation], String::new())));
        }
        // Who had a part in the case so far hears what becomes of it: on an import filing who declared the goods on their way,
        // on a changed route who was on the old one.
        route.audience.extend(shared.filing_shown_to(&joined.hubs, checked.core));
        // Who keeps the ledger of a certificate that it cites has to know that it asks for some of it.
        let keepers = certificates::keepers_of(shared, filing).await?;
        route.audience.extend(shared.filing_shown_to(&keepers, checked.core));
        route.audience.sort();
        route.audience.dedup();
        let (mut draft, accepted) =
            plan(shared, &account.id, &checked, &joined, route, claim.clone(), note)?;
        if let Some(case) = &joined.case {
            draft.late = connect::late(shared, case, &draft.statements).await?;
        }
        match enqueue(&shared.accounts, draft, pace).await {
            // The case moved between reading and logging: it is read and planned again.
            Err(DraftError::CaseMoved { .. }) => {}
            // What is logged already needs no room in the queue.
            Err(busy @ DraftError::Busy { .. }) => {
                return first_answer(shared, checked.lrn.as_str(), &claim)
                    .await?
                    .ok_or(busy.into());
            }
            outcome => return conclude(shared, &checked, accepted, outcome).await,
        }
    }
    Err(DraftError::CaseMoved { case: checked.core.case_id.clone(), seen: 0, now: 0 }.into())
}

/// How often a filing is planned again because its case moved meanwhile.
const REPLANS_MAX: u32 = 16;

pub(crate) async fn conclude(
    shared: &Arc<Shared>,
    checked: &CheckedFiling<'_>,
    accepted: v1::Accepted,
    outcome: Result<crate::draft::Logged, DraftError>,
) -> Result<v1::SubmitResponse, IntakeError> {
    match outcome {
        Err(DraftError::TooLarge { bytes, limit, .. }) => Ok(too_large(bytes, limit)),
        Ok(logged) => {
            crate::metrics::accepted();
            let (log_index, commitment) =
                logged.statements.first().copied().unwrap_or((0, Hash::EMPTY_ROOT));
            let accepted =
                v1::Accepted { log_index, commitment: commitment.0.to_vec(), ..accepted };
            Ok(v1::SubmitResponse { result: Some(v1::submit_response::Result::Accepted(accepted)) })
        }
        Err(DraftError::LrnTaken { index, same }) => {
            repeated(shared, checked.lrn.as_str(), index, same).await
        }
        Err(e) => Err(e.into()),
    }
}

async fn enqueue(
    queue: &Submitter,
    draft: Draft,
    pace: Pace,
) -> Result<crate::draft::Logged, DraftError> {
    match pace {
        Pace::Wait => queue.submit(draft).await,
        Pace::Refuse => queue.try_submit(draft).await,
    }
}

/// Keyed, so that after an erasure nothing confirms a guessed LRN.
pub(crate) fn lrn_key(shared: &Shared, account: &str, lrn: &str) -> [u8; 32] {
    let mut out = [0; 32];
    // HMAC takes a key of any length, so this never fails.
    if let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&*shared.lrn_key) {
        mac.update(account.as_bytes());
        mac.update(&[0]);
        mac.update(lrn.as_bytes());
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

/// What was answered when this LRN was logged. The committer looks as well, and its look counts: this one is for filings that
/// don't get that far.
pub(crate) async fn first_answer(
    shared: &Arc<Shared>,
    lrn: &str,
    claim: &LrnClaim,
) -> Result<Option<v1::SubmitResponse>, IntakeError> {
    match Views(&*shared.store).lrn(&claim.key, &claim.digest).await? {
        None => Ok(None),
        Some((index, same)) => repeated(shared, lrn, index, same).await.map(Some),
    }
}

/// The same bytes again get the first answer; other bytes are refused with the first one's receipt.
async fn repeated(
    shared: &Arc<Shared>,
    lrn: &str,
    index: u64,
    same: bool,
) -> Result<v1::SubmitResponse, IntakeError> {
    let views = Views(&*shared.store);
    let first = views.own(index).await?;
    let core = first.as_ref().and_then(|s| s.part::<v1::FilingCore>("core")).unwrap_or_default();
    if same {
        let first = first.map(|s| (s.commitment().0.to_vec(), s.warnings)).unwrap_or_default();
        let code = match core.code_digest.as_slice() {
            [] => String::new(),
            _ => one_time_code(shared, &core.filing_id),
        };
        let accepted = v1::Accepted {
            one_time_code: code,
            case_id: core.case_id,
            filing_id: core.filing_id,
            version: core.version,
            mrn: core.mrn,
            ucr: core.ucr,
            log_index: index,
            commitment: first.0,
            warnings: first.1,
            repeated_submission: true,
            audience: Vec::new(),
        };
        return Ok(v1::SubmitResponse {
            result: Some(v1::submit_response::Result::Accepted(accepted)),
        });
    }
    let say = Say {
        code: "lrn-reused",
        allowed: "a new LRN, or the very bytes that were filed under this one",
        fix: "use a new LRN, or amend the filing whose receipt stands here",
    };
    let receipt = crate::prove::receipt_of_own(shared, index, Viewer::Trader, &[], None).await?;
    Ok(refused(vec![finding("core.lrn", lrn, say)], receipt.unwrap_or_default()))
}

/// What only the hub writes, and import filings that belong to another hub.
fn misplaced(shared: &Shared, checked: &CheckedFiling<'_>) -> Vec<v1::Finding> {
    let mut out = Vec::new();
    if !checked.core.adopts.is_empty() {
        let say = Say {
            code: "set-by-hub",
            allowed: "empty: it is written when an advance filing is adopted",
            fix: "adopt the advance filing: ewtp adopt",
        };
        out.push(finding("core.adopts", &checked.core.adopts, say));
    }
    let (destination, own) = (checked.destination.as_str(), shared.own_descriptor());
    let ours = speaker(&own).speaks_for(destination, route::CUSTOMS);
    if checked.kind == v1::FilingType::Import && !ours {
        let allowed = own.territories.join(", ");
        let say = Say {
            code: "import-elsewhere",
            allowed: &allowed,
            fix: "lodge an import filing at the hub of the country of destination",
        };
        out.push(finding("core.country_of_destination", destination, say));
    }
    out
}

/// What a filing joins: a case at a revision, and the version that it replaces.
#[derive(Default)]
pub(crate) struct Joined {
    pub(crate) before: Option<FilingRecord>,
    pub(crate) revision: Option<(String, u64)>,
    /// The other hubs that have a part in the case.
    pub(crate) hubs: Vec<HubId>,
    /// The case.
    pub(crate) case: Option<CaseRecord>,
}

impl Joined {
    fn of(shared: &Shared, case: CaseRecord, before: Option<FilingRecord>) -> Self {
        let revision = Some((case.case_id.clone(), case.revision));
        Self { before, revision, hubs: shared.hubs_of(&case), case: Some(case) }
    }
}

/// The case that a filing joins and the version before it: a filing of the same account, or, shown by the case's one-time code,
/// a new filing in a case of another.
async fn joined(
    shared: &Shared,
    account: &str,
    checked: &CheckedFiling<'_>,
    code: &str,
) -> Result<Result<Joined, Vec<v1::Finding>>, StoreError> {
    let core = checked.core;
    let refuse = |path: &str, value: &str, say: Say<'_>| Ok(Err(vec![finding(path, value, say)]));
    if core.case_id.is_empty() && core.filing_id.is_empty() {
        let found = links::case_of_import(shared, core, checked.filing.goods.as_ref()).await?;
        return Ok(Ok(found.map_or_else(Joined::default, |case| Joined::of(shared, case, None))));
    }
    let case = Views(&*shared.store).case(&core.case_id).await?;
    // The code of a partial filing lets its holder complete it, and nothing else.
    let completes = |c: &CaseRecord| {
        let partial = c.filings.iter().find(|f| f.filing_id == core.completes && f.partial);
        partial.is_some_and(|f| shows_code(f, code))
    };
    let may = |c: &CaseRecord| c.accounts.iter().any(|a| a == account) || completes(c);
    let Some(case) = case.filter(may) else {
        let say = Say {
            code: "case-unknown",
            allowed: "a case in which this account filed, or one whose partial filing it completes with its one-time code, or empty for a new one",
            fix: "leave core.case_id empty, or use the id that the hub gave",
        };
        return refuse("core.case_id", &core.case_id, say);
    };
    let partial = |f: &FilingRecord| {
        f.filing_id == core.completes && f.partial && f.r#type == core.r#type && !core.partial
    };
    if !core.completes.is_empty() && !case.filings.iter().any(partial) {
        let say = Say {
            code: "completes-unknown",
            allowed: "a partial filing of this case and of the same type, in a filing that is complete",
            fix: "use the filing id that the hub gave for the partial filing",
        };
        return refuse("core.completes", &core.completes, say);
    }
    if core.filing_id.is_empty() {
        if goods_released(&case) {
            let say = Say {
                code: "released",
                allowed: "a case whose goods are not released",
                fix: "file it as a new case: leave core.case_id empty",
            };
            return refuse("core.case_id", &core.case_id, say);
        }
        return Ok(Ok(Joined::of(shared, case, None)));
    }
    let same = |f: &&FilingRecord| {
        f.filing_id == core.filing_id && f.r#type == core.r#type && f.account == account
    };
    let Some(before) = case.filings.iter().find(same).cloned() else {
        let say = Say {
            code: "filing-unknown",
            allowed: "a filing of this account, of this case and of the same type",
            fix: "use the filing id that the hub gave",
        };
        return refuse("core.filing_id", &core.filing_id, say);
    };
    let act = Act::Amend { filing: &before.filing_id };
    if let Err(untimely) = act::check(&case, shared.identity.hub.as_str(), act) {
        return Ok(Err(vec![untimely_finding("core.filing_id", &core.filing_id, &untimely)]));
    }
    if adoption(&case, &before).is_some()
        && before.country_of_destination != core.country_of_destination
    {
        let say = Say {
            code: "destination-changed",
            allowed: &before.country_of_destination,
            fix: "ask the declarant at the destination to withdraw the import filing first",
        };
        return refuse("core.country_of_destination", &core.country_of_destination, say);
    }
    Ok(Ok(Joined::of(shared, case, Some(before))))
}

/// An amendment whose goods the hub that assesses the filing may not be shown: it would go on with the version before.
fn out_of_scope(joined: &Joined, route: &Route, core: &v1::FilingCore) -> Option<v1::Finding> {
    let before = joined.before.as_ref()?;
    let same = before.country_of_destination == core.country_of_destination;
    let lost = !before.assessed_by.is_empty() && route.assessed_by.is_empty();
    let say = Say {
        code: "scope",
        allowed: "goods that the destination's hub may be shown, as in the version before",
        fix: "withdraw this filing, and file these goods as a new one",
    };
    (same && lost).then(|| finding("core.items", &before.assessed_by, say))
}

/// A finding from an act that can't be logged now.
pub(crate) fn untimely_finding(path: &str, value: &str, untimely: &Untimely) -> v1::Finding {
    let Untimely { code, allowed, fix } = untimely;
    finding(path, value, Say { code, allowed, fix })
}

/// Whether a one-time code is that of a filing.
pub(crate) fn shows_code(filing: &FilingRecord, code: &str) -> bool {
    !code.is_empty() && filing.code_digest == code_digest(&filing.filing_id, code).0
}

/// Digest of a one-time code, as it stands in the core of its filing.
fn code_digest(filing_id: &str, code: &str) -> Hash {
    sha256(&[b"ewtp/1 one-time code\n", filing_id.as_bytes(), b"\n", code.as_bytes()])
}

/// The one-time code of an advance filing: made from the hub's key, so that it is the same whenever it is asked for.
fn one_time_code(shared: &Shared, filing_id: &str) -> String {
    let symbols = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let key = lrn_key(shared, "\u{0}one-time code", filing_id);
    key.iter().take(16).map(|b| char::from(symbols[usize::from(b & 31)])).collect()
}

/// The audience follows from the route, bounded by each hub's data scope: whom a filing may not be shown to is not connected.
fn route(shared: &Shared, checked: &CheckedFiling<'_>) -> Result<Route, Vec<v1::Finding>> {
    let own = shared.own_descriptor();
    let directory = shared.directory.load();
    let Resolved { mut assessed_by, audience, unconnected } =
        route::resolve(checked.core, &speaker(&own), &directory.speakers())?;
    let mut unconnected: Vec<String> = unconnected.into_iter().collect();
    let hubs: Vec<HubId> = audience.iter().filter_map(|h| h.parse().ok()).collect();
    let audience = shared.filing_shown_to(&hubs, checked.core);
    let shown = |hub: &str| hub == own.hub.as_str() || audience.iter().any(|h| h.as_str() == hub);
    if !shown(&assessed_by) {
        let country = route::assessing_country(checked.core).unwrap_or_default().to_owned();
        if !unconnected.contains(&country) {
            unconnected.push(country);
        }
        assessed_by.clear();
    }
    Ok(Route { audience, assessed_by, unconnected })
}

/// Who hands a filing in, as reports on equal treatment tell filers apart: a platform says how large its customer is, of others the agency
/// knows it.
fn filer(shared: &Shared, account: &str, said: Option<&v1::Filer>) -> v1::Filer {
    let directory = shared.directory.load();
    let Some(record) = directory.accounts.get(account) else { return v1::Filer::default() };
    let (size, channel) = match has_role(record, &[v1::Role::Platform]) {
        true => (said.map_or(record.size, |f| f.size), "platform"),
        false => (record.size, "trader"),
    };
    v1::Filer { size, channel: channel.to_owned() }
}

/// The hub that would assess a filing; empty if it is not connected or may not be shown it.
pub(crate) fn assessor(
    shared: &Shared,
    checked: &CheckedFiling<'_>,
) -> Result<String, Vec<v1::Finding>> {
    route(shared, checked).map(|route| route.assessed_by)
}

pub(crate) fn plan(
    shared: &Shared,
    account: &str,
    checked: &CheckedFiling<'_>,
    joined: &Joined,
    route: Route,
    claim: LrnClaim,
    filer_note: String,
) -> Result<(Draft, v1::Accepted), getrandom::Error> {
    let before = joined.before.as_ref();
    let hub = shared.identity.hub.as_str();
    let country = shared.identity.hub.country();
    let mut core = checked.core.clone();
    if core.case_id.is_empty() {
        core.case_id = match &joined.case {
            Some(case) => case.case_id.clone(),
            None => new_id(hub)?,
        };
    }
    core.filing_id = match before {
        Some(before) => before.filing_id.clone(),
        None => new_id(hub)?,
    };
    core.version = before.map_or(1, |b| b.version.saturating_add(1));
    if let Some(before) = before {
        core.adopts.clone_from(&before.adopts);
    }
    core.mrn_external = !core.mrn.is_empty();
    // An amendment keeps the number that the filing was registered under.
    if let Some(before) = before.filter(|_| core.mrn.is_empty()) {
        core.mrn.clone_from(&before.mrn);
    }
    if core.mrn.is_empty() {
        let (year, _) = shared.today();
        core.mrn = mrn::make(year, country, random()?);
    }
    if core.ucr.is_empty() {
        let (year, _) = shared.today();
        let reference = core.case_id.split('-').next_back().unwrap_or_default();
        core.ucr = format!("{}{country}{}-{reference}", year % 10, hub.replace('-', ""));
    }
    core.assessed_by.clone_from(&route.assessed_by);
    core.filer = Some(filer(shared, account, checked.core.filer.as_ref()));
    let code = match core.r#type() {
        v1::FilingType::Advance => one_time_code(shared, &core.filing_id),
        _ => String::new(),
    };
    core.code_digest = match code.as_str() {
        "" => Vec::new(),
        code => code_digest(&core.filing_id, code).0.to_vec(),
    };
    let internal = v1::FilingInternal {
        account: account.to_owned(),
        warnings: checked.warnings.clone(),
        code_lists: shared.lists_now().editions(),
        filer_note,
    };
    let filing = checked.filing;
    let mut statement = NewStatement::new("filing", &core.filing_id, u64::from(core.version))?
        .part("core", &core)?
        .part_or_empty("parties", filing.parties.as_ref())?
        .part_or_empty("goods", filing.goods.as_ref())?
        .part_or_empty("value", filing.value.as_ref())?
        .part_or_empty("authority", filing.authority.as_ref())?
        .part("internal", &internal)?
        .part_or_empty("signature", filing.signature.as_ref())?;
    statement.refs.extend(before.and_then(|b| Hash::from_slice(&b.stands.as_ref()?.commitment)));
    statement.audience.clone_from(&route.audience);
    statement.account = account.to_owned();
    statement.warnings.clone_from(&checked.warnings);
    statement.unconnected.clone_from(&route.unconnected);
    let mut draft = Draft {
        statements: vec![statement],
        lrn: Some(claim),
        // Two amendments in flight must not both become the next version.
        revisions: joined.revision.iter().cloned().collect(),
        ..Draft::default()
    };
    if route.assessed_by == hub {
        draft.makes.push(WorkPlan::first(&core, FilingAt::ThisDraft(0)));
    }
    let accepted = v1::Accepted {
        case_id: core.case_id,
        filing_id: core.filing_id,
        version: core.version,
        mrn: core.mrn,
        ucr: core.ucr,
        warnings: checked.warnings.clone(),
        audience: route.audience.iter().map(ToString::to_string).collect(),
        one_time_code: code,
        ..Default::default()
    };
    Ok((draft, accepted))
}
