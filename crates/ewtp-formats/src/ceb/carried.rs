//! What no field names of a message: carried along in the filing by its path, items by their numbers.

use std::collections::BTreeMap;

use ewtp_proto::v1;
use serde_json::Value;

use super::fields::{self, name_at, place_of};
use super::kinds::{Group, Kind};
use super::message::{Leaves, Message, Place};
use super::rows;

/// A record with its items where the filing has them.
pub(super) fn moved(kind: &Kind, leaves: &Leaves, items: &[usize]) -> Leaves {
    let list = fields::list_of(kind);
    let place = |(group, index, leaf): Place| match Some(group) == list {
        true => (group, items.get(index).copied().unwrap_or(index), leaf),
        false => (group, index, leaf),
    };
    leaves.iter().map(|(at, text)| (place(*at), text.clone())).collect()
}

/// How carried elements call the items: by number, or by place where a number is missing or stands twice.
pub(super) fn labels(filing: &v1::Filing) -> Vec<String> {
    let numbers: Vec<u32> =
        filing.core.iter().flat_map(|c| &c.items).map(|item| item.number).collect();
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    numbers.iter().for_each(|number| *times.entry(*number).or_default() += 1);
    let label = |(at, number): (usize, &u32)| {
        let unique = *number > 0 && times.get(number) == Some(&1);
        if unique { number.to_string() } else { format!("#{}", at + 1) }
    };
    numbers.iter().enumerate().map(label).collect()
}

/// The path of a leaf that is carried: `CEB621/InventoryList[2]/barCode`, the item by its number.
fn carried_path(kind: &Kind, place: Place, labels: &[String]) -> String {
    let record = &kind.record;
    let leaf = name_at(&record.groups, place);
    let group = record.groups.get(place.0).map_or("", |g| g.name);
    let index = match fields::list_of(kind) == Some(place.0) {
        true => labels.get(place.1).map(|l| format!("[{l}]")).unwrap_or_default(),
        false => String::new(),
    };
    let group = if group.is_empty() { record.name } else { group };
    format!("{}/{group}{index}/{leaf}", kind.name)
}

fn carry(filing: &mut v1::Filing, leaf: &str, element: v1::CarriedElement) {
    let list = match rows::part_of(leaf) {
        "authority" => &mut filing.authority.get_or_insert_default().carried,
        "parties" => &mut filing.parties.get_or_insert_default().carried,
        "value" => &mut filing.value.get_or_insert_default().carried,
        _ => &mut filing.goods.get_or_insert_default().carried,
    };
    list.push(element);
}

/// Carries along what the named fields don't say of a record, or say otherwise.
pub(super) fn carry_record(
    filing: &mut v1::Filing,
    message: &Message,
    leaves: &Leaves,
    named: &Value,
    labels: &[String],
) {
    let kind = message.kind;
    let free: Leaves = leaves
        .iter()
        .filter(|(place, _)| !fields::is_named(kind, **place))
        .map(|(place, text)| (*place, text.clone()))
        .collect();
    let again = fields::write(kind, named, &free).leaves;
    for (place, text) in leaves {
        let given = again.get(place).filter(|_| !free.contains_key(place));
        if given == Some(text) {
            continue;
        }
        carry(
            filing,
            name_at(&kind.record.groups, *place),
            v1::CarriedElement {
                path: carried_path(kind, *place, labels),
                value: text.clone(),
                instead_of: given.cloned().unwrap_or_default(),
                absent: false,
            },
        );
    }
    for (place, given) in again.iter().filter(|(place, _)| !leaves.contains_key(place)) {
        carry(
            filing,
            name_at(&kind.record.groups, *place),
            v1::CarriedElement {
                path: carried_path(kind, *place, labels),
                value: String::new(),
                instead_of: given.clone(),
                absent: true,
            },
        );
    }
}

/// Carries along in which order a message has its items, where that isn't the filing's.
pub(super) fn carry_order(
    filing: &mut v1::Filing,
    message: &Message,
    items: &[usize],
    labels: &[String],
) {
    if items.is_sorted() {
        return;
    }
    let named = items.iter().filter_map(|at| labels.get(*at)).map(String::as_str);
    let (path, value) = (format!("{}@items", message.kind.name), named.collect::<Vec<_>>());
    let element = v1::CarriedElement { path, value: value.join(" "), ..Default::default() };
    carry(filing, "gnum", element);
}

/// A record with its items in the order that it had them, those that it didn't have behind.
pub(super) fn in_order(kind: &Kind, leaves: Leaves, order: &str, labels: &[String]) -> Leaves {
    let mut left: BTreeMap<&str, usize> =
        labels.iter().enumerate().map(|(at, label)| (label.as_str(), at)).collect();
    let named: Vec<usize> = order.split(' ').filter_map(|label| left.remove(label)).collect();
    let mut others: Vec<usize> = left.into_values().collect();
    others.sort_unstable();
    let mut places = vec![0; labels.len()];
    let items = named.into_iter().chain(others).enumerate();
    items.for_each(|(place, at)| places[at] = place);
    moved(kind, &leaves, &places)
}

/// Carries along who sent the message to whom.
pub(super) fn carry_envelope(filing: &mut v1::Filing, message: &Message) {
    let kind = message.kind;
    let mut put = |path: String, leaf: &str, value: &str| {
        let element = v1::CarriedElement { path, value: value.to_owned(), ..Default::default() };
        carry(filing, leaf, element);
    };
    put(format!("{}@guid", kind.name), "guid", &message.guid);
    put(format!("{}@version", kind.name), "version", &message.version);
    for (place, text) in &message.envelope {
        let (group, name) = (&kind.envelope[place.0], name_at(&kind.envelope, *place));
        let index = if group.max > 1 { format!("[{}]", place.1 + 1) } else { String::new() };
        put(format!("{}/{}{index}/{name}", kind.name, group.name), name, text);
    }
}

pub(super) fn all_carried(filing: &v1::Filing) -> impl Iterator<Item = &v1::CarriedElement> {
    let authority = filing.authority.iter().flat_map(|a| &a.carried);
    let parties = filing.parties.iter().flat_map(|p| &p.carried);
    let goods = filing.goods.iter().flat_map(|g| &g.carried);
    authority.chain(parties).chain(goods).chain(filing.value.iter().flat_map(|v| &v.carried))
}

/// Reads what [`carried_path`] wrote, without the kind: whether it stands in the envelope, and where.
pub(super) fn place_of_path(kind: &Kind, path: &str, labels: &[String]) -> Option<(bool, Place)> {
    let (group, leaf) = path.strip_prefix('/')?.rsplit_once('/')?;
    let (group, label) = match group.split_once('[') {
        Some((group, label)) => (group, Some(label.strip_suffix(']')?)),
        None => (group, None),
    };
    let named = |groups: &[Group]| groups.iter().position(|g| g.name == group);
    if let Some(at) = named(&kind.envelope) {
        let index = label.map_or(Some(0), |l| l.parse::<usize>().ok()?.checked_sub(1))?;
        return Some((true, place_of(&kind.envelope, at, index, leaf)?));
    }
    let at = if group == kind.record.name { 0 } else { named(&kind.record.groups)? };
    let index = match label {
        None => 0,
        Some(label) => labels.iter().position(|l| l == label)?,
    };
    Some((false, place_of(&kind.record.groups, at, index, leaf)?))
}
