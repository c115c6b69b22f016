//! `core/v1` ServiceAccount. Its table has no column of its own: since 1.24 no Secret belongs to one by itself, and
//! 1.35 stopped counting them. A reference to a Secret needs its name here, since it is merged by it.

use super::built_in;
use super::schema::{Node, object_reference};
use crate::definition::{Hook, KindDefinition, Scope, Strategy};

pub(super) fn definition() -> KindDefinition {
    let pull_secret =
        Node::object("A Secret of the same namespace.", [("name", Node::string("Its name.").default(""))])
            .atomic();
    let schema = Node::object(
        "A ServiceAccount is an identity for programs.",
        [
            (
                "automountServiceAccountToken",
                Node::boolean(
                    "Kept for clients of Kubernetes, and not looked at: whether instances get a token is said by their \
                     template's automountServiceAccountToken.",
                ),
            ),
            (
                "imagePullSecrets",
                Node::atomic_list("Secrets with which its instances pull images.", pull_secret),
            ),
            (
                "secrets",
                Node::map_list(
                    "Secrets that its instances may mount.",
                    "name",
                    object_reference("A Secret.").required(["name"]),
                ),
            ),
        ],
    );
    let mut kind = built_in("", Scope::Namespaced, "ServiceAccount", "serviceaccounts", schema);
    kind.names.short_names = vec!["sa".to_owned()];
    kind.strategy =
        Strategy { unconditional_update: true, hooks: vec![Hook::ServiceAccount], ..kind.strategy };
    kind
}
