//! Identity: a key that may sign requests, and for whom it stands.
//!
//! The key is the name. So a key stands for one user at most, whoever verifies a request finds its author by one look-up,
//! and that a key is registered, or is not, can be proved against the state's root. There is no status: an Identity counts
//! from the block that stores it, and no longer once it is deleted.

use crate::declare::Declaration;
use crate::definition::{Hook, KindDefinition, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind as data.
pub fn definition() -> KindDefinition {
    Declaration::settled::<IdentitySpec>(
        Scope::Cluster,
        "Identity",
        "identities",
        "An Identity registers an Ed25519 key, which is its name (64 lower-case hexadecimal digits): requests that the key \
         has signed are those of its user, whichever replica takes them. Whoever registers one needs the right to \
         impersonate its user and groups. To delete it is to revoke the key, from the next block on.",
    )
    .short_name("ident")
    .column("User", "string", ".spec.user", "For whom the key stands.")
    .column("Groups", "string", ".spec.groups", "In which groups the user is when the key signs.")
    .selectable(".spec.user")
    .hook(Hook::Identity)
    .finish()
}

/// No control characters: names and groups are shown in tables, logs and headers, a line each.
const PLAIN: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// For whom a key stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.user.startsWith('system:serviceaccount:') == has(self.uid)",
        "message": "the key of a service account names the account's uid, and no other key has one",
        "fieldPath": ".uid",
    },
    {
        "rule": "!self.user.startsWith('system:serviceaccount:') || !has(self.groups) || size(self.groups) == 0",
        "message": "the groups of a service account follow from its name",
        "fieldPath": ".groups",
    },
]))]
pub struct IdentitySpec {
    /// The user. It never changes: for another user, another key is registered.
    #[schemars(length(min = 1, max = 256), regex(pattern = PLAIN), extend("x-kubernetes-validations" = [
        {
            // What is no user at all is told once, by its length.
            "rule": "self == '' || self == oldSelf",
            "message": "a key stands for one user: register another key",
            "messageExpression": "'the key already stands for \"' + oldSelf + '\": register another key'",
        },
        {"rule": "self != 'system:anonymous'", "message": "who signs is not anonymous"},
        {
            "rule": "!self.startsWith('system:serviceaccount:') || self.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
            "message": "a service account is named system:serviceaccount:NAMESPACE:NAME",
        },
    ]))]
    pub user: String,
    /// The user's groups, beside `system:authenticated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = PLAIN)), extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = [{
            "rule": "!self.exists(g, g == 'system:authenticated' || g == 'system:unauthenticated')",
            "message": "whoever signs is in system:authenticated, and not in system:unauthenticated",
        }],
    ))]
    pub groups: Vec<String>,
    /// The uid of the ServiceAccount that the user is: the key counts as long as that very account is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 64, "x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a key stands for one account: register another key"},
    ]))]
    pub uid: Option<String>,
}
