//! What an amendment changed, element by element.

use ewtp_proto::v1;
use serde_json::Value;

use crate::wco::wco_path;

/// Set by the hub or different in every version: no change of what is declared.
const NOT_DECLARED: &[&str] = &[
    "core.version",
    "core.function",
    "core.lrn",
    "core.code_digest",
    "core.assessed_by",
    "signature",
    DOCUMENTS,
];
/// Compared as documents.
const DOCUMENTS: &str = "goods.attachments";
/// Most changes that are listed: more than that is another filing.
const CHANGES_MAX: usize = 1000;

/// The elements that differ between two versions of a filing, in the order of our paths. Parts that one of the two lacks, as a
/// hub that isn't shown them does, are left out.
#[must_use]
pub fn changes(before: &v1::Filing, after: &v1::Filing) -> Vec<v1::ElementChange> {
    // Messages of texts, numbers and lists: writing them as JSON can't fail.
    let json = |f: &v1::Filing| serde_json::to_value(f).unwrap_or_default();
    let mut out = Vec::new();
    documents(before, after, &mut out);
    let (before, after) = (json(before), json(after));
    let parts = after.as_object().into_iter().flatten();
    for (part, now) in parts {
        if let Some(then) = before.get(part) {
            compare(part, then, now, &mut out);
        }
    }
    out.truncate(CHANGES_MAX);
    out
}

fn compare(path: &str, before: &Value, after: &Value, out: &mut Vec<v1::ElementChange>) {
    if before == after || NOT_DECLARED.contains(&path) {
        return;
    }
    match (before, after) {
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) => {
            let empty = serde_json::Map::new();
            let (then, now) =
                (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
            let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let at = |m: &serde_json::Map<String, Value>| m.get(name).cloned();
                let (then, now) = (at(then).unwrap_or_default(), at(now).unwrap_or_default());
                compare(&format!("{path}.{name}"), &then, &now, out);
            }
        }
        (Value::Array(_) | Value::Null, Value::Array(_) | Value::Null) => {
            let none = Vec::new();
            let (then, now) =
                (before.as_array().unwrap_or(&none), after.as_array().unwrap_or(&none));
            for i in 0..then.len().max(now.len()) {
                let at = |list: &[Value]| list.get(i).cloned().unwrap_or_default();
                compare(&format!("{path}[{i}]"), &at(then), &at(now), out);
            }
        }
        _ => out.push(v1::ElementChange {
            path: path.to_owned(),
            wco_path: wco_path(path).unwrap_or_default(),
            before: text(before),
            after: text(after),
        }),
    }
}

/// A document came, went or was replaced: its own fields tell nobody more.
fn documents(before: &v1::Filing, after: &v1::Filing, out: &mut Vec<v1::ElementChange>) {
    let (Some(before), Some(after)) = (&before.goods, &after.goods) else { return };
    let (before, after) = (&before.attachments, &after.attachments);
    for i in 0..before.len().max(after.len()) {
        let (then, now) = (before.get(i), after.get(i));
        if then != now {
            out.push(v1::ElementChange {
                path: format!("goods.attachments[{i}]"),
                before: then.map(document).unwrap_or_default(),
                after: now.map(document).unwrap_or_default(),
                ..Default::default()
            });
        }
    }
}

fn document(one: &v1::AttachmentReference) -> String {
    let digest: String = one.digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("{digest}… ({}, {} bytes)", one.media_type, one.size)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
