//! What came of an action, or happened by itself.

use super::{ContainerRecord, Exit, ExitReason, PreStop, Record, Refusal, Refused, Run};
use crate::backoff::{RECOVERED, after, between, wait_to_restart};
use crate::instance::{Instance, Role};
use crate::notice::Notice;
use crate::probe::ProbeKind;
use jiff::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// Between being told to end and being killed there is at least this, even where the hook before took all the time.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// What came of an action, or happened by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The volumes are whole.
    VolumesReady,
    /// They could not be made.
    VolumesRefused(String),
    /// They could not be removed.
    VolumesStay(String),
    /// They are gone.
    VolumesRemoved,
    /// The sandbox is whole.
    SandboxReady(Vec<IpAddr>),
    /// It could not be made.
    SandboxRefused(String),
    /// It is gone though nobody removed it, and its containers with it.
    SandboxGone(String),
    /// It was removed, and its containers with it.
    SandboxRemoved,
    /// It could not be removed.
    SandboxStays(String),
    /// A container's image is here.
    ImageReady {
        /// The container.
        container: String,
        /// For which run.
        attempt: u32,
        /// Its digest.
        id: String,
        /// What people are told of a pull; none: it was here already.
        pulled: Option<String>,
    },
    /// A container's image is not here.
    ImageRefused {
        /// The container.
        container: String,
        /// For which run.
        attempt: u32,
        /// What kind of refusal.
        refusal: Refusal,
        /// Why, in words.
        message: String,
    },
    /// A container runs.
    Started {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
        /// What the runtime calls it.
        id: String,
        /// Since when.
        at: Timestamp,
    },
    /// A run could not begin.
    StartRefused {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
        /// What kind of refusal.
        refusal: Refusal,
        /// Why, in words.
        message: String,
    },
    /// A run has ended.
    Exited {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
        /// How.
        exit: Exit,
    },
    /// What is to be done after the start is done.
    PostStartDone {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
        /// Or why not.
        result: Result<(), String>,
    },
    /// What is to be done before the stop is done.
    PreStopDone {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
        /// Or why not.
        result: Result<(), String>,
    },
    /// A probe was answered.
    Probed(ProbeOutcome),
    /// What a run writes is lost, and why; none: it is kept again.
    Logged {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
        /// Why it is lost.
        lost: Option<String>,
    },
}

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// The container.
    pub container: String,
    /// Which run.
    pub attempt: u32,
    /// What was asked.
    pub kind: ProbeKind,
    /// Whether it was a success.
    pub good: bool,
    /// What was answered, in words.
    pub message: String,
}

impl Record {
    /// Takes in what came of an action, or happened by itself. What is about a run that is over changes nothing.
    pub fn learn(&mut self, instance: &Instance, outcome: Outcome, now: Timestamp) -> Vec<Notice> {
        let notices = self.take_in(instance, outcome, now);
        // A sidecar that has started once lets what comes after it begin, whatever becomes of it later.
        for (role, container) in instance.containers() {
            if role == Role::Sidecar
                && let Some(record) = self.containers.get_mut(container.name.as_str())
                && crate::next::has_started(container, record)
            {
                record.passed = true;
            }
        }
        notices
    }

