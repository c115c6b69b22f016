//! Limits that bite without an end: processor time, and how much of the disk a log may take.

use crate::rig::{Rig, ready};
use crate::traces::{children, shims};
use crate::web::{main_of, workload};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Processor time of a process, its own and the kernel's for it, in ticks of a hundredth of a second.
fn ticks(pid: i32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no command")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let field = |at: usize| -> Result<u64> { Ok(fields.get(at).context("too few fields")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[test]
fn a_limit_of_processor_time_is_kept() -> Result<()> {
    let Some(rig) = Rig::start("a_limit_of_processor_time_is_kept")? else { return Ok(()) };
    let mut spins = workload("spins", "while true; do :; done");
    main_of(&mut spins)["resources"] = json!({"limits": {"cpu": "200m"}});
    rig.apply(&spins)?;
    rig.until_instance("spins", ready)?;
    let shim = shims(&rig.agent()).first().context("there is no shim")?.0;
    let shell = *children(shim).first().context("the shim has no child")?;
    let (before, begin) = (ticks(shell)?, Instant::now());
    std::thread::sleep(Duration::from_secs(4));
    let used = (ticks(shell)? - before) as f64 / 100.0 / begin.elapsed().as_secs_f64();
    // A busy machine may give less, never more: a period of 100 ms at either end is what it may be off by.
    ensure!(used < 0.26, "{used:.2} processors are used, and 0.2 allowed");
    ensure!(used > 0.02, "{used:.2} processors are used: it does not run");
    rig.ends_clean(&["spins"])
}

#[test]
fn a_log_takes_no_more_than_its_share_of_the_disk() -> Result<()> {
    let Some(rig) = Rig::start("a_log_takes_no_more_than_its_share_of_the_disk")? else { return Ok(()) };
    rig.apply(&workload("talks", "seq 1 12000000; echo the end; exec sleep 1000"))?;
    rig.until_instance("talks", ready)?;
    let logs = rig.agent().join("logs");
    let mut most = 0;
    rig.wait("the log's end", || {
        most = most.max(bytes_below(&logs));
        let last = rig.nexusctl(&["logs", "workload/talks", "--tail", "1"])?;
        Ok((last == "the end\n").then_some(()))
    })?;
    // 95 MB are written; kubelet keeps five files of 10 MiB.
    ensure!(most < 64 << 20, "{most} bytes of log are kept");
    let tail = rig.nexusctl(&["logs", "workload/talks", "--tail", "3"])?;
    ensure!(tail == "11999999\n12000000\nthe end\n", "{tail:?}");
    rig.ends_clean(&["talks"])
}
