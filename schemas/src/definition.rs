//! A kind as data: everything that the API server needs to serve it.
//!
//! A definition is a value that is stored in the replicated state, so its JSON form is a wire format:
//! fields are only ever added, each with a default that means what its absence meant before.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::cell::{Cell, InvalidCell};

/// One version of one kind. The shape follows `apiextensions.k8s.io/v1` CustomResourceDefinition, flattened to a
/// single version, with what HyperMesh adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindDefinition {
    /// API group; the empty string is the core group.
    pub group: String,
    /// API version within the group, such as `v1`.
    pub version: String,
    /// The names by which people and programs call it.
    pub names: Names,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// Structural OpenAPI v3 schema of the whole object (`apiVersion`, `kind` and `metadata` are implied), with
    /// `x-kubernetes-*` extensions, and `x-kubernetes-patch-strategy` / `-patch-merge-key` for built-in kinds.
    pub schema: Value,
    /// The subresources served beside the object.
    #[serde(default)]
    pub subresources: Subresources,
    /// Columns of its Table, after `Name` (and before `Age`, which is added when none is named so). A kind with a
    /// column named `Name` has said all of them: nothing is added.
    #[serde(default)]
    pub printer_columns: Vec<PrinterColumn>,
    /// JSON paths (`.spec.color`) that field selectors may name, beside `metadata.name` and `metadata.namespace`.
    #[serde(default)]
    pub selectable_fields: Vec<String>,
    /// Fields whose value no two objects of a scope may share (`x-hypermesh-unique` in the schema).
    #[serde(default)]
    pub unique_fields: Vec<UniqueField>,
    /// What the pipeline does for this kind beyond its schema.
    #[serde(default)]
    pub strategy: Strategy,
}

/// Names of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Names {
    /// Path segment: `workloads`.
    pub plural: String,
    /// `workload`.
    pub singular: String,
    /// `Workload`.
    pub kind: String,
    /// `WorkloadList`.
    pub list_kind: String,
    /// `wl`.
    #[serde(default)]
    pub short_names: Vec<String>,
    /// `hypermesh`, `all`.
    #[serde(default)]
    pub categories: Vec<String>,
}

/// Where the objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// Subresources of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subresources {
    /// `/status` exists: status is ignored on the main resource, and everything else on `/status`.
    #[serde(default)]
    pub status: bool,
    /// `/scale` exists.
    #[serde(default)]
    pub scale: Option<Scale>,
}

/// Where `/scale` reads and writes; the paths start at the object's root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// `.spec.replicas`
    pub spec_replicas_path: String,
    /// `.status.replicas`
    pub status_replicas_path: String,
    /// `.status.selector`
    #[serde(default)]
    pub label_selector_path: Option<String>,
}

/// One column of the kind's Table (`additionalPrinterColumns` of a CustomResourceDefinition).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrinterColumn {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub kind: String,
    /// OpenAPI format, or empty.
    #[serde(default)]
    pub format: String,
    /// Text for people.
    #[serde(default)]
    pub description: String,
    /// 0 is shown always; more only in wide output.
    #[serde(default)]
    pub priority: i32,
    /// JSON path from the object's root: `.spec.color`, `.status.conditions[?(@.type=="Ready")].status`. Built-in
    /// kinds have cells that no JSON path can say; theirs is a call, which [`Cell::parse`] reads.
    pub json_path: String,
}

/// A field that is unique within a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UniqueField {
    /// `.spec.name`
    pub json_path: String,
    /// `Cluster`: one holder in the cluster; `Namespaced`: one in each namespace.
    pub scope: Scope,
}

/// The small strategy of a kind: what cannot be said by a schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Strategy {
    /// A kind of Kubernetes itself: strategic merge patch and protobuf bodies are taken.
    pub built_in: bool,
    /// What a name may look like.
    pub name: NameFormat,
    /// PUT may leave out `metadata.resourceVersion`.
    pub unconditional_update: bool,
    /// PUT of an absent object creates it.
    pub create_on_update: bool,
    /// `metadata.generation` is kept (it rises on changes outside metadata and status).
    pub generation: bool,
    /// Status that a new object starts with, such as its `Ready=Unknown` condition.
    pub initial_status: Option<Value>,
    /// Behaviour of the pipeline that this kind turns on.
    pub hooks: Vec<Hook>,
}

/// What a name may look like (RFC 1123, or a path segment).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameFormat {
    /// Lower-case RFC 1123 subdomain, at most 253 characters.
    #[default]
    DnsSubdomain,
    /// Lower-case RFC 1123 label, at most 63 characters.
    DnsLabel,
    /// Anything that is one path segment: not `.`, not `..`, without `/` and `%` (RBAC kinds).
    PathSegment,
}

/// Behaviour that a kind turns on in the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// The Namespace kind: holds others, is emptied before it goes, `spec.finalizers` and `status.phase` are kept.
    Namespace,
    /// `stringData` is folded into `data`, whose keys are checked as those of a ConfigMap; leaves of the state tree are
    /// salted; `type` and immutable data stay.
    Secret,
    /// Keys are at most 253 of `[-._a-zA-Z0-9]`, and in one of `data` and `binaryData`; `immutable: true` freezes both.
    ConfigMap,
    /// Tokens are issued under `/token`.
    ServiceAccount,
    /// Rules may not exceed what the writer holds, unless it may `escalate`.
    Role,
    /// The role referred to may not exceed what the writer holds, unless it may `bind`; `roleRef` is fixed; a subject
    /// that is a User or a Group gets the RBAC group as its `apiGroup` (the schema cannot default it by kind).
    RoleBinding,
    /// Expires after the configured retention.
    Event,
    /// Registers the key that its name is: whoever writes one needs the right to impersonate whom it stands for, and the
    /// last key of an administrator stays.
    Identity,
    /// Says who asks, by whoever sent it; never changes; `/approval` takes conditions of who may `approve` for the signer,
    /// `/status` a certificate of who may `sign` for it, each once.
    CertificateSigningRequest,
}
