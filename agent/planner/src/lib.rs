//! What a node does next for each of its instances.
//!
//! Pure: the instance as it is wanted, what was observed of it, and the time go in; a plan and a status come out, and
//! nothing is done. Whoever executes a plan tells what came of it, and asks again.

mod identity;

pub use identity::{InstanceUid, InvalidUid};
