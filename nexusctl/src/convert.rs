//! Kinds of Kubernetes that are not served here, made into ours: Deployment, StatefulSet, DaemonSet, Job, CronJob,
//! Service, Ingress and NetworkPolicy become Workloads, Certificates, Domains and Networks. Pure.
//!
//! One file a source kind. What becomes part of our object is taken out of the source, and what is left at the end is
//! told, field by field: nothing is lost silently. Whatever a file makes is pruned by our schema and judged by the code
//! that servers judge by, so that no field is invented and no output is refused.

mod carry;
mod cron_job;
mod daemon_set;
mod deployment;
mod index;
mod ingress;
mod job;
mod network_policy;
mod pieces;
mod placement;
mod publish;
mod service;
mod stateful_set;
mod template;

use crate::{
    manifest::{Diagnostic, Document, FieldPath},
    offline::Kinds,
};
use index::Index;
use pieces::Piece;
use serde_json::Value;
use std::collections::BTreeSet;

/// What became of the manifests.
#[derive(Debug, Default)]
pub struct Conversion {
    /// Our objects, and those that need no conversion.
    pub objects: Vec<Converted>,
    /// What could not be carried, in the order of the manifests.
    pub notes: Vec<Note>,
    /// Objects that could not be converted at all.
    pub failed: Vec<Diagnostic>,
}

/// One object that came out.
#[derive(Debug)]
pub struct Converted {
    /// The object.
    pub object: Value,
    /// What it was made of: `web.yaml:3:1 Deployment "web"`.
    pub made_of: Vec<String>,
    /// What could not be carried into it.
    pub notes: Vec<String>,
}

/// Something that could not be carried as it was.
#[derive(Clone, Debug)]
pub struct Note {
    /// Where, and what.
    pub diagnostic: Diagnostic,
    /// Whether something is lost, rather than said in another way.
    pub lost: bool,
}

/// Whether an apiVersion and kind can be converted.
pub fn converts(api_version: &str, kind: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    matches!(
        (group, kind),
        ("apps" | "extensions", "Deployment" | "DaemonSet")
            | ("apps", "StatefulSet" | "ReplicaSet")
            | ("batch", "Job" | "CronJob")
            | ("", "Service")
            | ("networking.k8s.io" | "extensions", "Ingress" | "NetworkPolicy")
    )
}

/// Converts manifests. `namespace` is meant where none is named.
pub fn convert(documents: &[Document], namespace: &str, kinds: &mut Kinds) -> Conversion {
    let mut conversion = Conversion::default();
    let mut pieces: Vec<Piece> = documents.iter().map(|document| Piece::new(document, namespace)).collect();
    let mut index = Index::of(&pieces);
    // Workloads first: what selects or names them comes after, wherever it stands.
    let mut made = Vec::new();
    for (position, piece) in pieces.iter_mut().enumerate() {
        let spec = match piece.kind() {
            "Deployment" | "ReplicaSet" => deployment::convert(piece, &index),
            "StatefulSet" => stateful_set::convert(piece, &index),
            "DaemonSet" => daemon_set::convert(piece, &index),
            "Job" => job::convert(piece, &index),
            "CronJob" => cron_job::convert(piece, &index),
            _ => continue,
        };
        index.place(position, made.len());
        made.push((position, piece.object("hypermesh.online/v1", "Workload", spec)));
    }
    let mut others: Vec<(usize, Value)> = Vec::new();
    for (position, piece) in pieces.iter_mut().enumerate() {
        match piece.kind() {
            "Service" => service::convert(position, piece, &mut index, &mut made),
            "NetworkPolicy" => others.push((position, network_policy::convert(piece))),
            _ => {}
        }
    }
    for (position, piece) in pieces.iter_mut().enumerate() {
        if piece.kind() == "Ingress" {
            let objects = ingress::convert(piece, &index, &mut made);
            others.extend(objects.into_iter().map(|object| (position, object)));
        }
    }
    finish(pieces, documents, made.into_iter().chain(others).collect(), &index, kinds, &mut conversion);
    conversion
}

/// Prunes and judges what was made, and gathers what could not be carried.
fn finish(
    mut pieces: Vec<Piece>,
    documents: &[Document],
    made: Vec<(usize, Value)>,
    index: &Index,
    kinds: &mut Kinds,
    conversion: &mut Conversion,
) {
    let mut outputs: Vec<(usize, Value)> = Vec::new();
    // Manifests that an object comes of, or that are told to have failed.
    let mut came: BTreeSet<usize> = BTreeSet::new();
    for (position, mut object) in made {
        came.insert(position);
        came.extend(index.merged_into(position));
        carry::clean(&mut object);
        let (api_version, kind) = (text(&object, "apiVersion"), text(&object, "kind"));
        if let Some(kind) = kinds.get(&api_version, &kind) {
            let unknown = kind.schema.prune(&mut object);
            pieces[position].unknown(unknown);
            template::repair(&mut object, &mut pieces[position]);
            let faults = carry::faults(kind, &object);
            if !faults.is_empty() {
                let document = pieces[position].document;
                conversion.failed.extend(faults.into_iter().map(|(path, words)| {
                    // Our fields mostly stand where Kubernetes' do: where they do not, the nearest holder is shown.
                    let (span, _) = document.value_span_of(&path);
                    let title = format!("{} cannot be converted: {words}", document.reference());
                    Diagnostic::at(&document.source, span, title)
                }));
                continue;
            }
        }
        outputs.push((position, object));
    }
    for (position, (piece, document)) in pieces.into_iter().zip(documents).enumerate() {
        let passed = !converts(&document.api_version, &document.kind);
        if passed {
            if kinds.get(&document.api_version, &document.kind).is_some() {
                outputs.push((position, document.object()));
            } else {
                let title =
                    format!("{} of {} has no counterpart: left out", document.kind, document.api_version);
                let diagnostic = Diagnostic::at(&document.source, document.node.span, title).warning();
                conversion.notes.push(Note { diagnostic, lost: true });
            }
        } else {
            conversion.notes.extend(piece.finish(came.contains(&position)));
        }
    }
    outputs.sort_by_key(|(position, _)| *position);
    for (position, object) in outputs {
        let sources: Vec<usize> =
            std::iter::once(position).chain(index.merged_into(position).iter().copied()).collect();
        let of = |position: &usize| {
            let document = &documents[*position];
            format!("{} {}", document.place(), document.reference())
        };
        let about = |note: &&Note| {
            let place = note.diagnostic.place.as_ref();
            place.is_some_and(|(source, span)| {
                sources.iter().any(|position| documents[*position].holds(source, span.line))
            })
        };
        let notes = conversion.notes.iter().filter(about).map(|note| note.diagnostic.title.clone()).collect();
        conversion.objects.push(Converted { object, made_of: sources.iter().map(of).collect(), notes });
    }
}

fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A note at a field of a document, or at what would hold it.
fn note_at(document: &Document, path: &FieldPath, title: String, lost: bool) -> Note {
    let (span, _) = document.span_of(path);
    Note { diagnostic: Diagnostic::at(&document.source, span, title).warning(), lost }
}

#[cfg(test)]
mod tests;
