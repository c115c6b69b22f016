//! What `/proc` says of a process: processor time and resident memory.

use anyhow::{Context as _, Result};

/// Ticks a second of `/proc/PID/stat`, which Linux fixes for its programs whatever the kernel's own clock is.
const TICKS: f64 = 100.0;

/// Processor time of a process over a stretch.
pub struct Meter {
    server: u32,
    server_at_start: f64,
    driver_at_start: f64,
}

/// What a stretch has cost, in seconds of processor time.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Of the server's process, all its threads.
    pub server: f64,
    /// Of this process.
    pub driver: f64,
}

impl Meter {
    /// Begins a stretch.
    pub fn start(server: u32) -> Result<Self> {
        let driver_at_start = cpu_seconds("self")?;
        Ok(Self { server, server_at_start: cpu_seconds(&server.to_string())?, driver_at_start })
    }

    /// Ends it.
    pub fn stop(&self) -> Result<Usage> {
        Ok(Usage {
            server: cpu_seconds(&self.server.to_string())? - self.server_at_start,
            driver: cpu_seconds("self")? - self.driver_at_start,
        })
    }
}

/// User and system time so far, in seconds (proc_pid_stat(5), fields 14 and 15).
fn cpu_seconds(pid: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || -> Result<f64> {
        fields.next().with_context(|| format!("{path} is short"))?.parse().with_context(|| path.clone())
    };
    Ok((next()? + next()?) / TICKS)
}

/// Resident memory of a process now, and its highest mark since [`reset_peak`], in MiB.
pub fn memory_mib(pid: u32) -> Result<(f64, f64)> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib = kib.with_context(|| format!("{path} has no {name}"))?;
        Ok(kib.parse::<f64>().with_context(|| path.clone())? / 1024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Lets the highest mark begin anew (proc_pid_clear_refs(5)).
pub fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("writing {path}"))
}
