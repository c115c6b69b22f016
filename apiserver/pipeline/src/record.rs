//! From an object to its record.

use crate::metadata;
use crate::registry::Kind;
use hypermesh_api::Status;
use hypermesh_chain::{Facts, Hash, Record, Revision, Uid};
use serde_json::{Map, Value};

/// The uid that an owner reference names. uids of other systems are not of our form: they are hashed.
pub fn uid_of(text: &str) -> Uid {
    Uid::parse(text).unwrap_or_else(|| Uid::from_digest(&Hash::of(&[b"foreign uid", text.as_bytes()])))
}

/// The write that a record is of, and what the object's `resourceVersion` says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// It says the write's revision.
    Written(Revision),
    /// A dry run writes nothing: it stays what it was, and a new object has none. So whoever compares what is with what
    /// would be finds no difference that a write would not make.
    Rehearsed(Revision),
}

impl Stamp {
    fn revision(self) -> Revision {
        match self {
            Self::Written(revision) | Self::Rehearsed(revision) => revision,
        }
    }
}

/// Encodes an object with its `resourceVersion` and what the store needs to know of it.
pub fn encode(kind: &Kind, object: &mut Value, revision: Revision, salt: Vec<u8>) -> Result<Record, Status> {
    encode_with(kind, object, Stamp::Written(revision), salt, None)
}

/// [`encode`] without a limit on the size: what the state machine does by itself (marking, collecting, deleting) must not
/// fail because an object is as large as it may be.
pub fn encode_own(kind: &Kind, object: &mut Value, stamp: Stamp, salt: Vec<u8>) -> Result<Record, Status> {
    encode_any(kind, object, stamp, salt, None)
}

/// [`encode`] with `metadata.managedFields` given as JSON text, which is spliced in where it belongs.
pub fn encode_with(
    kind: &Kind,
    object: &mut Value,
    stamp: Stamp,
    salt: Vec<u8>,
    managed: Option<&str>,
) -> Result<Record, Status> {
    let record = encode_any(kind, object, stamp, salt, managed)?;
    if record.body.len() > metadata::MOST_BYTES {
        return Err(Status::too_large(metadata::MOST_BYTES));
    }
    Ok(record)
}

fn encode_any(
    kind: &Kind,
    object: &mut Value,
    stamp: Stamp,
    salt: Vec<u8>,
    managed: Option<&str>,
) -> Result<Record, Status> {
    let none = metadata::text(object, "resourceVersion").is_empty();
    if let Some(meta) = metadata::of(object) {
        match stamp {
            Stamp::Written(revision) => {
                meta.insert("resourceVersion".into(), revision.0.to_string().into());
            }
            Stamp::Rehearsed(_) if none => {
                meta.remove("resourceVersion");
            }
            Stamp::Rehearsed(_) => {}
        }
    }
    let body = match (managed, object.as_object()) {
        (Some(managed), Some(object)) => spliced(object, managed).map_err(Status::internal)?,
        _ => serde_json::to_vec(object).map_err(Status::internal)?,
    };
    Ok(Record { revision: stamp.revision(), salt, facts: facts(kind, object), body: body.into() })
}

/// The object's bytes, as `serde_json` orders them (by key), with the managed fields among the rest of the metadata.
fn spliced(object: &Map<String, Value>, managed: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(1024 + managed.len());
    out.push(b'{');
    for (i, (key, value)) in object.iter().enumerate() {
        name(&mut out, i, key)?;
        match value.as_object().filter(|_| key == "metadata") {
            None => serde_json::to_writer(&mut out, value)?,
            Some(meta) => {
                out.push(b'{');
                let before = meta.iter().filter(|(key, _)| key.as_str() < "managedFields");
                let after = meta.iter().filter(|(key, _)| key.as_str() > "managedFields");
                let mut n = 0;
                for (key, value) in before {
                    name(&mut out, n, key)?;
                    serde_json::to_writer(&mut out, value)?;
                    n += 1;
                }
                name(&mut out, n, "managedFields")?;
                out.extend_from_slice(managed.as_bytes());
                for (key, value) in after {
                    name(&mut out, 1, key)?;
                    serde_json::to_writer(&mut out, value)?;
                }
                out.push(b'}');
            }
        }
    }
    out.push(b'}');
    Ok(out)
}

fn name(out: &mut Vec<u8>, place: usize, key: &str) -> Result<(), serde_json::Error> {
    if place > 0 {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, key)?;
    out.push(b':');
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The bytes of objects, and with them every root, rest on it. A dependency that turns on serde_json's
    /// `preserve_order` (the `qlog` crate does, and so quinn's feature of that name) turns it on for the whole binary.
    #[test]
    fn maps_are_in_the_order_of_their_keys() {
        let value: Value = serde_json::from_str("{\"b\":1,\"a\":2}").unwrap();
        let why = "serde_json is built with preserve_order: this binary would come to other bytes than other replicas";
        assert_eq!(value.to_string(), "{\"a\":2,\"b\":1}", "{why}");
    }

    #[test]
    fn what_is_spliced_reads_as_if_it_had_been_there() {
        for meta in [
            json!({}),
            json!({"name": "a"}),
            json!({"labels": {"x": "y"}}),
            json!({"annotations": {}, "uid": "u"}),
        ] {
            let object =
                json!({"apiVersion": "v1", "kind": "T", "metadata": meta, "spec": {"a": [1, "\u{e9}"]}});
            let managed = json!([{"manager": "m"}]);
            let bytes = spliced(object.as_object().unwrap(), &managed.to_string()).unwrap();
            let mut whole = object.clone();
            whole["metadata"]["managedFields"] = managed;
            assert_eq!(String::from_utf8(bytes).unwrap(), whole.to_string());
        }
    }
}
