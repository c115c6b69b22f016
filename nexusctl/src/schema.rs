//! The field names that a kind's schema knows, for suggestions.
//!
//! Taken from the server's OpenAPI v3 document, which is what the server judges by, or else from the definitions that
//! this program was built with. Only fetched once something is wrong; without either there are no suggestions.

use crate::{
    client::{Call, Client},
    discovery::Resource,
    manifest::{FieldPath, path::Step, refusal::FieldNames},
};
use serde_json::{Map, Value};

/// How many references and combinators are followed at one place.
const MOST_HOPS: usize = 16;
/// How deep a schema is written out.
const DEEPEST: usize = 24;

/// The schema of one kind: a structural schema, or an OpenAPI v3 document and where in it the kind is.
#[derive(Clone, Debug)]
pub struct Schema {
    document: Value,
    root: Value,
}

impl Schema {
    /// From a schema that refers to nothing outside itself.
    pub fn structural(schema: Value) -> Self {
        Self { document: Value::Null, root: schema }
    }

    /// From the OpenAPI v3 document of a group and version.
    pub fn of_document(document: Value, resource: &Resource) -> Option<Self> {
        let schemas = document.get("components")?.get("schemas")?.as_object()?;
        let root = schemas.values().find(|schema| {
            let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            kinds.is_some_and(|kinds| {
                kinds.iter().any(|k| {
                    let is = |key: &str, wanted: &str| {
                        k.get(key).and_then(Value::as_str).unwrap_or_default() == wanted
                    };
                    is("group", &resource.group)
                        && is("version", &resource.version)
                        && is("kind", &resource.kind)
                })
            })
        });
        let root = root?.clone();
        Some(Self { document, root })
    }

    /// Asks the server, then the definitions that this program was built with.
    pub async fn find(client: &Client, resource: &Resource) -> Option<Self> {
        let path = if resource.group.is_empty() {
            format!("/openapi/v3/api/{}", resource.version)
        } else {
            format!("/openapi/v3/apis/{}/{}", resource.group, resource.version)
        };
        let document = match client.send(&Call::get(path)).await {
            Ok(reply) => reply.json().ok(),
            Err(_) => None,
        };
        document
            .and_then(|document| Self::of_document(document, resource))
            .or_else(|| Self::built_in(resource))
    }

    /// From the definitions that this program was built with.
    pub fn built_in(resource: &Resource) -> Option<Self> {
        let is = |d: &hypermesh_schemas::KindDefinition| {
            d.group == resource.group && d.version == resource.version && d.names.kind == resource.kind
        };
        hypermesh_schemas::definitions().into_iter().find(is).map(|d| Self::structural(d.schema))
    }

