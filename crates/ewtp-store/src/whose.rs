//! Whose cases are meant, and the mandates that say so.

use std::collections::{BTreeSet, HashSet};

use ewtp_proto::store::v1::{CaseRecord, StoredMandate};

use crate::keys::{Key, Kind, last_number};
use crate::store::StoreError;
use crate::views::{Store, Views, decode};

/// Whose cases are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's: for the agency.
    All,
    /// Those that these accounts filed in, and those that name these parties.
    Of {
        /// Accounts.
        accounts: Vec<String>,
        /// Registered ids.
        parties: HashSet<String>,
    },
}

impl Whose {
    /// How many indexes hold them.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::All => 1,
            Self::Of { accounts, parties } => accounts.len() + parties.len(),
        }
    }

    /// Whether it is nobody's.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a case with these accounts and parties is among them.
    #[must_use]
    pub fn has(&self, accounts: &[String], parties: &[String]) -> bool {
        match self {
            Self::All => true,
            Self::Of { accounts: mine, parties: named } => {
                mine.iter().any(|a| accounts.contains(a))
                    || parties.iter().any(|p| named.contains(p))
            }
        }
    }
}

impl<S: Store + ?Sized> Views<'_, S> {
    /// Cases from an ordinal on that somebody may see, in the order in which they were opened.
    ///
    /// # Errors
    /// Reading.
    pub async fn cases(
        &self,
        whose: &Whose,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CaseRecord>, StoreError> {
        let Whose::Of { accounts, parties } = whose else {
            let prefix = Key::new(Kind::Case);
            let first = prefix.clone().number(from).finish();
            let rows = self.0.scan(&first, &prefix.end(), limit).await?;
            let mut cases = Vec::with_capacity(rows.len());
            for (_, value) in &rows {
                cases.push(self.with_selecting(decode(value)?).await?);
            }
            return Ok(cases);
        };
        let mut ordinals = BTreeSet::new();
        let accounts = accounts.iter().map(|a| (Kind::AccountCases, a));
        for (kind, name) in accounts.chain(parties.iter().map(|p| (Kind::PartyCases, p))) {
            let prefix = Key::new(kind).text(name);
            let first = prefix.clone().number(from).finish();
            let rows = self.0.scan(&first, &prefix.end(), limit).await?;
            ordinals.extend(rows.iter().filter_map(|(key, _)| last_number(key)));
            while ordinals.len() > limit {
                ordinals.pop_last();
            }
        }
        let mut cases = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            cases.extend(self.whole_case(Key::new(Kind::Case).number(ordinal).finish()).await?);
        }
        Ok(cases)
    }

    /// The mandate that an account has of a principal.
    ///
    /// # Errors
    /// Reading.
    pub async fn mandate(
        &self,
        account: &str,
        principal: &str,
    ) -> Result<Option<StoredMandate>, StoreError> {
        self.load(Key::new(Kind::Mandate).text(account).text(principal).finish()).await
    }

    /// Mandates of an account, ended and revoked ones too, by principal: at most `limit` after one.
    ///
    /// # Errors
    /// Reading.
    pub async fn mandates(
        &self,
        account: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<StoredMandate>, StoreError> {
        let prefix = Key::new(Kind::Mandate).text(account);
        let from = match after {
            "" => prefix.clone().finish(),
            after => prefix.clone().text(after).byte(0).finish(),
        };
        let rows = self.0.scan(&from, &prefix.end(), limit).await?;
        rows.iter().map(|(_, value)| decode(value)).collect()
    }
}
