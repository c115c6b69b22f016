//! Many connections, one request in flight on each, until a number of requests has been sent.

use super::client::{Call, Connection};
use super::meter::{Meter, Usage};
use super::samples::Samples;
use anyhow::{Result, bail};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Barrier;

/// What one connection sends.
pub trait Work: Send + 'static {
    /// The request of a number; numbers are shared by all connections, each is given once.
    fn next(&mut self, number: usize) -> Result<Call>;

    /// Looks at the answer of a request that succeeded.
    fn answered(&mut self, body: &Bytes) -> Result<()> {
        let _ = body;
        Ok(())
    }
}

/// What a run showed.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were answered.
    pub requests: usize,
    /// From the first request to the last answer.
    pub wall: Duration,
    /// From sending to the last byte of the answer.
    pub latency: Samples,
    /// What it cost.
    pub usage: Usage,
}

impl Outcome {
    /// Answers a second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// Processor time of the server for a request, in microseconds.
    pub fn server_micros(&self) -> f64 {
        self.usage.server * 1e6 / self.requests.max(1) as f64
    }

    /// Processor time of the driver for a request, in microseconds.
    pub fn driver_micros(&self) -> f64 {
        self.usage.driver * 1e6 / self.requests.max(1) as f64
    }
}

/// Sends `total` requests over the given connections to the process `server`.
///
/// Any answer but success is an error: a figure of refusals would be none.
pub async fn run(workers: Vec<(Connection, Box<dyn Work>)>, total: usize, server: u32) -> Result<Outcome> {
    let next = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Barrier::new(workers.len() + 1));
    let mut tasks = Vec::with_capacity(workers.len());
    for (connection, work) in workers {
        let (next, gate) = (next.clone(), gate.clone());
        tasks.push(tokio::spawn(async move {
            gate.wait().await;
            worker(connection, work, &next, total).await
        }));
    }
    let meter = Meter::start(server)?;
    let begin = Instant::now();
    gate.wait().await;
    let mut latency = Samples::default();
    for task in tasks {
        latency.merge(task.await??);
    }
    let wall = begin.elapsed();
    Ok(Outcome { requests: latency.len(), wall, latency, usage: meter.stop()? })
}

async fn worker(
    mut connection: Connection,
    mut work: Box<dyn Work>,
    next: &AtomicUsize,
    total: usize,
) -> Result<Samples> {
    let mut latency = Samples::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= total {
            return Ok(latency);
        }
        let call = work.next(number)?;
        let what = (call.method.clone(), call.path.clone());
        let begin = Instant::now();
        let (status, body) = connection.call(call).await?;
        latency.push(begin.elapsed());
        if !(200..300).contains(&status) {
            bail!("{} {} answered {status}: {}", what.0, what.1, String::from_utf8_lossy(&body));
        }
        work.answered(&body)?;
    }
}
