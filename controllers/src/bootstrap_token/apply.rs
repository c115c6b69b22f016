//! Deletes tokens, and only as they were seen: one that was just prolonged stays.

use super::{NAMESPACE, Plan, secrets};
use crate::runtime::{Applied, Context, Failure, Key};
use kube::api::{DeleteParams, Preconditions};

pub(super) async fn apply(context: &Context, plan: &Plan) -> Result<Applied, Failure> {
    let mut writes = 0;
    for token in &plan.delete {
        let preconditions = Preconditions {
            uid: Some(token.uid.clone()),
            resource_version: Some(token.resource_version.clone()),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let key = Key::namespaced(NAMESPACE, &token.name);
        writes += u32::from(context.delete(&secrets(), &key, &params).await?);
    }
    Ok(Applied { writes, again: plan.again })
}
