//! Authorization: RBAC over the state, and nothing beside it.
//!
//! [`Policy`] is the decoded form of the four RBAC kinds. It is built once and then follows effects, so that a
//! decision reads no object. Semantics: `k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac`.

mod aggregation;
mod bindings;
mod compact;
mod covers;
mod node;
mod policy;
mod rule;

pub use compact::compact;
pub use covers::uncovered;
pub use node::{NODE_LEASES, NODE_PREFIX, NODES, node_of};
pub use policy::Policy;
pub use rule::{Attributes, PolicyRule};

/// Who asks. Order of groups does not matter to a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name.
    pub name: String,
    /// uid, where the authenticator knows one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further facts, such as a service account's pod.
    pub extra: Vec<(String, Vec<String>)>,
}

impl UserInfo {
    /// The prefix of service accounts' user names.
    pub const SERVICE_ACCOUNT: &'static str = "system:serviceaccount:";
}

use crate::authz::policy::GROUP;
pub(crate) use bindings::RoleRef;
pub(crate) use node::Question;
pub(crate) use policy::{CLUSTER_ROLES, concerns};

/// The refusal of what is asked for, as Kubernetes words it.
pub fn refusal(user: &UserInfo, asked: &Attributes<'_>) -> hypermesh_api::Status {
    let who = if user.name.is_empty() { "system:anonymous" } else { &user.name };
    if let Some(path) = asked.path {
        let subject = hypermesh_api::Subject { group: "", resource: "", name: "" };
        return hypermesh_api::Status::forbidden(
            subject,
            format!("User {who:?} cannot {} path {path:?}", asked.verb),
        );
    }
    let subresource =
        if asked.subresource.is_empty() { String::new() } else { format!("/{}", asked.subresource) };
    let place = if asked.namespace.is_empty() {
        " at the cluster scope".to_owned()
    } else {
        format!(" in the namespace {:?}", asked.namespace)
    };
    let subject = hypermesh_api::Subject { group: asked.group, resource: asked.resource, name: asked.name };
    hypermesh_api::Status::forbidden(
        subject,
        format!(
            "User {who:?} cannot {} resource \"{}{subresource}\" in API group {:?}{place}",
            asked.verb, asked.resource, asked.group
        ),
    )
}

/// The group of the RBAC kinds.
pub const RBAC_GROUP: &str = GROUP;
