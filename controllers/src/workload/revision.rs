//! Revisions: the templates that a Workload has had, and what they referred to, as ControllerRevisions of `apps/v1`. Pure.
//!
//! A ControllerRevision holds the template as data, which never changes. Its annotations tell what the template referred
//! to when it was rolled out: the copies of its ConfigMaps and Secrets, and the digests of the images that instances
//! reported. Its number rises when a template comes back, so the highest one is what is rolled out.

use super::reference::{self, Kind, Reference};
use super::template;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The annotation of a ControllerRevision that names the copies of what its template referred to.
pub const SNAPSHOTS: &str = "hypermesh.online/snapshots";
/// The annotation of a ControllerRevision that tells which images ran.
pub const IMAGES: &str = "hypermesh.online/images";
/// The annotation of a ControllerRevision that tells when it last became the newest.
pub const SINCE: &str = "hypermesh.online/since";

/// The copy of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Snapshot {
    /// What it is.
    pub kind: Kind,
    /// What the template calls it.
    pub name: String,
    /// The copy. It never changes.
    pub copy: String,
}

/// An image as it ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Image {
    /// The container.
    pub container: String,
    /// What the template calls it.
    pub image: String,
    /// What that was: `sha256:…`.
    pub digest: String,
}

/// A revision that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The name of the ControllerRevision.
    pub name: String,
    /// The very object.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Where it stands among the others.
    pub number: i64,
    /// The identity of its template.
    pub revision: String,
    /// The template.
    pub template: Value,
    /// Copies of what it referred to.
    pub snapshots: Vec<Snapshot>,
    /// Images that ran.
    pub images: Vec<Image>,
    /// When it last became the newest.
    pub since: Option<jiff::Timestamp>,
    /// When it was made.
    pub created: Option<jiff::Timestamp>,
    /// Whether it is being deleted.
    pub leaving: bool,
}

impl Record {
    /// Reads a ControllerRevision as the API server sends it; `None` for what is none of a Workload's.
    pub fn read(object: Value) -> Option<Self> {
        serde_json::from_value(object).ok().and_then(Self::of)
    }

    /// Reads a ControllerRevision; `None` for one that no Workload's controller has made.
    pub fn of(object: ControllerRevision) -> Option<Self> {
        let meta = object.metadata;
        let notes = meta.annotations.unwrap_or_default();
        let list = |note: &str| notes.get(note).map(String::as_str).unwrap_or("[]");
        Some(Self {
            revision: meta.labels?.remove(super::REVISION)?,
            name: meta.name?,
            uid: meta.uid.unwrap_or_default(),
            version: meta.resource_version.unwrap_or_default(),
            number: object.revision.unwrap_or_default(),
            template: object.data.0,
            // What somebody broke is as if it were not there: it is made anew.
            snapshots: serde_json::from_str(list(SNAPSHOTS)).unwrap_or_default(),
            images: serde_json::from_str(list(IMAGES)).unwrap_or_default(),
            since: notes.get(SINCE).and_then(|since| since.parse().ok()),
            created: meta.creation_timestamp.map(|time| time.0),
            leaving: meta.deletion_timestamp.is_some(),
        })
    }

    /// The names by which instances and templates hold on to copies.
    fn holds(&self) -> impl Iterator<Item = Reference> {
        let copies = self.snapshots.iter().map(|copy| Reference { kind: copy.kind, name: copy.copy.clone() });
        copies.chain(reference::references(&self.template))
    }
}

/// The annotations that say what a revision referred to.
pub fn annotations(snapshots: &[Snapshot], images: &[Image], since: jiff::Timestamp) -> Value {
    let text = |value: Value| value.to_string();
    json!({
        SNAPSHOTS: text(json!(snapshots)),
        IMAGES: text(json!(images)),
        SINCE: crate::runtime::conditions::seconds(since),
    })
}

/// What may go so that no more than `history` are kept beside those `in_use`: records, oldest first, and the copies that
/// nothing holds any more. `template` is that of the Workload as it is.
pub fn collect(
    records: &[Record],
    in_use: &BTreeSet<&str>,
    history: usize,
    template: &Value,
) -> (Vec<Record>, Vec<Reference>) {
    let mut idle: Vec<&Record> = records
        .iter()
        .filter(|record| !record.leaving && !in_use.contains(record.revision.as_str()))
        .collect();
    idle.sort_by_key(|record| record.number);
    idle.truncate(idle.len().saturating_sub(history));
    let going: Vec<Record> = idle.into_iter().cloned().collect();
    let goes = |record: &Record| going.iter().any(|other| other.uid == record.uid);
    let mut held: BTreeSet<Reference> = reference::references(template);
    for record in records.iter().filter(|record| !goes(record)) {
        held.extend(record.holds());
    }
    // What a template refers to may be a copy itself, after a way back: whoever deletes looks whether it is one.
    let unheld: BTreeSet<Reference> =
        going.iter().flat_map(Record::holds).filter(|copy| !held.contains(copy)).collect();
    (going, unheld.into_iter().collect())
}

/// What of a ConfigMap or Secret a copy has, and its name is made of.
pub fn contents(object: &Value) -> Value {
    let mut data = json!({});
    for field in ["data", "binaryData", "type"] {
        if let (Some(value), Some(data)) =
            (object.get(field).filter(|value| !value.is_null()), data.as_object_mut())
        {
            data.insert(field.to_owned(), value.clone());
        }
    }
    data
}

/// The copy of an object with this data, under the name that its content gives it. Each Workload has copies of its own,
/// which go with it: `workload` is its uid.
pub fn snapshot(workload: &str, reference: &Reference, data: &Value) -> Snapshot {
    let copy = template::copy_name(&reference.name, &template::content(&json!([workload, data])));
    Snapshot { kind: reference.kind, name: reference.name.clone(), copy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: i64, revision: &str, copies: &[&str]) -> Record {
        let copy =
            |copy: &&str| Snapshot { kind: Kind::ConfigMap, name: "c".into(), copy: (*copy).to_owned() };
        Record {
            name: format!("web-{revision}"),
            uid: revision.to_owned(),
            version: "1".to_owned(),
            number,
            revision: revision.to_owned(),
            template: json!({"spec": {"volumes": [{"configMap": {"name": "c"}}]}}),
            snapshots: copies.iter().map(copy).collect(),
            images: Vec::new(),
            since: None,
            created: None,
            leaving: false,
        }
    }

    #[test]
    fn the_oldest_go_and_never_one_in_use_nor_a_copy_that_is_held() {
        let records = [
            record(4, "d", &["c-2"]),
            record(1, "a", &["c-1", "c-0"]),
            record(2, "b", &["c-1"]),
            record(3, "c", &["c-3"]),
        ];
        let in_use = BTreeSet::from(["d", "b"]);
        let names = |going: &[Record]| going.iter().map(|r| r.revision.clone()).collect::<Vec<_>>();
        let (going, copies) = collect(&records, &in_use, 1, &json!({}));
        assert_eq!(
            (names(&going), copies),
            (vec!["a".to_owned()], vec![Reference { kind: Kind::ConfigMap, name: "c-0".into() }])
        );
        let (going, copies) =
            collect(&records, &in_use, 0, &json!({"spec": {"volumes": [{"configMap": {"name": "c-3"}}]}}));
        assert_eq!(names(&going), ["a", "c"]);
        assert_eq!(copies.len(), 1, "c-3 is what the template itself refers to: {copies:?}");
        assert_eq!(collect(&records, &in_use, 2, &json!({})).0, []);
    }
}
