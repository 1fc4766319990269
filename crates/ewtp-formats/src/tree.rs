//! Paths such as `core.items[0].origin` in JSON trees of filings.

use std::collections::BTreeMap;

use ewtp_proto::v1;
use serde_json::{Map, Value};
use smallvec::SmallVec;

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Field of an object.
    Field(String),
    /// Place in a list.
    Index(usize),
    /// Every place in a list.
    Each,
}

/// Places in the lists that a path leads through.
pub(crate) type Indexes = SmallVec<[usize; 4]>;

/// Highest index of a list in a filing.
const INDEX_MAX: usize = 998;

/// Reads a path; `None` if it is none.
pub(crate) fn steps(path: &str) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    for piece in path.split('.') {
        let (field, index) = match piece.split_once('[') {
            Some((field, rest)) => (field, Some(rest.strip_suffix(']')?)),
            None => (piece, None),
        };
        if field.is_empty() {
            return None;
        }
        out.push(Step::Field(field.to_owned()));
        out.extend(match index {
            None => None,
            Some("") => Some(Step::Each),
            Some(index) => Some(Step::Index(index.parse().ok().filter(|i| *i <= INDEX_MAX)?)),
        });
    }
    Some(out)
}

/// The path as text.
pub(crate) fn path(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => out.extend([".", name]),
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::Each => out.push_str("[]"),
        }
    }
    out
}

/// The path at these indexes.
pub(crate) fn at(steps: &[Step], indexes: &[usize]) -> Vec<Step> {
    let mut indexes = indexes.iter();
    let one = |step: &Step| match step {
        Step::Each => Step::Index(indexes.next().copied().unwrap_or_default()),
        other => other.clone(),
    };
    steps.iter().map(one).collect()
}

/// What stands at a path.
pub(crate) fn get<'a>(tree: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(tree, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
        Step::Each => None,
    })
}

/// Things by paths, all of which are found by going over a filing once.
pub(crate) struct Tree<T> {
    here: Vec<T>,
    fields: BTreeMap<String, Self>,
    each: Option<Box<Self>>,
    places: BTreeMap<usize, Self>,
}

impl<T> Tree<T> {
    /// Of paths.
    pub(crate) fn of<'a>(all: impl Iterator<Item = (&'a [Step], T)>) -> Self {
        let mut root = Self::empty();
        for (path, thing) in all {
            let below = path.iter().fold(&mut root, |at, step| match step {
                Step::Field(name) => at.fields.entry(name.clone()).or_insert_with(Self::empty),
                Step::Each => at.each.get_or_insert_with(|| Box::new(Self::empty())),
                Step::Index(place) => at.places.entry(*place).or_insert_with(Self::empty),
            });
            below.here.push(thing);
        }
        root
    }

    fn empty() -> Self {
        Self { here: Vec::new(), fields: BTreeMap::new(), each: None, places: BTreeMap::new() }
    }

    /// Tells each of the things that something stands for, with the indexes of its lists.
    pub(crate) fn find<'a>(&self, json: &'a Value, mut tell: impl FnMut(&T, &Indexes, &'a Value)) {
        self.walk(json, &mut Indexes::new(), &mut tell);
    }

    fn walk<'a>(
        &self,
        json: &'a Value,
        indexes: &mut Indexes,
        tell: &mut impl FnMut(&T, &Indexes, &'a Value),
    ) {
        self.here.iter().for_each(|thing| tell(thing, indexes, json));
        for (name, value) in json.as_object().into_iter().flatten() {
            if let Some(below) = self.fields.get(name) {
                below.walk(value, indexes, tell);
            }
        }
        for (place, below) in &self.places {
            if let Some(value) = json.get(place) {
                below.walk(value, indexes, tell);
            }
        }
        let Some(each) = &self.each else { return };
        for (index, value) in json.as_array().into_iter().flatten().enumerate() {
            indexes.push(index);
            each.walk(value, indexes, tell);
            indexes.pop();
        }
    }
}

/// What stands at the path at these indexes.
pub(crate) fn get_at<'a>(tree: &'a Value, steps: &[Step], indexes: &[usize]) -> Option<&'a Value> {
    let mut indexes = indexes.iter();
    steps.iter().try_fold(tree, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
        Step::Each => value.get(indexes.next()?),
    })
}

