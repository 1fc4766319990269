//! Filings that end without use: goods that were declared and never came. The hub of filing says so, as it says everything: logged, told
//! to whoever heard of the filing.
//!
//! Source of the terms that are the default: Union Customs Code, Regulation (EU) No 952/2013, article 129 (entry summary, 200 days) and
//! article 171 (pre-lodged import, 30 days); Delegated Regulation (EU) 2015/2446, article 248 (export, 150 days).

use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1::{FilingState, FilingType, GoodsState};

use crate::case::{adoption, filing_state, hub, legs};

/// The reason code of a hub's own word that a filing ended without use.
pub const EXPIRED: &str = "EXPIRED";

const DAY_MS: u64 = 86_400_000;

/// How long a filing stands without use, by its type, milliseconds; 0 for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Export filings whose goods never left.
    pub export_ms: u64,
    /// Advance filings whose goods never came and that nobody adopted.
    pub advance_ms: u64,
    /// Import filings whose goods were never presented.
    pub import_ms: u64,
    /// Transit filings.
    pub transit_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            export_ms: 150 * DAY_MS,
            advance_ms: 200 * DAY_MS,
            import_ms: 30 * DAY_MS,
            transit_ms: 0,
        }
    }
}

impl Terms {
    fn of(self, kind: FilingType) -> u64 {
        match kind {
            FilingType::Export => self.export_ms,
            FilingType::Advance => self.advance_ms,
            FilingType::Import => self.import_ms,
            FilingType::Transit => self.transit_ms,
            FilingType::Unspecified => 0,
        }
    }

    /// The shortest term there is, milliseconds; `None` if nothing ever ends.
    #[must_use]
    pub fn shortest_ms(self) -> Option<u64> {
        let all = [self.export_ms, self.advance_ms, self.import_ms, self.transit_ms];
        all.into_iter().filter(|ms| *ms > 0).min()
    }

    /// Whether a filing of this hub ended without use: its term since the newest version is over, its goods never moved (an import's were
    /// never presented here), nobody adopted it.
    #[must_use]
    pub fn ended(self, case: &CaseRecord, filing: &FilingRecord, me: &str, now_ms: u64) -> bool {
        let kind = FilingType::try_from(filing.r#type).unwrap_or_default();
        let term = self.of(kind);
        let logged_ms = filing.stands.as_ref().map_or(u64::MAX, |s| s.logged_ms);
        let moved = || {
            let here = |hub: &str| kind != FilingType::Import || hub == me;
            let waits = |state: GoodsState| {
                state == GoodsState::Expected
                    || (kind == FilingType::Import
                        && matches!(state, GoodsState::Departed | GoodsState::Incident))
            };
            legs(case).into_iter().any(|(hub, state)| here(hub) && !waits(state))
        };
        term > 0
            && hub(filing.stands.as_ref()) == me
            && logged_ms.saturating_add(term) <= now_ms
            && filing_state(case, filing) == FilingState::Registered
            && adoption(case, filing).is_none()
            && !moved()
    }
}

/// Whether a filing ended so: what was withdrawn first was withdrawn.
#[must_use]
pub fn is_expired(case: &CaseRecord, filing: &FilingRecord) -> bool {
    let own = hub(filing.stands.as_ref());
    let of_it = case.invalidations.iter().filter(|i| i.filing_id == filing.filing_id);
    let mut said = of_it.filter(|i| hub(i.stands.as_ref()) == own);
    said.next().is_some_and(|i| i.expired)
}
