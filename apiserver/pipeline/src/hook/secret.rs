//! Secrets: `stringData` is folded into `data`, types keep their promises, immutable ones stay.

use super::config_map::{check_key, frozen};
use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine};
use hypermesh_api::status::MOST_ERRORS;
use hypermesh_api::{FieldError, FieldErrorKind};
use serde_json::{Value, json};

/// The sum of the values of a Secret or ConfigMap, in bytes (upstream: 1 MiB; here an object's own limit).
const MOST_BYTES: usize = crate::metadata::MOST_BYTES;

/// What stands for a value: none is ever shown. The schema's errors have the same.
const REDACTED: &str = "<redacted>";

/// Folds `stringData` into `data`. What is not text stays where it is, for the schema to refuse.
pub(super) fn fold(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    if map.get("type").and_then(Value::as_str) == Some("") {
        // The schema's default stands in for it.
        map.remove("type");
    }
    let is_text = |value: &Value| value.is_string() || value.is_null();
    let foldable = match map.get("stringData") {
        Some(Value::Object(plain)) => plain.values().all(is_text),
        Some(Value::Null) => true,
        _ => false,
    };
    if !foldable || !matches!(map.get("data"), None | Some(Value::Null | Value::Object(_))) {
        return;
    }
    let Some(Value::Object(plain)) = map.remove("stringData") else { return };
    if plain.is_empty() {
        return;
    }
    let data = map.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = json!({});
    }
    if let Some(data) = data.as_object_mut() {
        for (key, value) in plain {
            data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
        }
    }
}

pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = serde_json::Map::new();
    let data = object.get("data").and_then(Value::as_object).unwrap_or(&empty);
    let mut total = 0_usize;
    for (key, value) in data {
        check_key("data", key, &mut errors);
        match value.as_str().map(|text| STANDARD.decode(text)) {
            Some(Ok(bytes)) => total += bytes.len(),
            Some(Err(why)) if errors.len() <= MOST_ERRORS => {
                let path = format!("data[{key}]");
                errors.push(FieldError::invalid(path, REDACTED.into(), undecodable(&why)));
            }
            // A null value is an empty one; other types are the schema's to refuse.
            Some(Err(_)) | None => {}
        }
    }
    if total > MOST_BYTES {
        let detail = format!("may not be more than {MOST_BYTES} bytes");
        errors.push(FieldError::new(FieldErrorKind::TooLong, "data", None, detail));
    }
    let kind = object.get("type").and_then(Value::as_str).unwrap_or("");
    for key in required_keys(kind) {
        if !data.contains_key(*key) {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    }
    if kind == "kubernetes.io/basic-auth" && !data.contains_key("username") && !data.contains_key("password")
    {
        errors.push(FieldError::required("data[username]", ""));
        errors.push(FieldError::required("data[password]", ""));
    }
    if let Some(old) = old {
        if old.get("type") != object.get("type") {
            errors.push(FieldError::invalid("type", kind.into(), "field is immutable"));
        }
        errors.extend(frozen(object, old, &["data"]));
    }
    errors
}

/// Whether the schema's error is about what [`validate`] tells with its place.
pub(super) fn tells(error: &FieldError) -> bool {
    error.field.starts_with("data.") && error.value.as_ref().and_then(Value::as_str) == Some(REDACTED)
}

/// Where text stops to be base64, in the words of Go.
fn undecodable(why: &DecodeError) -> String {
    let at = match why {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. } => *at,
        DecodeError::InvalidLength(length) => *length,
        DecodeError::InvalidPadding => return "must be base64: its padding (=) is wrong".to_owned(),
    };
    format!("must be base64: illegal base64 data at input byte {at}")
}

fn required_keys(kind: &str) -> &'static [&'static str] {
    match kind {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        _ => &[],
    }
}
