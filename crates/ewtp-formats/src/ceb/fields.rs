//! Records to filings and back: the named fields of one record, and what they leave out.

use serde_json::{Value, json};

use super::kinds::{Group, Kind};
use super::message::{Leaves, Place};
use super::rows::{How, KILOGRAMS, ROWS, Row};
use crate::tree;

/// What joining a record to a filing leaves open: the same element said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Kind of the message that says otherwise.
    pub kind: &'static str,
    /// Our path.
    pub path: String,
    /// What the filing says, by a message before.
    pub said: String,
    /// What this one says.
    pub says: String,
}

/// The group of items of a kind, if it has one: an item a time.
pub(crate) fn list_of(kind: &Kind) -> Option<usize> {
    kind.record.groups.iter().position(|g| g.max > 1)
}

/// Names the leaf at a place.
pub(crate) fn name_at(groups: &[Group], (group, _, leaf): Place) -> &'static str {
    groups.get(group).and_then(|g| g.leaves.get(leaf)).map_or("", |l| l.name)
}

/// The place of a leaf of a group.
pub(crate) fn place_of(groups: &[Group], group: usize, index: usize, name: &str) -> Option<Place> {
    let leaf = groups.get(group)?.leaves.iter().position(|l| l.name == name)?;
    Some((group, index, leaf))
}

/// The row of a leaf.
fn row_at(kind: &Kind, place: Place) -> Option<&'static Row> {
    let name = name_at(&kind.record.groups, place);
    let item = list_of(kind) == Some(place.0);
    ROWS.iter().find(|r| r.leaf == name && r.is_item() == item && r.holds(kind.name))
}

/// Our path for a record's place; items stand where part `core` has their number.
fn path_at(row: &Row, item: usize) -> Vec<tree::Step> {
    let steps = tree::steps(row.ours).unwrap_or_default();
    tree::at(&steps, &[item])
}

/// What became of a record.
pub(crate) struct Fields {
    pub(crate) contradictions: Vec<Contradiction>,
    /// Where its items stand in the filing.
    pub(crate) items: Vec<usize>,
}

/// Puts what a record says into a filing where the filing says nothing; what it says otherwise is told.
pub(crate) fn read(kind: &'static Kind, leaves: &Leaves, filing: &mut Value) -> Fields {
    let items = item_places(kind, leaves, filing);
    let mut out = Vec::new();
    for (place, text) in leaves.iter().filter(|(_, text)| !text.is_empty()) {
        let Some(row) = row_at(kind, *place) else { continue };
        let beside = |name: &str| {
            let place = place_of(&kind.record.groups, place.0, place.1, name);
            place.and_then(|p| leaves.get(&p)).map_or("", String::as_str)
        };
        let Some(value) = value(row.how, text, beside) else { continue };
        if let How::Document(of) = row.how {
            out.extend(document(filing, of, &value).map(|said| {
                let path = row.ours.to_owned();
                Contradiction { kind: kind.name, path, said, says: text.clone() }
            }));
            continue;
        }
        let item = items.get(place.1).copied().unwrap_or_default();
        let path = path_at(row, item);
        match tree::get(filing, &path).filter(|v| !v.is_null()) {
            None => tree::put(filing, &path, value),
            Some(before) if same(before, &value) => {}
            Some(before) => out.push(Contradiction {
                kind: kind.name,
                path: tree::path(&path),
                said: shown(before),
                says: shown(&value),
            }),
        }
    }
    Fields { contradictions: out, items }
}

/// Where the items of a record stand in the filing: by number, behind the others if the number is new.
fn item_places(kind: &Kind, leaves: &Leaves, filing: &Value) -> Vec<usize> {
    let Some(list) = list_of(kind) else { return Vec::new() };
    let count = leaves.keys().filter(|p| p.0 == list).map(|p| p.1 + 1).max().unwrap_or(0);
    let numbers = filing.pointer("/core/items").and_then(Value::as_array);
    let mut known: Vec<u64> = numbers
        .into_iter()
        .flatten()
        .map(|i| i.get("number").and_then(Value::as_u64).unwrap_or(0))
        .collect();
    let mut out = Vec::new();
    for index in 0..count {
        let number =
            place_of(&kind.record.groups, list, index, "gnum").and_then(|p| leaves.get(&p));
        let number = number.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0);
        // A number that stands twice in one list makes two items: which is right isn't ours to say.
        let found = known.iter().position(|k| *k == number).filter(|at| !out.contains(at));
        out.push(found.unwrap_or_else(|| {
            known.push(number);
            known.len() - 1
        }));
    }
    out
}

