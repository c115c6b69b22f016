//! `metadata` of an object: its shape, its rules, what a create and an update make of it.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation` ValidateObjectMeta and `k8s.io/apiserver/pkg/registry/rest`.

use crate::registry::Kind;
use hypermesh_api::status::MOST_ERRORS;
use hypermesh_api::{FieldError, FieldErrorKind, Status, name};
use hypermesh_schemas::definition::NameFormat;
use serde_json::{Map, Value, json};

/// Objects are at most this large as JSON, in bytes.
pub const MOST_BYTES: usize = 3 * 1024 * 1024;

/// Owners and finalizers are at most this many. Both are walked for every write and every collection of garbage.
const MOST_ENTRIES: usize = 64;

/// Characters of a time that is none, as a refusal shows it.
const LONGEST_SHOWN: usize = 64;

/// Object metadata as a map; a missing one is made.
pub fn of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let map = object.as_object_mut()?;
    map.entry("metadata").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// A string field of metadata; empty when absent.
pub fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or("")
}

/// Finalizers, in order.
pub fn finalizers(object: &Value) -> Vec<&str> {
    object
        .get("metadata")
        .and_then(|m| m.get("finalizers"))
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Replaces the finalizers; an empty list removes the field.
pub fn set_finalizers(object: &mut Value, finalizers: Vec<String>) {
    if let Some(meta) = of(object) {
        if finalizers.is_empty() {
            meta.remove("finalizers");
        } else {
            meta.insert("finalizers".into(), finalizers.into());
        }
    }
}

/// Checks JSON types as a decoder into ObjectMeta would, drops nulls, and collects unknown fields.
pub fn decode(typed: Typed<'_>, object: &mut Value, unknown: &mut Vec<String>) -> Result<(), Status> {
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request("the object provided is not a JSON object"));
    };
    if matches!(map.get("metadata"), None | Some(Value::Null)) {
        map.insert("metadata".into(), Value::Object(Map::new()));
    }
    if !map.get("metadata").is_some_and(Value::is_object) {
        return Err(typed.mistyped("metadata", &Mistyped::of(map.get("metadata"), "v1.ObjectMeta")));
    };
    let Some(meta) = of(object) else { return Ok(()) };
    meta.retain(|_, value| !value.is_null());
    let mut strange = Vec::new();
    for (field, value) in meta.iter() {
        let one = |fits: bool, wanted| if fits { Ok(()) } else { Err(Mistyped::of(Some(value), wanted)) };
        let fits = match field.as_str() {
            "name" | "generateName" | "namespace" | "selfLink" | "uid" | "resourceVersion" => {
                one(value.is_string(), "string")
            }
            "creationTimestamp" | "deletionTimestamp" => match value.as_str() {
                Some(text) if crate::clock::parse(text).is_none() => {
                    Err(Mistyped::Time(text.chars().take(LONGEST_SHOWN).collect()))
                }
                text => one(text.is_some(), "v1.Time"),
            },
            "generation" | "deletionGracePeriodSeconds" => one(value.is_i64(), "int64"),
            "labels" | "annotations" => match value {
                Value::Object(map) => texts(map.values()),
                _ => one(false, "map[string]string"),
            },
            "finalizers" => match value {
                Value::Array(list) => texts(list.iter()),
                _ => one(false, "[]string"),
            },
            "ownerReferences" => owner_references(value, &mut strange),
            "managedFields" => {
                let fits = value.as_array().is_some_and(|list| list.iter().all(Value::is_object));
                one(fits, "[]v1.ManagedFieldsEntry")
            }
            _ => {
                strange.push(field.clone());
                Ok(())
            }
        };
        fits.map_err(|why| typed.mistyped(&format!("metadata.{field}"), &why))?;
    }
    for field in strange {
        unknown.push(format!("metadata.{field}"));
        if !field.contains('.') {
            meta.remove(&field);
        }
    }
    for empty in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let is_empty = meta.get(empty).is_some_and(|v| {
            v.as_object().is_some_and(Map::is_empty) || v.as_array().is_some_and(Vec::is_empty)
        });
        if is_empty {
            meta.remove(empty);
        }
    }
    Ok(())
}

