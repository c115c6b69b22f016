//! An instance as it is wanted.

use crate::identity::InstanceUid;
use hypermesh_schemas::instance::InstanceSpec;
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::pod::{PodSpec, RestartPolicy};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// An instance as the API server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its uid.
    pub uid: InstanceUid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its generation.
    pub generation: i64,
    /// What it runs.
    pub spec: InstanceSpec,
    /// Set once it is to go.
    pub ending: Option<Ending>,
}

/// That an instance is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Since when.
    pub since: Timestamp,
    /// How long its containers have to end by themselves.
    pub grace: Duration,
}

/// Which list of its instance a container is in, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next.
    Init,
    /// Starts in its turn, and stays.
    Sidecar,
    /// Runs beside the others.
    Main,
}

impl Role {
    pub(crate) fn of_init(container: &Container) -> Self {
        if container.restart_policy.is_some() { Self::Sidecar } else { Self::Init }
    }
}

impl Instance {
    /// What it runs.
    #[must_use]
    pub fn pod(&self) -> &PodSpec {
        &self.spec.pod
    }

    /// Its containers with their roles, in the order in which they start.
    pub(crate) fn containers(&self) -> impl DoubleEndedIterator<Item = (Role, &Container)> {
        let init = self.pod().init_containers.iter().map(|container| (Role::of_init(container), container));
        init.chain(self.pod().containers.iter().map(|container| (Role::Main, container)))
    }

    /// One of its containers.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers().map(|(_, container)| container).find(|container| container.name.as_str() == name)
    }

    /// Whether a container of this role that ended with this code is started again.
    pub(crate) fn restarts(&self, role: Role, exit_code: i32) -> bool {
        match (role, self.pod().restart_policy) {
            (Role::Sidecar, _) => true,
            (Role::Init, RestartPolicy::Never) | (_, RestartPolicy::Never) => false,
            (Role::Init, _) | (Role::Main, RestartPolicy::OnFailure) => exit_code != 0,
            (Role::Main, RestartPolicy::Always) => true,
        }
    }

    /// How long its containers have to end by themselves.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.pod().termination_grace_period_seconds).unwrap_or_default())
    }
}
