//! What is not honoured, by a peer or here.

use ewtp_proto::store::v1::{RefusalRecord, StoredRefusal};
use ewtp_proto::v1;

use super::{Apply, Said, load, refused_row};
use crate::trees::Cells;

/// Most refusals kept in a case: more tell nobody anything new.
const REFUSALS_MAX: usize = 64;

impl<C: Cells> Apply<'_, C> {
    /// A peer does not honour something that we said; or we told one so.
    pub(super) fn ack(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::AckCore>("core") else { return Ok(()) };
        if said.at.peer.is_empty() {
            // What we refuse is recorded as it is heard; here is where to find what we said of it.
            let ack = Some(said.log_index);
            self.put(refused_row(&core.commitment), &StoredRefusal { ack, at: None });
            return Ok(());
        }
        let Some(mut case) = self.case(&core.case_id)? else { return Ok(()) };
        if case.refusals.len() >= REFUSALS_MAX {
            return Ok(());
        }
        case.refusals.push(RefusalRecord {
            statement: Some(v1::StatementRef {
                hub: self.own_hub.to_owned(),
                commitment: core.commitment,
                log_index: core.log_index,
            }),
            reasons: core.reasons,
            hub: said.hub.clone(),
            stands: Some(said.stands()),
            refused: None,
        });
        self.put_case(case);
        Ok(())
    }

    /// We do not honour something that a peer said.
    pub(super) fn not_honoured(
        &mut self,
        said: &Said<'_>,
        reasons: &[v1::Finding],
    ) -> Result<(), C::Error> {
        let commitment = said.commitment.0.to_vec();
        let row = refused_row(&commitment);
        let known: StoredRefusal = load(self.cells, &row)?.unwrap_or_default();
        self.put(row, &StoredRefusal { at: Some(said.at.clone()), ..known });
        let case_id = said.fact().map(|f| f.case_id().to_owned());
        let Some(mut case) = self.case(&case_id.unwrap_or_default())? else { return Ok(()) };
        if case.refusals.len() >= REFUSALS_MAX {
            return Ok(());
        }
        case.refusals.push(RefusalRecord {
            statement: Some(v1::StatementRef {
                hub: said.hub.clone(),
                commitment,
                log_index: said.log_index,
            }),
            reasons: reasons.to_vec(),
            hub: self.own_hub.to_owned(),
            stands: None,
            refused: Some(said.stands()),
        });
        self.put_case(case);
        Ok(())
    }
}
