//! Says a peer its lane: the backlog under one fixed head, then live, each page as large as it may be.
//!
//! Reads only at or below the durable head. Parts outside the peer's data scope never leave the store, whatever the peer
//! asks for: the header holds their digests, so every proof still verifies.

use std::sync::Arc;

use ewtp_log::lane::{LaneTable, slot_blind};
use ewtp_log::page::{ENTRY_OVERHEAD_BYTES, EntryBody, HeadPart, Page, PageEntry};
use ewtp_log::{HubId, LaneNumber, LogIndex};
use ewtp_proto::v1::DataScope;
use ewtp_store::planted::{self, Bug};
use ewtp_store::{Statement, Store, StoreError, Views};
use ewtp_trade::scope::shows_part;

use crate::durable::{DurableHead, LogIdentity};

/// Pages stop growing at 1 MiB; the last statement may cross it.
const PAGE_TARGET_BYTES: usize = 1 << 20;
/// Statements read from the store in one go.
const READ_AHEAD: usize = 512;

/// Where a subscriber stands.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Statements that it holds.
    pub cursor: u64,
    /// Size of the last head that it holds.
    pub head_size: u64,
}

/// Makes pages for one peer.
pub struct LaneServer {
    /// Store.
    pub store: Arc<dyn Store>,
    /// Names and slot key.
    pub identity: Arc<LogIdentity>,
    /// Whom it speaks to.
    pub peer: HubId,
}

impl LaneServer {
    /// The next page under `head`, or `None` where the subscriber holds all of it. Moves the position.
    ///
    /// # Errors
    /// Reading.
    pub async fn next_page(
        &self,
        at: &mut Position,
        head: &DurableHead,
        scope: &DataScope,
    ) -> Result<Option<Page>, StoreError> {
        let views = Views(&*self.store);
        let Some(slot) = head.slots.iter().find(|s| s.peer == self.peer) else { return Ok(None) };
        let owed = slot.lane_size.saturating_sub(at.cursor);
        let first_contact = at.head_size == 0;
        if owed == 0 && !first_contact {
            return Ok(None);
        }
        let entries = self.entries(at.cursor + 1, owed, scope).await?;
        let end = at.cursor + entries.len() as u64;
        let lane_range = views.range(self.peer.as_str(), end, slot.lane_size).await?;
        let head_part = if head.size > at.head_size {
            let table_index = head.size - 1;
            let table = LaneTable::new(
                &self.identity.slot_key,
                LogIndex(table_index),
                head.depth,
                &head.slots,
            );
            Some(HeadPart {
                checkpoint: head.checkpoint.as_bytes().to_vec(),
                slot: slot.slot,
                blind: slot_blind(&self.identity.slot_key, LogIndex(table_index), slot.slot),
                lane_size: slot.lane_size,
                slot_path: table.path(slot.slot),
                log_range: views.range("", at.head_size, table_index).await?,
            })
        } else {
            None
        };
        let page = Page { first: LaneNumber(at.cursor + 1), head: head_part, entries, lane_range };
        *at = Position { cursor: end, head_size: head.size.max(at.head_size) };
        Ok(Some(page))
    }

    async fn entries(
        &self,
        first: u64,
        owed: u64,
        scope: &DataScope,
    ) -> Result<Vec<PageEntry>, StoreError> {
        let views = Views(&*self.store);
        let limit = usize::try_from(owed).unwrap_or(READ_AHEAD).min(READ_AHEAD);
        let indexes = views.lane(self.peer.as_str(), first, limit).await?;
        let statements = views.own_many(&indexes).await?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for statement in statements {
            let entry = entry(statement, scope);
            bytes += entry.counted_bytes().max(ENTRY_OVERHEAD_BYTES);
            entries.push(entry);
            if bytes >= PAGE_TARGET_BYTES {
                break;
            }
        }
        Ok(entries)
    }
}

fn entry(statement: Statement, scope: &DataScope) -> PageEntry {
    let index = LogIndex(statement.index);
    if let Some(commitment) = statement.tombstone {
        return PageEntry { index, body: EntryBody::Tombstone(commitment) };
    }
    let shown = |name: &str| shows_part(scope, name) || planted::is(Bug::ScopeIgnored);
    let parts = statement.parts.into_iter().filter(|(name, _)| shown(name)).collect();
    PageEntry { index, body: EntryBody::Statement { header: statement.header, parts } }
}
