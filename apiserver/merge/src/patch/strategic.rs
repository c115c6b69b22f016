//! Strategic merge patch (`k8s.io/apimachinery/pkg/util/strategicpatch`), for the kinds that declare merge keys.
//!
//! Directives: `$patch: replace | delete | merge` in a map or in an item of a list that merges by key,
//! `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`. Null removes.

use super::PatchError;
use super::element_order::{Identity, ordered};
use super::merge::check_patch;
use crate::shape::Type;
use crate::value::Keyed;
use hypermesh_structural::Schema;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into an object of the kind that `schema` describes. An error leaves the object as it is.
pub fn strategic(doc: &mut Value, patch: &Value, schema: &Schema) -> Result<(), PatchError> {
    check_patch(patch)?;
    let (Value::Object(original), Value::Object(patch)) = (&*doc, patch) else {
        return malformed("a strategic merge patch applies to objects");
    };
    let merged = merge_map(original.clone(), patch.clone(), Type::root(schema))?;
    *doc = Value::Object(merged);
    Ok(())
}

fn malformed<T>(what: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Malformed(what.into()))
}

/// What a `$patch` in a map says.
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(map: &Map<String, Value>) -> Result<Option<Directive>, PatchError> {
    match map.get(PATCH) {
        None => Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "merge" => Ok(Some(Directive::Merge)),
            "replace" => Ok(Some(Directive::Replace)),
            "delete" => Ok(Some(Directive::Delete)),
            other => malformed(format!("unknown patch type: {other} in map")),
        },
        Some(other) => malformed(format!("unknown patch type: {other} in map")),
    }
}

fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    ty: Type<'_>,
) -> Result<Map<String, Value>, PatchError> {
    let directive = directive(&patch)?;
    patch.remove(PATCH);
    match directive {
        Some(Directive::Replace) => return Ok(patch),
        Some(Directive::Delete) => return Ok(Map::new()),
        Some(Directive::Merge) | None => {}
    }
    retain_keys(&mut original, &mut patch)?;
    order_elements(&mut original, &mut patch, ty)?;
    for (name, patch) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut original, list, &patch)?;
        } else if patch.is_null() {
            original.remove(&name);
        } else {
            let field = ty.field(&name);
            let merged = match (original.remove(&name), patch) {
                (Some(Value::Object(original)), Value::Object(patch)) if !strategy(field).replaces => {
                    Some(Value::Object(merge_map(original, patch, field)?))
                }
                (Some(Value::Array(original)), Value::Array(patch)) => {
                    Some(Value::Array(merge_list(original, patch, field)?))
                }
                (_, patch) => cleaned(patch),
            };
            original.extend(merged.map(|value| (name, value)));
        }
    }
    Ok(original)
}

/// Removes what the patch does not say to keep.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || malformed("invalid patch format of retainKeys");
    let Value::Array(keys) = keys else { return bad() };
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let is_directive = |name: &str| name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER);
    let strays =
        patch.iter().any(|(name, v)| !v.is_null() && !is_directive(name) && !keys.contains(name.as_str()));
    if strays {
        return bad();
    }
    original.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// Merges the lists whose order the patch sets, and takes them out of the patch.
fn order_elements(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    ty: Type<'_>,
) -> Result<(), PatchError> {
    let names: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in names {
        let bad = || malformed("invalid patch format of setElementOrder list");
        let Some(Value::Array(wanted)) = patch.remove(&directive) else { return bad() };
        let Some(name) = directive.strip_prefix(SET_ORDER) else { return bad() };
        let field = ty.field(name);
        let key = strategy(field).key;
        let identity = Identity(key);
        let server = match original.get(name) {
            None => None,
            Some(Value::Array(list)) => Some(list.clone()),
            Some(_) => return bad(),
        };
        let changes = match patch.remove(name) {
            None => None,
            Some(Value::Array(list)) => Some(list),
            Some(_) => return bad(),
        };
        check_order(identity, changes.as_deref().unwrap_or_default(), &wanted)?;
        let merged = match (&server, changes) {
            (None, None) => continue,
            (Some(server), None) => server.clone(),
            (None, Some(changes)) => changes.into_iter().filter_map(cleaned).collect(),
            (Some(server), Some(changes)) => merge_list(server.clone(), changes, field)?,
        };
        if let Some(key) = key {
            require_key(key, merged.iter().chain(&wanted))?;
        }
        let merged = ordered(identity, merged, &wanted, server.as_deref().unwrap_or_default());
        original.insert(name.to_owned(), Value::Array(merged));
    }
    Ok(())
}

/// What the patch changes must be among what it orders, in that order; deletions aside.
fn check_order(identity: Identity<'_>, changes: &[Value], wanted: &[Value]) -> Result<(), PatchError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut wanted = wanted.iter();
    for change in changes.iter().filter(|change| change.get(PATCH).is_none()) {
        let this = identity.of(change);
        if !wanted.any(|other| identity.of(other) == this) {
            return malformed("The order in patch list doesn't match $setElementOrder list");
        }
    }
    Ok(())
}

