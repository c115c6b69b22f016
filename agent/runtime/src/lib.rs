//! Containers on a node: made, watched, entered, measured and cleared away, whatever their class.
//!
//! A [`RuntimeClass`] makes [`Sandbox`]es, one an Instance, and a sandbox makes [`Container`]s. The class at hand, [`oci`],
//! runs them as Linux containers by libcontainer, in one shim process an Instance that outlives the agent; others may
//! follow behind the same traits. What is to run is a value ([`ContainerSpec`]) that becomes an OCI specification by pure
//! code ([`spec`]); which processes run is the kernel's and the shim's knowledge, and is asked for, never remembered.
//!
//! It must not know the API, an image's name or a Workload: its caller has looked up images, users and volumes.

mod cgroup;
mod class;
mod error;
pub mod oci;
mod report;
pub mod spec;
mod stats;

pub use class::{
    Adopted, AttachOptions, Attached, Container, ContainerEvent, ExecProcess, ExecSpec, Input, Lost, Output,
    RuntimeClass, Sandbox, SandboxSpec, StopOptions, Swept, UserNamespace, Work,
};
pub use error::RuntimeError;
pub use hypermesh_shim::protocol::{
    ContainerId, ExecId, ExecUser, IdError, IdMap, IdMaps, InstanceId, Log, Network, Root, TerminalSize,
};
pub use hypermesh_shim::state::{ContainerState, Exit, Phase, ProcessId};
pub use report::{Ability, CgroupVersion, Reason, Report};
pub use spec::ContainerSpec;
pub use stats::Stats;