    fn take_in(&mut self, instance: &Instance, outcome: Outcome, now: Timestamp) -> Vec<Notice> {
        match outcome {
            Outcome::VolumesReady => {
                self.volumes = super::Stage { begun: true, ready: true, ..super::Stage::default() };
            }
            Outcome::VolumesRefused(message) => {
                return refuse(&mut self.volumes, Refusal::FailedMount, message, now);
            }
            Outcome::VolumesStay(message) => {
                return refuse(&mut self.volumes, Refusal::FailedKillPod, message, now);
            }
            Outcome::VolumesRemoved => self.volumes = super::Stage::default(),
            Outcome::SandboxReady(addresses) => {
                self.sandbox.stage = super::Stage { begun: true, ready: true, ..super::Stage::default() };
                self.sandbox.addresses = addresses;
            }
            Outcome::SandboxRefused(message) => {
                let message = format!("Failed to create pod sandbox: {message}");
                return refuse(&mut self.sandbox.stage, Refusal::FailedCreatePodSandBox, message, now);
            }
            Outcome::SandboxStays(message) => {
                return refuse(&mut self.sandbox.stage, Refusal::FailedKillPod, message, now);
            }
            Outcome::SandboxGone(message) => return self.sandbox_gone(instance, &message, now),
            Outcome::SandboxRemoved => self.sandbox_removed(now),
            Outcome::ImageReady { container, attempt, id, pulled } => {
                return self.image_ready(instance, &container, attempt, id, pulled);
            }
            Outcome::ImageRefused { container, attempt, refusal, message } => {
                return self.image_refused(instance, &container, attempt, refusal, message, now);
            }
            Outcome::Started { container, attempt, id, at } => {
                return self.started(&container, attempt, id, at);
            }
            Outcome::StartRefused { container, attempt, refusal, message } => {
                return self.start_refused(&container, attempt, refusal, message, now);
            }
            Outcome::Exited { container, attempt, exit } => {
                return self.exited(instance, &container, attempt, exit);
            }
            Outcome::PostStartDone { container, attempt, result } => {
                return self.post_start_done(&container, attempt, result);
            }
            Outcome::PreStopDone { container, attempt, result } => {
                return self.pre_stop_done(&container, attempt, result, now);
            }
            Outcome::Probed(answer) => return self.probed(instance, &answer, now),
            Outcome::Logged { container, attempt, lost } => return self.logged(&container, attempt, lost),
        }
        Vec::new()
    }

    /// What a run writes is lost, or kept again: also what it wrote last, which may be told after its end.
    fn logged(&mut self, name: &str, attempt: u32, lost: Option<String>) -> Vec<Notice> {
        let Some(container) = self.containers.get_mut(name).filter(|known| known.attempt == attempt) else {
            return Vec::new();
        };
        let notice = match &lost {
            Some(why) => Notice::warning(
                Some(name),
                "LogFailed",
                format!("What container {name} writes is lost: its log cannot be written to ({why})"),
            ),
            None => {
                Notice::normal(Some(name), "LogKept", format!("What container {name} writes is kept again"))
            }
        };
        container.unlogged = lost;
        vec![notice]
    }

    /// The run that an outcome is about, unless it is over.
    fn alive(&mut self, name: &str, attempt: u32) -> Option<&mut ContainerRecord> {
        self.containers
            .get_mut(name)
            .filter(|container| container.attempt == attempt && container.run.is_alive())
    }

    fn sandbox_gone(&mut self, instance: &Instance, message: &str, now: Timestamp) -> Vec<Notice> {
        self.sandbox.lost = true;
        self.sandbox.stage.ready = false;
        self.sandbox.stage.busy = false;
        self.lose_runs(message, now);
        // Nobody makes it anew for who is about to go.
        if instance.ending.is_some() || self.eviction.is_some() {
            return Vec::new();
        }
        vec![Notice::warning(
            None,
            "SandboxChanged",
            format!("Pod sandbox changed, it will be killed and re-created: {message}"),
        )]
    }

    fn sandbox_removed(&mut self, now: Timestamp) {
        self.lose_runs("its sandbox was removed", now);
        let generation = self.sandbox.generation.saturating_add(1);
        self.sandbox = super::Sandbox { generation, ..super::Sandbox::default() };
        for container in self.containers.values_mut() {
            container.passed = false;
        }
    }

    /// No process is left where there is no sandbox.
    fn lose_runs(&mut self, message: &str, now: Timestamp) {
        for container in self.containers.values_mut() {
            let (id, started) = match &container.run {
                Run::Running { id, since } => (id.clone(), *since),
                // That it began was never told, so it does not count as a run.
                Run::Starting => {
                    container.run = Run::None;
                    continue;
                }
                _ => continue,
            };
            let message = Some(format!("The container could not be located any more: {message}"));
            let reason = ExitReason::Lost;
            end(container, Exit { id, code: 137, signal: None, reason, message, started, finished: now });
        }
    }

