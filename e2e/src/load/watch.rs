//! How long a write takes to reach many watchers, and what each delivery costs.

use super::client::{Call, Target};
use super::meter::{Meter, Usage, memory_mib};
use super::objects::Objects;
use super::samples::Samples;
use anyhow::{Context as _, Result, bail};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use memchr::{memchr, memmem};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much is watched.
pub struct WatchLoad {
    /// Watches, each on its own connection.
    pub watchers: usize,
    /// Objects written while they watch.
    pub events: usize,
    /// Pause between writes.
    pub interval: Duration,
    /// How long the last events may take before they count as missing.
    pub patience: Duration,
}

/// What the watchers saw.
#[derive(Debug)]
pub struct Watched {
    /// From just before a write to each watcher's receipt of it.
    pub event: Samples,
    /// From just before a write to the slowest watcher's receipt.
    pub last: Samples,
    /// From a write to its own answer.
    pub write: Samples,
    /// The server's resident memory with all watches open and all events sent, in MiB.
    pub rss_mib: f64,
    /// What the writes and deliveries cost.
    pub usage: Usage,
}

/// Opens the watches on a collection, writes new objects to it, and waits for every event at every watcher.
pub async fn watch(target: &Target, objects: &Objects, load: &WatchLoad, server: u32) -> Result<Watched> {
    let mut writer = target.connect().await?;
    let head = writer.expect(Call::get(format!("{}?limit=1", objects.collection()))).await?;
    let head: Value = serde_json::from_slice(&head)?;
    let version = head["metadata"]["resourceVersion"].as_str().context("the list has no resourceVersion")?;
    let path = format!("{}?watch=1&resourceVersion={version}&timeoutSeconds=900", objects.collection());

    // A connection that is dropped takes its watch with it.
    let mut connections = Vec::with_capacity(load.watchers);
    let mut streams = Vec::with_capacity(load.watchers);
    for _ in 0..load.watchers {
        let mut connection = target.connect().await?;
        let response = connection.send(Call::get(&path)).await?;
        if !response.status().is_success() {
            bail!("watch {} of {} answered {}", streams.len() + 1, load.watchers, response.status());
        }
        streams.push(response.into_body());
        connections.push(connection);
    }

    let base = Instant::now();
    let needle = format!("\"name\":\"{}-", objects.prefix);
    let readers: Vec<_> =
        streams.into_iter().map(|body| tokio::spawn(read(body, needle.clone(), load.events, base))).collect();
    let sent: Vec<AtomicU64> = (0..load.events).map(|_| AtomicU64::new(0)).collect();
    let mut write = Samples::default();
    let meter = Meter::start(server)?;
    for (number, at) in sent.iter().enumerate() {
        let call = Call::post(objects.collection(), objects.object(number, number as u64));
        let begin = Instant::now();
        at.store(nanos(base), Ordering::Relaxed);
        writer.expect(call).await?;
        write.push(begin.elapsed());
        tokio::time::sleep(load.interval).await;
    }
    let deadline = tokio::time::Instant::now() + load.patience;
    let (mut event, mut slowest) = (Samples::default(), vec![0u64; load.events]);
    for (watcher, reader) in readers.into_iter().enumerate() {
        let arrivals = tokio::time::timeout_at(deadline, reader).await.with_context(|| {
            format!("watcher {watcher} has not had its events in {:?}", load.patience)
        })???;
        for ((sent, arrived), slowest) in sent.iter().zip(arrivals).zip(&mut slowest) {
            let arrived = arrived.with_context(|| format!("watcher {watcher} missed an event"))?;
            let late = arrived.saturating_sub(sent.load(Ordering::Relaxed));
            event.push_nanos(late);
            *slowest = (*slowest).max(late);
        }
    }
    let usage = meter.stop()?;
    let (rss_mib, _) = memory_mib(server)?;
    let mut last = Samples::default();
    slowest.into_iter().for_each(|late| last.push_nanos(late));
    Ok(Watched { event, last, write, rss_mib, usage })
}

fn nanos(base: Instant) -> u64 {
    u64::try_from(base.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Reads events until all are here or the stream ends; gives the time each came, by number.
async fn read(mut body: Incoming, needle: String, events: usize, base: Instant) -> Result<Vec<Option<u64>>> {
    let finder = memmem::Finder::new(needle.as_bytes());
    let mut arrivals = vec![None; events];
    let mut missing = events;
    let mut unread = BytesMut::new();
    while missing > 0 {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        let now = nanos(base);
        unread.extend_from_slice(&data);
        while let Some(end) = memchr(b'\n', &unread) {
            let line = unread.split_to(end + 1);
            let Some(at) = finder.find(&line) else { continue };
            let digits = line[at + needle.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0usize, |number, byte| number * 10 + usize::from(byte - b'0'));
            if let Some(arrival @ None) = arrivals.get_mut(number) {
                *arrival = Some(now);
                missing -= 1;
            }
        }
    }
    Ok(arrivals)
}
