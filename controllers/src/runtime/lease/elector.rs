//! Performs an election: reads and watches the Lease, writes it, and runs work for as long as it is held.

use super::election::{Election, Lease, Step, Timing};
use crate::runtime::context::MANAGER;
use crate::runtime::failure::{Failure, FailureClass, chain};
use crate::runtime::metrics::Metrics;
use crate::runtime::random;
use crate::runtime::stop::{self, Stop};
use futures_util::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use kube::core::Status;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// The most that candidates which see the Lease become free wait, each for itself, before they try to take it.
const SPREAD: Duration = Duration::from_millis(150);

/// What is contended for, and how.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The Lease's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who this candidate is; no two may be the same.
    pub identity: String,
    /// How it is held.
    pub timing: Timing,
}

/// How a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to stop; the Lease is released.
    Stopped,
    /// The Lease was lost; the work was ended before another may begin.
    Lost,
    /// The work has ended by itself; the Lease is released.
    Ended,
}

/// A candidate.
pub struct Elector {
    campaign: Campaign,
    api: Api<LeaseObject>,
    election: Election,
    started: Instant,
    watch: BoxStream<'static, watcher::Result<Option<LeaseObject>>>,
    /// It was told that the Lease may not be read; the watch asks again and again.
    told: bool,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Elector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elector").field("campaign", &self.campaign).finish_non_exhaustive()
    }
}

impl Elector {
    /// A candidate that has seen nothing yet.
    pub fn new(client: kube::Client, campaign: Campaign, metrics: Arc<Metrics>) -> Self {
        let api: Api<LeaseObject> = Api::namespaced(client, &campaign.namespace);
        let watch = watch_object(api.clone(), &campaign.name).default_backoff().boxed();
        let election = Election::new(campaign.identity.clone(), campaign.timing);
        Self { campaign, api, election, started: Instant::now(), watch, told: false, metrics }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until this candidate leads; false when it was stopped before.
    pub async fn campaign(&mut self, stop: &mut Stop) -> bool {
        let mut said = None;
        // The first thing seen decides whether there is a Lease at all.
        let mut seen = false;
        loop {
            let now = self.now();
            if self.election.leads(now) {
                tracing::info!(lease = self.campaign.name, identity = self.campaign.identity, "leading");
                self.metrics.terms.fetch_add(1, Relaxed);
                return true;
            }
            if seen && said.as_deref() != self.election.holder() {
                said = self.election.holder().map(str::to_owned);
                tracing::info!(
                    lease = self.campaign.name,
                    holder = said.as_deref().unwrap_or("nobody"),
                    "standing by"
                );
            }
            let wait = match self.election.step(now) {
                _ if !seen => None,
                Step::Wait(until) => Some(until.saturating_sub(now)),
                step => match self.take(step).await {
                    Ok(()) => continue,
                    Err(failure) => {
                        tracing::debug!(error = chain(&failure), "the lease was not taken");
                        Some(self.campaign.timing.retry().mul_f64(0.5 + random::fraction()))
                    }
                },
            };
            let timer = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.stopped() => return false,
                () = timer => {}
                event = self.watch.next() => {
                    seen |= self.saw(event);
                    if matches!(self.election.step(self.now()), Step::Take { .. } | Step::Create) {
                        tokio::time::sleep(SPREAD.mul_f64(random::fraction())).await;
                    }
                }
            }
        }
    }

