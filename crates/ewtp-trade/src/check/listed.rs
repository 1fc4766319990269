//! Codes by the lists in force: what refuses, what is told.

use super::Check;
use crate::finding::Say;
use crate::lists::{Ended, ListKind, Listed};

impl Check<'_> {
    /// A code by its list: one that left it is told with what replaced it, one that the list's publisher doesn't know is refused, one
    /// that a list of ours doesn't know is told.
    pub(super) fn code(&mut self, path: &str, kind: ListKind, value: &str, say: Say<'_>) {
        let edition = self.lists.edition(kind);
        match self.lists.listed(kind, value) {
            Listed::Yes => {}
            Listed::Ended(ended) => self.ended(path, kind, value, &ended, "code-ended"),
            Listed::No => self.out.violation(path, value, say),
            Listed::Unknown => {}
            Listed::Unlisted => {
                let allowed = format!("a code of {} {edition}", kind.name());
                let fix = "compare it with a newer edition";
                self.out.warning(path, value, Say { code: say.code, allowed: &allowed, fix });
            }
        }
    }

    pub(super) fn ended(
        &mut self,
        path: &str,
        kind: ListKind,
        value: &str,
        ended: &Ended,
        code: &'static str,
    ) {
        let edition = self.lists.edition(kind);
        let fix = ended.by_what().unwrap_or_else(|| "look up what replaced it".to_owned());
        let allowed =
            format!("a code of {} {edition}; this one left it{}", kind.name(), ended.when());
        self.out.warning(path, value, Say { code, allowed: &allowed, fix: &fix });
    }
}
