//! Whether a node takes an instance on, as kubelet decides it: by what it has, and by what was said of it.
//!
//! The scheduler has weighed all of this, against what it knew then. Here it is held against what is there, whoever bound
//! the instance: nobody is to run without room, beside whom a node is kept for, or on a port that another one has. What is
//! refused has failed for good, before anything of it was begun. A cordon and taints of NoSchedule are not looked at: they
//! say what is to be bound, not what may run.
//!
//! Source: `k8s.io/kubernetes/pkg/kubelet/lifecycle/predicate.go`. Needs are counted as the scheduler counts them
//! (`controllers/src/scheduler/plan/amounts.rs`).

use hypermesh_schemas::network::Protocol;
use hypermesh_schemas::node::{Taint, TaintEffect};
use hypermesh_schemas::value::Quantity;
use hypermesh_schemas::workload::container::{Container, SidecarRestartPolicy};
use hypermesh_schemas::workload::pod::{PodSpec, Toleration, TolerationOperator};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// What a node is, as far as it decides on what runs there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ground {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What instances may have of it, by resource.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// That a node does not take an instance on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// When.
    pub at: Timestamp,
    /// In one word, which is kubelet's: `OutOfcpu`, `NodeAffinity`.
    pub reason: String,
    /// In words.
    pub message: String,
}

impl Rejection {
    /// The reason, as far as events have it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        const WORDS: [&str; 7] = [
            "OutOfcpu",
            "OutOfmemory",
            "OutOfephemeral-storage",
            "OutOfpods",
            "NodeAffinity",
            "NodePorts",
            "TaintToleration",
        ];
        WORDS.into_iter().find(|word| *word == self.reason).unwrap_or("UnexpectedAdmissionError")
    }
}

/// Not looked at: what is limited alone.
const BOUND: &str = "pids";
/// What every instance takes one of.
const INSTANCES: &str = "pods";

/// What an instance takes of its node, by resource: thousandths of processors, else whole units.
type Needs = BTreeMap<String, i128>;

/// What an instance asks of a node. It never changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    needs: Needs,
    selector: BTreeMap<String, String>,
    tolerations: Vec<Toleration>,
    ports: Vec<HostPort>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostPort {
    port: u16,
    protocol: Protocol,
    /// None: all addresses of the node.
    address: Option<IpAddr>,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let meets = match (self.address, other.address) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        };
        self.port == other.port && self.protocol == other.protocol && meets
    }
}

impl Demand {
    /// Reads what counts.
    #[must_use]
    pub fn read(pod: &PodSpec) -> Self {
        let stay =
            pod.init_containers.iter().filter(|container| is_sidecar(container)).chain(&pod.containers);
        let ports = stay.flat_map(|container| &container.ports).filter_map(|port| {
            let address: Option<IpAddr> = port.host_ip.as_ref().and_then(|ip| ip.as_str().parse().ok());
            let address = address.filter(|address| !address.is_unspecified());
            Some(HostPort { port: port.host_port?, protocol: port.protocol, address })
        });
        let selector = pod.node_selector.iter().map(|(key, value)| (key.clone(), value.as_str().to_owned()));
        Self {
            needs: needs(pod),
            selector: selector.collect(),
            tolerations: pod.tolerations.clone(),
            ports: ports.collect(),
        }
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| tolerates(toleration, taint))
    }
}

/// Whether a node takes an instance on beside those that it has.
///
/// # Errors
/// Why not: the first of kubelet's reasons, in its order.
pub fn admit<'a>(
    wanted: &Demand,
    others: impl IntoIterator<Item = &'a Demand>,
    ground: &Ground,
    now: Timestamp,
) -> Result<(), Rejection> {
    let (mut used, mut taken) = (Needs::new(), Vec::<HostPort>::new());
    for other in others {
        add(&mut used, &other.needs);
        taken.extend(&other.ports);
    }
    let refuse = |reason: String, why: &str| {
        Err(Rejection { at: now, reason, message: format!("Pod was rejected: {why}") })
    };
    if let Some((resource, why)) = short(wanted, &used, ground) {
        return refuse(format!("OutOf{resource}"), &why);
    }
    let predicate =
        |name: &str, why: String| refuse(name.to_owned(), &format!("Predicate {name} failed: {why}"));
    let lacks = |(key, value): &(&String, &String)| label(ground, key) != Some(value.as_str());
    if let Some((key, value)) = wanted.selector.iter().find(lacks) {
        let why = format!("node(s) didn't match Pod's node affinity/selector: {key}={value}");
        return predicate("NodeAffinity", why);
    }
    let clash = |port: &&HostPort| taken.iter().any(|other| other.conflicts(port));
    if let Some(HostPort { port, .. }) = wanted.ports.iter().find(clash) {
        let why = format!("node(s) didn't have free ports for the requested pod ports: {port}");
        return predicate("NodePorts", why);
    }
    let unwanted = |taint: &&Taint| taint.effect == TaintEffect::NoExecute && !wanted.tolerates(taint);
    if let Some(taint) = ground.taints.iter().find(unwanted) {
        let mut why = format!("node(s) had taints that the pod didn't tolerate: {}", taint.key);
        if let Some(value) =
            taint.value.as_ref().map(|value| value.as_str()).filter(|value| !value.is_empty())
        {
            let _ = write!(why, "={value}");
        }
        return predicate("TaintToleration", format!("{why}:NoExecute"));
    }
    Ok(())
}

