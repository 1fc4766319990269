//! Hears one peer: dials, subscribes, verifies each page against the frontiers, judges its statements, and commits page,
//! cursor, head and the work that they make as one frame.
//!
//! Whatever ends a stream, the next one starts at the cursor: at-least-once delivery, exactly-once effect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ewtp_log::page::{
    EntryBody, LaneState, LaneTrust, Page, PageRefusal, PageVerdict, verify_page,
};
use ewtp_log::statement::commitment;
use ewtp_log::{HubId, LaneNumber};
use ewtp_proto::store::v1::{HeardPage, HeardStatement, Locator};
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_proto::v1::subscribe_response::Message as Said;
use ewtp_proto::{Message as _, v1};
use ewtp_store::planted::{self, Bug};
use ewtp_store::views::lane_to_stored;
use ewtp_store::{StoreError, Views};
use tokio_util::sync::CancellationToken;

use crate::client::{self, DialError};
use crate::committer::heard;
use crate::directory::{Peer, speaker};
use crate::draft::{Draft, DraftError, FilingAt, NewStatement, PagePlan, WorkPlan};
use crate::forgetting::{ANSWERS_MAX, Order, OrderError, ordered_by};
use crate::gossip::Stands;
use crate::page_wire;
use crate::peer_chains::{self, TakeError};
use crate::recognition::Again;
use crate::shared::Shared;
use crate::statement_check::{IDENTITY_USED, Judge, Pending, Said as Meaning, UNPROVEN, Verdict};
use crate::{evidence, gossip, lane_evidence, settled};

