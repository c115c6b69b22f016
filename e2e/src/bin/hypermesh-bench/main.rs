//! Takes this server's figures beside its peers', in one run, and says which targets they meet.
//!
//! The server is a process of its own (`nexusctl up --no-agent`) with durable writes on a real disk; it is driven over
//! TLS as any client drives it, and its processor time and memory are the kernel's account of that process. etcd, where
//! the machine has it, runs on the same disk under the same driver. kube-apiserver's figures are constants, taken by
//! the same requests on two cores. Driver and server share the machine, so rates are lower bounds; processor time for a
//! request is the figure to trust.

mod command_line;
mod controller;
mod here;
mod peer;

use anyhow::{Context as _, Result};
use clap::Parser;
use hypermesh_e2e::figures::{self, Table};
use hypermesh_e2e::load::binary;
use std::path::PathBuf;

/// Takes this server's figures beside its peers'.
#[derive(Parser, Debug)]
struct Arguments {
    /// Small counts: shows that the benchmark works, measures nothing
    #[arg(long)]
    quick: bool,
    /// Objects in the store while the figures are taken
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    objects: usize,
    /// Take the figure with 500,000 objects too: minutes, and gigabytes of disk
    #[arg(long)]
    large: bool,
    /// Leave etcd out
    #[arg(long)]
    no_etcd: bool,
    /// Be the controller process that is measured: watch the load's objects of this cluster
    #[arg(long, value_name = "KUBECONFIG", hide = true)]
    watch: Option<PathBuf>,
    /// Where the data folders are made: a real disk, or durable writes cost nothing [default: beside this program]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How much of everything is done.
pub struct Scale {
    /// Objects present while figures are taken.
    pub present: usize,
    /// Objects present for the figure at size, where it is taken.
    pub large: Option<usize>,
    /// Requests at one connection, at 32 and at 128.
    pub requests: [usize; 3],
    /// Watchers.
    pub watchers: usize,
    /// Events that each of them gets.
    pub events: usize,
    /// Starts of which the median is taken.
    pub starts: usize,
    /// Seconds that a process is left alone before its idle memory is read.
    pub settle: u64,
}

/// Connections that figures are taken at.
pub const CONNECTIONS: [usize; 3] = [1, 32, 128];

impl Scale {
    fn of(arguments: &Arguments) -> Self {
        if arguments.quick {
            let large = arguments.large.then_some(600);
            let requests = [20, 64, 256];
            return Self { present: 300, large, requests, watchers: 20, events: 5, starts: 1, settle: 0 };
        }
        Self {
            present: arguments.objects,
            large: arguments.large.then_some(500_000),
            requests: [2_000, 10_000, 20_000],
            watchers: 1_000,
            events: 100,
            starts: 3,
            settle: 10,
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(kubeconfig) = &arguments.watch {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(controller::watch(kubeconfig, arguments.objects as u64));
    }
    let scale = Scale::of(&arguments);
    let nexusctl = binary()?;
    let own = std::env::current_exe().context("finding this executable")?;
    let dir = arguments.dir.clone().or_else(|| own.parent().map(PathBuf::from)).unwrap_or_default();
    let scratch =
        tempfile::Builder::new().prefix("bench-").tempdir_in(&dir).context("making a data folder")?;

    let mut table = Table::beside(["kube", "etcd"]);
    println!("{}", figures::machine());
    println!("server       {} up --no-agent, one replica, durable writes, TLS 1.3", nexusctl.display());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let etcd = if arguments.no_etcd { None } else { peer::measure(scratch.path(), &scale).await? };
        match &etcd {
            Some(etcd) => println!("etcd         {}, by its JSON gateway over plain TCP", etcd.version),
            None => println!(
                "etcd         left out: {}",
                if arguments.no_etcd { "--no-etcd" } else { "not installed" }
            ),
        }
        println!("kube         {}", peer::KUBE_SOURCE);
        here::measure(&nexusctl, scratch.path(), &scale, etcd.as_ref(), &mut table).await
    })?;
    println!("\n{table}");
    if arguments.quick || cfg!(debug_assertions) {
        println!("These are no figures: {}.", if arguments.quick { "--quick" } else { "a debug build" });
    }
    Ok(())
}
