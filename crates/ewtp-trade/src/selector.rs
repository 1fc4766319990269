//! Selectors: one event moves all cases that name a transport document, receptacle, container or conveyance.
//!
//! Whether an event covers a case depends on nothing but the statements: on what the case's filings name, on when they were
//! logged at their hub, and on when the event was logged at its own. So all hubs that hold them agree.

use ewtp_proto::store::v1::{CaseRecord, CaseSelector, SelectingEvent};
use ewtp_proto::v1;
use v1::event_selector::By;

use crate::finding::{Say, finding};

/// Longest time between a filing and an event that covers it, milliseconds: containers and flight numbers are used again.
pub const COVERS_MS: u64 = 60 * 86_400_000;
/// Most things by which events select one case.
pub(crate) const SELECTORS_MAX: usize = 256;
/// Most names by which other cases find it: its UCRs, what it cites and supplements.
const LINKS_MAX: usize = 320;
/// Longest value, characters.
const VALUE_CHARS_MAX: usize = 64;

/// Name of what a selector selects, e.g. `container MSCU1234565`; `None` for one case, which needs no name.
#[must_use]
pub fn name(selector: &v1::EventSelector) -> Option<String> {
    match selector.by.as_ref()? {
        By::CaseId(_) => None,
        By::TransportDocument(id) => Some(document_name(id)),
        By::Receptacle(id) => Some(format!("receptacle {id}")),
        By::Container(id) => Some(format!("container {id}")),
        By::Conveyance(id) => Some(format!("conveyance {id}")),
    }
}

/// Checks a selector that somebody wrote.
///
/// # Errors
/// What is wrong with it.
pub fn check(selector: &v1::EventSelector) -> Result<String, Box<v1::Finding>> {
    let value = match &selector.by {
        Some(
            By::TransportDocument(id)
            | By::Receptacle(id)
            | By::Container(id)
            | By::Conveyance(id)
            | By::CaseId(id),
        ) => id.as_str(),
        None => "",
    };
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    let holds = (1..=VALUE_CHARS_MAX).contains(&value.len()) && value.chars().all(plain);
    name(selector).filter(|_| holds).ok_or_else(|| {
        let say = Say {
            code: "selector",
            allowed: "a transport document, receptacle, container or conveyance, 1 to 64 characters",
            fix: "name it as the filings do; a conveyance with its day: KL566/2026-11-30",
        };
        Box::new(finding("selector", value, say))
    })
}

/// Name under which cases of a UCR are found.
#[must_use]
pub fn ucr_name(ucr: &str) -> String {
    format!("ucr {ucr}")
}

/// Name under which cases are found that cite a UCR (DCR) or master UCR (MCR) as a previous document.
#[must_use]
pub fn cites_name(kind: &str, ucr: &str) -> String {
    format!("cites {kind} {ucr}")
}

/// Name under which cases are found whose filings supplement a simplified declaration.
#[must_use]
pub fn supplements_name(mrn: &str) -> String {
    format!("supplements {mrn}")
}

/// Name under which cases are found that name a transport document, house or master.
#[must_use]
pub fn document_name(id: &str) -> String {
    format!("document {id}")
}

