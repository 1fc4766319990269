//! What is erased, and what is left of it in its case.

use std::collections::BTreeMap;

use ewtp_proto::store::v1::{CaseRecord, Forgotten, ForgottenRecord, LaneAddress, Stands};
use ewtp_trade::forget;

use super::Apply;
use crate::journal::ReadFrame;
use crate::keys::{Key, Kind};
use crate::trees::Cells;

impl<C: Cells> Apply<'_, C> {
    /// A statement that is no more: its case had it.
    pub(super) fn forgotten(
        &mut self,
        read: &ReadFrame,
        stands: Stands,
        forgotten: &Forgotten,
        account: &str,
        audience: &[LaneAddress],
    ) -> Result<(), C::Error> {
        if forgotten.case_id.is_empty() {
            return Ok(());
        }
        let stands = Stands {
            commitment: forgotten.commitment.clone(),
            logged_ms: forgotten.logged_ms,
            received_ms: read.frame.time_ms,
            ..stands
        };
        let id = &forgotten.case_id;
        let mut case = match self.case(id)? {
            Some(case) => case,
            None => self.open_case(read, id),
        };
        for address in audience {
            if !case.told.contains(&address.peer) {
                case.told.push(address.peer.clone());
            }
        }
        // Whoever filed it may see that it was erased.
        if !account.is_empty() && !case.accounts.iter().any(|a| a == account) {
            case.accounts.push(account.to_owned());
            self.index(Kind::AccountCases, account, case.ordinal);
        }
        let kind = forgotten.kind.clone();
        forget::note(
            &mut case,
            ForgottenRecord { stands: Some(stands), kind, ..Default::default() },
        );
        self.put_case(case);
        Ok(())
    }

    /// What is erased from here on.
    pub(super) fn erasures(&mut self, read: &ReadFrame) -> Result<(), C::Error> {
        let mut touched: BTreeMap<&str, CaseRecord> = BTreeMap::new();
        for (i, erasure) in (0u64..).zip(&read.frame.erasures) {
            let key = Key::new(Kind::Forgetting).number(read.frame.sequence).number(i).finish();
            self.put(key, erasure);
            for digest in &erasure.attachments {
                self.cells.write(Key::new(Kind::Erased).bytes(digest).finish(), Vec::new());
            }
            if erasure.unrecorded {
                continue;
            }
            let id = erasure.case_id.as_str();
            if !touched.contains_key(id)
                && let Some(case) = self.case(id)?
            {
                touched.insert(id, case);
            }
            let (Some(case), Some(at)) = (touched.get_mut(id), &erasure.at) else { continue };
            let here = |stands: Option<&Stands>| stands.and_then(|s| s.at.as_ref()) == Some(at);
            let live = forget::said_in(case).into_iter().find(|s| here(Some(&s.stands)));
            let live = live.map(|s| (Some(s.stands), s.kind.to_owned()));
            // Read anew after a compaction, it is no more when it is erased.
            let gone = || case.forgotten.iter().find(|f| here(f.stands.as_ref()));
            let gone = || gone().map(|f| (f.stands.clone(), f.kind.clone()));
            let Some((stands, kind)) = live.or_else(gone) else { continue };
            let record = ForgottenRecord {
                stands,
                kind,
                parts: erasure.parts.clone(),
                reason: erasure.reason.clone(),
                by: erasure.by.clone(),
                erased_ms: read.frame.time_ms,
                countries: erasure.countries.clone(),
                classes: erasure.classes.clone(),
                subject: erasure.subject.clone(),
                number: erasure.number,
            };
            forget::forget(case, at, &erasure.parts);
            forget::note(case, record);
        }
        for case in touched.into_values() {
            if forget::is_forgotten(&case) {
                self.cells.erase(Key::new(Kind::Ordered).number(case.ordinal).finish());
            }
            self.put_case(case);
        }
        Ok(())
    }
}
