//! Limits that bite, and usage that is measured.

use crate::harness::*;
use hypermesh_runtime::*;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_and_its_end_is_told() {
    let Some(node) = Node::new().await else { return };
    if !node.class.report().has(Ability::MemoryLimits) {
        return skip("memory is not limited here");
    }
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("echo full; exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    spec.limits.memory = Some(32 << 20);
    let (exit, log) = node.run(&sandbox, spec).await;
    assert!(log.contains("full"), "{log}");
    assert!(exit.oom_killed() && exit.signal == Some(9), "{exit:?}");
    // Memory that is written in the container's own tmpfs counts too.
    let mut spec = node.spec("dd if=/dev/zero of=/tmp/m/a bs=1M count=200; echo code $?; exit 9");
    spec.limits.memory = Some(32 << 20);
    spec.mounts = vec![spec::Mount {
        target: "/tmp/m".into(),
        source: spec::MountSource::Memory { size: None, mode: 0o777 },
        read_only: false,
    }];
    let (exit, log) = node.run(&sandbox, spec).await;
    assert!(exit.oom_kills > 0, "{exit:?} {log}");
    let mut spec = node.spec("exit 3");
    spec.limits.memory = Some(32 << 20);
    let (exit, _) = node.run(&sandbox, spec).await;
    assert!(!exit.oom_killed() && exit.code == 3, "{exit:?}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_limited() {
    let Some(node) = Node::new().await else { return };
    if !node.class.report().has(Ability::PidsLimits) {
        return skip("processes are not limited here");
    }
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all; sleep 100");
    spec.limits.pids = Some(5);
    let container = sandbox.create(id("c"), spec).await.unwrap();
    container.start().await.unwrap();
    container.wait().await.unwrap();
    let log = node.log();
    assert!(log.contains("can't fork") && !log.contains("all"), "{log}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_time_is_limited_and_usage_is_measured() {
    let Some(node) = Node::new().await else { return };
    if !node.class.report().has(Ability::CpuLimits) {
        return skip("CPU time is not limited here");
    }
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("while :; do :; done");
    spec.limits.cpu_quota_us = Some(20_000);
    spec.limits.pids = Some(50);
    let container = sandbox.create(id("c"), spec).await.unwrap();
    container.start().await.unwrap();
    let (begin, before) = (Instant::now(), container.stats().unwrap());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (after, time) = (container.stats().unwrap(), begin.elapsed());
    let used = (after.cpu_ns.unwrap() - before.cpu_ns.unwrap()) as f64 / time.as_nanos() as f64;
    println!("used {:.1} % of a CPU, {after:?}", used * 100.0);
    // A fifth was allowed. A busy machine may give less.
    assert!(used < 0.30, "{used}");
    assert!(after.throttled_periods.unwrap() > 0);
    assert!(after.memory.unwrap() > 0 && after.memory_working_set.unwrap() <= after.memory.unwrap());
    assert_eq!(after.pids, Some(1));
    assert!(sandbox.stats().unwrap().cpu_ns.unwrap() >= after.cpu_ns.unwrap());
    // Limits change while it runs.
    container.update(&spec::Limits { memory: Some(64 << 20), pids: Some(10), ..Default::default() }).unwrap();
    assert_eq!(container.stats().unwrap().memory_limit, Some(64 << 20));
    assert!(container.update(&spec::Limits { memory: Some(1), ..Default::default() }).is_err());
    sandbox.remove().await.unwrap();
    assert!(container.stats().is_err());
    node.finish().await;
}

/// An instance's own limit holds for all of its containers together.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_limited_as_a_whole() {
    let Some(node) = Node::new().await else { return };
    if !node.class.report().has(Ability::PidsLimits) {
        return skip("processes are not limited here");
    }
    let mut spec = node.sandbox_spec("i1");
    spec.limits.pids = Some(12);
    let sandbox = node.class.create(spec).await.unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all; sleep 100";
    let (_, log) = node.run(&sandbox, node.spec(script)).await;
    assert!(log.contains("can't fork") && !log.contains("all"), "{log}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}
