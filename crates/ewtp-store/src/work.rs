//! Views of work.

use ewtp_proto::store::v1::WorkItem;

use crate::apply::officers_row;
use crate::keys::{Key, Kind};
use crate::store::StoreError;
use crate::views::{Store, Views, decode};

impl<S: Store + ?Sized> Views<'_, S> {
    /// All work items, by id.
    ///
    /// # Errors
    /// Reading.
    pub async fn work(&self, limit: usize) -> Result<Vec<WorkItem>, StoreError> {
        let prefix = Key::new(Kind::Work);
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), limit).await?;
        rows.iter().map(|(_, v)| decode(v)).collect()
    }

    /// Work that can be decided now, oldest first.
    ///
    /// # Errors
    /// Reading.
    pub async fn ready_work(&self, limit: usize) -> Result<Vec<WorkItem>, StoreError> {
        let prefix = Key::new(Kind::ReadyWork);
        self.work_of(&prefix.clone().finish(), &prefix.end(), limit).await
    }

    /// Work whose answer is overdue at `now_ms`.
    ///
    /// # Errors
    /// Reading.
    pub async fn overdue_work(
        &self,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<WorkItem>, StoreError> {
        let prefix = Key::new(Kind::WaitingWork);
        self.work_of(&prefix.clone().finish(), &prefix.number(now_ms).finish(), limit).await
    }

    async fn work_of(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<WorkItem>, StoreError> {
        let mut out = Vec::new();
        for (_, id) in self.0.scan(from, to, limit).await? {
            let id = String::from_utf8(id).map_err(|e| StoreError::Value(e.to_string()))?;
            out.extend(self.work_item(&id).await?);
        }
        Ok(out)
    }

    /// Open work on a version of a filing.
    ///
    /// # Errors
    /// Reading.
    pub async fn work_on(&self, filing: &str, version: u32) -> Result<Vec<WorkItem>, StoreError> {
        let prefix = Key::new(Kind::Work).bytes(format!("{filing}/{version}/").as_bytes());
        self.load_all(prefix).await
    }

    /// Officers' work after one of its items: what goes first, then as it was made; and whether more may follow.
    ///
    /// # Errors
    /// Reading.
    pub async fn officers_work_after(
        &self,
        after: Option<&WorkItem>,
        limit: usize,
    ) -> Result<(Vec<WorkItem>, bool), StoreError> {
        let prefix = Key::new(Kind::OfficersWork);
        let from = match after {
            None => prefix.clone().finish(),
            Some(item) => officers_row(item).byte(0).finish(),
        };
        let rows = self.0.scan(&from, &prefix.end(), limit).await?;
        let mut out = Vec::with_capacity(rows.len());
        for (_, id) in &rows {
            let id = String::from_utf8_lossy(id);
            // One that was done meanwhile is left out, and ends nothing.
            out.extend(self.work_item(&id).await?);
        }
        Ok((out, rows.len() == limit))
    }

    /// All work items by id, after one of them.
    ///
    /// # Errors
    /// Reading.
    pub async fn work_after(&self, after: &str, limit: usize) -> Result<Vec<WorkItem>, StoreError> {
        let prefix = Key::new(Kind::Work);
        let from = match after {
            "" => prefix.clone().finish(),
            after => prefix.clone().text(after).byte(0).finish(),
        };
        let rows = self.0.scan(&from, &prefix.end(), limit).await?;
        rows.iter().map(|(_, v)| decode(v)).collect()
    }

    /// One work item.
    ///
    /// # Errors
    /// Reading.
    pub async fn work_item(&self, id: &str) -> Result<Option<WorkItem>, StoreError> {
        self.load(Key::new(Kind::Work).text(id).finish()).await
    }
}
