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
                Source::Constant(_) | Source::Copy(_) | Source::Expression(_) => {}
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
