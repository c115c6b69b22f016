//! Domain: a registered top-level domain, or a zone below one.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, Scope};
use crate::privacy::Privacy;
use crate::value::{DnsLabel, Duration, PortRef, RecordName, ZoneName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<DomainSpec, DomainStatus>(
        Scope::Namespaced,
        "Domain",
        "domains",
        "A Domain is a zone of the cluster's DNS: a top-level domain, which belongs to whoever registered it first, or \
         a zone below one, which the zone above it delegates.",
    )
    .short_name("dom")
    .column("Zone", "string", ".spec.name", "The zone that it holds.")
    .column("Serial", "integer", ".status.serial", "The serial of the zone as it is served.")
    .column("Mirrors", "integer", ".status.mirrors.inStep", "How many mirrors serve that serial.")
    .wide("Behind", "integer", ".status.mirrors.behind", "How many mirrors serve an older one.")
    .wide("Privacy", "string", ".spec.privacy", "Who may resolve its names.")
    .selectable(".spec.name")
    .finish()
}

/// A zone as its owner writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainSpec {
    /// The zone's absolute name: `acme.`, `dev.acme.`. No two Domains of a cluster have the same; it never changes.
    #[schemars(extend(
        "x-hypermesh-unique" = "Cluster",
        "x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "the name of a zone never changes; make another Domain"}],
    ))]
    pub name: ZoneName,
    /// Who may resolve its names.
    #[serde(default = "private_network")]
    pub privacy: Privacy,
    /// The Networks of its namespace whose members may resolve its names; left out: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub networks: Vec<DnsLabel>,
    /// How long resolvers may keep a record that says nothing of it.
    #[serde(default = "five_minutes")]
    pub ttl: Duration,
    /// Signing of the zone (RFC 4033).
    #[serde(default)]
    pub dnssec: Dnssec,
    /// Zones below this one, and the namespace whose Domain may hold each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub delegations: Vec<Delegation>,
    /// The zone's records. SOA, NS of the zone itself and what signing adds are made by the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name", "type"]))]
    pub records: Vec<Record>,
}

fn private_network() -> Privacy {
    Privacy::PrivateNetwork
}

fn five_minutes() -> Duration {
    Duration::known("5m")
}

/// Signing of a zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dnssec {
    /// Whether the zone is signed.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The algorithm of its keys.
    #[serde(default)]
    pub algorithm: DnssecAlgorithm,
}

impl Default for Dnssec {
    fn default() -> Self {
        Self { enabled: true, algorithm: DnssecAlgorithm::default() }
    }
}

fn yes() -> bool {
    true
}

/// Algorithms of a zone's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnssecAlgorithm {
    /// Ed25519 (number 15, RFC 8080).
    #[default]
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (number 13, RFC 6605).
    EcdsaP256Sha256,
}

/// A zone below this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delegation {
    /// The zone's name, relative to this one: `dev`.
    pub name: RecordName,
    /// The namespace whose Domain may hold it.
    pub namespace: DnsLabel,
}

/// All records of one name and one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.values) != has(self.from)", "message": "a record has either values or from"},
    {"rule": "!has(self.from) || self.type in ['A', 'AAAA', 'SRV']", "message": "only A, AAAA and SRV records can follow a workload", "fieldPath": ".from"},
    {"rule": "self.type != 'SRV' || !has(self.from) || has(self.from.port)", "message": "an SRV record needs the port to follow", "fieldPath": ".from"},
    {"rule": "self.type != 'CNAME' || (self.name != '@' && has(self.values) && size(self.values) == 1)", "message": "a CNAME record has one value, and is not at the zone's own name"},
    {"rule": r"self.type != 'A' || !has(self.values) || self.values.all(v, v.matches('^(\\d+[.]){3}\\d+$'))", "message": "the values of an A record are IPv4 addresses", "fieldPath": ".values"},
    {"rule": "self.type != 'AAAA' || !has(self.values) || self.values.all(v, v.matches('^[0-9A-Fa-f:.]+$') && v.contains(':'))", "message": "the values of an AAAA record are IPv6 addresses", "fieldPath": ".values"},
]))]
pub struct Record {
    /// Relative to the zone: `www`, `*.dev`, or `@` for the zone itself.
    pub name: RecordName,
    /// The type of the records.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// How long resolvers may keep them; left out: the zone's `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// Their data, in presentation format (RFC 1035): `10 mail.acme.` for MX. TXT is written without quotes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 1024)), extend("x-kubernetes-list-type" = "set"))]
    pub values: Vec<String>,
    /// What they follow instead of having values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<RecordSource>,
}

/// Types of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Who may issue certificates (RFC 8659).
    Caa,
    /// Another name for a name.
    Cname,
    /// Mail exchangers.
    Mx,
    /// Servers of a zone that lies outside the cluster.
    Ns,
    /// Names of addresses.
    Ptr,
    /// Hosts and ports of a service (RFC 2782).
    Srv,
    /// Text.
    Txt,
}

/// What records follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordSource {
    /// The Workload, of the Domain's namespace, whose ready instances the records point at.
    pub workload: DnsLabel,
    /// The port that it publishes; instances that are not ready on it are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortRef>,
}

/// What is known of a zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The serial of the zone as it is served (RFC 1982).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub serial: Option<u32>,
    /// DS records that the zone above should hold, in presentation format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub ds: Vec<String>,
    /// How far the zone has spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<Mirrors>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How far a zone has spread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mirrors {
    /// Mirrors that serve the newest serial.
    pub in_step: u32,
    /// Mirrors that serve an older one.
    pub behind: u32,
}
