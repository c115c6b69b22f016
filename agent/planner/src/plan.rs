//! What is to be done next: values that can be printed and compared.

use crate::probe::ProbeKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is to be done next for an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be begun now. The actions do not wait for each other.
    pub actions: Vec<Action>,
    /// When to ask again even if nothing happens.
    pub wake_at: Option<Timestamp>,
    /// Nothing of the instance is left on the node: it may be forgotten.
    pub finished: bool,
}

impl Plan {
    /// What of it may be done while nobody has said that the instance is still wanted: nothing is begun. What ends or is
    /// cleared away needs no word.
    #[must_use]
    pub fn cautious(mut self) -> Self {
        self.actions.retain(|action| !action.begins());
        self
    }

    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the folders and files of its volumes.
    PrepareVolumes,
    /// Make what its containers share: a network namespace, a cgroup, a shim.
    MakeSandbox,
    /// Have the image of a container here, by its pull policy.
    FetchImage {
        /// The container.
        container: String,
        /// For which of its runs.
        attempt: u32,
    },
    /// Start a container.
    Start {
        /// The container.
        container: String,
        /// Which of its runs: 0 is the first.
        attempt: u32,
    },
    /// Do what is to be done right after a container has started.
    PostStart {
        /// The container.
        container: String,
        /// Which of its runs.
        attempt: u32,
    },
    /// Ask a container how it does.
    Probe {
        /// The container.
        container: String,
        /// Which of its runs.
        attempt: u32,
        /// What is asked.
        kind: ProbeKind,
    },
    /// Do what is to be done before a container is stopped.
    PreStop {
        /// The container.
        container: String,
        /// Which of its runs.
        attempt: u32,
        /// Why it is stopped.
        why: StopReason,
        /// When it is killed.
        deadline: Timestamp,
    },
    /// Tell a container to end.
    Terminate {
        /// The container.
        container: String,
        /// Which of its runs.
        attempt: u32,
        /// Why.
        why: StopReason,
        /// When it is killed.
        deadline: Timestamp,
    },
    /// End a container at once.
    Kill {
        /// The container.
        container: String,
        /// Which of its runs.
        attempt: u32,
        /// Why.
        why: StopReason,
    },
    /// Remove what its containers shared, and what is left of them; their logs stay.
    RemoveSandbox,
    /// Remove its volumes.
    RemoveVolumes,
}

impl Action {
    /// Whether there is something afterwards that there was not before.
    fn begins(&self) -> bool {
        match self {
            Self::PrepareVolumes | Self::MakeSandbox | Self::FetchImage { .. } | Self::Start { .. } => true,
            Self::PostStart { .. }
            | Self::Probe { .. }
            | Self::PreStop { .. }
            | Self::Terminate { .. }
            | Self::Kill { .. }
            | Self::RemoveSandbox
            | Self::RemoveVolumes => false,
        }
    }
}

/// Why a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// The instance is to go.
    Deleted,
    /// The node needs what the instance has.
    Evicted,
    /// The other containers have ended, and it is a sidecar.
    Completed,
    /// It fails this probe.
    Unhealthy(ProbeKind),
    /// What was to be done after its start failed.
    PostStartFailed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_things_end_and_none_begins() {
        let container = || "a".to_owned();
        let kill = Action::Kill { container: container(), attempt: 0, why: StopReason::Deleted };
        let actions = vec![
            Action::PrepareVolumes,
            Action::MakeSandbox,
            Action::FetchImage { container: container(), attempt: 0 },
            Action::Start { container: container(), attempt: 0 },
            kill.clone(),
            Action::RemoveSandbox,
        ];
        let plan = Plan { actions, ..Plan::default() }.cautious();
        assert_eq!(plan.actions, [kill, Action::RemoveSandbox]);
    }
}
