//! Published ports: which workloads have them, and which instances of this node answer.

use crate::api::ours;
use crate::connectivity::{Backend, Claim, PublishedPort, Refused};
use crate::failure::chain;
use crate::host::Host;
use crate::worker::View;
use crate::workers::Workers;
use futures_util::StreamExt as _;
use hypermesh_planner::{Gravity, Instance, InstanceUid};
use hypermesh_schemas::condition::ConditionStatus;
use hypermesh_schemas::value::PortRef;
use hypermesh_schemas::workload::publish::PublishedPort as Wanted;
use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Changes of so short a time are one.
const SETTLE: Duration = Duration::from_millis(20);

/// How long is waited for the first instance, before it is taken that there is none.
const START: Duration = Duration::from_secs(5);

/// How soon what could not be published is tried again: whoever has a port may let go of it.
const AGAIN: Duration = Duration::from_secs(10);

/// Namespace and name of a workload.
type Place = (String, String);
/// Published ports by workload, and since when they are its.
type Workloads = BTreeMap<Place, (Claim, Vec<Wanted>)>;
/// What the watch of a workload says: its published ports, or that they cannot be read for the moment.
type Found = (Place, Option<(Claim, Vec<Wanted>)>);

/// What published ports lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Whether ports are led at all: until then they are as the agent before this one left them.
    pub begun: bool,
    /// Instances that are given new connections.
    pub instances: BTreeSet<InstanceUid>,
    /// Why ports are not reached as they should be, by `namespace/name` of the workload or instance that wants them: in a
    /// CamelCase word, and in words that name nobody else.
    problems: BTreeMap<String, (&'static str, String)>,
}

impl Serving {
    /// Why ports of an instance, or of its workload, are not reached as they should be. None: they are.
    #[must_use]
    pub fn problem(&self, instance: &Instance) -> Option<(&'static str, String)> {
        let of = |name: &str| self.problems.get(&format!("{}/{name}", instance.namespace));
        of(instance.spec.workload.as_str()).or_else(|| of(&instance.name)).cloned()
    }

    fn new(node: &str, ports: &[PublishedPort], refused: &[Refused]) -> Self {
        let backends = ports.iter().flat_map(|port| &port.backends).filter(|one| one.weight > 0);
        let mut problems: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
        for one in refused {
            let words = format!("on the node {node}: {}", one.message);
            let (_, told) = problems.entry(one.of.clone()).or_insert((one.reason, String::new()));
            if !told.is_empty() {
                told.push_str("; ");
            }
            told.push_str(&words);
        }
        Self { begun: true, instances: backends.map(|one| one.instance.clone()).collect(), problems }
    }
}

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
pub async fn watch(host: Host, workers: Workers, serving: watch::Sender<Serving>) {
    let (found, mut finds) = mpsc::unbounded_channel();
    let (running, heard) = (BTreeMap::new(), BTreeSet::new());
    let watches = Watches { host: host.clone(), found, running, heard };
    let workloads = Workloads::new();
    let mut publisher =
        Publisher { host, workers, serving, watches, workloads, published: None, refused: Vec::new() };
    let connectivity = Arc::clone(&publisher.host.connectivity);
    let workers = publisher.workers.clone();
    let mut start = std::pin::pin!(tokio::time::sleep(START));
    let mut started = false;
    loop {
        let failed = !publisher.round(started).await;
        tokio::select! {
            Some((place, ports)) = finds.recv() => publisher.find(place, ports),
            () = workers.changed() => tokio::time::sleep(SETTLE).await,
            // Ports that are open to the world are at other addresses.
            () = connectivity.moved() => {
                tokio::time::sleep(SETTLE).await;
                publisher.published = None;
            }
            () = tokio::time::sleep(AGAIN), if failed || !publisher.refused.is_empty() => publisher.published = None,
            () = &mut start, if !started => started = true,
        }
    }
}

/// What publishes.
struct Publisher {
    host: Host,
    workers: Workers,
    serving: watch::Sender<Serving>,
    watches: Watches,
    workloads: Workloads,
    /// What was published last; none: it has to be anew.
    published: Option<Vec<PublishedPort>>,
    /// Of it, what is not reached as it should be.
    refused: Vec<Refused>,
}

