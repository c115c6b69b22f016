//! `core/v1` Secret.

use super::schema::Node;
use super::{built_in, column};
use crate::definition::{Hook, KindDefinition, Scope, Strategy};

pub(super) fn definition() -> KindDefinition {
    let schema = Node::object(
        "A Secret holds data that few may read.",
        [
            ("data", Node::map("Values in base64.", Node::bytes("A value in base64."))),
            ("immutable", Node::boolean("Whether the data can never change again.")),
            (
                "stringData",
                Node::map(
                    "Values as text, which are written to data and never read back.",
                    Node::string("A value as text."),
                ),
            ),
            (
                "type",
                Node::string("What the data is for; it decides which keys there must be.").default("Opaque"),
            ),
        ],
    );
    let mut kind = built_in("", Scope::Namespaced, "Secret", "secrets", schema);
    kind.printer_columns = vec![
        column("Type", "string", ".type", 0, "What the data is for."),
        column("Data", "string", "count(.data)", 0, "How many keys it has."),
    ];
    kind.selectable_fields = vec![".type".to_owned()];
    kind.strategy = Strategy { unconditional_update: true, hooks: vec![Hook::Secret], ..kind.strategy };
    kind
}