    fn image_ready(
        &mut self,
        instance: &Instance,
        name: &str,
        attempt: u32,
        id: String,
        pulled: Option<String>,
    ) -> Vec<Notice> {
        let image = &mut self.container_mut(name).image;
        *image = super::ImageFact { for_attempt: attempt, id: Some(id), ..super::ImageFact::default() };
        let called = instance.container(name).map_or("", |container| container.image.as_str());
        let message =
            pulled.unwrap_or_else(|| format!("Container image \"{called}\" already present on machine"));
        vec![Notice::normal(Some(name), "Pulled", message)]
    }

    fn image_refused(
        &mut self,
        instance: &Instance,
        name: &str,
        attempt: u32,
        refusal: Refusal,
        message: String,
        now: Timestamp,
    ) -> Vec<Notice> {
        let image = &mut self.container_mut(name).image;
        let refused = Refused::again(image.refused.as_ref(), refusal, message, now);
        let called = instance.container(name).map_or("", |container| container.image.as_str());
        let word = refusal.as_str();
        let mut notices = vec![match refusal {
            Refusal::ErrImagePull => Notice::warning(
                Some(name),
                "Failed",
                format!("Failed to pull image \"{called}\": {}", refused.message),
            ),
            Refusal::InvalidImageName => Notice::warning(
                Some(name),
                "InspectFailed",
                format!("Failed to apply default image tag \"{called}\": {}", refused.message),
            ),
            _ => Notice::warning(Some(name), word, refused.message.clone()),
        }];
        notices.push(Notice::warning(Some(name), "Failed", format!("Error: {word}")));
        if refused.times > 1 {
            notices.push(Notice::normal(
                Some(name),
                "BackOff",
                format!("Back-off pulling image \"{called}\""),
            ));
        }
        *image =
            super::ImageFact { for_attempt: attempt, refused: Some(refused), ..super::ImageFact::default() };
        notices
    }

    fn started(&mut self, name: &str, attempt: u32, id: String, at: Timestamp) -> Vec<Notice> {
        let Some(container) = self.alive(name, attempt) else { return Vec::new() };
        if matches!(container.run, Run::Running { .. }) {
            return Vec::new();
        }
        container.run = Run::Running { id, since: at };
        vec![
            Notice::normal(Some(name), "Created", format!("Created container: {name}")),
            Notice::normal(Some(name), "Started", format!("Started container {name}")),
        ]
    }

    fn start_refused(
        &mut self,
        name: &str,
        attempt: u32,
        refusal: Refusal,
        message: String,
        now: Timestamp,
    ) -> Vec<Notice> {
        let Some(container) = self.alive(name, attempt) else { return Vec::new() };
        // The run did not take place: what ran before it is again the newest.
        container.run = match container.last.take() {
            Some(exit) if attempt > 0 => {
                container.attempt = attempt - 1;
                Run::Exited(exit)
            }
            last => {
                container.last = last;
                Run::None
            }
        };
        let refused = Refused::again(container.refused.as_ref(), refusal, message, now);
        let notice = Notice::warning(Some(name), "Failed", format!("Error: {}", refused.message));
        container.refused = Some(refused);
        vec![notice]
    }

