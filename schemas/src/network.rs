//! Network: a private, ephemeral or public interface for its members.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, NameFormat, Scope};
use crate::label_selector::LabelSelector;
use crate::value::{Cidr, DnsLabel, PortRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<NetworkSpec, NetworkStatus>(
        Scope::Namespaced,
        "Network",
        "networks",
        "A Network gives its members an interface of their own: who they are, which addresses they have, and who may \
         talk to whom. What its members send each other is encrypted, always.",
    )
    .short_name("net")
    .names(NameFormat::DnsLabel)
    .column("Interface", "string", ".spec.interface", "What kind of interface its members get.")
    .column("Members", "integer", ".status.members", "How many members it has.")
    .column("Range", "string", ".status.addresses[0]", "The range that its members' addresses come from.")
    .wide("Peers", "integer", ".status.peers", "How many nodes take part.")
    .wide("Tunnels", "integer", ".status.tunnels", "How many tunnels between them are up.")
    .wide("Dropped", "integer", ".status.dropped", "How many packets policy has refused.")
    .selectable(".spec.interface")
    .finish()
}

/// A network as its owner writes it. `interface` alone is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(oldSelf.addressing) || (has(self.addressing) && self.addressing == oldSelf.addressing)",
    "message": "the ranges of a network never change, since its members have addresses of them; make another Network",
    "fieldPath": ".addressing",
}]))]
pub struct NetworkSpec {
    /// What kind of interface its members get.
    pub interface: Interface,
    /// Who belongs to it; left out: nobody yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    /// The ranges that its members' addresses come from; left out: a range of the cluster's own. It never changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addressing: Option<Addressing>,
    /// Who may talk to whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// Kinds of interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Interface {
    /// Addresses that stay with their members and are reached from within the network.
    Private,
    /// Addresses that are made for a connection and forgotten after it.
    Ephemeral,
    /// Addresses that are reached from outside, as policy allows.
    Public,
}

/// Who belongs to a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// Instances of the network's namespace with these labels.
    pub selector: LabelSelector,
}

/// Ranges of addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "x-kubernetes-validations" = [
    {"rule": "!has(self.ipv4) || self.ipv4.contains('.')", "message": "not an IPv4 range", "fieldPath": ".ipv4"},
    {"rule": "!has(self.ipv6) || self.ipv6.contains(':')", "message": "not an IPv6 range", "fieldPath": ".ipv6"},
]))]
pub struct Addressing {
    /// A range of IPv4 addresses, for members that need them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Cidr>,
    /// A range of IPv6 addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Cidr>,
}

/// Who may talk to whom. A direction that is left out allows the network's members; an empty one allows nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// What may reach members: whatever one of the rules allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    pub ingress: Option<Vec<IngressRule>>,
    /// What members may reach: whatever one of the rules allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    pub egress: Option<Vec<EgressRule>>,
}

/// Allows sources to reach members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressRule {
    /// The sources, any of them; left out: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub from: Vec<PolicyPeer>,
    /// The members' ports; left out: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<PolicyPort>,
}

/// Allows members to reach destinations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressRule {
    /// The destinations, any of them; left out: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub to: Vec<PolicyPeer>,
    /// The destinations' ports; left out: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<PolicyPort>,
}

/// One source or destination: exactly one of workload, selector and cidr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.workload), has(self.selector), has(self.cidr)].filter(x, x).size() == 1", "message": "a peer is exactly one of workload, selector and cidr"},
    {"rule": "!has(self.__namespace__) || !has(self.cidr)", "message": "addresses have no namespace", "fieldPath": ".namespace"},
    {"rule": "!has(self.except) || has(self.cidr)", "message": "except takes ranges out of cidr", "fieldPath": ".except"},
]))]
pub struct PolicyPeer {
    /// The instances of this Workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<DnsLabel>,
    /// Instances with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Where the workload or the labelled instances live; left out: the network's own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<DnsLabel>,
    /// A range of addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// Ranges within `cidr` that are not meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub except: Vec<Cidr>,
}

/// One port, or a range of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.endPort) || (type(self.port) == int && self.endPort >= self.port)",
    "message": "endPort closes a range that starts at a port's number",
    "fieldPath": ".endPort",
}]))]
pub struct PolicyPort {
    /// The port, by number or by its name in the container.
    pub port: PortRef,
    /// The last port of a range that starts at `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub end_port: Option<u16>,
    /// The transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// Transport protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP, and QUIC with it.
    Udp,
    /// SCTP.
    Sctp,
}

/// What is known of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The ranges that its members' addresses come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<Cidr>,
    /// How many members it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
    /// How many nodes take part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<u32>,
    /// How many tunnels between them are up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u32>,
    /// Packets that policy has let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<i64>,
    /// Packets that policy has refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<i64>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
