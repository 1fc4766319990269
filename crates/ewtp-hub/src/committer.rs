//! The committer: the one task that writes the log and the store.
//!
//! drafts and pages ─▶ bounded queues ─▶ batch ─▶ indexes, lane numbers, table ─▶ sign ─▶ `Store::commit` ─▶ answers, lanes
//!
//! Invariant: nothing is answered or shown before its commit returned (protocol.md, "Saying something", 3). A failed
//! commit leaves the disk in doubt: the task ends, the hub stops, start-up reads what is true.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{DEPTH_MIN, LaneTable, Slot, depth_for, lane_leaf};
use ewtp_log::statement::{Header, STATEMENT_BYTES_MAX, commitment, format_time};
use ewtp_log::tree::Frontier;
use ewtp_log::{Checkpoint, Hash, HubId, LogIndex, TreeSize};
use ewtp_proto::store::v1::{
    BlobRef, Frame, HeardStatement, LaneAddress, LateAddress, Locator, LogHead, OwnStatement,
    SlotState, WorkItem,
};
use ewtp_store::planted::{self, Bug};
use ewtp_store::{Store, StoreError, Views};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::directory::{Directory, SharedDirectory};
use crate::draft::{
    Draft, DraftError, FilingAt, LateEntry, Logged, NewStatement, PagePlan, Watched,
};
use crate::durable::{DurableHead, LogIdentity};
use crate::queue::{Outcome, Pending, Submitter, queue};

/// Frontiers of a lane that the hub says.
struct LaneOut {
    slot: u16,
    frontier: Frontier,
}

/// Why the committer stopped.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store failed: nothing more is acknowledged.
    #[error("nothing more can be stored: {0}")]
    Store(#[from] StoreError),
}

/// Owns the tree head; nobody else can extend the log.
pub struct Committer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    identity: Arc<LogIdentity>,
    directory: SharedDirectory,
    head: watch::Sender<DurableHead>,
    batch_max: usize,
    log: Frontier,
    lanes: BTreeMap<HubId, LaneOut>,
    depth: u8,
    last_ms: u64,
    /// Digests of own descriptors that the next batch begins with.
    raw_entries: Vec<Hash>,
}

/// A frame in the making.
#[derive(Default)]
struct Plan {
    frame: Frame,
    blobs: Vec<u8>,
    lrns: HashMap<[u8; 32], (u64, [u8; 32])>,
    consumed: HashSet<String>,
    touched: HashSet<String>,
    pages: HashSet<HubId>,
    witnessed: HashSet<String>,
    reload: bool,
    outcomes: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    acts: Vec<OwnedMutexGuard<()>>,
}

