//! Response codes in real use, and which of ours they are: HMRC CDS, ICS2, NCTS phase 5, EDIFACT CUSRES (data element 7365), the
//! lanes of ASYCUDA World, the status of receipts of China's cross-border e-commerce system.
//!
//! One table, both ways. A foreign code that says nothing a hub says is listed with what a hub does with it.

use ewtp_proto::v1::{DecisionCode, Effect, EventCode, FilingState, InfoRequestCode};

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// HMRC's Customs Declaration Service, WCO response function codes.
    Cds,
    /// The EU's Import Control System 2.
    Ics2,
    /// The New Computerised Transit System, phase 5.
    Ncts,
    /// UN/EDIFACT CUSRES, data element 7365.
    Cusres,
    /// ASYCUDA World's selectivity lanes.
    Asycuda,
    /// Status of receipts of China's cross-border e-commerce system (GACC announcement 2018 No. 113).
    Ceb,
}

/// What it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// A filing's state.
    Filing(FilingState),
    /// A decision.
    Decision(Effect, DecisionCode),
    /// A question.
    Request(InfoRequestCode),
    /// An answer to a question.
    Answer,
    /// An event.
    Event(EventCode),
    /// A version that replaces the one before.
    Amendment,
    /// Nothing that a hub says; what it does with it.
    Nothing(&'static str),
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// System.
    pub system: System,
    /// Its code.
    pub code: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Ours.
    pub ours: Ours,
}

use Ours::{Amendment, Answer, Decision, Event, Filing, Nothing, Request};
use System::{Asycuda, Cds, Ceb, Cusres, Ics2, Ncts};

const fn row(system: System, code: &'static str, name: &'static str, ours: Ours) -> Response {
    Response { system, code, name, ours }
}

const PAYMENT: Ours = Nothing(
    "kept as attachment: the hub moves no money; payment due is a condition with a reference",
);
const NOTICE: Ours =
    Nothing("kept as attachment: a notice between filers or systems, nothing is decided by it");
const SECURITY: Effect = Effect::Security;
const ADMISSIBILITY: Effect = Effect::Admissibility;
const RELEASE: Effect = Effect::Release;

