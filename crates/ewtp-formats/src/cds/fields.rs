//! Leaves to named fields and back, by the table of `ewtp_trade::wco`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ewtp_trade::wco::{How, ROWS, Row, Step, When};
use serde_json::{Map, Value, json};

use super::leaves::{Leaves, Place};
use super::schema::{Attribute, NodeId, SCHEMA};
use crate::tree::{self, Indexes, Step as OurStep, Tree};

/// A row with its steps resolved in the schema of declarations.
struct Resolved {
    row: &'static Row,
    /// Which child by the schema, for each step.
    positions: Vec<u8>,
    /// The leaf that they lead to.
    node: NodeId,
    /// Position of the guard's leaf below its step.
    guard: Option<u8>,
    ours: Vec<OurStep>,
}

/// Rows that HMRC's schema has a place for.
static RESOLVED: LazyLock<Vec<Resolved>> =
    LazyLock::new(|| ROWS.iter().filter_map(resolved).collect());

/// Rows by the leaf that their steps lead to.
static BY_LEAF: LazyLock<Vec<Vec<&'static Resolved>>> = LazyLock::new(|| {
    let last = RESOLVED.iter().map(|one| one.node).max().unwrap_or_default();
    let mut out = vec![Vec::new(); last + 1];
    RESOLVED.iter().for_each(|one| out[one.node].push(one));
    out
});

/// Rows by our paths.
static BY_FIELD: LazyLock<Tree<(usize, &'static Resolved)>> = LazyLock::new(|| {
    let rows = RESOLVED.iter().enumerate();
    Tree::of(rows.map(|(number, row)| (row.ours.as_slice(), (number, row))))
});

/// Rows whose first of several has a guard, by the positions that lead to it.
static GUARDED: LazyLock<Vec<(&'static [u8], &'static Resolved)>> = LazyLock::new(|| {
    let guarded = |one: &'static Resolved| {
        let depth = one.steps().position(|s| matches!(s, Some(Step::First(_, Some(_)))))?;
        Some((one.positions.get(..=depth)?, one))
    };
    RESOLVED.iter().filter_map(guarded).collect()
});

pub(crate) fn has_place(row: &Row) -> bool {
    RESOLVED.iter().any(|r| std::ptr::eq(r.row, row))
}

fn resolved(row: &'static Row) -> Option<Resolved> {
    let mut at = SCHEMA.declaration;
    let (mut positions, mut guard) = (Vec::new(), None);
    let mut step = |name: &str, at: &mut NodeId| {
        let (position, id) = SCHEMA.child(*at, name, 0)?;
        *at = id;
        positions.push(position);
        Some(id)
    };
    if !row.envelope {
        step("Declaration", &mut at)?;
    }
    for one in &row.steps {
        let id = step(one.name(), &mut at)?;
        if let Step::First(_, Some((leaf, _))) | Step::Rest(_, Some((leaf, _))) = one {
            guard = Some(SCHEMA.child(id, leaf, 0)?.0);
        }
    }
    let ours = tree::steps(&row.ours)?;
    Some(Resolved { row, positions, node: at, guard, ours })
}

impl Resolved {
    fn holds(&self, import: bool) -> bool {
        match self.row.when {
            When::Always => true,
            When::Import => import,
            When::NotImport => !import,
        }
    }

    /// The row's steps that count, one for each position.
    fn steps(&self) -> impl Iterator<Item = Option<&Step>> {
        let content = (!self.row.envelope).then_some(None);
        content.into_iter().chain(self.row.steps.iter().map(Some))
    }

    /// Indexes of our path for a leaf that stands on the row's steps; `None` if the row isn't about it.
    fn bind(&self, place: &Place, leaves: &Leaves) -> Option<Indexes> {
        let mut out = Indexes::new();
        for (depth, (step, at)) in self.steps().zip(place.steps()).enumerate() {
            let index = at.index();
            let first_holds = || {
                let first = place.up_to(depth).first();
                match (step?, self.guard) {
                    (
                        Step::First(_, Some((_, value))) | Step::Rest(_, Some((_, value))),
                        Some(at),
                    ) => Some(leaves.get(&first.child(at, 0)) == Some(value)),
                    _ => Some(true),
                }
            };
            match step {
                None | Some(Step::One(_)) if index == 0 => {}
                Some(Step::Each(_)) => out.push(index),
                Some(Step::First(..)) if index == 0 && first_holds()? => {}
                Some(Step::Rest(..)) => {
                    out.push(index.checked_sub(usize::from(first_holds()?))?);
                }
                _ => return None,
            }
        }
        Some(out)
    }

    /// The place for the indexes of our path.
    fn place(&self, indexes: &[usize], json: &Value) -> Place {
        let (mut used, mut place) = (0, Place::default());
        let next = |used: &mut usize| {
            *used += 1;
            indexes.get(*used - 1).copied().unwrap_or_default()
        };
        for (depth, (step, position)) in self.steps().zip(&self.positions).enumerate() {
            let index = match step {
                None | Some(Step::One(_) | Step::First(..)) => 0,
                Some(Step::Each(_)) => next(&mut used),
                Some(Step::Rest(_, guard)) => {
                    let above = indexes.get(..used).unwrap_or_default();
                    let taken = guard.is_none() || self.first_is_there(depth, above, json);
                    next(&mut used) + usize::from(taken)
                }
            };
            place = place.child(*position, index);
        }
        place
    }

