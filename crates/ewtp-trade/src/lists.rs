//! Code lists by edition: what a filing's codes are checked by, and what became of codes that left.
//!
//! An edition holds from a day on, in its time zone, until a later one of its list does. The editions that come with the crate are
//! complete as published, but a hub may be older than the list: what they lack is told as a warning. Editions that an agency loads
//! are its own word: what they lack is refused.

mod embedded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ewtp_proto::v1;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::codes::office_syntax;
use crate::finding::{Findings, Say};

/// Longest name of an edition, bytes.
const EDITION_BYTES_MAX: usize = 32;
/// Most codes that are told as wrong.
const FAULTS_MAX: usize = 20;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// Harmonized System, six digits.
    Hs,
    /// ISO 3166-1 alpha-2, and the user-assigned codes of trade.
    Countries,
    /// ISO 4217.
    Currencies,
    /// UN/LOCODE.
    Locodes,
    /// UN/ECE Recommendation 20.
    Units,
    /// UN/ECE Recommendation 21.
    Packages,
    /// UN/ECE Recommendation 19.
    Modes,
    /// Incoterms.
    Incoterms,
    /// Customs offices.
    Offices,
    /// Document types.
    Documents,
}

impl ListKind {
    /// All lists.
    pub const ALL: [Self; 10] = [
        Self::Hs,
        Self::Countries,
        Self::Currencies,
        Self::Locodes,
        Self::Units,
        Self::Packages,
        Self::Modes,
        Self::Incoterms,
        Self::Offices,
        Self::Documents,
    ];

    /// Name in configuration, statements and commands.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs => "hs",
            Self::Countries => "countries",
            Self::Currencies => "currencies",
            Self::Locodes => "locodes",
            Self::Units => "units",
            Self::Packages => "packages",
            Self::Modes => "modes",
            Self::Incoterms => "incoterms",
            Self::Offices => "offices",
            Self::Documents => "documents",
        }
    }

    /// Whether its codes begin with their country: such a list is each country's own word.
    #[must_use]
    pub const fn is_by_country(self) -> bool {
        matches!(self, Self::Offices | Self::Locodes)
    }

    /// A list by its name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// A code that left its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Last day on which it held; `None` where the list doesn't say.
    pub until: Option<Date>,
    /// What replaced it; empty where nothing did, or the list doesn't say.
    pub replaced_by: Vec<String>,
}

impl Ended {
    /// " after 2021-12-31", or nothing where the list doesn't say.
    #[must_use]
    pub fn when(&self) -> String {
        self.until.map(|day| format!(" after {day}")).unwrap_or_default()
    }

    /// "replaced by 851771 or 851779"; `None` where nothing is known to have.
    #[must_use]
    pub fn by_what(&self) -> Option<String> {
        let codes = &self.replaced_by;
        (!codes.is_empty()).then(|| format!("replaced by {}", codes.join(" or ")))
    }
}

/// What a list says of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// In the list.
    Yes,
    /// Left the list.
    Ended(Ended),
    /// Not in a list that is its publisher's last word.
    No,
    /// Not in a list that may be older than the code.
    Unlisted,
    /// There is no list that speaks of such codes.
    Unknown,
}

/// One edition of a list.
#[derive(Clone, Debug)]
pub struct Edition {
    /// Which list.
    pub kind: ListKind,
    /// Name, e.g. "HS2022".
    pub name: String,
    /// Peer that published it; empty for this hub's.
    pub publisher: String,
    /// First instant at which it holds, Unix milliseconds.
    pub from_ms: i64,
    /// What it lacks is refused.
    pub authoritative: bool,
    codes: Codes,
    ended: BTreeMap<String, Ended>,
}

/// Codes by their first characters: a list of a hundred thousand places is a table of short texts.
#[derive(Clone, Debug, Default)]
struct Codes(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl Codes {
    /// Characters of the first part: 2 suffice to keep each row short.
    const HEAD: usize = 2;

    fn insert(&mut self, code: &str) {
        let (head, tail) = Self::split(code);
        // A hundred thousand codes have a few hundred heads: the text of one is made once.
        match self.0.get_mut(head) {
            Some(row) => drop(row.insert(tail.into())),
            None => drop(self.0.insert(head.into(), BTreeSet::from([tail.into()]))),
        }
    }

    fn contains(&self, code: &str) -> bool {
        let (head, tail) = Self::split(code);
        self.0.get(head).is_some_and(|row| row.contains(tail))
    }

    fn all(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(head, row)| row.iter().map(move |tail| format!("{head}{tail}")))
    }

    fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    fn split(code: &str) -> (&str, &str) {
        code.split_at_checked(Self::HEAD).unwrap_or((code, ""))
    }
}

impl Edition {
    /// Number of codes that hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether no code holds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it says of a code.
    #[must_use]
    pub fn listed(&self, code: &str) -> Listed {
        if self.codes.contains(code) {
            return Listed::Yes;
        }
        match self.ended.get(code) {
            Some(ended) => Listed::Ended(ended.clone()),
            None if !self.speaks_for(code) => Listed::Unknown,
            None if self.authoritative => Listed::No,
            None => Listed::Unlisted,
        }
    }

