//! The simulator finds what is wrong: faults that were planted, each within a thousand seeds.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_sim::{Planted, Scenario, World};

/// The first seed that finds a planted fault, and what it finds.
fn finds(planted: Planted, invariants: &[&str]) {
    let run = |seed| World::new(Scenario::of(seed).with(planted)).run();
    let Some(failure) = (0..1000).find_map(|seed| run(seed).err()) else {
        panic!("{planted:?} is not found")
    };
    println!("{failure}");
    assert!(invariants.contains(&failure.invariant), "{failure}");
}

#[test]
fn a_log_that_is_not_flushed_is_found() {
    finds(Planted::UnflushedLog, &["said once", "nobody stops"]);
}

#[test]
fn a_log_that_is_forgotten_is_found() {
    finds(Planted::ForgottenLog, &["said once"]);
}

#[test]
fn a_lock_that_is_forgotten_is_found() {
    finds(Planted::ForgottenLock, &["nobody stops", "agreement", "quorums"]);
}

#[test]
fn a_root_that_is_ignored_is_found() {
    finds(Planted::IgnoredRoots, &["roots"]);
}

#[test]
fn an_authority_that_is_ignored_is_found() {
    finds(Planted::IgnoredAuthority, &["validity"]);
}

#[test]
fn a_time_that_is_unchecked_is_found() {
    finds(Planted::UncheckedTime, &["dated"]);
}

#[test]
fn a_read_without_a_barrier_is_found() {
    finds(Planted::LocalReads, &["linearizable"]);
}
