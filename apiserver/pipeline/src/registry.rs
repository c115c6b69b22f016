//! The kinds that are served, compiled from their definitions in the state.

use crate::state::{ReadError, StateReader};
use crate::system;
use hypermesh_api::request::Verb;
use hypermesh_api::{Status, Subject};
use hypermesh_schemas::KindDefinition;
use hypermesh_schemas::definition::{Hook, Scope};
use hypermesh_structural::Schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// A definition in the state that cannot be served.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The state could not be read.
    #[error("loading the kinds failed")]
    Read(#[from] ReadError),
    /// The record is not a definition.
    #[error("the kind definition {name} does not decode")]
    Decode {
        /// Name of the record.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The schema is not structural.
    #[error("the schema of {name} is not structural: {problems}")]
    Schema {
        /// `plural.group`.
        name: String,
        /// All problems, in one line.
        problems: String,
    },
}

/// A path of plain field names, such as `.spec.color`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    segments: Vec<String>,
}

impl FieldPath {
    /// Reads `.a.b`; a leading dot is optional.
    pub fn parse(text: &str) -> Self {
        let segments =
            text.trim_start_matches('.').split('.').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Self { text: text.to_owned(), segments }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Without the leading dot.
    pub fn dotted(&self) -> String {
        self.segments.join(".")
    }

    /// The value at the path.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.segments.iter().try_fold(root, |at, segment| at.get(segment))
    }

    /// Sets the value at the path, making objects on the way. False when something else than an object is in the way.
    pub fn set(&self, root: &mut Value, value: Value) -> bool {
        let mut at = root;
        for segment in &self.segments {
            let Value::Object(map) = at else { return false };
            at = map.entry(segment.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()));
        }
        *at = value;
        true
    }
}

/// A unique field, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Unique {
    /// Name of the index: `plural.group` and path.
    pub index: String,
    /// Where the value is.
    pub path: FieldPath,
    /// Whether the namespace belongs to the value.
    pub namespaced: bool,
}

/// One kind, ready to be served.
#[derive(Debug)]
pub struct Kind {
    /// What it was made from, but for the schema: as a value that takes ten times the room of its text. The whole is
    /// [`Self::described`].
    pub definition: KindDefinition,
    /// The schema that it was made from, as JSON.
    raw: Box<str>,
    /// The compiled schema.
    pub schema: Schema,
    /// `group/plural`: where its objects are stored.
    pub collection: String,
    /// `group/version`, or `v1` in the core group.
    pub api_version: String,
    /// Fields that selectors may name.
    pub selectable: Vec<FieldPath>,
    /// Unique fields.
    pub unique: Vec<Unique>,
}

