//! Carrying out: each action is a task of its own, and what came of it is told to the worker.

use super::{News, Worker, run_id};
use crate::asking;
use crate::connectivity::{Attached, Attachment, HostPort};
use crate::containers::{Making, NotMade, etc};
use crate::failure::chain;
use crate::host::Host;
use crate::images::keyring;
use crate::objects::Glance;
use hypermesh_image::Digest;
use hypermesh_planner::probe::ProbeKind;
use hypermesh_planner::{
    Action, Exit, ExitReason, Fields, Instance, Outcome, ProbeOutcome, Refusal, Sources, StopReason,
    pull_policy,
};
use hypermesh_runtime::{
    Container as Running, InstanceId, Network, RuntimeError, Sandbox, SandboxSpec, StopOptions, UserNamespace,
};
use hypermesh_schemas::workload::container::{Container, ImagePullPolicy};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
    let exit = Exit {
        id: format!("{uid}/{}", running.id()),
        code: exit.code,
        signal: exit.signal,
        reason: if oom { ExitReason::OutOfMemory } else { ExitReason::Itself },
        message: oom.then(|| {
            format!(
                "it took more memory than its limit, and the kernel killed {} of its processes",
                exit.oom_kills
            )
        }),
        started: state.started_at.or(Some(state.created_at)).and_then(time).unwrap_or(finished),
        finished,
    };
    Outcome::Exited { container: name.to_owned(), attempt, exit }
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
            host_ports: host_ports.collect(),
        }
    }

    /// Tells what comes of some work.
    fn then(&self, work: impl Future<Output = Outcome> + Send + 'static) {
        let news = self.news.0.clone();
        tokio::spawn(async move {
            // Without its worker nobody wants to know.
            let _ = news.send(News::Outcome(work.await));
        });
    }

    /// Learns when a sandbox is lost.
    pub(super) fn watch_sandbox(&self, sandbox: Arc<dyn Sandbox>) {
        let (mut lost, news) = (sandbox.lost(), self.news.0.clone());
        drop(sandbox);
        tokio::spawn(async move {
            // It ends without being lost when it is removed.
            if lost.wait_for(|lost| *lost).await.is_ok() {
                let gone = Outcome::SandboxGone("its shim is gone".to_owned());
                let _ = news.send(News::Outcome(gone));
            }
        });
    }

    /// Learns when a run ends.
    pub(super) fn watch_run(&self, name: &str, attempt: u32, running: Arc<dyn Running>) {
        let (name, news, uid) = (name.to_owned(), self.news.0.clone(), self.instance.uid.to_string());
        tokio::spawn(async move {
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
        tokio::spawn(async move {
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
        let fetching = Fetching { host, container, policy, attempt, secrets, pulls, objects, holder };
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
        };
        let (news, uid) = (self.news.0.clone(), self.instance.uid.to_string());
        let objects = self.objects.glance();
        tokio::spawn(async move {
            let run = async {
                objects.known().await.map_err(|why| (Refusal::CreateContainerConfigError, why))?;
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
        tokio::spawn(async move {
            if leaves {
                let withdrawn = serving.wait_for(|serving| !serving.contains(&uid));
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
        tokio::spawn(async move {
            if let Err(error) = running.signal(9, true).await {
                tracing::debug!(container = %running.id(), error = chain(&error), "it was not killed");
            }
        });
    }
}

/// Who holds a container's image, and whose root file system it is.
fn holder(instance: &Instance, container: &str) -> String {
    format!("{}-{container}", instance.uid)
}

async fn make_sandbox(
    host: &Host,
    instance: &Instance,
    attachment: &Attachment,
) -> Result<(Arc<dyn Sandbox>, Attached), String> {
    let attached = host.connectivity.attach(attachment).await.map_err(|error| chain(&error))?;
    let folder = etc(&host.layout, instance);
    write_etc(&folder, instance, &attached)
        .map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    let network = attached.namespace.clone().map_or(Network::Own, Network::Path);
    let id = InstanceId::new(instance.uid.as_str()).map_err(|error| error.to_string())?;
    let hostname: String = instance.name.chars().take(63).collect();
    let spec = SandboxSpec {
        instance: id,
        hostname: hostname.trim_end_matches('-').to_owned(),
        network,
        user: UserNamespace::Auto,
        host_ipc: false,
        sysctls: BTreeMap::new(),
        limits: hypermesh_runtime::spec::Limits::default(),
        annotations: BTreeMap::from([
            ("namespace".to_owned(), instance.namespace.clone()),
            ("name".to_owned(), instance.name.clone()),
        ]),
    };
    let sandbox = host.runtime.create(spec).await.map_err(|error| chain(&error))?;
    Ok((sandbox, attached))
}

fn write_etc(folder: &Path, instance: &Instance, attached: &Attached) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let files = [
        ("hosts", attached.hosts.as_str()),
        ("resolv.conf", attached.resolv_conf.as_str()),
        ("hostname", &format!("{}\n", instance.name)),
    ];
    files.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

async fn remove_sandbox(host: Host, instance: Arc<Instance>, sandbox: Option<Arc<dyn Sandbox>>) -> Outcome {
    let removed = async {
        match sandbox {
            Some(sandbox) => sandbox.remove().await.map_err(|error| chain(&error))?,
            None => sweep(&host, &instance).await?,
        }
        host.images.release(&format!("{}-", instance.uid)).await.map_err(|error| chain(&error))?;
        host.connectivity.detach(&instance.uid).await.map_err(|error| chain(&error))
    };
    match removed.await {
        Ok(()) => Outcome::SandboxRemoved,
        Err(why) => Outcome::SandboxStays(why),
    }
}

/// Clears away what is left of a sandbox that nobody holds: everything that is of no other instance.
async fn sweep(host: &Host, instance: &Instance) -> Result<(), String> {
    let mut keep = std::collections::BTreeSet::new();
    let folders = std::fs::read_dir(host.layout.instances()).map_err(|error| error.to_string())?;
    for entry in folders.flatten() {
        if let Some(id) = entry.file_name().to_str().and_then(|name| InstanceId::new(name).ok())
            && id.as_str() != instance.uid.as_str()
        {
            keep.insert(id);
        }
    }
    let swept = host.runtime.sweep(&keep).await.map_err(|error| chain(&error))?;
    if swept.left.is_empty() { Ok(()) } else { Err(swept.left.join("; ")) }
}

/// An image on its way.
struct Fetching {
    host: Host,
    container: Container,
    policy: ImagePullPolicy,
    attempt: u32,
    secrets: Vec<String>,
    pulls: bool,
    objects: Glance,
    holder: String,
}

impl Fetching {
    async fn fetch(self) -> Outcome {
        let (container, attempt) = (self.container.name.to_string(), self.attempt);
        if self.pulls
            && !self.secrets.is_empty()
            && let Err(message) = self.objects.known().await
        {
            return Outcome::ImageRefused { container, attempt, refusal: Refusal::ErrImagePull, message };
        }
        let keys = match keyring(&self.objects, self.secrets) {
            Ok(keys) => keys,
            Err(message) => {
                return Outcome::ImageRefused { container, attempt, refusal: Refusal::ErrImagePull, message };
            }
        };
        match self.host.images.fetch(&self.container.image, self.policy, &keys, &self.holder).await {
            Ok(fetched) => Outcome::ImageReady {
                container,
                attempt,
                id: fetched.digest.to_string(),
                pulled: fetched.pulled,
            },
            Err(not) => {
                Outcome::ImageRefused { container, attempt, refusal: not.refusal, message: not.message }
            }
        }
    }
}

/// A start under way.
struct Starting {
    host: Host,
    instance: Arc<Instance>,
    container: Container,
    attempt: u32,
    sandbox: Arc<dyn Sandbox>,
    digest: Option<Digest>,
    sources: Sources,
    fields: Fields,
    attached: Attached,
}

type Refused = (Refusal, String);

impl Starting {
    async fn start(self) -> Result<(Option<Arc<dyn Running>>, Outcome), Refused> {
        let create = |why: String| (Refusal::CreateContainerError, why);
        let name = self.container.name.as_str();
        let id =
            run_id(name, self.attempt).ok_or_else(|| create(format!("{name} is no name of a container")))?;
        self.clear().await.map_err(create)?;
        let digest = self.digest.as_ref().ok_or_else(|| create("its image is not here".to_owned()))?;
        let images = &self.host.images;
        let image = images.image(digest).await.map_err(|error| create(chain(&error)))?;
        let image_user = images.user(&image).await.map_err(create)?;
        let read_only = self.container.security_context.as_ref();
        let read_only = read_only.and_then(|security| security.read_only_root_filesystem).unwrap_or_default();
        let snapshot = format!("{}-{name}-{}", self.instance.uid, self.attempt);
        let root = images.root(&snapshot, digest, read_only).await.map_err(|error| create(chain(&error)))?;
        let making = Making {
            instance: &self.instance,
            container: &self.container,
            attempt: self.attempt,
            image: &image,
            image_user: &image_user,
            root,
            sources: &self.sources,
            fields: &self.fields,
            base: &self.base(),
            volumes: &self.host.volumes,
            layout: &self.host.layout,
            policy: &self.host.policy,
            node_memory: self.host.memory,
            least_oom_score: self.host.least_oom_score,
        };
        let spec = making.spec().map_err(|error| match error {
            NotMade::Config(_) | NotMade::Refused(_) => {
                (Refusal::CreateContainerConfigError, error.to_string())
            }
        })?;
        if let Some(folder) = spec.log.as_ref().and_then(|log| log.path.parent()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| create(format!("cannot make its log: {error}")))?;
            forget_old_logs(folder, self.attempt);
        }
        let began = Timestamp::now();
        let running = match self.sandbox.create(id, spec).await {
            Ok(running) => running,
            Err(error) => return self.not_begun(&error, began),
        };
        if let Err(error) = running.start().await {
            let told = self.not_begun(&error, began);
            let _ = running.delete().await;
            return told;
        }
        let outcome = started(name, self.attempt, &running, &self.instance);
        Ok((Some(running), outcome))
    }

    /// What cannot be executed counts as a run that failed; everything else as none.
    fn not_begun(
        &self,
        error: &RuntimeError,
        began: Timestamp,
    ) -> Result<(Option<Arc<dyn Running>>, Outcome), Refused> {
        use hypermesh_shim::protocol::RefusalKind;
        let message = chain(error);
        let cannot_run = matches!(
            error,
            RuntimeError::Refused { source, .. } if source.kind == RefusalKind::CannotExecute
        );
        if !cannot_run {
            return Err((Refusal::CreateContainerError, message));
        }
        let exit = Exit {
            id: String::new(),
            code: 128,
            signal: None,
            reason: ExitReason::CannotRun,
            message: Some(message),
            started: began,
            finished: Timestamp::now(),
        };
        let container = self.container.name.to_string();
        Ok((None, Outcome::Exited { container, attempt: self.attempt, exit }))
    }

    /// Removes what is left of the runs before, and of this one if an agent died while it began it.
    async fn clear(&self) -> Result<(), String> {
        let name = self.container.name.as_str();
        for attempt in [self.attempt.checked_sub(1), Some(self.attempt)].into_iter().flatten() {
            let Some(id) = run_id(name, attempt) else { continue };
            if let Some(old) = self.sandbox.container(&id) {
                old.delete().await.map_err(|error| chain(&error))?;
            }
            let snapshot = format!("{}-{name}-{attempt}", self.instance.uid);
            if attempt < self.attempt {
                self.host.images.remove_root(&snapshot).await.map_err(|error| chain(&error))?;
            }
        }
        Ok(())
    }

    fn base(&self) -> Vec<(String, String)> {
        let mut base = vec![("HOSTNAME".to_owned(), self.instance.name.clone())];
        if let Some(server) = self.attached.api_server {
            base.push(("KUBERNETES_SERVICE_HOST".to_owned(), server.ip().to_string()));
            base.push(("KUBERNETES_SERVICE_PORT".to_owned(), server.port().to_string()));
            base.push(("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), server.port().to_string()));
        }
        base
    }
}

/// Of a container's logs, those of its last two runs are kept.
fn forget_old_logs(folder: &Path, attempt: u32) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.split('.').next()).and_then(|of| of.parse::<u32>().ok());
        if of.is_some_and(|of| of.saturating_add(1) < attempt) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