    /// Whether it is a list that has codes of this one's country at all.
    fn speaks_for(&self, code: &str) -> bool {
        !self.kind.is_by_country() || self.codes.0.contains_key(Codes::split(code).0)
    }

    /// Countries whose codes it has, if it is a list by country.
    pub fn countries(&self) -> impl Iterator<Item = &str> {
        let ended = self.ended.keys().map(|code| Codes::split(code).0);
        let all = self.codes.0.keys().map(AsRef::as_ref).chain(ended);
        all.filter(|_| self.kind.is_by_country())
    }

    /// Reads a published edition.
    ///
    /// # Errors
    /// Every fault: code, path, value, what is allowed.
    pub fn published(core: &v1::CodeListCore, publisher: &str) -> Result<Self, Vec<v1::Finding>> {
        let mut faults = Findings::default();
        let names: Vec<&str> = ListKind::ALL.iter().map(|k| k.name()).collect();
        let fix = "correct the edition and publish it again";
        let mut fault = |code, path, value: &str, allowed: &str| {
            faults.violation(path, value, Say { code, allowed, fix });
        };
        let kind = ListKind::by_name(&core.list);
        if kind.is_none() {
            fault("code-list", "list", &core.list, &names.join(", "));
        }
        let name = &core.edition;
        if name.is_empty()
            || name.len() > EDITION_BYTES_MAX
            || !name.bytes().all(|b| b.is_ascii_graphic())
        {
            fault("edition", "edition", name, "1 to 32 visible ASCII characters");
        }
        let from = first_instant(&core.valid_from, &core.time_zone);
        if let Err(allowed) = &from {
            fault("valid-from", "valid_from", &core.valid_from, allowed);
        }
        let edition = Self::from_csv(
            kind.unwrap_or(ListKind::Hs),
            name,
            from.clone().unwrap_or(0),
            &core.text,
        );
        if let Err(error) = &edition {
            fault("text", "text", "", &error.to_string());
        }
        if let (Ok(edition), Some(ListKind::Offices)) = (&edition, kind) {
            let all = edition.codes.all().chain(edition.ended.keys().cloned());
            for code in all.filter(|code| !office_syntax(code)).take(FAULTS_MAX) {
                fault("office", "text", &code, "a country and six of A-Z 0-9");
            }
        }
        match (edition, faults.violations.is_empty()) {
            (Ok(edition), true) => Ok(Self { publisher: publisher.to_owned(), ..edition }),
            _ => Err(faults.violations),
        }
    }

    /// An edition from CSV text with a header; the code stands in the column `hscode`, `CommonCode` or `code`. Of an HS list the
    /// six-digit codes count. A code with a day in a column `until` left the list after it, for those that a column `replaced_by`
    /// names, separated by spaces.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn from_csv(
        kind: ListKind,
        name: &str,
        from_ms: i64,
        text: &str,
    ) -> Result<Self, ListError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let csv_error = |e: csv::Error| ListError::Csv {
            line: e.position().map_or(0, csv::Position::line),
            problem: e.to_string(),
        };
        let header = reader.headers().map_err(csv_error)?.clone();
        let position = |names: &[&str]| header.iter().position(|h| names.contains(&h));
        let column = position(&["hscode", "CommonCode", "code"]).ok_or(ListError::Column)?;
        let (until, replaced) = (position(&["until"]), position(&["replaced_by"]));
        let mut edition = Self {
            kind,
            name: name.to_owned(),
            publisher: String::new(),
            from_ms,
            authoritative: true,
            codes: Codes::default(),
            ended: BTreeMap::new(),
        };
        for row in reader.records() {
            let row = row.map_err(csv_error)?;
            let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).unwrap_or_default().trim();
            let code = cell(Some(column));
            if code.is_empty() || (kind == ListKind::Hs && code.len() != 6) {
                continue;
            }
            if cell(until).is_empty() {
                edition.codes.insert(code);
                continue;
            }
            let line = row.position().map_or(0, csv::Position::line);
            let day = cell(until).parse().map_err(|_| ListError::Day { line })?;
            let replaced_by = cell(replaced).split_whitespace().map(str::to_owned).collect();
            edition.ended.insert(code.to_owned(), Ended { until: Some(day), replaced_by });
        }
        if edition.is_empty() {
            return Err(ListError::Empty);
        }
        Ok(edition)
    }
}

/// First instant of a day in a time zone, Unix milliseconds.
///
/// # Errors
/// What is wrong with the day or the zone.
pub fn first_instant(day: &str, time_zone: &str) -> Result<i64, String> {
    let day: Date = day.parse().map_err(|_| format!("{day:?} is no day such as 2026-11-01"))?;
    let zone = TimeZone::get(time_zone)
        .map_err(|_| format!("{time_zone:?} is no IANA time zone such as Europe/Brussels"))?;
    begin(day, &zone).ok_or_else(|| format!("{day} is beyond the calendar"))
}

