//! Replicas under a simulated clock, network and disk, from a seed.
//!
//! A [`World`] runs the same engine and the same log as a server does; clock, network, disk and state machine are its own.
//! Everything that happens follows from a [`Scenario`], and a scenario from a seed, so a run that fails is run again by its
//! number. Messages are delayed, lost, doubled and overtaken; links are cut, also in one direction; a replica may crash
//! between any two actions, and then loses what it had not flushed; some of the replicas lie ([`behaviour`]). What must
//! hold whatever happens is in [`invariant`], a file each. After a while the troubles end, and then everybody must be
//! answered.

pub mod behaviour;
mod disk;
pub mod invariant;
mod ledger;
mod random;
mod replica;
mod scenario;
mod world;

pub use disk::VirtualDisk;
pub use ledger::Ledger;
pub use random::Random;
pub use scenario::{Liar, Planted, Scenario};
pub use world::{Failure, Report, World};

/// Runs what a seed stands for.
pub fn run(seed: u64) -> Result<Report, Failure> {
    World::new(Scenario::of(seed)).run()
}
