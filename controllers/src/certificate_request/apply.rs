//! Approves or deletes a request, and only the very one that was looked at.

use super::build::{Deed, Plan};
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
        Deed::Approve(why) => {
            let approved = json!({
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {"name": subject.key.name, "uid": uid},
                "status": {"conditions": [{
                    "type": "Approved",
                    "status": "True",
                    "reason": "AutoApproved",
                    "message": format!("by the controllers: {why}"),
                }]},
            });
            context.patch(resource, &subject.key, Some("approval"), &Patch::Apply(approved)).await?;
            1
        }
        Deed::Delete => {
            let preconditions =
                Preconditions { uid, resource_version: subject.meta().resource_version.clone() };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            u32::from(context.delete(resource, &subject.key, &params).await?)
        }
    };
    Ok(Applied { writes, again: plan.again })
}
