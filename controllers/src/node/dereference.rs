//! What is known of a node beside the object: whether its agent is heard of, and what runs there.

use super::vigil::{Said, Voice};
use super::{AGENT_IS_BACK, NOT_HEARD, NodeLifecycle, NodeObject, RETOLD};
use crate::runtime::{Context, Failure, Key, Subject};
use crate::scheduler::cluster::Kind;
use crate::scheduler::plan::demand;
use hypermesh_schemas::node::TaintEffect;
use hypermesh_schemas::workload::pod::Toleration;
use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// What is known of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// Whether its agent is heard of.
    pub voice: Voice,
    /// When its agent was last heard of, as the server tells it.
    pub heard: Option<String>,
    /// For how long each of its NoExecute taints has been there, in their order.
    pub tainted: Vec<Duration>,
    /// So many of so many nodes are silent, which is too many to empty any.
    pub storm: Option<(usize, usize)>,
    /// Instances that are bound to it and have not ended; read only where something may follow for them.
    pub residents: Vec<Resident>,
}

/// An instance on the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Resident {
    /// Which.
    pub key: Key,
    /// The very object.
    pub uid: String,
    /// It is being deleted already.
    pub leaving: bool,
    /// Where it is in its life.
    pub phase: String,
    /// Why, in one word, if that has been said.
    pub reason: String,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    /// Its generation.
    pub generation: Option<i64>,
    /// Its conditions.
    pub conditions: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Liveness {
    last_seen: String,
}

pub(super) async fn dereference(
    lifecycle: &NodeLifecycle,
    context: &Context,
    subject: &Subject<NodeObject>,
) -> Result<Observed, Failure> {
    let name = &*subject.key.name;
    let path = format!("/apis/hypermesh.online/v1/nodes/{name}/liveness");
    let heard = context.read::<Liveness>(&path).await?.map(|liveness| liveness.last_seen);
    let lasting: Vec<String> = subject
        .object
        .spec
        .taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::NoExecute)
        .map(demand::show)
        .collect();
    let ready =
        subject.object.status.iter().flat_map(|status| &status.conditions).find(|c| c.kind == "Ready");
    let ours = ready.filter(|ready| [NOT_HEARD, AGENT_IS_BACK].contains(&ready.reason.as_str()));
    let wrote = ready.filter(|_| ours.is_none()).map(|ready| ready.last_transition_time.clone());
    let doubted = ours.is_some_and(|ready| ready.reason == NOT_HEARD);
    let now = lifecycle.started.elapsed();
    let (voice, tainted, storm) = {
        let mut vigil = lifecycle.vigil.lock();
        let voice = vigil.hear(name, Said { heard: heard.clone(), wrote }, doubted, now);
        let tainted = vigil.taints(name, &lasting, now);
        let storm = vigil.is_storm(now).then(|| vigil.count(now));
        (voice, tainted, storm)
    };
    let returned = voice.back.is_some_and(|back| back < RETOLD);
    let unsettled = voice.silent.is_some() || returned || !lasting.is_empty();
    let residents = if unsettled { residents(context, name).await? } else { Vec::new() };
    Ok(Observed { now: context.now(), voice, heard, tainted, storm, residents })
}

/// Instances that are bound to a node and have not ended.
pub async fn residents(context: &Context, node: &str) -> Result<Vec<Resident>, Failure> {
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &Kind::Instance.resource());
    let mut params = ListParams::default().fields(&format!("spec.nodeName={node}")).limit(500);
    let mut residents = Vec::new();
    loop {
        let list =
            api.list(&params).await.map_err(Failure::of(format!("list the instances of node {node}")))?;
        // The server selects them; one that does not would make this the end of other nodes' instances.
        let here = |object: &&DynamicObject| {
            object.data.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node)
        };
        residents.extend(list.items.iter().filter(here).filter_map(resident));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(residents),
        }
    }
}

fn resident(object: &DynamicObject) -> Option<Resident> {
    let at = |pointer: &str| object.data.pointer(pointer);
    let phase = at("/status/phase").and_then(Value::as_str).unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    // What cannot be read tolerates nothing.
    let tolerations = at("/spec/pod/tolerations").and_then(|list| Vec::deserialize(list).ok());
    Some(Resident {
        key: Key::of(&object.metadata)?,
        uid: object.metadata.uid.clone()?,
        leaving: object.metadata.deletion_timestamp.is_some(),
        phase: phase.to_owned(),
        reason: at("/status/reason").and_then(Value::as_str).unwrap_or_default().to_owned(),
        tolerations: tolerations.unwrap_or_default(),
        generation: object.metadata.generation,
        conditions: at("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default(),
    })
}
