//! What the watches have shown, and what was promised since.

use super::cluster::{self, Demands, Kind};
use super::plan::{Instance, Life, Snapshot};
use super::write::Judged;
use crate::runtime::Key;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Instances whose node does not exist: key and uid.
pub type Orphans = Vec<(Key, Arc<str>)>;

/// What a change asks for.
#[derive(Debug, Default)]
pub struct Effect {
    /// Something changed that may let an instance in that waits.
    pub room: bool,
    /// An instance to weigh.
    pub due: Option<Key>,
    /// Instances that do not have to be weighed any more, or are others than before.
    pub gone: Vec<Key>,
    /// An object of which this build can make nothing.
    pub unreadable: Option<(Key, String)>,
}

/// The state as it is known.
#[derive(Debug, Default)]
pub struct Known {
    /// What is weighed.
    pub snapshot: Snapshot,
    demands: Demands,
    /// Instances without a node, as they were judged.
    unbound: HashMap<Key, Judged>,
    /// Instances whose binding is under way, or has not come back yet: the very object and its node.
    assumed: HashMap<Key, (Arc<str>, Arc<str>)>,
    /// Workloads that exist, as far as is known, or are known not to.
    workloads: HashSet<Key>,
    /// Instances that wait until their workload was read.
    held: HashMap<Key, HashSet<Key>>,
    complete: [bool; 3],
    /// What a watch that begins anew has shown again.
    again: [Option<HashSet<Key>>; 3],
}

impl Known {
    /// Whether all watches have shown all that exists.
    pub fn is_complete(&self) -> bool {
        self.complete.iter().all(|complete| *complete)
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.snapshot.population()
    }

