//! Mappings: how the columns of a table become the elements of filings.
//!
//! Whatever a mapping fills from a constant, a lookup or another element's column is marked *synthesised* in every filing:
//! what is mandatory is not weakened, and nobody takes a filler for a declaration.

mod expression;
mod reverse;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ewtp_proto::v1;
use ewtp_trade::CodeLists;
use ewtp_trade::lists::{ListKind, Listed};
use serde::Deserialize;
use serde_json::Value;

use expression::Expression;
use value::Form;

use crate::tree::{self, Step};

/// Why a mapping was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not TOML of a mapping.
    #[error("mapping: {0}")]
    Syntax(String),
    /// An element has no source, or two.
    #[error("mapping: {path}: give exactly one of column, copy, constant, expression")]
    Source {
        /// Element.
        path: String,
    },
    /// How a value is written makes no sense.
    #[error("mapping: {path}: {problem}")]
    Form {
        /// Element.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// An expression can't be read.
    #[error("mapping: {path}: expression: {problem}")]
    Expression {
        /// Element.
        path: String,
        /// What is wrong.
        problem: String,
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
    /// A value isn't what the element holds.
    #[error("{path}: {value:?} in column {column}; allowed: {allowed}")]
    Value {
        /// Element.
        path: String,
        /// Column that it stands in; empty for an expression.
        column: String,
        /// Value seen.
        value: String,
        /// What is allowed.
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
    table: RawTable,
    #[serde(default)]
    element: BTreeMap<String, RawElement>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawTable {
    delimiter: Option<String>,
    encoding: Option<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct RawElement {
    column: Option<String>,
    copy: Option<String>,
    constant: Option<toml::Value>,
    expression: Option<String>,
    decimal: Option<value::RawDecimal>,
    date: Option<String>,
    list: Option<String>,
    #[serde(default)]
    empty: Vec<String>,
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
    /// Computed from the row.
    Expression(Expression),
}

struct Element {
    path: String,
    steps: Vec<Step>,
    source: Source,
    form: Form,
    list: Option<ListKind>,
    /// Cells that say nothing.
    empty: Vec<String>,
    lookup: Option<BTreeMap<String, String>>,
    prefix: String,
    prefix_column: Option<String>,
    default: Option<String>,
}

/// A checked mapping.
pub struct Mapping {
    /// Name.
    pub name: String,
    /// Between the cells of the table.
    pub delimiter: u8,
    /// How the table is encoded, by its WHATWG label; what its byte order mark says, else UTF-8, if absent.
    pub encoding: Option<String>,
    elements: Vec<Element>,
}

/// Lists that come with the program: a table's codes are checked by the hub again, by the edition of its time.
static LISTS: LazyLock<CodeLists> = LazyLock::new(CodeLists::default);

impl Mapping {
    /// Parses TOML.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let raw: Raw = toml::from_str(text).map_err(|e| MappingError::Syntax(e.to_string()))?;
        let elements =
            raw.element.into_iter().map(|(path, e)| element(path, e)).collect::<Result<_, _>>()?;
        let delimiter = match raw.table.delimiter.as_deref() {
            None | Some("comma") => b',',
            Some("tab") => b'\t',
            Some("semicolon") => b';',
            Some(other) => match other.as_bytes() {
                [one] => *one,
                _ => {
                    let problem = format!(
                        "delimiter {other:?} is not comma, tab, semicolon or one character"
                    );
                    return Err(MappingError::Syntax(problem));
                }
            },
        };
        Ok(Self { name: raw.name, delimiter, encoding: raw.table.encoding, elements })
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

    /// Makes a filing of one row. A column that the table lacks counts as empty: ask [`Mapping::missing_columns`] first.
    ///
    /// # Errors
    /// Every [`RowError`] of the row.
    pub fn filing(
        &self,
        columns: &BTreeMap<String, usize>,
        row: &csv::StringRecord,
    ) -> Result<v1::Filing, Vec<RowError>> {
        if row.len() != columns.len() {
            return Err(vec![RowError::Length { got: row.len(), expected: columns.len() }]);
        }
        let mut errors = Vec::new();
        let mut tree = Value::Object(serde_json::Map::new());
        let mut synthesised = Vec::new();
        for element in &self.elements {
            let (value, made_up) = match element.value(columns, row) {
                Ok(found) => found,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            if value == Value::String(String::new()) {
                continue;
            }
            if made_up {
                synthesised.push(element.path.clone());
            }
            tree::put(&mut tree, &element.steps, value);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut filing: v1::Filing =
            serde_json::from_value(tree).map_err(|e| vec![RowError::Filing(e.to_string())])?;
        if let Some(core) = &mut filing.core {
            core.synthesised = synthesised;
        }
        Ok(filing)
    }
}

fn element(path: String, raw: RawElement) -> Result<Element, MappingError> {
    let source = match (raw.column, raw.copy, raw.constant, raw.expression) {
        (Some(column), None, None, None) => Source::Column(column),
        (None, Some(column), None, None) => Source::Copy(column),
        (None, None, Some(constant), None) => Source::Constant(
            serde_json::to_value(constant).map_err(|e| MappingError::Syntax(e.to_string()))?,
        ),
        (None, None, None, Some(text)) => {
            let bad = |problem| MappingError::Expression { path: path.clone(), problem };
            Source::Expression(Expression::parse(&text).map_err(bad)?)
        }
        _ => return Err(MappingError::Source { path }),
    };
    let steps = tree::steps(&path).filter(|s| !s.contains(&Step::Each));
    let steps = steps.ok_or_else(|| MappingError::Path(path.clone()))?;
    if let Some(problem) = unknown(&steps) {
        return Err(MappingError::Form { path, problem });
    }
    let bad = |problem| MappingError::Form { path: path.clone(), problem };
    let form = Form::parse(raw.decimal, raw.date).map_err(bad)?;
    let list = match &raw.list {
        None => None,
        Some(name) => {
            let names: Vec<&str> = ListKind::ALL.iter().map(|k| k.name()).collect();
            let problem = || bad(format!("list {name:?} is none of {}", names.join(", ")));
            Some(ListKind::by_name(name).ok_or_else(problem)?)
        }
    };
    Ok(Element {
        steps,
        source,
        form,
        list,
        empty: raw.empty,
        lookup: raw.lookup,
        prefix: raw.prefix.unwrap_or_default(),
        prefix_column: raw.prefix_column,
        default: raw.default,
        path,
    })
}

/// Why no filing has an element at this path: told once for the mapping, not once for every row.
fn unknown(steps: &[Step]) -> Option<String> {
    let mut tree = Value::Object(serde_json::Map::new());
    // The first of a list stands for any: what is in front of a later one would be refused before it.
    let first = |s: &Step| if matches!(s, Step::Index(_)) { Step::Index(0) } else { s.clone() };
    tree::put(&mut tree, &steps.iter().map(first).collect::<Vec<_>>(), Value::Null);
    // Whether nothing may stand there is the row's matter.
    let refused = serde_json::from_value::<v1::Filing>(tree).err()?.to_string();
    refused.starts_with("unknown field").then(|| format!("filings have no such element: {refused}"))
}

impl Element {
    fn needs(&self) -> impl Iterator<Item = &String> {
        let (own, read) = match &self.source {
            Source::Column(column) | Source::Copy(column) => (Some(column), None),
            Source::Constant(_) => (None, None),
            Source::Expression(expression) => (None, Some(expression.columns())),
        };
        own.into_iter().chain(read.into_iter().flatten()).chain(&self.prefix_column)
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
        let text = |text: String| Value::String(text);
        let (raw, column, made_up) = match &self.source {
            Source::Constant(value) => return Ok((value.clone(), true)),
            Source::Column(column) => (cell(column), column.as_str(), false),
            Source::Copy(column) => (cell(column), column.as_str(), true),
            Source::Expression(expression) => {
                let computed = expression.evaluate(columns.keys().map(String::as_str), cell);
                let wrong = |problem: String| {
                    self.wrong("", &problem, "an expression that holds for every row")
                };
                (computed.map_err(wrong)?, "", true)
            }
        };
        let nothing = raw.is_empty() || self.empty.contains(&raw);
        let (raw, made_up) = match (&self.lookup, nothing, &self.default) {
            (_, true, Some(default)) => return Ok((text(default.clone()), true)),
            (_, true, None) => return Ok((text(String::new()), false)),
            (Some(lookup), false, _) => match lookup.get(&raw) {
                Some(found) => (found.clone(), true),
                None => {
                    let allowed = lookup.keys().cloned().collect::<Vec<_>>().join(", ");
                    return Err(RowError::Lookup { path: self.path.clone(), value: raw, allowed });
                }
            },
            (None, false, _) => (raw, made_up),
        };
        let value = self.form.read(&raw).map_err(|allowed| self.wrong(column, &raw, &allowed))?;
        if let Some(kind) = self.list
            && !matches!(
                LISTS.listed(kind, &value),
                Listed::Yes | Listed::Ended(_) | Listed::Unknown
            )
        {
            let allowed = format!("a code of {} {}", kind.name(), LISTS.edition(kind));
            return Err(self.wrong(column, &value, &allowed));
        }
        let before = match &self.prefix_column {
            Some(column) => cell(column),
            None => String::new(),
        };
        let prefixed = !self.prefix.is_empty() || !before.is_empty();
        Ok((text(format!("{before}{}{value}", self.prefix)), made_up || prefixed))
    }

    fn wrong(&self, column: &str, value: &str, allowed: &str) -> RowError {
        RowError::Value {
            path: self.path.clone(),
            column: column.to_owned(),
            value: value.to_owned(),
            allowed: allowed.to_owned(),
        }
    }
}
