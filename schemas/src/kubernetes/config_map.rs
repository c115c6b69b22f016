//! `core/v1` ConfigMap.

use super::schema::Node;
use super::{built_in, column};
use crate::definition::{Hook, KindDefinition, Scope, Strategy};

pub(super) fn definition() -> KindDefinition {
    let schema = Node::object(
        "A ConfigMap holds configuration that anybody of the namespace may read.",
        [
            (
                "binaryData",
                Node::map("Values that are not text, in base64.", Node::bytes("A value in base64.")),
            ),
            ("data", Node::map("Values that are text.", Node::string("A value."))),
            ("immutable", Node::boolean("Whether the data can never change again.")),
        ],
    );
    let mut kind = built_in("", Scope::Namespaced, "ConfigMap", "configmaps", schema);
    kind.names.short_names = vec!["cm".to_owned()];
    kind.printer_columns =
        vec![column("Data", "string", "count(.data, .binaryData)", 0, "How many keys it has.")];
    kind.strategy = Strategy { unconditional_update: true, hooks: vec![Hook::ConfigMap], ..kind.strategy };
    kind
}
