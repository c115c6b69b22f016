//! This server's figures, scenario by scenario, with the targets they are held to.

use crate::command_line;
use crate::controller;
use crate::peer::{self, EtcdFigures, Kube};
use crate::{CONNECTIONS, Scale};
use anyhow::{Result, ensure};
use hypermesh_e2e::figures::{Figure, Table, Unit};
use hypermesh_e2e::load::{
    Connection, ObjectWork, Objects, Outcome, ServerProcess, ServerSpec, Verb, WatchLoad, Work, list,
    memory_mib, run, watch,
};
use std::path::Path;
use std::time::Duration;

/// Objects that stay, so that what is listed is what was asked for.
const PRESENT: &str = "present";
/// Where objects come and go.
const CHURN: &str = "churn";
const WATCHED: &str = "watched";

fn objects(namespace: &str) -> Objects {
    Objects { namespace: namespace.into(), prefix: "w".into() }
}

/// Takes all figures into the table.
pub async fn measure(
    nexusctl: &Path,
    scratch: &Path,
    scale: &Scale,
    etcd: Option<&EtcdFigures>,
    table: &mut Table,
) -> Result<()> {
    eprintln!("measuring this server");
    let spec = ServerSpec::new(nexusctl.to_owned(), scratch.join("data"));
    starts_empty(nexusctl, scratch, scale, etcd, table).await?;
    let server = spec.start().await?;
    let mut connection = server.target.connect().await?;
    for namespace in [PRESENT, CHURN, WATCHED] {
        objects(namespace).make_namespace(&mut connection).await?;
    }
    drop(connection);
    let fill = Step { verb: Verb::Create, connections: 128, requests: scale.present, count: 0, first: 0 };
    fill.run(&server, &objects(PRESENT)).await?;
    server.stop().await?;

    let server = start_filled(&spec, scale, table).await?;
    lists(&server, scale, table).await?;
    controller::measure(&server, &spec.dir, scale.present, scale.settle, table).await?;
    command_line::measure(nexusctl, &spec.dir, scale.present.min(1_000), table).await?;
    let made = requests(&server, scale, etcd, table).await?;
    deletes(&server, made, scale, table).await?;
    watchers(&server, scale, table).await?;
    if let Some(large) = scale.large {
        at_size(&server, large, scale, table).await?;
    }
    server.stop().await
}

/// Starts on a folder that does not exist, which founds a cluster, and on an empty store.
async fn starts_empty(
    nexusctl: &Path,
    scratch: &Path,
    scale: &Scale,
    etcd: Option<&EtcdFigures>,
    table: &mut Table,
) -> Result<()> {
    let (mut founding, mut empty) = (Vec::new(), Vec::new());
    for number in 0..scale.starts {
        let spec = ServerSpec::new(nexusctl.to_owned(), scratch.join(format!("empty-{number}")));
        let server = spec.start().await?;
        founding.push(ms(server.ready));
        server.stop().await?;
        let server = spec.start().await?;
        empty.push(ms(server.ready));
        if number + 1 == scale.starts {
            tokio::time::sleep(Duration::from_secs(scale.settle)).await;
            let (rss, _) = memory_mib(server.pid)?;
            let etcd = etcd.map(|etcd| etcd.idle_mib);
            table.push(
                Figure::new("memory, idle", Unit::Mib, rss)
                    .target(40.0)
                    .beside("kube", peer::IDLE_MIB)
                    .beside("etcd", etcd),
            );
        }
        server.stop().await?;
    }
    let etcd = etcd.map(|etcd| etcd.ready_ms);
    let figure = |name, figures| Figure::new(name, Unit::Millis, median(figures)).target(200.0);
    table.push(
        figure("start to ready, founding a cluster", founding)
            .beside("kube", peer::READY_MS[0])
            .beside("etcd", etcd),
    );
    table.push(figure("start to ready, empty", empty).beside("kube", peer::READY_MS[0]));
    Ok(())
}

/// Starts on the filled store, and leaves the last of them running: its memory is that of one who has only started.
async fn start_filled(spec: &ServerSpec, scale: &Scale, table: &mut Table) -> Result<ServerProcess> {
    let mut ready = Vec::new();
    for _ in 1..scale.starts {
        let server = spec.start().await?;
        ready.push(ms(server.ready));
        server.stop().await?;
    }
    let server = spec.start().await?;
    ready.push(ms(server.ready));
    let name = format!("start to ready, {} objects", scale.present);
    table
        .push(Figure::new(name, Unit::Millis, median(ready)).target(400.0).beside("kube", peer::READY_MS[1]));
    Ok(server)
}

