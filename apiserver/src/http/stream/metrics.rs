//! `metrics.k8s.io/v1beta1`: what nodes and pods use, as their agents tell it when asked.
//!
//! A node that does not answer in time is left out, as a metrics server leaves out what it could not scrape.

use super::{agents, caller};
use crate::http::Exchange;
use crate::http::context::Api;
use crate::http::outgoing::Outgoing;
use crate::http::reply;
use crate::http::who::Who;
use crate::streams::Node;
use bytes::Bytes;
use http::{Response, StatusCode};
use hypermesh_api::options::ListOptions;
use hypermesh_api::query::Query;
use hypermesh_api::request::{RequestInfo, Verb};
use hypermesh_api::{Status, Subject};
use hypermesh_chain::{KeyRange, ObjectKey, Record, Timestamp};
use hypermesh_machine::Reading;
use hypermesh_pipeline::clock;
use hypermesh_stream::stats::{ContainerStats, CpuStats, MemoryStats, PodStats, Summary};
use hypermesh_wire::Offer;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

const NODES: &str = "hypermesh.online/nodes";
const INSTANCES: &str = "hypermesh.online/instances";
const API_VERSION: &str = "metrics.k8s.io/v1beta1";

type Found = Vec<(ObjectKey, Arc<Record>)>;

/// A list, or one.
pub(in crate::http) async fn answer(
    api: &Arc<Api>,
    mut who: Who,
    exchange: &Exchange<'_>,
    info: &RequestInfo,
    query: &Query,
) -> Result<Response<Outgoing>, Box<Status>> {
    let subject = Subject { group: &info.group, resource: &info.resource, name: &info.name };
    if !matches!(info.verb, Verb::Get | Verb::List) {
        return Err(Box::new(Status::method_not_allowed(subject, info.verb.as_str())));
    }
    let pods = info.resource == "pods";
    if info.verb == Verb::Get && pods == info.namespace.is_empty() {
        return Err(Box::new(Status::unknown_path()));
    }
    let options = ListOptions::parse(query)?;
    let headers = &exchange.head.headers;
    let accepted = reply::accepted(headers, Offer::Document)?;
    let caller = caller(api, &mut who, exchange.head)?;
    let reading = api.replica.reading();
    let chosen = chosen(&reading, info, &options, if pods { INSTANCES } else { NODES })?;
    let nodes = nodes_of(&reading, &chosen, pods)?;
    let told = api.usage.of(agents(api)?, &api.alive, &caller, nodes).await;
    let now = clock::rfc3339(Timestamp(u64::try_from(api.unix_now()).unwrap_or(0).saturating_mul(1_000_000)));
    let mut items = if pods { of_pods(&chosen, &told, &now) } else { of_nodes(&chosen, &told, &now) };
    let document = if info.verb == Verb::List {
        let kind = if pods { "PodMetricsList" } else { "NodeMetricsList" };
        json!({"kind": kind, "apiVersion": API_VERSION, "metadata": {}, "items": items})
    } else {
        items.pop().ok_or_else(|| Box::new(Status::not_found(subject)))?
    };
    let bytes = serde_json::to_vec(&document).map_err(|e| Box::new(Status::internal(e)))?;
    let pretty = accepted.is_pretty(query, exchange.agent);
    reply::document(Bytes::from(bytes), StatusCode::OK, &accepted, pretty, headers)
}

