//! What the peers do: kube-apiserver as it was measured, etcd as it is measured now.

use crate::{CONNECTIONS, Scale};
use anyhow::Result;
use hypermesh_e2e::load::{Connection, Etcd, EtcdWork, Objects, Outcome, Work, memory_mib, run};
use std::path::Path;

/// Where kube-apiserver's figures come from.
pub const KUBE_SOURCE: &str = "kube-apiserver 1.36.2 with etcd 3.5.30, one node of two cores, measured by the same \
     requests (1 KB objects, TLS, HTTP/1.1); figures taken before, not in this run";

/// kube-apiserver's figures at one, 32 and 128 connections.
pub struct Kube {
    /// Answers a second.
    pub rate: [Option<f64>; 3],
    /// p50, ms.
    pub p50: [Option<f64>; 3],
    /// p99, ms.
    pub p99: [Option<f64>; 3],
    /// Processor time of kube-apiserver and etcd for a request at 128, µs.
    pub micros: Option<f64>,
}

/// Creates.
pub const CREATE: Kube = Kube {
    rate: [Some(652.0), Some(1578.0), Some(1713.0)],
    p50: [Some(1.4), Some(17.7), Some(67.0)],
    p99: [Some(4.9), Some(53.0), Some(171.0)],
    micros: Some(954.0 + 130.0),
};
/// GETs.
pub const GET: Kube = Kube {
    rate: [Some(1278.0), Some(3746.0), Some(4278.0)],
    p50: [Some(0.74), Some(7.4), Some(27.0)],
    p99: [Some(1.7), Some(29.0), Some(88.0)],
    micros: Some(368.0 + 54.0),
};
/// PUTs.
pub const PUT: Kube = Kube {
    rate: [Some(581.0), Some(1204.0), Some(1309.0)],
    p50: [None; 3],
    p99: [None; 3],
    micros: Some(1268.0 + 168.0),
};
/// Merge PATCHes.
pub const PATCH: Kube =
    Kube { rate: [Some(467.0), Some(985.0), Some(838.0)], p50: [None; 3], p99: [None; 3], micros: None };
/// What was not measured.
pub const NONE: Kube = Kube { rate: [None; 3], p50: [None; 3], p99: [None; 3], micros: None };
/// DELETEs a second at 32 connections.
pub const DELETE_RATE: f64 = 1690.0;
/// Start to `/readyz`, ms: empty, and with 50,000 objects.
pub const READY_MS: [f64; 2] = [1980.0, 1740.0];
/// Idle memory with etcd's, MiB.
pub const IDLE_MIB: f64 = 259.0 + 45.0;
/// Memory with 50,000 objects after one LIST, with etcd's least, MiB.
pub const LISTED_MIB: f64 = 1331.0 + 570.0;
/// LIST of 50,000 objects, ms, to the last byte and to the first.
pub const LIST_MS: [f64; 2] = [2000.0, 671.0];
/// 1,000 watchers: processor time an event delivered, µs; p50 of all, p50 of the slowest, ms.
pub const WATCH: [f64; 3] = [28.0, 12.1, 18.6];

/// What etcd did, at one, 32 and 128 connections.
pub struct EtcdFigures {
    /// Its version.
    pub version: String,
    /// Start to healthy, ms.
    pub ready_ms: f64,
    /// Idle memory, MiB.
    pub idle_mib: f64,
    /// Puts of what an object is.
    pub put: Vec<Outcome>,
    /// Linearizable gets.
    pub get: Vec<Outcome>,
}

/// Measures etcd with the same number of values present; `None` where the machine has none.
pub async fn measure(scratch: &Path, scale: &Scale) -> Result<Option<EtcdFigures>> {
    let Some(etcd) = Etcd::start(&scratch.join("etcd")).await? else { return Ok(None) };
    eprintln!("measuring etcd {}", etcd.version);
    tokio::time::sleep(std::time::Duration::from_secs(scale.settle)).await;
    let (idle_mib, _) = memory_mib(etcd.pid)?;
    let value = Objects { namespace: "load".into(), prefix: "w".into() }.object(0, 0);
    let mut first = 0;
    let fill = workers(&etcd, 128, || Box::new(EtcdWork::put(&value, 0))).await?;
    run(fill, scale.present, etcd.pid).await?;
    first += scale.present;
    let (mut put, mut get) = (Vec::new(), Vec::new());
    for (connections, requests) in CONNECTIONS.into_iter().zip(scale.requests) {
        let work = workers(&etcd, connections, || Box::new(EtcdWork::put(&value, first))).await?;
        put.push(run(work, requests, etcd.pid).await?);
        first += requests;
        let work = workers(&etcd, connections, || Box::new(EtcdWork::get(scale.present))).await?;
        get.push(run(work, requests, etcd.pid).await?);
    }
    let figures = EtcdFigures {
        version: etcd.version.clone(),
        ready_ms: etcd.ready.as_secs_f64() * 1e3,
        idle_mib,
        put,
        get,
    };
    etcd.kill().await?;
    Ok(Some(figures))
}

async fn workers(
    etcd: &Etcd,
    connections: usize,
    work: impl Fn() -> Box<dyn Work>,
) -> Result<Vec<(Connection, Box<dyn Work>)>> {
    let mut workers = Vec::with_capacity(connections);
    for _ in 0..connections {
        workers.push((etcd.target.connect().await?, work()));
    }
    Ok(workers)
}
