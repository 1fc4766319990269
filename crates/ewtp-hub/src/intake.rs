//! Intake: from a submission to a draft. Parses once, collects every violation, resolves the route, and claims the LRN.

use std::sync::{Arc, LazyLock};

use ewtp_log::hash::sha256;
use ewtp_log::statement::STATEMENT_BYTES_MAX;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::FilingRecord;
use ewtp_proto::{Message as _, v1};
use ewtp_store::{StoreError, Views};
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::scope::shows_statement;
use ewtp_trade::{CheckedFiling, check_filing, mrn};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::casebook::Viewer;
use crate::clock::{new_id, random};
use crate::committer::Submitter;
use crate::draft::{Draft, DraftError, FilingAt, LrnClaim, NewStatement, WorkPlan};
use crate::shared::Shared;

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
struct Route {
    audience: Vec<HubId>,
    assessed_by: String,
    not_connected: bool,
}

fn refused(violations: Vec<v1::Finding>, first_receipt: String) -> v1::SubmitResponse {
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
    account: &str,
    request: &v1::SubmitRequest,
    pace: Pace,
) -> Result<v1::SubmitResponse, IntakeError> {
    static EMPTY: LazyLock<v1::Filing> = LazyLock::new(v1::Filing::default);
    let digest = sha256(&[&request.encode_to_vec()]).0;
    let filing = request.filing.as_ref().unwrap_or(&EMPTY);
    let checked = match check_filing(filing, &shared.lists) {
        Ok(checked) => checked,
        Err(violations) => return Ok(refused(violations, String::new())),
    };
    // Nothing that could never be said waits in a queue.
    let bytes = request.encoded_len();
    if bytes > STATEMENT_BYTES_MAX {
        return Ok(too_large(bytes, STATEMENT_BYTES_MAX));
    }
    let claim = LrnClaim { key: lrn_key(shared, account, checked.lrn.as_str()), digest };
    for _ in 0..REPLANS_MAX {
        let joined = match amended(shared, account, &checked).await? {
            Ok(joined) => joined,
            Err(violations) => {
                let first = first_answer(shared, &checked, &claim).await?;
                return Ok(first.unwrap_or_else(|| refused(violations, String::new())));
            }
        };
        let note = request.filer_note.clone();
        let (draft, accepted) =
            plan(shared, account, &checked, &joined, route(shared, &checked), claim.clone(), note)?;
        match enqueue(&shared.accounts, draft, pace).await {
            // The case moved between reading and logging: it is read and planned again.
            Err(DraftError::CaseMoved { .. }) => {}
            // What is logged already needs no room in the queue.
            Err(busy @ DraftError::Busy { .. }) => {
                return first_answer(shared, &checked, &claim).await?.ok_or(busy.into());
            }
            outcome => return conclude(shared, &checked, accepted, outcome).await,
        }
    }
    Err(DraftError::CaseMoved { case: checked.core.case_id.clone(), seen: 0, now: 0 }.into())
}

/// How often a filing is planned again because its case moved meanwhile.
const REPLANS_MAX: u32 = 16;

