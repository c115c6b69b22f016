//! Certificate: a key pair and a chain that are kept valid.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, Scope};
use crate::value::{DnsSubdomain, Duration, IpAddress, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<CertificateSpec, CertificateStatus>(
        Scope::Namespaced,
        "Certificate",
        "certificates",
        "A Certificate is a key pair and a chain in a Secret, issued for the names it lists and renewed before they \
         expire.",
    )
    .short_name("cert")
    .column("Secret", "string", ".spec.secretName", "The Secret that holds key and chain.")
    .column("Issuer", "string", ".spec.issuerRef.name", "Who issues it.")
    .column("Expires", "date", ".status.notAfter", "When the chain that is in use expires.")
    .wide("Renewal", "date", ".status.renewalTime", "When it is renewed next.")
    .wide("Serial", "string", ".status.serialNumber", "The serial number of the chain that is in use.")
    .selectable(".spec.secretName")
    .selectable(".spec.issuerRef.name")
    .finish()
}

/// What is to be certified, by whom, and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.dnsNames) || has(self.ipAddresses) || has(self.uris)", "message": "a certificate is for at least one of dnsNames, ipAddresses and uris"},
    {"rule": "duration(self.duration) >= duration('5m')", "message": "the shortest certificate lives 5m", "fieldPath": ".duration"},
    {"rule": "!has(self.renewBefore) || duration(self.renewBefore) < duration(self.duration)", "message": "renewBefore must be shorter than duration", "fieldPath": ".renewBefore"},
]))]
pub struct CertificateSpec {
    /// DNS names that it is for; `*` may stand for the first label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")), extend("x-kubernetes-list-type" = "set"))]
    pub dns_names: Vec<String>,
    /// Addresses that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub ip_addresses: Vec<IpAddress>,
    /// Identities that it is for, such as `spiffe://…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub uris: Vec<Uri>,
    /// Who issues it.
    pub issuer_ref: IssuerRef,
    /// The Secret, of the same namespace, that holds `tls.crt`, `tls.key` and `ca.crt`.
    pub secret_name: DnsSubdomain,
    /// What the key may be used for.
    #[serde(default = "server_auth")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub usages: Vec<Usage>,
    /// The key.
    #[serde(default)]
    pub key: KeySpec,
    /// How long each issued chain is valid.
    #[serde(default = "one_day")]
    pub duration: Duration,
    /// How long before it expires it is renewed; left out: a third of `duration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
}

fn server_auth() -> Vec<Usage> {
    vec![Usage::ServerAuth]
}

fn one_day() -> Duration {
    Duration::known("24h")
}

/// Names an Issuer of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct IssuerRef {
    /// Its name.
    pub name: DnsSubdomain,
}

/// What a key may be used for (RFC 5280, section 4.2.1.12, and the key usages that follow from it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Usage {
    /// To prove a server's identity.
    ServerAuth,
    /// To prove a client's identity.
    ClientAuth,
    /// To sign code.
    CodeSigning,
    /// To sign and encrypt mail.
    EmailProtection,
}

/// The key of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySpec {
    /// Its algorithm.
    #[serde(default)]
    pub algorithm: KeyAlgorithm,
    /// Whether renewal makes a new key.
    #[serde(default)]
    pub rotation: KeyRotation,
}

/// Algorithms of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8410).
    #[default]
    Ed25519,
    /// ECDSA on P-256, which every browser takes.
    EcdsaP256,
    /// ML-DSA-65 (FIPS 204), which quantum computers do not break.
    MlDsa65,
}

/// Whether renewal makes a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyRotation {
    /// Every time.
    #[default]
    Always,
    /// The key stays, for those who pin it.
    Never,
}

/// What is known of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The serial number of the chain in use, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = "^[0-9a-f]+$"))]
    pub serial_number: Option<String>,
    /// The subjects of the chain in use, leaf first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub chain: Vec<String>,
    /// When it became valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub not_before: Option<String>,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub not_after: Option<String>,
    /// When it is renewed next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub renewal_time: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub revoked_at: Option<String>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