/// Removes scalars from a list.
fn delete_from(original: &mut Map<String, Value>, list: &str, gone: &Value) -> Result<(), PatchError> {
    let Value::Array(gone) = gone else { return malformed("invalid patch format of primitive list") };
    let gone: BTreeSet<Keyed<'_>> = gone.iter().map(Keyed).collect();
    match original.get_mut(list) {
        None => Ok(()),
        Some(Value::Array(items)) => {
            items.retain(|item| !gone.contains(&Keyed(item)));
            Ok(())
        }
        Some(_) => malformed("invalid patch format of primitive list"),
    }
}

/// How a field merges.
struct Strategy<'a> {
    /// Lists merge item by item.
    merges: bool,
    /// Maps are replaced.
    replaces: bool,
    /// What tells the items of a list of maps apart.
    key: Option<&'a str>,
}

fn strategy(ty: Type<'_>) -> Strategy<'_> {
    let schema = ty.schema();
    let words = schema.and_then(|s| s.patch_strategy.as_deref()).unwrap_or_default();
    let has = |word: &str| words.split(',').any(|w| w.trim() == word);
    Strategy {
        merges: has("merge"),
        replaces: has("replace"),
        key: schema.and_then(|s| s.patch_merge_key.as_deref()),
    }
}

fn merge_list(original: Vec<Value>, patch: Vec<Value>, ty: Type<'_>) -> Result<Vec<Value>, PatchError> {
    let strategy = strategy(ty);
    if !strategy.merges || (original.is_empty() && patch.is_empty()) {
        return Ok(patch);
    }
    let all = || original.iter().chain(&patch);
    if all().any(Value::is_array) {
        return malformed("lists of lists are not supported");
    }
    if all().all(|item| !item.is_object()) {
        return Ok(merge_scalars(original, patch));
    }
    if !all().all(Value::is_object) {
        return malformed("list element types are not identical");
    }
    let Some(key) = strategy.key else { return malformed("cannot merge lists without merge key") };
    merge_keyed(original, patch, key, ty.item())
}

fn merge_scalars(original: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let distinct = original.iter().chain(&patch).filter(|item| seen.insert(Keyed(item)));
    let merged = distinct.cloned().collect();
    ordered(Identity(None), merged, &patch, &original)
}

fn require_key<'v>(key: &str, mut items: impl Iterator<Item = &'v Value>) -> Result<(), PatchError> {
    match items.find(|item| item.get(key).is_none_or(|v| v.is_object() || v.is_array())) {
        None => Ok(()),
        Some(_) => malformed(format!("map: does not contain declared merge key: {key}")),
    }
}

fn merge_keyed(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    item: Type<'_>,
) -> Result<Vec<Value>, PatchError> {
    let identity = Identity(Some(key));
    let (mut changes, mut deleted, mut replace) = (Vec::with_capacity(patch.len()), Vec::new(), false);
    for entry in patch {
        let Value::Object(mut map) = entry else { continue };
        match directive(&map)? {
            None => changes.push(Value::Object(map)),
            Some(Directive::Merge) => {
                map.remove(PATCH);
                changes.push(Value::Object(map));
            }
            Some(Directive::Replace) => replace = true,
            Some(Directive::Delete) => {
                deleted.push(Value::Object(map));
            }
        }
    }
    require_key(key, changes.iter().chain(&deleted))?;
    if replace {
        return Ok(changes.into_iter().filter_map(cleaned).collect());
    }
    let gone = identity.positions(&deleted);
    let server: Vec<Value> = original
        .into_iter()
        .filter(|item| identity.of(item).is_none_or(|id| !gone.contains_key(&id)))
        .collect();
    require_key(key, server.iter())?;

    let mut merged = server.clone();
    let positions = identity.positions(&server);
    let mut added: Vec<Value> = Vec::new();
    for change in &changes {
        let place = identity.of(change).and_then(|id| positions.get(&id).copied());
        let old = place.and_then(|at| merged.get_mut(at));
        match (old, change.clone()) {
            (Some(old), Value::Object(change)) => {
                if let Value::Object(map) = old.take() {
                    *old = Value::Object(merge_map(map, change, item)?);
                }
            }
            (_, change) => added.extend(cleaned(change)),
        }
    }
    merged.extend(added);
    Ok(ordered(identity, merged, &changes, &server))
}

/// What is left of a value that meets nothing to merge with: no nulls in its maps, and nothing that is itself a
/// directive.
fn cleaned(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if map.contains_key(PATCH) {
                return None;
            }
            let kept = map.into_iter().filter(|(name, value)| !value.is_null() && !is_list_directive(name));
            Some(Value::Object(kept.filter_map(|(name, value)| Some((name, cleaned(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(cleaned).collect())),
        scalar => Some(scalar),
    }
}

fn is_list_directive(name: &str) -> bool {
    name == RETAIN_KEYS || name.starts_with(SET_ORDER) || name.starts_with(DELETE_FROM)
}
