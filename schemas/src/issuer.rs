//! Issuer: who signs certificates.
//!
//! It belongs to the cluster, like cert-manager's ClusterIssuer: a Certificate names one by name alone, from any
//! namespace, so that the cluster's own authority is there for everybody without a copy in every namespace. Who may
//! name which issuer is a question of policy, not of where the Issuer lives.

use crate::condition::Condition;
use crate::declare::Declaration;
use crate::definition::{KindDefinition, Scope};
use crate::value::{DnsLabel, DnsSubdomain, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::of::<IssuerSpec, IssuerStatus>(
        Scope::Cluster,
        "Issuer",
        "issuers",
        "An Issuer signs certificates: the cluster's own authority, one whose key is in a Secret, or each certificate \
         itself. Certificates of every namespace may name it.",
    )
    .column("Max Duration", "string", ".spec.maxDuration", "How long a certificate of it may live.")
    .wide("Expires", "date", ".status.notAfter", "When its own certificate expires.")
    .finish()
}

/// Where the signing key is: exactly one of cluster, ca and selfSigned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.cluster), has(self.ca), has(self.selfSigned)].filter(x, x).size() == 1",
    "message": "an issuer is exactly one of cluster, ca and selfSigned",
}]))]
pub struct IssuerSpec {
    /// The cluster's own authority signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterAuthority>,
    /// A key that the operator brings signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authority>,
    /// Each certificate's own key signs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSigned>,
    /// How long a certificate of this issuer may live; a longer one is cut to it.
    #[serde(default = "thirty_days")]
    pub max_duration: Duration,
}

fn thirty_days() -> Duration {
    Duration::known("720h")
}

/// The cluster's own authority. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterAuthority {}

/// Signing with each certificate's own key. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SelfSigned {}

/// An authority whose key is in a Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    /// The Secret with `tls.crt` and `tls.key`.
    pub secret_ref: SecretRef,
}

/// Names a Secret of any namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretRef {
    /// Its name.
    pub name: DnsSubdomain,
    /// Its namespace.
    pub namespace: DnsLabel,
}

/// What is known of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerStatus {
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When its own certificate expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub not_after: Option<String>,
    /// Aspects of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
