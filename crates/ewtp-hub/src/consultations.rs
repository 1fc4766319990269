//! Rules made in public: an agency publishes a draft with what it would have changed, accounts and peers comment on it in signed statements,
//! the agency answers each, and adopts.

use std::sync::Arc;

use ewtp_clearance::Ruleset;
use ewtp_log::statement::StatementId;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{StoredRulesComment, StoredRulesDraft};
use ewtp_proto::v1::{self, CommentOutcome};
use ewtp_store::{StoreError, Views};
use ewtp_trade::finding::{Say, finding};

use crate::clock::new_id;
use crate::draft::{Draft, NewStatement, SayError};
use crate::shared::Shared;
use crate::statement_check::{Judge, Reasons};

/// Most bytes of a comment or an answer.
const TEXT_BYTES_MAX: usize = 4000;
/// Most bytes of the figures of a simulation.
const FIGURES_BYTES_MAX: usize = 64 << 10;
/// Most comments of one hub on one draft, and of one account of this hub.
const COMMENTS_MAX: usize = 1000;
const COMMENTS_OF_ACCOUNT_MAX: usize = 20;
/// Most drafts of one hub.
const DRAFTS_MAX: usize = 200;
/// Most drafts that are listed.
const LISTED_MAX: usize = 1000;

fn fault(path: &str, value: &str, allowed: &str, fix: &str) -> v1::Finding {
    finding(path, value, Say { code: "consultation", allowed, fix })
}

fn text_fault(path: &str, text: &str) -> Option<v1::Finding> {
    let odd = |c: char| c.is_control() && c != '\n';
    let fits = !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(odd);
    let allowed = format!("1 to {TEXT_BYTES_MAX} bytes of text");
    (!fits).then(|| fault(path, &text.len().to_string(), &allowed, "say it shorter, in lines"))
}

/// The figures of a simulation as they may be published: sums alone, since its list of cases is not for everybody. `None` if they are none.
fn figures(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let mut figures: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).ok()?;
    figures.remove("each");
    serde_json::to_string(&figures).ok()
}

/// Publishes a draft for comment; its id.
///
/// # Errors
/// [`SayError`].
pub async fn propose(
    shared: &Arc<Shared>,
    request: &v1::ProposeRulesetRequest,
) -> Result<String, SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let ruleset = Ruleset::parse(&request.text).map_err(SayError::Faults)?;
    let mut faults = Vec::new();
    if ruleset.confidential {
        let fix = "publish it without a draft, or make it public";
        faults.push(fault("visibility", "confidential", "a public ruleset", fix));
    }
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    if request.comments_until_ms <= now_ms {
        let until = request.comments_until_ms.to_string();
        let fix = "give people time to read it";
        faults.push(fault("comments_until_ms", &until, "an instant to come", fix));
    }
    let figures = figures(&request.figures).filter(|f| f.len() <= FIGURES_BYTES_MAX);
    if figures.is_none() {
        let fix = "give what `ewtp rules simulate --json` printed";
        let size = request.figures.len().to_string();
        faults.push(fault("figures", &size, "a JSON object of at most 64 KiB", fix));
    }
    let directory = shared.directory.load_full();
    let newest = directory.rulesets.iter().filter(|r| r.name == ruleset.name).map(|r| r.version);
    let due = newest.max().map_or(1, |v| v + 1);
    if ruleset.version != due {
        let allowed = format!("version {due}, the next one");
        let fix = "set it in the file";
        faults.push(fault("version", &ruleset.version.to_string(), &allowed, fix));
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let id = new_id(shared.identity.hub.as_str())?;
    let core = v1::RulesDraftCore {
        draft_id: id.clone(),
        name: ruleset.name.clone(),
        version: ruleset.version,
        digest: ruleset.digest.0.to_vec(),
        text: request.text.clone(),
        comments_until_ms: request.comments_until_ms,
        figures: figures.unwrap_or_default(),
        ..Default::default()
    };
    let mut statement = NewStatement::new("ruleset-draft", &id, 1)?.part("core", &core)?;
    let peers: Vec<HubId> = directory.peers.keys().cloned().collect();
    statement.audience = shared.shown_to(&peers, "ruleset-draft");
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await?;
    Ok(id)
}

