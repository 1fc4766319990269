//! Views of what is erased, and of what may be.

use ewtp_log::statement::commitment;
use ewtp_proto::store::v1::{CaseRecord, Locator, StoredRefusal};

use crate::apply::{refused_row, short};
use crate::keys::{Key, Kind, last_number};
use crate::store::StoreError;
use crate::views::{Store, Views};

impl<S: Store + ?Sized> Views<'_, S> {
    /// Digests of attachments that were erased.
    ///
    /// # Errors
    /// Reading.
    pub async fn erased(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        let prefix = Key::new(Kind::Erased);
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), usize::MAX).await?;
        Ok(rows.iter().filter_map(|(key, _)| key.get(1..)?.try_into().ok()).collect())
    }

    /// Whether an attachment was erased.
    ///
    /// # Errors
    /// Reading.
    pub async fn is_erased(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        Ok(self.0.get(&Key::new(Kind::Erased).bytes(digest).finish()).await?.is_some())
    }

    /// Where something stands that is not honoured here, by its commitment.
    ///
    /// # Errors
    /// Reading.
    pub async fn refusal(&self, commitment: &[u8]) -> Result<Option<StoredRefusal>, StoreError> {
        self.load(refused_row(commitment)).await
    }

    /// Ordinals of the cases that ever cited an attachment.
    ///
    /// # Errors
    /// Reading.
    pub async fn citing(&self, digest: &[u8]) -> Result<Vec<u64>, StoreError> {
        let prefix = Key::new(Kind::Cited).bytes(short(digest));
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), usize::MAX).await?;
        Ok(rows.iter().filter_map(|(key, _)| last_number(key)).collect())
    }

    /// Cases from an ordinal on with an order of erasure that something may be left of.
    ///
    /// # Errors
    /// Reading.
    pub async fn ordered(&self, from: u64, limit: usize) -> Result<Vec<CaseRecord>, StoreError> {
        let prefix = Key::new(Kind::Ordered);
        let first = prefix.clone().number(from).finish();
        let rows = self.0.scan(&first, &prefix.end(), limit).await?;
        let mut cases = Vec::with_capacity(rows.len());
        for ordinal in rows.iter().filter_map(|(key, _)| last_number(key)) {
            cases.extend(self.whole_case(Key::new(Kind::Case).number(ordinal).finish()).await?);
        }
        Ok(cases)
    }

    /// A case by its ordinal.
    ///
    /// # Errors
    /// Reading.
    pub async fn case_at(&self, ordinal: u64) -> Result<Option<CaseRecord>, StoreError> {
        self.whole_case(Key::new(Kind::Case).number(ordinal).finish()).await
    }

    /// Header and log index of what a peer said, also if it was erased here since: it may prove that the peer said two things.
    ///
    /// # Errors
    /// Reading.
    pub async fn heard_header(&self, at: &Locator) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let held = self.heard_in_frame(at, |_, s| {
            let header = match &s.forgotten {
                Some(f) if commitment(&f.header).0.as_slice() != f.commitment => return None,
                Some(f) => &f.header,
                None => &s.header,
            };
            (!header.is_empty()).then(|| (s.index, header.clone()))
        });
        Ok(held.await?.flatten())
    }
}