/// LIST of all objects, and what it leaves behind.
async fn lists(server: &ServerProcess, scale: &Scale, table: &mut Table) -> Result<()> {
    let objects = objects(PRESENT);
    let what = format!("LIST of {} objects", scale.present);
    let (mut total, mut first_byte, mut micros, mut growth) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
    for number in 0..scale.starts {
        let listed = list(&server.target, &objects.collection(), &objects.prefix, server.pid).await?;
        ensure!(listed.items == scale.present, "{} of {} objects were listed", listed.items, scale.present);
        total.push(ms(listed.total));
        first_byte.push(ms(listed.first_byte));
        micros.push(listed.usage.server * 1e6);
        // The first finds nothing warm and grows most.
        growth = growth.max(listed.growth_mib);
        if number == 0 {
            let (rss, _) = memory_mib(server.pid)?;
            let name = format!("memory, {} objects, after a LIST", scale.present);
            table.push(Figure::new(name, Unit::Mib, rss).target(120.0).beside("kube", peer::LISTED_MIB));
            let name = format!("{what}, the first after a start");
            table.push(
                Figure::new(name, Unit::Millis, ms(listed.total))
                    .target(100.0)
                    .beside("kube", peer::LIST_MS[0]),
            );
        }
    }
    table.push(
        Figure::new(what.clone(), Unit::Millis, median(total)).target(100.0).beside("kube", peer::LIST_MS[0]),
    );
    let first_byte = Figure::new(format!("{what}, first byte"), Unit::Millis, median(first_byte));
    table.push(first_byte.beside("kube", peer::LIST_MS[1]));
    table.push(Figure::new(format!("{what}, memory growth"), Unit::Mib, growth).target(64.0));
    table.push(Figure::new(format!("{what}, all of it"), Unit::Micros, median(micros)).beside("kube", 2.0e6));
    Ok(())
}

/// Single requests of every verb at every number of connections; gives how many objects that has made.
async fn requests(
    server: &ServerProcess,
    scale: &Scale,
    etcd: Option<&EtcdFigures>,
    table: &mut Table,
) -> Result<usize> {
    let (present, churn) = (objects(PRESENT), objects(CHURN));
    let count = scale.present;
    let mut made = 0;
    for (at, (connections, requests)) in CONNECTIONS.into_iter().zip(scale.requests).enumerate() {
        let mut outcome = Step { verb: Verb::Create, connections, requests, count, first: made }
            .run(server, &churn)
            .await?;
        made += requests;
        let etcd = etcd.and_then(|etcd| etcd.put.get(at));
        Targets::CREATE.rows("create", at, &mut outcome, &peer::CREATE, etcd, table);
    }
    let verbs: [(Verb, &str, Targets, &Kube); 4] = [
        (Verb::Get, "GET", Targets::GET, &peer::GET),
        (Verb::Put, "PUT", Targets::CHANGE, &peer::PUT),
        (Verb::MergePatch, "merge PATCH", Targets::CHANGE, &peer::PATCH),
        (Verb::Apply, "server-side apply", Targets::CHANGE, &peer::NONE),
    ];
    for (verb, name, targets, kube) in verbs {
        for (at, (connections, requests)) in CONNECTIONS.into_iter().zip(scale.requests).enumerate() {
            let step = Step { verb, connections, requests, count, first: 0 };
            let mut outcome = step.run(server, &present).await?;
            let etcd = etcd.and_then(|etcd| etcd.get.get(at)).filter(|_| verb == Verb::Get);
            targets.rows(name, at, &mut outcome, kube, etcd, table);
        }
    }
    Ok(made)
}

async fn deletes(server: &ServerProcess, made: usize, scale: &Scale, table: &mut Table) -> Result<()> {
    let requests = scale.requests[1].min(made);
    let step = Step { verb: Verb::Delete, connections: 32, requests, count: made, first: 0 };
    let outcome = step.run(server, &objects(CHURN)).await?;
    table.push(
        Figure::new("DELETE, 32 connections", Unit::Rate, outcome.per_second())
            .beside("kube", peer::DELETE_RATE),
    );
    table.push(Figure::new("DELETE, 32 connections", Unit::Micros, outcome.server_micros()));
    Ok(())
}

async fn watchers(server: &ServerProcess, scale: &Scale, table: &mut Table) -> Result<()> {
    let load = WatchLoad {
        watchers: scale.watchers,
        events: scale.events,
        interval: Duration::from_millis(50),
        patience: Duration::from_secs(60),
    };
    let mut watched = watch(&server.target, &objects(WATCHED), &load, server.pid).await?;
    let delivered = watched.event.len().max(1) as f64;
    let name = |what: &str| format!("{} watchers, {what}", scale.watchers);
    let [micros, p50, last] = peer::WATCH;
    let cost = watched.usage.server * 1e6 / delivered;
    table.push(
        Figure::new(name("an event delivered"), Unit::Micros, cost).target(12.0).beside("kube", micros),
    );
    table.push(Figure::new(name("p50"), Unit::Millis, watched.event.quantile_ms(0.5)).beside("kube", p50));
    let slowest = Figure::new(name("the last, p50"), Unit::Millis, watched.last.quantile_ms(0.5));
    table.push(slowest.target(10.0).beside("kube", last));
    table.push(Figure::new(name("memory"), Unit::Mib, watched.rss_mib).target(150.0));
    Ok(())
}

