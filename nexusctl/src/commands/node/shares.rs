//! How much of a node is asked for by the instances on it. Pure.

use hypermesh_controllers::scheduler::plan::amounts::{Amounts, Resource};
use hypermesh_controllers::scheduler::plan::snapshot::Host;

/// What is shown of a host's resource: `1500m/4 (37%)`.
pub(super) fn share(host: &Host, resource: &Resource) -> String {
    let all = host.node.as_ref().map(|node| node.allocatable.get(resource)).unwrap_or_default();
    of(&host.used, resource, all)
}

/// The same of an amount against a whole.
pub(super) fn of(used: &Amounts, resource: &Resource, all: i128) -> String {
    let used = used.get(resource);
    let (shown, whole) = (resource.show(used), resource.show(all));
    match all {
        0 => format!("{shown}/{whole}"),
        all => format!("{shown}/{whole} ({}%)", used.saturating_mul(100) / all),
    }
}
