//! Views of rules made in public.

use ewtp_proto::store::v1::{StoredRulesComment, StoredRulesDraft};

use crate::StoreError;
use crate::keys::{Key, Kind};
use crate::views::{Store, Views, decode};

/// Most rows that are looked through to count those of one hub.
const ROWS_MAX: usize = 10_000;

/// Row of a comment: those of one hub stand together, since an id begins with its hub.
pub(crate) fn comment_row(draft: &str, id: &str) -> Vec<u8> {
    Key::new(Kind::RulesComment).text(draft).text(id).finish()
}

impl<S: Store + ?Sized> Views<'_, S> {
    /// A draft ruleset of this hub or a peer.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_draft(&self, id: &str) -> Result<Option<StoredRulesDraft>, StoreError> {
        self.load(Key::new(Kind::RulesDraft).text(id).finish()).await
    }

    /// At most `limit` of them, by id.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_drafts(&self, limit: usize) -> Result<Vec<StoredRulesDraft>, StoreError> {
        let prefix = Key::new(Kind::RulesDraft);
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), limit).await?;
        rows.iter().map(|(_, value)| decode(value)).collect()
    }

    /// How many drafts a hub has, counted up to `limit`.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_drafts_of(&self, hub: &str, limit: usize) -> Result<usize, StoreError> {
        self.of_hub(Key::new(Kind::RulesDraft), hub, limit).await
    }

    /// How many comments a hub has on a draft, counted up to `limit`.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_comments_of(
        &self,
        draft: &str,
        hub: &str,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.of_hub(Key::new(Kind::RulesComment).text(draft), hub, limit).await
    }

    /// How many rows end with an id of a hub, counted up to `limit`: ids of `KE-NBO` begin with `KE-` too, and are not those of `KE`.
    async fn of_hub(&self, rows: Key, hub: &str, limit: usize) -> Result<usize, StoreError> {
        let start = rows.clone().finish().len();
        let prefix = rows.bytes(format!("{hub}-").as_bytes());
        let all = self.0.scan(&prefix.clone().finish(), &prefix.end(), ROWS_MAX).await?;
        let mine = |key: &[u8]| {
            let id = String::from_utf8_lossy(key.get(start..).unwrap_or_default()).into_owned();
            id.trim_end_matches('\0').rsplit_once('-').is_some_and(|(of, _)| of == hub)
        };
        Ok(all.iter().filter(|(key, _)| mine(key)).take(limit).count())
    }

    /// A comment on a draft.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_comment(
        &self,
        draft: &str,
        id: &str,
    ) -> Result<Option<StoredRulesComment>, StoreError> {
        self.load(comment_row(draft, id)).await
    }

    /// Comments on a draft, by id.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_comments(&self, draft: &str) -> Result<Vec<StoredRulesComment>, StoreError> {
        self.load_all(Key::new(Kind::RulesComment).text(draft)).await
    }
}
