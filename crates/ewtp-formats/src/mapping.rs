//! Mappings: how the columns of a table become the elements of filings.
//!
//! Whatever a mapping fills from a constant, a lookup or another element's column is marked *synthesised* in every filing:
//! what is mandatory is not weakened, and nobody takes a filler for a declaration.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use serde::Deserialize;
use serde_json::Value;

use crate::tree::{self, Step};

/// Why a mapping was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not TOML of a mapping.
    #[error("mapping: {0}")]
    Syntax(String),
    /// An element has no source, or two.
    #[error("mapping: {path}: give exactly one of column, copy, constant")]
    Source {
        /// Element.
        path: String,
    },
    /// A path can't be an element.
    #[error("mapping: {0} is no path such as core.items[0].origin")]
    Path(String),
}

/// Why a row was rejected before it was filed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The row has another number of columns than the header.
    #[error("the row has {got} columns, the header {expected}")]
    Length {
        /// Columns of the row.
        got: usize,
        /// Columns of the header.
        expected: usize,
    },
    /// A value isn't in the lookup.
    #[error("{path}: {value:?} is not in the lookup; allowed: {allowed}")]
    Lookup {
        /// Element.
        path: String,
        /// Value seen.
        value: String,
        /// Keys of the lookup.
        allowed: String,
    },
    /// The elements don't make a filing.
    #[error("the elements don't make a filing: {0}")]
    Filing(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[serde(default)]
    element: BTreeMap<String, RawElement>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct RawElement {
    column: Option<String>,
    copy: Option<String>,
    constant: Option<toml::Value>,
    lookup: Option<BTreeMap<String, String>>,
    prefix: Option<String>,
    prefix_column: Option<String>,
    default: Option<String>,
}

enum Source {
    /// The element's own column.
    Column(String),
    /// Another element's column.
    Copy(String),
    /// The same in every row.
    Constant(Value),
}

struct Element {
    path: String,
    steps: Vec<Step>,
    source: Source,
    lookup: Option<BTreeMap<String, String>>,
    prefix: String,
    prefix_column: Option<String>,
    default: Option<String>,
}

/// A checked mapping.
pub struct Mapping {
    /// Name.
    pub name: String,
    elements: Vec<Element>,
}

impl Mapping {
    /// Parses TOML.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let raw: Raw = toml::from_str(text).map_err(|e| MappingError::Syntax(e.to_string()))?;
        let elements =
            raw.element.into_iter().map(|(path, e)| element(path, e)).collect::<Result<_, _>>()?;
        Ok(Self { name: raw.name, elements })
    }

    /// Columns that the mapping needs and the table lacks.
    #[must_use]
    pub fn missing_columns(&self, columns: &BTreeMap<String, usize>) -> Vec<String> {
        let mut missing: Vec<String> = self
            .elements
            .iter()
            .flat_map(Element::needs)
            .filter(|c| !columns.contains_key(*c))
            .cloned()
            .collect();
        missing.sort();
        missing.dedup();
        missing
    }

    /// Columns of a table that the mapping doesn't read.
    #[must_use]
    pub fn unused_columns(&self, columns: &BTreeMap<String, usize>) -> Vec<String> {
        let read: BTreeSet<&String> = self.elements.iter().flat_map(Element::needs).collect();
        columns.keys().filter(|c| !read.contains(c)).cloned().collect()
    }

    /// Columns that the mapping reads, in the order of their first element.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for column in self.elements.iter().flat_map(Element::needs) {
            if !out.contains(column) {
                out.push(column.clone());
            }
        }
        out
    }

    /// Makes a row of one filing, its cells in the order of [`Mapping::columns`], and lists the elements that the table doesn't hold
    /// as they are.
    #[must_use]
    pub fn row(&self, filing: &v1::Filing) -> (Vec<String>, Vec<String>) {
        // Messages of texts, numbers and lists: writing them as JSON can't fail.
        let json = serde_json::to_value(filing).unwrap_or_default();
        let mut cells: BTreeMap<&String, String> = BTreeMap::new();
        let mut held = BTreeSet::new();
        let mut prefixed = Vec::new();
        for element in &self.elements {
            let value = tree::get(&json, &element.steps);
            let value = value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            let value = value.unwrap_or_default();
            match &element.source {
                Source::Constant(constant) if element.is_constant(&value, constant) => {
                    held.insert(element.path.clone());
                }
                Source::Column(column) if element.prefix_column.is_some() => {
                    prefixed.push((element, column, value));
                }
                Source::Column(column) => {
                    let Some(cell) = element.cell(&value, "") else { continue };
                    if cells.get(column).is_some_and(|other| *other != cell) {
                        continue;
                    }
                    cells.insert(column, cell);
                    held.insert(element.path.clone());
                }
                Source::Constant(_) | Source::Copy(_) => {}
            }
        }
        for (element, column, value) in prefixed {
            let before = element.prefix_column.as_ref().and_then(|c| cells.get(c));
            let Some(cell) = element.cell(&value, before.map_or("", String::as_str)) else {
                continue;
            };
            cells.insert(column, cell);
            held.insert(element.path.clone());
        }
        // A copy fills a cell that nothing else fills, and is held if the cell gives it again.
        for element in self.elements.iter().filter(|e| matches!(e.source, Source::Copy(_))) {
            let Source::Copy(column) = &element.source else { continue };
            let value = tree::get(&json, &element.steps).and_then(serde_json::Value::as_str);
            let before = element.prefix_column.as_ref().and_then(|c| cells.get(c));
            let cell = element.cell(value.unwrap_or_default(), before.map_or("", String::as_str));
            let Some(cell) = cell else { continue };
            if *cells.entry(column).or_insert_with(|| cell.clone()) == cell {
                held.insert(element.path.clone());
            }
        }
        let cell = |column: &String| cells.get(column).cloned().unwrap_or_default();
        let row = self.columns().iter().map(cell).collect();
        let nothing = |v: &Value| v == "" || v == &Value::from(0) || v == &Value::Bool(false);
        let lost = tree::leaves(&json).into_iter().filter(|(path, value)| {
            !nothing(value) && !held.contains(path) && !path.starts_with("core.synthesised[")
        });
        (row, lost.map(|(path, _)| tree::list(&path)).collect())
    }

    /// Makes a filing of one row. A column that the table lacks counts as empty: ask [`Mapping::missing_columns`] first.
    ///
    /// # Errors
    /// [`RowError`].
    pub fn filing(
        &self,
        columns: &BTreeMap<String, usize>,
        row: &csv::StringRecord,
    ) -> Result<v1::Filing, RowError> {
        if row.len() != columns.len() {
            return Err(RowError::Length { got: row.len(), expected: columns.len() });
        }
        let mut tree = Value::Object(serde_json::Map::new());
        let mut synthesised = Vec::new();
        for element in &self.elements {
            let (value, made_up) = element.value(columns, row)?;
            if value == Value::String(String::new()) {
                continue;
            }
            if made_up {
                synthesised.push(element.path.clone());
            }
            tree::put(&mut tree, &element.steps, value);
        }
        let mut filing: v1::Filing =
            serde_json::from_value(tree).map_err(|e| RowError::Filing(e.to_string()))?;
        if let Some(core) = &mut filing.core {
            core.synthesised = synthesised;
        }
        Ok(filing)
    }
}

