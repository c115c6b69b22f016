//! What goes when nobody needs it, or when the disk is full.
//!
//! [`plan`] is pure: from what there is, how full the disk is, and the time, to a list with reasons. kubelet's rules:
//! above the high threshold, images that no container uses go, those first that were used longest ago, until the disk is
//! below the low one; images younger than a minimum stay; unused ones beyond a maximum age go however empty the disk is.
//! [`Store::collect`] carries a plan out, and sweeps what no name leads to.

mod collect;
mod plan;

pub use collect::Collected;
pub use plan::{Candidate, Disk, Inventory, Plan, Policy, Reason, Removal, plan};
