//! Everything that is weighed: nodes, the instances on them and without one, and what workloads ask of places. Pure.
//!
//! It is kept up to date one change at a time, and keeps sums: what a node has left and where a workload's instances are
//! costs no walk over all instances. Whatever the order in which a state was reached, the sums are those of the state.

use super::amounts::Amounts;
use super::demand::{Demand, HostPort};
use super::node::Node;
use crate::runtime::Key;
use hypermesh_schemas::workload::placement::Placement;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The very object.
    pub uid: Arc<str>,
    /// When it was made, in RFC 3339: the older go first.
    pub created: Arc<str>,
    /// What it is a replica of.
    pub workload: Key,
    /// The revision that it was made from.
    pub revision: Arc<str>,
    /// Where it is, if it is anywhere.
    pub node: Option<Arc<str>>,
    /// Where it is in its life.
    pub life: Life,
    /// What it asks of a node.
    pub demand: Arc<Demand>,
}

/// Where an instance is in its life, as far as places go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It wants a place, or has one.
    Lives,
    /// It is being deleted: it keeps its place until it is gone, and gets none.
    Leaves,
    /// It has ended, and takes no room.
    Ended,
}

/// How many instances of one revision are on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that stay.
    pub living: u32,
    /// Those that are being deleted.
    pub leaving: u32,
}

/// A node and what is on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// The node; `None`: it does not exist, though instances are bound to it.
    pub node: Option<Node>,
    /// What the instances on it need together.
    pub used: Amounts,
    /// Ports that they have.
    pub ports: Vec<HostPort>,
    /// What they run, and how many of them.
    pub images: HashMap<String, u32>,
    /// How many there are, those that have ended not counted.
    pub instances: u32,
}

/// Instances of one workload, by node and revision.
pub type Crew = BTreeMap<(Arc<str>, Arc<str>), Count>;

/// The state that decisions are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    hosts: BTreeMap<Arc<str>, Host>,
    instances: HashMap<Key, Instance>,
    placements: HashMap<Key, Arc<Placement>>,
    crews: HashMap<Key, Crew>,
    /// By workload: who has to be apart from it, and in which topology.
    shunned: HashMap<Key, BTreeSet<(Key, String)>>,
}

impl Snapshot {
    /// Sets a node. True if it is not as it was.
    pub fn set_node(&mut self, node: Node) -> bool {
        let host = self.hosts.entry(Arc::clone(&node.name)).or_default();
        let changed = host.node.as_ref() != Some(&node);
        host.node = Some(node);
        changed
    }

    /// Takes a node away. Instances that are bound to it stay bound.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return false };
        let was = host.node.take().is_some();
        if host.instances == 0 {
            self.hosts.remove(name);
        }
        was
    }

    /// Sets an instance, where it is included.
    pub fn set_instance(&mut self, key: Key, instance: Instance) {
        if let Some(before) = self.instances.remove(&key) {
            self.count(&before, -1);
        }
        self.count(&instance, 1);
        self.instances.insert(key, instance);
    }

    /// Takes an instance away.
    pub fn remove_instance(&mut self, key: &Key) -> Option<Instance> {
        let before = self.instances.remove(key)?;
        self.count(&before, -1);
        Some(before)
    }

    /// Puts an instance on a node, or on none.
    pub fn bind(&mut self, key: &Key, node: Option<Arc<str>>) {
        if let Some(mut instance) = self.instances.remove(key) {
            self.count(&instance, -1);
            instance.node = node;
            self.count(&instance, 1);
            self.instances.insert(key.clone(), instance);
        }
    }

    /// Sets what a workload asks of places; `None`: nothing. True if that is not as it was.
    pub fn set_placement(&mut self, workload: &Key, placement: Option<Placement>) -> bool {
        let before = self.placements.remove(workload);
        if before.as_deref() == placement.as_ref() {
            if let Some(before) = before {
                self.placements.insert(workload.clone(), before);
            }
            return false;
        }
        for relation in before.iter().flat_map(|before| &before.apart).filter(|apart| apart.required) {
            let other = sibling(workload, relation.workload.as_str());
            if let Some(who) = self.shunned.get_mut(&other) {
                who.remove(&(workload.clone(), relation.topology_key.to_string()));
                if who.is_empty() {
                    self.shunned.remove(&other);
                }
            }
        }
        for relation in placement.iter().flat_map(|now| &now.apart).filter(|apart| apart.required) {
            let other = sibling(workload, relation.workload.as_str());
            let who = self.shunned.entry(other).or_default();
            who.insert((workload.clone(), relation.topology_key.to_string()));
        }
        if let Some(placement) = placement {
            self.placements.insert(workload.clone(), Arc::new(placement));
        }
        true
    }

    /// Nodes and what is on them, by name.
    pub fn hosts(&self) -> impl Iterator<Item = (&Arc<str>, &Host)> {
        self.hosts.iter()
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.hosts.get(name)?.node.as_ref()
    }

    /// An instance.
    pub fn instance(&self, key: &Key) -> Option<&Instance> {
        self.instances.get(key)
    }

    /// All instances, in no order.
    pub fn instances(&self) -> impl Iterator<Item = (&Key, &Instance)> {
        self.instances.iter()
    }

    /// How many instances there are.
    pub fn population(&self) -> usize {
        self.instances.len()
    }

    /// What a workload asks of places.
    pub fn placement(&self, workload: &Key) -> Option<&Arc<Placement>> {
        self.placements.get(workload)
    }

    /// Where a workload's instances are.
    pub fn crew(&self, workload: &Key) -> impl Iterator<Item = (&str, &str, Count)> {
        let crew = self.crews.get(workload).into_iter().flatten();
        crew.map(|((node, revision), count)| (&**node, &**revision, *count))
    }

    /// Who has to be apart from a workload, and in which topology.
    pub fn shunned_by(&self, workload: &Key) -> impl Iterator<Item = &(Key, String)> {
        self.shunned.get(workload).into_iter().flatten()
    }

    /// Adds what an instance takes to the sums, or takes it away.
    fn count(&mut self, instance: &Instance, sign: i32) {
        let Some(node) = instance.node.as_ref().filter(|_| instance.life != Life::Ended) else { return };
        let step = |count: &mut u32| *count = count.saturating_add_signed(sign);
        let crew = self.crews.entry(instance.workload.clone()).or_default();
        let place = (Arc::clone(node), Arc::clone(&instance.revision));
        let count = crew.entry(place.clone()).or_default();
        step(if instance.life == Life::Lives { &mut count.living } else { &mut count.leaving });
        if *count == Count::default() {
            crew.remove(&place);
        }
        if crew.is_empty() {
            self.crews.remove(&instance.workload);
        }
        let host = self.hosts.entry(Arc::clone(node)).or_default();
        step(&mut host.instances);
        host.used.add(&instance.demand.needs, sign.into());
        for port in &instance.demand.ports {
            if sign > 0 {
                host.ports.push(*port);
            } else if let Some(at) = host.ports.iter().position(|taken| taken == port) {
                host.ports.swap_remove(at);
            }
        }
        for image in &instance.demand.images {
            let count = host.images.entry(image.clone()).or_default();
            step(count);
            if *count == 0 {
                host.images.remove(image);
            }
        }
        if host.instances == 0 && host.node.is_none() {
            self.hosts.remove(node);
        }
    }
}

/// The workload of that name in the same namespace.
pub fn sibling(workload: &Key, name: &str) -> Key {
    Key { namespace: workload.namespace.clone(), name: name.into() }
}
