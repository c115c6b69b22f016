//! Writes what the node is said to be, and ends those that leave.

use super::build::{Eviction, Plan};
use super::dereference::Resident;
use super::end::{self, Why};
use super::{ITS_NODE, NodeLifecycle, NodeObject};
use crate::runtime::announce::{Gravity, Note};
use crate::runtime::conditions::{self, Condition, Holds};
use crate::runtime::{Applied, Context, Failure, Subject};
use crate::scheduler::cluster::Kind;
use kube::api::Patch;
use serde_json::{Value, json};
use std::time::Duration;

/// The field manager of what is said of nodes and their instances.
const MANAGER: &str = "nexus-node-lifecycle";
/// How soon to look again when others have their turn first.
const TURN: Duration = Duration::from_secs(3);
/// How many instances are ended in one reconcile: the rest follow in the next.
const AT_ONCE: usize = 100;

pub(super) async fn apply(
    lifecycle: &NodeLifecycle,
    context: &Context,
    subject: &Subject<NodeObject>,
    plan: &Plan,
) -> Result<Applied, Failure> {
    let mut applied = Applied { writes: 0, again: Some(plan.again) };
    applied.writes += say(context, subject, plan).await?;
    if let Some(taints) = &plan.taints {
        let meta =
            json!({"uid": subject.meta().uid, "resourceVersion": version(context, subject, &applied).await?});
        let patch = Patch::Merge(json!({"metadata": meta, "spec": {"taints": taints}}));
        context.patch(&subject.resource, &subject.key, None, &patch).await?;
        applied.writes += 1;
    }
    for resident in plan.unknown.iter().take(AT_ONCE) {
        applied.writes += u32::from(unknown(context, &subject.key.name, resident).await?);
    }
    for resident in plan.known.iter().take(AT_ONCE) {
        applied.writes += u32::from(say_of(context, resident, &json!({})).await?);
    }
    for eviction in plan.evictions.iter().take(AT_ONCE) {
        let gone = eviction.taint.is_none();
        if gone && !lifecycle.vigil.lock().turn(&subject.key.name, lifecycle.started.elapsed()) {
            applied.again = Some(TURN.min(plan.again));
            break;
        }
        applied.writes += u32::from(evict(context, &subject.key.name, eviction).await?);
    }
    if plan.evictions.len().max(plan.unknown.len()) > AT_ONCE {
        applied.again = Some(Duration::ZERO);
    }
    Ok(applied)
}

/// The revision that a change of the spec is made on: after this reconcile's own write of the status, the newest.
async fn version(
    context: &Context,
    subject: &Subject<NodeObject>,
    applied: &Applied,
) -> Result<Option<String>, Failure> {
    if applied.writes == 0 {
        return Ok(subject.meta().resource_version.clone());
    }
    let newest: Option<NodeObject> = context.get(&subject.resource, &subject.key).await?;
    let same = newest.filter(|newest| {
        newest.metadata.uid == subject.meta().uid && newest.spec.taints == subject.object.spec.taints
    });
    // Whoever changed the taints meanwhile made a new state, which the next reconcile judges.
    Ok(same
        .map_or_else(|| subject.meta().resource_version.clone(), |newest| newest.metadata.resource_version))
}

/// Writes the node's conditions, and tells people.
async fn say(context: &Context, subject: &Subject<NodeObject>, plan: &Plan) -> Result<u32, Failure> {
    let now = context.now();
    let current: Vec<Value> = subject
        .object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .filter_map(|condition| serde_json::to_value(condition).ok())
        .collect();
    let mut writes = 0;
    for (condition, manager) in [(&plan.ready, MANAGER.to_owned()), (&plan.held, format!("{MANAGER}-held"))] {
        let Some(condition) = condition else { continue };
        let Some(settled) = conditions::settle(&current, condition, subject.meta().generation, now) else {
            continue;
        };
        let (resource, key) = (&subject.resource, &subject.key);
        let apply = conditions::apply(&resource.api_version, &resource.kind, &key.name, &[settled]);
        context.apply_status(resource, key, &manager, &apply).await?;
        context.announcer.tell(&subject.reference(), note(condition), now).await;
        writes += 1;
    }
    Ok(writes)
}

fn note(condition: &Condition) -> Note {
    let ready = condition.kind == "Ready";
    let good = (condition.status == Holds::True) == ready;
    Note {
        gravity: if good { Gravity::Normal } else { Gravity::Warning },
        action: "Watch",
        reason: match (ready, good) {
            (true, true) => "NodeReady",
            (true, false) => "NodeNotReady",
            (false, true) => "EvictionsGoOn",
            (false, false) => "EvictionsHeld",
        }
        .to_owned(),
        message: condition.message.clone(),
        counted: false,
    }
}

/// Says of an instance that nobody knows how it is. False if it is gone.
async fn unknown(context: &Context, node: &str, resident: &Resident) -> Result<bool, Failure> {
    let message = format!("its node {node} is not heard of: what it does there, nobody knows");
    let condition = Condition {
        kind: "Ready",
        status: Holds::Unknown,
        reason: ITS_NODE.to_owned(),
        message: message.clone(),
    };
    let settled = conditions::settle(&resident.conditions, &condition, resident.generation, context.now());
    let status = json!({
        "phase": "Unknown",
        "reason": ITS_NODE,
        "message": message,
        "conditions": settled.into_iter().collect::<Vec<_>>(),
    });
    say_of(context, resident, &status).await
}

/// Says this in the status of an instance, and nothing else any more. False if it is gone.
async fn say_of(context: &Context, resident: &Resident, status: &Value) -> Result<bool, Failure> {
    let kind = Kind::Instance.resource();
    let object = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": &*resident.key.name, "uid": resident.uid},
        "status": status,
    });
    match context.apply_status(&kind, &resident.key, MANAGER, &object).await {
        Err(Failure::Api { source: kube::Error::Api(status), .. }) if matches!(status.code, 404 | 409) => {
            Ok(false)
        }
        result => result.map(|()| true),
    }
}

async fn evict(context: &Context, node: &str, eviction: &Eviction) -> Result<bool, Failure> {
    let Eviction { key, uid, taint } = eviction;
    match taint {
        None => end::at_once(context, key, uid, &Why::Unreachable(node)).await,
        Some(taint) => end::gracefully(context, key, uid, &Why::Taint(node, taint)).await,
    }
}
