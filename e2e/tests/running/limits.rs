//! Limits that bite without an end: processor time, and how much of the disk a log may take.

use crate::rig::{Rig, condition, name, ready};
use crate::traces::{children, shims};
use crate::web::{main_of, workload};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;

/// A file of the cgroup that a process is in, of either version.
fn cgroup_file(pid: i32, controller: &str, file: &str) -> Result<String> {
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let parts =
        lines.lines().filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok());
    for [controllers, path] in parts.map(|parts: [&str; 2]| parts) {
        let root = Path::new("/sys/fs/cgroup");
        let trees = match controllers {
            "" => vec![root.to_owned(), root.join("unified")],
            some if some.split(',').any(|one| one == controller) => {
                vec![root.join(controller), root.join(some)]
            }
            _ => continue,
        };
        for tree in trees {
            if let Ok(text) = std::fs::read_to_string(tree.join(path.trim_start_matches('/')).join(file)) {
                return Ok(text);
            }
        }
    }
    bail!("{pid} is in no cgroup with a {file}: {lines}")
}

/// What the kernel has counted of a process's cgroup.
struct Counted {
    /// Processor time, in nanoseconds.
    used: u64,
    /// Periods of its quota, and those in which it was held back.
    periods: u64,
    throttled: u64,
}

fn counted(pid: i32) -> Result<Counted> {
    let stat = cgroup_file(pid, "cpu", "cpu.stat")?;
    let field = |name: &str| -> Option<u64> {
        stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    let used = match field("usage_usec") {
        Some(micros) => micros * 1000,
        None => cgroup_file(pid, "cpuacct", "cpuacct.usage")?.trim().parse()?,
    };
    let (periods, throttled) = (field("nr_periods"), field("nr_throttled"));
    Ok(Counted {
        used,
        periods: periods.with_context(|| stat.clone())?,
        throttled: throttled.with_context(|| stat.clone())?,
    })
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
    let before = counted(shell)?;
    let after = rig.wait("twenty periods in which it is held back", || {
        let now = counted(shell)?;
        Ok((now.throttled >= before.throttled + 20).then_some(now))
    })?;
    // By the kernel's own count of periods, however busy the machine is: 20 ms in each, and a slice of a few at the edges.
    let (used, periods) = (after.used - before.used, after.periods - before.periods);
    let allowed = (periods + 2) * 20_000_000;
    ensure!(used <= allowed, "{used} ns are used in {periods} periods, and {allowed} allowed");
    ensure!(used >= 20 * 15_000_000, "{used} ns are used in {periods} periods: it is held back too early");
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

/// Who was evicted, in the order in which it was told.
fn evicted(rig: &Rig) -> Result<Vec<(String, String)>> {
    let events = rig.get("events")?;
    let mut found = Vec::new();
    for event in events["items"].as_array().into_iter().flatten().filter(|event| event["reason"] == "Evicted")
    {
        let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        found.push((text("/eventTime"), text("/involvedObject/name"), text("/message")));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, who, why)| (who, why)).collect())
}

/// The node says that it has too little memory, as on a machine that really has, and is believed.
#[test]
fn who_takes_more_than_it_may_goes_and_the_node_says_why() -> Result<()> {
    let test = "who_takes_more_than_it_may_goes_and_the_node_says_why";
    let Some(mut rig) = Rig::start_apart(test, &["--evict-every", "1"])? else { return Ok(()) };
    let mut writes = workload("writes", "dd if=/dev/zero of=/scratch/a bs=1M count=12; exec sleep 1000");
    writes["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "scratch", "emptyDir": {"sizeLimit": "4Mi"}}]);
    main_of(&mut writes)["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    rig.apply(&writes)?;
    let (who, why) = rig.wait("an eviction", || Ok(evicted(&rig)?.first().cloned()))?;
    ensure!(who.starts_with("writes-"), "{who}");
    ensure!(why == "Usage of EmptyDir volume \"scratch\" exceeds the limit \"4194304\".", "{why}");
    let gone = rig.until(&format!("instance/{who}"), |one| one["status"]["phase"] == "Failed")?;
    ensure!(gone["status"]["reason"] == "Evicted" && gone["status"]["message"] == why.as_str(), "{gone:#}");
    rig.nexusctl(&["delete", "workload", "writes"])?;

    // Within what it asked for, and beyond: the larger is not the one that goes first.
    let mut modest = workload("modest", "dd if=/dev/zero of=/dev/shm/a bs=1M count=40; exec sleep 1000");
    main_of(&mut modest)["resources"] = json!({"requests": {"memory": "200Mi"}});
    rig.apply(&modest)?;
    let greedy = workload("greedy", "dd if=/dev/zero of=/dev/shm/a bs=1M count=20; exec sleep 1000");
    rig.apply(&greedy)?;
    for one in ["modest", "greedy"] {
        rig.until_instance(one, |one| {
            ready(one)
                && name(one)
                    .is_ok_and(|one| rig.nexusctl(&["exec", one, "--", "test", "-s", "/dev/shm/a"]).is_ok())
        })?;
    }
    rig.end_agent()?;
    rig.apart()?.flags.extend(["--evict-below-memory".to_owned(), "1000Ti".to_owned()]);
    rig.begin_agent()?;
    // Who is made anew for one that went may come before the node is avoided: it goes first as well.
    let seen = rig.wait("evictions", || {
        let mut seen = evicted(&rig)?;
        seen.retain(|(who, _)| !who.starts_with("writes-"));
        Ok(seen.iter().any(|(who, _)| who.starts_with("modest-")).then_some(seen))
    })?;
    ensure!(seen.first().is_some_and(|(who, _)| who.starts_with("greedy-")), "{seen:#?}");
    let why = seen.first().map(|(_, why)| why.as_str()).unwrap_or_default();
    ensure!(why.starts_with("The node was low on resource: memory. Threshold quantity: "), "{why}");
    ensure!(why.contains("The instance was using 2") && why.ends_with("request is 0."), "{why}");
    let node = rig.until(&format!("node/{}", crate::rig::NODE), |node| {
        condition(node, "MemoryPressure").is_some_and(|pressure| pressure["status"] == "True")
    })?;
    ensure!(node.to_string().contains("InsufficientMemory"), "{node:#}");
    rig.ends_clean(&["modest", "greedy"])
}
