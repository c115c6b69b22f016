//! A node's agent: takes on the instances that are bound to its node, keeps them running, and tells of them.
//!
//! What is to be done is decided by `hypermesh-planner`; here it is carried out, through one façade for each thing of
//! the host that is touched.

mod agent;
pub mod api;
pub mod asking;
pub mod connectivity;
pub mod containers;
pub mod events;
pub mod facts;
pub mod failure;
pub mod host;
pub mod images;
pub mod join;
pub mod keeping;
mod leftovers;
pub mod liveness;
pub mod metrics;
pub mod node;
pub mod objects;
pub mod pressure;
pub mod private;
pub mod publish;
mod rest;
pub mod server;
pub mod settings;
pub mod supervision;
pub mod volumes;
pub mod worker;
pub mod workers;

pub use agent::{Agent, AgentError};
pub use rest::let_go;
pub use settings::Settings;
