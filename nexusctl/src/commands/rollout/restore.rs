//! What going back to a revision takes: its template, with what it referred to as it was then. Pure.
//!
//! Where the object that a template refers to holds something else today, the template refers to the copy instead; where
//! a tag has come to mean another image, the image is pinned by its digest. Both are in the manifest for all to see.

use hypermesh_controllers::workload::{
    reference::{self, Kind, Reference},
    revision::{self, Record},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the world as it is.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// The Workload's uid: copies are named by it.
    pub(super) uid: String,
    /// ConfigMaps and Secrets as they are; `None` for one that is gone or may not be read.
    pub(super) objects: BTreeMap<Reference, Option<Value>>,
    /// Copies that are still there.
    pub(super) copies: BTreeSet<Reference>,
    /// What images came to be later: image and digest.
    pub(super) later: BTreeSet<(String, String)>,
}

/// A template that has been restored.
#[derive(Debug, PartialEq)]
pub(super) struct Restored {
    pub(super) template: Value,
    /// What differs from the template as it was, and why, a line each.
    pub(super) changes: Vec<String>,
}

/// Restores the template of a record, with all that it referred to; `Err` says what is not there any more.
pub(super) fn restore(record: &Record, present: &Present, pin: bool) -> Result<Restored, Vec<String>> {
    let (mut changes, mut missing) = (BTreeSet::new(), BTreeSet::new());
    let mut template = record.template.clone();
    reference::visit(&mut template, &mut |kind, name| {
        let Some(kept) = record.snapshots.iter().find(|kept| kept.kind == kind && kept.name == *name) else {
            return;
        };
        let of = Reference { kind, name: name.clone() };
        let found = present.objects.get(&of).and_then(Option::as_ref);
        let same = found.is_some_and(|found| {
            revision::snapshot(&present.uid, &of, &revision::contents(found)).copy == kept.copy
        });
        if same {
            return;
        }
        let copy = Reference { kind, name: kept.copy.clone() };
        let why = if found.is_some() { "holds something else today" } else { "cannot be read today" };
        let kind = Kind::as_str(kind);
        if !present.copies.contains(&copy) {
            missing.insert(format!("{kind} {name} {why}, and its copy {} is gone", kept.copy));
            return;
        }
        changes.insert(format!("{kind} {name} {why}: its copy {} is used", kept.copy));
        name.clone_from(&kept.copy);
    });
    for image in &record.images {
        let moved =
            present.later.iter().any(|(name, digest)| *name == image.image && *digest != image.digest);
        if (moved || pin) && !image.image.contains('@') {
            let pinned = format!("{}@{}", image.image, image.digest);
            if set_image(&mut template, &image.container, &image.image, &pinned) {
                let why = if moved { "its tag means another image today" } else { "as asked" };
                changes.insert(format!(
                    "image of {}: {} is pinned to {}: {why}",
                    image.container, image.image, image.digest
                ));
            }
        }
    }
    if missing.is_empty() {
        Ok(Restored { template, changes: changes.into_iter().collect() })
    } else {
        Err(missing.into_iter().collect())
    }
}

fn set_image(template: &mut Value, container: &str, from: &str, to: &str) -> bool {
    let mut done = false;
    for list in ["/spec/containers", "/spec/initContainers"] {
        for found in template.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let is = |key: &str, value: &str| found.get(key).and_then(Value::as_str) == Some(value);
            if is("name", container) && is("image", from) {
                found["image"] = to.into();
                done = true;
            }
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_controllers::workload::revision::{Image, Snapshot};
    use serde_json::json;

    fn map(name: &str) -> Reference {
        Reference { kind: Kind::ConfigMap, name: name.to_owned() }
    }

    fn record(data: &Value) -> Record {
        let copy = revision::snapshot("u", &map("settings"), &revision::contents(data));
        Record {
            name: "web-r".into(),
            uid: String::new(),
            version: String::new(),
            number: 1,
            revision: "r".into(),
            template: json!({"spec": {"containers": [{"name": "web", "image": "web:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}],
                "volumes": [{"name": "s", "configMap": {"name": "settings"}}]}}),
            snapshots: vec![Snapshot { ..copy }],
            images: vec![Image {
                container: "web".into(),
                image: "web:1".into(),
                digest: "sha256:aa".into(),
            }],
            since: None,
            created: None,
            leaving: false,
        }
    }

    #[test]
    fn what_is_as_it_was_stays_as_it_was_written() {
        let data = json!({"data": {"a": "1"}});
        let record = record(&data);
        let present = Present {
            uid: "u".into(),
            objects: BTreeMap::from([(map("settings"), Some(data))]),
            ..Present::default()
        };
        let restored = restore(&record, &present, false).unwrap();
        assert_eq!((restored.template, restored.changes), (record.template.clone(), Vec::<String>::new()));
        let pinned = restore(&record, &present, true).unwrap();
        assert_eq!(pinned.template["spec"]["containers"][0]["image"], "web:1@sha256:aa");
    }

    #[test]
    fn what_has_changed_comes_from_copies_and_digests() {
        let record = record(&json!({"data": {"a": "1"}}));
        let copy = &record.snapshots[0].copy;
        let mut present = Present {
            uid: "u".into(),
            objects: BTreeMap::from([(map("settings"), Some(json!({"data": {"a": "2"}})))]),
            copies: BTreeSet::from([map(copy)]),
            later: BTreeSet::from([
                ("web:1".into(), "sha256:bb".into()),
                ("web:2".into(), "sha256:cc".into()),
            ]),
        };
        let restored = restore(&record, &present, false).unwrap();
        let pod = &restored.template["spec"];
        assert_eq!(pod["containers"][0]["image"], "web:1@sha256:aa");
        assert_eq!(pod["containers"][0]["envFrom"][0]["configMapRef"]["name"], copy.as_str());
        assert_eq!(pod["volumes"][0]["configMap"]["name"], copy.as_str());
        assert_eq!(
            restored.changes,
            [
                format!("ConfigMap settings holds something else today: its copy {copy} is used"),
                "image of web: web:1 is pinned to sha256:aa: its tag means another image today".to_owned(),
            ]
        );
        present.copies.clear();
        let missing = restore(&record, &present, false).unwrap_err();
        assert_eq!(
            missing,
            [format!("ConfigMap settings holds something else today, and its copy {copy} is gone")]
        );
    }
}
