//! Which instances are bound to which node, and what those refer to.
//!
//! Built once from the Instances of the state, and then following effects, so that to know whether something concerns a
//! node costs look-ups and reads no object. What an instance runs never changes and it is bound once: of all its writes,
//! the one that binds it and the one that removes it are looked into, and every other is told by an index value alone.
//!
//! Cloning shares: a node that is changed is copied with the instances that are bound to it, the others are not.

use crate::state::{ReadError, StateReader};
use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record, Uid};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where instances are stored.
pub(crate) const INSTANCES: &str = "hypermesh.online/instances";
/// The field by which an instance is bound.
pub(crate) const NODE_NAME: &str = "spec.nodeName";

/// What an instance may refer to, by the collections of the core group.
pub(crate) const SECRETS: &str = "/secrets";
/// See [`SECRETS`].
pub(crate) const CONFIG_MAPS: &str = "/configmaps";
/// See [`SECRETS`].
pub(crate) const SERVICE_ACCOUNTS: &str = "/serviceaccounts";
/// What an instance is a replica of.
pub(crate) const WORKLOADS: &str = "hypermesh.online/workloads";

/// A namespace and a name.
type Place = (String, String);
/// A collection, and a place in it.
type Reference = (&'static str, Place);

/// Instances by their nodes.
#[derive(Clone, Debug, Default)]
pub struct Nodes(BTreeMap<String, Arc<Bound>>);

/// What is bound to one node.
#[derive(Clone, Debug, Default)]
struct Bound {
    instances: BTreeMap<Place, Instance>,
    /// How many of the instances refer to each.
    references: BTreeMap<Reference, usize>,
}

#[derive(Clone, Debug)]
struct Instance {
    uid: Uid,
    references: Arc<[Reference]>,
}

impl Nodes {
    /// Reads all instances of a state.
    pub fn load(state: &(impl StateReader + ?Sized)) -> Result<Self, ReadError> {
        const PAGE: usize = 500;
        let mut nodes = Self::default();
        let range = KeyRange { collection: INSTANCES.to_owned(), namespace: None };
        let mut after: Option<ObjectKey> = None;
        loop {
            let page = state.scan(&range, after.as_ref(), PAGE)?;
            for (key, record) in &page {
                if let Some(node) = node_of(record) {
                    nodes.bind(node, key, record);
                }
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return Ok(nodes),
            }
        }
    }

    /// Whether following a write would change anything: who shares this with others asks first, and copies nothing for
    /// the many writes that do not.
    pub fn is_changed_by(&self, effect: &Effect) -> bool {
        if effect.key.collection() != INSTANCES {
            return false;
        }
        let record = effect.change.record();
        let known = node_of(record).map(|node| self.instance(node, &place(&effect.key)));
        match (&effect.change, known) {
            (_, None) => false,
            (Change::Deleted(_), Some(known)) => known.is_some(),
            (_, Some(known)) => known.is_none_or(|known| known.uid != record.facts.uid),
        }
    }

    /// Follows one committed (or pending) write.
    pub fn follow(&mut self, effect: &Effect) {
        if !self.is_changed_by(effect) {
            return;
        }
        let record = effect.change.record();
        let Some(node) = node_of(record) else { return };
        match &effect.change {
            Change::Deleted(_) => self.unbind(node, &effect.key),
            Change::Created(_) | Change::Updated(_) => self.bind(node, &effect.key, record),
        }
    }

    fn bind(&mut self, node: &str, key: &ObjectKey, record: &Record) {
        self.unbind(node, key);
        let bound = Arc::make_mut(self.0.entry(node.to_owned()).or_default());
        let references = references(key.namespace(), record);
        for reference in references.iter() {
            *bound.references.entry(reference.clone()).or_default() += 1;
        }
        bound.instances.insert(place(key), Instance { uid: record.facts.uid, references });
    }

    fn unbind(&mut self, node: &str, key: &ObjectKey) {
        let Some(bound) = self.0.get_mut(node) else { return };
        let bound = Arc::make_mut(bound);
        let Some(gone) = bound.instances.remove(&place(key)) else { return };
        for reference in gone.references.iter() {
            if let Some(count) = bound.references.get_mut(reference) {
                *count -= 1;
                if *count == 0 {
                    bound.references.remove(reference);
                }
            }
        }
        if bound.instances.is_empty() {
            self.0.remove(node);
        }
    }

    fn instance(&self, node: &str, place: &Place) -> Option<&Instance> {
        self.0.get(node)?.instances.get(place)
    }

    /// Whether an instance is bound to a node.
    pub fn is_bound(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.instance(node, &(namespace.to_owned(), name.to_owned())).is_some()
    }

    /// Whether an instance that is bound to a node refers to an object, by its collection (`/secrets`, `/configmaps`,
    /// `/serviceaccounts`), or is a replica of it (`hypermesh.online/workloads`).
    pub fn refers(&self, node: &str, collection: &'static str, namespace: &str, name: &str) -> bool {
        let reference = (collection, (namespace.to_owned(), name.to_owned()));
        self.0.get(node).is_some_and(|bound| bound.references.contains_key(&reference))
    }

    /// Whether the instance of this name and uid is bound to a node and runs as the service account `account`.
    pub fn runs_as(&self, node: &str, (namespace, name, uid): (&str, &str, Uid), account: &str) -> bool {
        let wanted = (SERVICE_ACCOUNTS, (namespace.to_owned(), account.to_owned()));
        self.instance(node, &(namespace.to_owned(), name.to_owned()))
            .is_some_and(|instance| instance.uid == uid && instance.references.contains(&wanted))
    }
}

fn place(key: &ObjectKey) -> Place {
    (key.namespace().to_owned(), key.name().to_owned())
}

/// The node that a record's object is bound to, or is of.
pub(crate) fn node_of(record: &Record) -> Option<&str> {
    let field = record.facts.fields.iter().find(|(name, _)| name == NODE_NAME);
    field.map(|(_, node)| node.as_str()).filter(|node| !node.is_empty())
}

/// What an instance refers to, each once. What does not decode refers to nothing; validation keeps it out.
fn references(namespace: &str, record: &Record) -> Arc<[Reference]> {
    let object: Value = serde_json::from_slice(&record.body).unwrap_or_default();
    let mut found = Vec::new();
    let mut add = |collection: &'static str, name: Option<&Value>| {
        if let Some(name) = name.and_then(Value::as_str).filter(|name| !name.is_empty()) {
            found.push((collection, (namespace.to_owned(), name.to_owned())));
        }
    };
    add(WORKLOADS, object.pointer("/spec/workload"));
    let Some(pod) = object.pointer("/spec/pod") else { return found.into() };
    add(SERVICE_ACCOUNTS, pod.get("serviceAccountName"));
    for secret in list(pod, "imagePullSecrets") {
        add(SECRETS, secret.get("name"));
    }
    for container in list(pod, "initContainers").chain(list(pod, "containers")) {
        for variable in list(container, "env") {
            add(SECRETS, variable.pointer("/valueFrom/secretKeyRef/name"));
            add(CONFIG_MAPS, variable.pointer("/valueFrom/configMapKeyRef/name"));
        }
        for source in list(container, "envFrom") {
            add(SECRETS, source.pointer("/secretRef/name"));
            add(CONFIG_MAPS, source.pointer("/configMapRef/name"));
        }
    }
    for volume in list(pod, "volumes") {
        add(SECRETS, volume.pointer("/secret/secretName"));
        add(CONFIG_MAPS, volume.pointer("/configMap/name"));
        for source in volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten() {
            add(SECRETS, source.pointer("/secret/name"));
            add(CONFIG_MAPS, source.pointer("/configMap/name"));
        }
    }
    found.sort();
    found.dedup();
    found.into()
}

fn list<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}
