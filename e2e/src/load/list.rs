//! One LIST of a whole collection.

use super::client::{Call, Target};
use super::meter::{Meter, Usage, memory_mib, reset_peak};
use anyhow::{Result, bail};
use http_body_util::BodyExt as _;
use std::time::{Duration, Instant};

/// What a LIST showed.
#[derive(Debug)]
pub struct Listed {
    /// Items in the answer.
    pub items: usize,
    /// Size of the answer, in bytes.
    pub bytes: usize,
    /// From sending to the first byte of the body.
    pub first_byte: Duration,
    /// From sending to the last.
    pub total: Duration,
    /// By how much the server's resident memory rose at its highest, in MiB.
    pub growth_mib: f64,
    /// What it cost.
    pub usage: Usage,
}

/// LISTs a collection in one answer; each item must be named once, beginning with `prefix`.
pub async fn list(target: &Target, collection: &str, prefix: &str, server: u32) -> Result<Listed> {
    let mut connection = target.connect().await?;
    reset_peak(server)?;
    let (before, _) = memory_mib(server)?;
    let meter = Meter::start(server)?;
    let begin = Instant::now();
    let response = connection.send(Call::get(collection)).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut first_byte = None;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            first_byte.get_or_insert_with(|| begin.elapsed());
            whole.extend_from_slice(&data);
        }
    }
    let total = begin.elapsed();
    let usage = meter.stop()?;
    let (_, peak) = memory_mib(server)?;
    if !status.is_success() {
        bail!("LIST {collection} answered {status}: {}", String::from_utf8_lossy(&whole));
    }
    let needle = format!("\"name\":\"{prefix}-");
    Ok(Listed {
        items: memchr::memmem::find_iter(&whole, needle.as_bytes()).count(),
        bytes: whole.len(),
        first_byte: first_byte.unwrap_or(total),
        total,
        growth_mib: (peak - before).max(0.0),
        usage,
    })
}
