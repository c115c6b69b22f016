//! `rbac.authorization.k8s.io/v1` Role and ClusterRole.

use super::schema::{Node, label_selector};
use super::{CREATED, built_in, column};
use crate::definition::{Hook, KindDefinition, NameFormat, Scope, Strategy};
use serde_json::{Value, json};

/// The API group of RBAC.
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn namespaced() -> KindDefinition {
    let schema = Node::object("A Role is a set of rights within its namespace.", [("rules", rules(false))]);
    finish(built_in(GROUP, Scope::Namespaced, "Role", "roles", schema))
}

pub(super) fn cluster() -> KindDefinition {
    let aggregation = Node::object(
        "Makes the rules from those of other ClusterRoles.",
        [(
            "clusterRoleSelectors",
            Node::atomic_list(
                "ClusterRoles that any of these selects give their rules.",
                label_selector("Selects ClusterRoles."),
            ),
        )],
    );
    let schema = Node::object(
        "A ClusterRole is a set of rights in the whole cluster, or in the namespaces in which it is bound.",
        [("aggregationRule", aggregation.nullable()), ("rules", rules(true))],
    );
    finish(built_in(GROUP, Scope::Cluster, "ClusterRole", "clusterroles", schema))
}

fn finish(mut kind: KindDefinition) -> KindDefinition {
    kind.printer_columns = vec![
        column("Name", "string", ".metadata.name", 0, "Name of the role."),
        column("Created At", "string", CREATED, 0, "When it was made."),
    ];
    kind.strategy = Strategy {
        name: NameFormat::PathSegment,
        unconditional_update: true,
        create_on_update: true,
        hooks: vec![Hook::Role],
        ..kind.strategy
    };
    kind
}

/// Rules; what they may name besides resources depends on the scope.
fn rules(cluster: bool) -> Node {
    let names = |description: &str| Node::atomic_list(description, Node::string("A name, or * for all."));
    let rule = Node::object(
        "Allows verbs on resources, or on URLs.",
        [
            ("apiGroups", names("API groups of the resources; the empty name is the core group.")),
            (
                "nonResourceURLs",
                names("Paths that are not resources; a final * stands for whatever follows."),
            ),
            ("resourceNames", names("Names of the objects that are meant; left out: all of them.")),
            ("resources", names("Resources; a subresource is written resource/subresource.")),
            ("verbs", names("What is allowed.")),
        ],
    )
    .required(["verbs"])
    .rules(rule_checks(cluster));
    Node::atomic_list("What is allowed: the sum of the rules.", rule).nullable()
}

/// What Kubernetes checks of a rule in code, with its messages.
fn rule_checks(cluster: bool) -> Value {
    let mut checks = vec![
        json!({
            "rule": "size(self.verbs) > 0",
            "message": "verbs must contain at least one value",
            "reason": "FieldValueRequired",
            "fieldPath": ".verbs",
        }),
        json!({
            "rule": "(has(self.nonResourceURLs) && size(self.nonResourceURLs) > 0) || (has(self.apiGroups) && size(self.apiGroups) > 0)",
            "message": "resource rules must supply at least one api group",
            "reason": "FieldValueRequired",
            "fieldPath": ".apiGroups",
        }),
        json!({
            "rule": "(has(self.nonResourceURLs) && size(self.nonResourceURLs) > 0) || (has(self.resources) && size(self.resources) > 0)",
            "message": "resource rules must supply at least one resource",
            "reason": "FieldValueRequired",
            "fieldPath": ".resources",
        }),
    ];
    let urls = if cluster {
        json!({
            "rule": "!has(self.nonResourceURLs) || size(self.nonResourceURLs) == 0 || !((has(self.apiGroups) && size(self.apiGroups) > 0) || (has(self.resources) && size(self.resources) > 0) || (has(self.resourceNames) && size(self.resourceNames) > 0))",
            "message": "rules cannot apply to both regular resources and non-resource URLs",
            "fieldPath": ".nonResourceURLs",
        })
    } else {
        json!({
            "rule": "!has(self.nonResourceURLs) || size(self.nonResourceURLs) == 0",
            "message": "namespaced rules cannot apply to non-resource URLs",
            "fieldPath": ".nonResourceURLs",
        })
    };
    checks.push(urls);
    Value::Array(checks)
}
