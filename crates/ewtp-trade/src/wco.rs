//! Which of our elements is which of the WCO Data Model: one table, by which refusals name WCO paths, `docs/data-model.md` is made,
//! and WCO documents are read and written.

mod rows;

use std::sync::LazyLock;

/// How an element is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it is.
    Text,
    /// A count.
    Count,
    /// Amount and attribute `currencyID`.
    Money,
    /// Value and attribute `unitCode`.
    Quantity,
    /// Kilograms; an attribute `unitCode` says KGM or is absent.
    Kilograms,
    /// RFC 3339 here, CCYYMMDDHHMMSS and offset there (format 304).
    Instant,
    /// The first two characters of ours.
    Head,
    /// What follows on them.
    Tail,
    /// `FILING_FUNCTION_ORIGINAL` is 9, `FILING_FUNCTION_AMENDMENT` is 13.
    Function,
}

/// In which filings the row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In all.
    Always,
    /// In import filings.
    Import,
    /// In all but import filings.
    NotImport,
}

/// A step of a WCO path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An element that is there once.
    One(String),
    /// Each of several: one index of our path.
    Each(String),
    /// The first of several; with a guard, only if a leaf of it has a value: `Classification[0 IdentificationTypeCode=TSP]`.
    First(String, Option<(String, String)>),
    /// Those behind the first: one index of our path. Where the first has a guard that doesn't hold, all: `Classification[+ …=TSP]`.
    Rest(String, Option<(String, String)>),
}

impl Step {
    /// Name of the element.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::One(name) | Self::Each(name) | Self::First(name, _) | Self::Rest(name, _) => name,
        }
    }
}

/// A row: an element of ours and where it stands there.
#[derive(Clone, Debug)]
pub struct Row {
    /// Our path; `[]` stands for each of a list.
    pub ours: String,
    /// Steps below `Declaration`, or of the envelope.
    pub steps: Vec<Step>,
    /// It stands in the envelope, beside `Declaration`.
    pub envelope: bool,
    /// How it is written.
    pub how: How,
    /// Where it holds.
    pub when: When,
}

impl Row {
    /// The WCO path without places.
    #[must_use]
    pub fn wco(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(Step::name).collect();
        names.join("/")
    }
}

/// The table.
pub static ROWS: LazyLock<Vec<Row>> = LazyLock::new(rows::all);

/// WCO path of one of our paths, without places. The path of a message is that of the element that holds all of it, if one does.
#[must_use]
pub fn wco_path(path: &str) -> Option<String> {
    let pattern = match without_places(path) {
        // What a filing is for follows from it, both ways.
        kind if kind == "core.type" => "core.declaration_type".to_owned(),
        pattern => pattern,
    };
    let (pattern, currency) = match pattern.strip_suffix(".currency") {
        Some(money) => (money, "@currencyID"),
        None => (pattern.strip_suffix(".amount").unwrap_or(&pattern), ""),
    };
    let quantity = pattern.strip_suffix(".value").or_else(|| pattern.strip_suffix(".unit"));
    let exact = |p: &str| ROWS.iter().find(|r| r.ours == p);
    let row = exact(pattern).or_else(|| exact(quantity?).filter(|r| r.how == How::Quantity));
    if let Some(row) = row {
        return Some(format!("{}{currency}", row.wco()));
    }
    let below =
        |r: &&Row| r.ours.strip_prefix(pattern).is_some_and(|rest| rest.starts_with(['.', '[']));
    let mut inside = ROWS.iter().filter(below).map(|r| r.steps.as_slice());
    let mut common: Vec<&str> = inside.next()?.iter().map(Step::name).collect();
    common.pop();
    for steps in inside {
        let same = common.iter().zip(steps).take_while(|(a, b)| **a == b.name()).count();
        common.truncate(same);
    }
    (!common.is_empty()).then(|| common.join("/"))
}

/// `core.items[3].origin` as `core.items[].origin`.
fn without_places(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut place = false;
    for c in path.chars() {
        match c {
            '[' => {
                place = true;
                out.push_str("[]");
            }
            ']' => place = false,
            _ if place => {}
            c => out.push(c),
        }
    }
    out
}