    /// Takes in an event.
    pub fn take(&mut self, kind: Kind, event: Event<DynamicObject>) -> Effect {
        let at = kind as usize;
        match event {
            Event::Init => {
                self.again[at] = Some(HashSet::new());
                Effect::default()
            }
            Event::InitApply(object) => {
                let Some(key) = Key::of(&object.metadata) else { return Effect::default() };
                if let Some(again) = &mut self.again[at] {
                    again.insert(key.clone());
                }
                self.set(kind, key, &object)
            }
            Event::Apply(object) => match Key::of(&object.metadata) {
                Some(key) => self.set(kind, key, &object),
                None => Effect::default(),
            },
            Event::Delete(object) => match Key::of(&object.metadata) {
                Some(key) => self.remove(kind, &key),
                None => Effect::default(),
            },
            Event::InitDone => {
                self.complete[at] = true;
                let again = self.again[at].take().unwrap_or_default();
                let missing = self.keys(kind).into_iter().filter(|key| !again.contains(key));
                let gone = missing.flat_map(|key| self.remove(kind, &key).gone).collect();
                self.demands.tidy();
                Effect { room: true, gone, ..Effect::default() }
            }
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Key> {
        match kind {
            Kind::Node => {
                let nodes = self.snapshot.hosts().filter(|(_, host)| host.node.is_some());
                nodes.map(|(name, _)| Key::cluster(name)).collect()
            }
            Kind::Instance => self.snapshot.instances().map(|(key, _)| key.clone()).collect(),
            Kind::Workload => self.workloads.iter().cloned().collect(),
        }
    }

    fn set(&mut self, kind: Kind, key: Key, object: &DynamicObject) -> Effect {
        let unreadable = |key: Key, error: serde_json::Error| Effect {
            unreadable: Some((key, error.to_string())),
            ..Effect::default()
        };
        match kind {
            Kind::Node => match cluster::node(object) {
                Ok(node) => Effect { room: self.snapshot.set_node(node), ..Effect::default() },
                Err(error) => {
                    let was = self.remove(kind, &key);
                    Effect { room: was.room, ..unreadable(key, error) }
                }
            },
            Kind::Workload => match cluster::placement(object) {
                Ok(placement) => {
                    self.workloads.insert(key.clone());
                    let room = self.snapshot.set_placement(&key, placement);
                    Effect { room, ..Effect::default() }
                }
                Err(error) => unreadable(key, error),
            },
            Kind::Instance => match self.demands.instance(object) {
                Ok(instance) => self.set_instance(key, instance, object),
                Err(error) => {
                    let was = self.remove(kind, &key);
                    Effect { room: was.room, gone: was.gone, ..unreadable(key, error) }
                }
            },
        }
    }

    fn set_instance(&mut self, key: Key, mut instance: Instance, object: &DynamicObject) -> Effect {
        let before = self.snapshot.instance(&key);
        let another = before.is_some_and(|before| before.uid != instance.uid);
        let was = before.filter(|_| !another).map(|before| (before.node.clone(), before.life));
        if instance.node.is_none() && instance.life == Life::Lives {
            self.unbound.insert(key.clone(), judged(object));
        } else {
            self.unbound.remove(&key);
        }
        if instance.node.is_some() || self.assumed.get(&key).is_some_and(|(uid, _)| *uid != instance.uid) {
            self.assumed.remove(&key);
        } else if let Some((_, node)) = self.assumed.get(&key) {
            // An older state than the one that was decided on.
            instance.node = Some(Arc::clone(node));
        }
        let wants = instance.node.is_none() && instance.life == Life::Lives;
        // One that somebody else has bound may be whom others want to be near.
        let room = was
            .map_or(instance.node.is_some() || another, |was| was != (instance.node.clone(), instance.life));
        self.snapshot.set_instance(key.clone(), instance);
        let gone = if another || !wants { vec![key.clone()] } else { Vec::new() };
        Effect { room, gone, due: wants.then_some(key), unreadable: None }
    }

    fn remove(&mut self, kind: Kind, key: &Key) -> Effect {
        match kind {
            Kind::Node => Effect { room: self.snapshot.remove_node(&key.name), ..Effect::default() },
            Kind::Workload => {
                self.workloads.remove(key);
                Effect { room: self.snapshot.set_placement(key, None), ..Effect::default() }
            }
            Kind::Instance => {
                self.assumed.remove(key);
                self.unbound.remove(key);
                let had = self.snapshot.remove_instance(key).is_some_and(|gone| gone.node.is_some());
                // Now and then is enough: a demand weighs little.
                if self.demands.count() > 2 * self.instances() + 64 {
                    self.demands.tidy();
                }
                Effect { room: had, gone: vec![key.clone()], ..Effect::default() }
            }
        }
    }

    /// Whether an instance wants a place.
    pub fn wants(&self, key: &Key) -> bool {
        let instance = self.snapshot.instance(key);
        instance.is_some_and(|instance| instance.node.is_none() && instance.life == Life::Lives)
    }

    /// An instance as it was last seen without a node.
    pub fn judged(&self, key: &Key) -> Option<Judged> {
        self.unbound.get(key).cloned()
    }

    /// An instance's binding is under way.
    pub fn assume(&mut self, key: &Key, node: &Arc<str>) {
        if let Some(instance) = self.snapshot.instance(key) {
            self.assumed.insert(key.clone(), (Arc::clone(&instance.uid), Arc::clone(node)));
        }
    }

    /// An instance's binding was written. That it is bound stays assumed until the watch shows it.
    pub fn bound(&mut self, key: &Key, uid: &str) {
        let same = self.snapshot.instance(key).is_some_and(|instance| &*instance.uid == uid);
        if same {
            self.unbound.remove(key);
        }
    }

    /// An instance's binding was not written: it has no place.
    pub fn revoke(&mut self, key: &Key) {
        if self.assumed.remove(key).is_some() {
            self.snapshot.bind(key, None);
        }
    }

    /// The instance's workload, if no watch has shown it and nobody has asked for it.
    pub fn unasked(&self, key: &Key) -> Option<Key> {
        let workload = &self.snapshot.instance(key)?.workload;
        (!self.workloads.contains(workload)).then(|| workload.clone())
    }

    /// Lets an instance wait for its workload. True if it is the first.
    pub fn hold(&mut self, workload: &Key, key: Key) -> bool {
        let held = self.held.entry(workload.clone()).or_default();
        held.insert(key);
        held.len() == 1
    }

    /// A workload was read; gives those that waited for it.
    pub fn asked(&mut self, workload: &Key, object: Option<&DynamicObject>) -> HashSet<Key> {
        // What does not exist asks for nothing; should it come to exist, the watch says so.
        if let Some(Ok(placement)) = object.map(cluster::placement) {
            self.snapshot.set_placement(workload, placement);
        }
        self.workloads.insert(workload.clone());
        self.release(workload)
    }

    /// Those that waited for a workload.
    pub fn release(&mut self, workload: &Key) -> HashSet<Key> {
        self.held.remove(workload).unwrap_or_default()
    }

    /// Nodes that do not exist, and the instances that are bound to them.
    pub fn orphans(&self) -> Vec<(Arc<str>, Orphans)> {
        let gone: Vec<&Arc<str>> =
            self.snapshot.hosts().filter(|(_, host)| host.node.is_none()).map(|(name, _)| name).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let of = |node: &Arc<str>| {
            let there = self
                .snapshot
                .instances()
                .filter(|(_, instance)| instance.node.as_ref() == Some(node) && instance.life != Life::Ended);
            there.map(|(key, instance)| (key.clone(), Arc::clone(&instance.uid))).collect()
        };
        gone.into_iter().map(|node| (Arc::clone(node), of(node))).collect()
    }
}

fn judged(object: &DynamicObject) -> Judged {
    let meta = &object.metadata;
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    Judged {
        uid: meta.uid.clone().unwrap_or_default(),
        version: meta.resource_version.clone().unwrap_or_default(),
        generation: meta.generation,
        finalizers: meta.finalizers.clone().unwrap_or_default(),
        conditions: conditions.cloned().unwrap_or_default(),
    }
}
