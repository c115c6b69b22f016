//! `deletecollection`: many deletions in one request, the rest of a large one in steps after the block.

use super::Request;
use super::delete::{Deleted, Manner, delete_object};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::outcome::Reply;
use crate::registry::Kind;
use crate::state::StateReader;
use crate::view::View;
use crate::work::{self, Job, Progress, Rest};
use hypermesh_api::Status;
use hypermesh_api::selector::{FieldSelector, LabelSelector};
use hypermesh_chain::{KeyRange, ObjectKey, Record};
use hypermesh_schemas::definition::Hook;
use std::sync::Arc;

/// As many objects are looked at within the request itself.
const FIRST_SLICE: usize = 1000;
/// As many bytes are read and written within it.
const MOST_SPENT: u64 = 32 << 20;
/// Objects that are read at once.
const PAGE: usize = 16;

/// `view` is what the objects are selected as, where that is another kind.
pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
    view: Option<View>,
) -> Result<Reply, Fault> {
    let kind = Arc::clone(&request.kind);
    match view {
        Some(view) => view.check_fields(&request.call.fields)?,
        None => check_fields(&kind, &request.call.fields)?,
    }
    let namespace = Some(request.call.info.namespace.clone()).filter(|n| kind.namespaced() && !n.is_empty());
    let wanted = &request.call.delete.preconditions;
    if wanted.uid.is_some() || wanted.resource_version.is_some() {
        let words = "preconditions name one object; a collection cannot be deleted under them";
        return Err(Status::bad_request(words).into());
    }
    let range = KeyRange { collection: kind.collection.clone(), namespace };
    let (items, last) = first_slice(execution, request, &range, view)?;
    if let Some(last) = last {
        let rest = Rest {
            range: (&range).into(),
            until: execution.overlay.revision().0,
            time: execution.time.clone(),
            labels: request.call.labels.to_string(),
            fields: request.call.fields.to_string(),
            propagation: request.call.delete.propagation.map(|p| p.as_str().to_owned()),
            grace: request.call.delete.grace_period_seconds,
            shown: view.map(|view| view.plural().to_owned()),
        };
        let job = Job::Collection { digest: request.call.digest, rest };
        work::add_at(execution, job, Progress::beyond(&last))?;
    }
    Ok(Reply {
        code: 200,
        body: crate::outcome::Body::Document(list(&kind, execution.told_revision().0, &items)),
    })
}

/// Deletes what is selected of the first objects; what was deleted, and the last object that was looked at, unless it
/// was the last of all.
fn first_slice<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &Request<'_>,
    range: &KeyRange,
    view: Option<View>,
) -> Result<(Vec<Arc<Record>>, Option<ObjectKey>), Fault> {
    let (mut items, mut seen, mut last) = (Vec::new(), 0, None);
    let start = execution.overlay.spent();
    loop {
        let page = execution.overlay.scan(range, last.as_ref(), PAGE)?;
        let full = page.len() == PAGE;
        for (key, record) in page {
            seen += 1;
            if selected_as(view, &key, &record, &request.call.labels, &request.call.fields) {
                let manner = Manner::of(&request.call.delete);
                match delete_object(execution, &request.kind, &key, &record, manner)? {
                    Deleted::Gone => items.push(record),
                    Deleted::Waiting(marked) => items.push(marked),
                }
            }
            last = Some(key);
            if seen >= FIRST_SLICE || !execution.has_room() {
                return Ok((items, last));
            }
        }
        if !full {
            return Ok((items, None));
        }
        if execution.overlay.spent() - start > MOST_SPENT {
            return Ok((items, last));
        }
    }
}

/// Field selectors may name the object's name and namespace and what the kind declares.
pub fn check_fields(kind: &Kind, fields: &FieldSelector) -> Result<(), Status> {
    for requirement in fields.requirements() {
        let field = requirement.field.as_str();
        let known = matches!(field, "metadata.name" | "metadata.namespace")
            || (field == SOURCE && kind.has(Hook::Event))
            || kind.selectable.iter().any(|path| path.dotted() == field);
        if !known {
            return Err(Status::bad_request(format!("field label not supported: {field}")));
        }
    }
    Ok(())
}

/// Whether selectors take an object.
pub fn selected(key: &ObjectKey, record: &Record, labels: &LabelSelector, fields: &FieldSelector) -> bool {
    selected_as(None, key, record, labels, fields)
}

/// Whether selectors take what is shown of an object.
pub(crate) fn selected_as(
    view: Option<View>,
    key: &ObjectKey,
    record: &Record,
    labels: &LabelSelector,
    fields: &FieldSelector,
) -> bool {
    let fact = |wanted: &str| {
        record.facts.fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    labels.matches(&record.facts.labels)
        && fields.matches(|field| match field {
            "metadata.name" => Some(key.name()),
            "metadata.namespace" => Some(key.namespace()),
            SOURCE => fact("source.component")
                .filter(|name| !name.is_empty())
                .or_else(|| fact("reportingComponent")),
            other => match (fact(other).filter(|value| !value.is_empty()), view) {
                (Some(value), _) => Some(value),
                (None, Some(view)) => Some(view.absent(other)),
                (None, None) => fact(other),
            },
        })
}

/// What selectors call the component that an Event is from, whichever of the two fields that name one has it
/// (`k8s.io/kubernetes/pkg/registry/core/event`, ToSelectableFields). No other kind has a field of this path.
const SOURCE: &str = "source";

fn list(kind: &Kind, revision: u64, items: &[Arc<Record>]) -> bytes::Bytes {
    let mut bytes = Vec::with_capacity(128 + items.iter().map(|r| r.body.len() + 1).sum::<usize>());
    bytes.extend_from_slice(format!("{{\"apiVersion\":{:?},\"items\":[", kind.api_version).as_bytes());
    for (i, record) in items.iter().enumerate() {
        if i > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(&record.body);
    }
    let kind = &kind.definition.names.list_kind;
    bytes.extend_from_slice(
        format!("],\"kind\":{kind:?},\"metadata\":{{\"resourceVersion\":\"{revision}\"}}}}").as_bytes(),
    );
    bytes.into()
}
