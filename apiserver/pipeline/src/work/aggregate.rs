//! The rules of aggregated roles, written into them for people to read.
//!
//! Nothing is decided by what is written here: decisions follow the roles that an aggregated one is made from.

use super::slice::Slice;
use super::{Progress, Turn, end_of_pass};
use crate::authz::CLUSTER_ROLES;
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::{decode, overwrite};
use hypermesh_api::Status;
use hypermesh_chain::ObjectKey;

pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    loop {
        let passed = progress.key();
        let stale = execution.derived.policy.stale(passed.as_ref().map(ObjectKey::name));
        let Some((name, rules)) = stale else { return Ok(end_of_pass(progress)) };
        let Some(key) = ObjectKey::new(CLUSTER_ROLES, "", name) else { return Ok(Turn::Done) };
        if !slice.has_room(execution) {
            return Ok(Turn::More);
        }
        slice.attempt(execution, progress, &key, |execution| {
            let Some(record) = execution.overlay.get(&key)? else { return Ok(()) };
            let Some(kind) = execution.derived.registry.collection(CLUSTER_ROLES).cloned() else {
                return Ok(());
            };
            let mut role = decode(&record)?;
            let rules = serde_json::to_value(&*rules).map_err(Status::internal)?;
            if let Some(map) = role.as_object_mut() {
                map.insert("rules".into(), rules);
            }
            overwrite(execution, &kind, &key, &record, role)?;
            Ok(())
        })?;
        progress.pass(&key);
    }
}
