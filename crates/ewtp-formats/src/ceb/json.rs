//! A message in JSON by the names of its elements, for those that are no filing's: receipts, arrivals, departures, withdrawals.

use serde_json::{Map, Value, json};

use super::CebError;
use super::fields::{name_at, place_of};
use super::kinds::{Group, Kind};
use super::message::{Leaves, Message};

/// A message as `{"CEB622Message": {"guid": …, "InventoryReturn": [{…}]}}`.
#[must_use]
pub fn to_json(message: &Message) -> Value {
    let kind = message.kind;
    let mut out = Map::new();
    out.insert("guid".into(), json!(message.guid));
    out.insert("version".into(), json!(message.version));
    let records = message.records.iter().map(|r| groups_json(&kind.record.groups, r)).collect();
    out.insert(kind.record.name.into(), Value::Array(records));
    if let Value::Object(envelope) = groups_json(&kind.envelope, &message.envelope) {
        out.extend(envelope);
    }
    json!({format!("{}Message", kind.name): out})
}

fn groups_json(groups: &[Group], leaves: &Leaves) -> Value {
    let mut out = Map::new();
    for (place, text) in leaves {
        let Some(group) = groups.get(place.0) else { continue };
        let name = name_at(groups, *place);
        let slot = match (group.name, group.max) {
            ("", _) => {
                out.insert(name.into(), json!(text));
                continue;
            }
            (name, 1) => out.entry(name).or_insert_with(|| json!({})),
            (name, _) => {
                let list = out.entry(name).or_insert_with(|| json!([]));
                let Some(list) = list.as_array_mut() else { continue };
                while list.len() <= place.1 {
                    list.push(json!({}));
                }
                let Some(slot) = list.get_mut(place.1) else { continue };
                slot
            }
        };
        if let Some(object) = slot.as_object_mut() {
            object.insert(name.into(), json!(text));
        }
    }
    Value::Object(out)
}

/// Reads what [`to_json`] made; `None` if the value is no message.
///
/// # Errors
/// [`CebError::Fields`] for a kind or an element that isn't known.
pub fn from_json(value: &Value) -> Option<Result<Message, CebError>> {
    let (name, content) = value.as_object().filter(|o| o.len() == 1)?.iter().next()?;
    let kind = name.strip_suffix("Message").filter(|n| n.starts_with("CEB"))?;
    let Some(kind) = Kind::by_name(kind) else {
        return Some(Err(CebError::Fields(format!("{name} is no message that is known"))));
    };
    Some(message(kind, content))
}

fn message(kind: &'static Kind, content: &Value) -> Result<Message, CebError> {
    let text =
        |name: &str| content.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (guid, version) = (text("guid"), text("version"));
    let wrong = |what: &str| Err(CebError::Fields(format!("{what} is no list of records")));
    let records = match content.get(kind.record.name) {
        None => &Vec::new(),
        Some(Value::Array(records)) => records,
        Some(_) => return wrong(kind.record.name),
    };
    let records = records.iter().map(|r| leaves(&kind.record.groups, r, kind.record.name));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let mut envelope = content.clone();
    if let Some(object) = envelope.as_object_mut() {
        object.retain(|name, _| !["guid", "version", kind.record.name].contains(&name.as_str()));
    }
    let envelope = leaves(&kind.envelope, &envelope, kind.name)?;
    Ok(Message { kind, guid, version, records, envelope, lost: Vec::new() })
}

fn leaves(groups: &[Group], value: &Value, at: &str) -> Result<Leaves, CebError> {
    let mut out = Leaves::new();
    let unknown = |name: &str| CebError::Fields(format!("{at} has no element {name}"));
    let own = groups.iter().position(|g| g.name.is_empty() && !g.leaves.is_empty());
    let elements = |value: &Value, name: &str| match value {
        Value::Object(object) => Ok(object.clone()),
        _ => Err(CebError::Fields(format!("{name} holds no elements"))),
    };
    for (name, value) in &elements(value, at)? {
        let mut put = |group: usize, index: usize, name: &str, value: &Value| {
            let place = place_of(groups, group, index, name).ok_or_else(|| unknown(name))?;
            let text = value
                .as_str()
                .ok_or_else(|| CebError::Fields(format!("{at}/{name} is no text")))?;
            out.insert(place, text.to_owned());
            Ok::<_, CebError>(())
        };
        if let Some(group) = own {
            put(group, 0, name, value)?;
            continue;
        }
        let group = groups.iter().position(|g| g.name == name).ok_or_else(|| unknown(name))?;
        let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if several.len() > groups[group].max {
            let most = groups[group].max;
            return Err(CebError::Fields(format!("{at}/{name}: at most {most} of them")));
        }
        for (index, one) in several.iter().enumerate() {
            for (leaf, text) in &elements(one, name)? {
                put(group, index, leaf, text)?;
            }
        }
    }
    Ok(out)
}
