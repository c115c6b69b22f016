//! Makes what is missing and puts right what is wrong.

use super::{ACCOUNT, BUNDLE, BUNDLE_KEY, Plan, Step, accounts, config_maps};
use crate::root_bundle::RootBundle;
use crate::runtime::context::MANAGER;
use crate::runtime::{Applied, Context, Failure, Key, Subject};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};

pub(super) async fn apply(
    context: &Context,
    subject: &Subject<Namespace>,
    plan: &Plan,
    bundle: &RootBundle,
) -> Result<Applied, Failure> {
    let namespace = &*subject.key.name;
    let mut writes = 0;
    if plan.account == Step::Create {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": namespace},
        });
        let made = context.create(&accounts(), &Key::namespaced(namespace, ACCOUNT), &account).await;
        writes += u32::from(settled(made)?);
    }
    let (place, key) = (config_maps(), Key::namespaced(namespace, BUNDLE));
    match &plan.bundle {
        Step::Keep | Step::Await => {}
        Step::Create => {
            writes += u32::from(settled(context.create(&place, &key, &config_map(namespace, bundle)).await)?);
        }
        Step::Update { binary } => {
            // The whole of the old data goes, whoever wrote it; labels and annotations stay.
            let data = json!({"op": "add", "path": "/data", "value": {BUNDLE_KEY: bundle.pem()}});
            let mut patch = vec![data];
            if *binary {
                patch.push(json!({"op": "remove", "path": "/binaryData"}));
            }
            writes += u32::from(settled(context.json_patch(&place, &key, Value::Array(patch)).await)?);
        }
        Step::Replace(uid, version) => {
            let preconditions =
                Preconditions { uid: Some(uid.clone()), resource_version: Some(version.clone()) };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            // Its deletion asks for the reconcile that makes it anew.
            writes += u32::from(context.delete(&place, &key, &params).await?);
        }
    }
    Ok(Applied { writes, again: None })
}

/// A write that came too late is no failure: somebody else made it, or the namespace began to go meanwhile.
fn settled(result: Result<(), Failure>) -> Result<bool, Failure> {
    let Err(Failure::Api { source: kube::Error::Api(status), .. }) = &result else {
        return result.map(|()| true);
    };
    let terminating = status
        .details
        .as_ref()
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
    match status.code {
        // A create that finds it there.
        409 if status.reason == "AlreadyExists" => Ok(false),
        403 if terminating => Ok(false),
        404 => Ok(false),
        _ => result.map(|()| true),
    }
}

fn config_map(namespace: &str, bundle: &RootBundle) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": BUNDLE,
            "namespace": namespace,
            "annotations": {
                "kubernetes.io/description": format!(
                    "The authorities that sign the API server's certificate. {MANAGER} keeps the data as it is."
                ),
            },
        },
        "data": {BUNDLE_KEY: bundle.pem()},
    })
}
