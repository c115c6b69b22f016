//! Limits as the files of each version take them. Pure.

use crate::report::CgroupVersion;
use crate::spec::Limits;
use crate::spec::build::DEFAULT_PERIOD_US;

/// One file and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) controller: &'static str,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether kernels lack it that can do the rest.
    pub(super) optional: bool,
}

/// What is to be written, in this order.
pub(super) fn writes(limits: &Limits, version: CgroupVersion) -> Vec<Write> {
    let mut list = Vec::new();
    let mut write =
        |controller, file, value: String, optional| list.push(Write { controller, file, value, optional });
    let two = version == CgroupVersion::V2;
    if let Some(shares) = limits.cpu_shares {
        if two {
            write("cpu", "cpu.weight", weight(shares).to_string(), false);
        } else {
            write("cpu", "cpu.shares", shares.to_string(), false);
        }
    }
    if let Some(quota) = limits.cpu_quota_us {
        let period = limits.cpu_period_us.unwrap_or(DEFAULT_PERIOD_US);
        if two {
            write("cpu", "cpu.max", format!("{quota} {period}"), false);
        } else {
            write("cpu", "cpu.cfs_period_us", period.to_string(), false);
            write("cpu", "cpu.cfs_quota_us", quota.to_string(), false);
        }
    }
    if let Some(cpus) = &limits.cpuset {
        write("cpuset", "cpuset.cpus", cpus.clone(), false);
    }
    if let Some(memory) = limits.memory {
        if two {
            write("memory", "memory.max", memory.to_string(), false);
            // Not counted where swap is not built in.
            write("memory", "memory.swap.max", "0".to_owned(), true);
        } else {
            write("memory", "memory.limit_in_bytes", memory.to_string(), false);
        }
    }
    if let Some(reserved) = limits.memory_reserved.filter(|_| two) {
        write("memory", "memory.low", reserved.to_string(), false);
    }
    if let Some(pids) = limits.pids {
        write("pids", "pids.max", pids.to_string(), false);
    }
    if let Some(io) = limits.io_weight {
        if two {
            // Whichever of them weighs here.
            write("io", "io.bfq.weight", io.to_string(), true);
            write("io", "io.weight", io_weight(io).to_string(), true);
        } else {
            write("blkio", "blkio.weight", io.to_string(), true);
            write("blkio", "blkio.bfq.weight", io.to_string(), true);
        }
    }
    list
}

/// Shares of version 1 (2 to 262144, usually 1024) as a weight of version 2 (1 to 10000, usually 100), by the curve that the
/// OCI's runtimes agreed on: the ends and what is usual keep their places.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            #[expect(clippy::cast_precision_loss, reason = "it is less than 2^18")]
            let power = (shares as f64).log2();
            let exponent = (power * power + 125.0 * power) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is within 1 to 10000"
            )]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight.clamp(1, 10_000)
        }
    }
}

/// Weights of version 1 (10 to 1000) as those of version 2 (1 to 10000).
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10).min(990) * 9_999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: CgroupVersion) -> Vec<String> {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota_us: Some(50_000),
            cpu_period_us: None,
            cpuset: Some("0".to_owned()),
            memory: Some(1 << 26),
            memory_reserved: Some(1 << 25),
            pids: Some(10),
            io_weight: Some(100),
        };
        let line = |write: &Write| format!("{}/{}={}", write.controller, write.file, write.value);
        writes(&limits, version).iter().map(line).collect()
    }

    #[test]
    fn each_version_has_its_own_files() {
        assert_eq!(
            text(CgroupVersion::V2),
            [
                "cpu/cpu.weight=100",
                "cpu/cpu.max=50000 100000",
                "cpuset/cpuset.cpus=0",
                "memory/memory.max=67108864",
                "memory/memory.swap.max=0",
                "memory/memory.low=33554432",
                "pids/pids.max=10",
                "io/io.bfq.weight=100",
                "io/io.weight=910"
            ]
        );
        assert_eq!(
            text(CgroupVersion::V1),
            [
                "cpu/cpu.shares=1024",
                "cpu/cpu.cfs_period_us=100000",
                "cpu/cpu.cfs_quota_us=50000",
                "cpuset/cpuset.cpus=0",
                "memory/memory.limit_in_bytes=67108864",
                "pids/pids.max=10",
                "blkio/blkio.weight=100",
                "blkio/blkio.bfq.weight=100"
            ]
        );
        assert!(writes(&Limits::default(), CgroupVersion::V2).is_empty());
    }

    #[test]
    fn weights_keep_their_ends() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 100, 10_000));
        assert!((2..262_144).step_by(97).all(|shares| weight(shares) <= weight(shares + 97)));
        assert_eq!((io_weight(10), io_weight(1000)), (1, 10_000));
    }
}