/// The first resource that there is too little of. One that the node does not name is the scheduler's alone, as in kubelet.
fn short(wanted: &Demand, used: &Needs, ground: &Ground) -> Option<(String, String)> {
    let order = |resource: &str| match resource {
        INSTANCES => 0,
        "cpu" => 1,
        "memory" => 2,
        "ephemeral-storage" => 3,
        _ => 4,
    };
    let mut asked: Vec<(&String, i128)> = wanted.needs.iter().map(|(name, amount)| (name, *amount)).collect();
    asked.sort_by_key(|(name, _)| (order(name), *name));
    asked.into_iter().find_map(|(name, requested)| {
        let capacity = amount(name, ground.allocatable.get(name)?);
        let used = used.get(name).copied().unwrap_or_default();
        (requested > capacity.saturating_sub(used)).then(|| {
            let why = format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
            );
            (name.clone(), why)
        })
    })
}

/// A label of a node. Its name stands for the one that everybody selects by, where that lacks.
fn label<'g>(ground: &'g Ground, key: &str) -> Option<&'g str> {
    let own = (key == "kubernetes.io/hostname").then_some(ground.name.as_str());
    ground.labels.get(key).map(String::as_str).or(own)
}

fn amount(resource: &str, quantity: &Quantity) -> i128 {
    if resource == "cpu" { quantity.millis() } else { quantity.units() }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy == Some(SidecarRestartPolicy::Always)
}

