//! `apps/v1` ControllerRevision: what a controller made its objects from, kept so that one can go back to it.

use super::schema::Node;
use super::{built_in, column};
use crate::definition::{KindDefinition, Scope};
use serde_json::json;

pub(super) fn definition() -> KindDefinition {
    let data = Node::object("The state that is kept. It never changes.", [])
        .with("x-kubernetes-preserve-unknown-fields", true);
    let revision =
        Node::of("integer", "Where it stands among the others of its owner: the highest is the newest.")
            .with("format", "int64");
    let schema = Node::object(
        "A ControllerRevision is a state of what its owner makes its objects from, kept to go back to.",
        [("data", data), ("revision", revision)],
    )
    .required(["revision"])
    .rules(json!([{
        "rule": "has(self.data) == has(oldSelf.data) && (!has(self.data) || self.data == oldSelf.data)",
        "message": "what a revision keeps never changes",
        "fieldPath": ".data",
    }]));
    let mut kind = built_in("apps", Scope::Namespaced, "ControllerRevision", "controllerrevisions", schema);
    kind.printer_columns = vec![
        column(
            "Controller",
            "string",
            ".metadata.ownerReferences[?(@.controller==true)].name",
            0,
            "Whose it is.",
        ),
        column("Revision", "integer", ".revision", 0, "Where it stands among the others of its owner."),
    ];
    kind
}
