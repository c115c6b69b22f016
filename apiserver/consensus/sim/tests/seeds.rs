//! Many seeds hold what must hold, one seed is always the same run, and planted faults are found.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_sim::{Planted, Report, Scenario, World, run};

/// Seeds that each test runs: together three hundred.
const SEEDS: u64 = 75;

fn hold(seeds: std::ops::Range<u64>) {
    let reports: Vec<Report> = seeds
        .map(|seed| match run(seed) {
            Ok(report) => report,
            Err(failure) => panic!("{failure}\n{:?}", Scenario::of(seed)),
        })
        .collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let (heights, crashes, evidence) = (sum(|r| r.height), sum(|r| r.crashes), sum(|r| r.evidence));
    println!("{heights} heights, {crashes} crashes, {evidence} contradictions of liars");
    assert!(heights > 4 * SEEDS, "{heights} heights: next to nothing was decided");
    assert!(crashes > SEEDS, "{crashes} crashes: next to nothing went wrong");
    assert!(evidence > 0, "nobody saw the liars contradict themselves");
}

#[test]
fn what_must_hold_holds_1() {
    hold(0..SEEDS);
}

#[test]
fn what_must_hold_holds_2() {
    hold(SEEDS..2 * SEEDS);
}

#[test]
fn what_must_hold_holds_3() {
    hold(2 * SEEDS..3 * SEEDS);
}

#[test]
fn what_must_hold_holds_4() {
    hold(3 * SEEDS..4 * SEEDS);
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..6 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(0).map(|report| report.trace), run(1).map(|report| report.trace));
}

/// The first seed that finds a planted fault, and what it finds.
fn finds(planted: Planted) -> String {
    let found = (0..1000).find_map(|seed| World::new(Scenario::of(seed).with(planted)).run().err());
    match found {
        Some(failure) => failure.to_string(),
        None => panic!("{planted:?} is not found"),
    }
}

#[test]
fn a_log_that_is_not_flushed_is_found() {
    let found = finds(Planted::UnflushedLog);
    assert!(found.contains("said once"), "{found}");
}

#[test]
fn a_log_that_is_forgotten_is_found() {
    let found = finds(Planted::ForgottenLog);
    assert!(found.contains("said once"), "{found}");
}

#[test]
fn a_lock_that_is_forgotten_is_found() {
    let found = finds(Planted::ForgottenLock);
    assert!(found.contains("nobody stops") || found.contains("agreement"), "{found}");
}

#[test]
fn a_root_that_is_ignored_is_found() {
    let found = finds(Planted::IgnoredRoots);
    assert!(found.contains("roots"), "{found}");
}
