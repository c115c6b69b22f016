//! The same judgement for who only asks: what the scheduler would decide about lists that somebody has read. Pure.

use super::cluster::{self, Demands};
use super::plan::{BestNode, Decision, Policy as _, Snapshot};
use crate::runtime::Key;
use kube::core::DynamicObject;
use serde::Deserialize as _;
use serde_json::Value;

/// The state that lists of nodes, instances and workloads make. What cannot be read is left out, as the scheduler leaves
/// it out.
pub fn snapshot(nodes: &[Value], instances: &[Value], workloads: &[Value]) -> Snapshot {
    let read = |values: &[Value]| -> Vec<DynamicObject> {
        values.iter().filter_map(|value| DynamicObject::deserialize(value).ok()).collect()
    };
    let mut snapshot = Snapshot::default();
    for node in read(nodes).iter().filter_map(|object| cluster::node(object).ok()) {
        snapshot.set_node(node);
    }
    for workload in read(workloads) {
        if let (Some(key), Ok(placement)) = (Key::of(&workload.metadata), cluster::placement(&workload)) {
            snapshot.set_placement(&key, placement);
        }
    }
    let mut demands = Demands::default();
    for object in read(instances) {
        if let (Some(key), Ok(instance)) = (Key::of(&object.metadata), demands.instance(&object)) {
            snapshot.set_instance(key, instance);
        }
    }
    snapshot
}

/// What would be decided for an instance if it had no place; `None` for one that is not there.
pub fn decide(snapshot: &mut Snapshot, key: &Key) -> Option<Decision> {
    let node = snapshot.instance(key)?.node.clone();
    snapshot.bind(key, None);
    let decision = BestNode.decide(snapshot, key, snapshot.instance(key)?);
    snapshot.bind(key, node);
    Some(decision)
}
