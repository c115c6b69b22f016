//! ConfigMaps: keys that are file names, no key twice, immutable ones stay.

use hypermesh_api::FieldError;
use hypermesh_api::status::MOST_ERRORS;
use serde_json::Value;

/// The longest key, in bytes.
const LONGEST_KEY: usize = 253;

pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let keys =
        |field: &str| object.get(field).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key);
    for key in keys("data") {
        check_key("data", key, &mut errors);
        let binary = object.get("binaryData").and_then(Value::as_object);
        if errors.len() <= MOST_ERRORS && binary.is_some_and(|binary| binary.contains_key(key)) {
            errors.push(FieldError::invalid(
                format!("data[{key}]"),
                key.as_str().into(),
                "duplicate of key present in binaryData",
            ));
        }
    }
    for key in keys("binaryData") {
        check_key("binaryData", key, &mut errors);
    }
    if let Some(old) = old {
        errors.extend(frozen(object, old, &["data", "binaryData"]));
    }
    errors
}

/// A key becomes a file name when it is mounted. Errors beyond those that are told are not made: they would only take
/// memory.
pub(super) fn check_key(field: &str, key: &str, errors: &mut Vec<FieldError>) {
    if errors.len() > MOST_ERRORS {
        return;
    }
    let sound = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let path = format!("{field}[{key}]");
    if key.is_empty() || !sound {
        let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                      'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        errors.push(FieldError::invalid(path, key.into(), detail));
    } else if key == "." || key == ".." || key.starts_with("..") {
        let detail = if key == "." || key == ".." {
            format!("must not be '{key}'")
        } else {
            "must not start with '..'".into()
        };
        errors.push(FieldError::invalid(path, key.into(), detail));
    } else if key.len() > LONGEST_KEY {
        errors.push(FieldError::invalid(
            path,
            key.into(),
            format!("must be no more than {LONGEST_KEY} characters"),
        ));
    }
}

/// What `immutable: true` forbids to change.
pub(super) fn frozen(object: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let why = "field is immutable when `immutable` is set";
    if object.get("immutable").and_then(Value::as_bool) != Some(true) {
        errors.push(FieldError::forbidden("immutable", why));
    }
    for field in fields {
        if object.get(*field) != old.get(*field) {
            errors.push(FieldError::forbidden(*field, why));
        }
    }
    errors
}
