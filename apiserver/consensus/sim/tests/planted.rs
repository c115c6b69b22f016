//! The simulator finds what is wrong: faults that were planted, each within a thousand seeds.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_chain::planted::{self, Fault};
use hypermesh_sim::{Failure, Planted, Scenario, World};

/// The first seed that finds a planted fault, and what it finds.
fn finds(what: &str, run: impl Fn(Scenario) -> Result<(), Failure>, invariants: &[&str]) {
    let Some(failure) = (0..1000).find_map(|seed| run(Scenario::of(seed)).err()) else {
        panic!("{what} is not found")
    };
    println!("{failure}");
    assert!(invariants.contains(&failure.invariant), "{failure}");
}

/// A fault of what stands around engine and log.
fn around(planted: Planted, invariants: &[&str]) {
    let run = |scenario: Scenario| World::new(scenario.with(planted)).run().map(drop);
    finds(&format!("{planted:?}"), run, invariants);
}

/// A fault inside of them.
fn inside(fault: Fault, invariants: &[&str]) {
    let run = |scenario| planted::with(fault, || World::new(scenario).run()).map(drop);
    finds(&format!("{fault:?}"), run, invariants);
}

#[test]
fn a_log_that_is_not_flushed_is_found() {
    around(Planted::UnflushedLog, &["said once", "nobody stops"]);
}

#[test]
fn a_log_that_is_forgotten_is_found() {
    around(Planted::ForgottenLog, &["said once"]);
}

#[test]
fn a_lock_that_is_forgotten_is_found() {
    around(Planted::ForgottenLock, &["nobody stops", "agreement", "quorums"]);
}

#[test]
fn a_root_that_is_ignored_is_found() {
    around(Planted::IgnoredRoots, &["roots"]);
}

#[test]
fn an_authority_that_is_ignored_is_found() {
    around(Planted::IgnoredAuthority, &["validity"]);
}

#[test]
fn a_time_that_is_unchecked_is_found() {
    around(Planted::UncheckedTime, &["dated"]);
}

#[test]
fn a_read_without_a_barrier_is_found() {
    around(Planted::LocalReads, &["linearizable"]);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "such faults are planted in builds with debug assertions alone")]
fn a_batch_that_takes_what_single_verification_refuses_is_found() {
    inside(Fault::BlindBatch, &["certified", "quorums", "accused"]);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "such faults are planted in builds with debug assertions alone")]
fn a_vote_that_counts_twice_is_found() {
    inside(Fault::TwiceCounted, &["quorums"]);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "such faults are planted in builds with debug assertions alone")]
fn a_certificate_with_too_few_signatures_is_found() {
    inside(Fault::SmallCertificate, &["certified", "quorums", "nobody stops"]);
}
