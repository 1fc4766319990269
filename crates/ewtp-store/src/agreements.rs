//! Views of what hubs agreed and certified.

use ewtp_proto::store::v1::{CaseRecord, StoredArrangementStep, StoredCertificate};

use crate::StoreError;
use crate::keys::{CertificateName, Key, Kind, last_number};
use crate::views::{Store, Views, decode};

/// Rows of cases that relied upon one certificate that are looked at.
const RELIED_MAX: usize = 100_000;

impl<S: Store + ?Sized> Views<'_, S> {
    /// What was said about arrangements, by peer, this hub's first.
    ///
    /// # Errors
    /// Reading.
    pub async fn arrangement_steps(&self) -> Result<Vec<StoredArrangementStep>, StoreError> {
        self.load_all(Key::new(Kind::Arrangement)).await
    }

    /// The same of one peer.
    ///
    /// # Errors
    /// Reading.
    pub async fn arrangement_with(
        &self,
        peer: &str,
    ) -> Result<Vec<StoredArrangementStep>, StoreError> {
        self.load_all(Key::new(Kind::Arrangement).text(peer)).await
    }

    /// A certificate of a hub (none: this one).
    ///
    /// # Errors
    /// Reading.
    pub async fn certificate(
        &self,
        hub: &str,
        id: &str,
    ) -> Result<Option<StoredCertificate>, StoreError> {
        self.load(Key::new(Kind::Certificate).text(hub).text(id).finish()).await
    }

    /// At most `limit` cases whose decisions here relied upon a certificate, the newest of them.
    ///
    /// # Errors
    /// Reading.
    pub async fn relied_upon(&self, id: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let prefix = Key::new(Kind::Relied).text(id);
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), RELIED_MAX).await?;
        let mut out = Vec::new();
        for (key, _) in rows.iter().rev().take(limit) {
            let Some(ordinal) = last_number(key) else { continue };
            let key = Key::new(Kind::Case).number(ordinal).finish();
            let case: Option<CaseRecord> = self.load(key).await?;
            out.extend(case.map(|c| c.case_id));
        }
        Ok(out)
    }

    /// Certificates of a hub from an id on.
    ///
    /// # Errors
    /// Reading.
    pub async fn certificates(
        &self,
        hub: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        let prefix = Key::new(Kind::Certificate).text(hub);
        let first = match after {
            "" => prefix.clone().finish(),
            // Behind the zero that ends the id.
            id => prefix.clone().text(id).bytes(&[0]).finish(),
        };
        let rows = self.0.scan(&first, &prefix.end(), limit).await?;
        rows.iter().map(|(_, value)| decode(value)).collect()
    }

    /// At most `limit` certificates of a hub by the holder's id or the issuer's reference.
    ///
    /// # Errors
    /// Reading.
    pub async fn certificates_of(
        &self,
        hub: &str,
        name: CertificateName<'_>,
        limit: usize,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        let prefix = name.row(hub);
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), limit).await?;
        let mut out = Vec::with_capacity(rows.len());
        for (_, id) in rows {
            let id = String::from_utf8_lossy(&id).into_owned();
            out.extend(self.certificate(hub, &id).await?);
        }
        Ok(out)
    }
}
