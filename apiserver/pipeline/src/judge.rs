//! An object judged by its kind alone: what a client can know of a verdict before it asks for one.
//!
//! The same decoding, defaulting and validation as of a create, without what depends on the state: rights, namespaces,
//! names that are taken, unique fields. So what passes here may be refused, and what fails here always is.

use crate::registry::Kind;
use crate::{hook, metadata};
use hypermesh_api::{FieldError, Status};
use hypermesh_schemas::definition::Hook;
use hypermesh_structural::Budget;
use serde_json::Value;

/// What is wrong with an object.
#[derive(Debug, Default)]
pub struct Judged {
    /// Paths of fields that the kind does not have: `spec.bogus`.
    pub unknown: Vec<String>,
    /// What its rules say.
    pub errors: Vec<FieldError>,
}

/// Judges an object of `kind` as if it were to be created.
///
/// # Errors
/// What cannot be decoded is refused as a whole.
pub fn judge(kind: &Kind, mut object: Value) -> Result<Judged, Status> {
    crate::verb::check_type(kind, &mut object)?;
    let mut unknown = Vec::new();
    metadata::decode(kind.into(), &mut object, &mut unknown)?;
    unknown.extend(kind.schema.prune(&mut object));
    hook::decode(kind, &mut object);
    kind.schema.apply_defaults(&mut object);
    if kind.definition.subresources.status
        && !kind.has(Hook::Namespace)
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    if let Some(meta) = metadata::of(&mut object) {
        metadata::clear_for_create(meta);
        if meta.get("name").is_none()
            && let Some(base) = meta.get("generateName").and_then(Value::as_str)
        {
            let name = hypermesh_api::name::generate_name(base, [0; 8]);
            meta.insert("name".into(), name.into());
        }
        if kind.namespaced() {
            meta.entry("namespace").or_insert_with(|| "default".into());
        }
    }
    hook::prepare(kind, &mut object, None, "");
    Ok(Judged { unknown, errors: wrong(kind, &object, None) })
}

/// Everything that is wrong with an object; `old` is what it was before an update.
pub(crate) fn wrong(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = metadata::validate(kind, object);
    errors.extend(hook::validate(kind, object, old));
    let mut budget = Budget::new(hypermesh_structural::RULE_BUDGET);
    let by_schema = kind.schema.validate(object, old, &mut budget);
    errors.extend(by_schema.into_iter().filter(|error| !hook::tells(kind, error)));
    errors
}