    fn exited(&mut self, instance: &Instance, name: &str, attempt: u32, exit: Exit) -> Vec<Notice> {
        let role = instance.containers().find(|(_, container)| container.name.as_str() == name);
        let Some(container) = self.alive(name, attempt) else { return Vec::new() };
        let memory = role.as_ref().and_then(|(_, container)| {
            container.resources.as_ref().and_then(|resources| resources.limits.get("memory")).cloned()
        });
        let role = role.map_or(Role::Main, |(role, _)| role);
        let (code, refused) = (exit.code, exit.reason == ExitReason::CannotRun);
        let starved = exit.reason == ExitReason::OutOfMemory;
        // By itself it has nothing to say: it was the kernel's limit that had.
        let bounded = match exit.reason {
            ExitReason::Itself => exit.message.clone().map(|words| ("PidsLimitReached", words)),
            ExitReason::WithoutSome => exit.message.clone().map(|words| ("OOMKilling", words)),
            _ => None,
        };
        container.passed |= role == Role::Init && code == 0;
        let message = exit.message.clone();
        end(container, exit);
        let mut notices = Vec::new();
        if starved {
            let limit = memory.map_or_else(String::new, |memory| format!("; its limit is {memory}"));
            let words = format!("Container {name} was killed: there was no memory left for it{limit}");
            notices.push(Notice::warning(Some(name), "OOMKilled", words));
        }
        if let Some((reason, bounded)) = bounded {
            notices.push(Notice::warning(Some(name), reason, format!("Container {name}: {bounded}")));
        }
        if refused {
            let why = message.unwrap_or_default();
            notices.push(Notice::warning(
                Some(name),
                "Failed",
                format!("Error: failed to start container \"{name}\": {why}"),
            ));
        }
        let ends = instance.ending.is_some() || self.eviction.is_some();
        let wait =
            self.containers.get(name).map_or(Duration::ZERO, |container| wait_to_restart(container.exits));
        if !ends && instance.restarts(role, code) && !wait.is_zero() {
            let message = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                instance.name, instance.namespace, instance.uid
            );
            notices.push(Notice::warning(Some(name), "BackOff", message));
        }
        notices
    }

    fn post_start_done(&mut self, name: &str, attempt: u32, result: Result<(), String>) -> Vec<Notice> {
        let Some(container) = self.alive(name, attempt) else { return Vec::new() };
        container.post_start_busy = false;
        let notices = match &result {
            Ok(()) => Vec::new(),
            Err(message) => {
                vec![Notice::warning(
                    Some(name),
                    "FailedPostStartHook",
                    format!("PostStartHook failed: {message}"),
                )]
            }
        };
        container.post_start = Some(result);
        notices
    }

    fn pre_stop_done(
        &mut self,
        name: &str,
        attempt: u32,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Vec<Notice> {
        let Some(stopping) = self.alive(name, attempt).and_then(|container| container.stopping.as_mut())
        else {
            return Vec::new();
        };
        if stopping.pre_stop == PreStop::Done {
            return Vec::new();
        }
        stopping.pre_stop = PreStop::Done;
        let least = after(now, LEAST_GRACE);
        if stopping.deadline < least {
            (stopping.deadline, stopping.extended) = (least, true);
        }
        match result {
            Ok(()) => Vec::new(),
            Err(message) => {
                vec![Notice::warning(
                    Some(name),
                    "FailedPreStopHook",
                    format!("PreStopHook failed: {message}"),
                )]
            }
        }
    }

    fn probed(&mut self, instance: &Instance, answer: &ProbeOutcome, now: Timestamp) -> Vec<Notice> {
        let Some(probe) = instance.container(&answer.container).and_then(|found| answer.kind.of(found))
        else {
            return Vec::new();
        };
        let Some(container) = self.alive(&answer.container, answer.attempt) else { return Vec::new() };
        let answers = container.answers.entry(answer.kind).or_default();
        answers.take(probe, answer.good, &answer.message, now);
        if answer.good {
            return Vec::new();
        }
        let message = format!("{} probe failed: {}", answer.kind.as_str(), answer.message);
        vec![Notice::warning(Some(&answer.container), "Unhealthy", message)]
    }
}

/// A run is over.
fn end(container: &mut ContainerRecord, exit: Exit) {
    let recovered = between(exit.started, exit.finished) >= RECOVERED;
    container.exits = if recovered { 1 } else { container.exits.saturating_add(1) };
    container.run = Run::Exited(exit);
    container.stopping = None;
    container.post_start_busy = false;
    container.answers.values_mut().for_each(|answers| answers.asking = false);
}

fn refuse(stage: &mut super::Stage, refusal: Refusal, message: String, now: Timestamp) -> Vec<Notice> {
    stage.busy = false;
    let refused = Refused::again(stage.refused.as_ref(), refusal, message, now);
    let notice = Notice::warning(None, refusal.as_str(), refused.message.clone());
    stage.refused = Some(refused);
    vec![notice]
}
