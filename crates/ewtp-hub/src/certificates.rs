//! Certificates: what this hub vouches for having received, told to the peers whose arrangement recognises it, and what peers vouch for.

use std::collections::BTreeSet;
use std::sync::Arc;

use ewtp_clearance::arrangement::{Arrangement, FactKind, HsRange, Recognition};
use ewtp_clearance::certificate::{Certificate, LINE_PARTS, LINES_MAX, may_become};
use ewtp_clearance::recognition::{Foreign, Goods};
use ewtp_log::statement::Header;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{
    CaseRecord, CertificateTold, DrawingRecord, Locator, StoredCertificate,
};
use ewtp_proto::v1::{self, CertificateState};
use ewtp_store::keys::CertificateName;
use ewtp_store::{Store, StoreError, Views};
use ewtp_trade::attachment;
use ewtp_trade::case::hub;
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::quantity::parse_decimal;
use ewtp_trade::scope::shows_statement;

use crate::clock::new_id;
use crate::directory::{Directory, Peer};
use crate::draft::{Draft, NewStatement, SayError};
use crate::ledger::{self, is_used_up};
use crate::shared::Shared;
use crate::statement_check::{Judge, Parts, Pending, Reasons};

/// Most certificates of one name that are looked at for a filing.
const OF_ONE_NAME_MAX: usize = 32;
/// Most statements on one certificate.
const NUMBERS_MAX: u64 = 1000;
/// Most documents of a filing that are looked up.
const CITED_MAX: usize = 100;
/// Certificates told at once to a hub whose arrangement begins to recognise them.
const PAGE: usize = 500;

/// A certificate with all its parts.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Core.
    pub core: v1::CertificateCore,
    /// Whom it is about.
    pub holder: v1::CertificateHolder,
    /// Lines.
    pub lines: Vec<v1::CertificateLine>,
    /// The document itself.
    pub original: v1::CertificateOriginal,
}

/// A certificate for people and systems.
#[must_use]
pub fn view(stored: StoredCertificate, me: &str) -> v1::CertificateView {
    v1::CertificateView {
        hub: if stored.hub.is_empty() { me.to_owned() } else { stored.hub },
        lines: stored.lines.into_iter().filter_map(|l| l.line).collect(),
        core: stored.core,
        holder: stored.holder,
        original: stored.original,
        log_index: stored.log_index,
        commitment: stored.commitment,
        told: stored.told.into_iter().map(|t| t.hub).collect(),
    }
}

fn fault(path: &str, value: &str, allowed: &str, fix: &str) -> v1::Finding {
    finding(path, value, Say { code: "certificate", allowed, fix })
}

fn content_of(stored: &StoredCertificate) -> Content {
    Content {
        core: stored.core.clone().unwrap_or_default(),
        holder: stored.holder.clone().unwrap_or_default(),
        lines: stored.lines.iter().map(|l| l.line.clone().unwrap_or_default()).collect(),
        original: stored.original.clone().unwrap_or_default(),
    }
}