/// When a day begins in a time zone, Unix milliseconds.
pub(crate) fn begin(day: Date, zone: &TimeZone) -> Option<i64> {
    zone.to_timestamp(day.at(0, 0, 0, 0)).ok().map(|t| t.as_millisecond())
}

/// Why a list file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not CSV.
    #[error("line {line}: not CSV: {problem}")]
    Csv {
        /// Line.
        line: u64,
        /// Why.
        problem: String,
    },
    /// No column with codes.
    #[error("the header has no column called code, hscode or CommonCode")]
    Column,
    /// Not a day.
    #[error("line {line}: until is no day such as 2026-12-31")]
    Day {
        /// Line.
        line: u64,
    },
    /// Nothing in it.
    #[error("the list is empty")]
    Empty,
}

/// All editions that a hub knows.
#[derive(Clone, Debug)]
pub struct ListBook {
    editions: Vec<Arc<Edition>>,
}

impl Default for ListBook {
    /// The editions that come with the crate.
    fn default() -> Self {
        Self { editions: embedded::EDITIONS.clone() }
    }
}

impl ListBook {
    /// Adds an edition.
    pub fn add(&mut self, edition: Edition) {
        self.editions.push(Arc::new(edition));
    }

    /// All editions, in the order in which they were added.
    pub fn editions(&self) -> impl Iterator<Item = &Edition> {
        self.editions.iter().map(AsRef::as_ref)
    }

    /// These and some more.
    #[must_use]
    pub fn with(&self, more: &[Arc<Edition>]) -> Self {
        Self { editions: self.editions.iter().chain(more).map(Arc::clone).collect() }
    }

    /// When the next edition begins after an instant, both Unix milliseconds: until then the same lists hold.
    #[must_use]
    pub fn next_beginning(&self, at_ms: i64) -> i64 {
        let later = self.editions.iter().map(|e| e.from_ms).filter(|from| *from > at_ms);
        later.min().unwrap_or(i64::MAX)
    }

    /// The lists that hold at an instant, Unix milliseconds: of each hub's the edition that began last; of those that began together
    /// the one that was added last.
    #[must_use]
    pub fn at(&self, at_ms: i64) -> CodeLists {
        let mut lists: BTreeMap<(ListKind, bool, &str), &Arc<Edition>> = BTreeMap::new();
        for edition in self.editions.iter().filter(|e| e.from_ms <= at_ms) {
            // Of codes by country an agency has its own alone: what comes with the crate stays for all others.
            let built_in = edition.kind.is_by_country() && !edition.authoritative;
            let key = (edition.kind, built_in, edition.publisher.as_str());
            // What an agency gives stands above what comes with the crate, whenever that began.
            let stands = |e: &Edition| {
                (e.authoritative && !edition.authoritative) || e.from_ms > edition.from_ms
            };
            if !lists.get(&key).is_some_and(|e| stands(e)) {
                lists.insert(key, edition);
            }
        }
        let mut out = CodeLists { lists: BTreeMap::new() };
        for ((kind, ..), edition) in lists {
            out.lists.entry(kind).or_default().push(Arc::clone(edition));
        }
        for editions in out.lists.values_mut() {
            editions.sort_by_key(|e| !e.authoritative);
        }
        out
    }
}

/// The lists that a filing is validated by: those in force at its time.
#[derive(Clone, Debug)]
pub struct CodeLists {
    /// This hub's edition first, then its peers'.
    lists: BTreeMap<ListKind, Vec<Arc<Edition>>>,
}

impl Default for CodeLists {
    /// The newest editions that come with the crate.
    fn default() -> Self {
        ListBook::default().at(i64::MAX)
    }
}

impl CodeLists {
    /// What the lists say of a code. A peer's word counts for its own country's codes, and before what comes with the crate.
    #[must_use]
    pub fn listed(&self, kind: ListKind, code: &str) -> Listed {
        let all = self.lists.get(&kind).map_or(&[][..], Vec::as_slice);
        let mut said = all
            .iter()
            .filter(|e| e.publisher.is_empty() || kind.is_by_country())
            .map(|e| e.listed(code));
        said.find(|l| *l != Listed::Unknown).unwrap_or(Listed::Unknown)
    }

    /// Name of this hub's edition in force, or of the first peer's; "none" where there is none.
    #[must_use]
    pub fn edition(&self, kind: ListKind) -> &str {
        let first = self.lists.get(&kind).and_then(|all| all.first());
        first.map_or("none", |edition| &edition.name)
    }

    /// Whether an edition is among those in force.
    #[must_use]
    pub fn has(&self, edition: &Edition) -> bool {
        let same = |e: &Arc<Edition>| e.name == edition.name && e.publisher == edition.publisher;
        self.lists.get(&edition.kind).is_some_and(|all| all.iter().any(same))
    }

    /// `hs=…`, `offices@BE=…` … as part `internal` holds them.
    #[must_use]
    pub fn editions(&self) -> Vec<String> {
        let one = |e: &Arc<Edition>| match e.publisher.as_str() {
            "" => format!("{}={}", e.kind.name(), e.name),
            hub => format!("{}@{hub}={}", e.kind.name(), e.name),
        };
        self.lists.values().flatten().map(one).collect()
    }
}