async fn conclude(
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
        Err(DraftError::LrnTaken { index, same }) => repeated(shared, checked, index, same).await,
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
fn lrn_key(shared: &Shared, account: &str, lrn: &str) -> [u8; 32] {
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
async fn first_answer(
    shared: &Arc<Shared>,
    checked: &CheckedFiling<'_>,
    claim: &LrnClaim,
) -> Result<Option<v1::SubmitResponse>, IntakeError> {
    match Views(&*shared.store).lrn(&claim.key, &claim.digest).await? {
        None => Ok(None),
        Some((index, same)) => repeated(shared, checked, index, same).await.map(Some),
    }
}

/// The same bytes again get the first answer; other bytes are refused with the first one's receipt.
async fn repeated(
    shared: &Arc<Shared>,
    checked: &CheckedFiling<'_>,
    index: u64,
    same: bool,
) -> Result<v1::SubmitResponse, IntakeError> {
    let views = Views(&*shared.store);
    let first = views.own(index).await?;
    let core = first.as_ref().and_then(|s| s.part::<v1::FilingCore>("core")).unwrap_or_default();
    if same {
        let first = first.map(|s| (s.commitment().0.to_vec(), s.warnings)).unwrap_or_default();
        let accepted = v1::Accepted {
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
    Ok(refused(vec![finding("core.lrn", checked.lrn.as_str(), say)], receipt.unwrap_or_default()))
}

/// What a filing joins: a case at a revision, and the version that it replaces.
#[derive(Default)]
struct Joined {
    before: Option<FilingRecord>,
    revision: Option<(String, u64)>,
}

/// The filing that an amendment replaces; a violation if the account may not.
async fn amended(
    shared: &Shared,
    account: &str,
    checked: &CheckedFiling<'_>,
) -> Result<Result<Joined, Vec<v1::Finding>>, StoreError> {
    let core = checked.core;
    if core.case_id.is_empty() && core.filing_id.is_empty() {
        return Ok(Ok(Joined::default()));
    }
    let case = Views(&*shared.store).case(&core.case_id).await?;
    let Some(case) = case.filter(|c| c.account == account) else {
        let say = Say {
            code: "case-unknown",
            allowed: "a case of this account, or empty for a new one",
            fix: "leave core.case_id empty, or use the id that the hub gave",
        };
        return Ok(Err(vec![finding("core.case_id", &core.case_id, say)]));
    };
    let revision = Some((case.case_id.clone(), case.revision));
    if core.filing_id.is_empty() {
        return Ok(Ok(Joined { before: None, revision }));
    }
    let before =
        case.filings.into_iter().find(|f| f.filing_id == core.filing_id && f.r#type == core.r#type);
    if before.is_some() {
        return Ok(Ok(Joined { before, revision }));
    }
    let say = Say {
        code: "filing-unknown",
        allowed: "a filing of this case and of the same type",
        fix: "use the filing id that the hub gave",
    };
    Ok(Err(vec![finding("core.filing_id", &core.filing_id, say)]))
}

/// The audience follows from the route: the hub of the destination, bounded by its data scope.
fn route(shared: &Shared, checked: &CheckedFiling<'_>) -> Route {
    let me = shared.identity.hub.to_string();
    let own = shared.own_descriptor();
    let home = own.territories.iter().any(|t| t == checked.destination.as_str());
    let directory = shared.directory.load();
    let peer = directory.peer_for(checked.destination.as_str()).filter(|_| !home);
    let shown = peer.filter(|p| {
        p.record.scope.as_ref().is_some_and(|s| shows_statement(s, "filing", Some(checked.core)))
    });
    let audience = shown.map(|p| p.hub.clone()).into_iter().collect();
    match checked.kind {
        v1::FilingType::Export => Route { audience, assessed_by: me, not_connected: false },
        _ if home => Route { audience: Vec::new(), assessed_by: me, not_connected: false },
        _ => Route {
            assessed_by: shown.map(|p| p.hub.to_string()).unwrap_or_default(),
            not_connected: shown.is_none(),
            audience,
        },
    }
}

fn plan(
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
        core.case_id = new_id(hub)?;
    }
    core.filing_id = match before {
        Some(before) => before.filing_id.clone(),
        None => new_id(hub)?,
    };
    core.version = before.map_or(1, |b| b.version.saturating_add(1));
    core.mrn_external = !core.mrn.is_empty();
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
    let internal = v1::FilingInternal {
        account: account.to_owned(),
        warnings: checked.warnings.clone(),
        code_lists: shared.lists.editions(),
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
    statement.refs.extend(before.and_then(|b| Hash::from_slice(&b.commitment)));
    statement.audience.clone_from(&route.audience);
    statement.account = account.to_owned();
    statement.warnings.clone_from(&checked.warnings);
    statement.not_connected = route.not_connected;
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
        ..Default::default()
    };
    Ok((draft, accepted))
}

/// Longest answer, characters.
const ANSWER_CHARS_MAX: usize = 2000;

/// Answers an information request.
///
/// # Errors
/// [`IntakeError`].
pub async fn answer(
    shared: &Arc<Shared>,
    account: &str,
    request: v1::AnswerInformationRequestRequest,
) -> Result<v1::AnswerInformationRequestResponse, IntakeError> {
    use v1::answer_information_request_response::Result as Outcome;
    let refuse = |path: &str, value: &str, say: Say<'_>| {
        let refused = v1::Refused {
            violations: vec![finding(path, value, say)],
            first_receipt: String::new(),
        };
        Ok(v1::AnswerInformationRequestResponse { result: Some(Outcome::Refused(refused)) })
    };
    let views = Views(&*shared.store);
    let case = views.case(&request.case_id).await?.filter(|c| c.account == account);
    let Some(case) = case else {
        let say = Say {
            code: "case-unknown",
            allowed: "a case of this account",
            fix: "list the cases: ewtp case list",
        };
        return refuse("case_id", &request.case_id, say);
    };
    let open = case.requests.iter().find(|r| r.commitment == request.request);
    let Some(open) = open.filter(|r| r.answer_commitment.is_empty()) else {
        let say = Say {
            code: "request-closed",
            allowed: "a request that waits for an answer",
            fix: "show the case: ewtp case show",
        };
        return refuse(
            "request",
            &Hash::from_slice(&request.request).map(Hash::to_hex).unwrap_or_default(),
            say,
        );
    };
    let asked = views.statement(&open.at.clone().unwrap_or_default()).await?;
    let asked = asked.and_then(|s| s.part::<v1::InfoRequestTrader>("trader")).unwrap_or_default();
    let unasked =
        request.answers.iter().find(|a| !asked.questions.iter().any(|q| q.code == a.code));
    if let Some(unasked) = unasked.filter(|_| !asked.questions.is_empty()) {
        let say = Say {
            code: "answer-unasked",
            allowed: "answers to what was asked",
            fix: "leave it out",
        };
        return refuse("answers", &unasked.code, say);
    }
    for question in &asked.questions {
        let given =
            request.answers.iter().find(|a| a.code == question.code && !a.value.trim().is_empty());
        if given.is_none_or(|a| a.value.chars().count() > ANSWER_CHARS_MAX) {
            let say = Say {
                code: "answer-missing",
                allowed: "1 to 2000 characters for each question",
                fix: "answer every question",
            };
            return refuse(&format!("answers.{}", question.code), "", say);
        }
    }
    let core = v1::InfoAnswerCore {
        case_id: case.case_id.clone(),
        filing_id: open.filing_id.clone(),
        filing_version: open.filing_version,
        request: open.commitment.clone(),
    };
    let number =
        case.requests.iter().filter(|r| !r.answer_commitment.is_empty()).count() as u64 + 1;
    let mut statement = NewStatement::new("info-answer", &open.filing_id, number)?
        .part("core", &core)?
        .part("trader", &v1::InfoAnswerTrader { answers: request.answers })?
        .part("authority", &v1::DecisionAuthority::default())?
        .part(
            "internal",
            &v1::FilingInternal { account: account.to_owned(), ..Default::default() },
        )?;
    statement.refs.extend(Hash::from_slice(&open.commitment));
    statement.audience = shared.audience_of(&open.hub, "info-answer");
    let mut draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        ..Draft::default()
    };
    if open.hub == shared.identity.hub.as_str()
        && let Some((consumed, made)) = crate::receiver::answered_work(shared, &core).await?
    {
        draft.consumes.push(consumed);
        draft.makes.push(made);
    }
    let logged = shared.accounts.try_submit(draft).await?;
    let (log_index, commitment) =
        logged.statements.first().copied().unwrap_or((0, Hash::EMPTY_ROOT));
    let logged = v1::StatementRef {
        hub: shared.identity.hub.to_string(),
        commitment: commitment.0.to_vec(),
        log_index,
    };
    Ok(v1::AnswerInformationRequestResponse { result: Some(Outcome::Logged(logged)) })
}
