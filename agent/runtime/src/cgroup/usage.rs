//! Usage as the files of each version tell it. What a kernel does not tell is none; the parsing is pure.

use super::Cgroups;
use crate::report::CgroupVersion;
use crate::stats::Stats;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// A limit of version 1 that is none: the largest that a page counter holds.
const UNLIMITED: u64 = 0x7fff_ffff_ffff_f000;

/// How long a tick of user time is (`USER_HZ` is 100 on every Linux we run on), in nanoseconds.
const TICK: u64 = 10_000_000;

/// Reads usage of cgroups.
pub(crate) struct Usage<'a> {
    cgroups: &'a Cgroups,
    path: &'a Path,
}

impl<'a> Usage<'a> {
    pub(crate) fn of(cgroups: &'a Cgroups, path: &'a Path) -> Self {
        Self { cgroups, path }
    }

    /// Reads it; none if there is no such cgroup.
    pub(crate) fn read(&self) -> Option<Stats> {
        let mut stats = match self.cgroups.version {
            CgroupVersion::V1 => self.one(),
            CgroupVersion::V2 => self.two(),
            CgroupVersion::None => return None,
        };
        if stats == Stats::default() {
            return None;
        }
        stats.at = Some(SystemTime::now());
        stats.memory_working_set = stats.memory.map(|memory| {
            let cold = stats.memory_working_set.unwrap_or(0);
            memory.saturating_sub(cold)
        });
        Some(stats)
    }

    fn text(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.cgroups.folder(controller, self.path)?.join(file)).ok()
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        self.text(controller, file)?.trim().parse().ok()
    }

    /// The working set is what is cold, until [`Usage::read`] has subtracted it.
    fn two(&self) -> Stats {
        let cpu = self.text("cpu", "cpu.stat").unwrap_or_default();
        let memory = self.text("memory", "memory.stat").unwrap_or_default();
        let io = self.text("io", "io.stat");
        Stats {
            at: None,
            cpu_ns: field(&cpu, "usage_usec").map(micros),
            cpu_user_ns: field(&cpu, "user_usec").map(micros),
            throttled_ns: field(&cpu, "throttled_usec").map(micros),
            throttled_periods: field(&cpu, "nr_throttled"),
            memory: self.number("memory", "memory.current"),
            memory_working_set: field(&memory, "inactive_file"),
            memory_rss: field(&memory, "anon"),
            major_faults: field(&memory, "pgmajfault"),
            memory_limit: self.number("memory", "memory.max"),
            pids: self.number("pids", "pids.current"),
            forks_refused: self.text("pids", "pids.events").and_then(|text| field(&text, "max")),
            read_bytes: io.as_deref().map(|io| by_device(io, "rbytes=")),
            written_bytes: io.as_deref().map(|io| by_device(io, "wbytes=")),
            oom_kills: self.text("memory", "memory.events").and_then(|text| field(&text, "oom_kill")),
        }
    }

    fn one(&self) -> Stats {
        let cpu = self.text("cpu", "cpu.stat").unwrap_or_default();
        let memory = self.text("memory", "memory.stat").unwrap_or_default();
        let io = self.text("blkio", "blkio.throttle.io_service_bytes_recursive");
        let user = self.text("cpuacct", "cpuacct.stat").and_then(|text| field(&text, "user"));
        Stats {
            at: None,
            cpu_ns: self.number("cpuacct", "cpuacct.usage"),
            cpu_user_ns: user.map(|ticks| ticks.saturating_mul(TICK)),
            throttled_ns: field(&cpu, "throttled_time"),
            throttled_periods: field(&cpu, "nr_throttled"),
            memory: self.number("memory", "memory.usage_in_bytes"),
            memory_working_set: field(&memory, "total_inactive_file"),
            memory_rss: field(&memory, "total_rss"),
            major_faults: field(&memory, "total_pgmajfault"),
            memory_limit: self.number("memory", "memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED),
            pids: self.number("pids", "pids.current"),
            forks_refused: self.text("pids", "pids.events").and_then(|text| field(&text, "max")),
            read_bytes: io.as_deref().map(|io| by_word(io, "Read")),
            written_bytes: io.as_deref().map(|io| by_word(io, "Write")),
            oom_kills: self.text("memory", "memory.oom_control").and_then(|text| field(&text, "oom_kill")),
        }
    }
}

fn micros(value: u64) -> u64 {
    value.saturating_mul(1_000)
}

/// `name value` in a line of its own.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The sum over devices of `8:0 rbytes=1 wbytes=2 …`.
fn by_device(text: &str, key: &str) -> u64 {
    let values = text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
    values.fold(0, u64::saturating_add)
}

/// The sum over devices of `8:0 Read 1`.
fn by_word(text: &str, word: &str) -> u64 {
    let values = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == word).then(|| words.next()?.parse::<u64>().ok())?
    });
    values.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn version_2() {
        let dir = tempfile::tempdir().unwrap();
        put(
            &dir.path().join("h/i"),
            &[
                (
                    "cpu.stat",
                    "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 4\nnr_throttled 3\nthrottled_usec 7\n",
                ),
                ("memory.current", "1000\n"),
                ("memory.stat", "anon 600\nfile 400\ninactive_file 300\npgmajfault 2\n"),
                ("memory.max", "max\n"),
                ("memory.events", "oom 1\noom_kill 1\n"),
                ("pids.current", "5\n"),
                ("pids.events", "max 9\n"),
                ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n8:16 rbytes=1 wbytes=2\n"),
            ],
        );
        let mounts = format!("30 20 0:25 / {} rw - cgroup2 cgroup2 rw\n", dir.path().display());
        let cgroups = Cgroups::of(&mounts, Path::new("/h"));
        let mut stats = Usage::of(&cgroups, Path::new("/h/i")).read().unwrap();
        assert!(stats.at.take().is_some());
        insta::assert_debug_snapshot!(stats);
        assert_eq!(Usage::of(&cgroups, Path::new("/h/none")).read(), None);
    }

    #[test]
    fn version_1() {
        let dir = tempfile::tempdir().unwrap();
        put(
            dir.path(),
            &[
                ("cpu/h/i/cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 7000\n"),
                ("cpuacct/h/i/cpuacct.usage", "1500000\n"),
                ("cpuacct/h/i/cpuacct.stat", "user 2\nsystem 1\n"),
                ("memory/h/i/memory.usage_in_bytes", "1000\n"),
                (
                    "memory/h/i/memory.stat",
                    "rss 1\ntotal_rss 600\ntotal_inactive_file 300\ntotal_pgmajfault 2\n",
                ),
                ("memory/h/i/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/h/i/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
                ("pids/h/i/pids.current", "5\n"),
                ("pids/h/i/pids.events", "max 9\n"),
                (
                    "blkio/h/i/blkio.throttle.io_service_bytes_recursive",
                    "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\nTotal 31\n",
                ),
            ],
        );
        let mount = |name: &str| {
            format!("30 20 0:25 / {}/{name} rw - cgroup cgroup rw,{name}\n", dir.path().display())
        };
        let mounts = ["cpu", "cpuacct", "memory", "pids", "blkio"].map(mount).concat();
        let cgroups = Cgroups::of(&mounts, Path::new("/h"));
        let mut stats = Usage::of(&cgroups, Path::new("/h/i")).read().unwrap();
        assert!(stats.at.take().is_some());
        insta::assert_debug_snapshot!(stats);
    }

    proptest! {
        #[test]
        fn whatever_the_files_hold(text in "(.{0,20}\n){0,5}") {
            let _ = (field(&text, "a"), by_device(&text, "r="), by_word(&text, "Read"));
        }
    }
}