/// The UCRs, of one consignment (DCR) or several (MCR), that a filing cites as previous documents.
pub fn cited_ucrs(goods: &v1::FilingGoods) -> impl Iterator<Item = &v1::DocumentReference> {
    let ucr = |d: &&v1::DocumentReference| matches!(d.r#type.as_str(), "DCR" | "MCR");
    goods.previous_documents.iter().filter(ucr).filter(|d| !d.id.is_empty())
}

/// The names by which events select a filing, and other cases find it.
pub(crate) fn names(core: &v1::FilingCore, goods: &v1::FilingGoods) -> Vec<String> {
    let conveyance = match (core.conveyance.as_str(), core.departure_date.as_str()) {
        ("", _) => String::new(),
        (conveyance, "") => conveyance.to_owned(),
        (conveyance, day) => format!("{conveyance}/{day}"),
    };
    let named = |kind: &str, id: &str| (!id.is_empty()).then(|| format!("{kind} {id}"));
    let one = [
        named("conveyance", &conveyance),
        named("document", &goods.transport_document),
        named("document", &goods.master_document),
        named("receptacle", &goods.receptacle),
    ];
    let containers = goods.containers.iter().filter_map(|c| named("container", &c.id));
    let ucr = (!core.ucr.is_empty()).then(|| ucr_name(&core.ucr));
    let cited = cited_ucrs(goods).map(|d| cites_name(&d.r#type, &d.id));
    let supplemented = core.supplements.iter().map(|mrn| supplements_name(mrn));
    let found = ucr.into_iter().chain(cited).chain(supplemented);
    one.into_iter().flatten().chain(containers).chain(found).collect()
}

/// A name by which other cases find a case, and no event selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link<'a> {
    /// Its UCR.
    Ucr(&'a str),
    /// The UCR of one consignment (DCR) or several (MCR) that it cites.
    Cites {
        /// DCR or MCR.
        kind: &'a str,
        /// The UCR.
        ucr: &'a str,
    },
    /// The registration number of a simplified declaration that it supplements.
    Supplements(&'a str),
}

impl<'a> Link<'a> {
    /// Reads what [`ucr_name`], [`cites_name`] and [`supplements_name`] made; `None` for names that events select by.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        match name.split_once(' ')? {
            ("ucr", ucr) => Some(Self::Ucr(ucr)),
            ("cites", cited) => cited.split_once(' ').map(|(kind, ucr)| Self::Cites { kind, ucr }),
            ("supplements", mrn) => Some(Self::Supplements(mrn)),
            _ => None,
        }
    }
}

/// Notes what a filing names; the earliest filing counts. A name stays though an amendment drops it: what happened to the goods
/// under it has happened.
pub(crate) fn note(case: &mut CaseRecord, name: String, logged_ms: u64) {
    if let Some(known) = case.selectors.iter_mut().find(|s| s.name == name) {
        known.since_ms = known.since_ms.min(logged_ms);
        return;
    }
    let links = |name: &str| Link::parse(name).is_some();
    let most = if links(&name) { LINKS_MAX } else { SELECTORS_MAX };
    let alike = case.selectors.iter().filter(|s| links(&s.name) == links(&name)).count();
    if alike < most {
        case.selectors.push(CaseSelector { name, since_ms: logged_ms });
    }
}

/// Whether an event covers a case.
#[must_use]
pub fn covers(case: &CaseRecord, stored: &SelectingEvent) -> bool {
    let Some(event) = &stored.event else { return false };
    let logged_ms = event.stands.as_ref().map_or(0, |s| s.logged_ms);
    let carries = event.carrier_id.is_empty() || is_carried_by(case, &event.carrier_id);
    let in_time =
        |since_ms: u64| since_ms <= logged_ms && logged_ms <= since_ms.saturating_add(COVERS_MS);
    carries && case.selectors.iter().any(|s| s.name == stored.selector && in_time(s.since_ms))
}

/// Whether a filing of a case ever named a carrier: what it did with the goods stays done when an amendment names another.
#[must_use]
pub fn is_carried_by(case: &CaseRecord, carrier: &str) -> bool {
    let name = carrier_name(carrier);
    case.selectors.iter().any(|s| s.name == name)
}

/// Name under which a case remembers a carrier.
pub(crate) fn carrier_name(id: &str) -> String {
    format!("carrier {id}")
}

/// Adds the events that cover a case to its own, as they were never written into its record.
pub fn join(case: &mut CaseRecord, events: Vec<SelectingEvent>) {
    for stored in events {
        if covers(case, &stored) {
            case.events.extend(stored.event);
            case.revision += 1;
        }
    }
}
