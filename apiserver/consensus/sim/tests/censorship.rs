//! A proposer that leaves out what one client asks for is beaten by the rotation of proposers: nobody waits longer than a
//! turn of it.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use hypermesh_sim::behaviour::Kind;
use hypermesh_sim::{Liar, Report, Scenario, World};

/// Heights for which a proposer goes on.
const TURN: u64 = 64;

/// Many clients who want very much, so that the proposer always has something else to propose.
fn run(liars: Vec<Liar>) -> Report {
    let scenario = Scenario { liars, clients: 8, requests: 340, pause: 20_000, ..Scenario::calm() };
    match World::new(scenario).run() {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn rotation_beats_who_censors() {
    let honest = run(Vec::new());
    assert!(honest.height > 2 * TURN, "{} heights", honest.height);
    assert!(honest.waited < 6, "{} heights", honest.waited);
    let waited: Vec<u64> =
        (0..4).map(|replica| run(vec![Liar { replica, kind: Kind::Censoring }]).waited).collect();
    println!("heights waited: {waited:?}");
    assert!(waited.iter().any(|waited| *waited > 6), "nobody was censored: {waited:?}");
    assert!(waited.iter().all(|waited| *waited <= TURN + 6), "{waited:?}");
}
