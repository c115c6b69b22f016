//! What is told of an instance: its phase, its conditions, and what each container does, in kubelet's words.
//!
//! The status is a function of the record, and of time only where a wait has passed: as long as nothing happens, it does
//! not change, and nothing has to be written.

mod conditions;

use crate::backoff::wait_to_restart;
use crate::instance::{Instance, Role};
use crate::next::{has_started, over};
use crate::probe::ProbeKind;
use crate::record::{ContainerRecord, Exit, Record, Refusal, Run};
use hypermesh_schemas::instance::{
    ContainerState, ContainerStatus, InstancePhase, InstanceStatus, Running, Terminated, Waiting,
};
use hypermesh_schemas::value::IpAddress;
use hypermesh_schemas::workload::container::Container;
use jiff::Timestamp;
use std::net::IpAddr;

/// What a status tells beside what the record knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The address of the node.
    pub host_ip: Option<IpAddr>,
    /// Why its ports are not reached as they should be; none: they are, or it has none.
    pub unpublished: Option<Unpublished<'a>>,
    /// The status that was told last: what has not changed since keeps its times.
    pub previous: Option<&'a InstanceStatus>,
}

/// Why ports of an instance or its workload are not reached on its node as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpublished<'a> {
    /// In one CamelCase word: `PortTaken`.
    pub reason: &'static str,
    /// In words.
    pub message: &'a str,
}

/// The status of an instance.
#[must_use]
pub fn status(
    instance: &Instance,
    record: &Record,
    surroundings: Surroundings<'_>,
    now: Timestamp,
) -> InstanceStatus {
    let tell = Tell { instance, record, over: over(instance, record) };
    let initialised = tell.initialised();
    let init = tell.containers(true, initialised);
    let main = tell.containers(false, initialised);
    let phase = tell.phase(initialised);
    let conditions = conditions::conditions(&tell, &init, &main, phase, surroundings, now);
    let address = |ip: &IpAddr| IpAddress::parse(&ip.to_string()).ok();
    let pod_ips: Vec<IpAddress> = record.addresses().iter().filter_map(address).collect();
    let (reason, message) = match (&record.rejection, &record.eviction) {
        (Some(rejection), _) => (Some(rejection.reason.clone()), Some(cut(&rejection.message))),
        (None, Some(eviction)) => (Some("Evicted".to_owned()), Some(cut(&eviction.message))),
        (None, None) => (None, tell.held_up()),
    };
    InstanceStatus {
        observed_generation: Some(instance.generation),
        phase: Some(phase),
        reason,
        message,
        pod_ip: pod_ips.first().cloned(),
        pod_ips,
        host_ip: surroundings.host_ip.as_ref().and_then(address),
        start_time: record.taken_on.map(time),
        restarts: Some(init.iter().chain(&main).map(|status| status.restart_count).sum()),
        init_container_statuses: init,
        container_statuses: main,
        conditions,
    }
}

/// RFC 3339 in whole seconds, as Kubernetes writes times.
pub(crate) fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// At most as long as the schema has it.
fn cut(message: &str) -> String {
    const LONGEST: usize = 4096;
    if message.chars().count() <= LONGEST {
        return message.to_owned();
    }
    message.chars().take(LONGEST - 1).chain(['…']).collect()
}

pub(super) struct Tell<'a> {
    pub instance: &'a Instance,
    pub record: &'a Record,
    pub over: bool,
}

