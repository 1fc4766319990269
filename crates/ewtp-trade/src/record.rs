//! What a hub keeps of a case: each statement is put into the record of its kind, and nothing is judged here.
//!
//! Two hubs hear the statements of two logs in different order, so a record is a *set*: whatever depends on order is computed
//! from the statements' places in the logs of those who said them (`case`), never from the order of arrival.

use ewtp_proto::store::v1::{
    AdoptionRecord, AnswerRecord, CaseRecord, DecisionRecord, DrawingRecord, ErasureRecord,
    EventRecord, FilingRecord, InvalidationRecord, KeepingRecord, OrderRecord, OutcomeRecord,
    RequestRecord, RouteRecord, Stands,
};
use ewtp_proto::{Message, v1};

use crate::case::{hub, place};
use crate::codes::party_id_syntax;
use crate::{expiry, selector};

/// Most parties by which a case is found.
const PARTIES_MAX: usize = 64;

/// A statement about a case, by what it says.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A filing or its next version, with the account that filed it here.
    Filing {
        /// Core.
        core: Box<v1::FilingCore>,
        /// Account; empty for a filing of another hub.
        account: String,
        /// Who is named beside the core, as far as the hub holds it.
        parties: Box<v1::FilingParties>,
        /// The goods, as far as the hub holds them.
        goods: Box<v1::FilingGoods>,
    },
    /// A decision.
    Decision(Box<v1::DecisionCore>),
    /// An information request.
    Request(Box<v1::InfoRequestCore>),
    /// Its answer.
    Answer(Box<v1::InfoAnswerCore>),
    /// An event about one case.
    Event(Box<v1::EventCore>),
    /// A withdrawal of a filing.
    Invalidation(Box<v1::InvalidationCore>),
    /// An adoption at the destination.
    Adoption(Box<v1::AdoptionCore>),
    /// What became of a condition.
    Outcome(Box<v1::ConditionOutcomeCore>),
    /// Something that was erased.
    Erasure(Box<v1::ErasureCore>),
    /// What a hub keeps although it was asked to erase it.
    Keeping(Box<v1::KeepingCore>),
    /// A hub that was found for a filing later.
    Route(Box<v1::RouteCore>),
    /// An entry of a certificate's ledger.
    Drawing {
        /// Core.
        core: Box<v1::LedgerCore>,
        /// How much, as far as the hub holds it.
        goods: Box<v1::LedgerGoods>,
        /// Its number in the ledger.
        number: u64,
    },
}

impl Fact {
    /// The case that it is about; empty where an event names its cases otherwise.
    #[must_use]
    pub fn case_id(&self) -> &str {
        match self {
            Self::Filing { core, .. } => &core.case_id,
            Self::Decision(core) => &core.case_id,
            Self::Request(core) => &core.case_id,
            Self::Answer(core) => &core.case_id,
            Self::Invalidation(core) => &core.case_id,
            Self::Adoption(core) => &core.case_id,
            Self::Outcome(core) => &core.case_id,
            Self::Route(core) => &core.case_id,
            Self::Erasure(core) => &core.case_id,
            Self::Keeping(core) => &core.case_id,
            Self::Drawing { core, .. } => &core.case_id,
            Self::Event(core) => case_of_event(core),
        }
    }
}

/// The case that an event is about; empty where it names its cases otherwise.
#[must_use]
pub fn case_of_event(core: &v1::EventCore) -> &str {
    match core.selector.as_ref().and_then(|s| s.by.as_ref()) {
        Some(v1::event_selector::By::CaseId(id)) => id,
        _ => "",
    }
}

