//! Views of what a hub knows of other hubs and of logs: descriptors, cosigned heads, proofs of misconduct.

use ewtp_proto::store::v1::{
    CosignedHead, HeardPage, LearntDescriptor, StoredEvidence, WitnessedHead,
};

use crate::keys::{Key, Kind, last_number};
use crate::store::StoreError;
use crate::views::{Store, Views, decode};

/// A head comes with the first page of a backlog and with each page that is live.
const PAGES_LOOKED_AT: usize = 256;

impl<S: Store + ?Sized> Views<'_, S> {
    /// Descriptors of a hub that were learnt after it was pinned, by version; of this hub those that are logged.
    ///
    /// # Errors
    /// Reading.
    pub async fn learnt(&self, hub: &str) -> Result<Vec<LearntDescriptor>, StoreError> {
        self.load_all(Key::new(Kind::Descriptor).text(hub)).await
    }

    /// The head of another log that this hub cosigned last.
    ///
    /// # Errors
    /// Reading.
    pub async fn witnessed(&self, origin: &str) -> Result<Option<WitnessedHead>, StoreError> {
        self.load(Key::new(Kind::Witnessed).text(origin).finish()).await
    }

    /// All of them.
    ///
    /// # Errors
    /// Reading.
    pub async fn all_witnessed(&self) -> Result<Vec<WitnessedHead>, StoreError> {
        self.load_all(Key::new(Kind::Witnessed)).await
    }

    /// The first own head of at least this size that was cosigned.
    ///
    /// # Errors
    /// Reading.
    pub async fn cosigned_from(&self, size: u64) -> Result<Option<CosignedHead>, StoreError> {
        let prefix = Key::new(Kind::Cosigned);
        let from = prefix.clone().number(size).finish();
        let rows = self.0.scan(&from, &prefix.end(), 1).await?;
        rows.first().map(|(_, value)| decode(value)).transpose()
    }

    /// The newest own head that was cosigned.
    ///
    /// # Errors
    /// Reading.
    pub async fn newest_cosigned(&self) -> Result<Option<CosignedHead>, StoreError> {
        let prefix = Key::new(Kind::Cosigned);
        let row = self.0.last_before(&prefix.clone().finish(), &prefix.end()).await?;
        row.map(|(_, value)| decode(&value)).transpose()
    }

    /// All proofs of misconduct.
    ///
    /// # Errors
    /// Reading.
    pub async fn evidence(&self) -> Result<Vec<StoredEvidence>, StoreError> {
        self.load_all(Key::new(Kind::Evidence)).await
    }

    /// The newest head that a peer's lane brought, as it was signed; looked for in its last pages.
    ///
    /// # Errors
    /// Reading.
    pub async fn heard_head(
        &self,
        peer: &str,
        generation: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let prefix = Key::new(Kind::HeardFrame).text(peer).number(generation);
        let mut past = prefix.clone().end();
        for _ in 0..PAGES_LOOKED_AT {
            let row = self.0.last_before(&prefix.clone().finish(), &past).await?;
            let Some((key, value)) = row else { return Ok(None) };
            let Some(sequence) = last_number(&value) else { return Ok(None) };
            let read = self.0.frame(sequence).await?;
            let brought = |p: &&HeardPage| p.peer == peer && !p.checkpoint.is_empty();
            if let Some(page) = read.frame.heard.iter().rev().find(brought) {
                return Ok(Some(page.checkpoint.clone()));
            }
            past = key;
        }
        Ok(None)
    }
}
