//! Replicas under a simulated clock, network and disk, from a seed.
//!
//! A [`World`] runs the same engine and the same log as a server does; clock, network, disk and state machine are its own.
//! Everything that happens follows from a [`Scenario`], and a scenario from a seed, so a run that fails is run again by its
//! number. Messages are delayed, lost, doubled and overtaken; links are cut and replicas parted, also in one direction;
//! disks are slow, stall, fail to flush and have no room; clocks are off and are set anew; a replica may crash between any
//! two actions and in the middle of a flush, and then loses what it had not flushed; some of the replicas lie
//! ([`behaviour`]). What must hold whatever happens is in [`invariant`], a file each. After a while the troubles end, and
//! then everybody must be answered.
//!
//! A run that fails is told in lines a person can read ([`World::traced`]) and tried without each of its troubles
//! ([`shrink`]). What happened is counted ([`Coverage`]), so that nobody takes silence for proof.

pub mod behaviour;
mod coverage;
mod disk;
pub mod invariant;
mod ledger;
pub mod linearize;
mod random;
mod replica;
mod scenario;
mod shrink;
mod world;

pub use coverage::Coverage;
pub use disk::VirtualDisk;
pub use ledger::Ledger;
pub use random::Random;
pub use scenario::{CrashAt, Disks, Liar, Planted, Scenario};
pub use shrink::{Shrunk, shrink};
pub use world::{Failure, Report, World};

/// Runs what a seed stands for.
pub fn run(seed: u64) -> Result<Report, Failure> {
    World::new(Scenario::of(seed)).run()
}
