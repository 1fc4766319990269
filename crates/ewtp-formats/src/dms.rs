//! What a case says of a filing, as notifications of HMRC's Declaration Management System (WCO `RES`), for software that
//! understands those.
//!
//! Structure: `Example_DMS_notifications` of HMRC's samples. What CDS has no word for, such as *do not load*, is not written; what only a
//! payment system can say (13 DMSTAX, 14 DMSCPI, 15 DMSCPR) is not said by a hub.

use ewtp_proto::v1;
use jiff::Timestamp;
use v1::{DecisionCode, Effect, EventCode};

use crate::cds::{self, CdsError};

/// What is notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// 01: legally accepted, at Unix milliseconds.
    Accepted(i64),
    /// 02: received and registered.
    Received,
    /// 03: rejected, for these faults.
    Rejected(Vec<Fault>),
    /// 05: goods will be inspected.
    Control,
    /// 06: documents are required, until Unix milliseconds; 0 without.
    Documents(i64),
    /// 07: corrected by customs, at these places.
    Corrected(Vec<Vec<Pointer>>),
    /// 08: goods may be released before clearance.
    MayBeReleased,
    /// 09: cleared.
    Cleared,
    /// 10: invalidated, with a reason.
    Invalidated(String),
    /// 11: answer to a request to amend (39 granted) or cancel.
    RequestAnswered(&'static str),
    /// 16: exited by this office at Unix milliseconds.
    Exited(String, i64),
    /// 18: exit enquiry, to be answered until Unix milliseconds.
    ExitEnquiry(i64),
}

/// WCO class id and, at the end of a path, element id; empty before it.
pub type Pointer = (&'static str, &'static str);

/// What is wrong with a declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Code, at most 8 characters.
    pub code: String,
    /// In words; may be empty.
    pub description: String,
    /// Where.
    pub pointers: Vec<Pointer>,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The notification's own id, at most 35 characters.
    pub reference: String,
    /// When it was said, Unix milliseconds.
    pub issued_ms: i64,
    /// Trader's reference of the declaration.
    pub lrn: String,
    /// Registration number.
    pub mrn: String,
    /// Version.
    pub version: u32,
    /// What is notified.
    pub notice: Notice,
}

impl Notice {
    /// WCO function code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "01",
            Self::Received => "02",
            Self::Rejected(_) => "03",
            Self::Control => "05",
            Self::Documents(_) => "06",
            Self::Corrected(_) => "07",
            Self::MayBeReleased => "08",
            Self::Cleared => "09",
            Self::Invalidated(_) => "10",
            Self::RequestAnswered(_) => "11",
            Self::Exited(..) => "16",
            Self::ExitEnquiry(_) => "18",
        }
    }

    /// HMRC's name of it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "DMSACC",
            Self::Received => "DMSRCV",
            Self::Rejected(_) => "DMSREJ",
            Self::Control => "DMSCTL",
            Self::Documents(_) => "DMSDOC",
            Self::Corrected(_) => "DMSRES",
            Self::MayBeReleased => "DMSROG",
            Self::Cleared => "DMSCLE",
            Self::Invalidated(_) => "DMSINV",
            Self::RequestAnswered(_) => "DMSREQ",
            Self::Exited(..) => "DMSEOG",
            Self::ExitEnquiry(_) => "DMSGER",
        }
    }

    /// Leaves beside those that every notification has.
    fn leaves(&self, issued_ms: i64) -> Vec<Leaf> {
        let information =
            |name: &str, value: &str| leaf(&format!("AdditionalInformation[1]/{name}"), value);
        let at = |path: &str, ms: i64| leaf(&format!("{path}/DateTimeString"), &instant(ms));
        match self {
            Self::Accepted(ms) => vec![at("Declaration/AcceptanceDateTime", *ms)],
            Self::Received | Self::Control => Vec::new(),
            Self::Rejected(faults) => {
                let mut out = vec![at("Declaration/RejectionDateTime", issued_ms)];
                for (i, fault) in (1..).zip(faults) {
                    out.push(leaf(&format!("Error[{i}]/ValidationCode"), &fault.code));
                    out.push(leaf(&format!("Error[{i}]/Description"), &fault.description));
                    out.extend(pointers(&format!("Error[{i}]"), &fault.pointers));
                }
                out
            }
            Self::Documents(until) => {
                let mut out = vec![
                    information("StatementCode", "ACA"),
                    information("StatementTypeCode", "ACA"),
                ];
                out.extend(
                    (*until > 0).then(|| at("AdditionalInformation[1]/LimitDateTime", *until)),
                );
                out
            }
            Self::Corrected(changes) => {
                let change = |(i, path): (usize, &Vec<Pointer>)| {
                    let mut out = pointers(&format!("Amendment[{i}]"), path);
                    out.push(leaf(&format!("Amendment[{i}]/ChangeReasonCode"), "16"));
                    out
                };
                (1..).zip(changes).flat_map(change).collect()
            }
            Self::MayBeReleased => {
                vec![information("StatementCode", "A1"), information("StatementTypeCode", "AFB")]
            }
            Self::Cleared => {
                vec![information("StatementCode", "A2"), information("StatementTypeCode", "AFB")]
            }
            Self::Invalidated(reason) => vec![
                information("StatementDescription", reason),
                information("StatementTypeCode", "AFB"),
                at("Declaration/CancellationDateTime", issued_ms),
            ],
            Self::RequestAnswered(status) => vec![leaf("Status[1]/NameCode", status)],
            Self::Exited(office, ms) => vec![
                information("StatementDescription", office),
                information("StatementTypeCode", "CEX"),
                at("Status[1]/EffectiveDateTime", *ms),
                leaf("Status[1]/NameCode", "A1"),
            ],
            Self::ExitEnquiry(until) => vec![
                at("AdditionalInformation[1]/LimitDateTime", *until),
                information("StatementTypeCode", "CEX"),
            ],
        }
    }
}

