//! What a peer may say about a case: its part in it, who assesses what, and how much is enough.

use ewtp_clearance::certificate::LINES_MAX;
use ewtp_log::HubId;
use ewtp_log::statement::StatementId;
use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::case::hub;
use ewtp_trade::route::CUSTOMS;

use crate::acts::erase_case::are_parts;
use crate::acts::is_code;
use crate::attachments::cited;
use crate::casebook::{filing_of, has_part};
use crate::certificates;
use crate::ledger::is_used_up;
use crate::statement_check::{Judge, Pending, Reasons, Said};

/// Characters of an id behind its hub.
const ID_SYMBOLS: usize = 13;
/// Most statements of a peer about one case, filings and acknowledgements left out.
const SAID_MAX: usize = 1000;
/// Most events of a peer under one name.
const SELECTING_MAX: usize = 1024;
/// Most cases that are looked through for one in which a peer has a part.
const SELECTED_LOOKED_MAX: usize = 4096;
/// Most statements that one erasure names.
const ERASED_MAX: usize = 1000;
/// Most answers of a peer to erasures in one case.
const KEEPINGS_MAX: usize = 64;
/// Most filings of a case that a reservation is for.
const SHARES_MAX: usize = 100;
/// Most entries that a refusal in a ledger names.
pub(crate) const HELD_BY_MAX: usize = 32;
const FULL: &str = "fewer than 1000 statements of one hub about a case";

/// Whether a peer was told anything in a case, or said something there.
fn was_told(case: &CaseRecord, peer: &str) -> bool {
    case.told.iter().any(|t| t == peer) || has_part(case, peer)
}

/// An id of a hub's making: the hub, and random symbols.
fn is_id(text: &str) -> bool {
    let symbols = |rest: &str| {
        rest.len() == ID_SYMBOLS
            && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    text.rsplit_once('-').is_some_and(|(hub, rest)| hub.parse::<HubId>().is_ok() && symbols(rest))
}

/// Whether what a ledger says of quantities is no longer than it can be.
fn is_bounded(goods: &v1::LedgerGoods) -> bool {
    let lines = |quantities: &[v1::Quantity]| {
        quantities.len() <= LINES_MAX
            && quantities.iter().all(|q| q.value.len() <= 32 && q.unit.len() <= 8)
    };
    let share = |s: &v1::LedgerShare| s.filing_id.len() <= 64 && lines(&s.quantities);
    lines(&goods.quantities)
        && lines(&goods.left)
        && goods.shares.len() <= SHARES_MAX
        && goods.shares.iter().all(share)
}

/// Whose word a statement about a filing is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assessor {
    /// The hub that assesses the filing.
    Peer,
    /// The hub of the filing.
    Filer,
}

