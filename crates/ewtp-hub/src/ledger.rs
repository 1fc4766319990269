//! The keeper of the ledgers: of certificates that this hub vouches for and that are used up, it reserves for each case what its filings
//! ask for, writes off what was released, and frees what was withdrawn. It alone writes them, so that nothing is spent twice.
//!
//! It follows the changes of cases and compares what a case should hold with what it holds: whatever it is woken by, and however often,
//! it writes what is missing and no more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ewtp_clearance::certificate::Certificate;
use ewtp_clearance::facts::Facts;
use ewtp_clearance::ledger::{Ask, Entry, HeldState, Holding, Share, entries, taken_after};
use ewtp_clearance::recognition::{Goods, asked_of};
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, FilingRecord, StoredCertificate, StoredHolding};
use ewtp_proto::v1::{self, CertificateUse, LedgerEntry};
use ewtp_store::keys::CertificateName;
use ewtp_store::planted::{self, Bug};
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::{goods_released, hub, is_completed, is_invalidated, kind};
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::quantity::parse_decimal;
use rust_decimal::Decimal;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::casebook::filing_of;
use crate::certificates::{Cited, cited, consignments, lines_of};
use crate::draft::{Draft, DraftError, LateEntry, NewStatement, SayError};
use crate::shared::Shared;
use crate::standing::may_file_for;
use crate::statement_rights::HELD_BY_MAX;

/// Runs of changes that are read at once.
const RUNS: usize = 64;
/// After so many changes the keeper's place is kept although it wrote nothing.
const KEPT_EVERY: u64 = 10_000;
/// Unit of a certificate for one use.
const ONE: &str = "C62";
/// Cases of a holder that are looked at when a certificate is issued or holds again.
const CASES_MAX: usize = 2000;

/// Whether a certificate is used up.
#[must_use]
pub fn is_used_up(core: &v1::CertificateCore) -> bool {
    core.r#use() != CertificateUse::Unspecified
}

