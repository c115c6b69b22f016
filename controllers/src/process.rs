//! A controller process from start to end: metrics, election, controllers, and another round when the cluster's
//! authorities change.

use crate::bootstrap_token::BootstrapTokens;
use crate::certificate_request::CertificateRequests;
use crate::connect::{ConnectError, Signature, authorities, connect_counted, signature};
use crate::event::EventRetention;
use crate::namespace::NamespaceContents;
use crate::node::NodeLifecycle;
use crate::root_bundle::RootBundle;
use crate::runtime::decision::Decisions;
use crate::runtime::endpoint::{self, Served};
use crate::runtime::failure::chain;
use crate::runtime::lease::{Campaign, Elector, Outcome};
use crate::runtime::metrics::Metrics;
use crate::runtime::{Context, Stop, drive, random};
use crate::scheduler;
use crate::settings::Settings;
use crate::workload::Workloads;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;

/// How often the kubeconfig is looked at for other authorities.
const LOOK: Duration = Duration::from_secs(10);
/// How long to wait before something that should not have ended is begun anew.
const AGAIN: Duration = Duration::from_secs(2);
/// How long reconciles that are under way have to come to their end when the process stops.
const DRAIN: Duration = Duration::from_secs(10);

/// The process does not start.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The API server cannot be reached.
    #[error("the API server cannot be reached as the controllers")]
    Connect(#[from] ConnectError),
    /// The address of the metrics.
    #[error("cannot serve metrics on {address}: stop what uses the port, or choose another with --metrics")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// What a running process tells of itself.
#[derive(Debug)]
pub struct Process {
    settings: Settings,
    listener: Option<TcpListener>,
    served: Served,
}

/// Why a round of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Stopped,
    Again,
}

impl Process {
    /// Takes the port. What is wrong with the settings is said here, before anything starts.
    pub async fn prepare(settings: Settings) -> Result<Self, ProcessError> {
        authorities(&settings.kubeconfig)?;
        let listener = match settings.metrics {
            None => None,
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(|source| ProcessError::Listen { address, source })?,
            ),
        };
        let served = Served {
            metrics: Arc::new(Metrics::default()),
            client: Arc::default(),
            decisions: Arc::new(Decisions::default()),
        };
        served.metrics.lease_unread.store(settings.election.is_some(), Relaxed);
        Ok(Self { settings, listener, served })
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Works until it is stopped.
    pub async fn run(mut self, stop: Stop) -> Result<(), ProcessError> {
        let endpoint = self.listener.take().map(|listener| {
            // It answers until the work has ended, so that what happens at the end can be watched too.
            let (stopper, stopped) = crate::runtime::stop();
            (tokio::spawn(endpoint::serve(listener, self.served.clone(), stopped)), stopper)
        });
        let result = self.rounds(stop).await;
        if let Some((serving, stopper)) = endpoint {
            stopper.stop();
            // A scrape that hangs must not hold the process.
            let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
        }
        result
    }

    async fn rounds(&self, mut stop: Stop) -> Result<(), ProcessError> {
        let identity = random::identity();
        let connect = || connect_counted(&self.settings.kubeconfig, Arc::clone(&self.served.client));
        let mut connected = connect()?;
        loop {
            let (client, bundle) = connected;
            let context = Context::new(
                client,
                identity.clone(),
                Arc::clone(&self.served.decisions),
                Arc::clone(&self.served.metrics),
            );
            if self.round(&context, &bundle, &identity, stop.clone()).await == Round::Stopped {
                return Ok(());
            }
            // It was usable when the process began: whoever broke it will mend it.
            connected = loop {
                match connect() {
                    Ok(connected) => break connected,
                    Err(error) => tracing::warn!(error = chain(&error), "the controllers cannot go on yet"),
                }
                tokio::select! {
                    () = stop.stopped() => return Ok(()),
                    () = tokio::time::sleep(AGAIN) => {}
                }
            };
        }
    }

