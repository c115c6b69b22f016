//! Nodes while their agents are heard of, and when they are not.
//!
//! Liveness is not stored: API servers know when they last heard of an agent, and are asked. Only what changes is written: a
//! node that is not heard of for 40 s gets the condition `Ready=Unknown` and the taint [`UNREACHABLE`]; its instances are
//! said to be `Unknown`, and are ended once they no longer tolerate that (after five minutes, unless they say
//! otherwise), so that their workloads replace them. When more than half of the nodes are silent at once, none is
//! emptied. A node that is heard of again loses the taint, and its agent ends what is no longer wanted.
//!
//! A node that says that it is short of memory, disk or process ids is tainted so that nothing new comes to it, or what it
//! evicts would come back at once ([`SHORT_OF`]).
//!
//! Taints of the effect NoExecute that people set end instances here, too. Instances of nodes that are deleted are the
//! scheduler's, which knows all bindings.

mod apply;
mod build;
mod dereference;
pub mod end;
mod status;
#[cfg(test)]
mod tests;
mod validate;
pub mod vigil;

use crate::runtime::{Applied, Context, Failure, Invalid, Reconciler, Subject, Told, Verdict};
use crate::scheduler::cluster::Kind;
pub use build::{Eviction, Plan};
pub use dereference::{Observed, Resident};
use hypermesh_schemas::node::{NodeSpec, NodeStatus, Taint, TaintEffect};
use hypermesh_schemas::value::LabelKey;
use kube::core::{ApiResource, Object};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;
pub use validate::Valid;
use vigil::{Timing, Vigil};

/// The taint of a node that is not heard of.
pub const UNREACHABLE: &str = "node.hypermesh.online/unreachable";
/// The taint of a node whose agent says that it is not ready.
pub const NOT_READY: &str = "node.hypermesh.online/not-ready";
/// What a node's own conditions keep away from it, as upstream's node lifecycle controller does: the condition, the
/// taint, and its effect. A node without a network still runs what asks for none; nothing else is sent there if another fits.
const SHORT_OF: [(&str, &str, TaintEffect); 4] = [
    ("MemoryPressure", "node.hypermesh.online/memory-pressure", TaintEffect::NoSchedule),
    ("DiskPressure", "node.hypermesh.online/disk-pressure", TaintEffect::NoSchedule),
    ("PIDPressure", "node.hypermesh.online/pid-pressure", TaintEffect::NoSchedule),
    ("NetworkUnavailable", "node.hypermesh.online/network-unavailable", TaintEffect::PreferNoSchedule),
];
/// The condition of a silent node whose instances are left alone, since too many nodes are silent.
pub const HELD: &str = "EvictionsHeld";
/// Why `Ready` is `Unknown`.
const NOT_HEARD: &str = "NodeStatusUnknown";
/// Why `Ready` is `True` again, where the agent has not said so itself.
const AGENT_IS_BACK: &str = "AgentHeard";
/// Why an instance is `Unknown`.
const ITS_NODE: &str = "NodeUnreachable";
/// For how long after a node's return it is looked whether its agent has said how its instances are.
const RETOLD: Duration = Duration::from_secs(600);

/// A node, as it is read.
pub type NodeObject = Object<NodeSpec, NodeStatus>;

/// Looks after nodes.
#[derive(Debug)]
pub struct NodeLifecycle {
    timing: Timing,
    vigil: Mutex<Vigil>,
    started: Instant,
}

impl NodeLifecycle {
    /// With other times than the usual ones.
    pub fn new(timing: Timing) -> Self {
        Self { timing, vigil: Mutex::new(Vigil::new(timing)), started: Instant::now() }
    }
}

impl Default for NodeLifecycle {
    fn default() -> Self {
        Self::new(Timing::default())
    }
}

/// One of our taints.
fn taint(key: &str, effect: TaintEffect) -> Option<Taint> {
    let key = LabelKey::parse(key).ok()?;
    Some(Taint { key, value: None, effect })
}

impl Reconciler for NodeLifecycle {
    type Object = NodeObject;
    type Observed = Observed;
    type Valid = Valid;
    type Plan = Plan;

    const NAME: &'static str = "node-lifecycle";

    fn resource(&self) -> ApiResource {
        Kind::Node.resource()
    }

    async fn dereference(
        &self,
        context: &Context,
        subject: &Subject<NodeObject>,
    ) -> Result<Observed, Failure> {
        dereference::dereference(self, context, subject).await
    }

    fn validate(&self, subject: &Subject<NodeObject>, observed: Observed) -> Result<Valid, Invalid> {
        Ok(validate::validate(subject, observed))
    }

    fn build(&self, _: &Subject<NodeObject>, valid: Valid) -> Plan {
        build::build(&valid, &self.timing)
    }

    async fn apply(
        &self,
        context: &Context,
        subject: &Subject<NodeObject>,
        plan: &Plan,
    ) -> Result<Applied, Failure> {
        apply::apply(self, context, subject, plan).await
    }

    async fn update_status(
        &self,
        _: &Context,
        _: &Subject<NodeObject>,
        verdict: Verdict<'_>,
    ) -> Result<Told, Failure> {
        Ok(status::update(verdict))
    }
}
