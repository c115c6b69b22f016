//! Runs seeds, on all cores: `hypermesh-sim 0..1000`, or one: `hypermesh-sim 17`. Prints those that fail, with what is left
//! of their troubles when those that do not matter are taken away, and what happened in all; ends with 1 if any failed.
//!
//! `--trace` tells everything that happens in a run, `--without PART,…` takes troubles away.

use hypermesh_sim::{Coverage, Failure, Report, Scenario, World, shrink};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const USAGE: &str = "usage: hypermesh-sim SEED|FROM..TO [--trace] [--without PART,…]";

/// What is asked for.
struct Arguments {
    seeds: Range<u64>,
    trace: bool,
    without: Vec<String>,
}

/// What came of all seeds.
#[derive(Default)]
struct Outcome {
    coverage: Coverage,
    failed: u64,
    /// The longest that a client waited for an answer after the troubles.
    longest: u64,
}

/// The seeds of an argument: one, or a range.
fn seeds(argument: &str) -> Option<Range<u64>> {
    match argument.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => argument.parse().ok().map(|seed: u64| seed..seed.saturating_add(1)),
    }
}

fn arguments() -> Result<Arguments, String> {
    let (mut found, mut trace, mut without) = (None, false, Vec::new());
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--trace" => trace = true,
            "--without" => {
                let parts = rest.next().ok_or("--without needs names of troubles")?;
                without.extend(parts.split(',').map(str::to_owned));
            }
            seed => {
                let range = seeds(seed).ok_or_else(|| {
                    format!("{seed:?} is neither a seed nor a range of seeds such as 0..1000")
                })?;
                found = Some(range);
            }
        }
    }
    let known: Vec<&str> = Scenario::parts().collect();
    if let Some(part) = without.iter().find(|part| !known.contains(&part.as_str())) {
        return Err(format!("there is no trouble {part:?}; there are {}", known.join(", ")));
    }
    let seeds = found.ok_or(USAGE)?;
    if trace && seeds.end.saturating_sub(seeds.start) != 1 {
        return Err("--trace tells of one seed".to_owned());
    }
    Ok(Arguments { seeds, trace, without })
}

fn scenario(seed: u64, without: &[String]) -> Scenario {
    let take = |scenario: Scenario, part: &String| scenario.clone().without(part).unwrap_or(scenario);
    without.iter().fold(Scenario::of(seed), take)
}

fn run(seed: u64, arguments: &Arguments) -> Result<Report, Failure> {
    let world = World::new(scenario(seed, &arguments.without));
    if arguments.trace { world.traced() } else { world }.run()
}

/// Tells of a failure, what it takes, and how to see it.
fn tell(failure: Failure, arguments: &Arguments) {
    let seed = failure.seed;
    println!("{failure}");
    let shrunk = shrink(scenario(seed, &arguments.without), failure);
    let mut without = arguments.without.clone();
    without.extend(shrunk.without.iter().map(|part| (*part).to_owned()));
    let without = if without.is_empty() { String::new() } else { format!(" WITHOUT={}", without.join(",")) };
    println!("    it takes no more than {:?}", shrunk.scenario);
    println!("    there: {}", shrunk.failure);
    println!("    see it: make sim SEEDS={seed} TRACE=1{without}");
}

fn work(arguments: &Arguments, next: &AtomicU64, outcome: &Mutex<Outcome>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= arguments.seeds.end {
            return;
        }
        let result = run(seed, arguments);
        let Ok(mut outcome) = outcome.lock() else { return };
        match result {
            Ok(report) => {
                outcome.coverage += &report.coverage;
                outcome.longest = outcome.longest.max(report.longest);
            }
            Err(failure) => {
                outcome.failed += 1;
                tell(failure, arguments);
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("hypermesh-sim: {why}");
            return ExitCode::from(2);
        }
    };
    let count = arguments.seeds.end.saturating_sub(arguments.seeds.start);
    if count == 1 {
        println!("{:#?}", scenario(arguments.seeds.start, &arguments.without));
    }
    let (next, outcome) = (AtomicU64::new(arguments.seeds.start), Mutex::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..workers).for_each(|_| drop(scope.spawn(|| work(&arguments, &next, &outcome))));
    });
    let Ok(Outcome { coverage, failed, longest }) = outcome.into_inner() else { return ExitCode::FAILURE };
    println!("{coverage}");
    println!("{:>10.1} s at most until an answer, after the troubles", longest as f64 / 1e6);
    println!("{count} seeds, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
