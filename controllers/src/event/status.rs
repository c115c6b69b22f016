//! A namespace whose wish cannot be met is told so in a condition, once; the condition goes when the wish is mended.

use super::CONDITION;
use crate::runtime::conditions::{self, Condition, Holds};
use crate::runtime::{Context, Failure, Subject, Told, Verdict};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Patch;
use serde_json::Value;

pub(super) async fn update(
    context: &Context,
    subject: &Subject<Namespace>,
    verdict: Verdict<'_>,
) -> Result<Told, Failure> {
    if subject.deleting() {
        // From here on the state machine tells what the namespace waits for, and nobody else.
        return Ok(Told::AsBefore);
    }
    let current = current(&subject.object);
    let wanted = match verdict {
        Verdict::Applied(_) if conditions::find(&current, CONDITION).is_none() => return Ok(Told::AsBefore),
        Verdict::Applied(_) => Vec::new(),
        Verdict::Invalid(invalid) => {
            let condition = Condition {
                kind: CONDITION,
                status: Holds::False,
                reason: invalid.reason.to_owned(),
                message: invalid.message.clone(),
            };
            match conditions::settle(&current, &condition, subject.meta().generation, context.now()) {
                None => return Ok(Told::AsBefore),
                Some(condition) => vec![condition],
            }
        }
    };
    let resource = &subject.resource;
    let applied = conditions::apply(&resource.api_version, &resource.kind, &subject.key.name, &wanted);
    context.patch(resource, &subject.key, Some("status"), &Patch::Apply(applied)).await?;
    Ok(Told::Written)
}

fn current(namespace: &Namespace) -> Vec<Value> {
    let conditions = namespace.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().filter_map(|condition| serde_json::to_value(condition).ok()).collect()
}