/// Says that this hub received a certificate; its id.
///
/// # Errors
/// [`SayError`].
pub async fn issue(
    shared: &Arc<Shared>,
    mut content: Content,
    account: &str,
) -> Result<String, SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let id = new_id(shared.identity.hub.as_str())?;
    content.core.certificate_id.clone_from(&id);
    content.core.set_state(CertificateState::Valid);
    content.core.lines = u32::try_from(content.lines.len()).unwrap_or(u32::MAX);
    let lines: Vec<_> = content.lines.iter().cloned().map(Some).collect();
    let mut faults = match Certificate::read(&content.core, Some(&content.holder), &lines) {
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    };
    faults.extend(attachment::check("original.attachments", &content.original.attachments));
    let name = CertificateName::Reference(&content.core.reference);
    let views = Views(&*shared.store);
    let same = views.certificates_of("", name, OF_ONE_NAME_MAX).await?;
    // One that is suspended may hold again: two of one paper would be used twice.
    let stands = |c: &&StoredCertificate| {
        c.core.as_ref().is_some_and(|c| {
            let open = matches!(c.state(), CertificateState::Valid | CertificateState::Suspended);
            c.issuer == content.core.issuer && open
        })
    };
    if let Some(before) = same.iter().find(stands) {
        let known = before.core.as_ref().map(|c| c.certificate_id.clone()).unwrap_or_default();
        let allowed = format!(
            "a number that no valid or suspended certificate of this issuer has; {known} has it"
        );
        faults.push(fault(
            "core.reference",
            &content.core.reference,
            &allowed,
            "revoke or replace that one first",
        ));
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let directory = shared.directory.load_full();
    let statement = statement(&content, 1, account, audience(&directory, &content))?;
    let mut draft = Draft { statements: vec![statement], ..Draft::default() };
    let used_up = is_used_up(&content.core);
    if used_up && views.ledgers_kept().await?.is_none() {
        // The first that has a ledger: from here on cases are followed.
        draft.ledgers_kept = views.counters().await?.changes + 1;
    }
    shared.own.submit_act(draft, act).await?;
    if used_up {
        ledger::keep_for(shared, &content.holder.id).await?;
    }
    Ok(id)
}

/// Says that a certificate of this hub is suspended, valid again, revoked or replaced.
///
/// # Errors
/// [`SayError`].
pub async fn change(
    shared: &Arc<Shared>,
    id: &str,
    state: CertificateState,
    replaced_by: &str,
    reason: &str,
    account: &str,
) -> Result<(), SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let views = Views(&*shared.store);
    let Some(stored) = views.certificate("", id).await? else {
        let allowed = "a certificate that this hub vouches for";
        let fix = "list them: ewtp certificate list";
        return Err(SayError::Faults(vec![fault("certificate_id", id, allowed, fix)]));
    };
    let mut content = content_of(&stored);
    let before = content.core.state();
    let mut faults = Vec::new();
    if !may_become(before, state) {
        let word = before.as_str_name().trim_start_matches("CERTIFICATE_STATE_");
        let allowed = format!("what may follow on {word}: revoked and replaced are final");
        let fix = "issue another certificate";
        faults.push(fault("state", state.as_str_name(), &allowed, fix));
    }
    if state == CertificateState::Replaced && views.certificate("", replaced_by).await?.is_none() {
        let allowed = "the id of a certificate that this hub vouches for";
        faults.push(fault("replaced_by", replaced_by, allowed, "issue the new one first"));
    }
    let drawn = views.ledger(id).await?.entries > 0;
    if state == CertificateState::Replaced && drawn {
        let allowed =
            "a certificate that nothing was drawn on: another one would give all of it anew";
        let fix = "revoke it, and issue one for what is left";
        faults.push(fault("state", id, allowed, fix));
    }
    content.core.set_state(state);
    content.core.replaced_by = replaced_by.to_owned();
    content.core.reason = reason.to_owned();
    let lines: Vec<_> = content.lines.iter().cloned().map(Some).collect();
    faults.extend(
        Certificate::read(&content.core, Some(&content.holder), &lines).err().unwrap_or_default(),
    );
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    // Who was told of it hears this too, whatever the arrangement became.
    let directory = shared.directory.load_full();
    let mut hubs: BTreeSet<HubId> = audience(&directory, &content).into_iter().collect();
    let told = stored.told.iter().filter_map(|t| directory.active_peer(&t.hub));
    hubs.extend(told.map(|p| p.hub.clone()));
    let statement = statement(&content, stored.number + 1, account, hubs.into_iter().collect())?;
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await?;
    if is_used_up(&content.core) && state == CertificateState::Valid {
        ledger::keep_for(shared, &content.holder.id).await?;
    }
    Ok(())
}

