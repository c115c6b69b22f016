//! An operator that runs inside of the cluster that it watches: each ConfigMap with the label `sites.example/site` becomes
//! a Workload that serves what it holds.
//!
//! It knows nothing of where it runs: it finds the API server by `KUBERNETES_SERVICE_HOST` and `_PORT`, and its token and
//! authority in the folder of every container, as kube-rs does. Deciding is apart from doing: [`site`] says what is to be,
//! [`reconcile`] has it so.

mod connect;
mod reconcile;
mod site;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::runtime::controller::Controller;
use kube::runtime::watcher;
use reconcile::{Operator, error_policy, reconcile, workloads};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let image =
        std::env::var("SITE_IMAGE").context("SITE_IMAGE names no image that serves with busybox' httpd")?;
    let client = connect::inside()?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let children: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &workloads());
    let operator = Arc::new(Operator { client, image });
    println!("watching ConfigMaps with the label {}", site::LABEL);
    Controller::new(maps, watcher::Config::default().labels(site::LABEL))
        .owns_with(children, workloads(), watcher::Config::default())
        // The first process of a container is asked to end by a signal, and nobody else would heed it.
        .shutdown_on_signal()
        .run(reconcile, error_policy, operator)
        .for_each(|done| async move {
            match done {
                Ok((object, _)) => println!("{} is as it should be", object.name),
                Err(error) => eprintln!("{:#}", anyhow::Error::from(error)),
            }
        })
        .await;
    Ok(())
}
