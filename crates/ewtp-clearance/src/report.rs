//! Reports over filings that a hub assessed: what recognition did, and whether all are treated alike. Counts and whole milliseconds; shares
//! in parts of a thousand, rounded down.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A fact that a decision relied upon, as far as reports tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relied {
    /// Hub that had established it.
    pub hub: String,
    /// Number of the arrangement's document.
    pub document: u64,
    /// Kind of fact.
    pub kind: String,
}

/// What an inspection found of a fact or of the goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Hub that had established the fact; empty for goods, and for facts that nothing relied upon.
    pub hub: String,
    /// Number of the arrangement's document; 0 if none.
    pub document: u64,
    /// Not as declared, or false.
    pub is_false: bool,
}

/// What reports take of one filing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Hub at which it was filed.
    pub filed_at: String,
    /// Country of export.
    pub origin: String,
    /// Size of the filer: "micro", "small", "medium", "large", or "not known".
    pub size: String,
    /// Role of the account that filed it; "not known" where its hub doesn't say.
    pub channel: String,
    /// HS chapters of its goods.
    pub chapters: BTreeSet<String>,
    /// From when it was first known here until every effect was decided; `None` while one isn't.
    pub decided_after_ms: Option<u64>,
    /// A decision that counts orders a control.
    pub controlled: bool,
    /// One of these was chosen by the random draw.
    pub by_draw: bool,
    /// A decision that counts refuses it, or forbids its loading.
    pub refused: bool,
    /// An arrangement with the hub at which it was filed was in force.
    pub governed: bool,
    /// Foreign facts that decisions that count relied upon.
    pub relied: BTreeSet<Relied>,
    /// Without them a control would have been ordered, and none was.
    pub waived: bool,
    /// What inspections found.
    pub found: Vec<Found>,
}

impl Figures {
    fn found_false(&self) -> bool {
        self.found.iter().any(|f| f.is_false)
    }
}

/// Times to decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Filings that are decided.
    pub decided: u64,
    /// Half of them took at most so long, milliseconds.
    pub median_ms: u64,
    /// Nine in ten took at most so long, milliseconds.
    pub p90_ms: u64,
}

impl Times {
    fn of(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        let at = |tenths: usize| match all.len() {
            0 => 0,
            n => all[(n * tenths).div_ceil(10).saturating_sub(1)],
        };
        Self { decided: all.len() as u64, median_ms: at(5), p90_ms: at(9) }
    }
}

fn permille(part: u64, whole: u64) -> u64 {
    part.saturating_mul(1000).checked_div(whole).unwrap_or_default()
}

/// What recognition did, by arrangement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecognitionReport {
    /// Filings that were looked at.
    pub filings: u64,
    /// By hub and document.
    pub arrangements: Vec<ArrangementFigures>,
    /// Controls by random draw, whatever the origin.
    pub random: RandomControls,
}

/// What one document did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrangementFigures {
    /// The other hub.
    pub hub: String,
    /// Number of the document.
    pub document: u64,
    /// Filings whose decisions relied upon facts under it.
    pub cases: u64,
    /// The same by kind of fact; a filing may rely upon several.
    pub cases_by_kind: BTreeMap<String, u64>,
    /// Of these, where a control would have been ordered without, and none was.
    pub checks_waived: u64,
    /// Of these, where a control was ordered all the same.
    pub controlled: u64,
    /// Control rate, parts of a thousand.
    pub control_rate_permille: u64,
    /// Facts under it that an inspection looked at.
    pub facts_checked: u64,
    /// Of these found false: recognised, and wrong.
    pub disagreements: u64,
    /// Times to decision of these filings.
    pub with_recognition: Times,
    /// Of the filings of that hub's traders whose decisions relied upon nothing.
    pub without_recognition: Times,
    /// Filings of goods of the same HS chapters from hubs without an arrangement in force.
    pub comparable: Comparable,
}

/// Filings of comparable goods without an arrangement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparable {
    /// Filings.
    pub filings: u64,
    /// Of these controlled.
    pub controlled: u64,
    /// Control rate, parts of a thousand.
    pub control_rate_permille: u64,
    /// Controlled ones in which an inspection found something false.
    pub found_false: u64,
}

/// Controls by random draw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomControls {
    /// Filings that the draw chose.
    pub controlled: u64,
    /// Of these inspected, with a result on record.
    pub with_result: u64,
    /// Of these found false.
    pub found_false: u64,
}

/// The recognition report over filings.
#[must_use]
pub fn recognition(all: &[Figures]) -> RecognitionReport {
    let named = all.iter().flat_map(|f| &f.relied).map(|r| (r.hub.clone(), r.document));
    // What was found false stays in the account, though nothing relies upon it any more.
    let found = all.iter().flat_map(|f| &f.found).filter(|f| f.document != 0);
    let found = found.map(|f| (f.hub.clone(), f.document));
    let documents: BTreeSet<(String, u64)> = named.chain(found).collect();
    let drawn: Vec<&Figures> = all.iter().filter(|f| f.by_draw).collect();
    let count =
        |all: &[&Figures], is: fn(&Figures) -> bool| all.iter().filter(|f| is(f)).count() as u64;
    RecognitionReport {
        filings: all.len() as u64,
        arrangements: documents.into_iter().map(|(hub, n)| of_document(all, &hub, n)).collect(),
        random: RandomControls {
            controlled: drawn.len() as u64,
            with_result: count(&drawn, |f| !f.found.is_empty()),
            found_false: count(&drawn, Figures::found_false),
        },
    }
}