fn statement(
    content: &Content,
    number: u64,
    account: &str,
    audience: Vec<HubId>,
) -> Result<NewStatement, getrandom::Error> {
    let mut statement = NewStatement::new("certificate", &content.core.certificate_id, number)?
        .part("core", &content.core)?
        .part("holder", &content.holder)?;
    for (name, line) in LINE_PARTS.iter().zip(&content.lines) {
        statement = statement.part(name, line)?;
    }
    let internal = v1::ArrangementInternal { account: account.to_owned() };
    statement = statement.part("original", &content.original)?.part("internal", &internal)?;
    statement.audience = audience;
    Ok(statement)
}

/// Whether a peer recognises a certificate by what is agreed with it, now or from a later day on.
fn recognises(directory: &Directory, peer: &HubId, content: &Content) -> bool {
    let Some(standing) = directory.arrangements.get(peer) else { return false };
    let about = |ranges: &[HsRange]| {
        let named = content.lines.iter().filter_map(|line| HsRange::parse(&line.hs));
        let mut named = named.peekable();
        ranges.is_empty()
            || named.peek().is_none()
            || named.any(|line| ranges.iter().any(|range| range.meets(&line)))
    };
    let line =
        |r: &Recognition| r.by == *peer && r.kind.name() == content.core.kind && about(&r.hs);
    standing.holding().any(|d| d.recognitions.iter().any(line))
}

/// The active peers that recognise a certificate and may be shown such.
fn audience(directory: &Directory, content: &Content) -> Vec<HubId> {
    let shown = |p: &&Arc<Peer>| {
        let scope = p.record.scope.as_ref();
        p.is_active() && scope.is_some_and(|s| shows_statement(s, "certificate", None))
    };
    let all = directory.peers.values().filter(shown).map(|p| &p.hub);
    all.filter(|hub| recognises(directory, hub, content)).cloned().collect()
}

