//! What the kernel says of the host: processors, memory, names, versions.

use hypermesh_schemas::node::NodeInfo;
use std::fs::read_to_string;

/// All memory and what is available, in bytes (proc_meminfo(5)).
#[must_use]
pub fn memory() -> Option<(u64, u64)> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    };
    Some((field("MemTotal:")?, field("MemAvailable:")?))
}

/// Processors that this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time of the whole host since it started (proc_stat(5)).
#[must_use]
pub fn cpu_nanoseconds() -> Option<u64> {
    let text = read_to_string("/proc/stat").ok()?;
    let mut fields =
        text.lines().next()?.split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (user, nice, system) = (fields.next()?, fields.next()?, fields.next()?);
    // Idle, and waiting for disks.
    let mut rest = fields.skip(2);
    let (irq, softirq) = (rest.next().unwrap_or(0), rest.next().unwrap_or(0));
    let ticks = user + nice + system + irq + softirq;
    ticks.checked_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// Processes and threads there are, and how many there may be.
#[must_use]
pub fn processes() -> Option<(u64, u64)> {
    let text = read_to_string("/proc/loadavg").ok()?;
    let now = text.split_whitespace().nth(3)?.split('/').nth(1)?.parse().ok()?;
    let number = |path: &str| read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    Some((now, most))
}

/// What this process itself has of `oom_score_adj`.
#[must_use]
pub fn oom_score_adjustment() -> i32 {
    read_to_string("/proc/self/oom_score_adj")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_default()
}

/// Gives back to the kernel what a burst of work took and nobody uses any more: the C library keeps it otherwise.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "a call of the C library")]
        // SAFETY: it takes no pointer, touches free memory alone, and locks the allocator's own locks (malloc_trim(3)).
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// The boot that the host is in.
#[must_use]
pub fn boot_id() -> String {
    read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Its name.
#[must_use]
pub fn hostname() -> String {
    read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// Its processor's architecture, by Go's name.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the host is.
#[must_use]
pub fn node_info(runtime: &str) -> NodeInfo {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let os = read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    NodeInfo {
        agent_version: format!("v{}", env!("CARGO_PKG_VERSION")),
        architecture: architecture().to_owned(),
        boot_id: boot_id(),
        kernel_version: release.trim().to_owned(),
        container_runtime_version: Some(runtime.to_owned()),
        os_image: pretty.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_there_is() {
        let (total, available) = memory().unwrap();
        assert!(total > available && available > 0);
        let (now, most) = processes().unwrap();
        assert!(now > 0 && now < most);
        assert!(cpu_nanoseconds().unwrap() > 0 && !boot_id().is_empty());
    }
}