impl Judge<'_> {
    /// An event about many cases is said by a hub that has a part in one of them, and not without end.
    pub(crate) async fn selecting(
        &self,
        name: &str,
        reasons: &mut Reasons,
    ) -> Result<(), StoreError> {
        let (views, peer) = (Views(self.store), self.peer.hub.as_str());
        let said = views.selecting(name).await?;
        let theirs = said
            .iter()
            .filter(|e| e.event.as_ref().is_some_and(|e| hub(e.stands.as_ref()) == peer));
        let full = theirs.count() >= SELECTING_MAX;
        reasons.unless(!full, "too-many", "core.selector", name, "fewer events of one hub");
        let (mut from, mut looked) = (0, 0);
        while looked < SELECTED_LOOKED_MAX {
            let cases = views.selected(name, from, 256).await?;
            if cases.iter().any(|c| c.filings.iter().any(|f| self.has_part(f))) {
                return Ok(());
            }
            if from == 0 && cases.is_empty() {
                // Its filings may be on their way in another lane: what the event covers is computed then.
                return Ok(());
            }
            let Some(last) = cases.last().filter(|_| cases.len() == 256) else { break };
            (from, looked) = (last.ordinal + 1, looked + cases.len());
        }
        reasons.add("rights", "hub", peer, "a hub that has a part in a case that it selects");
        Ok(())
    }

    /// A hub orders the end of what it said itself: of statements whatever became of them here, and of attachments that it was
    /// given.
    pub(crate) async fn erasure(
        &self,
        core: v1::ErasureCore,
        pending: &Pending,
        reasons: &mut Reasons,
    ) -> Result<Said, StoreError> {
        if !core.digest.is_empty() {
            self.of_case(&core.case_id, pending, reasons).await?;
            return self.attachment_erasure(&core, pending, reasons).await;
        }
        let named = core.statements.len();
        let few = (1..=ERASED_MAX).contains(&named);
        let allowed = "1 to 1000 statements, or the digest of an attachment";
        reasons.unless(few, "statements", "core.statements", &named.to_string(), allowed);
        let code = is_code(&core.reason);
        let allowed = "1 to 32 characters of A-Z, 0-9 and -";
        reasons.unless(code, "reason-code", "core.reason", &core.reason, allowed);
        let parts = core.statements.iter().map(|s| &s.parts).chain([&core.parts]);
        let names = parts.into_iter().all(|p| are_parts(p));
        reasons.unless(names, "part-name", "core.parts", "", "at most 16 names of parts");
        reasons.unless(is_id(&core.case_id), "case-id", "core.case_id", &core.case_id, "an id");
        if let Some(case) = Views(self.store).case(&core.case_id).await? {
            let peer = self.peer.hub.as_str();
            let may = was_told(&case, peer) || case.filings.iter().any(|f| self.has_part(f));
            reasons.unless(may, "rights", "hub", peer, "a hub that has a part in the case");
            reasons.unless(!self.is_full(&case), "too-many", "core.case_id", &core.case_id, FULL);
        }
        // Of what a hub in quarantine said, nothing goes at its word: it may be what proves its misconduct. The order is kept.
        match self.peer.is_trusted() {
            true => Ok(Said::Forgetting(Box::new(core))),
            false => Ok(Said::Nothing),
        }
    }

    /// A hub answers an erasure of ours.
    pub(crate) async fn keeping(
        &self,
        core: &v1::KeepingCore,
        reasons: &mut Reasons,
    ) -> Result<(), StoreError> {
        let erasure = core.erasure.clone().unwrap_or_default();
        let own = Views(self.store).own(erasure.log_index).await?;
        let said = own.filter(|s| s.commitment().0.as_slice() == erasure.commitment);
        let said: Option<v1::ErasureCore> = said.and_then(|s| s.part("core"));
        let ours = said.is_some_and(|s| s.case_id == core.case_id);
        let allowed = "an erasure that this hub said in that case";
        reasons.unless(ours, "erasure", "core.erasure", &erasure.log_index.to_string(), allowed);
        let case = Views(self.store).case(&core.case_id).await?.unwrap_or_default();
        let peer = self.peer.hub.as_str();
        let told = was_told(&case, peer);
        reasons.unless(told, "rights", "hub", peer, "a hub that was told of the case");
        let answers = case.keepings.iter().filter(|k| hub(k.stands.as_ref()) == peer).count();
        let few = answers < KEEPINGS_MAX && core.kept.len() <= ERASED_MAX;
        reasons.unless(few, "too-many", "core.case_id", &core.case_id, "few answers");
        Ok(())
    }

    /// The hub that vouches for a certificate keeps its ledger, and says of a case what the case holds: it was told of the filing.
    pub(crate) async fn ledger(
        &self,
        id: &StatementId,
        (core, goods): (&v1::LedgerCore, &v1::LedgerGoods),
        pending: &Pending,
        reasons: &mut Reasons,
    ) -> Result<(), StoreError> {
        let peer = self.peer.hub.as_str();
        let (certificate, subject) = (core.certificate_id.as_str(), id.subject.as_str());
        let theirs = certificate.rsplit_once('-').is_some_and(|(hub, _)| hub == peer);
        let allowed = "a certificate that the hub vouches for, as in the header";
        let holds = theirs && certificate == subject;
        reasons.unless(holds, "ledger", "core.certificate_id", certificate, allowed);
        let known = v1::LedgerEntry::try_from(core.entry).is_ok_and(|e| e as i32 != 0);
        let entry = core.entry.to_string();
        reasons.unless(known, "ledger", "core.entry", &entry, "an entry that is known");
        let few = core.held_by.len() <= HELD_BY_MAX && core.held_by.iter().all(|h| h.len() == 32);
        let held = core.held_by.len().to_string();
        reasons.unless(few, "ledger", "core.held_by", &held, "at most 32 commitments");
        let fits = core.reason.len() <= 300 && is_bounded(goods);
        reasons.unless(fits, "ledger", "goods", "", "lines, shares and texts of a ledger's size");
        let known = Views(self.store).certificate(peer, certificate).await?;
        let in_page = pending.certificates.get(certificate).is_some_and(|(_, _, used_up)| *used_up);
        let reference = known.as_ref().and_then(|c| c.core.as_ref()).map(|c| c.reference.clone());
        let used_up = in_page || known.and_then(|c| c.core).is_some_and(|c| is_used_up(&c));
        let allowed = "a certificate that this hub was told of, for one use or a quantity";
        reasons.unless(used_up, "ledger", "core.certificate_id", certificate, allowed);
        match Views(self.store).case(&core.case_id).await? {
            // Who keeps the ledger of what a filing cites has a word in its case.
            Some(case) => {
                let numbers = [certificate, reference.as_deref().unwrap_or(certificate)];
                let cites = in_page || self.cites(&case, &numbers).await?;
                let allowed = "a case of which a filing cites the certificate";
                reasons.unless(cites, "rights", "core.case_id", &core.case_id, allowed);
                let full = self.is_full(&case);
                reasons.unless(!full, "too-many", "core.case_id", &core.case_id, FULL);
                Ok(())
            }
            None => self.of_case(&core.case_id, pending, reasons).await,
        }
    }

    /// Whether a filing of a case, as it is held here, cites one of these numbers.
    async fn cites(&self, case: &CaseRecord, numbers: &[&str]) -> Result<bool, StoreError> {
        for filing in &case.filings {
            let at = filing.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
            let Some(statement) = Views(self.store).statement(&at).await? else { continue };
            // Goods that aren't shown here may cite it.
            let filing = filing_of(&statement);
            if filing.goods.is_none() || certificates::cited(&filing).cites(numbers) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who was given an attachment erases it: the hub whose statement cites it.
    async fn attachment_erasure(
        &self,
        core: &v1::ErasureCore,
        pending: &Pending,
        reasons: &mut Reasons,
    ) -> Result<Said, StoreError> {
        let Ok(digest) = <[u8; 32]>::try_from(core.digest.as_slice()) else {
            reasons.add("digest", "core.digest", "", "32 bytes");
            return Ok(Said::Nothing);
        };
        let case = Views(self.store).case(&core.case_id).await?.unwrap_or_default();
        let all = cited(self.store, &case).await?;
        let theirs = match all.iter().find(|c| c.reference.digest == core.digest) {
            Some(first) => first.stands.hub == self.peer.hub.as_str(),
            None => pending.cited.contains(&(core.case_id.clone(), core.digest.clone())),
        };
        let allowed = "an attachment of this case that the hub's own statement cites";
        reasons.unless(theirs, "rights", "core.digest", "", allowed);
        reasons.unless(!self.is_full(&case), "too-many", "core.case_id", &core.case_id, FULL);
        Ok(Said::Erasure(digest))
    }

    pub(crate) fn is_ours(&self, country: &str) -> bool {
        self.own.speaks_for(country, CUSTOMS)
    }

    /// Whether a hub is the one that assesses filings for a country, as far as this hub knows.
    pub(crate) fn assesses(&self, country: &str, by: &str) -> bool {
        if self.is_ours(country) {
            return by == self.me.as_str();
        }
        match self.directory.peer_for(country) {
            Some(known) => by == known.hub.as_str(),
            None => by != self.me.as_str(),
        }
    }

    /// Who was found for a filing later is the hub of that country.
    pub(crate) fn found_later(&self, core: &v1::RouteCore, reasons: &mut Reasons) {
        let by = core.assessed_by.as_str();
        let holds = by.is_empty() || self.assesses(&core.country, by);
        let allowed = "the hub that speaks for the country";
        reasons.unless(holds, "assessor", "core.assessed_by", by, allowed);
    }

    /// Whether the peer has a part in a filing: it filed it, assesses it, or has an office on its route.
    pub(crate) fn has_part(&self, filing: &FilingRecord) -> bool {
        let peer = self.peer.hub.as_str();
        hub(filing.stands.as_ref()) == peer
            || filing.assessed_by == peer
            || filing.offices.iter().any(|o| self.peer.speaker().has_office(o))
    }

    /// No peer fills a case without end: what it says past this is not honoured.
    pub(crate) fn is_full(&self, case: &CaseRecord) -> bool {
        let peer = self.peer.hub.as_str();
        let events = case.events.iter().map(|e| &e.stands);
        let decisions = case.decisions.iter().map(|d| &d.stands);
        let requests = case.requests.iter().map(|r| &r.stands);
        let answers = case.answers.iter().map(|a| &a.stands);
        let outcomes = case.outcomes.iter().map(|o| &o.stands);
        let adoptions = case.adoptions.iter().map(|a| &a.stands);
        let routes = case.routes.iter().map(|r| &r.stands);
        let said = events.chain(decisions).chain(requests).chain(answers).chain(outcomes);
        let erasures = case.erasures.iter().map(|e| &e.stands);
        let erasures = erasures.chain(case.orders.iter().map(|o| &o.stands));
        let drawings = case.drawings.iter().map(|d| &d.stands);
        let said = said.chain(adoptions).chain(routes).chain(erasures).chain(drawings);
        said.filter(|s| hub(s.as_ref()) == peer).count() >= SAID_MAX
    }

    /// Checks that a statement is about a case that this hub knows, and that the peer has a part in it; a case of a third hub
    /// may become known later, and what counts is computed then.
    pub(crate) async fn of_case(
        &self,
        case_id: &str,
        pending: &Pending,
        reasons: &mut Reasons,
    ) -> Result<(), StoreError> {
        if pending.filings.keys().any(|(case, _)| case == case_id) {
            return Ok(());
        }
        let case: Option<CaseRecord> = Views(self.store).case(case_id).await?;
        let Some(case) = case else {
            let known = self.is_of_third(case_id);
            let allowed = "a case that this hub knows";
            reasons.unless(known, "case-unknown", "core.case_id", case_id, allowed);
            return Ok(());
        };
        let peer = self.peer.hub.as_str();
        let may = self.is_of_third(case_id) || case.filings.iter().any(|f| self.has_part(f));
        reasons.unless(may, "rights", "hub", peer, "a hub that has a part in the case");
        reasons.unless(!self.is_full(&case), "too-many", "core.case_id", case_id, FULL);
        Ok(())
    }

    /// Whether a case was opened at a pinned hub that is neither this one nor the peer.
    pub(crate) fn is_of_third(&self, case_id: &str) -> bool {
        case_id.rsplit_once('-').is_some_and(|(hub, rest)| {
            hub != self.peer.hub.as_str()
                && rest.len() == ID_SYMBOLS
                && self.directory.active_peer(hub).is_some()
        })
    }

    /// Checks that a statement is about a case and filing that this hub knows, and that the peer may say it.
    pub(crate) async fn about(
        &self,
        case_id: &str,
        filing_id: &str,
        who: Assessor,
        pending: &Pending,
        reasons: &mut Reasons,
    ) -> Result<(), StoreError> {
        let in_page = pending.filings.get(&(case_id.to_owned(), filing_id.to_owned()));
        if let Some((_, assessed_by)) = in_page {
            // Said by this very page, so by this peer: its filer may go on, and it itself if it assesses what it files, as it
            // does with an import filing.
            reasons.unless(
                who == Assessor::Filer || assessed_by == self.peer.hub.as_str(),
                "rights",
                "hub",
                self.peer.hub.as_str(),
                "the hub that assesses the filing",
            );
            return Ok(());
        }
        let case: Option<CaseRecord> = Views(self.store).case(case_id).await?;
        // With three hubs a decision may be heard before the filing that it is about.
        let third = self.is_of_third(case_id);
        let Some(case) = case else {
            let allowed = "a case that this hub knows";
            reasons.unless(third, "case-unknown", "core.case_id", case_id, allowed);
            return Ok(());
        };
        reasons.unless(!self.is_full(&case), "too-many", "core.case_id", case_id, FULL);
        let Some(filing) = case.filings.iter().find(|f| f.filing_id == filing_id) else {
            let allowed = "a filing of that case";
            reasons.unless(third, "filing-unknown", "core.filing_id", filing_id, allowed);
            return Ok(());
        };
        let (may, allowed) = match who {
            // The route or the version that names it may be on its way in another lane: what counts is computed then.
            Assessor::Peer => {
                let peer = self.peer.hub.as_str();
                let named = filing.assessed_by == peer;
                (named || (third && self.peer.may_assess()), "the hub that assesses the filing")
            }
            Assessor::Filer => {
                (hub(filing.stands.as_ref()) == self.peer.hub.as_str(), "the hub of the filing")
            }
        };
        reasons.unless(may, "rights", "hub", self.peer.hub.as_str(), allowed);
        Ok(())
    }
}
