//! What an instance asks of a node. Pure.

use super::amounts::Amounts;
use hypermesh_schemas::network::Protocol;
use hypermesh_schemas::node::{Taint, TaintEffect};
use hypermesh_schemas::workload::container::SidecarRestartPolicy;
use hypermesh_schemas::workload::pod::{PodSpec, Toleration, TolerationOperator};
use std::fmt;
use std::net::IpAddr;

/// What an instance asks of a node. Instances of one revision ask the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// What it needs, the place for itself included.
    pub needs: Amounts,
    /// Labels that the node must have.
    pub selector: Vec<(String, String)>,
    /// Taints that do not keep it away.
    pub tolerations: Vec<Toleration>,
    /// Ports of the node that lead to it.
    pub ports: Vec<HostPort>,
    /// What it runs.
    pub images: Vec<String>,
}

impl Demand {
    /// Reads what counts.
    pub fn read(pod: &PodSpec) -> Self {
        let sidecars =
            pod.init_containers.iter().filter(|c| c.restart_policy == Some(SidecarRestartPolicy::Always));
        let mut ports: Vec<HostPort> = sidecars
            .chain(&pod.containers)
            .flat_map(|container| &container.ports)
            .filter_map(|port| {
                let address: Option<IpAddr> = port.host_ip.as_ref().and_then(|ip| ip.as_str().parse().ok());
                let address = address.filter(|address| !address.is_unspecified());
                Some(HostPort { port: port.host_port?, protocol: port.protocol, address })
            })
            .collect();
        ports.sort();
        ports.dedup();
        let mut images: Vec<String> = pod
            .init_containers
            .iter()
            .chain(&pod.containers)
            .map(|container| container.image.clone())
            .collect();
        images.sort();
        images.dedup();
        let selector = pod.node_selector.iter().map(|(key, value)| (key.clone(), value.as_str().to_owned()));
        Self {
            needs: Amounts::needed(pod),
            selector: selector.collect(),
            tolerations: pod.tolerations.clone(),
            ports,
            images,
        }
    }

    /// Whether it tolerates a taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| tolerates(toleration, taint))
    }
}

/// Whether a toleration is about a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let value = |value: Option<&hypermesh_schemas::value::LabelValue>| {
        value.map_or_else(String::new, |value| value.as_str().to_owned())
    };
    toleration.effect.is_none_or(|effect| effect == taint.effect)
        && toleration
            .key
            .as_ref()
            .is_none_or(|key| *key == taint.key || is_same(key.as_str(), taint.key.as_str()))
        && match toleration.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => value(toleration.value.as_ref()) == value(taint.value.as_ref()),
        }
}

/// Whether a toleration is about Kubernetes' name of a taint that the node lifecycle sets: manifests come from there.
fn is_same(tolerated: &str, taint: &str) -> bool {
    let ours = taint.strip_prefix("node.hypermesh.online/");
    ours.is_some_and(|name| {
        matches!(name, "unreachable" | "not-ready")
            && tolerated.strip_prefix("node.kubernetes.io/") == Some(name)
    })
}

/// A taint as kubectl writes it: `gpu=yes:NoSchedule`.
pub fn show(taint: &Taint) -> String {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    match taint.value.as_ref().map(|value| value.as_str()).filter(|value| !value.is_empty()) {
        Some(value) => format!("{}={value}:{effect}", taint.key),
        None => format!("{}:{effect}", taint.key),
    }
}

/// A port of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Its number.
    pub port: u16,
    /// Its transport protocol.
    pub protocol: Protocol,
    /// The address on which it is; `None`: all of them.
    pub address: Option<IpAddr>,
}

impl HostPort {
    /// Whether not both can be had.
    pub fn conflicts(&self, other: &Self) -> bool {
        let address = match (self.address, other.address) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        };
        self.port == other.port && self.protocol == other.protocol && address
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        };
        match self.address {
            Some(address) => write!(f, "{}/{protocol} of {address}", self.port),
            None => write!(f, "{}/{protocol}", self.port),
        }
    }
}
