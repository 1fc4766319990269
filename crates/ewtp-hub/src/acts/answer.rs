//! Answers to information requests: each question once, by who filed.

use ewtp_log::Hash;
use ewtp_proto::store::v1::{AnswerRecord, CaseRecord, FilingRecord, RequestRecord};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::case;
use ewtp_trade::finding::Say;
use ewtp_trade::forget::erased_numbers;

use super::{Done, log_in, refuse, refused, stands_at, unknown_case};
use crate::attachments::missing;
use crate::draft::{Draft, NewStatement};
use crate::intake::IntakeError;
use crate::shared::Shared;
use crate::standing;

/// Longest answer, characters.
const ANSWER_CHARS_MAX: usize = 2000;

/// Answers an information request.
///
/// # Errors
/// [`IntakeError`].
pub async fn answer(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: v1::AnswerInformationRequestRequest,
) -> Result<Done, IntakeError> {
    let refuse = |path: &str, value: &str, say: Say<'_>| Ok(refuse(path, value, say));
    let views = Views(&*shared.store);
    let Some(case) = standing::case_of(shared, account, &request.case_id).await? else {
        return Ok(unknown_case(&request.case_id));
    };
    let asked = |r: &&RequestRecord| commitment_of(r) == request.request;
    let open = case.requests.iter().find(asked);
    if let Some(done) = said_before(shared, account, &case, open, &request).await? {
        return Ok(done);
    }
    let Some(open) = open.filter(|r| case::answer(&case, r).is_none()) else {
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
    let mine = |f: &FilingRecord| {
        case::hub(f.stands.as_ref()) == shared.identity.hub.as_str() && f.account == account.id
    };
    let filing = case::filing(&case, &open.filing_id).filter(|f| mine(f));
    if let Some(filing) = filing {
        let unentitled = standing::no_longer_entitled(shared, account, filing).await?;
        if !unentitled.is_empty() {
            return Ok(refused(unentitled));
        }
    } else {
        let say = Say {
            code: "rights",
            allowed: "a question about a filing of this account",
            fix: "who filed it answers it, at the hub where it was filed",
        };
        return refuse("request", "", say);
    }
    let stands = open.stands.clone().unwrap_or_default();
    let asked = views.statement(&stands.at.unwrap_or_default()).await?;
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
    let mut codes: Vec<&str> = request.answers.iter().map(|a| a.code.as_str()).collect();
    codes.sort_unstable();
    if let Some(twice) = codes.windows(2).find(|pair| pair[0] == pair[1]) {
        let say = Say {
            code: "answer-twice",
            allowed: "one answer for each question",
            fix: "leave one of them out",
        };
        return refuse("answers", twice[0], say);
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
    let missing = missing(shared, "attachments", &request.attachments).await?;
    if !missing.is_empty() {
        return Ok(refused(missing));
    }
    let core = v1::InfoAnswerCore {
        case_id: case.case_id.clone(),
        filing_id: open.filing_id.clone(),
        filing_version: open.filing_version,
        request: stands.commitment.clone(),
    };
    let mine = |a: &&AnswerRecord| case::hub(a.stands.as_ref()) == shared.identity.hub.as_str();
    let erased = erased_numbers(&case, "info-answer", &open.filing_id).count();
    let number = (case.answers.iter().filter(mine).count() + erased) as u64 + 1;
    let mut statement = NewStatement::new("info-answer", &open.filing_id, number)?
        .part("core", &core)?
        .part(
            "trader",
            &v1::InfoAnswerTrader { answers: request.answers, attachments: request.attachments },
        )?
        .part("authority", &v1::DecisionAuthority::default())?
        .part(
            "internal",
            &v1::FilingInternal { account: account.id.clone(), ..Default::default() },
        )?;
    statement.refs.extend(Hash::from_slice(&stands.commitment));
    statement.audience = shared.shown_to(&shared.hubs_of(&case), "info-answer");
    let mut draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        ..Draft::default()
    };
    if stands.hub == shared.identity.hub.as_str()
        && let Some((consumed, made)) = crate::receiver::answered_work(shared, &core).await?
    {
        draft.consumes.push(consumed);
        draft.makes.push(made);
    }
    log_in(shared, &case, draft).await
}

/// Where the same answer of the same account stands already.
async fn said_before(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
    asked: Option<&RequestRecord>,
    request: &v1::AnswerInformationRequestRequest,
) -> Result<Option<Done>, StoreError> {
    let given = asked.and_then(|r| case::answer(case, r)).and_then(|a| a.stands.as_ref());
    let Some(stands) = given.filter(|s| s.hub == shared.identity.hub.as_str()) else {
        return Ok(None);
    };
    let at = stands.at.clone().unwrap_or_default();
    let Some(statement) = Views(&*shared.store).statement(&at).await? else { return Ok(None) };
    let said = statement.part::<v1::InfoAnswerTrader>("trader").unwrap_or_default();
    let by = statement.part::<v1::FilingInternal>("internal").unwrap_or_default();
    let same = said.answers == request.answers
        && said.attachments == request.attachments
        && by.account == account.id;
    Ok(same.then(|| stands_at(stands)))
}

fn commitment_of(request: &RequestRecord) -> &[u8] {
    request.stands.as_ref().map(|s| s.commitment.as_slice()).unwrap_or_default()
}
