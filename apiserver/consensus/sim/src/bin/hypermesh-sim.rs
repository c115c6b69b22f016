//! Runs seeds: `hypermesh-sim 0..1000` or `hypermesh-sim 17`. Prints those that fail, and ends with 1 if any did.

use hypermesh_sim::{Scenario, run};
use std::ops::Range;
use std::process::ExitCode;

/// The seeds of an argument: one, or a range.
fn seeds(argument: &str) -> Option<Range<u64>> {
    match argument.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => argument.parse().ok().map(|seed| seed..seed + 1),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [argument] = arguments.as_slice() else {
        eprintln!("usage: hypermesh-sim SEED|FROM..TO");
        return ExitCode::from(2);
    };
    let Some(seeds) = seeds(argument) else {
        eprintln!("hypermesh-sim: {argument:?} is neither a seed nor a range of seeds such as 0..1000");
        return ExitCode::from(2);
    };
    let (mut failed, mut heights, mut crashes) = (0_u64, 0, 0);
    let count = seeds.end.saturating_sub(seeds.start);
    for seed in seeds {
        match run(seed) {
            Ok(report) => {
                heights += report.height;
                crashes += report.crashes;
                if count == 1 {
                    println!("{:#?}\n{report:#?}", Scenario::of(seed));
                }
            }
            Err(failure) => {
                failed += 1;
                println!("{failure}\n    {:?}", Scenario::of(seed));
            }
        }
    }
    println!("{count} seeds, {failed} failed; {heights} heights, {crashes} crashes");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