    async fn round(&self, context: &Context, bundle: &RootBundle, identity: &str, mut stop: Stop) -> Round {
        let work = |stop| self.work(context.clone(), bundle.clone(), stop);
        let Some(election) = &self.settings.election else {
            context.metrics.leading.store(true, Relaxed);
            work(stop.clone()).await;
            context.metrics.leading.store(false, Relaxed);
            return if stop.is_stopped() { Round::Stopped } else { Round::Again };
        };
        let campaign = Campaign {
            namespace: election.namespace.clone(),
            name: election.name.clone(),
            identity: identity.to_owned(),
            timing: election.timing,
        };
        let mut elector = Elector::new(context.client.clone(), campaign, Arc::clone(&context.metrics));
        loop {
            if !elector.campaign(&mut stop).await {
                return Round::Stopped;
            }
            match elector.hold(&mut stop, work).await {
                Outcome::Stopped => return Round::Stopped,
                Outcome::Lost => {}
                Outcome::Ended => return Round::Again,
            }
        }
    }

    /// All controllers, until they are stopped or the authorities change.
    async fn work(&self, context: Context, bundle: RootBundle, mut stop: Stop) {
        let (stopper, ours) = crate::runtime::stop();
        let contents = NamespaceContents { bundle: bundle.clone() };
        let retention = EventRetention { retention: self.settings.event_retention };
        let controllers = async {
            tokio::join!(
                drive(Arc::new(contents), context.clone(), ours.clone()),
                drive(Arc::new(retention), context.clone(), ours.clone()),
                drive(Arc::new(BootstrapTokens::default()), context.clone(), ours.clone()),
                drive(Arc::new(CertificateRequests), context.clone(), ours.clone()),
                drive(Arc::new(NodeLifecycle::default()), context.clone(), ours.clone()),
                scheduler::run(context.clone(), ours.clone()),
                drive(Arc::new(Workloads::default()), context.clone(), ours.clone()),
                self.tell_who_signs(&context, ours.clone()),
            )
        };
        let mut controllers = std::pin::pin!(controllers);
        tokio::select! {
            () = stop.stopped() => {}
            () = changed(&self.settings.kubeconfig, &bundle) => {
                tracing::info!("the cluster's authorities have changed: the controllers start anew");
            }
            _ = &mut controllers => {
                tracing::error!("the controllers have ended by themselves and start anew");
                tokio::time::sleep(AGAIN).await;
                return;
            }
        }
        stopper.stop();
        if tokio::time::timeout(DRAIN, controllers).await.is_err() {
            tracing::warn!("reconciles that were under way are abandoned");
        }
    }
}

impl Process {
    /// Says whether what the controllers write is signed by a key of theirs, and if not, what is missing.
    async fn tell_who_signs(&self, context: &Context, mut stop: Stop) {
        let signature = tokio::select! {
            () = stop.stopped() => return,
            signature = signature(&self.settings.kubeconfig, &context.client) => signature,
        };
        match signature {
            Ok(Signature::By { key, user }) => tracing::info!(key, user, "writes are signed"),
            Ok(Signature::Missing(what)) => {
                tracing::warn!(
                    "writes are not signed, and only what a replica may vouch for is taken: {what}"
                );
            }
            Err(failure) => {
                tracing::warn!(error = chain(&failure), "whether writes are signed could not be asked");
            }
        }
    }
}

/// Waits until the kubeconfig names other authorities than these.
async fn changed(kubeconfig: &Path, bundle: &RootBundle) {
    let mut said = false;
    loop {
        tokio::time::sleep(LOOK).await;
        match authorities(kubeconfig) {
            Ok(now) if now != *bundle => return,
            Ok(_) => said = false,
            Err(error) if !said => {
                said = true;
                tracing::warn!(error = chain(&error), "the kubeconfig cannot be read: its last state holds");
            }
            Err(_) => {}
        }
    }
}
