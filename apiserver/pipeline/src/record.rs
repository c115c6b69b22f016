//! From an object to its record.

use crate::metadata;
use crate::registry::Kind;
use hypermesh_api::Status;
use hypermesh_chain::{Facts, Hash, Record, Revision, Uid};
use serde_json::Value;

/// The uid that an owner reference names. uids of other systems are not of our form: they are hashed.
pub fn uid_of(text: &str) -> Uid {
    Uid::parse(text).unwrap_or_else(|| Uid::from_digest(&Hash::of(&[b"foreign uid", text.as_bytes()])))
}

/// Encodes an object with its `resourceVersion` and what the store needs to know of it.
pub fn encode(kind: &Kind, object: &mut Value, revision: Revision, salt: Vec<u8>) -> Result<Record, Status> {
    if let Some(meta) = metadata::of(object) {
        meta.insert("resourceVersion".into(), revision.0.to_string().into());
    }
    let body = serde_json::to_vec(object).map_err(Status::internal)?;
    if body.len() > metadata::MOST_BYTES {
        return Err(Status::too_large(metadata::MOST_BYTES));
    }
    Ok(Record { revision, salt, facts: facts(kind, object), body: body.into() })
}

fn facts(kind: &Kind, object: &Value) -> Facts {
    let meta = object.get("metadata");
    let labels = meta
        .and_then(|m| m.get("labels"))
        .and_then(Value::as_object)
        .map(|map| map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect())
        .unwrap_or_default();
    let owners = meta
        .and_then(|m| m.get("ownerReferences"))
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(|o| o.get("uid").and_then(Value::as_str)).map(uid_of).collect())
        .unwrap_or_default();
    Facts {
        uid: uid_of(metadata::text(object, "uid")),
        labels,
        fields: kind.selectable.iter().map(|p| (p.dotted(), field_text(p.get(object)))).collect(),
        unique: unique(kind, object),
        owners,
        deleting: !metadata::text(object, "deletionTimestamp").is_empty(),
        due: 0,
    }
}

/// Values of the kind's unique fields, as the index holds them.
pub fn unique(kind: &Kind, object: &Value) -> Vec<(String, String)> {
    kind.unique
        .iter()
        .filter_map(|field| {
            let value =
                field.path.get(object).map(|v| field_text(Some(v))).filter(|text| !text.is_empty())?;
            let value = if field.namespaced {
                format!("{}/{value}", metadata::text(object, "namespace"))
            } else {
                value
            };
            Some((field.index.clone(), value))
        })
        .collect()
}

fn field_text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