/// Puts a statement into the record of its case.
pub fn put(case: &mut CaseRecord, stands: Stands, fact: Fact) {
    match fact {
        Fact::Filing { core, account, parties, goods } => {
            for name in selector::names(&core, &goods) {
                selector::note(case, name, stands.logged_ms);
            }
            if let Some(carrier) = parties.carrier.as_ref().filter(|c| !c.id.is_empty()) {
                selector::note(case, selector::carrier_name(&carrier.id), stands.logged_ms);
            }
            filing(case, stands, *core, account, &parties);
        }
        Fact::Decision(core) => case.decisions.push(DecisionRecord {
            stands: Some(stands),
            filing_id: core.filing_id,
            filing_version: core.filing_version,
            effect: core.effect,
            code: core.code,
            conditions: core.conditions.into_iter().map(|c| c.id).collect(),
            valid_until_ms: u64::try_from(core.valid_until_ms).unwrap_or_default(),
            source: core.source,
        }),
        Fact::Request(core) => case.requests.push(RequestRecord {
            stands: Some(stands),
            filing_id: core.filing_id,
            filing_version: core.filing_version,
            deadline_ms: u64::try_from(core.deadline_ms).unwrap_or_default(),
        }),
        Fact::Answer(core) => {
            case.answers.push(AnswerRecord { stands: Some(stands), request: core.request });
        }
        Fact::Event(core) => case.events.push(event(stands, *core)),
        Fact::Invalidation(core) => {
            case.invalidations.push(InvalidationRecord {
                stands: Some(stands),
                expired: core.reason == expiry::EXPIRED,
                filing_id: core.filing_id,
            });
        }
        Fact::Adoption(core) => case.adoptions.push(AdoptionRecord {
            stands: Some(stands),
            filing_id: core.filing_id,
            filing_version: core.filing_version,
            import_filing_id: core.import_filing_id,
        }),
        Fact::Outcome(core) => case.outcomes.push(OutcomeRecord {
            stands: Some(stands),
            decision: core.decision,
            condition_id: core.condition_id,
            outcome: core.outcome,
        }),
        // What is erased of statements here stands in the frame: it depends on this hub's rules too.
        Fact::Erasure(core) if core.digest.is_empty() => {
            case.orders.push(OrderRecord { stands: Some(stands), core: Some(*core) });
        }
        Fact::Erasure(core) => case.erasures.push(ErasureRecord {
            stands: Some(stands),
            digest: core.digest,
            reason: core.reason,
        }),
        Fact::Keeping(core) => {
            case.keepings.push(KeepingRecord { stands: Some(stands), kept: core.kept });
        }
        Fact::Drawing { core, goods, number } => {
            let (stands, core, goods) = (Some(stands), Some(*core), Some(*goods));
            drawing(case, DrawingRecord { stands, number, core, goods });
        }
        Fact::Route(core) => {
            case.routes.push(RouteRecord {
                stands: Some(stands),
                filing_id: core.filing_id,
                filing_version: core.filing_version,
                assessed_by: core.assessed_by,
            });
            assessors_found_later(case);
        }
    }
}

/// Of each certificate the newest entry that says what the case holds is kept, and the newest refusal.
fn drawing(case: &mut CaseRecord, new: DrawingRecord) {
    let key = |d: &DrawingRecord| {
        let core = d.core.clone().unwrap_or_default();
        let refused = core.entry() == v1::LedgerEntry::Refused;
        (hub(d.stands.as_ref()).to_owned(), core.certificate_id, refused)
    };
    if case.drawings.iter().any(|d| key(d) == key(&new) && d.number > new.number) {
        return;
    }
    case.drawings.retain(|d| key(d) != key(&new));
    case.drawings.push(new);
}

/// An event as records hold it.
#[must_use]
pub fn event(stands: Stands, core: v1::EventCore) -> EventRecord {
    EventRecord {
        stands: Some(stands),
        code: core.code,
        filing_id: core.filing_id,
        filing_version: core.filing_version,
        request: core.request,
        selects: core.selector.as_ref().is_some_and(|s| selector::name(s).is_some()),
        carrier_id: core.carrier_id,
    }
}

/// Who assesses a version follows from the newest route that its hub said about it, if it named nobody itself.
fn assessors_found_later(case: &mut CaseRecord) {
    for filing in &mut case.filings {
        let about = |r: &&RouteRecord| {
            r.filing_id == filing.filing_id
                && r.filing_version == filing.version
                && hub(r.stands.as_ref()) == hub(filing.stands.as_ref())
                && !r.assessed_by.is_empty()
        };
        let newest = case.routes.iter().filter(about).max_by_key(|r| place(r.stands.as_ref()));
        if let Some(route) = newest {
            filing.assessed_by.clone_from(&route.assessed_by);
        }
    }
}