impl Kind {
    /// Compiles a definition.
    pub fn compile(mut definition: KindDefinition) -> Result<Self, RegistryError> {
        let name = format!("{}.{}", definition.names.plural, definition.group);
        let raw = std::mem::take(&mut definition.schema);
        let schema = Schema::compile(&raw).map_err(|problems| RegistryError::Schema {
            name: name.clone(),
            problems: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
        let api_version = if definition.group.is_empty() {
            definition.version.clone()
        } else {
            format!("{}/{}", definition.group, definition.version)
        };
        let unique = definition
            .unique_fields
            .iter()
            .map(|field| Unique {
                index: format!("{name}{}", field.json_path),
                path: FieldPath::parse(&field.json_path),
                namespaced: field.scope == Scope::Namespaced,
            })
            .collect();
        Ok(Self {
            collection: format!("{}/{}", definition.group, definition.names.plural),
            api_version,
            selectable: definition.selectable_fields.iter().map(|p| FieldPath::parse(p)).collect(),
            unique,
            schema,
            raw: raw.to_string().into(),
            definition,
        })
    }

    /// The whole definition, made anew.
    pub fn described(&self) -> KindDefinition {
        let schema = serde_json::from_str(&self.raw).unwrap_or_default();
        KindDefinition { schema, ..self.definition.clone() }
    }

    /// The kind, with its objects in another's collection.
    #[must_use]
    pub fn stored_in(self, collection: String) -> Self {
        Self { collection, ..self }
    }

    /// Whether its objects live in namespaces.
    pub fn namespaced(&self) -> bool {
        self.definition.scope == Scope::Namespaced
    }

    /// Whether the kind turns on `hook`.
    pub fn has(&self, hook: Hook) -> bool {
        self.definition.strategy.hooks.contains(&hook)
    }

    /// What a Status is about, by plural: `assets.hm.example.com "a1"`.
    pub fn subject<'s>(&'s self, name: &'s str) -> Subject<'s> {
        Subject { group: &self.definition.group, resource: &self.definition.names.plural, name }
    }

    /// 405 for a verb that the kind, or its `subresource`, does not have.
    pub fn refuse_verb(&self, subresource: &str, verb: Verb) -> Status {
        let plural = &self.definition.names.plural;
        let resource =
            if subresource.is_empty() { plural.clone() } else { format!("{plural}/{subresource}") };
        let subject = Subject { group: &self.definition.group, resource: &resource, name: "" };
        Status::method_not_allowed(subject, verb.as_str())
    }

    /// What a Status is about, by kind: `Asset.hm.example.com "A_bad"`.
    pub fn kind_subject<'s>(&'s self, name: &'s str) -> Subject<'s> {
        Subject { group: &self.definition.group, resource: &self.definition.names.kind, name }
    }
}

/// All kinds.
#[derive(Debug, Default)]
pub struct Registry {
    kinds: BTreeMap<(String, String, String), Arc<Kind>>,
    /// The same by plural: every request asks for its kind, once at the door and once when it is executed.
    by_plural: BTreeMap<String, Vec<Arc<Kind>>>,
}

impl Registry {
    /// Compiles definitions.
    pub fn compile(definitions: Vec<KindDefinition>) -> Result<Self, RegistryError> {
        let mut kinds = BTreeMap::new();
        for definition in definitions {
            let place =
                (definition.group.clone(), definition.version.clone(), definition.names.plural.clone());
            kinds.insert(place, Arc::new(Kind::compile(definition)?));
        }
        let mut by_plural: BTreeMap<String, Vec<Arc<Kind>>> = BTreeMap::new();
        for kind in kinds.values() {
            by_plural.entry(kind.definition.names.plural.clone()).or_default().push(Arc::clone(kind));
        }
        Ok(Self { kinds, by_plural })
    }

    /// Loads and compiles the kinds of a state.
    pub fn load(state: &(impl StateReader + ?Sized)) -> Result<Self, RegistryError> {
        const MOST_KINDS: usize = 10_000;
        let mut definitions = Vec::new();
        for (key, record) in state.scan(&system::range(system::KINDS), None, MOST_KINDS)? {
            let definition = serde_json::from_slice(&record.body)
                .map_err(|source| RegistryError::Decode { name: key.name().to_owned(), source })?;
            definitions.push(definition);
        }
        Self::compile(definitions)
    }

    /// The kind served at a group, version and plural.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let served = |kind: &&Arc<Kind>| kind.definition.group == group && kind.definition.version == version;
        self.by_plural.get(plural)?.iter().find(served)
    }

    /// The kind that an object names by `apiVersion` and `kind`.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds.values().find(|k| k.api_version == api_version && k.definition.names.kind == kind)
    }

    /// The kind stored in a collection.
    pub fn collection(&self, collection: &str) -> Option<&Arc<Kind>> {
        let (group, plural) = collection.split_once('/')?;
        self.kinds
            .range((group.to_owned(), String::new(), String::new())..)
            .take_while(|((g, _, _), _)| g == group)
            .find(|((_, _, p), _)| p == plural)
            .map(|(_, kind)| kind)
    }

    /// All kinds, by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }
}