/// Comments on a draft of this hub or a peer; the comment's id.
///
/// # Errors
/// [`SayError`].
pub async fn comment(
    shared: &Arc<Shared>,
    account: &v1::AccountRecord,
    request: &v1::CommentOnDraftRequest,
) -> Result<String, SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let views = Views(&*shared.store);
    let id = request.draft_id.as_str();
    let Some(stored) = views.rules_draft(id).await? else {
        let fix = "list them: ewtp rules drafts";
        let allowed = "a draft that is known here";
        return Err(SayError::Faults(vec![fault("draft_id", id, allowed, fix)]));
    };
    let core = stored.core.clone().unwrap_or_default();
    let mut faults: Vec<v1::Finding> = text_fault("text", &request.text).into_iter().collect();
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    if now_ms > core.comments_until_ms || stored.adopted.is_some() {
        let fix = "write to the agency itself";
        faults.push(fault("draft_id", id, "a draft that is open for comment", fix));
    }
    let text = whole(shared, &stored).await?.text;
    let rules = Ruleset::parse(&text).map(|r| r.rules).unwrap_or_default();
    if !request.rule.is_empty() && !rules.iter().any(|r| r.id == request.rule) {
        let ids: Vec<&str> = rules.iter().map(|r| r.id.as_str()).collect();
        let fix = "leave it empty to speak of the whole";
        faults.push(fault("rule", &request.rule, &ids.join(", "), fix));
    }
    let own = views.rules_comments(id).await?;
    let mine = own.iter().filter(|c| c.hub.is_empty() && c.account == account.id).count();
    let full = own.iter().filter(|c| c.hub.is_empty()).count() >= COMMENTS_MAX;
    if full || mine >= COMMENTS_OF_ACCOUNT_MAX {
        let allowed = "at most 20 comments of one account, and 1000 of one hub, on a draft";
        faults.push(fault("draft_id", id, allowed, "write to the agency itself"));
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let comment_id = new_id(shared.identity.hub.as_str())?;
    let author = if account.name.is_empty() { &account.id } else { &account.name };
    let core = v1::RulesCommentCore {
        comment_id: comment_id.clone(),
        draft_id: id.to_owned(),
        draft: stored.commitment.clone(),
        rule: request.rule.clone(),
        text: request.text.clone(),
        author: author.clone(),
    };
    let internal = v1::ArrangementInternal { account: account.id.clone() };
    let mut statement = NewStatement::new("ruleset-comment", &comment_id, 1)?
        .part("core", &core)?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(&stored.commitment));
    statement.audience = shared.audience_of(&stored.hub, "ruleset-comment");
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await?;
    Ok(comment_id)
}

/// Answers a comment on a draft of this hub.
///
/// # Errors
/// [`SayError`].
pub async fn answer(
    shared: &Arc<Shared>,
    account: &str,
    request: &v1::AnswerCommentRequest,
) -> Result<(), SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let views = Views(&*shared.store);
    let (draft_id, comment_id) = (request.draft_id.as_str(), request.comment_id.as_str());
    let draft = views.rules_draft(draft_id).await?.filter(|d| d.hub.is_empty());
    let comment = views.rules_comment(draft_id, comment_id).await?;
    let (Some(_), Some(comment)) = (draft, comment) else {
        let allowed = "a comment on a draft of this hub";
        let fix = "list them: ewtp rules drafts";
        return Err(SayError::Faults(vec![fault("comment_id", comment_id, allowed, fix)]));
    };
    let mut faults: Vec<v1::Finding> = text_fault("text", &request.text).into_iter().collect();
    if request.outcome() == CommentOutcome::Unspecified {
        let fix = "say what becomes of it";
        faults.push(fault("outcome", "", "taken up, partly, or not taken up", fix));
    }
    if comment.answer.is_some() {
        let fix = "it stands; adopt the ruleset";
        faults.push(fault("comment_id", comment_id, "a comment without an answer", fix));
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let core = v1::RulesAnswerCore {
        draft_id: draft_id.to_owned(),
        comment_id: comment_id.to_owned(),
        comment: comment.commitment.clone(),
        outcome: request.outcome,
        text: request.text.clone(),
    };
    let internal = v1::ArrangementInternal { account: account.to_owned() };
    let mut statement = NewStatement::new("ruleset-answer", comment_id, 1)?
        .part("core", &core)?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(&comment.commitment));
    statement.audience = shared.audience_of(&comment.hub, "ruleset-answer");
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await?;
    Ok(())
}

