//! Views of rules made in public.

use ewtp_proto::store::v1::{StoredRulesComment, StoredRulesDraft};

use crate::StoreError;
use crate::keys::{Key, Kind};
use crate::views::{Store, Views};

impl<S: Store + ?Sized> Views<'_, S> {
    /// A draft ruleset of this hub or a peer.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_draft(&self, id: &str) -> Result<Option<StoredRulesDraft>, StoreError> {
        self.load(Key::new(Kind::RulesDraft).text(id).finish()).await
    }

    /// All of them, by id.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_drafts(&self) -> Result<Vec<StoredRulesDraft>, StoreError> {
        self.load_all(Key::new(Kind::RulesDraft)).await
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
        self.load(Key::new(Kind::RulesComment).text(draft).text(id).finish()).await
    }

    /// Comments on a draft, by id.
    ///
    /// # Errors
    /// Reading.
    pub async fn rules_comments(&self, draft: &str) -> Result<Vec<StoredRulesComment>, StoreError> {
        self.load_all(Key::new(Kind::RulesComment).text(draft)).await
    }
}