fn shown(value: &Value) -> String {
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    match (field("amount").or(field("value")), field("currency").or(field("unit"))) {
        (Some(number), Some(of)) => format!("{number} {of}"),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// Whether two values say the same: numbers by their value.
fn same(a: &Value, b: &Value) -> bool {
    let number = |v: &Value| v.as_str().and_then(|t| t.parse::<rust_decimal::Decimal>().ok());
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b || (number(a).is_some() && number(a) == number(b)),
    }
}

/// Names a document of a type, if none of it is named; what is named instead.
fn document(filing: &mut Value, of: &str, id: &Value) -> Option<String> {
    let named = documents(filing, of).next().map(str::to_owned);
    match named {
        Some(said) => (Some(said.as_str()) != id.as_str()).then_some(said),
        None => {
            let count =
                filing.pointer("/goods/documents").and_then(Value::as_array).map_or(0, Vec::len);
            let path = tree::steps(&format!("goods.documents[{count}]")).unwrap_or_default();
            tree::put(filing, &path, json!({"type": of, "id": id}));
            None
        }
    }
}

/// Numbers of the documents of a type.
pub(crate) fn documents<'a>(filing: &'a Value, of: &str) -> impl Iterator<Item = &'a str> {
    let all = filing.pointer("/goods/documents").and_then(Value::as_array);
    let found = all.into_iter().flatten().filter(move |d| d.get("type").is_some_and(|t| t == of));
    found.filter_map(|d| d.get("id").and_then(Value::as_str))
}

/// A leaf as ours.
fn value<'a>(how: How, text: &str, beside: impl Fn(&str) -> &'a str) -> Option<Value> {
    let amount = |currency: &str| {
        let currency = super::codes::List::Currencies.ours(beside(currency))?;
        Some(json!({"amount": text, "currency": currency}))
    };
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let number = |t: &str| ewtp_trade::quantity::parse_decimal(t).is_ok();
    let numeric =
        matches!(how, How::Money(_) | How::Total(..) | How::Quantity(_) | How::Kilograms(_));
    // What a filing couldn't hold is carried as it stands.
    if numeric && !number(text) {
        return None;
    }
    Some(match how {
        How::Text | How::Document(_) => json!(text),
        How::Count => json!(text.parse::<u32>().ok()?),
        How::Id => json!(format!("CN{text}")),
        How::Office => json!(format!("CN00{text}")),
        How::Code(list) => json!(list.ours(text)?),
        How::Day if text.len() == 8 && all_digits(text) => {
            let day = day(text)?;
            day.parse::<jiff::civil::Date>().ok()?;
            json!(day)
        }
        How::Instant if text.len() == 14 && all_digits(text) => {
            let time = |range: std::ops::Range<usize>| text.get(range);
            let clock = format!("{}:{}:{}", time(8..10)?, time(10..12)?, time(12..14)?);
            let instant = format!("{}T{clock}+08:00", day(text)?);
            instant.parse::<jiff::Timestamp>().ok()?;
            json!(instant)
        }
        How::Day | How::Instant => return None,
        How::Function => json!(match text {
            "1" => "FILING_FUNCTION_ORIGINAL",
            "2" => "FILING_FUNCTION_AMENDMENT",
            _ => return None,
        }),
        How::Money(currency) => amount(currency)?,
        How::Total(currency, flag) if beside(flag) == "3" => amount(currency)?,
        How::Total(..) => return None,
        How::Quantity(unit) => {
            json!({"value": text, "unit": super::codes::List::Units.ours(beside(unit))?})
        }
        How::Kilograms(unit) if beside(unit) == KILOGRAMS => json!(text),
        How::Kilograms(_) => return None,
    })
}

fn day(text: &str) -> Option<String> {
    Some(format!("{}-{}-{}", text.get(0..4)?, text.get(4..6)?, text.get(6..8)?))
}