    /// Does `work` for as long as the Lease is held. The work is told to stop when the candidate is, and dropped when the
    /// Lease is lost.
    pub async fn hold<F: Future<Output = ()>>(
        &mut self,
        stopped: &mut Stop,
        work: impl FnOnce(Stop) -> F,
    ) -> Outcome {
        let (stopper, work_stop) = stop::stop();
        let mut work = Box::pin(work(work_stop));
        self.metrics.leading.store(true, Relaxed);
        let mut stopping = false;
        let outcome = loop {
            let now = self.now();
            let (Some(until), Some(renews_at)) = (self.election.leads_until(), self.election.renews_at())
            else {
                break Outcome::Lost;
            };
            if now >= until {
                break Outcome::Lost;
            }
            // Moments, not lengths: however long what is awaited below takes, the term ends when it ends.
            let (deadline, renewal) = (self.started + until, self.started + renews_at);
            let ended = |stopping| if stopping { Outcome::Stopped } else { Outcome::Ended };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => break Outcome::Lost,
                () = &mut work => break ended(stopping),
                () = stopped.stopped(), if !stopping => {
                    stopping = true;
                    stopper.stop();
                }
                event = self.watch.next() => {
                    self.saw(event);
                }
                () = tokio::time::sleep_until(renewal) => {
                    // A renewal that hangs does not outlive the term, and the work goes on beside it.
                    let renewed = tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(deadline) => break Outcome::Lost,
                        () = &mut work => break ended(stopping),
                        renewed = self.renew() => renewed,
                    };
                    if let Err(failure) = renewed {
                        tracing::warn!(error = chain(&failure), "the lease was not renewed");
                        let retry = self.campaign.timing.retry();
                        tokio::select! {
                            biased;
                            () = tokio::time::sleep_until(deadline) => break Outcome::Lost,
                            () = &mut work => break ended(stopping),
                            event = self.watch.next() => { self.saw(event); }
                            () = tokio::time::sleep(retry) => {}
                        }
                    }
                }
            }
        };
        // First the work ends, then others may know.
        drop(work);
        self.metrics.leading.store(false, Relaxed);
        if outcome == Outcome::Lost {
            self.metrics.terms_lost.fetch_add(1, Relaxed);
            tracing::error!(lease = self.campaign.name, "the lease was lost: work has stopped");
        } else {
            self.release().await;
        }
        outcome
    }

    /// Takes up what the watch has shown; false when it was an error.
    fn saw(&mut self, event: Option<watcher::Result<Option<LeaseObject>>>) -> bool {
        let now = self.now();
        match event {
            Some(Ok(lease)) => {
                self.told = false;
                self.metrics.lease_unread.store(false, Relaxed);
                self.election.observe(lease.as_ref().map(view), now);
                true
            }
            Some(Err(error)) => {
                match refusal(&error) {
                    None => tracing::debug!(error = chain(&error), "the lease cannot be watched"),
                    Some(_) if self.told => {}
                    Some(refusal) => {
                        self.told = true;
                        tracing::error!(
                            lease = self.campaign.name,
                            error = refusal.message,
                            "the controllers may not read their lease and do nothing; an administrator gives them what \
                             they need by: nexus-controllers --rights | nexusctl apply -f -"
                        );
                    }
                }
                false
            }
            None => false,
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), Failure> {
        let (sent, now) = (self.now(), MicroTime(Timestamp::now()));
        let mut object = self.object(now.clone());
        if let Some(spec) = &mut object.spec {
            spec.acquire_time = Some(now);
        }
        let params = params();
        let action = format!("take the lease {}", self.campaign.name);
        let request = async {
            match step {
                Step::Take { version, transitions } => {
                    object.metadata.resource_version = Some(version);
                    if let Some(spec) = &mut object.spec {
                        spec.lease_transitions = Some(transitions);
                    }
                    self.api.replace(&self.campaign.name, &params, &object).await
                }
                _ => self.api.create(&params, &object).await,
            }
        };
        let written = within(self.campaign.timing.deadline(), request).await?.map_err(Failure::of(action))?;
        self.election.wrote(view(&written), sent, self.now());
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Failure> {
        let Some((version, transitions)) = self.election.version().map(|(v, t)| (v.to_owned(), t)) else {
            return Ok(());
        };
        let sent = self.now();
        let mut object = self.object(MicroTime(Timestamp::now()));
        object.metadata.resource_version = Some(version);
        if let Some(spec) = &mut object.spec {
            spec.lease_transitions = Some(transitions);
        }
        let action = format!("renew the lease {}", self.campaign.name);
        match self.api.replace(&self.campaign.name, &params(), &object).await {
            Ok(written) => {
                self.election.wrote(view(&written), sent, self.now());
                Ok(())
            }
            Err(error) => {
                // It was changed, or is gone: the newest state says whether it is still ours.
                if let kube::Error::Api(status) = &error
                    && matches!(status.code, 404 | 409)
                {
                    let found =
                        self.api.get_opt(&self.campaign.name).await.map_err(Failure::of("read the lease"))?;
                    self.election.observe(found.as_ref().map(view), self.now());
                }
                Err(Failure::of(action)(error))
            }
        }
    }

    /// Gives the Lease back, so that another need not wait. Whether or not this succeeds, the work has ended.
    async fn release(&mut self) {
        let patience = self.campaign.timing.retry().max(Duration::from_secs(1));
        // A renewal that was on its way when the work ended has made another version of it: then once more.
        for _ in 0..2 {
            if !self.election.leads(self.now()) {
                return;
            }
            let refused = match within(patience, self.write_release()).await {
                Ok(Ok(())) => {
                    tracing::info!(lease = self.campaign.name, "the lease is released");
                    return;
                }
                Ok(Err(failure)) | Err(failure) => failure,
            };
            tracing::warn!(
                error = chain(&refused),
                "the lease was not released: others wait until it runs out"
            );
            if refused.class() != FailureClass::Conflict {
                return;
            }
            match within(patience, self.api.get_opt(&self.campaign.name)).await {
                Ok(Ok(found)) => self.election.observe(found.as_ref().map(view), self.now()),
                _ => return,
            }
        }
    }

    async fn write_release(&mut self) -> Result<(), Failure> {
        let Some((version, transitions)) = self.election.version().map(|(v, t)| (v.to_owned(), t)) else {
            return Ok(());
        };
        let mut object = self.object(MicroTime(Timestamp::now()));
        object.metadata.resource_version = Some(version);
        if let Some(spec) = &mut object.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.lease_transitions = Some(transitions);
        }
        let sent = self.now();
        let action = format!("release the lease {}", self.campaign.name);
        let written = self.api.replace(&self.campaign.name, &params(), &object).await;
        self.election.wrote(view(&written.map_err(Failure::of(action))?), sent, self.now());
        Ok(())
    }

    fn object(&self, now: MicroTime) -> LeaseObject {
        let seconds = self.campaign.timing.duration.as_secs().max(1);
        LeaseObject {
            metadata: ObjectMeta {
                name: Some(self.campaign.name.clone()),
                namespace: Some(self.campaign.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.campaign.identity.clone()),
                lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
                lease_transitions: Some(0),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// What the server said, if it refused for want of rights.
fn refusal(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(&**status).filter(|status| status.code == 403),
        _ => None,
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

async fn within<T>(longest: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(longest, work).await.map_err(|_| Failure::TookTooLong(longest))
}

fn view(lease: &LeaseObject) -> Lease {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Lease {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
    }
}
