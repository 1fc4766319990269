//! Cases by what an event may select them by, and by the country whose hub they wait for.

use ewtp_proto::store::v1::{CaseRecord, SelectingEvent};
use ewtp_trade::selector::{COVERS_MS, join};

use crate::apply::selecting_row;
use crate::keys::{Key, Kind, last_number};
use crate::store::StoreError;
use crate::views::{Store, Views, decode};

/// Most events under one name that a case takes up.
const EVENTS_MAX: usize = 10_000;

impl<S: Store + ?Sized> Views<'_, S> {
    /// A case by its row, with the events that select it.
    pub(crate) async fn whole_case(&self, key: Vec<u8>) -> Result<Option<CaseRecord>, StoreError> {
        match self.load(key).await? {
            Some(case) => self.with_selecting(case).await.map(Some),
            None => Ok(None),
        }
    }

    /// A case with the events that select it.
    pub(crate) async fn with_selecting(
        &self,
        mut case: CaseRecord,
    ) -> Result<CaseRecord, StoreError> {
        if case.selectors.is_empty() || self.counters().await?.selecting == 0 {
            return Ok(case);
        }
        for selector in case.selectors.clone() {
            let row = selecting_row(&selector.name);
            let from = row.clone().number(selector.since_ms).finish();
            let until = row.number(selector.since_ms.saturating_add(COVERS_MS)).end();
            let rows = self.0.scan(&from, &until, EVENTS_MAX).await?;
            let events: Result<Vec<SelectingEvent>, _> =
                rows.iter().map(|(_, value)| decode(value)).collect();
            join(&mut case, events?);
        }
        Ok(case)
    }

    /// Events that select cases by a name, of all times.
    ///
    /// # Errors
    /// Reading.
    pub async fn selecting(&self, name: &str) -> Result<Vec<SelectingEvent>, StoreError> {
        let row = selecting_row(name);
        let rows = self.0.scan(&row.clone().finish(), &row.end(), EVENTS_MAX).await?;
        rows.iter().map(|(_, value)| decode(value)).collect()
    }

    /// Cases that a name may select, from an ordinal on, in the order in which they were opened.
    ///
    /// # Errors
    /// Reading.
    pub async fn selected(
        &self,
        name: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CaseRecord>, StoreError> {
        self.indexed(Kind::Selected, name, from, limit).await
    }

    /// Cases that wait for a country's hub, from an ordinal on, in the order in which they were opened.
    ///
    /// # Errors
    /// Reading.
    pub async fn unconnected(
        &self,
        country: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CaseRecord>, StoreError> {
        self.indexed(Kind::Unconnected, country, from, limit).await
    }

    /// Countries for whose hub cases wait, in order.
    ///
    /// # Errors
    /// Reading.
    pub async fn countries_waited_for(&self) -> Result<Vec<String>, StoreError> {
        let all = Key::new(Kind::Unconnected);
        let (mut from, end) = (all.clone().finish(), all.clone().end());
        let mut out = Vec::new();
        while let Some((key, _)) = self.0.scan(&from, &end, 1).await?.pop() {
            let text = key.get(1..).unwrap_or_default().split(|b| *b == 0).next();
            let country = String::from_utf8(text.unwrap_or_default().to_vec())
                .map_err(|e| StoreError::Value(e.to_string()))?;
            from = all.clone().text(&country).end();
            out.push(country);
        }
        Ok(out)
    }

    async fn indexed(
        &self,
        kind: Kind,
        name: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CaseRecord>, StoreError> {
        let prefix = Key::new(kind).text(name);
        let first = prefix.clone().number(from).finish();
        let rows = self.0.scan(&first, &prefix.end(), limit).await?;
        let mut cases = Vec::with_capacity(rows.len());
        for ordinal in rows.iter().filter_map(|(key, _)| last_number(key)) {
            cases.extend(self.whole_case(Key::new(Kind::Case).number(ordinal).finish()).await?);
        }
        Ok(cases)
    }
}
