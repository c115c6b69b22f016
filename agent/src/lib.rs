//! A node's agent: takes on the instances that are bound to its node, keeps them running, and tells of them.
//!
//! What is to be done is decided by `hypermesh-planner`; here it is carried out, through one façade for each thing of
//! the host that is touched.

pub mod api;
pub mod connectivity;
pub mod events;
pub mod failure;
pub mod images;
pub mod objects;
pub mod settings;
