//! One source manifest while it is being converted: what was taken of it, and what is left.

use super::{Note, carry, note_at};
use crate::manifest::{Document, FieldPath, path::Step};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A source manifest.
pub(super) struct Piece<'d> {
    pub(super) document: &'d Document,
    pub(super) namespace: String,
    /// What has not been taken yet.
    rest: Value,
    /// Paths below which something was taken, so that what is left there is told by itself.
    opened: BTreeSet<String>,
    /// Where the template of a workload stands in the source: `spec.jobTemplate.spec` for a CronJob.
    pub(super) prefix: String,
    /// Whether it changed what other manifests became.
    pub(super) told_others: bool,
    notes: Vec<Note>,
}

impl<'d> Piece<'d> {
    pub(super) fn new(document: &'d Document, namespace: &str) -> Self {
        let mut piece = Self {
            document,
            namespace: document.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            rest: document.object(),
            opened: BTreeSet::from([String::new()]),
            prefix: "spec".to_owned(),
            told_others: false,
            notes: Vec::new(),
        };
        for path in ["apiVersion", "kind", "status", "metadata.name", "metadata.namespace"] {
            piece.take(path);
        }
        piece
    }

    /// Its kind, if it is one that is converted; else nothing.
    pub(super) fn kind(&self) -> &'d str {
        let document = self.document;
        if super::converts(&document.api_version, &document.kind) { &document.kind } else { "" }
    }

    pub(super) fn name(&self) -> &'d str {
        &self.document.name
    }

    /// What stands at a path of names, whether it was taken or not.
    pub(super) fn get(&self, path: &str) -> Value {
        let found = self.document.node.locate(&FieldPath::parse(path));
        let whole = FieldPath::parse(path).steps().len() == found.matched;
        if whole { found.node.to_value() } else { Value::Null }
    }

    /// Takes what stands at a path of plain names. Null and nothing are the same.
    pub(super) fn take(&mut self, path: &str) -> Option<Value> {
        let mut at = &mut self.rest;
        let mut so_far = String::new();
        let names: Vec<&str> = path.split('.').collect();
        let (last, parents) = names.split_last()?;
        for name in parents {
            at = at.get_mut(*name)?;
            if !so_far.is_empty() {
                so_far.push('.');
            }
            so_far.push_str(name);
            self.opened.insert(so_far.clone());
        }
        at.as_object_mut()?.remove(*last).filter(|value| !value.is_null())
    }

    /// Takes a text. What is none is lost, and told.
    pub(super) fn take_text(&mut self, path: &str) -> Option<String> {
        self.take_as(path, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// Takes a whole number that is not negative, likewise.
    pub(super) fn take_count(&mut self, path: &str) -> Option<u64> {
        self.take_as(path, "a whole number, 0 or more", |value| value.as_u64())
    }

    /// Takes true or false, likewise.
    pub(super) fn take_flag(&mut self, path: &str) -> Option<bool> {
        self.take_as(path, "true or false", |value| value.as_bool())
    }

    /// Takes a list, likewise; nothing is an empty one.
    pub(super) fn take_list(&mut self, path: &str) -> Vec<Value> {
        let list = self.take_as(path, "a list", |value| match value {
            Value::Array(items) => Some(items),
            _ => None,
        });
        list.unwrap_or_default()
    }

    /// Takes a list of texts, likewise.
    pub(super) fn take_texts(&mut self, path: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (at, item) in self.take_list(path).into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                _ => self.mistyped(&format!("{path}[{at}]"), "a string"),
            }
        }
        texts
    }

    /// Takes a mapping, likewise; nothing is an empty one.
    pub(super) fn take_map(&mut self, path: &str) -> Map<String, Value> {
        let map = self.take_as(path, "a mapping", |value| match value {
            Value::Object(map) => Some(map),
            _ => None,
        });
        map.unwrap_or_default()
    }

    fn take_as<T>(&mut self, path: &str, wanted: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let read = read(self.take(path)?);
        if read.is_none() {
            self.mistyped(path, wanted);
        }
        read
    }

    /// Tells that something is lost because it is of another type than it must be.
    pub(super) fn mistyped(&mut self, path: &str, wanted: &str) {
        let found = self.document.node.locate(&FieldPath::parse(path)).node.type_name();
        self.lost(path, &format!("must be {wanted}; this is {found}"));
    }

    /// Tells that something is lost.
    pub(super) fn lost(&mut self, path: &str, why: &str) {
        self.note(path, why, true);
    }

    /// Tells that something is said in another way.
    pub(super) fn changed(&mut self, path: &str, how: &str) {
        self.note(path, how, false);
    }

    fn note(&mut self, path: &str, text: &str, lost: bool) {
        let parsed = FieldPath::parse(path);
        let note = note_at(self.document, &parsed, format!("{path}: {text}"), lost);
        self.notes.push(note);
    }

    /// Fields that our schema does not have, by their paths in our object.
    pub(super) fn unknown(&mut self, paths: Vec<String>) {
        for path in paths {
            let source = match path.strip_prefix("spec.template") {
                Some(below) => format!("{}.template{below}", self.prefix),
                None => path,
            };
            let value = self.get(&source);
            if !carry::is_usual(&source, &value) {
                let why = carry::why(&source);
                self.lost(&source, why);
            }
        }
    }

    /// Our object: names, labels and annotations of the source, and a spec.
    pub(super) fn object(&mut self, api_version: &str, kind: &str, spec: Value) -> Value {
        let mut metadata = json!({"name": self.name()});
        if let Some(namespace) = &self.document.namespace {
            metadata["namespace"] = namespace.clone().into();
        }
        let labels = self.take_map("metadata.labels");
        if !labels.is_empty() {
            metadata["labels"] = labels.into();
        }
        let mut annotations = self.take_map("metadata.annotations");
        annotations.retain(|key, _| !carry::is_bookkeeping(key));
        if !annotations.is_empty() {
            metadata["annotations"] = annotations.into();
        }
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})
    }

    /// All notes, with those about what nobody took. `came` says whether an object came of it.
    pub(super) fn finish(mut self, came: bool) -> Vec<Note> {
        let rest = std::mem::take(&mut self.rest);
        let mut left = Vec::new();
        self.remains(&rest, &mut Vec::new(), &mut left);
        for path in left {
            let value = self.get(&path);
            if self.opened.contains(&path) {
                self.mistyped(&path, "a mapping");
            } else if !carry::is_usual(&path, &value) {
                let why = carry::why(&path);
                self.lost(&path, why);
            }
        }
        if !came && !self.told_others && !self.notes.iter().any(|note| note.lost) {
            let path = if self.get("spec").is_null() { "" } else { "spec" };
            let title = format!("{}: nothing comes of it", self.document.reference());
            self.notes.push(note_at(self.document, &FieldPath::parse(path), title, true));
        }
        let line = |note: &Note| note.diagnostic.place.as_ref().map_or(0, |(_, span)| span.line);
        self.notes.sort_by_key(line);
        self.notes
    }

    fn remains(&self, value: &Value, path: &mut Vec<String>, left: &mut Vec<String>) {
        let dotted = path.join(".");
        // What was opened and is no mapping had nothing in it that could be taken.
        if !self.opened.contains(&dotted) || !value.is_object() {
            left.push(
                FieldPath::from(path.iter().map(|n| Step::Field(n.clone())).collect::<Vec<_>>()).to_string(),
            );
            return;
        }
        for (name, child) in value.as_object().into_iter().flatten() {
            if !child.is_null() {
                path.push(name.clone());
                self.remains(child, path, left);
                path.pop();
            }
        }
    }
}