fn of_document(all: &[Figures], hub: &str, document: u64) -> ArrangementFigures {
    let under = |r: &&Relied| r.hub == hub && r.document == document;
    let cases: Vec<&Figures> = all.iter().filter(|f| f.relied.iter().any(|r| under(&r))).collect();
    let mut cases_by_kind = BTreeMap::new();
    for case in &cases {
        let kinds: BTreeSet<&str> =
            case.relied.iter().filter(under).map(|r| r.kind.as_str()).collect();
        for kind in kinds {
            *cases_by_kind.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    let chapters: BTreeSet<&String> = cases.iter().flat_map(|c| &c.chapters).collect();
    let alike = |f: &&Figures| !f.governed && f.chapters.iter().any(|c| chapters.contains(c));
    let comparable: Vec<&Figures> = all.iter().filter(alike).collect();
    let controlled = comparable.iter().filter(|f| f.controlled).count() as u64;
    let found = comparable.iter().filter(|f| f.controlled && f.found_false()).count() as u64;
    let checked: Vec<&Found> = all
        .iter()
        .flat_map(|f| &f.found)
        .filter(|f| f.hub == hub && f.document == document)
        .collect();
    let theirs = all.iter().filter(|f| f.filed_at == hub && f.relied.is_empty());
    let still = cases.iter().filter(|f| f.controlled).count() as u64;
    ArrangementFigures {
        hub: hub.to_owned(),
        document,
        cases: cases.len() as u64,
        cases_by_kind,
        checks_waived: cases.iter().filter(|f| f.waived).count() as u64,
        controlled: still,
        control_rate_permille: permille(still, cases.len() as u64),
        facts_checked: checked.len() as u64,
        disagreements: checked.iter().filter(|f| f.is_false).count() as u64,
        with_recognition: Times::of(cases.iter().filter_map(|f| f.decided_after_ms).collect()),
        without_recognition: Times::of(theirs.filter_map(|f| f.decided_after_ms).collect()),
        comparable: Comparable {
            filings: comparable.len() as u64,
            controlled,
            control_rate_permille: permille(controlled, comparable.len() as u64),
            found_false: found,
        },
    }
}

/// Fewest filings that a cell of the fairness report shows: fewer could tell one trader's from another's.
pub const CELL_MIN: usize = 10;

/// Whether all are treated alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairnessReport {
    /// Filings that were looked at.
    pub filings: u64,
    /// Cells of fewer filings are not shown, nor the smallest others as long as what is hidden adds up to fewer, or is one cell alone.
    pub cell_min: u64,
    /// By size of the filer.
    pub by_size: Vec<FairnessCell>,
    /// By country of export.
    pub by_origin: Vec<FairnessCell>,
    /// By role of the account.
    pub by_channel: Vec<FairnessCell>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairnessCell {
    /// What it is about.
    pub name: String,
    /// Figures; absent where they would be of too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Treatment>,
}

/// How filings were treated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Filings.
    pub filings: u64,
    /// Times to decision.
    pub times: Times,
    /// Controlled, parts of a thousand.
    pub control_rate_permille: u64,
    /// Refused, or not to be loaded, parts of a thousand.
    pub refusal_rate_permille: u64,
}

/// The fairness report over filings.
#[must_use]
pub fn fairness(all: &[Figures]) -> FairnessReport {
    FairnessReport {
        filings: all.len() as u64,
        cell_min: CELL_MIN as u64,
        by_size: cells(all, |f| &f.size),
        by_origin: cells(all, |f| &f.origin),
        by_channel: cells(all, |f| &f.channel),
    }
}

fn cells(all: &[Figures], name: fn(&Figures) -> &String) -> Vec<FairnessCell> {
    let mut groups: BTreeMap<&String, Vec<&Figures>> = BTreeMap::new();
    for figures in all {
        groups.entry(name(figures)).or_default().push(figures);
    }
    let mut hidden: BTreeSet<&String> =
        groups.iter().filter(|(_, g)| g.len() < CELL_MIN).map(|(name, _)| *name).collect();
    // What is hidden can be worked out together, as the rest of the total: that has to be of many too.
    while !hidden.is_empty() {
        let sum: usize =
            groups.iter().filter(|(n, _)| hidden.contains(*n)).map(|(_, g)| g.len()).sum();
        let others = groups.iter().filter(|(name, _)| !hidden.contains(*name));
        let smallest = others.min_by_key(|(_, g)| g.len()).map(|(name, _)| *name);
        let Some(smallest) = smallest.filter(|_| sum < CELL_MIN || hidden.len() == 1) else {
            break;
        };
        hidden.insert(smallest);
    }
    let cell = |(name, group): (&&String, &Vec<&Figures>)| FairnessCell {
        name: (*name).clone(),
        shown: (!hidden.contains(name)).then(|| treatment(group)),
    };
    groups.iter().map(cell).collect()
}

fn treatment(group: &[&Figures]) -> Treatment {
    let filings = group.len() as u64;
    let controlled = group.iter().filter(|f| f.controlled).count() as u64;
    let refused = group.iter().filter(|f| f.refused).count() as u64;
    Treatment {
        filings,
        times: Times::of(group.iter().filter_map(|f| f.decided_after_ms).collect()),
        control_rate_permille: permille(controlled, filings),
        refusal_rate_permille: permille(refused, filings),
    }
}
