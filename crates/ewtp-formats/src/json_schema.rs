//! JSON Schema (2020-12) of a filing, made from the types: the names of `proto/`, each with its comment.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::types::{Field, Kind, TYPES};

/// The schema of a filing as JSON.
#[must_use]
pub fn filing() -> Value {
    let mut needed = BTreeSet::from(["Filing".to_owned()]);
    let mut definitions = Map::new();
    while let Some(name) = needed.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let Some(message) = TYPES.messages.get(&name) else { continue };
        let mut properties = Map::new();
        for field in &message.fields {
            if let Kind::Message(of) = &field.kind {
                needed.insert(of.clone());
            }
            properties.insert(field.name.clone(), property(field));
        }
        let definition = json!({
            "type": "object",
            "description": message.comment,
            "properties": properties,
            "additionalProperties": false,
        });
        definitions.insert(name, definition);
    }
    definitions.sort_keys();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ewtp.v1.Filing",
        "$ref": "#/$defs/Filing",
        "$defs": definitions,
    })
}

fn property(field: &Field) -> Value {
    let one = match &field.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::LongNumber => json!({"type": "string", "pattern": "^[0-9]+$"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::Message(of) => json!({"$ref": format!("#/$defs/{of}")}),
        Kind::Enum(of) => {
            let values = TYPES.enums.get(of).map_or(&[][..], Vec::as_slice);
            json!({"enum": values.iter().map(|(name, _)| name).collect::<Vec<_>>()})
        }
    };
    let mut out = match field.repeated {
        true => json!({"type": "array", "items": one}),
        false => one,
    };
    if let (Value::Object(map), false) = (&mut out, field.comment.is_empty()) {
        map.insert("description".into(), field.comment.clone().into());
    }
    out
}