impl Publisher {
    /// A workload has said something.
    fn find(&mut self, place: Place, ports: Option<(Claim, Vec<Wanted>)>) {
        if self.watches.running.contains_key(&place) {
            self.watches.heard.insert(place.clone());
            // What cannot be read is as it was.
            if let Some(ports) = ports {
                self.workloads.insert(place, ports);
            }
        }
    }

    /// Publishes what has to be by now. False: it was refused.
    async fn round(&mut self, started: bool) -> bool {
        let views = self.workers.views();
        let places = places(&views);
        self.watches.follow(&places);
        self.workloads.retain(|place, _| places.contains(place));
        // What was published before stays until it is known what is to be: whose instances are here, and which ports
        // theirs are. Who has nothing to tell of an instance after a while is not waited for.
        let known = started || views.len() >= self.workers.uids().len();
        if self.published.is_none() && !(known && self.watches.have_begun()) {
            return true;
        }
        let ports = ports(&self.workloads, &views);
        if self.published.as_ref() != Some(&ports) {
            if let Err(error) = self.host.connectivity.publish(&ports).await {
                let why = chain(&error);
                tracing::warn!(why, "ports cannot be published");
                self.host.announcer.node(self.host.api.node(), Gravity::Warning, "PublishFailed", why);
                return false;
            }
            self.published = Some(ports);
        }
        self.tell();
        true
    }

    /// Tells of what is published: workers, of their own, and who looks after the node.
    fn tell(&mut self) {
        let now = self.host.connectivity.refused();
        let node = self.host.api.node();
        for new in now.iter().filter(|new| !self.refused.contains(*new)) {
            let holder = new.holder.as_ref().map(|holder| format!(" ({holder} has it)")).unwrap_or_default();
            let words = format!("{}: {}{holder}", new.of, new.message);
            self.host.announcer.node(node, Gravity::Warning, new.reason, words);
        }
        self.refused = now;
        let serving = Serving::new(node, self.published.as_deref().unwrap_or_default(), &self.refused);
        self.serving.send_if_modified(|told| {
            let other = *told != serving;
            if other {
                *told = serving;
            }
            other
        });
    }
}

/// The ports that a workload publishes, and since when they are its: as long as it is there, however many instances it
/// has had meanwhile.
fn published_by(workload: &DynamicObject) -> (Claim, Vec<Wanted>) {
    let publish = workload.data.pointer("/spec/publish").cloned().unwrap_or_default();
    let ports = serde_json::from_value::<Option<Vec<Wanted>>>(publish).ok().flatten().unwrap_or_default();
    let made = workload.metadata.creation_timestamp.as_ref();
    let since = made.map_or(i64::MAX, |made| made.0.as_second());
    (Claim { since, uid: workload.metadata.uid.clone().unwrap_or_default() }, ports)
}

/// Every published port, with the instances that answer. Pure.
fn ports(workloads: &Workloads, views: &[View]) -> Vec<PublishedPort> {
    let mut all = Vec::new();
    for ((namespace, workload), (claim, wanted)) in workloads {
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
                claim: claim.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(made: &str, uid: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": uid, "creationTimestamp": made},
            "spec": {"publish": [{"port": 8089, "privacy": "FullPublic"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_port_is_a_workloads_since_it_was_made() {
        let (claim, ports) = published_by(&workload("2026-01-01T00:00:10Z", "u"));
        assert_eq!((claim.since, claim.uid.as_str(), ports.len()), (1_767_225_610, "u", 1));
        let nothing = serde_json::from_value(json!({"metadata": {"name": "web"}})).unwrap();
        assert_eq!(published_by(&nothing).1.len(), 0);
    }

    #[test]
    fn a_problem_is_told_to_whom_it_is_and_names_nobody_else() {
        let refused = |of: &str, port: u16| Refused {
            of: of.to_owned(),
            port,
            reason: "PortTaken",
            message: format!("port {port}/tcp of the node was published by somebody else before"),
            holder: Some("tb/web".to_owned()),
        };
        let serving =
            Serving::new("n1", &[], &[refused("ta/late", 1), refused("ta/late", 2), refused("tc/x", 3)]);
        let (reason, message) = serving.problems.get("ta/late").unwrap();
        assert_eq!(*reason, "PortTaken");
        assert_eq!(
            message,
            "on the node n1: port 1/tcp of the node was published by somebody else before; on the node n1: port 2/tcp of \
             the node was published by somebody else before"
        );
        assert!(!message.contains("tb/web") && serving.begun);
    }
}