    /// The schema of the kind itself.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The schemas that describe the members of what `merged` describes: items and values looked into.
    pub fn members<'a>(&'a self, merged: &[&'a Value]) -> Vec<&'a Value> {
        let mut merged = merged.to_vec();
        for _ in 0..MOST_HOPS {
            if merged.iter().any(|schema| schema.get("properties").is_some()) {
                break;
            }
            let inner = merged.iter().find_map(|schema| {
                schema.get("items").or_else(|| schema.get("additionalProperties").filter(|a| a.is_object()))
            });
            match inner {
                Some(inner) => merged = self.resolve(inner),
                None => break,
            }
        }
        merged
    }

    /// The schema of a member.
    pub fn member<'a>(&'a self, merged: &[&'a Value], name: &str) -> Option<&'a Value> {
        merged.iter().find_map(|schema| schema.get("properties")?.get(name))
    }

    /// The names of members, in order.
    pub fn names(&self, merged: &[&Value]) -> Vec<String> {
        let properties = merged.iter().filter_map(|schema| schema.get("properties")?.as_object());
        let mut names: Vec<String> = properties.flat_map(|p| p.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// A schema and all that it refers to or combines.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            if found.len() >= MOST_HOPS {
                break;
            }
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                open.extend(reference.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer)));
            }
            for combinator in ["allOf", "anyOf", "oneOf"] {
                open.extend(schema.get(combinator).and_then(Value::as_array).into_iter().flatten());
            }
            found.push(schema);
        }
        found
    }

    /// A schema that says all by itself: what it and its parts refer to is written out, as far as [`DEEPEST`] goes.
    pub fn plain(&self, schema: &Value) -> Value {
        self.plain_below(schema, 0)
    }

    fn plain_below(&self, schema: &Value, depth: usize) -> Value {
        let mut whole = Map::new();
        let mut open = vec![schema];
        for _ in 0..MOST_HOPS {
            let Some(Value::Object(keywords)) = open.pop() else { break };
            let reference = keywords.get("$ref").and_then(Value::as_str);
            open.extend(reference.and_then(|r| self.document.pointer(r.strip_prefix('#')?)));
            open.extend(keywords.get("allOf").and_then(Value::as_array).into_iter().flatten());
            for (keyword, value) in keywords {
                if !matches!(keyword.as_str(), "$ref" | "allOf") && !whole.contains_key(keyword) {
                    whole.insert(keyword.clone(), value.clone());
                }
            }
        }
        if depth >= DEEPEST {
            whole.retain(|keyword, _| {
                !matches!(keyword.as_str(), "properties" | "items" | "additionalProperties" | "required")
            });
            return Value::Object(whole);
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(inner) = whole.get_mut(keyword).filter(|inner| inner.is_object()) {
                *inner = self.plain_below(inner, depth + 1);
            }
        }
        let properties = whole.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, member) in properties {
            *member = self.plain_below(member, depth + 1);
        }
        Value::Object(whole)
    }

    fn step<'a>(&'a self, schema: &'a Value, step: &Step) -> Option<&'a Value> {
        self.resolve(schema).into_iter().find_map(|schema| match step {
            Step::Field(name) => schema
                .get("properties")
                .and_then(|p| p.get(name))
                .or_else(|| schema.get("additionalProperties").filter(|a| a.is_object())),
            Step::Index(_) | Step::Keys(_) => schema.get("items"),
            Step::Value(_) => schema.get("items").or_else(|| schema.get("additionalProperties")),
        })
    }
}

impl Schema {
    /// Whether what stands at a place is a map, whose keys are data and no fields; `None` where that is not known.
    pub fn is_map(&self, path: &[Step]) -> Option<bool> {
        let place = path.iter().try_fold(&self.root, |schema, step| self.step(schema, step))?;
        let schemas = self.resolve(place);
        if schemas.iter().any(|schema| schema.get("properties").is_some()) {
            return Some(false);
        }
        schemas.iter().any(|schema| schema.get("additionalProperties").is_some()).then_some(true)
    }
}

impl FieldNames for Schema {
    fn at(&self, parent: &FieldPath) -> Vec<String> {
        let mut schema = &self.root;
        for step in parent.steps() {
            match self.step(schema, step) {
                Some(next) => schema = next,
                None => return Vec::new(),
            }
        }
        let properties = self.resolve(schema).into_iter().filter_map(|s| s.get("properties")?.as_object());
        let mut names: Vec<String> = properties.flat_map(|p| p.keys().cloned()).collect();
        if parent.steps().is_empty() {
            names.extend(["apiVersion", "kind", "metadata"].map(str::to_owned));
        }
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_fields_of_kinds_that_it_was_built_with() {
        let workload = Resource {
            group: "hypermesh.online".into(),
            version: "v1".into(),
            kind: "Workload".into(),
            ..Resource::default()
        };
        let schema = Schema::built_in(&workload).unwrap();
        let at = |path: &str| schema.at(&FieldPath::parse(path));
        assert!(at("spec.template.spec.containers[0]").contains(&"image".to_owned()));
        assert!(at("").contains(&"metadata".to_owned()) && at("").contains(&"spec".to_owned()));
        assert_eq!(at("spec.nothing.here"), Vec::<String>::new());
        let is_map = |path: &str| schema.is_map(FieldPath::parse(path).steps());
        assert_eq!(is_map("spec.template.metadata.labels"), Some(true));
        assert_eq!(is_map("spec.template.spec.containers[0].resources.limits"), Some(true));
        assert_eq!(is_map("spec.template.spec"), Some(false));
        assert_eq!(is_map("spec.nothing.here"), None);
        assert!(Schema::built_in(&Resource { kind: "Nothing".into(), ..workload }).is_none());
    }
}
