//! How an instance comes to its end: its containers first, in order, then what they shared, then their volumes.

use super::Next;
use crate::backoff::after;
use crate::instance::{Instance, Role};
use crate::plan::{Action, StopReason};
use crate::record::{ContainerRecord, PreStop, Record, Refusal, Run, Stage, Stopping};
use hypermesh_schemas::workload::container::Container;
use jiff::Timestamp;
use std::time::Duration;

/// Between being told to end and being killed there is at least this, even where the hook before took all the time.
const LEAST_GRACE: Duration = Duration::from_secs(2);
/// How long a container that was killed has to be gone, until it is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// Whether nothing more is to run: every container that counts has ended for good, or one that the others wait for
/// has failed for good.
pub(crate) fn over(instance: &Instance, record: &Record) -> bool {
    let ended = |role: Role, container: &Container| match record.container(container.name.as_str())?.run {
        Run::Exited(ref exit) if !instance.restarts(role, exit.code) => Some(exit.code),
        _ => None,
    };
    let mut mains = instance.containers().filter(|(role, _)| *role == Role::Main);
    let failed = |(role, container): (Role, &Container)| {
        role == Role::Init && ended(role, container).is_some_and(|code| code != 0)
    };
    instance.containers().any(failed) || mains.all(|(role, container)| ended(role, container).is_some())
}

impl Next<'_> {
    pub(super) fn wind_down(&mut self) {
        let (why, deadline) = self.reason();
        self.stop_all(&why, deadline);
        let alive = self.record.containers.values().any(|container| container.run.is_alive());
        let (sandbox, volumes) = (&self.record.sandbox.stage, &self.record.volumes);
        if alive {
            return;
        }
        if sandbox.begun {
            self.remove(sandbox, Action::RemoveSandbox);
        } else if volumes.begun {
            self.remove(volumes, Action::RemoveVolumes);
        } else {
            self.plan.finished = self.instance.ending.is_some();
        }
    }

    /// Removes what is there. That it could not be made is no reason to wait, as it is that it could not be removed.
    pub(super) fn remove(&mut self, stage: &Stage, action: Action) {
        let stays = stage.refused.as_ref().filter(|refused| refused.refusal == Refusal::FailedKillPod);
        self.step(&Stage { refused: stays.cloned(), ..stage.clone() }, action);
    }

    fn reason(&self) -> (StopReason, Timestamp) {
        let deleted = self.instance.ending.map(|ending| after(ending.since, ending.grace));
        let evicted = self.record.eviction.as_ref().map(|eviction| after(eviction.at, self.instance.grace()));
        match (deleted, evicted) {
            (Some(deleted), evicted) => (StopReason::Deleted, evicted.map_or(deleted, |at| at.min(deleted))),
            (None, Some(at)) => (StopReason::Evicted, at),
            (None, None) => (StopReason::Completed, after(self.now, self.instance.grace())),
        }
    }

    /// Sidecars stay until all others have ended, and then end one by one, the last one first.
    fn stop_all(&mut self, why: &StopReason, deadline: Timestamp) {
        let record = self.record;
        let alive = |role: Role, container: &Container| {
            let found = record.container(container.name.as_str());
            found.filter(|found| found.run.is_alive()).map(|found| (role == Role::Sidecar, found))
        };
        let containers: Vec<_> = self
            .instance
            .containers()
            .filter_map(|(role, container)| {
                alive(role, container).map(|(side, found)| (side, container, found))
            })
            .collect();
        let mut others = containers.iter().filter(|(sidecar, ..)| !sidecar).peekable();
        let in_turn: Vec<_> = if others.peek().is_some() {
            others.collect()
        } else {
            containers.iter().next_back().into_iter().collect()
        };
        for (_, container, record) in &in_turn {
            self.stop(container, record, why, deadline);
        }
        if deadline > self.now {
            return;
        }
        // The time is up for all of them.
        for (_, container, record) in &containers {
            if !in_turn.iter().any(|(_, other, _)| other.name == container.name) {
                self.stop(container, record, why, deadline);
            }
        }
    }

    /// The next step of a container's end: its hook, being told, being killed.
    pub(super) fn stop(
        &mut self,
        container: &Container,
        record: &ContainerRecord,
        why: &StopReason,
        deadline: Timestamp,
    ) {
        if !matches!(record.run, Run::Running { .. }) {
            return;
        }
        let (name, attempt, why) = (container.name.to_string(), record.attempt, why.clone());
        let Some(stopping) = &record.stopping else {
            let hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
            let action = if deadline <= self.now {
                Action::Kill { container: name, attempt, why }
            } else if hook {
                Action::PreStop { container: name, attempt, why, deadline }
            } else {
                Action::Terminate { container: name, attempt, why, deadline }
            };
            self.plan.actions.push(action);
            return;
        };
        self.stop_on(stopping, name, attempt, why, deadline);
    }

    fn stop_on(
        &mut self,
        stopping: &Stopping,
        container: String,
        attempt: u32,
        why: StopReason,
        asked: Timestamp,
    ) {
        let deadline = if stopping.extended { stopping.deadline } else { stopping.deadline.min(asked) };
        let hook_runs = stopping.pre_stop == PreStop::Busy;
        if let Some(killed) = stopping.killed {
            let again = after(killed, KILL_AGAIN);
            if again > self.now {
                self.plan.wake(again);
            } else {
                self.plan.actions.push(Action::Kill { container, attempt, why });
            }
        } else if deadline <= self.now && hook_runs && !stopping.told {
            // The hook has taken all the time.
            let deadline = after(self.now, LEAST_GRACE);
            self.plan.actions.push(Action::Terminate { container, attempt, why, deadline });
        } else if deadline <= self.now {
            self.plan.actions.push(Action::Kill { container, attempt, why });
        } else {
            self.plan.wake(deadline);
            if !hook_runs && !stopping.told {
                self.plan.actions.push(Action::Terminate { container, attempt, why, deadline });
            }
        }
    }
}