    /// Whether the field that stands first in the list at this step has a value: the list then begins behind it.
    fn first_is_there(&self, depth: usize, above: &[usize], json: &Value) -> bool {
        let here = self.positions.get(..=depth);
        GUARDED.iter().filter(|(positions, _)| Some(*positions) == here).any(|(_, r)| {
            let value = tree::get_at(json, &r.ours, above);
            value.and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        })
    }
}

/// Which of our elements each leaf became, in the order of places.
pub(crate) struct Named(Vec<(Place, &'static Row)>);

impl Named {
    /// The row of our element that a leaf became.
    pub(crate) fn row(&self, place: &Place) -> Option<&'static Row> {
        let at = self.0.binary_search_by_key(place, |(place, _)| *place).ok()?;
        self.0.get(at).map(|(_, row)| *row)
    }
}

/// Reads leaves into fields, as JSON; those that don't fit are left out.
pub(crate) fn read(leaves: &Leaves, import: bool) -> (Value, Named) {
    let mut json = Value::Object(Map::new());
    let mut named = Vec::with_capacity(leaves.len());
    for (place, text) in leaves.iter().filter(|(p, _)| !p.is_attribute()) {
        let Some((row, indexes)) = row_at(place, leaves, import) else { continue };
        let attribute =
            |name: &str| leaves.get(&place.with(Attribute::of(name)?)).map(String::as_str);
        let before = || tree::get_at(&json, &row.ours, &indexes);
        if let Some(value) = value(row.row.how, text, attribute, before) {
            tree::put_at(&mut json, &row.ours, &indexes, value);
            named.push((*place, row.row));
        }
    }
    (json, Named(named))
}

/// The row that a leaf belongs to, and the indexes of our path.
fn row_at(place: &Place, leaves: &Leaves, import: bool) -> Option<(&'static Resolved, Indexes)> {
    let leaf = place.nodes(SCHEMA.declaration).last()?;
    let mut rows = BY_LEAF.get(leaf)?.iter().filter(|r| r.holds(import));
    rows.find_map(|row| Some((*row, row.bind(place, leaves)?)))
}

/// Whether a carried text may stand where a field gives another: only as a spelling of it.
pub(crate) fn respells(
    place: &Place,
    leaves: &Leaves,
    import: bool,
    carried: &str,
    given: &str,
) -> bool {
    let Some((row, _)) = row_at(place, leaves, import) else { return true };
    let head = json!("00");
    let read = |text: &str| value(row.row.how, text, |_| None, || Some(&head));
    !place.is_attribute() && read(carried).is_some() && read(carried) == read(given)
}

fn value<'a, 'b>(
    how: How,
    text: &str,
    attribute: impl Fn(&str) -> Option<&'a str>,
    before: impl Fn() -> Option<&'b Value>,
) -> Option<Value> {
    let head = || before().and_then(Value::as_str).filter(|b| b.len() == 2);
    Some(match how {
        How::Text => json!(text),
        How::Count => json!(text.parse::<u32>().ok()?),
        How::Money => {
            json!({"amount": text, "currency": attribute("currencyID").unwrap_or_default()})
        }
        How::Quantity => json!({"value": text, "unit": attribute("unitCode").unwrap_or_default()}),
        How::Kilograms => match attribute("unitCode") {
            None | Some("KGM") => json!(text),
            Some(_) => return None,
        },
        How::Instant => json!(instant(text)?),
        How::Head if text.len() == 2 && text.is_ascii() => json!(text),
        How::Tail => json!(format!("{}{text}", head()?)),
        How::Head => return None,
        How::Function => match text {
            "9" => json!("FILING_FUNCTION_ORIGINAL"),
            "13" => json!("FILING_FUNCTION_AMENDMENT"),
            _ => return None,
        },
    })
}

/// `20201001080000+01` as `2020-10-01T08:00:00+01:00`, `20201001` as the day.
fn instant(text: &str) -> Option<String> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    let day = format!("{}-{}-{}", part(0..4)?, part(4..6)?, part(6..8)?);
    if text.len() == 8 {
        return Some(day);
    }
    let zone = match text.get(14..)? {
        "Z" => "Z".to_owned(),
        offset => format!("{offset}:00"),
    };
    Some(format!("{day}T{}:{}:{}{zone}", part(8..10)?, part(10..12)?, part(12..14)?))
}

/// The same the other way, with its format code.
fn compact(text: &str) -> Option<(String, &'static str)> {
    let digits = |t: &str| t.bytes().filter(u8::is_ascii_digit).map(char::from).collect::<String>();
    let Some((day, rest)) = text.split_once('T') else { return Some((digits(text), "102")) };
    let (time, zone) = rest.split_at(rest.find(['Z', '+', '-'])?);
    if zone != "Z" && !zone.ends_with(":00") {
        // CDS has whole hours alone: the same instant in UTC.
        return Some((utc(text.parse().ok()?), "304"));
    }
    let (time, zone) = (digits(time), zone.strip_suffix(":00").unwrap_or(zone));
    (time.len() == 6).then(|| (format!("{}{time}{zone}", digits(day)), "304"))
}

