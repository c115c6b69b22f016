//! Leader election by Lease: of several, one holds it, and another takes it when the first lets go.

use crate::over_each;
use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};

/// Tries to take a lease that nobody holds: true for who does.
async fn take(leases: &Api<Lease>, holder: &str) -> Result<bool> {
    let spec = |transitions| LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        renew_time: Some(MicroTime(Timestamp::now())),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let outcome = match leases.get_opt("leader").await? {
        None => {
            let mut lease = Lease { spec: Some(spec(0)), ..Lease::default() };
            lease.metadata.name = Some("leader".to_owned());
            leases.create(&PostParams::default(), &lease).await
        }
        Some(mut lease) => {
            let held = lease.spec.take().unwrap_or_default();
            if held.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty()) {
                return Ok(false);
            }
            lease.spec = Some(spec(held.lease_transitions.unwrap_or_default() + 1));
            // The revision that was read makes it a comparison and an exchange.
            leases.replace("leader", &PostParams::default(), &lease).await
        }
    };
    match outcome {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn one_leads_at_a_time() -> Result<()> {
    over_each(|client| async move {
        let leases: Api<Lease> = Api::default_namespaced(client);
        for round in 0..3 {
            let tries = (0..8).map(|i| {
                let leases = leases.clone();
                tokio::spawn(async move { take(&leases, &format!("candidate-{i}")).await })
            });
            let mut leaders = 0;
            for outcome in tries.collect::<Vec<_>>() {
                leaders += usize::from(outcome.await??);
            }
            ensure!(leaders == 1, "{leaders} lead in round {round}");
            let mut lease = leases.get("leader").await?;
            if let Some(spec) = &mut lease.spec {
                ensure!(spec.lease_transitions == Some(round), "{spec:?}");
                spec.holder_identity = None;
            }
            leases.replace("leader", &PostParams::default(), &lease).await?;
        }
        Ok(())
    })
}
