//! A filing as a row again, and what a row doesn't hold of it.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_proto::v1;
use serde_json::Value;

use super::{Element, Mapping, Source};
use crate::tree;

impl Mapping {
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

    /// Elements in the order in which cells are filled: own columns, those behind another's cell, copies.
    fn by_dependence(&self) -> Vec<&Element> {
        let mut all: Vec<&Element> = self.elements.iter().collect();
        all.sort_by_key(|e| (matches!(e.source, Source::Copy(_)), e.prefix_column.is_some()));
        all
    }

    /// Makes a row of one filing, its cells in the order of [`Mapping::columns`], and lists the elements that the table doesn't hold
    /// as they are.
    #[must_use]
    pub fn row(&self, filing: &v1::Filing) -> (Vec<String>, Vec<String>) {
        // Messages of texts, numbers and lists: writing them as JSON can't fail.
        let json = serde_json::to_value(filing).unwrap_or_default();
        let mut cells: BTreeMap<&String, String> = BTreeMap::new();
        let mut held = BTreeSet::new();
        for element in self.by_dependence() {
            let value = tree::get(&json, &element.steps);
            let value = value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            let value = value.unwrap_or_default();
            let holds = match &element.source {
                Source::Constant(constant) => element.is_constant(&value, constant),
                Source::Expression(_) => false,
                Source::Column(column) | Source::Copy(column) => {
                    let before = element.prefix_column.as_ref().and_then(|c| cells.get(c));
                    let cell = element.cell(&value, before.map_or("", String::as_str));
                    // The first to fill a cell has it; others are held if it gives them again.
                    cell.is_some_and(|c| *cells.entry(column).or_insert_with(|| c.clone()) == c)
                }
            };
            if holds {
                held.insert(element.path.clone());
            }
        }
        let cell = |column: &String| cells.get(column).cloned().unwrap_or_default();
        let row = self.columns().iter().map(cell).collect();
        let lost = tree::leaves(&json)
            .into_iter()
            .filter(|(path, _)| !held.contains(path) && !path.starts_with("core.synthesised["));
        (row, lost.map(|(path, _)| tree::list(&path)).collect())
    }
}

impl Element {
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
            None => self.form.write(raw),
            Some(lookup) => {
                let mut keys = lookup.iter().filter(|(_, v)| *v == raw).map(|(k, _)| k);
                let key = keys.next()?;
                // Two keys for one value: which one it was is lost.
                keys.next().is_none().then(|| key.clone())
            }
        }
    }
}