/// Creates with many more objects in the store.
async fn at_size(server: &ServerProcess, large: usize, scale: &Scale, table: &mut Table) -> Result<()> {
    let present = objects(PRESENT);
    let requests = large.saturating_sub(scale.present);
    let fill = Step { verb: Verb::Create, connections: 128, requests, count: 0, first: scale.present };
    fill.run(server, &present).await?;
    let step =
        Step { verb: Verb::Create, connections: 128, requests: scale.requests[2], count: 0, first: large };
    let outcome = step.run(server, &present).await?;
    let name = format!("create, 128 connections, {large} objects");
    table.push(
        Figure::new(name.clone(), Unit::Micros, outcome.server_micros()).target(120.0).beside("kube", None),
    );
    table.push(Figure::new(name, Unit::Rate, outcome.per_second()));
    let (rss, _) = memory_mib(server.pid)?;
    table.push(Figure::new(format!("memory, {large} objects"), Unit::Mib, rss));
    Ok(())
}

/// One stretch of requests.
struct Step {
    verb: Verb,
    connections: usize,
    requests: usize,
    /// Objects that exist, for verbs that need one.
    count: usize,
    /// Number of the first object that is made or deleted.
    first: usize,
}

impl Step {
    async fn run(&self, server: &ServerProcess, objects: &Objects) -> Result<Outcome> {
        let mut workers: Vec<(Connection, Box<dyn Work>)> = Vec::with_capacity(self.connections);
        for number in 0..self.connections {
            let mut connection = server.target.connect().await?;
            let of = (number, self.connections);
            let work =
                ObjectWork::new(objects, self.verb, self.count, self.first, of, &mut connection).await?;
            workers.push((connection, Box::new(work)));
        }
        run(workers, self.requests, server.pid).await
    }
}

/// What one verb must reach.
struct Targets {
    /// Processor time for a request at 128 connections, µs.
    micros: f64,
    /// Answers a second at 128 connections.
    rate: Option<f64>,
    /// p50 at one connection, ms.
    p50_of_one: Option<f64>,
    /// p99 at 128 connections, ms.
    p99: Option<f64>,
}

impl Targets {
    const CREATE: Self =
        Self { micros: 90.0, rate: Some(8.0 * 1713.0), p50_of_one: Some(0.6), p99: Some(171.0) };
    const GET: Self = Self { micros: 20.0, rate: None, p50_of_one: None, p99: None };
    const CHANGE: Self = Self { micros: 130.0, rate: None, p50_of_one: None, p99: None };

    fn rows(
        &self,
        verb: &str,
        at: usize,
        outcome: &mut Outcome,
        kube: &Kube,
        mut etcd: Option<&Outcome>,
        table: &mut Table,
    ) {
        let connections = CONNECTIONS[at];
        let (one, most) = (at == 0, at + 1 == CONNECTIONS.len());
        let name = format!("{verb}, {connections} connection{}", if one { "" } else { "s" });
        let held = |figure: Figure, target: Option<f64>| match target {
            Some(target) => figure.target(target),
            None => figure,
        };
        let micros = Figure::new(&name, Unit::Micros, outcome.server_micros());
        let micros = held(micros, most.then_some(self.micros)).beside("kube", kube.micros.filter(|_| most));
        table.push(micros.beside("etcd", etcd.map(Outcome::server_micros)));
        let rate = Figure::new(&name, Unit::Rate, outcome.per_second());
        let rate = held(rate, self.rate.filter(|_| most)).beside("kube", kube.rate[at]);
        table.push(rate.beside("etcd", etcd.map(Outcome::per_second)));
        let mut latency = etcd.take().map(|etcd| etcd.latency.clone());
        let mut quantile = |share| latency.as_mut().map(|latency| latency.quantile_ms(share));
        let p50 = Figure::new(format!("{name}, p50"), Unit::Millis, outcome.latency.quantile_ms(0.5));
        table.push(
            held(p50, self.p50_of_one.filter(|_| one))
                .beside("kube", kube.p50[at])
                .beside("etcd", quantile(0.5)),
        );
        let p99 = Figure::new(format!("{name}, p99"), Unit::Millis, outcome.latency.quantile_ms(0.99));
        table.push(
            held(p99, self.p99.filter(|_| most)).beside("kube", kube.p99[at]).beside("etcd", quantile(0.99)),
        );
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
