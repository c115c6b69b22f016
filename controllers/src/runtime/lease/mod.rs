//! Leader election by a Lease: several processes may run, one works.
//!
//! [`election`] decides and knows no I/O; [`elector`] performs. A candidate never compares its clock with a time that
//! another wrote: it judges by how long *it* has seen the Lease unchanged, on its own monotonic clock, so clocks may be
//! any distance apart. A leader stops working at two thirds of the Lease's duration after it *sent* its last renewal
//! that succeeded; others wait the whole duration after they *saw* the last change. What lies between covers clocks
//! that run at different speeds and requests that were on their way.

mod election;
mod elector;

pub use election::{Election, Lease, Step, Timing};
pub use elector::{Campaign, Elector, Outcome};