/// Follows the changes of cases until `stop` fires.
///
/// # Errors
/// [`StoreError`]; what else fails is told and tried again.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), StoreError> {
    let mut head = shared.head.clone();
    let mut place = Views(&*shared.store).ledgers_kept().await?;
    let mut kept = place.unwrap_or_default();
    loop {
        head.mark_unchanged();
        if place.is_none() {
            place = Views(&*shared.store).ledgers_kept().await?;
            kept = place.unwrap_or_default();
        }
        let changes = match place {
            Some(place) => Views(&*shared.store).changes(place, RUNS).await?,
            None => Vec::new(),
        };
        if let Some((last, _)) = changes.last() {
            // In the order in which they moved: who comes first is served first.
            let mut seen = BTreeSet::new();
            let mut cases: Vec<&str> = changes.iter().map(|(_, c)| c.case_id.as_str()).collect();
            cases.retain(|case| seen.insert(*case));
            match follow(&shared, &cases).await {
                Ok(written) => {
                    if written || *last - kept >= KEPT_EVERY {
                        let draft = Draft { ledgers_kept: *last + 1, ..Draft::default() };
                        if matches!(shared.own.submit(draft).await, Err(DraftError::InDoubt)) {
                            return Ok(()); // the hub is stopping
                        }
                        kept = *last;
                    }
                    place = Some(*last);
                }
                Err(SayError::Store(error)) => return Err(error),
                // The hub is stopping; what else a single case fails by was told.
                Err(_) => return Ok(()),
            }
            if !stop.is_cancelled() {
                continue;
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            changed = head.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Brings the ledgers up to these cases; whether something was written.
async fn follow(shared: &Arc<Shared>, cases: &[&str]) -> Result<bool, SayError> {
    let mut written = false;
    for id in cases.iter().filter(|id| !id.is_empty()) {
        match keep(shared, id).await {
            Ok(more) => written |= more,
            Err(error @ (SayError::Store(_) | SayError::Draft(DraftError::InDoubt))) => {
                return Err(error);
            }
            // One case that can't be written holds up no other.
            Err(error) => {
                tracing::error!(case = id, %error, "what a case draws on a certificate can't be written");
                crate::metrics::alarm("ledger");
            }
        }
    }
    Ok(written)
}

/// Brings the ledgers up to the cases of a certificate's holder.
///
/// # Errors
/// [`SayError`].
pub(crate) async fn keep_for(shared: &Arc<Shared>, holder: &str) -> Result<(), SayError> {
    let parties = names_of(shared, holder).into_iter().collect();
    let whose = Whose::Of { accounts: Vec::new(), parties };
    let (mut newest, mut from, mut all) = (VecDeque::new(), 0, 0);
    loop {
        let page = Views(&*shared.store).cases(&whose, from, RUNS).await?;
        let Some(last) = page.last() else { break };
        from = last.ordinal + 1;
        all += page.len();
        newest.extend(page.into_iter().map(|c| c.case_id));
        newest.drain(..newest.len().saturating_sub(CASES_MAX));
    }
    if all > CASES_MAX {
        tracing::warn!(
            holder,
            "of {all} cases of the holder the newest {CASES_MAX} were looked at for its certificate; the others follow when they move"
        );
    }
    let ids: Vec<&str> = newest.iter().map(String::as_str).collect();
    follow(shared, &ids).await.map(|_| ())
}

/// What filings may call a holder: as its certificate does, or as arrangements map it.
pub(crate) fn names_of(shared: &Shared, holder: &str) -> Vec<String> {
    let (me, directory) = (&shared.identity.hub, shared.directory.load());
    let holding = directory.arrangements.values().flat_map(|standing| standing.holding());
    let mut names: Vec<String> = holding.flat_map(|d| d.filed_as(me, holder)).collect();
    names.push(holder.to_owned());
    names.sort_unstable();
    names.dedup();
    names
}

/// A filing that stands, with what it cites.
struct Standing {
    record: FilingRecord,
    filing: v1::Filing,
    cited: Cited,
}

/// Writes what is missing for one case; whether something was.
async fn keep(shared: &Arc<Shared>, case_id: &str) -> Result<bool, SayError> {
    let views = Views(&*shared.store);
    let Some(case) = views.case(case_id).await? else { return Ok(false) };
    let mut standing = Vec::new();
    for record in &case.filings {
        if is_invalidated(&case, record) || is_completed(&case, record) {
            continue;
        }
        let at = record.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
        let Some(statement) = views.statement(&at).await? else { continue };
        let filing = filing_of(&statement);
        let cited = cited(&filing);
        standing.push(Standing { record: record.clone(), filing, cited });
    }
    standing.sort_by_key(|s| s.record.stands.as_ref().map(|s| (s.logged_ms, s.log_index)));
    let me = shared.identity.hub.as_str();
    let mut certificates = BTreeSet::new();
    for reference in standing.iter().flat_map(|s| s.cited.references()) {
        let name = CertificateName::Reference(reference);
        let mut found = views.certificates_of("", name, HELD_BY_MAX).await?;
        found.extend(views.certificate("", reference).await?);
        certificates.extend(found.iter().filter_map(id_of));
    }
    let drawn = case.drawings.iter().filter(|d| hub(d.stands.as_ref()) == me);
    certificates.extend(drawn.filter_map(|d| Some(d.core.as_ref()?.certificate_id.clone())));
    let mut written = false;
    for id in certificates {
        let act = Arc::clone(&shared.acts).lock_owned().await;
        // As it is under the lock: it may have been revoked meanwhile.
        if let Some(stored) = views.certificate("", &id).await? {
            written |= draw(shared, (&id, &stored), &case, &standing, act).await?;
        }
    }
    Ok(written)
}

fn id_of(stored: &StoredCertificate) -> Option<String> {
    stored.core.as_ref().filter(|c| is_used_up(c)).map(|c| c.certificate_id.clone())
}

/// What a certificate allows, by line.
fn limits(stored: &StoredCertificate) -> Vec<Quantity> {
    let core = stored.core.clone().unwrap_or_default();
    if core.r#use() == CertificateUse::Once {
        return vec![(Decimal::ONE, ONE.to_owned())];
    }
    let lines = stored.lines.iter().map(|l| l.line.clone().unwrap_or_default());
    let quantities = lines.map(|l| l.quantity.unwrap_or_default());
    quantities.map(|q| (parse_decimal(&q.value).unwrap_or_default(), q.unit)).collect()
}

/// A decimal with its unit.
type Quantity = (Decimal, String);

fn said(quantities: &[Decimal], limits: &[Quantity]) -> Vec<v1::Quantity> {
    let of = |(value, (_, unit)): (&Decimal, &Quantity)| v1::Quantity {
        value: value.normalize().to_string(),
        unit: unit.clone(),
    };
    quantities.iter().zip(limits).map(of).collect()
}

fn read(quantities: &[v1::Quantity]) -> Vec<Decimal> {
    quantities.iter().map(|q| parse_decimal(&q.value).unwrap_or_default()).collect()
}

/// Shares as they are said.
fn said_shares(shares: &[Share], limits: &[Quantity]) -> Vec<v1::LedgerShare> {
    let of = |share: &Share| v1::LedgerShare {
        filing_id: share.filing.0.clone(),
        version: share.filing.1,
        quantities: said(&share.quantities, limits),
    };
    shares.iter().map(of).collect()
}

fn held(stored: &StoredHolding) -> Holding {
    let entry = stored.core.as_ref().map(v1::LedgerCore::entry).unwrap_or_default();
    let state = match entry {
        LedgerEntry::Reserved => HeldState::Reserved,
        LedgerEntry::WrittenOff => HeldState::WrittenOff,
        LedgerEntry::Released => HeldState::Released,
        LedgerEntry::Unspecified | LedgerEntry::Refused => HeldState::Nothing,
    };
    let goods = stored.goods.clone().filter(|_| state.holds()).unwrap_or_default();
    let share = |s: &v1::LedgerShare| Share {
        filing: (s.filing_id.clone(), s.version),
        quantities: read(&s.quantities),
    };
    Holding {
        state,
        quantities: read(&goods.quantities),
        last: stored.last.as_ref().map(|g| read(&g.quantities)).unwrap_or_default(),
        shares: goods.shares.iter().map(share).collect(),
        settled: stored.settled.iter().map(|s| (s.filing_id.clone(), s.version)).collect(),
    }
}

/// Whether a filing's version has a share already.
fn is_granted(shares: &[Share], ask: &Ask) -> bool {
    let filing = ask.filing();
    shares.iter().any(|share| share.filing == filing)
}

/// What the filings of a case ask for, in the order of their logging.
async fn asks(
    shared: &Shared,
    stored: &StoredCertificate,
    standing: &[Standing],
    shares: &[Share],
) -> Result<Vec<Ask>, StoreError> {
    let core = stored.core.clone().unwrap_or_default();
    let holder = stored.holder.as_ref().map(|h| h.id.clone()).unwrap_or_default();
    let names = names_of(shared, &holder);
    let ask = |s: &Standing| {
        let filed = s.filing.core.as_ref()?;
        let parties = [&filed.exporter_id, &filed.importer_id, &filed.declarant_id];
        // Another's number asks for nothing.
        if !parties.iter().any(|p| names.contains(p)) {
            return None;
        }
        let references = [core.reference.as_str(), core.certificate_id.as_str()];
        if !s.cited.cites(&references) {
            return None;
        }
        let quantities = match core.r#use() {
            CertificateUse::Once => Some(vec![Decimal::ONE]),
            _ => {
                let facts = Facts::of_filing(&s.filing, 0, BTreeMap::new());
                let here = consignments(&s.filing);
                let lines: Vec<Option<Goods>> = lines_of(stored, &here);
                // A line for another consignment is asked for nothing.
                let known: Vec<Goods> = lines.iter().flatten().cloned().collect();
                let about = facts.items.iter().enumerate();
                let about = about.filter(|(at, _)| s.cited.cites_for(*at, &references));
                asked_of(&known, about.map(|(_, item)| item)).map(|asked| {
                    let mut asked = asked.into_iter();
                    let next = |line: &Option<Goods>| {
                        line.as_ref().and_then(|_| asked.next()).unwrap_or_default()
                    };
                    lines.iter().map(next).collect()
                })
            }
        };
        // It cites the certificate for goods that this isn't about.
        if quantities.as_ref().is_some_and(|q| q.iter().all(Decimal::is_zero)) {
            return None;
        }
        let (filing_id, version) = (s.record.filing_id.clone(), s.record.version);
        Some(Ask { filing_id, version, kind: s.record.r#type, quantities })
    };
    let mut out = Vec::new();
    for s in standing {
        let Some(ask) = ask(s) else { continue };
        // What was granted stays, whatever became of the mandate since.
        if is_granted(shares, &ask) || is_holders(shared, &s.record, &names).await? {
            out.push(ask);
        }
    }
    Ok(out)
}

/// Whether a filing of this hub comes from the holder, or from who has its mandate: another's number is not to be used up. Of filings of
/// other hubs these know who filed them.
async fn is_holders(
    shared: &Shared,
    filing: &FilingRecord,
    names: &[String],
) -> Result<bool, StoreError> {
    if hub(filing.stands.as_ref()) != shared.identity.hub.as_str() {
        return Ok(true);
    }
    let directory = shared.directory.load_full();
    let Some(account) = directory.accounts.get(&filing.account) else { return Ok(false) };
    for name in names {
        if may_file_for(shared, account, name, kind(filing)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes what is missing about one certificate.
async fn draw(
    shared: &Arc<Shared>,
    (id, stored): (&str, &StoredCertificate),
    case: &CaseRecord,
    standing: &[Standing],
    act: OwnedMutexGuard<()>,
) -> Result<bool, SayError> {
    let views = Views(&*shared.store);
    let core = stored.core.clone().unwrap_or_default();
    let lines: Vec<_> = stored.lines.iter().map(|l| l.line.clone()).collect();
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let certificate = Certificate::read(&core, stored.holder.as_ref(), &lines);
    let holds = certificate.is_ok_and(|c| c.holds_at(now_ms));
    let before = views.holding(id, &case.case_id).await?;
    let holding = held(&before);
    let mut asks = asks(shared, stored, standing, &holding.shares).await?;
    if !holds {
        // Of what doesn't hold nothing more is given; what is held stays until it is spent or withdrawn.
        asks.retain(|ask| is_granted(&holding.shares, ask));
    }
    let limits = limits(stored);
    let total: Vec<Decimal> = limits.iter().map(|(most, _)| *most).collect();
    let ledger = views.ledger(id).await?;
    let mut taken = read(&ledger.taken);
    taken.resize(total.len(), Decimal::ZERO);
    if planted::is(Bug::SpentTwice) {
        taken.fill(Decimal::ZERO);
    }
    let next = entries(&total, &taken, &holding, &asks, goods_released(case));
    if next.is_empty() {
        return Ok(false);
    }
    let mut draft = Draft::default();
    // Empty where the case holds nothing.
    let mut now = holding.quantities.clone();
    for (number, entry) in (ledger.entries + 1..).zip(next) {
        let about = before.core.as_ref().map(|c| (c.filing_id.clone(), c.filing_version));
        let about = about.unwrap_or_default();
        let mut goods = v1::LedgerGoods::default();
        let mut held_by = Vec::new();
        let (kind, filing, then) = match entry {
            Entry::Reserved { quantities, shares } => {
                goods.shares = said_shares(&shares, &limits);
                let most = shares.into_iter().max_by(|a, b| a.quantities.cmp(&b.quantities));
                let filing = most.map(|s| s.filing).unwrap_or_default();
                (LedgerEntry::Reserved, filing, quantities)
            }
            Entry::WrittenOff { quantities } => {
                goods.shares = said_shares(&holding.shares, &limits);
                (LedgerEntry::WrittenOff, about, quantities)
            }
            Entry::Released => (LedgerEntry::Released, about, Vec::new()),
            Entry::Refused { filing, asked, left } => {
                goods.quantities = said(&asked, &limits);
                goods.left = said(&left, &limits);
                held_by = holders(&views, id, &case.case_id).await?;
                (LedgerEntry::Refused, filing, now.clone())
            }
        };
        if kind != LedgerEntry::Refused {
            goods.quantities = said(&then, &limits);
        }
        let Some(after) = taken_after(&taken, &now, &then) else {
            tracing::error!(certificate = id, "a ledger's sum has more digits than can be kept");
            return Ok(false);
        };
        (taken, now) = (after, then);
        let commitment = |s: &&Standing| s.record.filing_id == filing.0;
        let commitment = standing.iter().find(commitment);
        let commitment = commitment.and_then(|s| s.record.stands.as_ref());
        let core = v1::LedgerCore {
            certificate_id: id.to_owned(),
            entry: kind as i32,
            case_id: case.case_id.clone(),
            filing_id: filing.0,
            filing_version: filing.1,
            filing: commitment.map(|s| s.commitment.clone()).unwrap_or_default(),
            held_by,
            reason: String::new(),
        };
        let internal = v1::LedgerInternal { taken: said(&taken, &limits), account: String::new() };
        draft.statements.push(statement(
            shared,
            (case, stored),
            number,
            (&core, &goods, &internal),
        )?);
    }
    draft.late = crate::connect::late(shared, case, &draft.statements).await?;
    shared.own.submit_act(draft, act).await?;
    Ok(true)
}

fn statement(
    shared: &Shared,
    (case, stored): (&CaseRecord, &StoredCertificate),
    number: u64,
    (core, goods, internal): (&v1::LedgerCore, &v1::LedgerGoods, &v1::LedgerInternal),
) -> Result<NewStatement, getrandom::Error> {
    let mut statement = NewStatement::new("ledger", &core.certificate_id, number)?
        .part("core", core)?
        .part("goods", goods)?
        .part("internal", internal)?;
    statement.refs.extend(Hash::from_slice(&core.filing));
    // Who was never told of the certificate makes nothing of it.
    let mut hubs: Vec<HubId> = shared.hubs_of(case);
    hubs.retain(|hub| stored.told.iter().any(|told| told.hub == hub.as_str()));
    statement.audience = shared.shown_to(&hubs, "ledger");
    Ok(statement)
}

/// Entries that say what cases of these hubs hold of a certificate that they were told of at a log index.
///
/// # Errors
/// Reading.
pub(crate) async fn held_for(
    shared: &Shared,
    id: &str,
    hubs: &[HubId],
    told_at: u64,
) -> Result<Vec<LateEntry>, StoreError> {
    let views = Views(&*shared.store);
    let (mut out, mut after) = (Vec::new(), String::new());
    loop {
        let page = views.holdings(id, &after, RUNS).await?;
        let Some(last) = page.last() else { return Ok(out) };
        after.clone_from(&last.case_id);
        for holding in page {
            // What was written since is said to them already.
            let lives = held(&holding).state.holds() && holding.log_index < told_at;
            let commitment = Hash::from_slice(&holding.commitment).filter(|_| lives);
            let (Some(commitment), Some(case)) = (commitment, views.case(&holding.case_id).await?)
            else {
                continue;
            };
            let told = shared.shown_to(&shared.hubs_of(&case), "ledger");
            let mine = told.into_iter().filter(|hub| hubs.contains(hub));
            let index = holding.log_index;
            out.extend(mine.map(|peer| LateEntry { index, commitment, peer }));
        }
    }
}

/// Entries by which other cases hold a certificate.
async fn holders(
    views: &Views<'_, dyn ewtp_store::Store>,
    id: &str,
    case: &str,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let all = views.holdings(id, "", 1000).await?;
    let holds = |h: &&StoredHolding| h.case_id != case && held(h).state.holds();
    Ok(all.iter().filter(holds).take(HELD_BY_MAX).map(|h| h.commitment.clone()).collect())
}

/// Frees by hand what a case holds: the same version doesn't ask for it again.
///
/// # Errors
/// [`SayError`].
pub async fn free(
    shared: &Arc<Shared>,
    request: &v1::FreeHoldingRequest,
    account: &str,
) -> Result<(), SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let views = Views(&*shared.store);
    let (id, case_id) = (request.certificate_id.as_str(), request.case_id.as_str());
    let before = views.holding(id, case_id).await?;
    let case = views.case(case_id).await?;
    let stored = views.certificate("", id).await?;
    let holding = held(&before);
    let mut faults = Vec::new();
    let mut fault = |path: &str, value: &str, allowed: &str, fix: &str| {
        faults.push(finding(path, value, Say { code: "ledger", allowed, fix }));
    };
    if holding.state != HeldState::Reserved {
        let allowed = "a case that holds some of that certificate and whose goods aren't released";
        fault("case_id", case_id, allowed, "look at the ledger: ewtp certificate ledger");
    }
    let reason = request.reason.trim();
    if reason.is_empty() || reason.len() > 300 || reason.chars().any(char::is_control) {
        fault("reason", reason, "one line of 1 to 300 bytes", "say why: it is logged");
    }
    let (Some(case), Some(stored), true) = (case, stored, faults.is_empty()) else {
        return Err(SayError::Faults(faults));
    };
    let limits = limits(&stored);
    let ledger = views.ledger(id).await?;
    let mut core = before.core.unwrap_or_default();
    core.set_entry(LedgerEntry::Released);
    reason.clone_into(&mut core.reason);
    let taken = taken_after(&read(&ledger.taken), &holding.quantities, &[]).unwrap_or_default();
    let taken = said(&taken, &limits);
    let internal = v1::LedgerInternal { taken, account: account.to_owned() };
    // None of the versions that held it gets it again.
    let shares = said_shares(&holding.shares, &limits);
    let goods = v1::LedgerGoods { shares, ..Default::default() };
    let statement =
        statement(shared, (&case, &stored), ledger.entries + 1, (&core, &goods, &internal))?;
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await?;
    Ok(())
}

/// The ledger of a certificate for people; `None` if this hub keeps none of it.
///
/// # Errors
/// Reading.
pub async fn show(
    shared: &Shared,
    request: &v1::ShowLedgerRequest,
    page: usize,
) -> Result<Option<v1::ShowLedgerResponse>, StoreError> {
    let views = Views(&*shared.store);
    let id = request.certificate_id.as_str();
    let stored = views.certificate("", id).await?.filter(|c| id_of(c).is_some());
    let Some(stored) = stored else { return Ok(None) };
    let limits = limits(&stored);
    let total: Vec<Decimal> = limits.iter().map(|(most, _)| *most).collect();
    let ledger = views.ledger(id).await?;
    let holdings = views.holdings(id, &request.page_token, page).await?;
    let last = holdings.last().filter(|_| holdings.len() == page);
    let next_page_token = last.map(|h| h.case_id.clone()).unwrap_or_default();
    let me = shared.identity.hub.to_string();
    let shown = |h: StoredHolding| v1::CaseDrawing {
        statement: Some(v1::StatementRef {
            hub: me.clone(),
            commitment: h.commitment,
            log_index: 0,
        }),
        core: h.core.or(Some(v1::LedgerCore { case_id: h.case_id, ..Default::default() })),
        number: h.number,
        goods: h.goods,
    };
    Ok(Some(v1::ShowLedgerResponse {
        total: said(&total, &limits),
        taken: ledger.taken,
        entries: ledger.entries,
        holdings: holdings.into_iter().map(shown).collect(),
        next_page_token,
    }))
}
