//! The kernel's account of processes: processor time and memory.

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use std::time::Duration;

/// Ticks a second of `/proc/PID/stat`, which Linux fixes for its programs whatever the kernel's own clock is.
const TICKS: u64 = 100;

/// Processor time of a process, to a hundredth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Of its own threads.
    pub own: Duration,
    /// Of those of its children that have ended and were waited for, and of theirs.
    pub waited: Duration,
}

/// Processor time of a process that is there.
pub fn ticks(pid: u32) -> Result<Ticks> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    ticks_of(&stat).with_context(|| format!("{path} is not understood"))
}

/// Fields 14 to 17 of a line (proc_pid_stat(5)). The name, in parentheses, may hold anything.
fn ticks_of(stat: &str) -> Option<Ticks> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    let mut time = || Some(Duration::from_millis((fields.next()?? + fields.next()??) * (1000 / TICKS)));
    Some(Ticks { own: time()?, waited: time()? })
}

/// Processor time of this process, and of all its children that it has waited for.
pub fn own_time() -> Result<(Duration, Duration)> {
    let time = |who| -> Result<Duration> {
        let usage = getrusage(who).context("asking what was used")?;
        let of = |time: nix::sys::time::TimeVal| {
            Duration::new(u64::try_from(time.tv_sec()).unwrap_or(0), 0)
                + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
        };
        Ok(of(usage.user_time()) + of(usage.system_time()))
    };
    Ok((time(UsageWho::RUSAGE_SELF)?, time(UsageWho::RUSAGE_CHILDREN)?))
}

/// A process' share of memory, in MiB: pages that several processes have are divided among them.
pub fn pss_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    pss_of(&text).with_context(|| format!("{path} is not understood"))
}

fn pss_of(smaps: &str) -> Option<f64> {
    let kib = smaps.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?;
    Some(kib.parse::<f64>().ok()? / 1024.0)
}

/// The middle of some figures; zero of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 20 0";
        let ms = Duration::from_millis;
        assert_eq!(ticks_of(stat), Some(Ticks { own: ms(230), waited: ms(270) }));
        assert_eq!(ticks_of("7 (a) S 1 2"), None);
        assert_eq!(ticks_of(""), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let busy = std::time::Instant::now();
        while busy.elapsed() < Duration::from_millis(30) {}
        assert!(own_time().unwrap().0 >= Duration::from_millis(1));
        assert!(ticks(std::process::id()).is_ok() && pss_mib(std::process::id()).unwrap() > 0.1);
    }

    #[test]
    fn a_share_of_memory_is_in_kib() {
        let text =
            "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  1536 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(pss_of(text), Some(1.5));
        assert_eq!(pss_of("Rss: 1 kB\n"), None);
    }

    #[test]
    fn the_middle_is_one_of_them() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 3.0);
    }
}