fn filing(
    case: &mut CaseRecord,
    stands: Stands,
    core: v1::FilingCore,
    account: String,
    parties: &v1::FilingParties,
) {
    let id = |party: &Option<v1::Party>| party.as_ref().map_or_else(String::new, |p| p.id.clone());
    let carrier_id = id(&parties.carrier);
    let others = [&parties.represented, &parties.liable, &parties.seller, &parties.buyer];
    let others: Vec<String> = others.into_iter().map(id).collect();
    let named = [&core.declarant_id, &core.agent_id, &core.exporter_id, &core.importer_id];
    // Who holds the fiscal reference may adopt, and so finds the case.
    let found_by = [&carrier_id, &parties.fiscal_reference];
    for id in named.into_iter().chain(found_by).chain(&others) {
        let known = case.parties.contains(id) || case.parties.len() >= PARTIES_MAX;
        if party_id_syntax(id) && !known {
            case.parties.push(id.clone());
        }
    }
    if !account.is_empty() && !case.accounts.contains(&account) {
        case.accounts.push(account.clone());
    }
    let before = case.filings.iter_mut().find(|f| f.filing_id == core.filing_id);
    // A version of somebody else's filing, or an older one, replaces nothing.
    let replaces = |f: &FilingRecord| {
        f.version < core.version && f.stands.as_ref().is_some_and(|s| s.hub == stands.hub)
    };
    if before.as_ref().is_some_and(|before| !replaces(before)) {
        return;
    }
    let record = FilingRecord {
        stands: Some(stands),
        filing_id: core.filing_id,
        r#type: core.r#type,
        version: core.version,
        assessed_by: core.assessed_by,
        lrn: core.lrn,
        mrn: core.mrn,
        completes: core.completes,
        adopts: core.adopts,
        code_digest: core.code_digest,
        importer_id: core.importer_id,
        partial: core.partial,
        account,
        carrier_id,
        said_to: before.as_ref().map(|b| b.said_to.clone()).unwrap_or_default(),
        earlier: before.as_deref().map(earlier).unwrap_or_default(),
        offices: core.offices,
        fiscal_reference: parties.fiscal_reference.clone(),
        country_of_destination: core.country_of_destination,
        retention_class: core.retention_class,
        summary: None,
    };
    match before {
        Some(before) => *before = record,
        None => case.filings.push(record),
    }
    assessors_found_later(case);
}

/// Where the versions before the next one stand.
fn earlier(before: &FilingRecord) -> Vec<Stands> {
    before.earlier.iter().chain(&before.stands).cloned().collect()
}

/// Reads part `core` of a statement of a kind that belongs to cases; `None` for other kinds and what doesn't decode.
#[must_use]
pub fn fact(kind: &str, number: u64, core: &[u8], account: &str) -> Option<Fact> {
    fn read<M: Message + Default>(core: &[u8]) -> Option<Box<M>> {
        M::decode(core).ok().map(Box::new)
    }
    Some(match kind {
        "filing" => Fact::Filing {
            core: read(core)?,
            account: account.to_owned(),
            parties: Box::default(),
            goods: Box::default(),
        },
        "decision" => Fact::Decision(read(core)?),
        "info-request" => Fact::Request(read(core)?),
        "info-answer" => Fact::Answer(read(core)?),
        "event" => Fact::Event(read(core)?),
        "invalidation" => Fact::Invalidation(read(core)?),
        "adoption" => Fact::Adoption(read(core)?),
        "condition-outcome" => Fact::Outcome(read(core)?),
        "route" => Fact::Route(read(core)?),
        "erasure" => Fact::Erasure(read(core)?),
        "keeping" => Fact::Keeping(read(core)?),
        "ledger" => Fact::Drawing { core: read(core)?, goods: Box::default(), number },
        _ => return None,
    })
}