/// Tells peers that begin to recognise certificates of those that hold.
///
/// # Errors
/// [`SayError`].
pub(crate) async fn tell_newcomers(shared: &Arc<Shared>) -> Result<(), SayError> {
    let mut after = String::new();
    loop {
        let act = Arc::clone(&shared.acts).lock_owned().await;
        let directory = shared.directory.load_full();
        let page = Views(&*shared.store).certificates("", &after, PAGE).await?;
        let more = page.len() == PAGE;
        let mut draft = Draft::default();
        let mut newcomers = Vec::new();
        for stored in page {
            let content = content_of(&stored);
            after.clone_from(&content.core.certificate_id);
            let told = |hub: &HubId| stored.told.iter().find(|t| t.hub == hub.as_str());
            let mut hubs = audience(&directory, &content);
            // Who never heard of it needs not hear that it doesn't hold.
            hubs.retain(|hub| {
                told(hub).is_none() && content.core.state() == CertificateState::Valid
            });
            if is_used_up(&content.core) && !hubs.is_empty() {
                newcomers.push((content.core.certificate_id.clone(), hubs.clone()));
            }
            // Who was away when it changed hears what it is now, whatever the arrangement became.
            let stale = |t: &&CertificateTold| t.number < stored.changed;
            let away =
                stored.told.iter().filter(stale).filter_map(|t| directory.active_peer(&t.hub));
            hubs.extend(away.map(|p| p.hub.clone()));
            if !hubs.is_empty() {
                let next = stored.number + 1;
                draft.statements.push(statement(&content, next, "", hubs)?);
            }
        }
        let mut told_at = u64::MAX;
        if !draft.statements.is_empty() {
            let logged = shared.own.submit_act(draft, act).await?;
            told_at = logged.statements.first().map_or(u64::MAX, |(index, _)| *index);
        }
        // What is reserved of them is said behind them: to who hadn't heard of the certificate it would have said nothing.
        for (id, hubs) in newcomers {
            let late = ledger::held_for(shared, &id, &hubs, told_at).await?;
            if !late.is_empty() {
                shared.own.submit(Draft { late, ..Draft::default() }).await?;
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// Checks what a peer says of a certificate; whom it is about, where that is shown.
///
/// # Errors
/// Reading.
pub(crate) async fn heard(
    judge: &Judge<'_>,
    header: &Header,
    content: &Parts<'_>,
    pending: &Pending,
    reasons: &mut Reasons,
) -> Result<Option<(v1::CertificateCore, Option<v1::CertificateHolder>)>, StoreError> {
    let Some(core) = content.core::<v1::CertificateCore>(reasons) else { return Ok(None) };
    let holder: Option<v1::CertificateHolder> = content.get("holder");
    let count = (core.lines as usize).min(LINES_MAX + 1);
    let lines: Vec<Option<v1::CertificateLine>> =
        (1..=count).map(|n| content.get(&format!("line-{n}"))).collect();
    if let Err(faults) = Certificate::read(&core, holder.as_ref(), &lines) {
        reasons.0.extend(faults.into_iter().take(LINES_MAX));
    }
    let id = &core.certificate_id;
    let peer = judge.peer.hub.as_str();
    let theirs = id.rsplit_once('-').is_some_and(|(hub, _)| hub == peer);
    reasons.unless(
        theirs && *id == header.id.subject,
        "certificate",
        "core.certificate_id",
        id,
        "an id of the hub that vouches, as in the header",
    );
    let stored = Views(judge.store).certificate(peer, id).await?;
    let state = |c: &StoredCertificate| c.core.as_ref().map(v1::CertificateCore::state);
    let known = stored.map(|c| (c.number, state(&c).unwrap_or_default()));
    let number = header.id.number.to_string();
    let bounded = header.id.number <= NUMBERS_MAX;
    reasons.unless(
        bounded,
        "certificate",
        "id",
        &number,
        "at most 1000 statements on one certificate",
    );
    let in_page = pending.certificates.get(id).map(|(number, state, _)| (*number, *state));
    if let Some((last, before)) = in_page.or(known) {
        let newer = header.id.number > last;
        let allowed = format!("a number after {last}");
        reasons.unless(newer, "certificate", "id", &number, &allowed);
        let follows = core.state() == before || may_become(before, core.state());
        reasons.unless(
            follows,
            "certificate",
            "core.state",
            core.state().as_str_name(),
            "what may follow: revoked and replaced are final",
        );
    }
    Ok(Some((core, holder)))
}

/// What certificates of a peer establish for a filing: of operators that it names, and those that its documents cite.
///
/// # Errors
/// Reading.
pub(crate) async fn established(
    store: &dyn Store,
    peer: &HubId,
    document: &Arrangement,
    (case, filing): (&CaseRecord, &v1::Filing),
    at_ms: i64,
) -> Result<Vec<Foreign>, StoreError> {
    let views = Views(store);
    let about = (case, filing);
    let core = filing.core.as_ref();
    let named =
        |c: &v1::FilingCore| [&c.exporter_id, &c.importer_id, &c.declarant_id].map(String::clone);
    let mut filed: BTreeSet<String> = core.map(named).into_iter().flatten().collect();
    filed.remove("");
    let mut out = Vec::new();
    for party in &filed {
        for certified in document.certified_as(peer, party) {
            let name = CertificateName::Operator(&certified);
            for stored in views.certificates_of(peer.as_str(), name, OF_ONE_NAME_MAX).await? {
                out.extend(holds(peer, &stored, about, at_ms).filter(|f| f.operator.is_some()));
            }
        }
    }
    let all_cited = cited(filing);
    for reference in all_cited.references() {
        let name = CertificateName::Reference(reference);
        let mut all = views.certificates_of(peer.as_str(), name, OF_ONE_NAME_MAX).await?;
        all.extend(views.certificate(peer.as_str(), reference).await?);
        for stored in all {
            // Another's certificate proves nothing for these goods.
            let holder = stored.holder.as_ref().map(|h| h.id.clone()).unwrap_or_default();
            let named = document.filed_as(peer, &holder);
            if named.iter().any(|name| filed.contains(name)) {
                let fact = holds(peer, &stored, about, at_ms).filter(|f| f.operator.is_none());
                let cited_for = all_cited.places(&[reference]);
                out.extend(fact.map(|fact| Foreign { cited_for, ..fact }));
            }
        }
    }
    Ok(out)
}

/// Numbers of the documents that a filing cites.
pub(crate) struct Cited {
    /// Of the whole.
    whole: BTreeSet<String>,
    /// Of each item.
    items: Vec<BTreeSet<String>>,
}

/// Numbers of the documents that a filing cites, of the whole and of its items.
pub(crate) fn cited(filing: &v1::Filing) -> Cited {
    let numbers = |documents: &[v1::DocumentReference]| -> BTreeSet<String> {
        documents.iter().map(|d| d.id.clone()).filter(|id| !id.is_empty()).collect()
    };
    let goods = filing.goods.as_ref();
    let items = goods.iter().flat_map(|g| &g.items).map(|item| numbers(&item.documents));
    Cited {
        whole: goods.map(|g| numbers(&g.documents)).unwrap_or_default(),
        items: items.collect(),
    }
}

impl Cited {
    /// All of them, each once, as many as are looked up.
    pub(crate) fn references(&self) -> BTreeSet<&str> {
        let all = self.whole.iter().chain(self.items.iter().flatten());
        all.map(String::as_str).take(CITED_MAX).collect()
    }

    /// Whether one of these numbers is cited at all.
    pub(crate) fn cites(&self, numbers: &[&str]) -> bool {
        numbers.iter().any(|n| self.references().contains(n))
    }

    /// Places of the items for which one of them is cited; `None` where it is for all.
    fn places(&self, numbers: &[&str]) -> Option<BTreeSet<usize>> {
        if numbers.iter().any(|n| self.whole.contains(*n)) {
            return None;
        }
        Some((0..self.items.len()).filter(|at| self.cites_for(*at, numbers)).collect())
    }

    /// Whether one of them is cited for the item at this place.
    pub(crate) fn cites_for(&self, item: usize, numbers: &[&str]) -> bool {
        let of_item = self.items.get(item);
        let all = std::iter::once(&self.whole).chain(of_item);
        all.into_iter().any(|cited| numbers.iter().any(|n| cited.contains(*n)))
    }
}

/// Whether a hub was told of the certificate that an entry of this hub's ledger is about.
pub(crate) async fn is_told(shared: &Shared, at: &Locator, to: &HubId) -> Result<bool, StoreError> {
    let views = Views(&*shared.store);
    let core: Option<v1::LedgerCore> = views.statement(at).await?.and_then(|s| s.part("core"));
    let id = core.map(|c| c.certificate_id).unwrap_or_default();
    let stored = views.certificate("", &id).await?;
    Ok(stored.is_some_and(|c| c.told.iter().any(|told| told.hub == to.as_str())))
}

/// Peers that keep the ledger of a certificate that a filing cites.
///
/// # Errors
/// Reading.
pub(crate) async fn keepers_of(
    shared: &Shared,
    filing: &v1::Filing,
) -> Result<Vec<HubId>, StoreError> {
    let directory = shared.directory.load_full();
    let mut keepers = Vec::new();
    if directory.arrangements.is_empty() {
        return Ok(keepers);
    }
    let cited = cited(filing);
    let views = Views(&*shared.store);
    for hub in directory.arrangements.keys() {
        for reference in cited.references() {
            let name = CertificateName::Reference(reference);
            let mut all = views.certificates_of(hub.as_str(), name, OF_ONE_NAME_MAX).await?;
            all.extend(views.certificate(hub.as_str(), reference).await?);
            if all.iter().any(|c| c.core.as_ref().is_some_and(is_used_up)) {
                keepers.push(hub.clone());
                break;
            }
        }
    }
    Ok(keepers)
}

/// What the hub that vouches reserved for a version of a filing, of a certificate that is used up: how much of each line. `None` if it did
/// not, or took it back.
fn reserved<'a>(
    case: &'a CaseRecord,
    peer: &HubId,
    id: &str,
    filing: &v1::FilingCore,
) -> Option<&'a [v1::Quantity]> {
    use v1::LedgerEntry::{Reserved, WrittenOff};
    let of = |d: &&DrawingRecord| {
        hub(d.stands.as_ref()) == peer.as_str()
            && d.core
                .as_ref()
                .is_some_and(|c| c.certificate_id == id && c.entry() != v1::LedgerEntry::Refused)
    };
    let drawing = case.drawings.iter().find(of)?;
    let held = matches!(drawing.core.as_ref()?.entry(), Reserved | WrittenOff);
    let shares = &drawing.goods.as_ref().filter(|_| held)?.shares;
    let mine =
        |s: &&v1::LedgerShare| s.filing_id == filing.filing_id && s.version == filing.version;
    Some(shares.iter().find(mine)?.quantities.as_slice())
}

fn holds(
    peer: &HubId,
    stored: &StoredCertificate,
    (case, filing): (&CaseRecord, &v1::Filing),
    at_ms: i64,
) -> Option<Foreign> {
    let core = stored.core.as_ref()?;
    let lines: Vec<_> = stored.lines.iter().map(|l| l.line.clone()).collect();
    let certificate = Certificate::read(core, stored.holder.as_ref(), &lines).ok()?;
    let mut goods = lines_of(stored, &consignments(filing));
    if is_used_up(core) {
        let held = reserved(case, peer, &core.certificate_id, filing.core.as_ref()?)?;
        if core.r#use() == v1::CertificateUse::Quantity {
            for (at, line) in goods.iter_mut().enumerate() {
                let most = held.get(at).and_then(|q| parse_decimal(&q.value).ok());
                let line = line.as_mut().and_then(|g| g.most.as_mut());
                if let Some((value, _)) = line {
                    *value = most.unwrap_or_default();
                }
            }
        }
    }
    let goods: Vec<Goods> = goods.into_iter().flatten().collect();
    let about_goods = !goods.is_empty() || certificate.is_personal();
    let counts = certificate.holds_at(at_ms) && about_goods;
    counts.then(|| Foreign {
        kind: certificate.kind,
        hub: peer.clone(),
        statement: Hash::from_slice(&stored.commitment).unwrap_or(Hash::EMPTY_ROOT),
        log_index: stored.log_index,
        goods,
        cited_for: None,
        operator: (certificate.kind == FactKind::Aeo).then_some(certificate.holder),
        certificate: core.certificate_id.clone(),
    })
}

/// What each line of a certificate is about; `None` for one that isn't shown, is about another consignment, or says a quantity that can't be
/// read.
pub(crate) fn lines_of(
    stored: &StoredCertificate,
    consignments: &BTreeSet<&str>,
) -> Vec<Option<Goods>> {
    let here = |line: &v1::CertificateLine| {
        line.consignment.is_empty() || consignments.contains(line.consignment.as_str())
    };
    let goods = |line: &v1::CertificateLine| {
        let most = match &line.quantity {
            None => None,
            Some(quantity) => Some((parse_decimal(&quantity.value).ok()?, quantity.unit.clone())),
        };
        let (hs, origin) = (HsRange::parse(&line.hs)?, line.origin.clone());
        Some(Goods { hs, origin, most }).filter(|_| here(line))
    };
    stored.lines.iter().map(|l| l.line.as_ref().and_then(goods)).collect()
}

/// What a filing calls its consignment: UCR, transport document, containers.
pub(crate) fn consignments(filing: &v1::Filing) -> BTreeSet<&str> {
    let core = filing.core.iter().map(|c| c.ucr.as_str());
    let goods = filing.goods.iter().flat_map(|g| {
        std::iter::once(g.transport_document.as_str())
            .chain(g.containers.iter().map(|c| c.id.as_str()))
    });
    core.chain(goods).filter(|name| !name.is_empty()).collect()
}

/// What filings here may call a holder.
pub(crate) fn parties(directory: &Directory, peer: &HubId, holder: &str) -> Vec<String> {
    let Some(standing) = directory.arrangements.get(peer) else { return Vec::new() };
    let named = standing.holding().flat_map(|d| d.filed_as(peer, holder));
    named.collect::<BTreeSet<String>>().into_iter().collect()
}
