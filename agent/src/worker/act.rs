//! Carrying out: each action is a task of its own, and what came of it is told to the worker.

use super::sandbox::{make_sandbox, remove_sandbox};
use super::starting::{Fetching, Starting, unless};
use super::{News, Worker, run_id};
use crate::asking;
use crate::connectivity::{Attachment, HostPort};
use crate::failure::chain;
use hypermesh_planner::probe::ProbeKind;
use hypermesh_planner::{
    Action, Exit, ExitReason, Instance, Outcome, ProbeOutcome, Refusal, Sources, StopReason, pull_policy,
};
use hypermesh_runtime::{Container as Running, ContainerEvent, ContainerId, Sandbox, StopOptions};
use hypermesh_schemas::workload::container::ImagePullPolicy;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// How long a hook after the start may take: kubelet has no limit, and a container that waits for ever helps nobody.
const POST_START: Duration = Duration::from_secs(600);

/// How long is waited at most until no published port leads to what is to end.
const WITHDRAWAL: Duration = Duration::from_secs(1);

/// A run has begun, as its container says.
pub(super) fn started(name: &str, attempt: u32, running: &Arc<dyn Running>, instance: &Instance) -> Outcome {
    let at = running.state().started_at.and_then(|at| Timestamp::from_nanosecond(i128::from(at)).ok());
    let id = format!("{}/{}", instance.uid, running.id());
    Outcome::Started { container: name.to_owned(), attempt, id, at: at.unwrap_or_else(Timestamp::now) }
}

/// A run has ended.
fn exited(
    name: &str,
    attempt: u32,
    running: &Arc<dyn Running>,
    uid: &str,
    exit: hypermesh_runtime::Exit,
) -> Outcome {
    let time = |nanos: i64| Timestamp::from_nanosecond(i128::from(nanos)).ok();
    let finished = time(exit.at).unwrap_or_else(Timestamp::now);
    let state = running.state();
    let oom = exit.oom_killed();
    let lost_some = (!oom && exit.oom_kills > 0).then(|| {
        format!(
            "it went on without {} of its processes, which the kernel killed for want of memory",
            exit.oom_kills
        )
    });
    let starved = (!oom && exit.forks_refused > 0).then(|| {
        let most = running.spec().limits.pids.map_or_else(String::new, |most| format!(" ({most})"));
        format!(
            "it had as many processes and threads as its limit of pids{most} allows, and {} more were refused",
            exit.forks_refused
        )
    });
    let exit = Exit {
        id: format!("{uid}/{}", running.id()),
        code: exit.code,
        signal: exit.signal,
        reason: match (oom, exit.oom_kills) {
            (true, _) => ExitReason::OutOfMemory,
            (false, 0) => ExitReason::Itself,
            (false, _) => ExitReason::WithoutSome,
        },
        message: oom
            .then(|| {
                format!(
                    "it took more memory than its limit, and the kernel killed {} of its processes",
                    exit.oom_kills
                )
            })
            .or(lost_some)
            .or(starved),
        started: state.started_at.or(Some(state.created_at)).and_then(time).unwrap_or(finished),
        finished,
    };
    Outcome::Exited { container: name.to_owned(), attempt, exit }
}

/// What becomes of what a run writes.
fn logged(run: &ContainerId, lost: Option<String>) -> News {
    let (name, attempt) = run.as_str().rsplit_once('-').unwrap_or((run.as_str(), ""));
    let (container, attempt) = (name.to_owned(), attempt.parse().unwrap_or_default());
    News::Outcome(Outcome::Logged { container, attempt, lost })
}

impl Worker {
    pub(super) fn attachment(&self) -> Attachment {
        let ports = self.instance.pod().containers.iter().flat_map(|container| &container.ports);
        let host_ports = ports.filter_map(|port| {
            Some(HostPort {
                address: port.host_ip.as_ref().and_then(|address| address.as_str().parse().ok()),
                host_port: port.host_port?,
                container_port: port.container_port,
                protocol: port.protocol,
            })
        });
        Attachment {
            uid: self.instance.uid.clone(),
            namespace: self.instance.namespace.clone(),
            name: self.instance.name.clone(),
            since: self.record.taken_on.map_or(i64::MAX, Timestamp::as_second),
            host_ports: host_ports.collect(),
        }
    }

    /// Tells what comes of some work.
    fn then(&self, work: impl Future<Output = Outcome> + Send + 'static) {
        let news = self.news.0.clone();
        self.beside(async move {
            // Without its worker nobody wants to know.
            let _ = news.send(News::Outcome(work.await));
        });
    }