/// A path and its text.
type Leaf = (String, String);

fn leaf(path: &str, value: &str) -> Leaf {
    (path.to_owned(), value.to_owned())
}

fn pointers(at: &str, path: &[Pointer]) -> Vec<Leaf> {
    let one = |(i, (section, tag)): (usize, &Pointer)| {
        let pointer = format!("{at}/Pointer[{i}]");
        [
            leaf(&format!("{pointer}/DocumentSectionCode"), section),
            leaf(&format!("{pointer}/TagID"), tag),
        ]
    };
    (1..).zip(path).flat_map(one).collect()
}

/// Format 304, in UTC.
fn instant(ms: i64) -> String {
    cds::utc(Timestamp::from_millisecond(ms).unwrap_or_default())
}

/// Most characters of a hub's id in a reference.
const HUB_CHARS_MAX: usize = 12;

/// Writes a notification.
///
/// # Errors
/// [`CdsError::Invalid`] for what HMRC's schema doesn't allow.
pub fn write(notification: &Notification) -> Result<String, CdsError> {
    let mut leaves = vec![
        leaf("FunctionCode", notification.notice.code()),
        leaf("FunctionalReferenceID", &notification.reference),
        leaf("IssueDateTime/DateTimeString", &instant(notification.issued_ms)),
        leaf("Declaration/FunctionalReferenceID", &notification.lrn),
        leaf("Declaration/ID", &notification.mrn),
        leaf("Declaration/VersionID", &notification.version.to_string()),
    ];
    leaves.extend(notification.notice.leaves(notification.issued_ms));
    let instants = leaves.iter().filter(|(path, _)| path.ends_with("/DateTimeString"));
    let formats: Vec<Leaf> =
        instants.map(|(path, _)| leaf(&format!("{path}@formatCode"), "304")).collect();
    leaves.extend(formats);
    leaves.retain(|(_, value)| !value.is_empty());
    cds::write_response(&leaves)
}

