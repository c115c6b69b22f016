//! What all reconcilers share.
//!
//! A controller is a [`Reconciler`]: a kind and five steps. [`drive`] runs it: watches of metadata ask for keys, each key
//! waits its turn, its object is read, and the steps run. Nothing of an object is kept between two reconciles but two
//! hashes, so the state that is judged is always the newest, and 50,000 watched objects cost a few megabytes.
//!
//! Pure are [`backoff`], [`pace`], [`seen`], [`conditions`], [`decision`] and the election of [`lease`]: clocks and
//! randomness are their arguments.

pub mod announce;
mod attempt;
pub mod backoff;
pub mod conditions;
pub mod context;
pub mod decision;
mod driver;
pub mod endpoint;
pub mod failure;
mod finalizer;
mod key;
mod kind;
pub mod lease;
pub mod metrics;
pub mod pace;
pub mod random;
mod reconciler;
pub mod seen;
mod stop;
mod watch;

pub use context::Context;
pub use driver::drive;
pub use failure::{Failure, Invalid};
pub use key::Key;
pub use kind::{identities, instances, nodes, resource, workloads};
pub use reconciler::{Applied, Reconciler, Related, Subject, Told, Verdict};
pub use seen::Trigger;
pub use stop::{Stop, Stopper, stop};