fn owner_references(value: &Value, strange: &mut Vec<String>) -> Result<(), Mistyped> {
    let list = value.as_array().ok_or_else(|| Mistyped::of(Some(value), "[]v1.OwnerReference"))?;
    for (i, reference) in list.iter().enumerate() {
        let fields = reference.as_object();
        for (field, value) in fields.ok_or_else(|| Mistyped::of(Some(reference), "v1.OwnerReference"))? {
            let (fits, wanted) = match field.as_str() {
                "apiVersion" | "kind" | "name" | "uid" => (value.is_string(), "string"),
                "controller" | "blockOwnerDeletion" => (value.is_boolean() || value.is_null(), "bool"),
                _ => {
                    strange.push(format!("ownerReferences[{i}].{field}"));
                    (true, "")
                }
            };
            if !fits {
                return Err(Mistyped::of(Some(value), wanted));
            }
        }
    }
    Ok(())
}

/// Why a value is none of a field.
pub enum Mistyped {
    /// What was found, and the type of the field, in Go's words.
    Type(&'static str, &'static str),
    /// Text that is no time.
    Time(String),
}

impl Mistyped {
    /// What was found in place of what is `wanted`.
    pub fn of(found: Option<&Value>, wanted: &'static str) -> Self {
        let found = match found {
            None | Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "bool",
            Some(Value::Number(_)) => "number",
            Some(Value::String(_)) => "string",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        Self::Type(found, wanted)
    }
}

fn texts<'v>(mut values: impl Iterator<Item = &'v Value>) -> Result<(), Mistyped> {
    match values.find(|value| !value.is_string()) {
        Some(other) => Err(Mistyped::of(Some(other), "string")),
        None => Ok(()),
    }
}

/// Keeps each owner once, as the first of those references that are the same; the uids of the others.
pub fn unite_owners(object: &mut Value) -> Vec<String> {
    let list = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
    let Some(list) = list.filter(|list| (2..=MOST_ENTRIES).contains(&list.len())) else { return Vec::new() };
    let mut kept: Vec<Value> = Vec::with_capacity(list.len());
    let mut twice = Vec::new();
    for owner in list.drain(..) {
        if kept.contains(&owner) {
            twice.push(owner.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned());
        } else {
            kept.push(owner);
        }
    }
    *list = kept;
    twice
}

/// What an object is decoded as.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'t> {
    /// `ConfigMap`
    pub kind: &'t str,
    /// `v1`
    pub version: &'t str,
}

impl<'t> From<&'t Kind> for Typed<'t> {
    fn from(kind: &'t Kind) -> Self {
        Self { kind: &kind.definition.names.kind, version: &kind.definition.version }
    }
}

impl Typed<'_> {
    /// The refusal of what is none, in the reference's words, which clients take apart.
    pub fn refuse(self, why: &str) -> Status {
        let Self { kind, version } = self;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }

    /// The refusal of a field of another type.
    pub fn mistyped(self, field: &str, why: &Mistyped) -> Status {
        self.refuse(&match why {
            Mistyped::Type(found, wanted) => {
                let kind = self.kind;
                format!("json: cannot unmarshal {found} into Go struct field {kind}.{field} of type {wanted}")
            }
            Mistyped::Time(text) => {
                let text = hypermesh_api::printed::quoted(text);
                format!("{field}: parsing time {text}: it must be a time in RFC 3339 form")
            }
        })
    }
}