impl Committer {
    /// Takes up where the store stands.
    ///
    /// # Errors
    /// Reading.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        identity: Arc<LogIdentity>,
        directory: SharedDirectory,
        batch_max: usize,
    ) -> Result<(Self, watch::Receiver<DurableHead>), StoreError> {
        let views = Views(&*store);
        let stored = views.head().await?;
        let mut lanes = BTreeMap::new();
        let mut log = Frontier::default();
        // Frames that only hear grow no head, and their time counts as well.
        let (mut depth, mut last_ms) = (DEPTH_MIN, views.counters().await?.time_ms);
        let mut durable = DurableHead { depth, ..Default::default() };
        if let Some(head) = &stored {
            durable = DurableHead::of(head)?;
            log = views.log_frontier(TreeSize(head.size)).await?;
            depth = durable.depth;
            last_ms = last_ms.max(head.time_ms);
            for s in durable.slots.iter() {
                let frontier = views.frontier(s.peer.as_str(), s.lane_size).await?;
                lanes.insert(s.peer.clone(), LaneOut { slot: s.slot, frontier });
            }
        }
        let (head, watcher) = watch::channel(durable);
        let me = Self {
            store,
            clock,
            identity,
            directory,
            head,
            batch_max,
            log,
            lanes,
            depth,
            last_ms,
            raw_entries: Vec::new(),
        };
        Ok((me, watcher))
    }

    /// Two queues and their submitters: accounts, and the hub's own tasks (pages, desk, operators).
    #[must_use]
    pub fn queues(limit: usize) -> ([Submitter; 2], [mpsc::Receiver<Pending>; 2]) {
        let ((accounts, a), (own, b)) = (queue(limit), queue(limit));
        ([accounts, own], [a, b])
    }

    /// Runs until `stop` fires and what was accepted is logged.
    ///
    /// # Errors
    /// [`CommitError`] if a commit failed: the hub has to stop.
    pub async fn run(
        mut self,
        mut queues: [mpsc::Receiver<Pending>; 2],
        stop: CancellationToken,
    ) -> Result<(), CommitError> {
        let share = self.batch_max.div_ceil(2);
        let mut batch: Vec<Pending> = Vec::with_capacity(self.batch_max);
        let mut open = [true, true];
        while open[0] || open[1] {
            let [accounts, own] = &mut queues;
            let first = tokio::select! {
                biased;
                () = stop.cancelled(), if !accounts.is_closed() => {
                    accounts.close();
                    own.close();
                    None
                }
                one = own.recv(), if open[1] => {
                    open[1] = one.is_some();
                    one
                }
                one = accounts.recv(), if open[0] => {
                    open[0] = one.is_some();
                    one
                }
            };
            batch.extend(first);
            // Take what waits as well, each source up to its share: one sync serves all.
            for (queue, share) in [(own, share), (accounts, self.batch_max)] {
                while batch.len() < share
                    && let Ok(pending) = queue.try_recv()
                {
                    batch.push(pending);
                }
            }
            if !batch.is_empty() {
                self.commit(std::mem::take(&mut batch)).await?;
            }
        }
        Ok(())
    }

    /// Logs what opens the log, so that an empty log is never served; or what has to be logged before anything else is.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn open_log(&mut self, first: Vec<Draft>) -> Result<(), CommitError> {
        let pending = first
            .into_iter()
            .map(|draft| Pending { draft, reply: oneshot::channel().0, act: None })
            .collect();
        self.commit(pending).await
    }

    async fn commit(&mut self, mut batch: Vec<Pending>) -> Result<(), CommitError> {
        let started = std::time::Instant::now();
        let mut plan = Plan::default();
        // Logged times never decrease, whatever the machine's clock does.
        self.last_ms = match planted::is(Bug::TimeBackwards) {
            true => self.clock.now_ms(),
            false => self.last_ms.max(self.clock.now_ms()),
        };
        for pending in &mut batch {
            self.raw_entries.append(&mut pending.draft.raw_entries);
        }
        plan.frame.raw_entries = self.raw_entries.drain(..).map(|h| h.0.to_vec()).collect();
        for entry in &plan.frame.raw_entries {
            self.log.push_leaf(leaf_hash(entry));
        }
        let blobs = |d: &Draft| {
            let own = d.statements.iter().flat_map(|s| &s.parts).map(|p| p.blob.len());
            let heard = d.page.iter().flat_map(|p| p.blobs.iter().flatten()).map(|(_, b)| b.len());
            own.chain(heard).sum::<usize>()
        };
        plan.blobs.reserve(batch.iter().map(|p| blobs(&p.draft)).sum());
        for pending in batch {
            let outcome = match self.admit(&plan, &pending.draft).await? {
                Ok(()) => self.plan(&mut plan, pending.draft),
                Err(refused) => Err(refused),
            };
            plan.acts.extend(pending.act);
            plan.outcomes.push((pending.reply, outcome));
        }
        if plan.frame == Frame::default() {
            plan.outcomes.into_iter().for_each(|(reply, outcome)| drop(reply.send(outcome)));
            return Ok(());
        }
        let frame = &mut plan.frame;
        frame.sequence = self.store.next_sequence();
        frame.time_ms = self.last_ms;
        let said_nothing =
            frame.own.is_empty() && frame.late.is_empty() && frame.raw_entries.is_empty();
        let durable = if said_nothing {
            let mut same = self.head.borrow().clone();
            same.commits += 1;
            same
        } else {
            self.close_batch(frame)
        };
        let statements = frame.own.len();
        if planted::is(Bug::AnswerBeforeSync) {
            plan.outcomes.drain(..).for_each(|(reply, outcome)| drop(reply.send(outcome)));
        }
        let (frame, blobs) = (std::mem::take(&mut plan.frame), std::mem::take(&mut plan.blobs));
        let said = frame.own.iter().map(|s| s.header.len());
        let heard = frame.heard.iter().flat_map(|p| &p.statements).map(|s| s.header.len());
        let bytes = said.chain(heard).sum::<usize>() + blobs.len();
        let sequence = frame.sequence;
        let commit = self.store.commit(frame, blobs);
        if planted::is(Bug::PageBeforeSync) {
            self.show_early(sequence, commit, &durable).await?;
        } else {
            commit.await?;
        }
        // Durable from here on: only now may anybody see it.
        if plan.reload {
            self.directory
                .store(Arc::new(Directory::load(&*self.store, &self.identity.hub).await?));
        }
        crate::metrics::committed(statements, started.elapsed());
        crate::metrics::statement_bytes(bytes as u64);
        self.head.send_replace(durable);
        drop(plan.acts); // the directory is swapped: the next act reads what this one changed
        for (reply, outcome) in plan.outcomes {
            // A caller that left can ask again by LRN.
            let _ = reply.send(outcome);
        }
        Ok(())
    }

    /// The bug of showing a head as soon as the store can be read at it.
    async fn show_early(
        &self,
        sequence: u64,
        commit: impl Future<Output = Result<(), StoreError>>,
        head: &DurableHead,
    ) -> Result<(), StoreError> {
        let mut commit = std::pin::pin!(commit);
        let moment = Duration::from_micros(50);
        while let Err(_elapsed) = tokio::time::timeout(moment, &mut commit).await {
            if self.store.next_sequence() > sequence && head.size > self.head.borrow().size {
                self.head.send_replace(head.clone());
            }
            if self.head.borrow().size == head.size {
                return commit.await;
            }
        }
        Ok(())
    }

    /// Checks a draft's preconditions against the store and what this batch has planned already.
    async fn admit(
        &self,
        plan: &Plan,
        draft: &Draft,
    ) -> Result<Result<(), DraftError>, StoreError> {
        let views = Views(&*self.store);
        for id in &draft.consumes {
            let gone = plan.consumed.contains(id) || views.work_item(id).await?.is_none();
            if gone && !planted::is(Bug::WorkTwice) {
                return Ok(Err(DraftError::WorkGone(id.clone())));
            }
        }
        // The LRN first: who files the same again gets the first answer, also where the case has moved since.
        if let Some(claim) = draft.lrn.as_ref().filter(|_| !planted::is(Bug::LrnTwice)) {
            let taken = match plan.lrns.get(&claim.key) {
                Some((index, digest)) => Some((*index, *digest == claim.digest)),
                None => views.lrn(&claim.key, &claim.digest).await?,
            };
            if let Some((index, same)) = taken {
                return Ok(Err(DraftError::LrnTaken { index, same }));
            }
        }
        for (case, seen) in &draft.revisions {
            let now = views.case(case).await?.map_or(0, |c| c.revision)
                + u64::from(plan.touched.contains(case));
            if now != *seen {
                return Ok(Err(DraftError::CaseMoved { case: case.clone(), seen: *seen, now }));
            }
        }
        if let Some(page) = &draft.page {
            let state = views.lane_state(page.peer.as_str(), page.generation).await?;
            let next = state.cursor == page.cursor_before && state.head_size.0 == page.head_before;
            if !next || plan.pages.contains(&page.peer) {
                return Ok(Err(DraftError::PageStale));
            }
        }
        for head in &draft.watched.witnessed {
            let last = views.witnessed(&head.origin).await?.map_or(0, |h| h.size);
            if last != head.before || plan.witnessed.contains(&head.origin) {
                return Ok(Err(DraftError::WitnessMoved));
            }
        }
        Ok(Ok(()))
    }

    fn plan(&mut self, plan: &mut Plan, mut draft: Draft) -> Result<Logged, DraftError> {
        // All headers are written before anything moves: a draft is logged whole or not at all.
        let time = format_time(self.last_ms);
        let write = |s: &NewStatement| {
            let header = Header {
                hub: self.identity.hub.to_string(),
                origin: self.identity.origin.to_string(),
                nonce: s.nonce,
                id: s.id.clone(),
                time: time.clone(),
                refs: s.refs.clone(),
                parts: s.digests(),
                later: Vec::new(),
            };
            header.to_text().map_err(|e| DraftError::Header(e.to_string()))
        };
        let headers = draft.statements.iter().map(write).collect::<Result<Vec<_>, _>>()?;
        for (header, s) in headers.iter().zip(&draft.statements) {
            // What a peer would have to refuse must never be said: it would stop that lane for ever.
            let bytes = header.len() + s.parts.iter().map(|p| p.blob.len()).sum::<usize>();
            if bytes > STATEMENT_BYTES_MAX {
                let what = format!("{} {}", s.id.kind, s.id.subject);
                return Err(DraftError::TooLarge { what, bytes, limit: STATEMENT_BYTES_MAX });
            }
        }
        for late in std::mem::take(&mut draft.late) {
            self.plan_late(plan, &late);
        }
        let mut logged = Vec::with_capacity(headers.len());
        for (header, statement) in headers.into_iter().zip(std::mem::take(&mut draft.statements)) {
            logged.push(self.plan_statement(plan, header, statement));
        }
        // The first statement is the answer to whoever claims the LRN.
        if let Some(claim) = &draft.lrn
            && let Some((index, _)) = logged.first()
            && let Some(own) = plan.frame.own.iter_mut().rfind(|s| s.index == *index)
        {
            own.lrn_key = claim.key.to_vec();
            own.submission_digest = claim.digest.to_vec();
            plan.lrns.insert(claim.key, (*index, claim.digest));
        }
        for id in draft.consumes {
            plan.consumed.insert(id.clone());
            plan.frame.work_consumed.push(id);
        }
        for work in draft.makes {
            let filing = match work.filing {
                FilingAt::Known(at) => at,
                FilingAt::ThisDraft(n) => Locator {
                    number: logged.get(n).map_or(0, |(index, _)| *index),
                    ..Default::default()
                },
            };
            plan.frame.work_made.push(WorkItem {
                id: work.id,
                case_id: work.case_id,
                filing_id: work.filing_id,
                filing_version: work.filing_version,
                filing: Some(filing),
                made_ms: self.last_ms,
                officer_reason: work.officer_reason,
                waits_until_ms: work.waits_until_ms,
                priority: work.priority,
                time_limit: work.time_limit,
                proposal: work
                    .proposal
                    .and_then(|n| logged.get(n))
                    .map_or(0, |(index, _)| index + 1),
            });
        }
        plan.touched.extend(draft.revisions.into_iter().map(|(case, _)| case));
        if let Some(page) = draft.page {
            plan_page(plan, *page);
        }
        plan_watched(plan, draft.watched);
        plan.frame.ledgers_kept = plan.frame.ledgers_kept.max(draft.ledgers_kept);
        for mut erasure in draft.erases {
            if erasure.by.is_empty() {
                erasure.by = self.identity.hub.to_string();
                erasure.by_index = logged.first().map_or(0, |(index, _)| *index);
            }
            plan.frame.erasures.push(erasure);
        }
        Ok(Logged { statements: logged, log_size: 0, time_ms: self.last_ms })
    }

    fn plan_statement(&mut self, plan: &mut Plan, header: String, s: NewStatement) -> (u64, Hash) {
        let index = self.log.size();
        let commitment = commitment(header.as_bytes());
        self.log.push_leaf(leaf_hash(&commitment.0));
        plan.reload |= matches!(
            s.id.kind.as_str(),
            "account" | "peer" | "ruleset" | "code-list" | "arrangement"
        );
        if s.id.kind == "peer" {
            self.open_lane(&s);
        }
        let mut audience = Vec::with_capacity(s.audience.len());
        for peer in &s.audience {
            // A peer without a lane was removed since the draft was made: it is told nothing more.
            let Some(lane) = self.lanes.get_mut(peer) else { continue };
            lane.frontier.push_leaf(lane_leaf(LogIndex(index), &commitment));
            audience.push(LaneAddress { peer: peer.to_string(), number: lane.frontier.size() });
        }
        let parts = s.parts.iter().map(|p| lay_out(&mut plan.blobs, p.name, &p.blob)).collect();
        plan.frame.own.push(OwnStatement {
            index,
            header: header.into_bytes(),
            parts,
            audience,
            lrn_key: Vec::new(),
            submission_digest: Vec::new(),
            account: s.account,
            warnings: s.warnings,
            unconnected: s.unconnected,
            forgotten: None,
        });
        (index, commitment)
    }

    fn plan_late(&mut self, plan: &mut Plan, late: &LateEntry) {
        // Two drafts of one batch may both find that a peer is new to a case: nothing is said twice.
        let same = |l: &LateAddress| {
            l.index == late.index
                && l.address.as_ref().is_some_and(|a| a.peer == late.peer.as_str())
        };
        if plan.frame.late.iter().any(same) {
            return;
        }
        // A peer without a lane was removed since the draft was made.
        let Some(lane) = self.lanes.get_mut(&late.peer) else { return };
        lane.frontier.push_leaf(lane_leaf(LogIndex(late.index), &late.commitment));
        let number = lane.frontier.size();
        plan.frame.late.push(LateAddress {
            index: late.index,
            address: Some(LaneAddress { peer: late.peer.to_string(), number }),
            commitment: late.commitment.0.to_vec(),
        });
    }

    /// A new peer's lane begins with the table that ends this batch.
    fn open_lane(&mut self, s: &NewStatement) {
        use ewtp_proto::Message as _;
        let internal = s.parts.iter().find(|p| p.name == "internal");
        let record = internal
            .and_then(|p| ewtp_log::statement::open_part(p.name, &p.blob).ok())
            .and_then(|content| ewtp_proto::v1::PeerRecord::decode(content).ok());
        if let Some(record) = record
            && let (Ok(peer), Ok(slot)) = (record.hub.parse::<HubId>(), u16::try_from(record.slot))
        {
            self.lanes
                .entry(peer)
                .or_insert_with(|| LaneOut { slot, frontier: Frontier::default() });
        }
    }

    /// Ends the batch: lane table, root, one signature.
    fn close_batch(&mut self, frame: &mut Frame) -> DurableHead {
        self.depth = depth_for(self.lanes.len(), self.depth);
        let slots: Vec<Slot> = self
            .lanes
            .iter()
            .map(|(peer, lane)| Slot {
                slot: lane.slot,
                peer: peer.clone(),
                lane_size: lane.frontier.size(),
                lane_root: lane.frontier.root(),
            })
            .collect();
        let table_index = LogIndex(self.log.size());
        let table =
            LaneTable::new(&self.identity.slot_key, table_index, self.depth, &slots).entry();
        self.log.push_leaf(leaf_hash(&table.0));
        let (size, root) = (TreeSize(self.log.size()), self.log.root());
        let text = Checkpoint { origin: self.identity.origin.to_string(), size, root }.to_text();
        let checkpoint = self.identity.sign(&text);
        frame.head = Some(LogHead {
            size: size.0,
            root: root.0.to_vec(),
            checkpoint: checkpoint.clone().into_bytes(),
            table_entry: table.0.to_vec(),
            depth: u32::from(self.depth),
            slots: slots
                .iter()
                .map(|s| SlotState {
                    slot: u32::from(s.slot),
                    peer: s.peer.to_string(),
                    lane_size: s.lane_size,
                    lane_root: s.lane_root.0.to_vec(),
                })
                .collect(),
            time_ms: self.last_ms,
            generation: self.identity.origin.generation(),
        });
        DurableHead {
            size: size.0,
            root: Some(root),
            checkpoint: checkpoint.into(),
            depth: self.depth,
            slots: Arc::new(slots),
            time_ms: self.last_ms,
            commits: self.head.borrow().commits + 1,
        }
    }
}

