//! What is to be done next.

mod wind_down;

use crate::backoff::{after, wait_to_restart};
use crate::instance::{Instance, Role};
use crate::plan::{Action, Plan, StopReason};
use crate::probe::ProbeKind;
use crate::record::{ContainerRecord, Record, Run, Stage};
use hypermesh_schemas::workload::container::{Container, ImagePullPolicy};
use jiff::Timestamp;

pub(crate) use wind_down::over;

/// What is to be done next for an instance.
#[must_use]
pub fn plan(instance: &Instance, record: &Record, now: Timestamp) -> Plan {
    let mut next = Next { instance, record, now, plan: Plan::default() };
    let unwanted = record.eviction.is_some() || record.rejection.is_some();
    if instance.ending.is_some() || unwanted || over(instance, record) {
        next.wind_down();
    } else {
        next.go_on();
    }
    next.plan
}

/// Whether a volume holds the instance's address.
fn reads_address(instance: &Instance) -> bool {
    let sources = instance.pod().volumes.iter().filter_map(|volume| volume.projected.as_ref());
    let files =
        sources.flat_map(|projected| &projected.sources).filter_map(|source| source.downward_api.as_ref());
    files.flat_map(|files| &files.items).any(|file| file.field_ref.field_path.as_str() == "status.podIP")
}

struct Next<'a> {
    instance: &'a Instance,
    record: &'a Record,
    now: Timestamp,
    plan: Plan,
}

/// Whether a container that runs has started: what is done after its start is done, and its startup probe, if it has
/// one, has succeeded.
pub(crate) fn has_started(container: &Container, record: &ContainerRecord) -> bool {
    let hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
    matches!(record.run, Run::Running { .. })
        && (!hook || record.post_start == Some(Ok(())))
        && (container.startup_probe.is_none() || record.verdict(ProbeKind::Startup) == Some(true))
}

/// When an image is pulled, where the container does not say it.
#[must_use]
pub fn pull_policy(container: &Container) -> ImagePullPolicy {
    container.image_pull_policy.unwrap_or_else(|| {
        if container.image.contains('@') {
            return ImagePullPolicy::IfNotPresent;
        }
        let last = container.image.rsplit('/').next().unwrap_or_default();
        match last.split_once(':') {
            None | Some((_, "latest")) => ImagePullPolicy::Always,
            Some(_) => ImagePullPolicy::IfNotPresent,
        }
    })
}

impl Next<'_> {
    fn go_on(&mut self) {
        if self.record.sandbox.lost {
            self.remove(&self.record.sandbox.stage, Action::RemoveSandbox);
        } else if !self.record.sandbox.stage.ready {
            self.step(&self.record.sandbox.stage, Action::MakeSandbox);
        }
        // What tells an instance its own address has to know it.
        let in_time = self.record.sandbox.stage.ready || !reads_address(self.instance);
        if !self.record.volumes.ready && in_time {
            self.step(&self.record.volumes, Action::PrepareVolumes);
        }
        let mut in_turn = true;
        for (role, container) in self.instance.containers() {
            let fresh = ContainerRecord::default();
            let record = self.record.container(container.name.as_str()).unwrap_or(&fresh);
            if in_turn && self.wants_a_run(role, record) {
                self.run(container, record);
            } else if !in_turn && record.run == Run::None {
                // Images of those that come later are fetched meanwhile.
                self.fetch(container, record);
            }
            self.attend(container, record);
            in_turn &= role == Role::Main || record.passed;
        }
    }

    /// Tries something that may have been refused before.
    fn step(&mut self, stage: &Stage, action: Action) {
        if stage.busy {
            return;
        }
        match stage.retry_at() {
            Some(at) if at > self.now => self.plan.wake(at),
            _ => self.plan.actions.push(action),
        }
    }

    /// Whether there is to be another run.
    fn wants_a_run(&self, role: Role, record: &ContainerRecord) -> bool {
        match &record.run {
            Run::None => true,
            Run::Starting | Run::Running { .. } => false,
            Run::Exited(_) if record.passed && role == Role::Init => false,
            // What ended well in a sandbox that is gone prepares the next one too.
            Run::Exited(_) if role == Role::Init && record.sandbox != self.record.sandbox.generation => true,
            Run::Exited(exit) => self.instance.restarts(role, exit.code),
        }
    }

    /// Begins the next run, when its time has come and everything is there.
    fn run(&mut self, container: &Container, record: &ContainerRecord) {
        let again = match &record.run {
            Run::Exited(exit) => after(exit.finished, wait_to_restart(record.exits)),
            _ => self.now,
        };
        let refused = record.refused.as_ref().map_or(self.now, super::record::Refused::retry_at);
        let at = again.max(refused);
        if at > self.now {
            self.plan.wake(at);
            return;
        }
        let whole = self.record.sandbox.stage.ready && self.record.volumes.ready;
        if self.fetch(container, record) && whole {
            let (container, attempt) = (container.name.to_string(), record.next_attempt());
            self.plan.actions.push(Action::Start { container, attempt });
        }
    }

    /// Fetches the image of the next run; true when it is here.
    fn fetch(&mut self, container: &Container, record: &ContainerRecord) -> bool {
        let (image, attempt) = (&record.image, record.next_attempt());
        let always = pull_policy(container) == ImagePullPolicy::Always;
        if image.id.is_some() && (!always || image.for_attempt == attempt) {
            return true;
        }
        if image.busy {
            return false;
        }
        match image.refused.as_ref().map(super::record::Refused::retry_at) {
            Some(at) if at == Timestamp::MAX => {}
            Some(at) if at > self.now => self.plan.wake(at),
            _ => {
                let container = container.name.to_string();
                self.plan.actions.push(Action::FetchImage { container, attempt });
            }
        }
        false
    }

    /// What a run needs while it runs: its hook, its probes, its end when they fail.
    fn attend(&mut self, container: &Container, record: &ContainerRecord) {
        let Run::Running { since, .. } = record.run else { return };
        if let Some(stopping) = &record.stopping {
            let (why, deadline) = (stopping.why.clone(), stopping.deadline);
            self.stop(container, record, &why, deadline);
            return;
        }
        let deadline = after(self.now, self.instance.grace());
        let hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
        match (&record.post_start, hook) {
            (None, true) if record.post_start_busy => return,
            (None, true) => {
                let (container, attempt) = (container.name.to_string(), record.attempt);
                self.plan.actions.push(Action::PostStart { container, attempt });
                return;
            }
            (Some(Err(_)), _) => {
                self.stop(container, record, &StopReason::PostStartFailed, deadline);
                return;
            }
            _ => {}
        }
        for kind in [ProbeKind::Startup, ProbeKind::Liveness] {
            if record.verdict(kind) == Some(false) {
                self.stop(container, record, &StopReason::Unhealthy(kind), deadline);
                return;
            }
        }
        self.probe(container, record, since);
    }

    fn probe(&mut self, container: &Container, record: &ContainerRecord, since: Timestamp) {
        let starting = container.startup_probe.is_some() && record.verdict(ProbeKind::Startup) != Some(true);
        for kind in ProbeKind::ALL {
            let Some(probe) = kind.of(container) else { continue };
            if (kind == ProbeKind::Startup) != starting {
                continue;
            }
            let none = crate::probe::Answers::default();
            match record.answers.get(&kind).unwrap_or(&none).due(probe, since) {
                Some(at) if at > self.now => self.plan.wake(at),
                Some(_) => {
                    let (container, attempt) = (container.name.to_string(), record.attempt);
                    self.plan.actions.push(Action::Probe { container, attempt, kind });
                }
                None => {}
            }
        }
    }
}
