//! An Instance as the planners see it. Pure.
//!
//! Only what decides is kept: a Workload may have ten thousand of them.

use hypermesh_schemas::condition::{Condition, ConditionStatus};
use hypermesh_schemas::instance::{ContainerStatus, InstancePhase, InstanceStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Object;
use serde::Deserialize;

/// The annotation of an Instance that says which one of its revision it is: names are made of it.
pub const ORDINAL: &str = "hypermesh.online/ordinal";

/// The condition of an Instance or a Workload whose ports are not reached as they should be.
pub const PORTS: &str = "PortsPublished";

/// Reasons for which every container waits while it starts.
const STARTS: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The condition by which an agent says what it cannot do for an instance before any container is there.
const STUCK: &str = "Stuck";

/// An Instance as it is read: what runs in it is left out.
pub type Instance = Object<InstanceSpec, InstanceStatus>;

/// The part of an Instance's spec that is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceSpec {
    /// The revision that it was made from.
    pub revision: String,
    /// The Node that it is bound to.
    pub node_name: Option<String>,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    Pending,
    /// It runs.
    Running,
    /// Its node is not heard of. Whether it is given up is for who looks after nodes to say.
    Unknown,
    /// It has ended well, then.
    Succeeded(Timestamp),
    /// It has ended badly, then.
    Failed(Timestamp),
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The very object.
    pub uid: String,
    /// The revision that it was made from.
    pub revision: String,
    /// Which one of its revision it is.
    pub ordinal: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Where it runs.
    pub node: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Since when it has been ready, if it is.
    pub ready_since: Option<Timestamp>,
    /// How often its containers were started again.
    pub restarts: u32,
    /// What holds it up, in words, if something does.
    pub trouble: Option<String>,
    /// Why its ports are not reached on its node as they should be, if they are not: in a CamelCase word, and in words.
    pub unpublished: Option<(String, String)>,
    /// The images that its containers run: container, image, digest.
    pub images: Vec<(String, String, String)>,
}

impl Member {
    /// Reads an Instance. `now` stands in for moments that it does not tell.
    pub fn of(instance: &Instance, now: Timestamp) -> Self {
        let empty = InstanceStatus::default();
        let status = instance.status.as_ref().unwrap_or(&empty);
        let mut member = Self::known(&instance.metadata, now);
        member.revision.clone_from(&instance.spec.revision);
        member.node.clone_from(&instance.spec.node_name);
        member.restarts = status.restarts.unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        let since = ready.and_then(|ready| ready.last_transition_time.parse().ok());
        member.phase = match status.phase {
            None | Some(InstancePhase::Pending) => Phase::Pending,
            Some(InstancePhase::Running) => Phase::Running,
            Some(InstancePhase::Unknown) => Phase::Unknown,
            Some(InstancePhase::Succeeded) => Phase::Succeeded(ended(status).or(since).unwrap_or(now)),
            Some(InstancePhase::Failed) => Phase::Failed(ended(status).or(since).unwrap_or(now)),
        };
        let is_ready = ready.is_some_and(|ready| ready.status == ConditionStatus::True);
        member.ready_since = since.filter(|_| is_ready && member.phase == Phase::Running);
        member.trouble = trouble(status).filter(|_| member.ready_since.is_none());
        member.unpublished = unpublished(status);
        member.images =
            images(&status.container_statuses).chain(images(&status.init_container_statuses)).collect();
        member
    }

    /// An Instance of which the metadata alone can be read: it is there, and nothing more is known.
    pub fn known(meta: &ObjectMeta, now: Timestamp) -> Self {
        let note = |name: &str| meta.annotations.as_ref().and_then(|notes| notes.get(name));
        let label = |name: &str| meta.labels.as_ref().and_then(|labels| labels.get(name));
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            revision: label(super::REVISION).cloned().unwrap_or_default(),
            ordinal: note(ORDINAL).and_then(|text| text.parse().ok()).unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map_or(now, |time| time.0),
            node: None,
            phase: Phase::Pending,
            leaving: meta.deletion_timestamp.is_some(),
            ready_since: None,
            restarts: 0,
            trouble: None,
            unpublished: None,
            images: Vec::new(),
        }
    }

    /// Whether it counts: it has neither ended nor is it being deleted.
    pub fn is_live(&self) -> bool {
        !self.leaving && !self.has_ended()
    }

    /// Whether it has ended, well or not.
    pub fn has_ended(&self) -> bool {
        self.ended_at().is_some()
    }

    /// When it ended, if it has.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Succeeded(at) | Phase::Failed(at) => Some(at),
            _ => None,
        }
    }

    /// Whether it passes its readiness probes.
    pub fn is_ready(&self) -> bool {
        self.is_live() && self.ready_since.is_some()
    }

    /// When it will have been ready for `least`, if it is ready.
    pub fn available_at(&self, least: SignedDuration) -> Option<Timestamp> {
        let since = self.ready_since.filter(|_| self.is_live())?;
        Some(since.checked_add(least).unwrap_or(Timestamp::MAX))
    }
}

