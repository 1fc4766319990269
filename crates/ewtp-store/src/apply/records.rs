//! Records that stand beside cases: accounts, peers, mandates, draw keys, rulesets, code lists,
//! arrangements, certificates.

use ewtp_proto::store::v1::{
    CertificateTold, Change, SettledFiling, StoredAlarm, StoredArrangementStep, StoredCertificate,
    StoredCertificateLine, StoredCodeList, StoredDrawKey, StoredFinding, StoredHolding,
    StoredLedger, StoredMandate, StoredReport, StoredRuleset,
};
use ewtp_proto::{Message, v1};

use super::{Apply, Said, load};
use crate::keys::{CertificateName, Key, Kind};
use crate::trees::Cells;

/// Most findings of one inspection that are kept.
const FINDINGS_MAX: usize = 64;

impl<C: Cells> Apply<'_, C> {
    /// By account first: what an account may do for others is one range.
    pub(super) fn mandate(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let (Some(core), true) = (said.part::<v1::MandateCore>("core"), said.at.peer.is_empty())
        else {
            return Ok(());
        };
        let key = Key::new(Kind::Mandate).text(&core.account).text(&core.principal_id).finish();
        let version = said.header.id.number;
        let commitment = said.commitment.0.to_vec();
        let log_index = said.log_index;
        self.put(key, &StoredMandate { core: Some(core), version, log_index, commitment });
        Ok(())
    }

    pub(super) fn draw_key(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let (Some(core), true) = (said.part::<v1::DrawKeyCore>("core"), said.at.peer.is_empty())
        else {
            return Ok(());
        };
        let from_ms = u64::try_from(core.from_ms).unwrap_or_default();
        let stored = StoredDrawKey {
            core: Some(core),
            log_index: said.log_index,
            commitment: said.commitment.0.to_vec(),
            logged_ms: said.header.time_ms().unwrap_or_default(),
        };
        self.put(Key::new(Kind::DrawKey).number(from_ms).finish(), &stored);
        Ok(())
    }

    pub(super) fn record<M: Message + Default>(
        &mut self,
        said: &Said<'_>,
        kind: Kind,
    ) -> Result<(), C::Error> {
        // Records of accounts and peers are said by the hub itself alone.
        if said.hub != self.own_hub || !said.at.peer.is_empty() {
            return Ok(());
        }
        if let Some(record) = said.part::<M>("internal") {
            let key = Key::new(kind).text(&said.header.id.subject).finish();
            self.put(key, &record);
        }
        Ok(())
    }

    /// A peer, and a word to the watchers of its cases if it is regarded otherwise than before.
    pub(super) fn peer(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let hub = said.header.id.subject.clone();
        let key = Key::new(Kind::Peer).text(&hub).finish();
        let state = |record: Option<v1::PeerRecord>| record.map(|r| r.state);
        let before = state(load(self.cells, &key)?);
        self.record::<v1::PeerRecord>(said, Kind::Peer)?;
        let now = state(load(self.cells, &key)?);
        if before.is_some() && before != now {
            self.changes.push(Change { hub, ..Change::default() });
        }
        Ok(())
    }

    pub(super) fn ruleset(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let (Some(core), true) = (said.part::<v1::RulesetCore>("core"), said.at.peer.is_empty())
        else {
            return Ok(());
        };
        let internal = said.part::<v1::RulesetInternal>("internal").unwrap_or_default();
        let text = if core.confidential { internal.text } else { core.text.clone() };
        let key = Key::new(Kind::Ruleset).text(&core.name).number(u64::from(core.version)).finish();
        let commitment = said.commitment.0.to_vec();
        self.put(
            key,
            &StoredRuleset { core: Some(core), text, log_index: said.log_index, commitment },
        );
        Ok(())
    }

    /// A step of an arrangement, this hub's or the peer's.
    pub(super) fn arrangement(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::ArrangementCore>("core") else { return Ok(()) };
        let heard = !said.at.peer.is_empty();
        let peer = if heard { said.at.peer.clone() } else { said.header.id.subject.clone() };
        let number = said.header.id.number;
        let key = Key::new(Kind::Arrangement).text(&peer).number(u64::from(heard)).number(number);
        let stored = StoredArrangementStep {
            peer,
            heard,
            number,
            core: Some(core),
            at: Some(said.at.clone()),
            log_index: said.log_index,
            commitment: said.commitment.0.to_vec(),
            known_ms: said.frame.frame.time_ms,
        };
        self.put(key.finish(), &stored);
        Ok(())
    }

    /// What is said of a certificate, by this hub or a peer: the newest counts.
    pub(super) fn certificate(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::CertificateCore>("core") else { return Ok(()) };
        let hub = said.at.peer.clone();
        let id = core.certificate_id.clone();
        let key = Key::new(Kind::Certificate).text(&hub).text(&id).finish();
        let before: Option<StoredCertificate> = load(self.cells, &key)?;
        let number = said.header.id.number;
        // The newest counts, whatever the order in which a peer says them.
        if before.as_ref().is_some_and(|b| b.number > number) {
            return Ok(());
        }
        let holder: Option<v1::CertificateHolder> = said.part("holder");
        let lines = (1..=core.lines)
            .map(|n| StoredCertificateLine { line: said.part(&format!("line-{n}")) });
        let holder_id = holder.as_ref().map(|h| h.id.as_str());
        let names = [
            holder_id.map(CertificateName::Holder),
            holder_id.filter(|_| core.kind == "aeo").map(CertificateName::Operator),
            Some(CertificateName::Reference(&core.reference)),
        ];
        for name in names.into_iter().flatten() {
            let row = name.row(&hub).text(&id).finish();
            self.cells.write(row, id.clone().into_bytes());
        }
        let same = before.as_ref().is_some_and(|b| b.core.as_ref() == Some(&core));
        let changed = before.as_ref().filter(|_| same).map_or(number, |b| b.changed);
        let mut told = before.map(|b| b.told).unwrap_or_default();
        for peer in said.audience.iter().map(|a| &a.peer) {
            told.retain(|t| t.hub != *peer);
            told.push(CertificateTold { hub: peer.clone(), number });
        }
        told.sort_by(|a, b| a.hub.cmp(&b.hub));
        let stored = StoredCertificate {
            changed,
            lines: lines.collect(),
            original: said.part("original"),
            holder,
            core: Some(core),
            number,
            at: Some(said.at.clone()),
            log_index: said.log_index,
            commitment: said.commitment.0.to_vec(),
            told,
            known_ms: said.frame.frame.time_ms,
            hub,
        };
        self.put(key, &stored);
        Ok(())
    }

    /// What an inspection found of facts that another hub had established.
    pub(super) fn found(&mut self, said: &Said<'_>, core: &v1::EventCore) {
        let trader = said.part::<v1::EventTrader>("trader").unwrap_or_default();
        let authority = said.part::<v1::DecisionAuthority>("authority").unwrap_or_default();
        let logged_ms = said.header.time_ms().unwrap_or_default();
        let all = trader.findings.iter().chain(&authority.findings);
        let named = all.filter(|f| !f.hub.is_empty() && f.hub.len() + f.kind.len() <= 64);
        for (at, finding) in (0u64..).zip(named.take(FINDINGS_MAX)) {
            let key = Key::new(Kind::Found).text(&said.hub).text(&finding.hub).text(&finding.kind);
            let key = key.number(logged_ms).number(said.log_index).number(at).finish();
            let case_id = ewtp_trade::record::case_of_event(core).to_owned();
            let finding = Some(finding.clone());
            self.put(key, &StoredFinding { case_id, finding, logged_ms });
        }
    }

    pub(super) fn quality_alarm(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let id = &said.header.id;
        let key = Key::new(Kind::Alarm).text(&said.hub).text(&id.subject).number(id.number);
        let stored = StoredAlarm {
            by: said.hub.clone(),
            core: said.part("core"),
            logged_ms: said.header.time_ms().unwrap_or_default(),
            log_index: said.log_index,
            commitment: said.commitment.0.to_vec(),
            number: id.number,
        };
        self.put(key.finish(), &stored);
        Ok(())
    }

    /// A report that this hub published.
    pub(super) fn report(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let (Some(core), true) = (said.part::<v1::ReportCore>("core"), said.at.peer.is_empty())
        else {
            return Ok(());
        };
        let number = said.header.id.number;
        let key = Key::new(Kind::Report).text(&core.kind).number(number).finish();
        let commitment = said.commitment.0.to_vec();
        let log_index = said.log_index;
        self.put(key, &StoredReport { core: Some(core), log_index, commitment, number });
        Ok(())
    }

    /// An entry of the ledger of a certificate that this hub vouches for.
    pub(super) fn ledger(
        &mut self,
        said: &Said<'_>,
        core: &v1::LedgerCore,
        goods: &v1::LedgerGoods,
    ) -> Result<(), C::Error> {
        let number = said.header.id.number;
        let internal = said.part::<v1::LedgerInternal>("internal").unwrap_or_default();
        let ledger = StoredLedger { entries: number, taken: internal.taken };
        self.put(Key::new(Kind::Ledger).text(&core.certificate_id).finish(), &ledger);
        let key = Key::new(Kind::Holding).text(&core.certificate_id).text(&core.case_id).finish();
        let mut holding: StoredHolding = load(self.cells, &key)?.unwrap_or_default();
        holding.case_id.clone_from(&core.case_id);
        let refused = core.entry() == v1::LedgerEntry::Refused;
        // What was refused or freed by hand isn't asked for again by the same version.
        let by_hand = !internal.account.is_empty();
        let settles = |filing_id: &str, version: u32| SettledFiling {
            filing_id: filing_id.to_owned(),
            version,
        };
        if refused || by_hand {
            holding.settled.push(settles(&core.filing_id, core.filing_version));
        }
        if by_hand {
            let shares = goods.shares.iter();
            holding.settled.extend(shares.map(|s| settles(&s.filing_id, s.version)));
        }
        if core.entry() == v1::LedgerEntry::Reserved {
            holding.last = Some(goods.clone());
        }
        if !refused {
            (holding.core, holding.goods) = (Some(core.clone()), Some(goods.clone()));
            holding.commitment = said.commitment.0.to_vec();
            holding.number = number;
            holding.log_index = said.log_index;
        }
        self.put(key, &holding);
        Ok(())
    }

    /// An edition of a code list, this hub's or a peer's. Said again to hubs that joined later it is the same edition.
    pub(super) fn code_list(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::CodeListCore>("core") else { return Ok(()) };
        let hub = said.at.peer.clone();
        let key = Key::new(Kind::CodeList).text(&hub).text(&core.list).text(&core.edition).finish();
        let before: Option<StoredCodeList> = load(self.cells, &key)?;
        // Its name is used once: what was said first under it stays.
        if before.as_ref().is_some_and(|b| b.core.as_ref() != Some(&core)) {
            return Ok(());
        }
        let number = said.header.id.number;
        let first = before.as_ref().map_or(number, |b| b.first);
        let mut told = before.map(|b| b.told).unwrap_or_default();
        told.extend(said.audience.iter().map(|a| a.peer.clone()));
        told.sort();
        told.dedup();
        self.put(key, &StoredCodeList { hub, core: Some(core), number, told, first });
        Ok(())
    }
}
