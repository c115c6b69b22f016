//! Deletes Events, a few at a time, and only as they were seen: one that was just counted again stays.

use super::{Aged, Plan, events};
use crate::runtime::{Applied, Context, Failure, Key, Subject};
use futures_util::stream::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Preconditions};

/// Deletions under way at once: the server puts as many into one block.
const AT_ONCE: usize = 32;

pub(super) async fn apply(
    context: &Context,
    subject: &Subject<Namespace>,
    plan: &Plan,
) -> Result<Applied, Failure> {
    let namespace = &*subject.key.name;
    let deletions: Vec<_> = plan.delete.iter().map(|event| delete(context, namespace, event)).collect();
    let writes = futures_util::stream::iter(deletions)
        .buffer_unordered(AT_ONCE)
        .try_fold(0_u32, |count, deleted| async move { Ok(count + u32::from(deleted)) })
        .await?;
    Ok(Applied { writes, again: plan.again })
}

async fn delete(context: &Context, namespace: &str, event: &Aged) -> Result<bool, Failure> {
    let preconditions = Preconditions {
        uid: Some(event.uid.clone()),
        resource_version: Some(event.resource_version.clone()),
    };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    context.delete(&events(), &Key::namespaced(namespace, &event.name), &params).await
}