/// Puts a value at the path at these indexes.
pub(crate) fn put_at(tree: &mut Value, steps: &[Step], indexes: &[usize], value: Value) {
    match (steps.split_first(), indexes.split_first()) {
        (Some((Step::Each, rest)), Some((index, below))) => {
            if let Some(slot) = slot(tree, *index) {
                put_at(slot, rest, below, value);
            }
        }
        (Some((Step::Index(index), rest)), _) => {
            if let Some(slot) = slot(tree, *index) {
                put_at(slot, rest, indexes, value);
            }
        }
        (Some((Step::Field(field), rest)), _) => {
            if !tree.is_object() {
                *tree = Value::Object(Map::new());
            }
            let Value::Object(map) = tree else { return };
            match map.get_mut(field) {
                Some(slot) => put_at(slot, rest, indexes, value),
                None => {
                    put_at(map.entry(field.clone()).or_insert(Value::Null), rest, indexes, value)
                }
            }
        }
        (Some((Step::Each, _)), None) => {}
        (None, _) => *tree = value,
    }
}

/// A place of a list, which is made as long as that.
fn slot(tree: &mut Value, index: usize) -> Option<&mut Value> {
    if !tree.is_array() {
        *tree = Value::Array(Vec::new());
    }
    let Value::Array(list) = tree else { return None };
    while list.len() <= index {
        list.push(Value::Null);
    }
    list.get_mut(index)
}

/// Puts a value at a path, with the objects and lists that lead there.
pub(crate) fn put(tree: &mut Value, steps: &[Step], value: Value) {
    put_at(tree, steps, &[], value);
}

/// Fills places of lists that nothing was put at: with an empty text among texts, else with an empty object.
pub(crate) fn fill_gaps(tree: &mut Value) {
    match tree {
        Value::Array(list) => {
            let texts = list.iter().any(Value::is_string);
            for one in list {
                match one {
                    Value::Null if texts => *one = Value::String(String::new()),
                    Value::Null => *one = Value::Object(Map::new()),
                    other => fill_gaps(other),
                }
            }
        }
        Value::Object(map) => map.iter_mut().for_each(|(_, value)| fill_gaps(value)),
        _ => {}
    }
}

/// A path without the place in a list of texts at its end: what is told of one of them is told of the list.
pub(crate) fn list(path: &str) -> String {
    let list = path.strip_suffix(']').and_then(|p| p.rsplit_once('['));
    list.map_or(path, |(list, _)| list).to_owned()
}

/// Paths of all values that say something: no objects, no lists, and not what a message has of itself.
pub(crate) fn leaves(tree: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(value: &'a Value, path: &mut Vec<Step>, out: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Null | Value::Bool(false) => {}
            Value::String(text) if text.is_empty() => {}
            Value::Number(number) if number.as_u64() == Some(0) => {}
            Value::Object(map) => {
                for (name, value) in map {
                    path.push(Step::Field(name.clone()));
                    walk(value, path, out);
                    path.pop();
                }
            }
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    path.push(Step::Index(i));
                    walk(value, path, out);
                    path.pop();
                }
            }
            leaf => out.push((self::path(path), leaf)),
        }
    }
    let mut out = Vec::new();
    walk(tree, &mut Vec::new(), &mut out);
    out
}

/// As many items in each part, numbered as in part `core`.
pub(crate) fn with_items(mut json: Value, kind: v1::FilingType) -> Value {
    if kind != v1::FilingType::Unspecified {
        let path = steps("core.type").unwrap_or_default();
        put(&mut json, &path, kind.as_str_name().into());
    }
    let count = ["core", "goods", "value"].iter().map(|p| items(&json, p)).max().unwrap_or(0);
    for i in 0..count {
        let number = json.pointer(&format!("/core/items/{i}/number")).cloned();
        for part in ["core", "goods", "value"] {
            let wanted = part == "core" || items(&json, part) > 0;
            let path = steps(&format!("{part}.items[{i}].number")).unwrap_or_default();
            if wanted {
                put(&mut json, &path, number.clone().unwrap_or(0.into()));
            }
        }
    }
    json
}

fn items(json: &Value, part: &str) -> usize {
    json.pointer(&format!("/{part}/items")).and_then(Value::as_array).map_or(0, Vec::len)
}