/// The leaves beside a value, and its text.
type Written = (String, Vec<(&'static str, String)>);

/// Ours as a leaf. What can't be said there is `None`.
fn text(how: How, value: &Value) -> Option<Written> {
    let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    let plain = value.as_str().unwrap_or_default();
    let digits = |t: &str| t.bytes().filter(u8::is_ascii_digit).map(char::from).collect::<String>();
    let money = |currency| {
        let code = super::codes::List::Currencies.theirs(field("currency")?)?;
        Some((field("amount")?.to_owned(), vec![(currency, code.to_owned())]))
    };
    let alone = |text: &str| Some((text.to_owned(), Vec::new()));
    match how {
        How::Text | How::Document(_) | How::Kilograms(_) => alone(plain),
        How::Count => alone(&value.as_u64().filter(|n| *n > 0)?.to_string()),
        How::Id => alone(plain.strip_prefix("CN")?),
        How::Office => alone(plain.strip_prefix("CN00")?),
        How::Code(list) => alone(list.theirs(plain)?),
        How::Day => alone(&digits(plain)),
        How::Instant => {
            let at: jiff::Timestamp = plain.parse().ok()?;
            let there = in_china(at);
            alone(&there.strftime("%Y%m%d%H%M%S").to_string())
        }
        How::Function => alone(match plain {
            "FILING_FUNCTION_ORIGINAL" => "1",
            "FILING_FUNCTION_AMENDMENT" => "2",
            _ => return None,
        }),
        How::Money(currency) => money(currency),
        How::Total(currency, flag) => {
            let (amount, mut beside) = money(currency)?;
            beside.push((flag, "3".to_owned()));
            Some((amount, beside))
        }
        How::Quantity(unit) => {
            let code = super::codes::List::Units.theirs(field("unit")?)?;
            Some((field("value")?.to_owned(), vec![(unit, code.to_owned())]))
        }
    }
    .filter(|(text, _)| !text.is_empty())
}

/// Whether a leaf follows from a row, its own or that of a leaf beside it: such leaves are compared when a record is read.
pub(crate) fn is_named(kind: &Kind, place: Place) -> bool {
    let name = name_at(&kind.record.groups, place);
    let item = list_of(kind) == Some(place.0);
    // Units of masses say whether a row holds, and so don't follow from it.
    let follows = |r: &&Row| {
        r.leaf == name || (!matches!(r.how, How::Kilograms(_)) && r.beside().any(|b| b == name))
    };
    let here = |r: &&Row| r.is_item() == item && r.holds(kind.name);
    ROWS.iter().filter(here).any(|r| follows(&r))
}

/// What the named fields give.
pub(crate) struct WrittenFields {
    pub(crate) leaves: Leaves,
    /// Fields that contradict each other there (two currencies for one leaf), by path.
    pub(crate) contradictions: Vec<String>,
    /// Paths of the fields that were written.
    pub(crate) used: Vec<String>,
}

/// The named fields of a filing as a record's leaves. `stands` holds the leaves that no row writes, which say where masses go.
pub(crate) fn write(kind: &'static Kind, filing: &Value, stands: &Leaves) -> WrittenFields {
    let groups = &kind.record.groups;
    let list = list_of(kind);
    let head = (0..groups.len()).find(|g| Some(*g) != list && !groups[*g].leaves.is_empty());
    let count = filing.pointer("/core/items").and_then(Value::as_array).map_or(0, Vec::len);
    let (mut out, mut lost, mut used) = (stands.clone(), Vec::new(), Vec::new());
    for row in ROWS.iter().filter(|r| r.holds(kind.name)) {
        let (group, times) = match (row.is_item(), list, head) {
            (true, Some(list), _) => (list, count),
            (false, _, Some(head)) => (head, 1),
            _ => continue,
        };
        for index in 0..times {
            let path = path_at(row, index);
            let (path, found) = match row.how {
                How::Document(of) => match document_at(filing, of) {
                    Some((path, id)) => (path, Some(Value::from(id))),
                    None => continue,
                },
                _ => (path.clone(), tree::get(filing, &path).filter(|v| !v.is_null()).cloned()),
            };
            let Some(place) = place_of(groups, group, index, row.leaf) else { continue };
            let beside = |name: &str| place_of(groups, group, index, name);
            if let How::Kilograms(unit) = row.how
                && beside(unit).and_then(|p| stands.get(&p)).map(String::as_str) != Some(KILOGRAMS)
            {
                continue;
            }
            let Some((text, more)) = found.and_then(|value| text(row.how, &value)) else {
                continue;
            };
            for (name, text) in more {
                let Some(place) = beside(name) else { continue };
                let before = out.insert(place, text.clone());
                if before.is_some_and(|b| b != text) {
                    lost.push(format!("{}: {name} holds for several values", tree::path(&path)));
                }
            }
            used.push(tree::path(&path));
            out.insert(place, text);
        }
    }
    WrittenFields { leaves: out, contradictions: lost, used }
}

/// The first document of a type: its path and number.
fn document_at<'a>(filing: &'a Value, of: &str) -> Option<(Vec<tree::Step>, &'a str)> {
    let all = filing.pointer("/goods/documents").and_then(Value::as_array)?;
    let at = all.iter().position(|d| d.get("type").is_some_and(|t| t == of))?;
    let id = all.get(at)?.get("id").and_then(Value::as_str)?;
    Some((tree::steps(&format!("goods.documents[{at}]"))?, id))
}

/// The civil time of an instant in China, which has one offset all year.
pub(crate) fn in_china(at: jiff::Timestamp) -> jiff::civil::DateTime {
    jiff::tz::offset(8).to_datetime(at)
}
