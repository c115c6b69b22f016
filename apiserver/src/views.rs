//! What is shown of one kind as another: Pods of Instances, Nodes of `core/v1` of ours.
//!
//! A view is a kind like any other to the one path that serves them all, but for two things: its objects lie in another
//! kind's collection, and each is projected before it is sent ([`hypermesh_wire::project`]). Rights, selectors, revisions,
//! pages, watches and tables need to know nothing of it. Writes that a view takes are the state machine's
//! ([`hypermesh_pipeline::view`]).

use hypermesh_api::request::RequestInfo;
use hypermesh_pipeline::{Kind, Registry};
use hypermesh_wire::VirtualResource;
use hypermesh_wire::project::{self, Projection};
use std::sync::Arc;

/// One kind that is shown of another.
#[derive(Debug)]
pub(crate) struct View {
    /// The kind that is shown. Its collection is the source's.
    pub kind: Arc<Kind>,
    /// What it is shown of.
    source: Arc<Kind>,
    /// How.
    pub projection: &'static Projection,
}

impl View {
    /// The views of these kinds.
    pub fn all(registry: &Registry) -> Vec<Arc<Self>> {
        let views = project::ALL.into_iter().filter_map(|projection| {
            let (group, version, plural) = projection.source;
            let source = registry.resource(group, version, plural)?;
            match Kind::compile(projection.definition(&source.definition)) {
                Ok(kind) => {
                    let kind = Arc::new(kind.stored_in(source.collection.clone()));
                    Some(Arc::new(Self { kind, source: Arc::clone(source), projection }))
                }
                Err(error) => {
                    tracing::error!(%error, plural, "what is shown of a kind cannot be served");
                    None
                }
            }
        });
        views.collect()
    }

    /// Whether a request is about it.
    pub fn is_asked(&self, info: &RequestInfo) -> bool {
        self.projection.shown == (info.group.as_str(), info.version.as_str(), info.resource.as_str())
    }

    /// What discovery and OpenAPI tell of it, with the whole schema or without one: that of Pods takes half a megabyte.
    pub fn resources(&self, described: bool) -> Vec<VirtualResource> {
        let plain = Arc::new(serde_json::json!({"type": "object"}));
        let schema = if described {
            Arc::new(self.projection.schema(&self.source.described()))
        } else {
            Arc::clone(&plain)
        };
        let words = |verbs: &[&str]| verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let definition = &self.kind.definition;
        let whole = VirtualResource {
            group: definition.group.clone(),
            version: definition.version.clone(),
            plural: definition.names.plural.clone(),
            singular: definition.names.singular.clone(),
            subresource: None,
            kind: definition.names.kind.clone(),
            kind_group_version: None,
            scope: definition.scope,
            verbs: words(self.projection.verbs),
            short_names: definition.names.short_names.clone(),
            categories: definition.names.categories.clone(),
            schema: Arc::clone(&schema),
        };
        let below = self.projection.subresources.iter().map(|sub| {
            let (kind, group, version) = sub.kind;
            VirtualResource {
                singular: String::new(),
                subresource: Some(sub.name.to_owned()),
                kind: kind.to_owned(),
                kind_group_version: Some((group.to_owned(), version.to_owned())),
                verbs: words(sub.verbs),
                short_names: Vec::new(),
                categories: Vec::new(),
                schema: Arc::clone(if kind == definition.names.kind { &schema } else { &plain }),
                ..whole.clone()
            }
        });
        let below: Vec<VirtualResource> = below.collect();
        std::iter::once(whole).chain(below).collect()
    }
}
