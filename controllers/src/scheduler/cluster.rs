//! What is watched: nodes, instances and workloads, whole, of which the facts that the planner weighs are kept.
//!
//! A scheduler that read each node anew for each instance would read nodes times instances; so this controller, unlike
//! the others, keeps a store of its own (docs/adr/0007-controllers-hold-keys-not-objects.md), of some hundred bytes an
//! instance.

use super::plan::demand::Demand;
use super::plan::node::Node;
use super::plan::{Instance, Life};
use crate::runtime::{Context, Key, instances, nodes, workloads};
use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};
use hypermesh_schemas::instance::InstanceSpec;
use hypermesh_schemas::node::{NodeSpec, NodeStatus};
use hypermesh_schemas::workload::placement::Placement;
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nodes.
    Node,
    /// Instances.
    Instance,
    /// Workloads.
    Workload,
}

impl Kind {
    /// How objects of the kind are reached.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Node => nodes(),
            Self::Instance => instances(),
            Self::Workload => workloads(),
        }
    }
}

/// A change, as a watch tells it.
pub type Change = (Kind, watcher::Result<Event<DynamicObject>>);

/// Changes of all three kinds.
pub fn changes(context: &Context) -> SelectAll<BoxStream<'static, Change>> {
    let mut all = SelectAll::new();
    for kind in [Kind::Node, Kind::Instance, Kind::Workload] {
        let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &kind.resource());
        let config = watcher::Config::default().streaming_lists();
        all.push(watcher(api, config).default_backoff().map(move |event| (kind, event)).boxed());
    }
    all
}

/// A node, or what cannot be read of it.
pub fn node(object: &DynamicObject) -> Result<Node, serde_json::Error> {
    let part = |name| object.data.get(name).unwrap_or(&Value::Null);
    let status = part("status");
    let status = if status.is_null() { None } else { Some(NodeStatus::deserialize(status)?) };
    let meta = &object.metadata;
    Ok(Node::read(
        meta.name.as_deref().unwrap_or_default(),
        meta.labels.clone().unwrap_or_default(),
        meta.deletion_timestamp.is_some(),
        &NodeSpec::deserialize(part("spec"))?,
        status.as_ref(),
    ))
}

/// What a workload asks of places.
pub fn placement(object: &DynamicObject) -> Result<Option<Placement>, serde_json::Error> {
    match object.data.pointer("/spec/placement") {
        None | Some(Value::Null) => Ok(None),
        Some(placement) => Placement::deserialize(placement).map(Some),
    }
}

/// Demands, each kept once for all instances of a revision that ask the same.
#[derive(Debug, Default)]
pub struct Demands(HashMap<(Key, Box<str>), Arc<Demand>>);

impl Demands {
    /// An instance, or what cannot be read of it.
    pub fn instance(&mut self, object: &DynamicObject) -> Result<Instance, serde_json::Error> {
        let spec = InstanceSpec::deserialize(object.data.get("spec").unwrap_or(&Value::Null))?;
        let meta = &object.metadata;
        let phase = object.data.pointer("/status/phase").and_then(Value::as_str);
        let life = match phase {
            Some("Succeeded" | "Failed") => Life::Ended,
            _ if meta.deletion_timestamp.is_some() => Life::Leaves,
            _ => Life::Lives,
        };
        let workload =
            Key { namespace: meta.namespace.as_deref().map(Into::into), name: spec.workload.as_str().into() };
        let demand = self.shared(&workload, &spec.revision, Demand::read(&spec.pod));
        let created = meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
        Ok(Instance {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            created: created.unwrap_or_default().into(),
            workload,
            revision: spec.revision.as_str().into(),
            node: spec.node_name.map(|node| node.as_str().into()),
            life,
            demand,
        })
    }

    fn shared(&mut self, workload: &Key, revision: &str, demand: Demand) -> Arc<Demand> {
        let place = (workload.clone(), revision.into());
        if let Some(known) = self.0.get(&place).filter(|known| ***known == demand) {
            return Arc::clone(known);
        }
        let demand = Arc::new(demand);
        self.0.insert(place, Arc::clone(&demand));
        demand
    }

    /// Forgets what no instance asks any more.
    pub fn tidy(&mut self) {
        self.0.retain(|_, demand| Arc::strong_count(demand) > 1);
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