/// Validates metadata of an object that is about to be stored.
pub fn validate(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(meta) = object.get("metadata").and_then(Value::as_object) else {
        return vec![FieldError::required("metadata", "")];
    };
    let object_name = text(object, "name");
    if !text(object, "generateName").is_empty() {
        check_name(
            kind,
            &name::mask_trailing_dash(text(object, "generateName")),
            "metadata.generateName",
            &mut errors,
        );
    }
    if object_name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        check_name(kind, object_name, "metadata.name", &mut errors);
    }
    if kind.namespaced() {
        for problem in name::dns1123_label(text(object, "namespace")) {
            errors.push(FieldError::invalid("metadata.namespace", text(object, "namespace").into(), problem));
        }
    } else if meta.contains_key("namespace") {
        errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
    }
    labels(meta, &mut errors);
    for (i, finalizer) in finalizers(object).iter().enumerate().take(MOST_ENTRIES) {
        for problem in name::qualified_name(finalizer) {
            errors.push(FieldError::invalid(
                format!("metadata.finalizers[{i}]"),
                (*finalizer).into(),
                problem,
            ));
        }
    }
    for field in ["finalizers", "ownerReferences"] {
        let count = meta.get(field).and_then(Value::as_array).map_or(0, Vec::len);
        if count > MOST_ENTRIES {
            let detail = format!("must have at most {MOST_ENTRIES} items");
            let path = format!("metadata.{field}");
            errors.push(FieldError::new(FieldErrorKind::TooMany, path, Some(count.into()), detail));
        }
    }
    owners(meta, &mut errors);
    errors
}

fn check_name(kind: &Kind, text: &str, field: &str, errors: &mut Vec<FieldError>) {
    let problems = match kind.definition.strategy.name {
        NameFormat::DnsSubdomain => name::dns1123_subdomain(text),
        NameFormat::DnsLabel => name::dns1123_label(text),
        NameFormat::PathSegment => name::path_segment_name(text),
    };
    errors.extend(problems.into_iter().map(|problem| FieldError::invalid(field, text.into(), problem)));
}

fn labels(meta: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for (key, value) in meta.get("labels").and_then(Value::as_object).into_iter().flatten() {
        // More than are told would only take memory.
        if errors.len() > MOST_ERRORS {
            return;
        }
        for problem in name::qualified_name(key) {
            errors.push(FieldError::invalid("metadata.labels", key.as_str().into(), problem));
        }
        let value = value.as_str().unwrap_or_default();
        for problem in name::label_value(value) {
            errors.push(FieldError::invalid("metadata.labels", value.into(), problem));
        }
    }
    for key in meta.get("annotations").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
        if errors.len() > MOST_ERRORS {
            return;
        }
        for problem in name::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key.as_str().into(), problem));
        }
    }
}

fn owners(meta: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut controller = false;
    let list = meta.get("ownerReferences").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (i, owner) in list.iter().enumerate().take(MOST_ENTRIES) {
        let path = format!("metadata.ownerReferences[{i}]");
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(format!("{path}.{field}"), "".into(), "must not be empty"));
            }
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            if controller {
                errors.push(FieldError::invalid(
                    "metadata.ownerReferences",
                    Value::Array(list.to_vec()),
                    "Only one reference can have Controller set to true",
                ));
            }
            controller = true;
        }
    }
}

/// Fields of metadata that a client does not decide on a create.
pub fn clear_for_create(meta: &mut Map<String, Value>) {
    for field in [
        "uid",
        "selfLink",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        meta.remove(field);
    }
}

/// Carries over from `old` what an update does not decide, and tells where it tried to.
pub fn carry_over(old: &Value, new: &mut Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let old_meta = old.get("metadata").and_then(Value::as_object);
    let Some(meta) = of(new) else { return errors };
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        match old_meta.and_then(|m| m.get(field)) {
            Some(value) => {
                let differs = meta.get(field).is_some_and(|given| given != value);
                if differs && field == "uid" {
                    errors.push(FieldError::invalid(
                        "metadata.uid",
                        json!(meta.get(field)),
                        "field is immutable",
                    ));
                }
                meta.insert(field.to_owned(), value.clone());
            }
            None => {
                meta.remove(field);
            }
        }
    }
    if let Some(generated) = old_meta.and_then(|m| m.get("generateName")) {
        meta.entry("generateName").or_insert_with(|| generated.clone());
    }
    errors
}