/// When the last of its containers ended.
fn ended(status: &InstanceStatus) -> Option<Timestamp> {
    let states = status.container_statuses.iter().filter_map(|container| container.state.as_ref());
    let ends = states.filter_map(|state| state.terminated.as_ref()?.finished_at.as_ref()?.parse().ok());
    ends.max()
}

/// What holds an instance up, as its status tells it.
fn trouble(status: &InstanceStatus) -> Option<String> {
    let said = |reason: &str, message: Option<&String>| match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    };
    // What was done to the whole of it (evicted, its node lost) says more than how its containers ended.
    if let Some(reason) = &status.reason {
        return Some(said(reason, status.message.as_ref()));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses);
    for state in containers.filter_map(|container| container.state.as_ref()) {
        if let Some(waiting) =
            state.waiting.as_ref().filter(|waiting| !STARTS.contains(&waiting.reason.as_str()))
        {
            return Some(said(&waiting.reason, waiting.message.as_ref()));
        }
        if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
            let reason = ended.reason.clone().unwrap_or_else(|| format!("exit code {}", ended.exit_code));
            return Some(said(&reason, ended.message.as_ref()));
        }
    }
    let stuck = |condition: &&Condition| condition.kind == STUCK && condition.status == ConditionStatus::True;
    if let Some(stuck) = status.conditions.iter().find(stuck) {
        return Some(said(&stuck.reason, Some(&stuck.message)));
    }
    let is_false = |condition: &&Condition| {
        condition.status == ConditionStatus::False
            && condition.kind != "Ready"
            && condition.kind != PORTS
            && !condition.message.is_empty()
    };
    let unmet = status.conditions.iter().find(is_false)?;
    Some(said(&unmet.reason, Some(&unmet.message)))
}

/// What its node says of ports that lead to it, while it may be asked.
fn unpublished(status: &InstanceStatus) -> Option<(String, String)> {
    let found = status.conditions.iter().find(|condition| condition.kind == PORTS)?;
    let refused = found.status == ConditionStatus::False;
    refused.then(|| (found.reason.clone(), found.message.clone()))
}

fn images(containers: &[ContainerStatus]) -> impl Iterator<Item = (String, String, String)> {
    containers.iter().filter_map(|container| {
        let digest = digest(container.image_id.as_deref()?)?;
        Some((container.name.as_str().to_owned(), container.image.clone()?, digest))
    })
}

/// The digest in `sha256:…` or `name@sha256:…`.
pub fn digest(image_id: &str) -> Option<String> {
    let text = image_id.rsplit_once('@').map_or(image_id, |(_, digest)| digest);
    let hex = text.strip_prefix("sha256:")?;
    let whole = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    whole.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(status: Value) -> Option<String> {
        trouble(&serde_json::from_value(status).unwrap())
    }

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    #[test]
    fn what_holds_it_up_is_told_before_what_follows_from_it() {
        let unready = condition(
            "ContainersReady",
            "False",
            "ContainersNotReady",
            "containers with unready status: [c]",
        );
        let stuck = condition("Stuck", "True", "Refused", "the volume v: there is no Secret s");
        let creating = json!([{"name": "c", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}}]);
        let mounts =
            json!({"phase": "Pending", "containerStatuses": creating, "conditions": [unready, stuck]});
        assert_eq!(of(mounts).unwrap(), "Refused: the volume v: there is no Secret s");
        let ended = json!([{"name": "c", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}]);
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "the node was short of disk",
            "containerStatuses": ended});
        assert_eq!(of(evicted).unwrap(), "Evicted: the node was short of disk");
        let waits = json!([{"name": "c", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]);
        assert_eq!(of(json!({"containerStatuses": waits})).unwrap(), "ImagePullBackOff: no such image");
        assert_eq!(of(json!({"phase": "Running"})), None);
    }
}
