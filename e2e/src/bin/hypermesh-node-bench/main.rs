//! Takes the figures of a node: what a container's life costs beside crun's and runc's, how long it takes from an apply
//! until something runs, and what an agent and its shims take while nothing happens.
//!
//! The agent, the servers and the shims are the programs that are built beside this one, as people run them; their times
//! and memory are the kernel's account of their processes. The machine is shared by all of them and by this program, so
//! the processor time is the figure to trust, and what is compared is measured in turns.

mod account;
mod cluster;
mod crowd;
mod idle;
mod lives;
mod shims;
mod starts;
mod watching;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use hypermesh_e2e::figures::{self, Table};
use hypermesh_e2e::load::binary;
use std::path::PathBuf;

/// Takes the figures of a node.
#[derive(Parser, Debug)]
struct Arguments {
    /// Small counts: shows that the benchmark works, measures nothing
    #[arg(long)]
    quick: bool,
    /// Only these figures; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// How often a container's life is lived, and a workload applied [default: 120 and 60]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Where the data folders are made: a real disk [default: beside this program]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What figures there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The life of a container
    Lives,
    /// From an apply to what runs
    Starts,
    /// A hundred at once
    Crowd,
    /// While nothing happens
    Idle,
}

/// How much of everything is done.
pub struct Scale {
    /// Lives of each kind.
    pub lives: usize,
    /// Applies, one after another.
    pub applies: usize,
    /// Instances of one apply.
    pub crowd: usize,
    /// Instances beside which the agent is idle.
    pub settled: usize,
    /// Seconds that it is looked at.
    pub idle: u64,
}

impl Scale {
    fn of(arguments: &Arguments) -> Self {
        let (lives, applies) = if arguments.quick { (2, 2) } else { (120, 60) };
        let (lives, applies) = (arguments.rounds.unwrap_or(lives), arguments.rounds.unwrap_or(applies));
        if arguments.quick {
            return Self { lives, applies, crowd: 3, settled: 2, idle: 1 };
        }
        Self { lives, applies, crowd: 100, settled: 20, idle: 60 }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scale = Scale::of(&arguments);
    println!("{}", figures::machine());
    if !nix::unistd::geteuid().is_root() {
        println!("left out: only root can run containers beside runc's and connect them");
        return Ok(());
    }
    let nexusctl = binary()?;
    let own = std::env::current_exe().context("finding this executable")?;
    let dir = arguments.dir.clone().or_else(|| own.parent().map(PathBuf::from)).unwrap_or_default();
    let scratch =
        tempfile::Builder::new().prefix("node-bench-").tempdir_in(&dir).context("making a data folder")?;
    let mut table = Table::beside(["crun", "runc"]);
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    if wanted(Part::Lives) {
        lives::measure(&nexusctl, scratch.path(), &scale, &mut table)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted(Part::Starts) {
            starts::measure(&nexusctl, scratch.path(), &scale, &mut table).await?;
        }
        if wanted(Part::Crowd) {
            crowd::measure(&nexusctl, scratch.path(), &scale, &mut table).await?;
        }
        if wanted(Part::Idle) {
            idle::measure(&nexusctl, scratch.path(), &scale, &mut table).await?;
        }
        anyhow::Ok(())
    })?;
    println!("\n{table}");
    if arguments.quick || cfg!(debug_assertions) {
        println!("These are no figures: {}.", if arguments.quick { "--quick" } else { "a debug build" });
    }
    Ok(())
}
