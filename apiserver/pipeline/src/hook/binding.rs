//! Who says on which node an instance runs: who may bind (`create` of `instances/binding`), which is the scheduler.
//!
//! Upstream lets whoever creates a Pod name its node, and so pass by cordons, taints of NoSchedule and everything else that
//! a scheduler weighs. Where those who write workloads and those who own nodes are not the same people, that is for the
//! owners to allow.

use crate::authz::Attributes;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::nodes;
use crate::state::StateReader;
use crate::verb::Request;
use serde_json::Value;

/// Refuses a node that is named by somebody who may not bind.
pub(super) fn check<R: StateReader + ?Sized>(
    execution: &Execution<'_, R>,
    request: &Request<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Fault> {
    if request.kind.collection != nodes::INSTANCES || !request.call.info.subresource.is_empty() {
        return Ok(());
    }
    let node = |object: &Value| object.pointer("/spec/nodeName").cloned();
    if node(object).is_none() || old.is_some_and(|old| node(old) == node(object)) {
        return Ok(());
    }
    let asked = Attributes {
        verb: "create",
        group: &request.kind.definition.group,
        resource: &request.kind.definition.names.plural,
        subresource: "binding",
        namespace: metadata::text(object, "namespace"),
        name: metadata::text(object, "name"),
        path: None,
    };
    execution.authorize_as(&request.user, &request.call, &asked).map_err(|fault| match fault {
        Fault::Refused(mut status) => {
            status.message.push_str(
                ": spec.nodeName is the scheduler's to set; leave it out, and say with nodeSelector where it may run",
            );
            Fault::Refused(status)
        }
        other => other,
    })
}
