//! An action is under way.

use super::{ContainerRecord, PreStop, Record, Run, Stopping};
use crate::instance::Instance;
use crate::notice::Notice;
use crate::plan::{Action, StopReason};
use crate::probe::ProbeKind;
use jiff::Timestamp;

impl Record {
    /// Notes that an action is under way, before it is. An action of a plan begins once: the next plan does not have it.
    pub fn begin(&mut self, instance: &Instance, action: &Action, now: Timestamp) -> Vec<Notice> {
        self.taken_on.get_or_insert(now);
        match action {
            Action::PrepareVolumes => (self.volumes.begun, self.volumes.busy) = (true, true),
            Action::MakeSandbox => (self.sandbox.stage.begun, self.sandbox.stage.busy) = (true, true),
            Action::RemoveSandbox => self.sandbox.stage.busy = true,
            Action::RemoveVolumes => self.volumes.busy = true,
            Action::FetchImage { container, attempt } => {
                let image = &mut self.container_mut(container).image;
                (image.busy, image.for_attempt) = (true, *attempt);
            }
            Action::Start { container, attempt } => self.begin_start(container, *attempt),
            Action::PostStart { container, .. } => self.container_mut(container).post_start_busy = true,
            Action::Probe { container, kind, .. } => {
                self.container_mut(container).answers.entry(*kind).or_default().asking = true;
            }
            Action::PreStop { container, why, deadline, .. } => {
                return self.begin_stop(instance, container, why, *deadline, PreStop::Busy);
            }
            Action::Terminate { container, why, deadline, .. } => {
                let notices = self.begin_stop(instance, container, why, *deadline, PreStop::Done);
                if let Some(stopping) = &mut self.container_mut(container).stopping {
                    stopping.extended |= *deadline > stopping.deadline;
                    stopping.deadline = *deadline;
                    (stopping.told, stopping.pre_stop) = (true, PreStop::Done);
                }
                return notices;
            }
            Action::Kill { container, why, .. } => {
                let notices = self.begin_stop(instance, container, why, now, PreStop::Done);
                if let Some(stopping) = &mut self.container_mut(container).stopping {
                    stopping.killed = Some(now);
                }
                return notices;
            }
        }
        Vec::new()
    }

    pub(super) fn container_mut(&mut self, name: &str) -> &mut ContainerRecord {
        self.containers.entry(name.to_owned()).or_default()
    }

    fn begin_start(&mut self, name: &str, attempt: u32) {
        let generation = self.sandbox.generation;
        let container = self.container_mut(name);
        if let Run::Exited(exit) = std::mem::replace(&mut container.run, Run::Starting) {
            container.last = Some(exit);
        }
        (container.attempt, container.sandbox) = (attempt, generation);
        (container.stopping, container.refused, container.unlogged) = (None, None, None);
        (container.post_start, container.post_start_busy) = (None, false);
        container.answers.clear();
    }

    fn begin_stop(
        &mut self,
        instance: &Instance,
        name: &str,
        why: &StopReason,
        deadline: Timestamp,
        pre_stop: PreStop,
    ) -> Vec<Notice> {
        let container = self.container_mut(name);
        if container.stopping.is_some() {
            return Vec::new();
        }
        let why = why.clone();
        let restarts = !matches!(why, StopReason::Deleted | StopReason::Evicted | StopReason::Completed);
        let message = match &why {
            StopReason::Unhealthy(kind @ (ProbeKind::Liveness | ProbeKind::Startup)) => {
                format!("Container {name} failed {} probe", kind.as_str().to_lowercase())
            }
            StopReason::PostStartFailed => format!("FailedPostStartHook: stopping container {name}"),
            _ => format!("Stopping container {name}"),
        };
        let again = restarts
            && instance.pod().restart_policy != hypermesh_schemas::workload::pod::RestartPolicy::Never;
        let message = if again { format!("{message}, will be restarted") } else { message };
        container.stopping =
            Some(Stopping { why, deadline, pre_stop, told: false, extended: false, killed: None });
        vec![Notice::normal(Some(name), "Killing", message)]
    }
}