/// The notifications that a case's statements make for a filing, in the order in which they were said.
#[must_use]
pub fn of_case(case: &v1::Case, filing_id: &str) -> Vec<Notification> {
    let here = |f: &&v1::CaseFiling| {
        f.filing.as_ref().and_then(|f| f.core.as_ref()).is_some_and(|c| c.filing_id == filing_id)
    };
    let Some(filing) = case.filings.iter().find(here) else { return Vec::new() };
    let core = filing.filing.as_ref().and_then(|f| f.core.clone()).unwrap_or_default();
    let mut said: Vec<(i64, String, u32, Notice)> = Vec::new();
    let reference = |at: &Option<v1::StatementRef>| {
        let at = at.clone().unwrap_or_default();
        // CDS has 35 characters for it; a hub's id may be longer.
        let hub: String = at.hub.chars().take(HUB_CHARS_MAX).collect();
        format!("{hub}-{}", at.log_index)
    };
    let logged = filing.logged_ms;
    let registered = reference(&filing.statement);
    if core.version > 1 {
        let amended = format!("{registered}-A");
        said.push((logged, amended, core.version, Notice::RequestAnswered("39")));
    } else {
        said.push((logged, format!("{registered}-R"), core.version, Notice::Received));
    }
    said.push((logged, registered, core.version, Notice::Accepted(logged)));
    for decision in case.decisions.iter().filter(|d| !d.unproven) {
        let Some(of) = decision.core.as_ref().filter(|c| c.filing_id == filing_id) else {
            continue;
        };
        let at = decision.logged_ms;
        if let Some(notice) = decided(of) {
            said.push((at, reference(&decision.statement), of.filing_version, notice));
        }
    }
    for request in &case.info_requests {
        let Some(of) = request.core.as_ref().filter(|c| c.filing_id == filing_id) else { continue };
        // Questions carry no time of their own here: they follow the version that they ask about.
        let notice = Notice::Documents(of.deadline_ms);
        said.push((logged, reference(&request.statement), of.filing_version, notice));
    }
    for withdrawal in case.invalidations.iter().filter(|i| i.counts) {
        let Some(of) = withdrawal.core.as_ref().filter(|c| c.filing_id == filing_id) else {
            continue;
        };
        let notice = Notice::Invalidated(of.reason.clone());
        said.push((i64::MAX, reference(&withdrawal.statement), of.filing_version, notice));
    }
    let export = core.r#type() == v1::FilingType::Export;
    for event in case.events.iter().filter(|_| export) {
        let mine = |c: &&v1::EventCore| {
            c.code() == EventCode::Exited && (c.filing_id.is_empty() || c.filing_id == filing_id)
        };
        let Some(of) = event.core.as_ref().filter(mine) else { continue };
        let notice = Notice::Exited(of.office.clone(), of.time_ms);
        said.push((event.logged_ms, reference(&event.statement), core.version, notice));
    }
    said.sort_by_key(|(at, ..)| *at);
    let last = said.iter().map(|(at, ..)| *at).filter(|at| *at != i64::MAX).max().unwrap_or(logged);
    let notification = |(at, reference, version, notice)| Notification {
        reference,
        issued_ms: if at == i64::MAX { last } else { at },
        lrn: core.lrn.clone(),
        mrn: core.mrn.clone(),
        version,
        notice,
    };
    said.into_iter().map(notification).collect()
}

/// What CDS says of a decision; nothing where it has no word for it.
fn decided(core: &v1::DecisionCore) -> Option<Notice> {
    match (core.effect(), core.code()) {
        (_, DecisionCode::PhysControl | DecisionCode::ScanControl | DecisionCode::Hold) => {
            Some(Notice::Control)
        }
        (_, DecisionCode::DocControl) => Some(Notice::Documents(core.deadline_ms)),
        (Effect::Release, DecisionCode::Release) => Some(Notice::Cleared),
        (
            Effect::Admissibility,
            DecisionCode::Clear | DecisionCode::ClearConditional | DecisionCode::ClearPostAudit,
        ) => Some(Notice::MayBeReleased),
        (Effect::Admissibility | Effect::Release, DecisionCode::Refuse) => {
            let description = "refused by decision".to_owned();
            let fault = Fault { code: "REFUSE".to_owned(), description, pointers: Vec::new() };
            Some(Notice::Rejected(vec![fault]))
        }
        _ => None,
    }
}
