//! In one small run a replica crashes at each of its actions, and in the middle of each flush: alone, and with all others.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_sim::{CrashAt, Report, Scenario, World};

fn run(crash_at: Option<CrashAt>) -> Report {
    match World::new(Scenario { crash_at, clients: 3, requests: 6, ..Scenario::calm() }).run() {
        Ok(report) => report,
        Err(failure) => panic!("{crash_at:?}: {failure}"),
    }
}

fn crash_everywhere(replica: usize, all: bool) {
    let calm = run(None);
    assert_eq!(calm.coverage.of("crashes"), 0);
    assert!(calm.height > 1 && calm.actions > 60, "{calm:?}");
    let (mut flushing, mut keeping, mut crashes) = (0, 0, 0);
    for action in 0.. {
        let coverage = run(Some(CrashAt { replica, action, all })).coverage;
        if coverage.of("crashes") == 0 {
            break;
        }
        crashes += 1;
        flushing += coverage.of("crashes while flushing");
        keeping += coverage.of("crashes while keeping a block");
    }
    println!("{crashes} crashes, {flushing} while flushing, {keeping} while keeping a block");
    assert!(crashes > 60 && flushing > 5 && keeping > 1);
}

#[test]
fn the_first_proposer_crashes_at_every_action() {
    crash_everywhere(0, false);
}

#[test]
fn another_replica_crashes_at_every_action() {
    crash_everywhere(2, false);
}

#[test]
fn all_lose_power_at_every_action_of_the_first_proposer() {
    crash_everywhere(0, true);
}
