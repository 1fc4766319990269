//! Rules made in public: drafts, comments on them, and answers.

use ewtp_proto::store::v1::{StoredRulesComment, StoredRulesDraft};
use ewtp_proto::v1;

use super::{Apply, Said, load};
use crate::consultations::comment_row;
use crate::keys::{Key, Kind};
use crate::trees::Cells;

impl<C: Cells> Apply<'_, C> {
    /// A draft, or what was adopted of it.
    pub(super) fn rules_draft(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::RulesDraftCore>("core") else { return Ok(()) };
        let key = Key::new(Kind::RulesDraft).text(&core.draft_id).finish();
        let before: Option<StoredRulesDraft> = load(self.cells, &key)?;
        let stored = match (before, said.header.id.number) {
            (Some(before), 2) => StoredRulesDraft { adopted: Some(core), ..before },
            // Text and figures are read where it stands.
            (None, 1) => StoredRulesDraft {
                at: Some(said.at.clone()),
                hub: said.at.peer.clone(),
                core: Some(v1::RulesDraftCore {
                    text: String::new(),
                    figures: String::new(),
                    ..core
                }),
                log_index: said.log_index,
                commitment: said.commitment.0.to_vec(),
                logged_ms: said.header.time_ms().unwrap_or_default(),
                adopted: None,
                told: said.audience.iter().map(|a| a.peer.clone()).collect(),
            },
            _ => return Ok(()),
        };
        self.put(key, &stored);
        Ok(())
    }

    pub(super) fn rules_comment(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::RulesCommentCore>("core") else { return Ok(()) };
        let internal = said.part::<v1::ArrangementInternal>("internal").unwrap_or_default();
        let key = comment_row(&core.draft_id, &core.comment_id);
        if self.cells.read(&key)?.is_some() {
            return Ok(());
        }
        let stored = StoredRulesComment {
            hub: said.at.peer.clone(),
            core: Some(core),
            log_index: said.log_index,
            commitment: said.commitment.0.to_vec(),
            logged_ms: said.header.time_ms().unwrap_or_default(),
            account: internal.account,
            ..Default::default()
        };
        self.put(key, &stored);
        Ok(())
    }

    pub(super) fn rules_answer(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::RulesAnswerCore>("core") else { return Ok(()) };
        let key = comment_row(&core.draft_id, &core.comment_id);
        let Some(before) = load::<_, StoredRulesComment>(self.cells, &key)? else { return Ok(()) };
        let stored = StoredRulesComment {
            answer: Some(core),
            answer_index: said.log_index,
            answer_commitment: said.commitment.0.to_vec(),
            ..before
        };
        self.put(key, &stored);
        Ok(())
    }
}