/// The objects whose usage is wanted.
fn chosen(
    reading: &Reading,
    info: &RequestInfo,
    options: &ListOptions,
    collection: &str,
) -> Result<Found, Box<Status>> {
    options.field_selector.check_fields(|field| matches!(field, "metadata.name" | "metadata.namespace"))?;
    let failed = |error: &dyn std::error::Error| Box::new(Status::internal(error));
    let mut found = Vec::new();
    if info.verb == Verb::Get {
        let key = ObjectKey::new(collection, info.namespace.as_str(), info.name.as_str());
        let Some(key) = key else { return Ok(found) };
        let record = reading.get(&key).map_err(|e| failed(&e))?;
        found.extend(record.map(|record| (key, record)));
        return Ok(found);
    }
    let namespace = Some(info.namespace.clone()).filter(|name| !name.is_empty());
    let range = KeyRange { collection: collection.to_owned(), namespace };
    let scanned = reading.view.for_each(&range, None, |key, record| {
        let Some(key) = ObjectKey::decode(key) else { return ControlFlow::Break(()) };
        if hypermesh_pipeline::selected_by(&key, &record, &options.label_selector, &options.field_selector) {
            found.push((key, Arc::new(record)));
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|e| failed(&e))?;
    Ok(found)
}

/// The nodes that have to be asked. One whose agent cannot be reached at all is left out.
fn nodes_of(reading: &Reading, chosen: &Found, pods: bool) -> Result<Vec<Node>, Box<Status>> {
    if !pods {
        return Ok(chosen.iter().filter_map(|(key, record)| Node::read(key.name(), record).ok()).collect());
    }
    let mut nodes = BTreeMap::new();
    for (_, record) in chosen {
        let Some(name) = bound_to(record) else { continue };
        if nodes.contains_key(name) {
            continue;
        }
        let Some(key) = ObjectKey::new(NODES, "", name) else { continue };
        let found = reading.get(&key).map_err(|e| Box::new(Status::internal(e)))?;
        nodes.insert(name.to_owned(), found.and_then(|record| Node::read(name, &record).ok()));
    }
    Ok(nodes.into_values().flatten().collect())
}

fn bound_to(record: &Record) -> Option<&str> {
    let found = record.facts.fields.iter().find(|(name, _)| name == "spec.nodeName");
    found.map(|(_, value)| value.as_str()).filter(|name| !name.is_empty())
}

fn of_nodes(chosen: &Found, told: &HashMap<String, Arc<Summary>>, now: &str) -> Vec<Value> {
    let items = chosen.iter().filter_map(|(key, record)| {
        let node = &told.get(key.name())?.node;
        let usage = usage(node.cpu.as_ref(), node.memory.as_ref())?;
        Some(item("NodeMetrics", (key, record), (node.cpu.as_ref(), now), json!({"usage": usage})))
    });
    items.collect()
}

/// Of a pod its own node is believed, and no other.
fn of_pods(chosen: &Found, told: &HashMap<String, Arc<Summary>>, now: &str) -> Vec<Value> {
    let mut by_uid: HashMap<(&str, &str), &PodStats> = HashMap::new();
    for (node, summary) in told {
        by_uid.extend(summary.pods.iter().map(|pod| ((node.as_str(), pod.pod_ref.uid.as_str()), pod)));
    }
    let items = chosen.iter().filter_map(|(key, record)| {
        let uid = record.facts.uid.to_string();
        let pod = by_uid.get(&(bound_to(record)?, uid.as_str()))?;
        let containers: Vec<Value> = pod.containers.iter().filter_map(container).collect();
        let first = pod.containers.first().and_then(|container| container.cpu.as_ref());
        // Of a pod of which nothing was measured yet, nothing is told.
        (!containers.is_empty())
            .then(|| item("PodMetrics", (key, record), (first, now), json!({"containers": containers})))
    });
    items.collect()
}

fn container(container: &ContainerStats) -> Option<Value> {
    let usage = usage(container.cpu.as_ref(), container.memory.as_ref())?;
    Some(json!({"name": container.name, "usage": usage}))
}

/// Quantities, as a metrics server writes them.
fn usage(cpu: Option<&CpuStats>, memory: Option<&MemoryStats>) -> Option<Value> {
    let cores = cpu?.usage_nano_cores?;
    let bytes = memory?.working_set_bytes?;
    Some(json!({"cpu": format!("{cores}n"), "memory": format!("{}Ki", bytes / 1024)}))
}

/// The longest that rates are said to be measured over.
const LONGEST: u64 = 3_600_000;

/// When it was is this server's word, and how long it took is bounded: a client reads a list as a whole or not at all, and
/// one node that writes no time would take from people what all the others say.
fn item(
    kind: &str,
    (key, record): (&ObjectKey, &Record),
    (cpu, now): (Option<&CpuStats>, &str),
    with: Value,
) -> Value {
    let mut meta = Map::new();
    meta.insert("name".into(), key.name().into());
    if !key.namespace().is_empty() {
        meta.insert("namespace".into(), key.namespace().into());
    }
    if !record.facts.labels.is_empty() {
        let labels: Map<String, Value> =
            record.facts.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        meta.insert("labels".into(), labels.into());
    }
    meta.insert("creationTimestamp".into(), now.into());
    let window = cpu.map_or(0, |cpu| cpu.window_millis.min(LONGEST));
    let mut item = json!({
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": meta,
        "timestamp": now,
        "window": format!("{}.{:03}s", window / 1000, window % 1000),
    });
    if let (Value::Object(item), Value::Object(with)) = (&mut item, with) {
        item.extend(with);
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::{Facts, Revision, Uid};

    fn bound(name: &str, uid: u8, node: &str) -> (ObjectKey, Arc<Record>) {
        let facts = Facts {
            uid: Uid([uid; 16]),
            fields: vec![("spec.nodeName".to_owned(), node.to_owned())],
            ..Facts::default()
        };
        let record = Record { revision: Revision(1), salt: Vec::new(), facts, body: Bytes::new() };
        (ObjectKey::new(INSTANCES, "shop", name).unwrap(), Arc::new(record))
    }

    fn summary(cores: u64, time: &str, uids: &[u8]) -> Arc<Summary> {
        let cpu = json!({"time": time, "windowMillis": u64::MAX, "usageNanoCores": cores});
        let memory = json!({"time": time, "workingSetBytes": 1024});
        let pods: Vec<Value> = uids
            .iter()
            .map(|uid| {
                let uid = Uid([*uid; 16]).to_string();
                json!({"podRef": {"name": "any", "namespace": "shop", "uid": uid},
                    "containers": [{"name": "c", "cpu": cpu, "memory": memory}]})
            })
            .collect();
        let node = json!({"nodeName": "any", "cpu": cpu, "memory": memory});
        Arc::new(serde_json::from_value(json!({"node": node, "pods": pods})).unwrap())
    }

    #[test]
    fn a_node_tells_of_its_own_instances_and_spoils_nobody_elses() {
        let chosen = vec![bound("a", 1, "honest"), bound("b", 2, "hostile")];
        let told = HashMap::from([
            ("honest".to_owned(), summary(7, "2026-01-01T00:00:00Z", &[1])),
            ("hostile".to_owned(), summary(1_000_000, "no time \u{1b}[2J", &[1, 2])),
        ]);
        let items = of_pods(&chosen, &told, "2026-01-01T00:00:01Z");
        let cpu: Vec<&Value> = items.iter().map(|item| &item["containers"][0]["usage"]["cpu"]).collect();
        assert_eq!(cpu, ["7n", "1000000n"]);
        for item in &items {
            assert_eq!(
                (&item["timestamp"], &item["window"]),
                (&json!("2026-01-01T00:00:01Z"), &json!("3600.000s"))
            );
        }
    }
}