fn element(path: String, raw: RawElement) -> Result<Element, MappingError> {
    let source = match (raw.column, raw.copy, raw.constant) {
        (Some(column), None, None) => Source::Column(column),
        (None, Some(column), None) => Source::Copy(column),
        (None, None, Some(constant)) => Source::Constant(
            serde_json::to_value(constant).map_err(|e| MappingError::Syntax(e.to_string()))?,
        ),
        _ => return Err(MappingError::Source { path }),
    };
    let steps = tree::steps(&path).filter(|s| !s.contains(&Step::Each));
    let steps = steps.ok_or_else(|| MappingError::Path(path.clone()))?;
    let prefix = raw.prefix.unwrap_or_default();
    Ok(Element {
        path,
        steps,
        source,
        lookup: raw.lookup,
        prefix,
        prefix_column: raw.prefix_column,
        default: raw.default,
    })
}

impl Element {
    fn needs(&self) -> impl Iterator<Item = &String> {
        let own = match &self.source {
            Source::Column(column) | Source::Copy(column) => Some(column),
            Source::Constant(_) => None,
        };
        own.into_iter().chain(&self.prefix_column)
    }

    /// Whether a value is the constant that every row gives.
    fn is_constant(&self, value: &str, constant: &Value) -> bool {
        constant.as_str().map_or_else(|| constant.to_string(), str::to_owned) == value
    }

    /// The cell that gives this value, behind what the prefix column holds; `None` if none does.
    fn cell(&self, value: &str, before: &str) -> Option<String> {
        if value.is_empty() || self.default.as_deref() == Some(value) {
            return Some(String::new());
        }
        let raw = value.strip_prefix(before)?.strip_prefix(self.prefix.as_str())?;
        match &self.lookup {
            None => Some(raw.to_owned()),
            Some(lookup) => {
                let mut keys = lookup.iter().filter(|(_, v)| *v == raw).map(|(k, _)| k);
                let key = keys.next()?;
                // Two keys for one value: which one it was is lost.
                keys.next().is_none().then(|| key.clone())
            }
        }
    }

    /// The value, and whether it was made up.
    fn value(
        &self,
        columns: &BTreeMap<String, usize>,
        row: &csv::StringRecord,
    ) -> Result<(Value, bool), RowError> {
        let cell = |column: &str| {
            let value = columns.get(column).and_then(|at| row.get(*at)).unwrap_or_default();
            value.trim().to_owned()
        };
        let (raw, made_up) = match &self.source {
            Source::Constant(value) => return Ok((value.clone(), true)),
            Source::Column(column) => (cell(column), false),
            Source::Copy(column) => (cell(column), true),
        };
        let (raw, made_up) = match (&self.lookup, raw.is_empty(), &self.default) {
            (_, true, Some(default)) => return Ok((Value::String(default.clone()), true)),
            (_, true, None) => return Ok((Value::String(String::new()), false)),
            (Some(lookup), false, _) => match lookup.get(&raw) {
                Some(found) => (found.clone(), true),
                None => {
                    let allowed = lookup.keys().cloned().collect::<Vec<_>>().join(", ");
                    return Err(RowError::Lookup { path: self.path.clone(), value: raw, allowed });
                }
            },
            (None, false, _) => (raw, made_up),
        };
        let before = match &self.prefix_column {
            Some(column) => cell(column),
            None => String::new(),
        };
        let prefixed = !self.prefix.is_empty() || !before.is_empty();
        Ok((Value::String(format!("{before}{}{raw}", self.prefix)), made_up || prefixed))
    }
}