fn add(to: &mut Needs, more: &Needs) {
    for (resource, amount) in more {
        let sum = to.entry(resource.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(to: &mut Needs, least: &Needs) {
    for (resource, amount) in least {
        let most = to.entry(resource.clone()).or_default();
        *most = (*most).max(*amount);
    }
}

/// Containers add up; those that run to their end, one after another, need the most that any of them needs, beside the
/// sidecars that have started before it.
fn needs(pod: &PodSpec) -> Needs {
    let (mut started, mut most) = (Needs::new(), Needs::new());
    for init in &pod.init_containers {
        let mut together = started.clone();
        add(&mut together, &of(init));
        raise(&mut most, &together);
        if is_sidecar(init) {
            started = together;
        }
    }
    for container in &pod.containers {
        add(&mut started, &of(container));
    }
    raise(&mut most, &started);
    most.insert(INSTANCES.to_owned(), 1);
    most.retain(|_, amount| *amount > 0);
    most
}

/// A limit without a request is what is needed.
fn of(container: &Container) -> Needs {
    let Some(resources) = &container.resources else { return Needs::new() };
    let limits = resources.limits.iter().filter(|(name, _)| name.as_str() != BOUND);
    limits.chain(&resources.requests).map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

/// Whether a toleration is about a taint. Kubernetes' names of taints that the node lifecycle sets are taken too.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = |key: &str| {
        let lifecycle = || {
            let ours = taint.key.as_str().strip_prefix("node.hypermesh.online/")?;
            let same = key.strip_prefix("node.kubernetes.io/") == Some(ours);
            Some(same && matches!(ours, "unreachable" | "not-ready"))
        };
        key == taint.key.as_str() || lifecycle().unwrap_or_default()
    };
    let value = || {
        let text = |value: Option<&hypermesh_schemas::value::LabelValue>| {
            value.map_or_else(String::new, |value| value.as_str().to_owned())
        };
        text(toleration.value.as_ref()) == text(taint.value.as_ref())
    };
    toleration.effect.is_none_or(|effect| effect == taint.effect)
        && toleration.key.as_ref().is_none_or(|wanted| key(wanted.as_str()))
        && (toleration.operator == TolerationOperator::Exists || value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn ground(spec: Value) -> Ground {
        let field = |name: &str| spec.get(name).cloned().unwrap_or_else(|| json!({}));
        Ground {
            name: "n1".to_owned(),
            labels: serde_json::from_value(field("labels")).unwrap(),
            taints: serde_json::from_value(spec.get("taints").cloned().unwrap_or_else(|| json!([]))).unwrap(),
            allocatable: serde_json::from_value(json!({
                "cpu": "2", "memory": "1Gi", "ephemeral-storage": "10Gi", "pods": "2", "gpus.example/a": "1",
            }))
            .unwrap(),
        }
    }

    fn demand(pod: Value) -> Demand {
        let mut whole = json!({"containers": [{"name": "a", "image": "a"}]});
        for (field, value) in pod.as_object().unwrap() {
            whole[field] = value.clone();
        }
        Demand::read(&serde_json::from_value(whole).unwrap())
    }

    fn asks(requests: Value) -> Demand {
        demand(json!({"containers": [{"name": "a", "image": "a", "resources": {"requests": requests}}]}))
    }

    fn port(port: u16, more: Value) -> Demand {
        let mut of = json!({"containerPort": 80, "hostPort": port});
        for (field, value) in more.as_object().unwrap() {
            of[field] = value.clone();
        }
        demand(json!({"containers": [{"name": "a", "image": "a", "ports": [of]}]}))
    }

    fn said(wanted: &Demand, others: &[Demand], ground: &Ground) -> String {
        match admit(wanted, others, ground, Timestamp::UNIX_EPOCH) {
            Ok(()) => String::new(),
            Err(rejection) => format!("{}: {}", rejection.reason, rejection.message),
        }
    }

    #[test]
    fn there_has_to_be_room() {
        let node = ground(json!({}));
        assert_eq!(said(&asks(json!({"cpu": "2", "memory": "1Gi"})), &[], &node), "");
        insta::assert_snapshot!(said(&asks(json!({"cpu": "5000", "memory": "10Ti"})), &[], &node), @"OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 5000000, used: 0, capacity: 2000");
        insta::assert_snapshot!(said(&asks(json!({"memory": "600Mi"})), &[asks(json!({"memory": "600Mi"}))], &node), @"OutOfmemory: Pod was rejected: Node didn't have enough resource: memory, requested: 629145600, used: 629145600, capacity: 1073741824");
        let three = [asks(json!({})), asks(json!({}))];
        insta::assert_snapshot!(said(&asks(json!({"cpu": "9"})), &three, &node), @"OutOfpods: Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2");
        assert!(
            said(&asks(json!({"ephemeral-storage": "11Gi"})), &[], &node)
                .starts_with("OutOfephemeral-storage")
        );
        assert!(said(&asks(json!({"gpus.example/a": 2})), &[], &node).starts_with("OutOfgpus.example/a"));
        // What the node does not name is for who binds.
        assert_eq!(said(&asks(json!({"gpus.example/b": 2})), &[], &node), "");
        // Who asks for nothing of what is short comes in.
        assert_eq!(said(&asks(json!({})), &[asks(json!({"cpu": "2"}))], &node), "");
    }

    #[test]
    fn what_prepares_needs_as_much_as_the_most_of_it() {
        let node = ground(json!({}));
        let init = |cpu: &str, sidecar: bool| {
            let mut one = json!({"name": format!("i{}", cpu.len()), "image": "i", "resources": {"limits": {"cpu": cpu, "pids": 9}}});
            if sidecar {
                one["restartPolicy"] = "Always".into();
            }
            one
        };
        let with = |init: Value| demand(json!({"initContainers": init}));
        assert_eq!(said(&with(json!([init("2", false), init("1500m", false)])), &[], &node), "");
        assert!(
            said(&with(json!([init("1", true), init("1500m", false)])), &[], &node)
                .contains("requested: 2500")
        );
        assert_eq!(said(&with(json!([init("1500m", false), init("1", true)])), &[], &node), "");
        let mut hungry = json!({"initContainers": [init("1", true)]});
        hungry["containers"] =
            json!([{"name": "a", "image": "a", "resources": {"requests": {"cpu": "1001m"}}}]);
        assert!(said(&demand(hungry), &[], &node).contains("requested: 2001"));
    }

    #[test]
    fn a_node_is_what_its_labels_and_taints_say() {
        let node = ground(json!({
            "labels": {"disk": "fast"},
            "taints": [
                {"key": "gone", "value": "soon", "effect": "NoExecute"}, {"key": "kept", "effect": "NoSchedule"},
            ],
        }));
        let tolerant = json!([{"key": "gone", "operator": "Exists"}]);
        let selects = |selector: Value| demand(json!({"nodeSelector": selector, "tolerations": tolerant}));
        for here in [json!({}), json!({"disk": "fast"}), json!({"kubernetes.io/hostname": "n1"})] {
            assert_eq!(said(&selects(here), &[], &node), "");
        }
        insta::assert_snapshot!(said(&selects(json!({"disk": "slow"})), &[], &node), @"NodeAffinity: Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector: disk=slow");
        assert!(said(&selects(json!({"rack": "7"})), &[], &node).starts_with("NodeAffinity"));
        insta::assert_snapshot!(said(&demand(json!({})), &[], &node), @"TaintToleration: Pod was rejected: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate: gone=soon:NoExecute");
        for (toleration, taken) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "gone", "value": "soon", "effect": "NoExecute", "tolerationSeconds": 0}), true),
            (json!({"key": "gone", "value": "later"}), false),
            (json!({"key": "gone", "operator": "Exists", "effect": "NoSchedule"}), false),
            (json!({"key": "kept", "operator": "Exists"}), false),
        ] {
            let said = said(&demand(json!({"tolerations": [toleration]})), &[], &node);
            assert_eq!(said.is_empty(), taken, "{toleration}");
        }
        let silent =
            ground(json!({"taints": [{"key": "node.hypermesh.online/unreachable", "effect": "NoExecute"}]}));
        for key in ["node.hypermesh.online/unreachable", "node.kubernetes.io/unreachable"] {
            let tolerations = json!([{"key": key, "operator": "Exists"}]);
            assert_eq!(said(&demand(json!({"tolerations": tolerations})), &[], &silent), "");
        }
    }

    #[test]
    fn a_port_of_the_node_has_one_holder() {
        let node = ground(json!({}));
        let holder = [port(80, json!({}))];
        insta::assert_snapshot!(said(&port(80, json!({"hostIP": "192.0.2.1"})), &holder, &node), @"NodePorts: Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports: 80");
        for free in [port(81, json!({})), port(80, json!({"protocol": "UDP"}))] {
            assert_eq!(said(&free, &holder, &node), "");
        }
        let one = [port(80, json!({"hostIP": "192.0.2.1"}))];
        assert_eq!(said(&port(80, json!({"hostIP": "192.0.2.2"})), &one, &node), "");
        assert!(said(&port(80, json!({"hostIP": "::"})), &one, &node).starts_with("NodePorts"));
        // What has ended before the others start holds no port.
        let init = json!([{"name": "i", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]}]);
        assert_eq!(said(&demand(json!({"initContainers": init})), &holder, &node), "");
    }

    #[test]
    fn reasons_of_events_are_known_words() {
        let of = |reason: &str| {
            Rejection { at: Timestamp::UNIX_EPOCH, reason: reason.to_owned(), message: String::new() }.word()
        };
        assert_eq!((of("OutOfcpu"), of("OutOfgpus.example/a")), ("OutOfcpu", "UnexpectedAdmissionError"));
    }

    proptest! {
        /// However they come, what is taken on together is never more than there is.
        #[test]
        fn nobody_comes_in_without_room(asked in prop::collection::vec((0_u32..3000, 0_u32..2048), 0..12)) {
            let mut node = ground(json!({}));
            node.allocatable.insert("pods".to_owned(), serde_json::from_value(json!(6)).unwrap());
            let mut taken: Vec<Demand> = Vec::new();
            let (mut cpu, mut memory) = (0, 0);
            for (millis, mebibytes) in asked {
                let wanted = asks(json!({"cpu": format!("{millis}m"), "memory": format!("{mebibytes}Mi")}));
                let fits = cpu + millis <= 2000 && memory + mebibytes <= 1024 && taken.len() < 6;
                let in_bounds = (millis == 0 || cpu + millis <= 2000) && (mebibytes == 0 || memory + mebibytes <= 1024);
                let admitted = admit(&wanted, &taken, &node, Timestamp::UNIX_EPOCH).is_ok();
                prop_assert_eq!(admitted, in_bounds && taken.len() < 6);
                prop_assert!(!fits || admitted);
                if admitted {
                    (cpu, memory) = (cpu + millis, memory + mebibytes);
                    taken.push(wanted);
                }
            }
            prop_assert!(cpu <= 2000 && memory <= 1024 && taken.len() <= 6);
        }
    }
}
