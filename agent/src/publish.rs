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
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Changes of so short a time are one.
const SETTLE: Duration = Duration::from_millis(20);

/// How long is waited for the first instance, before it is taken that there is none.
const START: Duration = Duration::from_secs(5);

/// Namespace and name of a workload.
type Place = (String, String);
/// Published ports by workload.
type Workloads = BTreeMap<Place, Vec<Wanted>>;
/// What the watch of a workload says: its published ports, or that they cannot be read for the moment.
type Found = (Place, Option<Vec<Wanted>>);

/// Watches of the workloads that instances of this node belong to. One each, by name: others' are not a node's to read.
struct Watches {
    host: Host,
    found: mpsc::UnboundedSender<Found>,
    running: BTreeMap<Place, Watch>,
    /// Those that have said something.
    heard: BTreeSet<Place>,
}

/// A watch, which ends with this.
struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watches {
    /// Watches these and no others.
    fn follow(&mut self, places: &BTreeSet<Place>) {
        self.running.retain(|place, _| places.contains(place));
        self.heard.retain(|place| places.contains(place));
        for place in places {
            if !self.running.contains_key(place) {
                let client = self.host.api.client().clone();
                let api = Api::namespaced_with(client, &place.0, &ours("Workload", "workloads"));
                let task = tokio::spawn(watch_one(api, place.clone(), self.found.clone()));
                self.running.insert(place.clone(), Watch(task.abort_handle()));
            }
        }
    }

    /// Whether each has said something.
    fn have_begun(&self) -> bool {
        self.heard.len() == self.running.len()
    }
}

async fn watch_one(api: Api<DynamicObject>, place: Place, found: mpsc::UnboundedSender<Found>) {
    let mut objects = std::pin::pin!(watcher::watch_object(api, &place.1).default_backoff());
    let mut warned = false;
    while let Some(object) = objects.next().await {
        let ports = match object {
            Ok(object) => {
                warned = false;
                Some(object.as_ref().map(published_by).unwrap_or_default())
            }
            Err(_) if warned => continue,
            Err(error) => {
                warned = true;
                let (namespace, workload) = &place;
                let error = chain(&error);
                tracing::warn!(
                    namespace,
                    workload,
                    error,
                    "its published ports are not known for the moment"
                );
                None
            }
        };
        if found.send((place.clone(), ports)).is_err() {
            return;
        }
    }
}

/// The workloads of these instances.
fn places(views: &[View]) -> BTreeSet<Place> {
    let place = |view: &View| (view.instance.namespace.clone(), view.instance.spec.workload.to_string());
    views.iter().map(place).collect()
}

/// Publishes for as long as the agent runs, and tells who is given new connections.
pub async fn watch(host: Host, workers: Workers, serving: watch::Sender<BTreeSet<InstanceUid>>) {
    let (found, mut finds) = mpsc::unbounded_channel();
    let (running, heard) = (BTreeMap::new(), BTreeSet::new());
    let mut watches = Watches { host: host.clone(), found, running, heard };
    let mut workloads = Workloads::new();
    let (mut published, mut refused) = (None, Vec::new());
    let mut start = std::pin::pin!(tokio::time::sleep(START));
    let mut started = false;
    loop {
        tokio::select! {
            Some((place, ports)) = finds.recv() => {
                if watches.running.contains_key(&place) {
                    watches.heard.insert(place.clone());
                    // What cannot be read is as it was.
                    if let Some(ports) = ports {
                        workloads.insert(place, ports);
                    }
                }
            }
            () = workers.changed() => tokio::time::sleep(SETTLE).await,
            () = &mut start, if !started => started = true,
        }
        let views = workers.views();
        let places = places(&views);
        watches.follow(&places);
        workloads.retain(|place, _| places.contains(place));
        // What was published before stays until it is known what is to be.
        if published.is_none() && !watches.have_begun() {
            continue;
        }
        let ports = ports(&workloads, &views);
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

/// The ports that a workload publishes.
fn published_by(workload: &DynamicObject) -> Vec<Wanted> {
    let publish = workload.data.pointer("/spec/publish").cloned().unwrap_or_default();
    serde_json::from_value::<Option<Vec<Wanted>>>(publish).ok().flatten().unwrap_or_default()
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
