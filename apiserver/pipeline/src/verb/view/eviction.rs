//! Eviction: a deletion that waits until the Workload can do without the instance.
//!
//! The budget is the Workload's `rollout.rolling.maxUnavailable`, of which a percentage rounds up, as that of a
//! PodDisruptionBudget does: a Workload of one instance that says nothing can be drained. It is counted where the deletion is
//! made: two evictions at once cannot both see room for one.
//!
//! Source: `k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go`.

use crate::execution::Execution;
use crate::fault::Fault;
use crate::outcome::Reply;
use crate::state::StateReader;
use crate::verb::{Request, decode, delete};
use hypermesh_api::options::DeleteOptions;
use hypermesh_api::query::Query;
use hypermesh_api::{Cause, Details, Status};
use hypermesh_chain::ObjectKey;
use hypermesh_schemas::value::{CountOrPercent, Rounding};
use serde_json::Value;

/// Where Workloads are stored.
const WORKLOADS: &str = "hypermesh.online/workloads";
/// Reasons of the condition that an instance is made with.
const BEGINNING: [&str; 2] = ["NoController", "Pending"];
/// Instances that are read at once.
const PAGE: usize = 64;
/// Instances that are read at the most: a Workload with more has a controller that is far behind.
const MOST_READ: usize = 20_000;

pub(super) fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let name = request.call.info.name.clone();
    let body = std::mem::take(&mut request.call.body);
    let options = options(&body, &name)?;
    let key = request.key(&name)?;
    let Some(record) = execution.overlay.get(&key)? else {
        return Err(Status::not_found(request.kind.subject(&name)).into());
    };
    let instance = decode(&record)?;
    if !record.facts.deleting && is_healthy(&instance) {
        budget(execution, request, &key, &instance)?;
    }
    let dry_run = options.dry_run;
    request.call.delete = options;
    if !dry_run {
        delete::run(execution, request)?;
    }
    Ok(Reply::document(201, &Status { code: 201, ..Status::success(Details::default()) })?)
}

/// Reads an Eviction. 400 for one that is of another pod, or is none.
fn options(body: &Value, name: &str) -> Result<DeleteOptions, Status> {
    let text = |path: &str| body.pointer(path).and_then(Value::as_str);
    let of = text("/metadata/name").unwrap_or_default();
    if !body.is_object() || text("/kind").is_some_and(|kind| kind != "Eviction") {
        return Err(Status::bad_request("the body of the request is no Eviction of policy/v1"));
    }
    if !of.is_empty() && of != name {
        let why = format!("name in URL does not match name in Eviction object: {name} and {of}");
        return Err(Status::bad_request(why));
    }
    let Some(options) = body.get("deleteOptions").filter(|options| options.is_object()) else {
        return Ok(DeleteOptions::default());
    };
    let text = options.to_string();
    DeleteOptions::parse(&Query::default(), text.as_bytes()).map_err(|status| *status)
}

/// Whether the Workload counts on an instance: it runs, is ready, and stays.
fn is_healthy(instance: &Value) -> bool {
    let at = |path: &str| instance.pointer(path);
    let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default();
    if text("/status/phase") != "Running" || at("/metadata/deletionTimestamp").is_some() {
        return false;
    }
    let list = |path: &str| at(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let says = |condition: &Value, field, word| condition.get(field).and_then(Value::as_str) == Some(word);
    // What an instance begins with, and its agent has not replaced, says nothing.
    let is_ready = |condition: &&Value| {
        says(condition, "type", "Ready") && !BEGINNING.iter().any(|reason| says(condition, "reason", reason))
    };
    match list("/status/conditions").iter().find(is_ready) {
        Some(condition) => says(condition, "status", "True"),
        None => {
            let ready = |status: &Value| status.get("ready") == Some(&Value::Bool(true));
            list("/status/containerStatuses").iter().all(ready)
        }
    }
}

/// How many healthy instances a Workload needs; `None` where it needs none: it runs to its end, or is going.
fn needed(workload: &Value) -> Option<u32> {
    let at = |path: &str| workload.pointer(path);
    if at("/metadata/deletionTimestamp").is_some() || at("/spec/job").is_some() {
        return None;
    }
    let replicas = at("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    let said = at("/spec/rollout/rolling/maxUnavailable").cloned();
    let may = said.and_then(|value| serde_json::from_value::<CountOrPercent>(value).ok());
    let may = may.unwrap_or_else(|| hypermesh_schemas::workload::rollout::Rolling::default().max_unavailable);
    Some(replicas.saturating_sub(may.of(replicas, Rounding::Up)))
}

/// 429 unless the Workload has one instance more than it needs.
fn budget<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    key: &ObjectKey,
    instance: &Value,
) -> Result<(), Fault> {
    let owner = instance.pointer("/spec/workload").and_then(Value::as_str).unwrap_or_default();
    let Some(place) = ObjectKey::new(WORKLOADS, key.namespace(), owner) else { return Ok(()) };
    let Some(workload) = execution.overlay.get(&place)? else { return Ok(()) };
    let Some(needed) = needed(&decode(&workload)?) else { return Ok(()) };
    let (mut healthy, mut read, mut after) = (0_u32, 0_usize, None);
    // The one that is to go does not count.
    while healthy < needed && read < MOST_READ {
        let page = execution.overlay.dependents(workload.facts.uid, after.as_ref(), PAGE)?;
        let Some(last) = page.last().cloned() else { break };
        read += page.len();
        for other in page.iter().filter(|other| *other != key && other.collection() == key.collection()) {
            let record = execution.overlay.get(other)?;
            healthy += u32::from(match record {
                Some(record) => is_healthy(&decode(&record)?),
                None => false,
            });
        }
        after = Some(last);
    }
    if healthy >= needed {
        return Ok(());
    }
    let mut status = Status::failure(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    let message = format!(
        "the workload {owner} needs {needed} healthy instances by its maxUnavailable, and would have {healthy}"
    );
    let cause = Cause { reason: "DisruptionBudget".into(), message, ..Cause::default() };
    let name = request.call.info.name.clone();
    status.details = Some(Details { name, kind: "pods".into(), causes: vec![cause], ..Details::default() });
    Err(status.into())
}
