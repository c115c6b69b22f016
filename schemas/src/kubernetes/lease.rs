//! `coordination.k8s.io/v1` Lease.

use super::schema::Node;
use super::{built_in, column};
use crate::definition::{KindDefinition, Scope, Strategy};

pub(super) fn definition() -> KindDefinition {
    let spec = Node::object(
        "Who holds the lease, and for how long.",
        [
            ("acquireTime", Node::time("When it was taken.").nullable()),
            ("holderIdentity", Node::string("Who holds it.").nullable()),
            (
                "leaseDurationSeconds",
                Node::int32("How long after renewTime others must wait before they take it.")
                    .with("minimum", 1)
                    .nullable(),
            ),
            (
                "leaseTransitions",
                Node::int32("How often it has changed hands.").with("minimum", 0).nullable(),
            ),
            ("preferredHolder", Node::string("Who should take it next; it needs a strategy.")),
            ("renewTime", Node::time("When its holder last renewed it.").nullable()),
            ("strategy", Node::string("How the next holder is chosen.")),
        ],
    );
    let schema = Node::object("A Lease is held by one holder at a time, who renews it.", [("spec", spec)]);
    let mut kind = built_in("coordination.k8s.io", Scope::Namespaced, "Lease", "leases", schema);
    kind.printer_columns = vec![column("Holder", "string", ".spec.holderIdentity", 0, "Who holds it.")];
    kind.strategy = Strategy { create_on_update: true, ..kind.strategy };
    kind
}
