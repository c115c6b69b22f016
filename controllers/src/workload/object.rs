//! A Workload as this controller reads it, and the objects that it makes. Pure.
//!
//! The template stays as it was written: a field that this build does not know reaches the instances all the same.

use super::member::ORDINAL;
use super::revision::{self, Record, Snapshot};
use super::{REVISION, SNAPSHOT_OF, WORKLOAD, template};
use crate::runtime::Subject;
use hypermesh_schemas::workload::WorkloadStatus;
use hypermesh_schemas::workload::job::{Job, Schedule};
use hypermesh_schemas::workload::rollout::Rollout;
use jiff::Timestamp;
use kube::core::Object;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A Workload.
pub type Workload = Object<Spec, WorkloadStatus>;

/// What is read of a Workload's spec.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// How many instances there should be.
    #[serde(default = "one")]
    pub replicas: u32,
    /// What each is.
    pub template: Value,
    /// Makes it run to completion.
    pub job: Option<Job>,
    /// Runs the job by the clock.
    pub schedule: Option<Schedule>,
    /// How a changed template reaches the instances.
    #[serde(default)]
    pub rollout: Rollout,
    /// What else there is, for the runs of a schedule.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

fn one() -> u32 {
    1
}

/// The reference by which an object is its Workload's. `controller` says that the Workload acts on it.
fn owner(subject: &Subject<Workload>, controller: bool) -> Value {
    json!({
        "apiVersion": subject.resource.api_version,
        "kind": subject.resource.kind,
        "name": &*subject.key.name,
        "uid": subject.meta().uid,
        "controller": controller,
        "blockOwnerDeletion": controller,
    })
}

/// The uid of a Workload.
pub fn uid(subject: &Subject<Workload>) -> &str {
    subject.meta().uid.as_deref().unwrap_or_default()
}

/// How many times a name of an instance was taken already.
pub fn salt(subject: &Subject<Workload>) -> u32 {
    subject.object.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default()
}

/// The `ordinal`th instance of a revision: its name and the object.
pub fn instance(
    subject: &Subject<Workload>,
    revision: &str,
    made_of: &Value,
    ordinal: u64,
) -> (String, Value) {
    let workload = &*subject.key.name;
    let name = template::instance_name(workload, uid(subject), revision, ordinal, salt(subject));
    let map =
        |pointer: &str| made_of.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut labels, mut notes) = (map("/metadata/labels"), map("/metadata/annotations"));
    labels.insert(WORKLOAD.into(), workload.into());
    labels.insert(REVISION.into(), revision.into());
    notes.insert(ORDINAL.into(), ordinal.to_string().into());
    let kind = super::instances();
    let object = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": subject.key.namespace,
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [owner(subject, true)],
        },
        "spec": {"workload": workload, "revision": revision, "pod": made_of.get("spec")},
    });
    (name, object)
}

/// The ControllerRevision that keeps a template.
pub fn revision(
    subject: &Subject<Workload>,
    revision: &str,
    number: i64,
    snapshots: &[Snapshot],
    now: Timestamp,
) -> (String, Value) {
    let workload = &*subject.key.name;
    let name = template::revision_name(workload, revision);
    let kind = super::revisions();
    let object = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": subject.key.namespace,
            "labels": {WORKLOAD: workload, REVISION: revision},
            "annotations": revision::annotations(snapshots, &[], now),
            "ownerReferences": [owner(subject, true)],
        },
        "data": subject.object.spec.template,
        "revision": number,
    });
    (name, object)
}

/// The patch of a record whose number, snapshots or images are others now.
pub fn revised(record: &Record, now: Timestamp) -> Value {
    json!({
        "metadata": {
            "resourceVersion": record.version,
            "annotations": revision::annotations(&record.snapshots, &record.images, record.since.unwrap_or(now)),
        },
        "revision": record.number,
    })
}

/// The copy of a ConfigMap or Secret with this data.
pub fn copy(subject: &Subject<Workload>, snapshot: &Snapshot, data: &Value) -> Value {
    // A label's value has 63 characters, and a name may have more.
    let of = snapshot.name.get(..63).unwrap_or(&snapshot.name).trim_end_matches(['-', '.']);
    let mut object = json!({
        "apiVersion": "v1",
        "kind": snapshot.kind.as_str(),
        "metadata": {
            "name": snapshot.copy,
            "namespace": subject.key.namespace,
            "labels": {WORKLOAD: &*subject.key.name, SNAPSHOT_OF: of},
            "ownerReferences": [owner(subject, false)],
        },
        "immutable": true,
    });
    if let (Some(object), Some(data)) = (object.as_object_mut(), data.as_object()) {
        object.extend(data.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    object
}

/// The Workload that is one run of a schedule.
pub fn run(subject: &Subject<Workload>, name: &str, due: Timestamp) -> Value {
    let spec = &subject.object.spec;
    let mut inner = spec.rest.clone();
    inner.insert("template".into(), spec.template.clone());
    inner.insert("job".into(), json!(spec.job));
    let labels = subject.meta().labels.clone().unwrap_or_default();
    let mut labels: Map<String, Value> = labels.into_iter().map(|(key, value)| (key, value.into())).collect();
    labels.insert(super::schedule::SCHEDULE.into(), (*subject.key.name).into());
    json!({
        "apiVersion": subject.resource.api_version,
        "kind": subject.resource.kind,
        "metadata": {
            "name": name,
            "namespace": subject.key.namespace,
            "labels": labels,
            "annotations": {super::schedule::DUE: crate::runtime::conditions::seconds(due)},
            "ownerReferences": [owner(subject, true)],
        },
        "spec": inner,
    })
}