    /// Learns when a sandbox is lost, and what it cannot log.
    pub(super) fn watch_sandbox(&self, sandbox: Arc<dyn Sandbox>) {
        let (mut lost, mut events, news) = (sandbox.lost(), sandbox.events(), self.news.0.clone());
        let generation = self.record.sandbox.generation;
        drop(sandbox);
        self.beside(async move {
            loop {
                tokio::select! {
                    // It ends without being lost when it is removed.
                    gone = lost.wait_for(|lost| *lost) => {
                        if gone.is_ok() {
                            let _ = news.send(News::Lost(generation));
                        }
                        return;
                    }
                    event = events.recv() => match event {
                        Ok(ContainerEvent::LogFailed { container, message }) => {
                            let _ = news.send(logged(&container, Some(message)));
                        }
                        Ok(ContainerEvent::LogKept(container)) => {
                            let _ = news.send(logged(&container, None));
                        }
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    },
                }
            }
        });
    }

    /// Learns when a run ends.
    pub(super) fn watch_run(&self, name: &str, attempt: u32, running: Arc<dyn Running>) {
        let (name, news, uid) = (name.to_owned(), self.news.0.clone(), self.instance.uid.to_string());
        self.beside(async move {
            // When the shim is lost, that is told of the sandbox.
            if let Ok(exit) = running.wait().await {
                let _ = news.send(News::Outcome(exited(&name, attempt, &running, &uid, exit)));
            }
        });
    }

    fn running(&self, container: &str, attempt: u32) -> Option<Arc<dyn Running>> {
        self.sandbox.as_ref()?.container(&run_id(container, attempt)?)
    }

    pub(super) fn act(&self, action: Action) {
        match action {
            Action::PrepareVolumes => {
                let (gathering, objects) = (self.gathering(), self.objects.glance());
                self.then(async move {
                    if let Err(why) = objects.known().await {
                        return Outcome::VolumesRefused(why);
                    }
                    let sources = objects.sources();
                    Self::prepare_volumes(super::contents::Gathering { sources, ..gathering }).await
                });
            }
            Action::MakeSandbox => self.make_sandbox(),
            Action::RemoveSandbox => {
                self.then(remove_sandbox(self.host.clone(), Arc::clone(&self.instance), self.sandbox.clone()))
            }
            Action::RemoveVolumes => {
                let (volumes, uid) = (self.host.volumes.clone(), self.instance.uid.clone());
                self.then(async move {
                    match volumes.remove(&uid).await {
                        Ok(()) => Outcome::VolumesRemoved,
                        Err(why) => Outcome::VolumesStay(why),
                    }
                });
            }
            Action::FetchImage { container, attempt } => self.fetch(container, attempt),
            Action::Start { container, attempt } => self.start(container, attempt),
            Action::PostStart { container, attempt } => self.post_start(container, attempt),
            Action::Probe { container, attempt, kind } => self.probe(container, attempt, kind),
            Action::PreStop { container, attempt, deadline, .. } => {
                self.pre_stop(container, attempt, deadline);
            }
            Action::Terminate { container, attempt, why, deadline } => {
                let leaves = matches!(why, StopReason::Deleted | StopReason::Evicted);
                self.terminate(&container, attempt, deadline, leaves);
            }
            Action::Kill { container, attempt, .. } => self.kill(&container, attempt),
        }
    }

    fn make_sandbox(&self) {
        let (host, instance, attachment) = (self.host.clone(), Arc::clone(&self.instance), self.attachment());
        let news = self.news.0.clone();
        self.beside(async move {
            let made = make_sandbox(&host, &instance, &attachment).await;
            let _ = news.send(match made {
                Ok((sandbox, attached)) => News::Sandbox { sandbox, attached },
                Err(why) => News::Outcome(Outcome::SandboxRefused(why)),
            });
        });
    }

    fn fetch(&self, name: String, attempt: u32) {
        let Some(container) = self.instance.container(&name).cloned() else { return };
        let policy = pull_policy(&container);
        let pulls = policy != ImagePullPolicy::Never;
        let secrets: Vec<String> =
            self.instance.pod().image_pull_secrets.iter().map(|secret| secret.name.to_string()).collect();
        let objects = self.pull_secrets.glance();
        let (host, holder) = (self.host.clone(), holder(&self.instance, &name));
        let root = root_id(&self.instance, &name, attempt);
        let ending = self.ending.subscribe();
        let instance = Arc::clone(&self.instance);
        let fetching = Fetching {
            host,
            container,
            policy,
            attempt,
            secrets,
            pulls,
            objects,
            holder,
            instance,
            root,
            ending,
        };
        self.then(fetching.fetch());
    }

