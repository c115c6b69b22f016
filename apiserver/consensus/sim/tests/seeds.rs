//! Many seeds hold what must hold, and one seed is always the same run.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_sim::{Coverage, Scenario, run};

/// Seeds that each test runs: together three hundred.
const SEEDS: u64 = 75;

fn hold(seeds: std::ops::Range<u64>) {
    let mut coverage = Coverage::default();
    for seed in seeds {
        match run(seed) {
            Ok(report) => coverage += &report.coverage,
            Err(failure) => {
                panic!("{failure}\nsee it: make sim SEEDS={seed} TRACE=1\n{:?}", Scenario::of(seed))
            }
        }
    }
    println!("{coverage}");
    // What was not tried was not shown to hold.
    assert_eq!(coverage.missing(), Vec::<&str>::new(), "never happened");
    for (what, least) in
        [("heights", 5 * SEEDS), ("heights decided in a later round", SEEDS / 2), ("crashes", SEEDS)]
    {
        assert!(coverage.of(what) >= least, "{}, {what}", coverage.of(what));
    }
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
