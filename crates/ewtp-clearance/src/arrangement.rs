//! Arrangements: what two agencies recognise of each other, as one TOML document that a machine applies and from which the text for
//! lawyers is made. Both logs hold its digest before anything is recognised.

pub mod chain;
mod document;
mod text;

use std::collections::BTreeSet;

use ewtp_log::hash::sha256;
use ewtp_log::{Hash, HubId};
use ewtp_proto::v1::Finding;
use ewtp_trade::Money;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use document::{Faults, Raw};
pub use text::{differences, for_people};

/// Longest document, bytes.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// What can be recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// The origin's own decision on the export.
    ExportControl,
    /// What an inspection at the origin found.
    Inspection,
    /// Status of an authorised economic operator.
    Aeo,
    /// Certificate of origin.
    Origin,
    /// Licence or permit.
    Licence,
    /// Phytosanitary certificate.
    Phytosanitary,
}

impl FactKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ExportControl,
        Self::Inspection,
        Self::Aeo,
        Self::Origin,
        Self::Licence,
        Self::Phytosanitary,
    ];

    /// Its name in documents and rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExportControl => "export-control",
            Self::Inspection => "inspection",
            Self::Aeo => "aeo",
            Self::Origin => "origin",
            Self::Licence => "licence",
            Self::Phytosanitary => "phytosanitary",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What follows from a fact that is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecognitionEffect {
    /// It is told, and nothing else.
    Note,
    /// So many points fewer in the confidential rules, 1 to 1000.
    LowerRiskScore(u32),
    /// First in the officer's list.
    Priority,
    /// No control of documents.
    WaiveDocuments,
    /// No scan.
    WaiveScan,
    /// No physical control.
    WaivePhysical,
}

impl RecognitionEffect {
    /// Its name without points.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::LowerRiskScore(_) => "lower_risk_score",
            Self::Priority => "priority",
            Self::WaiveDocuments => "waive_documents",
            Self::WaiveScan => "waive_scan",
            Self::WaivePhysical => "waive_physical",
        }
    }

    /// Names of all effects.
    pub const NAMES: [&'static str; 6] =
        ["note", "lower_risk_score", "priority", "waive_documents", "waive_scan", "waive_physical"];

    /// Reads `waive_scan`, `lower_risk_score(20)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "note" => Self::Note,
            "priority" => Self::Priority,
            "waive_documents" => Self::WaiveDocuments,
            "waive_scan" => Self::WaiveScan,
            "waive_physical" => Self::WaivePhysical,
            scored => {
                let points = scored.strip_prefix("lower_risk_score(")?.strip_suffix(')')?;
                let points: u32 = points.parse().ok().filter(|p| (1..=1000).contains(p))?;
                Self::LowerRiskScore(points)
            }
        })
    }
}

impl std::fmt::Display for RecognitionEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LowerRiskScore(points) => write!(f, "lower_risk_score({points})"),
            other => f.write_str(other.name()),
        }
    }
}

/// Commodity codes: those that begin with a prefix, or with one from the first to the last of a range (`0901-0910`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsRange {
    first: String,
    last: String,
}

impl HsRange {
    /// Reads `0901`, `0901-0910`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let digits = |t: &str| (2..=10).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        let holds = digits(first) && digits(last) && first.len() == last.len() && first <= last;
        holds.then(|| Self { first: first.to_owned(), last: last.to_owned() })
    }

    /// Whether some code lies in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let length = self.first.len().min(other.first.len());
        let cut = |text: &str| text.get(..length).map(str::to_owned).unwrap_or_default();
        cut(&self.first) <= cut(&other.last) && cut(&other.first) <= cut(&self.last)
    }

    /// Whether a code lies in it.
    #[must_use]
    pub fn covers(&self, code: &str) -> bool {
        code.get(..self.first.len())
            .is_some_and(|head| (self.first.as_str()..=self.last.as_str()).contains(&head))
    }
}

impl std::fmt::Display for HsRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.first == self.last {
            true => f.write_str(&self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// A line of a document: what one hub recognises of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// Its name in the document.
    pub id: String,
    /// Who recognises what the other established.
    pub by: HubId,
    /// What.
    pub kind: FactKind,
    /// What follows from it.
    pub effects: Vec<RecognitionEffect>,
    /// Goods; all if empty.
    pub hs: Vec<HsRange>,
    /// Tiers of operators, as this document calls them; all if empty.
    pub tiers: Vec<String>,
    /// Highest value of a consignment.
    pub value_up_to: Option<Money>,
}

/// What one agency calls a category of operators, and what this document calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Whose category.
    pub of: HubId,
    /// As its certificates say it.
    pub category: String,
    /// As this document says it.
    pub tier: String,
}

/// How an operator that one agency certified stands in filings at the other: texts with one `*` at the end, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// Who certified.
    pub of: HubId,
    /// In its certificates.
    pub certified: String,
    /// In the other's filings.
    pub filed: String,
}

impl Identifier {
    /// What certificates call an operator of the other's filings.
    fn certified_as(&self, filed: &str) -> Option<String> {
        match (self.certified.strip_suffix('*'), self.filed.strip_suffix('*')) {
            (Some(certified), Some(head)) => {
                Some(format!("{certified}{}", filed.strip_prefix(head)?))
            }
            _ => (self.filed == filed).then(|| self.certified.clone()),
        }
    }