/// The table.
#[rustfmt::skip]
pub const RESPONSES: &[Response] = &[
    row(Cds, "01", "DMSACC accepted", Filing(FilingState::Registered)),
    row(Cds, "02", "DMSRCV received and registered", Filing(FilingState::Submitted)),
    row(Cds, "03", "DMSREJ rejected", Filing(FilingState::Rejected)),
    row(Cds, "05", "DMSCTL physical control", Decision(ADMISSIBILITY, DecisionCode::PhysControl)),
    row(Cds, "06", "DMSDOC documents required", Decision(ADMISSIBILITY, DecisionCode::DocControl)),
    row(Cds, "07", "DMSRES corrected by customs", Amendment),
    row(Cds, "08", "DMSROG goods may be released", Decision(ADMISSIBILITY, DecisionCode::Clear)),
    row(Cds, "09", "DMSCLE cleared", Decision(RELEASE, DecisionCode::Release)),
    row(Cds, "10", "DMSINV invalidated", Filing(FilingState::Invalidated)),
    row(Cds, "11", "DMSREQ answer to a request to amend or cancel", Amendment),
    row(Cds, "13", "DMSTAX customs debt", PAYMENT),
    row(Cds, "14", "DMSCPI insufficient funds", PAYMENT),
    row(Cds, "15", "DMSCPR payment reminder", PAYMENT),
    row(Cds, "16", "DMSEOG exited", Event(EventCode::Exited)),
    row(Cds, "18", "DMSGER exit enquiry", Nothing("shown to the exit office, whose event `exited` answers it")),
    row(Ics2, "IE3R01", "ENS registered", Filing(FilingState::Registered)),
    row(Ics2, "IE3N01", "lifecycle error", Filing(FilingState::Rejected)),
    row(Ics2, "IE3N02", "ENS not complete", Nothing("a partial filing says so itself; completion is filed")),
    row(Ics2, "IE3N03", "assessment complete", Decision(SECURITY, DecisionCode::Clear)),
    row(Ics2, "IE3Q01", "do not load", Decision(SECURITY, DecisionCode::Dnl)),
    row(Ics2, "IE3Q02", "request for information", Request(InfoRequestCode::Rfi)),
    row(Ics2, "IE3R02", "additional information", Answer),
    row(Ics2, "IE3Q03", "high-risk screening request", Request(InfoRequestCode::Rfs)),
    row(Ics2, "IE3R03", "screening result", Answer),
    row(Ics2, "IE3N04", "notice to another filer", NOTICE),
    row(Ics2, "IE3N05", "notice to another filer", NOTICE),
    row(Ics2, "IE3N06", "arrival", Event(EventCode::Arrived)),
    row(Ics2, "IE3R04", "arrival notified", Event(EventCode::Arrived)),
    row(Ics2, "IE3Q04", "invalidation request", Filing(FilingState::Invalidated)),
    row(Ics2, "IE3R07", "invalidation accepted", Filing(FilingState::Invalidated)),
    row(Ics2, "IE3N99", "error", Filing(FilingState::Rejected)),
    row(Ics2, "IE3N07", "house consignment in incorrect state", NOTICE),
    row(Ics2, "IE3N09", "control notification", Decision(ADMISSIBILITY, DecisionCode::PhysControl)),
    row(Ncts, "IE015", "declaration", Filing(FilingState::Submitted)),
    row(Ncts, "IE028", "MRN allocated", Filing(FilingState::Registered)),
    row(Ncts, "IE056", "rejected by the office of departure", Filing(FilingState::Rejected)),
    row(Ncts, "IE057", "rejected by the office of destination", Filing(FilingState::Rejected)),
    row(Ncts, "IE060", "control decision", Decision(ADMISSIBILITY, DecisionCode::PhysControl)),
    row(Ncts, "IE029", "release for transit", Decision(RELEASE, DecisionCode::Release)),
    row(Ncts, "IE051", "no release for transit", Decision(RELEASE, DecisionCode::Refuse)),
    row(Ncts, "IE013", "amendment", Amendment),
    row(Ncts, "IE004", "amendment accepted", Amendment),
    row(Ncts, "IE022", "amendment wanted", Request(InfoRequestCode::Rfi)),
    row(Ncts, "IE014", "invalidation request", Filing(FilingState::Invalidated)),
    row(Ncts, "IE009", "invalidation decision", Filing(FilingState::Invalidated)),
    row(Ncts, "IE025", "goods released", Event(EventCode::Released)),
    row(Ncts, "IE043", "unloading permission", Nothing("kept as attachment: unloading is between trader and office")),
    row(Ncts, "IE044", "unloading remarks", Nothing("kept as attachment: unloading is between trader and office")),
    row(Ncts, "IE045", "written off", PAYMENT),
    row(Ncts, "IE035", "recovery", PAYMENT),
    row(Ncts, "IE170", "presentation of a pre-lodged declaration", Event(EventCode::Presented)),
    row(Cusres, "1", "accepted", Filing(FilingState::Registered)),
    row(Cusres, "2", "rejected with comment", Filing(FilingState::Rejected)),
    row(Cusres, "3", "rejected", Filing(FilingState::Rejected)),
    row(Cusres, "4", "released", Decision(RELEASE, DecisionCode::Release)),
    row(Cusres, "5", "examination required", Decision(ADMISSIBILITY, DecisionCode::PhysControl)),
    row(Cusres, "6", "documents required", Decision(ADMISSIBILITY, DecisionCode::DocControl)),
    row(Cusres, "7", "detained", Decision(ADMISSIBILITY, DecisionCode::Detain)),
    row(Cusres, "8", "may move under transfer", Nothing("a transit filing of its own decides on it")),
    row(Cusres, "9", "accepted, awaiting arrival", Decision(ADMISSIBILITY, DecisionCode::Clear)),
    row(Cusres, "10", "declaration requested", Nothing("adoption or an import filing is waited for; the case says so")),
    row(Cusres, "11", "pre-entry information", Filing(FilingState::Submitted)),
    row(Cusres, "15", "correction approved", Amendment),
    row(Cusres, "16", "correction not approved", Filing(FilingState::Rejected)),
    row(Cusres, "18", "request for clearance", Filing(FilingState::Submitted)),
    row(Asycuda, "green", "release", Decision(ADMISSIBILITY, DecisionCode::Clear)),
    row(Asycuda, "blue", "release and post-clearance audit", Decision(ADMISSIBILITY, DecisionCode::ClearPostAudit)),
    row(Asycuda, "yellow", "documentary check", Decision(ADMISSIBILITY, DecisionCode::DocControl)),
    row(Asycuda, "red", "physical examination", Decision(ADMISSIBILITY, DecisionCode::PhysControl)),
    row(Asycuda, "query", "query", Request(InfoRequestCode::Rfi)),
    row(Asycuda, "stand-by green", "release held for a moment", Decision(ADMISSIBILITY, DecisionCode::Hold)),
    row(Ceb, "1", "kept by the e-port", NOTICE),
    row(Ceb, "2", "being declared by the e-port", NOTICE),
    row(Ceb, "3", "delivered to customs", Filing(FilingState::Submitted)),
    row(Ceb, "4", "not delivered to customs", NOTICE),
    row(Ceb, "100", "returned", Filing(FilingState::Rejected)),
    row(Ceb, "120", "taken in by customs", Filing(FilingState::Registered)),
    row(Ceb, "300", "looked at by an officer", Decision(ADMISSIBILITY, DecisionCode::DocControl)),
    row(Ceb, "399", "assessed", Decision(ADMISSIBILITY, DecisionCode::Clear)),
    row(Ceb, "500", "inspection", Decision(ADMISSIBILITY, DecisionCode::PhysControl)),
    row(Ceb, "501", "detained, handed to clearance", Decision(RELEASE, DecisionCode::Detain)),
    row(Ceb, "502", "detained, handed to anti-smuggling", Decision(RELEASE, DecisionCode::Detain)),
    row(Ceb, "503", "detained, handed to the law division", Decision(RELEASE, DecisionCode::Detain)),
    row(Ceb, "599", "detained for another reason", Decision(RELEASE, DecisionCode::Detain)),
    row(Ceb, "600", "suspended", Decision(ADMISSIBILITY, DecisionCode::Hold)),
    row(Ceb, "700", "returned to the sender", Event(EventCode::Returned)),
    row(Ceb, "800", "released", Decision(RELEASE, DecisionCode::Release)),
    row(Ceb, "899", "closed", Event(EventCode::Exited)),
];

/// A foreign code's row.
#[must_use]
pub fn by_code(system: System, code: &str) -> Option<&'static Response> {
    RESPONSES.iter().find(|r| r.system == system && r.code == code)
}

/// The codes of a system that say what we say, first the one that is written.
pub fn of(system: System, ours: Ours) -> impl Iterator<Item = &'static Response> {
    RESPONSES.iter().filter(move |r| r.system == system && r.ours == ours)
}
