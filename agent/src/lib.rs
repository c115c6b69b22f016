//! A node's agent: takes on the instances that are bound to its node, keeps them running, and tells of them.
//!
//! What is to be done is decided by `hypermesh-planner`; here it is carried out, through one façade for each thing of
//! the host that is touched.

pub mod connectivity;
