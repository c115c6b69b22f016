//! `rbac.authorization.k8s.io/v1` RoleBinding and ClusterRoleBinding.

use super::role::GROUP;
use super::schema::Node;
use super::{CREATED, built_in, column};
use crate::definition::{Hook, KindDefinition, NameFormat, Scope, Strategy};
use serde_json::json;

pub(super) fn namespaced() -> KindDefinition {
    let role = role_ref(
        "The Role of the same namespace, or the ClusterRole, that is given. It never changes.",
        ["Role", "ClusterRole"],
    );
    let schema = Node::object(
        "A RoleBinding gives subjects the rights of a role within its namespace.",
        [("roleRef", role), ("subjects", subjects())],
    )
    .required(["roleRef"]);
    finish(built_in(GROUP, Scope::Namespaced, "RoleBinding", "rolebindings", schema))
}

pub(super) fn cluster() -> KindDefinition {
    let role = role_ref("The ClusterRole that is given. It never changes.", ["ClusterRole"]);
    let schema = Node::object(
        "A ClusterRoleBinding gives subjects the rights of a ClusterRole in the whole cluster.",
        [("roleRef", role), ("subjects", subjects())],
    )
    .required(["roleRef"]);
    finish(built_in(GROUP, Scope::Cluster, "ClusterRoleBinding", "clusterrolebindings", schema))
}

fn finish(mut kind: KindDefinition) -> KindDefinition {
    let accounts = r#".subjects[?(@.kind=="ServiceAccount")]"#;
    kind.printer_columns = vec![
        column("Role", "string", "join(.roleRef.kind, .roleRef.name)", 0, "The role that is given."),
        column("Age", "date", CREATED, 0, "How long ago it was made."),
        column("Users", "string", r#"list(.subjects[?(@.kind=="User")].name)"#, 1, "Users that have it."),
        column("Groups", "string", r#"list(.subjects[?(@.kind=="Group")].name)"#, 1, "Groups that have it."),
        column(
            "ServiceAccounts",
            "string",
            &format!("list({accounts}.namespace, {accounts}.name)"),
            1,
            "ServiceAccounts that have it.",
        ),
    ];
    kind.strategy = Strategy {
        name: NameFormat::PathSegment,
        unconditional_update: true,
        create_on_update: true,
        hooks: vec![Hook::RoleBinding],
        ..kind.strategy
    };
    kind
}

fn role_ref<const N: usize>(description: &str, kinds: [&str; N]) -> Node {
    Node::object(
        description,
        [
            ("apiGroup", Node::string("API group of the role.").one_of([GROUP]).default(GROUP)),
            ("kind", Node::string("Kind of the role.").one_of(kinds)),
            ("name", Node::string("Name of the role.").with("minLength", 1)),
        ],
    )
    .required(["apiGroup", "kind", "name"])
    .atomic()
}

fn subjects() -> Node {
    let subject = Node::object(
        "A user, a group or a ServiceAccount.",
        [
            ("apiGroup", Node::string("API group of the subject: empty for a ServiceAccount.")),
            ("kind", Node::string("Kind of the subject.").one_of(["ServiceAccount", "User", "Group"])),
            ("name", Node::string("Name of the subject.").with("minLength", 1)),
            ("namespace", Node::string("Namespace of a ServiceAccount.")),
        ],
    )
    .required(["kind", "name"])
    .atomic()
    .rules(json!([
        {
            "rule": "self.kind != 'ServiceAccount' || (has(self.__namespace__) && size(self.__namespace__) > 0)",
            "message": "a ServiceAccount needs its namespace",
            "reason": "FieldValueRequired",
            "fieldPath": ".namespace",
        },
        {
            "rule": "self.kind == 'ServiceAccount' || !has(self.__namespace__) || size(self.__namespace__) == 0",
            "message": "users and groups have no namespace",
            "fieldPath": ".namespace",
        },
        {
            "rule": format!("!has(self.apiGroup) || size(self.apiGroup) == 0 || (self.kind != 'ServiceAccount' && self.apiGroup == '{GROUP}')"),
            "message": format!("the group of users and groups is {GROUP}; that of a ServiceAccount is empty"),
            "fieldPath": ".apiGroup",
        },
    ]));
    Node::atomic_list("Who is given the role.", subject).nullable()
}
