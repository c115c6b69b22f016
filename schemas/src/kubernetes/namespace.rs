//! `core/v1` Namespace.

use super::schema::Node;
use super::{built_in, column};
use crate::definition::{Hook, KindDefinition, NameFormat, Scope, Strategy, Subresources};
use serde_json::json;

pub(super) fn definition() -> KindDefinition {
    let condition = Node::object(
        "One aspect of a namespace's state.",
        [
            ("lastTransitionTime", Node::time("When the status last changed.").nullable()),
            ("message", Node::string("Why, in words for people.")),
            ("reason", Node::string("Why, in one word for programs.")),
            ("status", Node::string("True, False or Unknown.")),
            ("type", Node::string("The aspect.")),
        ],
    )
    .required(["type", "status"]);
    let schema = Node::object(
        "A Namespace is a scope for names: objects in it are reached through it and go with it.",
        [
            (
                "spec",
                Node::object(
                    "What is asked of the namespace.",
                    [(
                        "finalizers",
                        Node::atomic_list(
                            "What must be done before a deleted namespace goes.",
                            Node::string("A finalizer."),
                        ),
                    )],
                ),
            ),
            (
                "status",
                Node::object(
                    "What is known of the namespace.",
                    [
                        ("conditions", Node::map_list("Aspects of its state.", "type", condition)),
                        ("phase", Node::string("Active, or Terminating once it is being deleted.")),
                    ],
                ),
            ),
        ],
    );
    let mut kind = built_in("", Scope::Cluster, "Namespace", "namespaces", schema);
    kind.names.short_names = vec!["ns".to_owned()];
    kind.subresources = Subresources { status: true, scale: None };
    kind.printer_columns =
        vec![column("Status", "string", ".status.phase", 0, "The status of the namespace.")];
    kind.selectable_fields = vec![".status.phase".to_owned()];
    kind.strategy = Strategy {
        name: NameFormat::DnsLabel,
        unconditional_update: true,
        initial_status: Some(json!({"phase": "Active"})),
        hooks: vec![Hook::Namespace],
        ..kind.strategy
    };
    kind
}