/// The draft that a ruleset adopts: its commitment, and the statement that says so to who was told of it.
///
/// # Errors
/// [`SayError`].
pub(crate) async fn adopting(
    shared: &Shared,
    draft_id: &str,
    ruleset: &Ruleset,
) -> Result<(Vec<u8>, NewStatement), SayError> {
    let views = Views(&*shared.store);
    let Some(stored) = views.rules_draft(draft_id).await?.filter(|d| d.hub.is_empty()) else {
        let fix = "list them: ewtp rules drafts";
        let allowed = "a draft of this hub";
        return Err(SayError::Faults(vec![fault("draft_id", draft_id, allowed, fix)]));
    };
    let core = stored.core.clone().unwrap_or_default();
    let mut faults = Vec::new();
    if stored.adopted.is_some() {
        let fix = "propose the next version";
        faults.push(fault("draft_id", draft_id, "a draft that nothing was adopted of", fix));
    }
    if core.name != ruleset.name || ruleset.confidential {
        let allowed = format!("the public ruleset {}", core.name);
        faults.push(fault("name", &ruleset.name, &allowed, "adopt what was proposed"));
    }
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    if now_ms <= core.comments_until_ms {
        let until = jiff::Timestamp::from_millisecond(core.comments_until_ms);
        let until = until.map(|t| t.to_string()).unwrap_or_default();
        let allowed = "a draft whose time for comments is over";
        faults.push(fault("draft_id", &until, allowed, "wait until then"));
    }
    let comments = views.rules_comments(draft_id).await?;
    for open in comments.iter().filter(|c| c.answer.is_none()).take(32) {
        let id = open.core.as_ref().map(|c| c.comment_id.clone()).unwrap_or_default();
        let fix = "answer it: ewtp rules answer";
        faults.push(fault("comments", &id, "an answer to every comment", fix));
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let adopted = v1::RulesDraftCore {
        draft_id: draft_id.to_owned(),
        name: core.name,
        version: core.version,
        digest: core.digest,
        comments_until_ms: core.comments_until_ms,
        adopted_digest: ruleset.digest.0.to_vec(),
        adopted_version: ruleset.version,
        ..Default::default()
    };
    let mut statement = NewStatement::new("ruleset-draft", draft_id, 2)?.part("core", &adopted)?;
    statement.refs.extend(Hash::from_slice(&stored.commitment));
    let told: Vec<HubId> = stored.told.iter().filter_map(|h| h.parse().ok()).collect();
    statement.audience = shared.shown_to(&told, "ruleset-draft");
    Ok((stored.commitment, statement))
}

/// Drafts with all that was said about them, as far as it is known here.
///
/// # Errors
/// Reading.
pub async fn list(
    shared: &Shared,
    request: &v1::ListDraftsRequest,
) -> Result<Vec<v1::RulesConsultation>, StoreError> {
    let views = Views(&*shared.store);
    let drafts = match request.draft_id.as_str() {
        "" => views.rules_drafts(LISTED_MAX).await?,
        id => views.rules_draft(id).await?.into_iter().collect(),
    };
    let mut out = Vec::new();
    for mut draft in drafts {
        let id = draft.core.as_ref().map(|c| c.draft_id.clone()).unwrap_or_default();
        let comments = views.rules_comments(&id).await?;
        // Texts are told of one draft at a time.
        if !request.brief && !request.draft_id.is_empty() {
            draft.core = Some(whole(shared, &draft).await?);
        }
        out.push(view(shared, draft, comments));
    }
    Ok(out)
}

/// A draft with its text and figures, from where it stands.
async fn whole(
    shared: &Shared,
    draft: &StoredRulesDraft,
) -> Result<v1::RulesDraftCore, StoreError> {
    let at = draft.at.clone().unwrap_or_default();
    let statement = Views(&*shared.store).statement(&at).await?;
    let core: Option<v1::RulesDraftCore> = statement.and_then(|s| s.part("core"));
    Ok(core.or_else(|| draft.core.clone()).unwrap_or_default())
}

fn view(
    shared: &Shared,
    draft: StoredRulesDraft,
    comments: Vec<StoredRulesComment>,
) -> v1::RulesConsultation {
    let me = shared.identity.hub.as_str();
    let reference = |hub: &str, commitment: Vec<u8>, log_index| v1::StatementRef {
        hub: if hub.is_empty() { me } else { hub }.to_owned(),
        commitment,
        log_index,
    };
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let comment = |c: StoredRulesComment| v1::RulesComment {
        statement: Some(reference(&c.hub, c.commitment, c.log_index)),
        answer_statement: c
            .answer
            .is_some()
            .then(|| reference(&draft.hub, c.answer_commitment, c.answer_index)),
        core: c.core,
        answer: c.answer,
        logged_ms: signed(c.logged_ms),
    };
    let mut all: Vec<v1::RulesComment> = comments.into_iter().map(comment).collect();
    all.sort_by_key(|c| c.logged_ms);
    v1::RulesConsultation {
        draft: draft.core,
        statement: Some(reference(&draft.hub, draft.commitment, draft.log_index)),
        comments: all,
        adopted: draft.adopted,
        logged_ms: signed(draft.logged_ms),
    }
}

/// Whether an id is of a hub's making.
fn is_of(id: &str, hub: &str) -> bool {
    id.rsplit_once('-').is_some_and(|(of, _)| of == hub)
}

/// Checks what a peer drafts, or adopted of its draft.
///
/// # Errors
/// Reading.
pub(crate) async fn draft_heard(
    judge: &Judge<'_>,
    id: &StatementId,
    core: &v1::RulesDraftCore,
    reasons: &mut Reasons,
) -> Result<(), StoreError> {
    let peer = judge.peer.hub.as_str();
    let theirs = is_of(&core.draft_id, peer) && core.draft_id == id.subject;
    let allowed = "an id of the hub that drafts, as in the header";
    reasons.unless(theirs, "consultation", "core.draft_id", &core.draft_id, allowed);
    let known = Views(judge.store).rules_draft(&core.draft_id).await?;
    let follows = match id.number {
        1 => known.is_none(),
        // Who was pinned later may hear of what was adopted alone.
        2 => known.is_none_or(|d| d.adopted.is_none()),
        _ => false,
    };
    let number = id.number.to_string();
    reasons.unless(follows, "consultation", "id", &number, "a draft, then what was adopted of it");
    let bounded = core.text.len() <= ewtp_clearance::ruleset::RULESET_BYTES_MAX
        && core.figures.len() <= FIGURES_BYTES_MAX
        && core.name.len() <= 100;
    let size = core.text.len().to_string();
    reasons.unless(bounded, "consultation", "core.text", &size, "at most 200 KiB of text");
    let drafts = Views(judge.store).rules_drafts_of(peer, DRAFTS_MAX).await?;
    let few = id.number != 1 || drafts < DRAFTS_MAX;
    reasons.unless(few, "too-many", "core.draft_id", &core.draft_id, "fewer drafts of one hub");
    Ok(())
}

/// Checks a peer's comment on a draft of this hub.
///
/// # Errors
/// Reading.
pub(crate) async fn comment_heard(
    judge: &Judge<'_>,
    (id, time_ms): (&StatementId, Option<u64>),
    core: &v1::RulesCommentCore,
    reasons: &mut Reasons,
) -> Result<(), StoreError> {
    let peer = judge.peer.hub.as_str();
    let theirs = is_of(&core.comment_id, peer) && core.comment_id == id.subject && id.number == 1;
    let allowed = "an id of the hub at which it was given, as in the header";
    reasons.unless(theirs, "consultation", "core.comment_id", &core.comment_id, allowed);
    let views = Views(judge.store);
    let draft = views.rules_draft(&core.draft_id).await?.filter(|d| d.hub.is_empty());
    let same = draft.as_ref().is_some_and(|d| d.commitment == core.draft);
    let allowed = "a draft of this hub";
    reasons.unless(same, "consultation", "core.draft_id", &core.draft_id, allowed);
    let until = draft.and_then(|d| d.core).map_or(0, |c| c.comments_until_ms);
    let said = time_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(i64::MAX);
    let allowed = "a comment within the time for comments";
    reasons.unless(said <= until, "consultation", "time", &said.to_string(), allowed);
    reasons.0.extend(text_fault("core.text", &core.text));
    let named = core.rule.len() <= 100 && core.author.len() <= 300;
    reasons.unless(named, "consultation", "core.author", "", "a rule's id and a name");
    if !reasons.0.is_empty() {
        return Ok(());
    }
    let before = views.rules_comments_of(&core.draft_id, peer, COMMENTS_MAX).await?;
    let allowed = "fewer than 1000 comments of one hub on a draft";
    reasons.unless(before < COMMENTS_MAX, "too-many", "core.draft_id", &core.draft_id, allowed);
    Ok(())
}

/// Checks a peer's answer to a comment that was given here.
///
/// # Errors
/// Reading.
pub(crate) async fn answer_heard(
    judge: &Judge<'_>,
    id: &StatementId,
    core: &v1::RulesAnswerCore,
    reasons: &mut Reasons,
) -> Result<(), StoreError> {
    let peer = judge.peer.hub.as_str();
    let comment = Views(judge.store).rules_comment(&core.draft_id, &core.comment_id).await?;
    let ours = comment
        .is_some_and(|c| c.hub.is_empty() && c.commitment == core.comment && c.answer.is_none());
    let holds = ours && is_of(&core.draft_id, peer) && id.subject == core.comment_id;
    let allowed = "a comment of this hub on a draft of theirs, without an answer so far";
    reasons.unless(holds, "consultation", "core.comment_id", &core.comment_id, allowed);
    reasons.0.extend(text_fault("core.text", &core.text));
    Ok(())
}
