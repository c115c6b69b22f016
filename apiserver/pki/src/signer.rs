//! What the cluster's own signers sign, and whom they refuse.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/certificates` (helpers: ValidateKubeletClientCSR) and the signers' documentation.
//! A node is the key that signs its requests, so that its key is an Ed25519 key; and a client's certificate names no user
//! and no group of the system (`system:`), to which default roles are bound: those come by other ways. The reference refuses
//! `system:masters` alone.

use crate::agent::NODES;
use crate::request::{CertificateRequest, KeyKind};
use thiserror::Error;

/// What names of users and groups of the system begin with.
const SYSTEM: &str = "system:";
/// What the names of nodes' users begin with.
const NODE_PREFIX: &str = "system:node:";

/// A signer of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `kubernetes.io/kube-apiserver-client`: people and programs.
    Client,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: nodes.
    Node,
}

/// Why a signer does not sign: one word, and words.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Refusal {
    /// One word in CamelCase.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

impl Signer {
    /// The signer of a name; `None` for those that somebody else runs.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "kubernetes.io/kube-apiserver-client" => Some(Self::Client),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Self::Node),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client",
            Self::Node => "kubernetes.io/kube-apiserver-client-kubelet",
        }
    }

    /// Whether it signs this request for these usages.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(self, request: &CertificateRequest, usages: &[String]) -> Result<(), Refusal> {
        let refuse = |reason, message: String| Err(Refusal { reason, message });
        const TAKEN: [&str; 3] = ["client auth", "digital signature", "key encipherment"];
        if let Some(other) = usages.iter().find(|usage| !TAKEN.contains(&usage.as_str())) {
            return refuse(
                "UnsupportedUsage",
                format!("the usage {other:?}: a client has {}", TAKEN.join(", ")),
            );
        }
        if !usages.iter().any(|usage| usage == "client auth") {
            return refuse("UnsupportedUsage", "the usage \"client auth\" is missing".to_owned());
        }
        match self {
            Self::Client => client(request),
            Self::Node => node(request).map(drop),
        }
    }
}

/// The name of the node and the key that it will be, of a request to [`Signer::Node`].
///
/// # Errors
/// Why it is no request of a node.
pub fn node(request: &CertificateRequest) -> Result<(&str, [u8; 32]), Refusal> {
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    if request.organizations != [NODES] {
        let words = format!("a node is in {NODES:?} and nothing else, not in {:?}", request.organizations);
        return refuse("UnsupportedSubject", words);
    }
    let name = request.common_name.strip_prefix(NODE_PREFIX);
    let Some(name) = name.filter(|name| is_node_name(name)) else {
        let words =
            format!("a node is {NODE_PREFIX}NAME, NAME a lower-case DNS name, not {:?}", request.common_name);
        return refuse("UnsupportedSubject", words);
    };
    match request.key {
        KeyKind::Ed25519(key) => Ok((name, key)),
        _ => refuse(
            "UnsupportedKey",
            "the key of a node is an Ed25519 key: it signs what the node says".to_owned(),
        ),
    }
}

fn client(request: &CertificateRequest) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal { reason: "UnsupportedSubject", message });
    let name = request.common_name.as_str();
    // Users and groups of the system are whom default roles are bound to: its own keys and nodes, and nobody who asks.
    if let Some(group) = request.organizations.iter().find(|group| group.starts_with(SYSTEM)) {
        return refuse(format!(
            "the group {group:?}: no certificate of a client is in one that begins with {SYSTEM:?}"
        ));
    }
    if name.starts_with(SYSTEM) {
        return refuse(format!(
            "the name {name:?} begins with {SYSTEM:?}: nodes, accounts and the system's own have credentials of their own \
             kind"
        ));
    }
    let mut sorted: Vec<&String> = request.organizations.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        Some(pair) => refuse(format!("the group {:?} stands there twice", pair.first())),
        None => Ok(()),
    }
}

/// Lower-case RFC 1123 subdomain.
fn is_node_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|b| plain(*b) || *b == b'-')
            && bytes.first().copied().is_some_and(plain)
            && bytes.last().copied().is_some_and(plain)
    };
    name.len() <= 253 && name.split('.').all(label)
}