    fn start(&self, name: String, attempt: u32) {
        let (Some(container), Some(sandbox)) =
            (self.instance.container(&name).cloned(), self.sandbox.clone())
        else {
            let message = "its sandbox is not there".to_owned();
            let refusal = Refusal::CreateContainerError;
            self.then(async move { Outcome::StartRefused { container: name, attempt, refusal, message } });
            return;
        };
        let digest = self.record.container(&name).and_then(|container| container.image.id.clone());
        let starting = Starting {
            host: self.host.clone(),
            instance: Arc::clone(&self.instance),
            container,
            attempt,
            sandbox,
            digest: digest.and_then(|digest| digest.parse().ok()),
            sources: Sources::default(),
            fields: self.fields(),
            attached: self.attached.clone(),
            ending: self.ending.subscribe(),
        };
        let (news, uid) = (self.news.0.clone(), self.instance.uid.to_string());
        let objects = self.objects.glance();
        self.beside(async move {
            let run = async {
                let known = unless(starting.ending.clone(), objects.known()).await?;
                known.map_err(|why| (Refusal::CreateContainerConfigError, why))?;
                Starting { sources: objects.sources(), ..starting }.start().await
            };
            match run.await {
                Ok((running, outcome)) => {
                    let _ = news.send(News::Outcome(outcome));
                    let Some(running) = running else { return };
                    if let Ok(exit) = running.wait().await {
                        let _ = news.send(News::Outcome(exited(&name, attempt, &running, &uid, exit)));
                    }
                }
                Err((refusal, message)) => {
                    let _ = news.send(News::Outcome(Outcome::StartRefused {
                        container: name,
                        attempt,
                        refusal,
                        message,
                    }));
                }
            }
        });
    }

    fn post_start(&self, name: String, attempt: u32) {
        let found = self.instance.container(&name).cloned().zip(self.running(&name, attempt));
        let place = self.place();
        self.then(async move {
            let result = match &found {
                Some((container, running)) => {
                    let handler =
                        container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
                    match handler {
                        Some(handler) => asking::hook(handler, container, &place, running, POST_START).await,
                        None => Ok(()),
                    }
                }
                None => Err("the container is gone".to_owned()),
            };
            Outcome::PostStartDone { container: name, attempt, result }
        });
    }

    fn pre_stop(&self, name: String, attempt: u32, deadline: Timestamp) {
        let found = self.instance.container(&name).cloned().zip(self.running(&name, attempt));
        let (place, limit) = (self.place(), hypermesh_planner::backoff::between(Timestamp::now(), deadline));
        self.then(async move {
            let result = match &found {
                Some((container, running)) => {
                    let handler =
                        container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
                    match handler {
                        Some(handler) => asking::hook(handler, container, &place, running, limit).await,
                        None => Ok(()),
                    }
                }
                None => Err("the container is gone".to_owned()),
            };
            Outcome::PreStopDone { container: name, attempt, result }
        });
    }

    fn probe(&self, name: String, attempt: u32, kind: ProbeKind) {
        let found = self.instance.container(&name).cloned().zip(self.running(&name, attempt));
        let place = self.place();
        self.then(async move {
            let answer = match &found {
                Some((container, running)) => match kind.of(container) {
                    Some(probe) => asking::ask(probe, container, &place, running).await,
                    None => Ok(()),
                },
                None => Err("the container is gone".to_owned()),
            };
            let (good, message) = (answer.is_ok(), answer.err().unwrap_or_default());
            Outcome::Probed(ProbeOutcome { container: name, attempt, kind, good, message })
        });
    }

    /// Tells a container to end, once no published port leads new connections to it. Its end is told by who waits for it.
    fn terminate(&self, container: &str, attempt: u32, deadline: Timestamp, leaves: bool) {
        let Some(running) = self.running(container, attempt) else { return };
        let (mut serving, uid) = (self.host.serving.clone(), self.instance.uid.clone());
        self.beside(async move {
            if leaves {
                let withdrawn = serving.wait_for(|serving| !serving.instances.contains(&uid));
                let _ = tokio::time::timeout(WITHDRAWAL, withdrawn).await;
            }
            let grace = hypermesh_planner::backoff::between(Timestamp::now(), deadline);
            if let Err(error) = running.stop(StopOptions { grace, signal: None }).await {
                tracing::debug!(container = %running.id(), error = chain(&error), "it was not told to end");
            }
        });
    }

    fn kill(&self, container: &str, attempt: u32) {
        let Some(running) = self.running(container, attempt) else { return };
        self.beside(async move {
            if let Err(error) = running.signal(9, true).await {
                tracing::debug!(container = %running.id(), error = chain(&error), "it was not killed");
            }
        });
    }
}

/// What the root file system of a run is called.
pub(super) fn root_id(instance: &Instance, container: &str, attempt: u32) -> String {
    format!("{}-{container}-{attempt}", instance.uid)
}

/// Who holds a container's image, and whose root file system it is.
fn holder(instance: &Instance, container: &str) -> String {
    format!("{}-{container}", instance.uid)
}
