//! Published ports: which workloads have them, and which instances of this node answer.

use crate::api::ours;
use crate::connectivity::{Backend, PublishedPort};
use crate::failure::chain;
use crate::host::Host;
use crate::worker::View;
use crate::workers::Workers;
use futures_util::StreamExt as _;
use hypermesh_planner::{Gravity, InstanceUid};
use hypermesh_schemas::condition::ConditionStatus;
use hypermesh_schemas::value::PortRef;
use hypermesh_schemas::workload::publish::PublishedPort as Wanted;
use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;

/// Changes of so short a time are one.
const SETTLE: Duration = Duration::from_millis(20);

/// Published ports by namespace and workload.
type Workloads = BTreeMap<(String, String), Vec<Wanted>>;

/// Publishes for as long as the agent runs, and tells who is given new connections.
pub async fn watch(host: Host, workers: Workers, serving: watch::Sender<BTreeSet<InstanceUid>>) {
    let api: Api<DynamicObject> = Api::all_with(host.api.client().clone(), &ours("Workload", "workloads"));
    let config = watcher::Config::default().streaming_lists();
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let (mut workloads, mut coming) = (Workloads::new(), Workloads::new());
    let (mut published, mut refused) = (None, Vec::new());
    let mut warned = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Init)) => coming = Workloads::new(),
                Some(Ok(watcher::Event::InitApply(object))) => put(&mut coming, &object),
                Some(Ok(watcher::Event::InitDone)) => (workloads, warned) = (std::mem::take(&mut coming), false),
                Some(Ok(watcher::Event::Apply(object))) => put(&mut workloads, &object),
                Some(Ok(watcher::Event::Delete(object))) => {
                    workloads.remove(&place(&object));
                }
                Some(Err(error)) => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(error = chain(&error), "published ports are not known for the moment");
                    }
                    continue;
                }
                None => return,
            },
            () = workers.changed() => tokio::time::sleep(SETTLE).await,
        }
        let ports = ports(&workloads, &workers.views());
        if published.as_ref() == Some(&ports) {
            continue;
        }
        match host.connectivity.publish(&ports).await {
            Ok(()) => {
                let backends = ports.iter().flat_map(|port| &port.backends).filter(|one| one.weight > 0);
                serving.send_replace(backends.map(|one| one.instance.clone()).collect());
                published = Some(ports);
            }
            Err(error) => {
                let why = chain(&error);
                tracing::warn!(why, "ports cannot be published");
                host.announcer.node(host.api.node(), Gravity::Warning, "PublishFailed", why);
            }
        }
        let now = host.connectivity.refused();
        for new in now.iter().filter(|new| !refused.contains(*new)) {
            let words = format!("port {} of {}: {}", new.port, new.of, new.message);
            host.announcer.node(host.api.node(), Gravity::Warning, "PortNotPublished", words);
        }
        refused = now;
    }
}

fn place(object: &DynamicObject) -> (String, String) {
    let meta = &object.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn put(workloads: &mut Workloads, object: &DynamicObject) {
    let publish = object.data.pointer("/spec/publish").cloned().unwrap_or_default();
    match serde_json::from_value::<Option<Vec<Wanted>>>(publish) {
        Ok(Some(ports)) if !ports.is_empty() => {
            workloads.insert(place(object), ports);
        }
        _ => {
            workloads.remove(&place(object));
        }
    }
}

/// Every published port, with the instances that answer. Pure.
fn ports(workloads: &Workloads, views: &[View]) -> Vec<PublishedPort> {
    let mut all = Vec::new();
    for ((namespace, workload), wanted) in workloads {
        let of = |view: &&View| {
            view.instance.namespace == *namespace && view.instance.spec.workload.as_str() == workload
        };
        let views: Vec<&View> = views.iter().filter(of).collect();
        for port in wanted {
            let mut backends: Vec<Backend> = views.iter().filter_map(|view| backend(view, port)).collect();
            backends.sort_by(|a, b| a.instance.cmp(&b.instance));
            // A workload none of whose instances is here is others' to publish.
            if views.is_empty() {
                continue;
            }
            all.push(PublishedPort {
                namespace: namespace.clone(),
                workload: workload.clone(),
                port: port.port,
                protocol: port.protocol,
                privacy: port.privacy,
                backends,
            });
        }
    }
    all
}

/// An instance behind a port; one that ends is given no new connections, and keeps those that it has.
fn backend(view: &View, port: &Wanted) -> Option<Backend> {
    let addresses = view.record.addresses().to_vec();
    if addresses.is_empty() || view.sandbox.is_none() {
        return None;
    }
    let ready = view
        .status
        .conditions
        .iter()
        .any(|condition| condition.kind == "Ready" && condition.status == ConditionStatus::True);
    let ends = view.instance.ending.is_some() || view.record.eviction.is_some();
    if !ready && !ends {
        return None;
    }
    let number = match &port.target_port {
        None => port.port,
        Some(PortRef::Number(number)) => *number,
        Some(PortRef::Name(name)) => {
            let ports = view.instance.pod().containers.iter().flat_map(|container| &container.ports);
            ports.into_iter().find(|port| port.name.as_ref() == Some(name))?.container_port
        }
    };
    let weight = if ready && !ends { view.instance.spec.weight } else { 0 };
    Some(Backend { instance: view.instance.uid.clone(), addresses, port: number, weight })
}