fn lay_out(area: &mut Vec<u8>, name: &str, blob: &[u8]) -> BlobRef {
    let offset = area.len() as u32;
    area.extend_from_slice(blob);
    BlobRef { name: name.to_owned(), offset, length: blob.len() as u32, crc: crc32fast::hash(blob) }
}

fn plan_page(plan: &mut Plan, mut page: PagePlan) {
    for (statement, blobs) in page.page.statements.iter_mut().zip(&page.blobs) {
        statement.parts =
            blobs.iter().map(|(name, blob)| lay_out(&mut plan.blobs, name, blob)).collect();
    }
    plan.reload |= page.reloads;
    plan.pages.insert(page.peer);
    plan.frame.heard.push(page.page);
}

fn plan_watched(plan: &mut Plan, watched: Watched) {
    let frame = &mut plan.frame;
    // A peer's descriptor may name other TLS keys.
    plan.reload |= !watched.learnt.is_empty();
    plan.witnessed.extend(watched.witnessed.iter().map(|h| h.origin.clone()));
    frame.learnt.extend(watched.learnt);
    frame.witnessed.extend(watched.witnessed);
    frame.cosigned.extend(watched.cosigned);
    frame.evidence.extend(watched.evidence);
}

/// A heard statement without its blobs, which the committer lays out.
#[must_use]
pub fn heard(index: u64, header: Vec<u8>, tombstone: Vec<u8>) -> HeardStatement {
    HeardStatement { index, header, tombstone, ..Default::default() }
}

/// How long a caller that was told *busy* should wait.
pub const BUSY_RETRY: Duration = Duration::from_millis(50);
