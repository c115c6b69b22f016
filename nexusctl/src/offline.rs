//! Judging manifests without a server, by the kinds that this program was built with and the code that servers judge
//! by. What depends on a cluster's state is left to it.

use crate::{
    convert,
    discovery::{Discovery, Resource, UnknownKind},
    manifest::{self, Diagnostic, Document, Judge, refusal},
    schema::Schema,
};
use hypermesh_api::Status;
use hypermesh_pipeline::{
    Kind,
    judge::{Judged, judge},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The kinds, compiled when they are first needed.
#[derive(Default)]
pub struct Kinds {
    compiled: BTreeMap<(String, String), Option<Kind>>,
}

/// What is known of an object without a server.
#[derive(Debug)]
pub enum Finding {
    /// Nothing is wrong with it.
    Valid,
    /// Something is.
    Invalid(Vec<Diagnostic>),
    /// Its kind is not known here: what to say of that.
    Unknown(Diagnostic),
}

impl Kinds {
    /// The kind of this name, if this program knows it.
    pub fn get(&mut self, api_version: &str, kind: &str) -> Option<&Kind> {
        let key = (api_version.to_owned(), kind.to_owned());
        self.compiled.entry(key).or_insert_with(|| self::kind(api_version, kind)).as_ref()
    }

    /// Judges a manifest.
    pub fn judge(&mut self, document: &Document) -> Finding {
        let Some(kind) = self.get(&document.api_version, &document.kind) else { return unknown(document) };
        let statuses = statuses(kind, document.object());
        if statuses.is_empty() {
            return Finding::Valid;
        }
        let (group, version) = document.group_version();
        let resource = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: document.kind.clone(),
            ..Resource::default()
        };
        let schema = Schema::built_in(&resource);
        let explain = |status: &Status| match &schema {
            Some(schema) => refusal::explain(document, status, schema),
            None => refusal::explain(document, status, &()),
        };
        Finding::Invalid(statuses.iter().flat_map(explain).collect())
    }
}

/// The kind of this name, if this program knows it.
pub(crate) fn kind(api_version: &str, kind: &str) -> Option<Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let is = |d: &hypermesh_schemas::KindDefinition| {
        d.group == group && d.version == version && d.names.kind == kind
    };
    // The definitions are ours: one that does not compile is a defect that tests find.
    hypermesh_schemas::definitions().into_iter().find(is).and_then(|d| Kind::compile(d).ok())
}

/// A name that is nearly one that is known is mistyped; any other may be a kind that somebody has added to a cluster.
fn unknown(document: &Document) -> Finding {
    let Err(unknown) = known().kind(&document.api_version, &document.kind) else {
        // A definition of ours that does not compile is a defect that tests find.
        return Finding::Unknown(Diagnostic::at(&document.source, document.node.span, "not judged"));
    };
    let mistyped = match &unknown {
        UnknownKind::Kind { near, elsewhere } => near.is_some() || elsewhere.is_some(),
        UnknownKind::ApiVersion { near } => near.is_some(),
    };
    let converts = convert::converts(&document.api_version, &document.kind);
    let fault = manifest::unknown_kind(document, unknown, Judge::Program);
    if mistyped && !converts { Finding::Invalid(vec![fault]) } else { Finding::Unknown(fault) }
}

/// The kinds that this program was built with, as a server would list them.
fn known() -> Discovery {
    let resource = |definition: hypermesh_schemas::KindDefinition| Resource {
        group: definition.group,
        version: definition.version,
        kind: definition.names.kind,
        ..Resource::default()
    };
    Discovery { resources: hypermesh_schemas::definitions().into_iter().map(resource).collect() }
}

/// The fields that are wrong in an object of a kind; nothing where a server would take it, nor where the object has fields
/// that the kind has not here, as one of another version of this program.
pub(crate) fn faults(kind: &Kind, object: Value) -> Vec<String> {
    let fields = |judged: Judged| match judged.unknown.is_empty() {
        true => judged.errors.into_iter().map(|error| error.field).collect(),
        false => Vec::new(),
    };
    judge(kind, object).map_or_else(|_| vec![String::new()], fields)
}

/// What a server would refuse an object for, one Status a reason.
fn statuses(kind: &Kind, object: Value) -> Vec<Status> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    match judge(kind, object) {
        Err(status) => vec![status],
        Ok(judged) => {
            let mut statuses = Vec::new();
            if !judged.unknown.is_empty() {
                let fields: Vec<String> =
                    judged.unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
                statuses.push(Status::bad_request(format!("strict decoding error: {}", fields.join(", "))));
            }
            if !judged.errors.is_empty() {
                statuses.push(Status::invalid(kind.kind_subject(&name), &judged.errors));
            }
            statuses
        }
    }
}