impl Tell<'_> {
    fn initialised(&self) -> bool {
        let done = |(role, container): (Role, &Container)| {
            let record = self.record.container(container.name.as_str());
            role == Role::Main || record.is_some_and(|record| record.passed || self.is_done(role, record))
        };
        self.instance.containers().all(done)
    }

    /// After the sandbox is gone, too, what has ended well has ended well.
    fn is_done(&self, role: Role, record: &ContainerRecord) -> bool {
        let ended_well = matches!(&record.run, Run::Exited(exit) if exit.code == 0);
        let winds_down = self.over || self.record.eviction.is_some() || self.instance.ending.is_some();
        winds_down && (ended_well || role == Role::Sidecar && record.run != Run::None)
    }

    /// kubelet's `getPhase`, but that an instance has not ended before its sidecars have.
    fn phase(&self, initialised: bool) -> InstancePhase {
        if self.record.eviction.is_some() || self.record.rejection.is_some() {
            return InstancePhase::Failed;
        }
        let records = || self.record.containers.values();
        if self.over && !records().any(|record| record.run.is_alive()) {
            let failed =
                |record: &ContainerRecord| matches!(&record.run, Run::Exited(exit) if exit.code != 0);
            let counts = |role: Role| role != Role::Sidecar;
            let mut counted = self.instance.containers().filter(|(role, _)| counts(*role));
            let any = counted
                .any(|(_, container)| self.record.container(container.name.as_str()).is_some_and(failed));
            return if any { InstancePhase::Failed } else { InstancePhase::Succeeded };
        }
        let main = self.instance.containers().filter(|(role, _)| *role == Role::Main);
        let mut waiting = main.map(|(_, container)| {
            let Some(record) = self.record.container(container.name.as_str()) else { return true };
            matches!(record.run, Run::None | Run::Starting) && record.last.is_none()
        });
        if !initialised || waiting.any(|waiting| waiting) {
            InstancePhase::Pending
        } else {
            InstancePhase::Running
        }
    }

    /// What keeps the whole instance from going on.
    fn held_up(&self) -> Option<String> {
        let stages = [&self.record.sandbox.stage, &self.record.volumes];
        let refused =
            stages.into_iter().filter(|stage| !stage.ready).find_map(|stage| stage.refused.as_ref());
        refused.map(|refused| cut(&refused.message))
    }

    /// Of what was not taken on no container waits, nor ever will.
    fn containers(&self, init: bool, initialised: bool) -> Vec<ContainerStatus> {
        if self.record.rejection.is_some() {
            return Vec::new();
        }
        let of_list = |(role, _): &(Role, &Container)| (*role != Role::Main) == init;
        self.instance
            .containers()
            .filter(of_list)
            .map(|(role, c)| self.container(role, c, initialised))
            .collect()
    }

    fn container(&self, role: Role, container: &Container, initialised: bool) -> ContainerStatus {
        let fresh = ContainerRecord::default();
        let record = self.record.container(container.name.as_str()).unwrap_or(&fresh);
        let started = has_started(container, record);
        let ready = match role {
            Role::Init => record.passed,
            _ if container.readiness_probe.is_some() => {
                started && record.verdict(ProbeKind::Readiness) == Some(true)
            }
            _ => started,
        };
        let (state, last_state) = self.states(role, container, record, initialised);
        let id = match &record.run {
            Run::Running { id, .. } => Some(id),
            Run::Exited(exit) => Some(&exit.id),
            _ => record.last.as_ref().map(|exit| &exit.id),
        };
        ContainerStatus {
            name: container.name.clone(),
            ready,
            restart_count: record.attempt,
            image: Some(container.image.clone()),
            started: Some(started),
            container_id: id.filter(|id| !id.is_empty()).map(|id| format!("oci://{id}")),
            image_id: record.image.id.clone(),
            state: Some(state),
            last_state,
        }
    }

    /// What a container does, and what it did before.
    fn states(
        &self,
        role: Role,
        container: &Container,
        record: &ContainerRecord,
        initialised: bool,
    ) -> (ContainerState, Option<ContainerState>) {
        let last = record.last.as_ref().map(terminated);
        let waits = |waiting: Waiting| ContainerState { waiting: Some(waiting), ..ContainerState::default() };
        match &record.run {
            Run::Running { since, .. } => {
                let running = Some(Running { started_at: time(*since) });
                (ContainerState { running, ..ContainerState::default() }, last)
            }
            Run::Exited(exit) => {
                let stays = self.over
                    || self.instance.ending.is_some()
                    || self.record.eviction.is_some()
                    || !self.instance.restarts(role, exit.code);
                match self.why_not_again(container, record) {
                    Some(waiting) if !stays => (waits(waiting), Some(terminated(exit))),
                    _ => (terminated(exit), last),
                }
            }
            Run::None | Run::Starting => {
                let waiting = self.why_not(container, record).unwrap_or_else(|| {
                    let creating = initialised || role != Role::Main;
                    waiting(if creating { "ContainerCreating" } else { "PodInitializing" }, self.held_up())
                });
                (waits(waiting), last)
            }
        }
    }

    /// What keeps the next run from beginning, as far as something was refused.
    fn why_not(&self, container: &Container, record: &ContainerRecord) -> Option<Waiting> {
        if let Some(refused) = &record.refused {
            return Some(waiting(refused.refusal.as_str(), Some(cut(&refused.message))));
        }
        let refused = record.image.refused.as_ref()?;
        if refused.refusal == Refusal::ErrImagePull && refused.times > 1 {
            let message = format!("Back-off pulling image \"{}\": {}", container.image, refused.message);
            return Some(waiting("ImagePullBackOff", Some(cut(&message))));
        }
        Some(waiting(refused.refusal.as_str(), Some(cut(&refused.message))))
    }

    fn why_not_again(&self, container: &Container, record: &ContainerRecord) -> Option<Waiting> {
        if let Some(waiting) = self.why_not(container, record) {
            return Some(waiting);
        }
        let wait = wait_to_restart(record.exits);
        if wait.is_zero() {
            return None;
        }
        let Instance { name, namespace, uid, .. } = self.instance;
        let message = format!(
            "back-off {} restarting failed container={} pod={name}_{namespace}({uid})",
            span(wait.as_secs()),
            container.name,
        );
        Some(waiting("CrashLoopBackOff", Some(message)))
    }
}

/// As Go writes durations: `40s`, `2m40s`, `5m0s`.
fn span(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

fn waiting(reason: &str, message: Option<String>) -> Waiting {
    Waiting { reason: reason.to_owned(), message }
}

fn terminated(exit: &Exit) -> ContainerState {
    let terminated = Terminated {
        exit_code: exit.code,
        signal: exit.signal.filter(|signal| (1..=64).contains(signal)),
        reason: Some(exit.word().to_owned()),
        message: exit.message.as_deref().map(cut),
        started_at: Some(time(exit.started)),
        finished_at: Some(time(exit.finished)),
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}
