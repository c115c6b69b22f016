//! A replica whose disk is slow, fails, or has no room costs nobody an answer: it halts where it must, and comes back.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_sim::{Disks, Report, Scenario, World};

fn run(disks: Disks) -> Report {
    let scenario = Scenario { disks, clients: 4, requests: 60, trouble: 6_000_000, ..Scenario::calm() };
    match World::new(scenario).run() {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

fn calm() -> Disks {
    Scenario::calm().disks
}

#[test]
fn one_without_room_halts_and_comes_back() {
    let report = run(Disks { full: 8, ..calm() });
    assert!(report.coverage.of("halts on a full disk") > 2, "{report:?}");
    assert_eq!(report.coverage.of("crashes"), 0);
}

#[test]
fn one_that_fails_to_flush_begins_anew_from_what_was_flushed() {
    let report = run(Disks { broken: 20_000, ..calm() });
    assert!(report.coverage.of("flushes that failed") > 2, "{report:?}");
    assert!(report.coverage.of("frames that were torn") > 0, "{report:?}");
}

#[test]
fn ones_that_stall_are_waited_for() {
    let report = run(Disks { flush: (5_000, 40_000), stalls: 200, stall: 2_000_000, ..calm() });
    assert!(report.coverage.of("stalls of a disk") > 10, "{report:?}");
    assert!(report.coverage.of("heights decided in a later round") > 0, "nobody was slow: {report:?}");
}
