//! What the scheduler has to know of a node. Pure.

use super::amounts::Amounts;
use hypermesh_schemas::condition::ConditionStatus;
use hypermesh_schemas::label_selector::{LabelOperator, LabelRequirement};
use hypermesh_schemas::node::{NodeSpec, NodeStatus, Taint};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label of a node by which it is a group of its own; a node that lacks it has its name.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether its agent works.
    pub readiness: Readiness,
    /// Whether new instances are kept away from it.
    pub cordoned: bool,
    /// What keeps instances away that do not tolerate it.
    pub taints: Vec<Taint>,
    /// What instances may have of it.
    pub allocatable: Amounts,
}

/// Whether a node's agent works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It says itself that it does not.
    NotReady,
    /// It cannot be asked, or has not said anything yet.
    Unknown,
    /// The node is being deleted.
    Leaving,
}

impl Node {
    /// Reads what counts.
    pub fn read(
        name: &str,
        labels: BTreeMap<String, String>,
        leaving: bool,
        spec: &NodeSpec,
        status: Option<&NodeStatus>,
    ) -> Self {
        let ready = status.and_then(|status| status.conditions.iter().find(|c| c.kind == "Ready"));
        let readiness = match ready.map(|ready| ready.status) {
            _ if leaving => Readiness::Leaving,
            Some(ConditionStatus::True) => Readiness::Ready,
            Some(ConditionStatus::False) => Readiness::NotReady,
            Some(ConditionStatus::Unknown) | None => Readiness::Unknown,
        };
        Self {
            name: name.into(),
            labels,
            readiness,
            cordoned: spec.unschedulable,
            taints: spec.taints.clone(),
            allocatable: status.map(|status| Amounts::read(&status.allocatable)).unwrap_or_default(),
        }
    }

    /// The group that a label puts it into.
    pub fn group(&self, topology: &str) -> Option<&str> {
        match self.labels.get(topology) {
            Some(value) => Some(value),
            None if topology == HOSTNAME => Some(&self.name),
            None => None,
        }
    }

    /// Whether it meets a requirement.
    pub fn meets(&self, requirement: &LabelRequirement) -> bool {
        let value = self.group(requirement.key.as_str());
        let is_one =
            || value.is_some_and(|value| requirement.values.iter().any(|wanted| wanted.as_str() == value));
        match requirement.operator {
            LabelOperator::In => is_one(),
            LabelOperator::NotIn => !is_one(),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

/// A requirement as people write it: `zone in (a, b)`.
pub fn show(requirement: &LabelRequirement) -> String {
    let key = &requirement.key;
    let values = || {
        let values: Vec<&str> = requirement.values.iter().map(|value| value.as_str()).collect();
        values.join(", ")
    };
    match requirement.operator {
        LabelOperator::In => format!("{key} in ({})", values()),
        LabelOperator::NotIn => format!("{key} not in ({})", values()),
        LabelOperator::Exists => key.to_string(),
        LabelOperator::DoesNotExist => format!("!{key}"),
    }
}