    /// What the other's filings call a certified operator.
    #[must_use]
    pub fn filed_as(&self, certified: &str) -> Option<String> {
        match (self.certified.strip_suffix('*'), self.filed.strip_suffix('*')) {
            (Some(head), Some(filed)) => Some(format!("{filed}{}", certified.strip_prefix(head)?)),
            _ => (self.certified == certified).then(|| self.filed.clone()),
        }
    }
}

/// When the figures raise an alarm: of the facts recognised by a hub that were checked on arrival, too many were found false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Who counts.
    pub by: HubId,
    /// What is counted.
    pub kind: FactKind,
    /// Fewer checks than that say nothing.
    pub checked_at_least: u32,
    /// Share found false that is still borne, in parts of a thousand.
    pub false_permille: u32,
}

/// An arrangement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// The two hubs, the smaller id first.
    pub between: [HubId; 2],
    /// Number in their chain, from 1.
    pub number: u64,
    /// Digest of the document before.
    pub previous: Option<Hash>,
    /// What people call it.
    pub title: String,
    /// Law or treaty.
    pub legal_reference: String,
    /// IANA name of its zone.
    pub time_zone_name: String,
    /// Its zone: its days begin and end there.
    pub time_zone: TimeZone,
    /// First day.
    pub valid_from: Date,
    /// Last day; open if there is none.
    pub valid_until: Option<Date>,
    /// Parts of filings, beside `core`, that the two show each other under it.
    pub data_scope: BTreeSet<String>,
    /// What is recognised.
    pub recognitions: Vec<Recognition>,
    /// Categories of operators.
    pub tiers: Vec<Tier>,
    /// Identifiers of operators.
    pub identifiers: Vec<Identifier>,
    /// When an alarm is raised.
    pub thresholds: Vec<Threshold>,
    /// SHA-256 of the text.
    pub digest: Hash,
}

impl Arrangement {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// Every fault, with its place and what is allowed.
    pub fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let mut faults = Faults(Vec::new());
        if text.len() > DOCUMENT_BYTES_MAX {
            faults.add("", &text.len().to_string(), "at most 64 KiB");
            return Err(faults.0);
        }
        let raw: Raw = toml::from_str(text).map_err(|e| {
            let mut faults = Faults(Vec::new());
            faults.add("", "", &format!("TOML of an arrangement: {e}"));
            faults.0
        })?;
        let arrangement = raw.check(sha256(&[text.as_bytes()]), &mut faults);
        match arrangement {
            Some(arrangement) if faults.0.is_empty() => Ok(arrangement),
            _ => Err(faults.0),
        }
    }

    /// The civil day of an instant in its zone.
    #[must_use]
    pub fn day_of(&self, at_ms: i64) -> Date {
        jiff::Timestamp::from_millisecond(at_ms)
            .map_or(Date::MIN, |t| self.time_zone.to_datetime(t).date())
    }

    /// Whether it has begun at an instant.
    #[must_use]
    pub fn has_begun(&self, at_ms: i64) -> bool {
        self.valid_from <= self.day_of(at_ms)
    }

    /// Whether its last day is over at an instant.
    #[must_use]
    pub fn is_over(&self, at_ms: i64) -> bool {
        self.valid_until.is_some_and(|last| last < self.day_of(at_ms))
    }

    /// The tier that a category of the other's operators has.
    #[must_use]
    pub fn tier_of(&self, hub: &HubId, category: &str) -> Option<&str> {
        let found = self.tiers.iter().find(|t| t.of == *hub && t.category == category);
        found.map(|t| t.tier.as_str())
    }

    /// What an operator of the other's filings may be called in certificates of `hub`: the other way of [`Self::filed_as`].
    #[must_use]
    pub fn certified_as(&self, hub: &HubId, filed: &str) -> Vec<String> {
        let mapped = self.identifiers.iter().filter(|i| i.of == *hub);
        let mut out: Vec<String> = mapped.filter_map(|i| i.certified_as(filed)).collect();
        out.push(filed.to_owned());
        out.retain(|certified| self.filed_as(hub, certified).iter().any(|f| f == filed));
        out.dedup();
        out
    }

    /// What an operator that `hub` certified may be called in the other's filings: as the identifiers say, or as in its certificate.
    #[must_use]
    pub fn filed_as(&self, hub: &HubId, certified: &str) -> Vec<String> {
        let mapped = self.identifiers.iter().filter(|i| i.of == *hub);
        let mut out: Vec<String> = mapped.filter_map(|i| i.filed_as(certified)).collect();
        if out.is_empty() {
            out.push(certified.to_owned());
        }
        out
    }
}

/// The document of a chain that governs at an instant: of those that hold the newest that has begun, unless it is over.
#[must_use]
pub fn governing<A: AsRef<Arrangement>>(
    holding: impl DoubleEndedIterator<Item = A>,
    at_ms: i64,
) -> Option<A> {
    let begun = holding.rev().find(|a| a.as_ref().has_begun(at_ms));
    begun.filter(|a| !a.as_ref().is_over(at_ms))
}

impl AsRef<Self> for Arrangement {
    fn as_ref(&self) -> &Self {
        self
    }
}
