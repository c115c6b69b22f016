//! The scheduler.

pub mod plan;