/// First and longest pause before a peer is dialled again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamEnded {
    /// Dialling.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The call.
    #[error("the stream ended: {code}: {message}")]
    Call {
        /// gRPC code.
        code: String,
        /// What the peer said.
        message: String,
    },
    /// A page was refused.
    #[error(
        "page refused: {0}; nothing of it is stored, the subscription restarts at the cursor by itself; if this recurs, call the peer's operator"
    )]
    Page(#[from] ewtp_log::page::PageRefusal),
    /// The committer.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peer closed it.
    #[error("the peer closed the stream")]
    Closed,
    /// The pinned chain has no log in use.
    #[error("the peer's descriptor names no log")]
    NoLog,
    /// What it shows this hub is not what it showed others.
    #[error(
        "first contact: {0}'s log does not join the head it shows here to the head that others were shown; nothing is taken from it \
         until it does; call its operator"
    )]
    FirstContact(String),
    /// Its descriptors.
    #[error(transparent)]
    Chain(#[from] TakeError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// An order to erase something.
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// How a peer's lane stands, for operators and metrics.
#[derive(Default)]
pub struct Progress {
    /// A stream is open.
    pub connected: std::sync::atomic::AtomicBool,
    /// Statements heard.
    pub cursor: AtomicU64,
    /// Statements owed under the last head.
    pub owed: AtomicU64,
    /// Pages verified.
    pub pages: AtomicU64,
    /// Last error.
    pub last_error: Mutex<String>,
}

impl Progress {
    /// Keeps an error; true if it is another than the last one.
    fn is_new(&self, error: &str) -> bool {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let new = *last != error;
        if new {
            error.clone_into(&mut last);
        }
        new
    }
}

/// Runs until `stop` fires; errors of the peer are retried, errors of the own store end the hub.
///
/// # Errors
/// [`StoreError`].
pub async fn run(
    shared: Arc<Shared>,
    hub: HubId,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let mut pause = RETRY.0;
    while !stop.is_cancelled() {
        let Some(peer) = shared.directory.load().peers.get(&hub).filter(|p| p.is_active()).cloned()
        else {
            return Ok(());
        };
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => {
                progress.connected.store(false, Ordering::Relaxed);
                return Ok(());
            }
            ended = stream(&shared, &peer, &progress) => ended,
        };
        let was_connected = progress.connected.swap(false, Ordering::Relaxed);
        match ended {
            Err(StreamEnded::Store(e) | StreamEnded::Chain(TakeError::Store(e))) => return Err(e),
            Err(
                StreamEnded::Draft(DraftError::InDoubt)
                | StreamEnded::Chain(TakeError::Draft(DraftError::InDoubt)),
            ) => return Ok(()), // the hub is stopping
            Ok(()) => {}
            Err(error) => {
                let text = error.to_string();
                if progress.is_new(&text) {
                    tracing::warn!(peer = %hub, %error, "lane interrupted");
                }
                // Its keys may have changed while this hub slept.
                if matches!(
                    error,
                    StreamEnded::Dial(DialError::Key { .. })
                        | StreamEnded::Page(PageRefusal::Signature(_))
                ) {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(()),
                        _ = peer_chains::refresh(&shared, &hub) => {}
                    }
                }
            }
        }
        if planted::is(Bug::ReceiverGivesUp) {
            return Ok(());
        }
        pause = if was_connected { RETRY.0 } else { (pause * 2).min(RETRY.1) };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

async fn stream(shared: &Shared, peer: &Peer, progress: &Progress) -> Result<(), StreamEnded> {
    let origin = peer.chain.origin().ok_or(StreamEnded::NoLog)?.clone();
    let generation = origin.generation();
    let mut state = Views(&*shared.store).lane_state(peer.hub.as_str(), generation).await?;
    let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await?;
    let mut client = FederationServiceClient::new(channel)
        .max_decoding_message_size(ewtp_log::page::PAGE_BYTES_MAX * 2);
    let request = v1::SubscribeRequest {
        cursor: state.cursor,
        head_size: state.head_size.0,
        generation,
        descriptor_version: u32::try_from(peer.chain.newest().version).unwrap_or(u32::MAX),
        protocol: 1,
    };
    let call = |s: tonic::Status| StreamEnded::Call {
        code: format!("{:?}", s.code()),
        message: s.message().into(),
    };
    if state.head_size.0 == 0 {
        gossip::first_contact(shared, &peer.hub).await?;
    }
    let mut pages = client.subscribe(request).await.map_err(call)?.into_inner();
    progress.connected.store(true, Ordering::Relaxed);
    while let Some(message) = pages.message().await.map_err(call)? {
        match message.message {
            Some(Said::Page(page)) => {
                let page = page_wire::from_wire(page)?;
                on_page(shared, peer, &origin, &mut state, page, progress).await?;
            }
            Some(Said::Descriptors(chain)) => {
                // The directory changes with it, and this stream begins anew under the new keys.
                peer_chains::take(shared, peer, &chain.envelopes).await?;
            }
            Some(Said::Cosigned(note)) => {
                if let Err(error) = settled::take(shared, peer, &state, &note) {
                    tracing::warn!(peer = %peer.hub, %error, "a cosigned head is not taken");
                    crate::metrics::alarm("cosigned-head");
                }
            }
            None => {}
        }
    }
    Err(StreamEnded::Closed)
}

async fn on_page(
    shared: &Shared,
    peer: &Peer,
    origin: &ewtp_log::Origin,
    state: &mut LaneState,
    page: Page,
    progress: &Progress,
) -> Result<(), StreamEnded> {
    let keys = peer.chain.log_keys(shared.clock.now_ms());
    let trust = LaneTrust { me: &shared.identity.hub, origin, log_keys: &keys };
    let next = match verify_page(state, &page, &trust) {
        Ok(PageVerdict::Accept(next)) => *next,
        Ok(PageVerdict::Drop) => return Ok(()),
        Err(refusal) => {
            crate::metrics::page_refused(peer.hub.as_str(), refusal.code());
            misconduct(shared, peer, state, &page, &refusal).await?;
            return Err(refusal.into());
        }
    };
    if let Some(head) = &page.head {
        let stands = gossip::lane_head(shared, peer, state, &head.checkpoint).await?;
        // A split is proven: the hub is in quarantine, and what it says is kept and marked.
        let open = matches!(stands, Stands::NotJoined | Stands::NotKnown);
        if open && state.head_size.0 == 0 {
            return Err(StreamEnded::FirstContact(peer.hub.to_string()));
        }
    }
    compare_clocks(shared, peer, &page);
    let statements = page.entries.len();
    let held = lane_evidence::held(state, &next, &page, &shared.identity.hub);
    let generation = origin.generation();
    let (draft, erased) = draft_of(shared, peer, state, &next, page).await?;
    let (again, told) = (said_again(&draft), told_of_us(shared, &draft));
    shared.own.submit(draft).await?;
    if let Some(held) = held {
        shared.hold_head(&peer.hub, held);
    }
    standing_here(shared, peer, &told);
    // The first of a page is enough of a proof, and of work.
    for number in again.into_iter().take(1) {
        lane_evidence::said_twice(shared, peer, generation, LaneNumber(number)).await?;
    }
    for digest in erased {
        crate::attachments::forget(shared, &digest).await;
    }
    *state = next;
    progress.cursor.store(state.cursor, Ordering::Relaxed);
    progress.owed.store(state.lane_size - state.cursor, Ordering::Relaxed);
    progress.pages.fetch_add(1, Ordering::Relaxed);
    shared.pages_verified.fetch_add(1, Ordering::Relaxed);
    crate::metrics::page_verified(peer.hub.as_str(), statements);
    crate::metrics::lane_lag(peer.hub.as_str(), "in", state.lane_size - state.cursor, 0.0);
    Ok(())
}

fn unproven(peer: &Peer) -> v1::Finding {
    v1::Finding {
        code: UNPROVEN.into(),
        value: peer.hub.to_string(),
        allowed: "what a hub in quarantine says is kept and not relied upon".into(),
        ..Default::default()
    }
}

/// How a peer says that it regards this hub.
fn told_of_us(shared: &Shared, draft: &Draft) -> Vec<v1::StandingCore> {
    let Some(page) = &draft.page else { return Vec::new() };
    let mut told = Vec::new();
    for (statement, blobs) in page.page.statements.iter().zip(&page.blobs) {
        let kind = ewtp_log::Header::parse(&statement.header).map(|h| h.id.kind);
        let core = blobs.iter().find(|(name, _)| name == "core");
        let core = core.and_then(|(name, blob)| ewtp_log::statement::open_part(name, blob).ok());
        if let (Ok("standing"), Some(core)) = (kind.as_deref(), core)
            && let Ok(core) = v1::StandingCore::decode(core)
            && core.hub == shared.identity.hub.as_str()
        {
            told.push(core);
        }
    }
    told
}

fn standing_here(shared: &Shared, peer: &Peer, told: &[v1::StandingCore]) {
    for core in told {
        let what = if core.quarantined { "in quarantine" } else { "suspended" };
        let text = format!("{} regards this hub as {what}: {}", peer.hub, core.reason);
        let topic = format!("standing at {}", peer.hub);
        shared.warn(&topic, (!core.reinstated).then_some(text));
    }
}

/// What a refused page shows: two signed heads of one size are a proof by themselves; else the issuer is asked to open the lane.
async fn misconduct(
    shared: &Shared,
    peer: &Peer,
    state: &LaneState,
    page: &Page,
    refusal: &PageRefusal,
) -> Result<(), StoreError> {
    match refusal {
        PageRefusal::Split { .. } => {
            let (Some(held), Some(head)) = (shared.held_head(&peer.hub), &page.head) else {
                return Ok(());
            };
            let new = String::from_utf8_lossy(&head.checkpoint);
            if held.size == state.head_size.0 {
                evidence::two_heads(shared, &peer.hub, &held.note, &new).await?;
            }
            Ok(())
        }
        PageRefusal::Root
        | PageRefusal::LaneRoot
        | PageRefusal::LaneShrinks { .. }
        | PageRefusal::Slot { .. } => lane_evidence::ask(shared, peer).await,
        _ => Ok(()),
    }
}

/// Lane numbers of the statements of a page whose identity was used before.
fn said_again(draft: &Draft) -> Vec<u64> {
    let Some(page) = &draft.page else { return Vec::new() };
    let again = |s: &HeardStatement| s.not_honoured.iter().any(|r| r.code == IDENTITY_USED);
    let numbered = (page.page.first..).zip(&page.page.statements);
    numbered.filter(|(_, s)| again(s)).map(|(n, _)| n).collect()
}

/// A receiver compares with its own clock only to alarm. A live page's newest statement was logged a moment ago; an old one in
/// a backlog shows nothing, so only a time ahead of ours is told.
fn compare_clocks(shared: &Shared, peer: &Peer, page: &Page) {
    let newest = page.entries.iter().rev().find_map(|e| match &e.body {
        EntryBody::Statement { header, .. } => ewtp_log::Header::parse(header).ok()?.time_ms(),
        EntryBody::Tombstone(_) => None,
    });
    let Some(newest) = newest else { return };
    let ahead = newest.saturating_sub(shared.clock.now_ms());
    let far = ahead > shared.config.limits.clock_tolerance_ms;
    let text = format!(
        "{}'s clock is {} s ahead of this machine's; one of the two is wrong",
        peer.hub,
        ahead / 1000
    );
    shared.warn(&format!("clock of {}", peer.hub), far.then_some(text));
}

/// The frame that a page becomes: statements with their verdicts, acknowledgements of those not honoured, and work; and the
/// attachments to be erased once it is durable.
async fn draft_of(
    shared: &Shared,
    peer: &Peer,
    before: &LaneState,
    after: &LaneState,
    page: Page,
) -> Result<(Draft, Vec<[u8; 32]>), StreamEnded> {
    let generation = peer.chain.origin().map_or(1, |o| o.generation());
    let own = shared.own_descriptor();
    let directory = shared.directory.load_full();
    let judge = Judge {
        directory: &directory,
        peer,
        me: &shared.identity.hub,
        own: speaker(&own),
        lists: &shared.lists.with(&directory.code_lists),
        store: &*shared.store,
    };
    let checkpoint = page.head.as_ref().map(|h| h.checkpoint.clone()).unwrap_or_default();
    let mut draft = Draft::default();
    let (mut statements, mut blobs) = (Vec::new(), Vec::new());
    let mut reloads = false;
    let mut again = Again::default();
    let mut pending = Pending::default();
    let mut erased = Vec::new();
    for (number, entry) in (page.first.0..).zip(page.entries) {
        let verdict = judge.judge(&entry, &mut pending).await?;
        work(shared, peer, LaneNumber(number), generation, &verdict, &mut draft).await?;
        match &verdict.said {
            Meaning::Erasure(digest) => erased.push(*digest),
            Meaning::Forgetting(core) => {
                let commitment = &entry.commitment().0;
                let order = Order { peer: &peer.hub, index: entry.index.0, commitment, core };
                let mut order = ordered_by(shared, &order, &draft.erases).await?;
                let answers = |s: &&NewStatement| s.id.kind == "keeping";
                if draft.statements.iter().filter(answers).count() >= ANSWERS_MAX {
                    order.statements.retain(|s| !answers(&s));
                }
                erased.extend(order.attachments_erased());
                draft.join(order);
            }
            Meaning::Directory => reloads = true,
            Meaning::Established(case) => again.case(case),
            // An export filing in another version is controlled anew.
            Meaning::Noted(core) => again.case(&core.case_id),
            Meaning::Certificate { id, holder } => again.certificate(id, holder),
            _ => {}
        }
        if !verdict.not_honoured.is_empty() {
            acknowledge(peer, &entry, &verdict, &mut draft)?;
        }
        let mut held = match entry.body {
            EntryBody::Statement { header, parts } => {
                blobs.push(parts);
                heard(entry.index.0, header, Vec::new())
            }
            EntryBody::Tombstone(hash) => {
                blobs.push(Vec::new());
                heard(entry.index.0, Vec::new(), hash.0.to_vec())
            }
        };
        held.not_honoured = verdict.not_honoured;
        held.warnings = verdict.warnings;
        if !peer.is_trusted() {
            held.warnings.push(unproven(peer));
        }
        statements.push(held);
    }
    draft.makes.extend(again.work(shared, peer, page.first.0).await?);
    if planted::is(Bug::LaneGap) && statements.len() > 1 {
        statements.pop();
        blobs.pop();
    }
    draft.page = Some(Box::new(PagePlan {
        peer: peer.hub.clone(),
        generation,
        cursor_before: before.cursor,
        head_before: before.head_size.0,
        page: HeardPage {
            peer: peer.hub.to_string(),
            generation,
            first: page.first.0,
            statements,
            state: Some(lane_to_stored(after)),
            checkpoint,
        },
        blobs,
        reloads,
    }));
    Ok((draft, erased))
}

async fn work(
    shared: &Shared,
    peer: &Peer,
    number: LaneNumber,
    generation: u64,
    verdict: &Verdict,
    draft: &mut Draft,
) -> Result<(), StoreError> {
    match &verdict.said {
        Meaning::Nothing
        | Meaning::Noted(_)
        | Meaning::Directory
        | Meaning::Erasure(_)
        | Meaning::Forgetting(_) => {}
        Meaning::Filing(core) => {
            let at = Locator { peer: peer.hub.to_string(), generation, number: number.0 };
            draft.makes.push(WorkPlan::first(core, FilingAt::Known(at)));
        }
        Meaning::Established(_) | Meaning::Certificate { .. } => {}
        Meaning::Answer(core) => {
            let Some((consumed, made)) = answered_work(shared, core).await? else { return Ok(()) };
            // The first answer of a page counts.
            if !draft.consumes.contains(&consumed) {
                draft.consumes.push(consumed);
                draft.makes.push(made);
            }
        }
    }
    Ok(())
}

/// The waiting work item that an answer wakes, and the item that follows it. The first answer counts.
///
/// # Errors
/// Reading.
pub(crate) async fn answered_work(
    shared: &Shared,
    core: &v1::InfoAnswerCore,
) -> Result<Option<(String, WorkPlan)>, StoreError> {
    let views = Views(&*shared.store);
    let Some(case) = views.case(&core.case_id).await? else { return Ok(None) };
    let same = |r: &&ewtp_proto::store::v1::RequestRecord| {
        r.filing_id == core.filing_id && r.filing_version == core.filing_version
    };
    let asked = |r: &ewtp_proto::store::v1::RequestRecord| {
        r.stands.as_ref().is_some_and(|s| s.commitment == core.request)
    };
    let Some(round) = case.requests.iter().filter(same).position(asked) else {
        return Ok(None);
    };
    let id = format!("{}/{}/{}", core.filing_id, core.filing_version, round + 1);
    // An answer that comes after the deadline finds the officer's item in its place.
    for id in [id.clone(), format!("{id}o")] {
        let Some(item) = views.work_item(&id).await? else { continue };
        // Who asked decides: what an officer wanted to know is not for the rules to conclude from.
        let asked = case.requests.iter().filter(same).nth(round).and_then(|r| r.stands.as_ref());
        let asked = asked.and_then(|s| s.at.clone()).unwrap_or_default();
        let asked = views.statement(&asked).await?;
        let by: v1::DecisionInternal = asked.and_then(|s| s.part("internal")).unwrap_or_default();
        let officer_reason = match by.identity.as_str() {
            "" => String::new(),
            identity => format!("answered: what {identity} asked"),
        };
        let made = WorkPlan {
            id: format!("{}/{}/{}a", core.filing_id, core.filing_version, round + 1),
            case_id: item.case_id,
            filing_id: item.filing_id,
            filing_version: item.filing_version,
            filing: FilingAt::Known(item.filing.unwrap_or_default()),
            officer_reason,
            waits_until_ms: 0,
            priority: item.priority,
            proposal: None,
            time_limit: false,
        };
        return Ok(Some((id, made)));
    }
    Ok(None)
}

/// An acknowledgement is never acknowledged.
fn acknowledge(
    peer: &Peer,
    entry: &ewtp_log::page::PageEntry,
    verdict: &Verdict,
    draft: &mut Draft,
) -> Result<(), getrandom::Error> {
    let EntryBody::Statement { header, parts } = &entry.body else { return Ok(()) };
    let kind = ewtp_log::Header::parse(header).map(|h| h.id.kind).unwrap_or_default();
    let repeated = verdict.not_honoured.iter().any(|r| r.code == IDENTITY_USED);
    if kind == "ack" || repeated {
        return Ok(());
    }
    let commitment = commitment(header);
    let core = v1::AckCore {
        commitment: commitment.0.to_vec(),
        log_index: entry.index.0,
        reasons: verdict.not_honoured.clone(),
        case_id: crate::casebook::case_id_of(&kind, parts).unwrap_or_default(),
        kind,
    };
    let mut statement = NewStatement::new("ack", &commitment.to_hex(), 1)?.part("core", &core)?;
    statement.audience.push(peer.hub.clone());
    draft.statements.push(statement);
    Ok(())
}