/// An instant in format 304, in UTC.
pub(crate) fn utc(at: jiff::Timestamp) -> String {
    at.strftime("%Y%m%d%H%M%SZ").to_string()
}

/// What the fields give: leaves, and which paths of ours were used.
pub(crate) struct Written {
    pub(crate) leaves: Leaves,
    used: Vec<(&'static Resolved, Indexes)>,
}

/// Writes fields as leaves, with what the schema asks beside them: places in lists, the number of items, guards.
pub(crate) fn write(json: &Value, import: bool) -> Written {
    let mut found = Vec::new();
    BY_FIELD.find(json, |(number, row), indexes, value| {
        if row.holds(import) {
            found.push((*number, *row, indexes.clone(), value));
        }
    });
    // Of two rows for one place the later of the table wins.
    found.sort_by_key(|(number, ..)| *number);
    let (mut leaves, mut used) = (Vec::with_capacity(found.len() * 2), Vec::new());
    for (_, row, indexes, value) in found {
        let place = row.place(&indexes, json);
        if put(&mut leaves, row.row.how, &place, value) {
            guard(&mut leaves, row, &place);
            used.push((row, indexes));
        }
    }
    leaves.extend(item_count(json));
    let mut leaves = leaves.into_iter().collect();
    sequences(&mut leaves);
    Written { leaves, used }
}

impl Written {
    /// Paths of ours that were written.
    pub(crate) fn used(&self) -> BTreeSet<String> {
        let paths = |(row, indexes): &(&'static Resolved, Indexes)| {
            let ours = tree::path(&tree::at(&row.ours, indexes));
            parts(row.row.how).iter().map(move |part| format!("{ours}{part}"))
        };
        self.used.iter().flat_map(paths).collect()
    }
}

/// Fields below the path of a row that it uses.
fn parts(how: How) -> &'static [&'static str] {
    match how {
        How::Money => &[".amount", ".currency"],
        How::Quantity => &[".value", ".unit"],
        _ => &[""],
    }
}

fn put(leaves: &mut Vec<(Place, String)>, how: How, place: &Place, value: &Value) -> bool {
    let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let text = value.as_str().unwrap_or_default();
    let (text, attribute) = match how {
        How::Text | How::Kilograms => (text.to_owned(), None),
        How::Count => (value.as_u64().unwrap_or_default().to_string(), None),
        How::Money => (field("amount").to_owned(), Some(("currencyID", field("currency")))),
        How::Quantity => (field("value").to_owned(), Some(("unitCode", field("unit")))),
        How::Instant => match compact(text) {
            Some((text, format)) => (text, Some(("formatCode", format))),
            None => return false,
        },
        How::Head => (text.get(..2).unwrap_or(text).to_owned(), None),
        How::Tail => (text.get(2..).unwrap_or_default().to_owned(), None),
        How::Function => match text {
            "FILING_FUNCTION_ORIGINAL" => ("9".to_owned(), None),
            "FILING_FUNCTION_AMENDMENT" => ("13".to_owned(), None),
            _ => return false,
        },
    };
    if text.is_empty() || (how == How::Count && text == "0") {
        return false;
    }
    if let Some((name, value)) = attribute.filter(|(_, value)| !value.is_empty()) {
        let at = Attribute::of(name).map(|attribute| place.with(attribute));
        leaves.extend(at.map(|at| (at, value.to_owned())));
    }
    leaves.push((*place, text));
    true
}

/// The leaf that says what the first of several is.
fn guard(leaves: &mut Vec<(Place, String)>, row: &Resolved, place: &Place) {
    for (depth, step) in row.steps().enumerate() {
        let (Some(Step::First(_, Some((_, value)))), Some(at)) = (step, row.guard) else {
            continue;
        };
        leaves.push((place.up_to(depth).child(at, 0), value.clone()));
    }
}

fn item_count(json: &Value) -> Option<(Place, String)> {
    let count = json.pointer("/core/items").and_then(Value::as_array).map_or(0, Vec::len);
    let place = Place::parse("GoodsItemQuantity", SCHEMA.declaration)?;
    (count > 0).then(|| (place, count.to_string()))
}

/// Wherever the schema asks for a place in a list, the place.
fn sequences(leaves: &mut Leaves) {
    let (mut missing, mut before) = (Vec::new(), Place::default());
    for place in leaves.keys() {
        let steps = place.nodes(SCHEMA.declaration).zip(place.steps()).enumerate();
        for (depth, (id, step)) in steps.skip(place.common(&before)) {
            let Some(sequence) = SCHEMA.node(id).sequence else { continue };
            let numbered = place.up_to(depth).child(sequence, 0);
            if !leaves.contains_key(&numbered) {
                missing.push((numbered, (step.index() + 1).to_string()));
            }
        }
        before = *place;
    }
    leaves.extend(missing);
}
