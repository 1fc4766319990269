//! Views of what hubs agreed and certified.

use ewtp_proto::store::v1::{
    CaseRecord, LedgersKept, StoredAlarm, StoredArrangementStep, StoredCertificate, StoredFinding,
    StoredHolding, StoredLedger, StoredReport,
};

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

    /// The ledger of a certificate of this hub, summed up.
    ///
    /// # Errors
    /// Reading.
    pub async fn ledger(&self, id: &str) -> Result<StoredLedger, StoreError> {
        Ok(self.load(Key::new(Kind::Ledger).text(id).finish()).await?.unwrap_or_default())
    }

    /// What a case holds of a certificate of this hub.
    ///
    /// # Errors
    /// Reading.
    pub async fn holding(&self, id: &str, case: &str) -> Result<StoredHolding, StoreError> {
        let key = Key::new(Kind::Holding).text(id).text(case).finish();
        Ok(self.load(key).await?.unwrap_or_default())
    }

    /// What cases hold of a certificate of this hub, after a case's id.
    ///
    /// # Errors
    /// Reading.
    pub async fn holdings(
        &self,
        id: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<StoredHolding>, StoreError> {
        let prefix = Key::new(Kind::Holding).text(id);
        let first = match after {
            "" => prefix.clone().finish(),
            case => prefix.clone().text(case).byte(0).finish(),
        };
        let rows = self.0.scan(&first, &prefix.end(), limit).await?;
        rows.iter().map(|(_, value)| decode(value)).collect()
    }

    /// Number of the last change that the keeper of the ledgers has dealt with; `None` before the first certificate that has one.
    ///
    /// # Errors
    /// Reading.
    pub async fn ledgers_kept(&self) -> Result<Option<u64>, StoreError> {
        let kept: Option<LedgersKept> = self.load(Key::new(Kind::LedgersKept).finish()).await?;
        Ok(kept.map(|k| k.change))
    }

    /// What inspections by one hub found of a kind of fact that another had established, from an instant on, Unix milliseconds; at most
    /// `limit`.
    ///
    /// # Errors
    /// Reading.
    pub async fn found(
        &self,
        (by, hub, kind): (&str, &str, &str),
        from_ms: u64,
        limit: usize,
    ) -> Result<Vec<StoredFinding>, StoreError> {
        let prefix = Key::new(Kind::Found).text(by).text(hub).text(kind);
        let first = prefix.clone().number(from_ms).finish();
        let rows = self.0.scan(&first, &prefix.end(), limit).await?;
        rows.iter().map(|(_, value)| decode(value)).collect()
    }

    /// Alarms of quality of a hub about a hub and kind, oldest first.
    ///
    /// # Errors
    /// Reading.
    pub async fn alarms_of(&self, by: &str, subject: &str) -> Result<Vec<StoredAlarm>, StoreError> {
        self.load_all(Key::new(Kind::Alarm).text(by).text(subject)).await
    }

    /// All alarms of quality, by who raised them.
    ///
    /// # Errors
    /// Reading.
    pub async fn alarms(&self) -> Result<Vec<StoredAlarm>, StoreError> {
        self.load_all(Key::new(Kind::Alarm)).await
    }

    /// Reports of a kind that this hub published, oldest first.
    ///
    /// # Errors
    /// Reading.
    pub async fn reports(&self, kind: &str) -> Result<Vec<StoredReport>, StoreError> {
        self.load_all(Key::new(Kind::Report).text(kind)).await
    }
}
