//! Approves, denies or deletes a request, and only the very one that was looked at.

use super::build::{Deed, Plan};
use crate::runtime::announce::{Gravity, Note};
use crate::runtime::{Applied, Context, Failure, Subject};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{DeleteParams, Patch, Preconditions};
use serde_json::json;

pub(super) async fn apply(
    context: &Context,
    subject: &Subject<CertificateSigningRequest>,
    plan: &Plan,
) -> Result<Applied, Failure> {
    let (resource, uid) = (&subject.resource, subject.meta().uid.clone());
    let writes = match &plan.deed {
        Deed::Wait(_) => 0,
        Deed::Ask(why) => {
            let note = Note {
                gravity: Gravity::Normal,
                action: "Approve",
                reason: "WaitsForApproval".to_owned(),
                message: why.clone(),
                counted: false,
            };
            context.announcer.tell(&subject.reference(), note, context.now()).await;
            0
        }
        Deed::Approve(why) => decide(context, subject, "Approved", "AutoApproved", why).await?,
        Deed::Deny(reason, why) => decide(context, subject, "Denied", reason, why).await?,
        Deed::Delete => {
            let preconditions =
                Preconditions { uid, resource_version: subject.meta().resource_version.clone() };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            u32::from(context.delete(resource, &subject.key, &params).await?)
        }
    };
    Ok(Applied { writes, again: plan.again })
}

/// Writes the verdict of the very request that was judged.
async fn decide(
    context: &Context,
    subject: &Subject<CertificateSigningRequest>,
    verdict: &str,
    reason: &str,
    why: &str,
) -> Result<u32, Failure> {
    let resource = &subject.resource;
    let decided = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": subject.key.name, "uid": subject.meta().uid},
        "status": {"conditions": [{
            "type": verdict,
            "status": "True",
            "reason": reason,
            "message": format!("by the controllers: {why}"),
        }]},
    });
    context.patch(resource, &subject.key, Some("approval"), &Patch::Apply(decided)).await?;
    Ok(1)
}
