//! A node cannot be wrong.

use super::{NodeObject, Observed};
use crate::runtime::Subject;
use hypermesh_schemas::condition::{Condition, ConditionStatus};
use hypermesh_schemas::node::Taint;

/// A node and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// Its name.
    pub name: String,
    /// It is being deleted.
    pub leaving: bool,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Its condition `Ready`.
    pub ready: Option<Condition>,
    /// Its condition that says whether it is kept from being emptied.
    pub held: Option<Condition>,
    /// Which conditions of [`super::SHORT_OF`] it says hold.
    pub short_of: Vec<&'static str>,
    /// What is known of it.
    pub observed: Observed,
}

pub(super) fn validate(subject: &Subject<NodeObject>, observed: Observed) -> Valid {
    let conditions = subject.object.status.iter().flat_map(|status| &status.conditions);
    let find = |kind: &str| conditions.clone().find(|condition| condition.kind == kind).cloned();
    let holds = |kind: &str| find(kind).is_some_and(|condition| condition.status == ConditionStatus::True);
    Valid {
        name: subject.key.name.to_string(),
        leaving: subject.deleting(),
        taints: subject.object.spec.taints.clone(),
        ready: find("Ready"),
        held: find(super::HELD),
        short_of: super::SHORT_OF
            .iter()
            .map(|(condition, ..)| *condition)
            .filter(|kind| holds(kind))
            .collect(),
        observed,
    }
}
