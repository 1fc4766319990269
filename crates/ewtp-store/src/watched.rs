//! Views of what a hub knows of other hubs and of logs: descriptors, cosigned heads, proofs of misconduct.

use ewtp_proto::store::v1::{CosignedHead, LearntDescriptor, StoredEvidence, WitnessedHead};

use crate::keys::{Key, Kind};
use crate::store::StoreError;
use crate::views::{Store, Views, decode};

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
}
