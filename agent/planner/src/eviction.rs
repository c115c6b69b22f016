//! Who has to go when the node runs out of something.

use crate::identity::InstanceUid;

/// What the node runs out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scarce {
    /// Memory.
    Memory,
    /// The disk.
    Disk,
    /// Processes.
    Pids,
}

impl Scarce {
    /// As it is named in quantities.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
            Self::Pids => "pids",
        }
    }
}

/// What an instance has of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The instance.
    pub uid: InstanceUid,
    /// What it asked for.
    pub requested: u64,
    /// What it uses.
    pub used: u64,
}

/// How much there is of something, and below what it is scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What is left.
    pub available: u64,
    /// Below this, instances have to go.
    pub threshold: u64,
    /// The node had too little a moment ago: it is relieved only once this is left.
    pub relieved: u64,
}

impl Level {
    /// Whether there is too little, given whether there was a moment ago.
    #[must_use]
    pub fn is_scarce(&self, was: bool) -> bool {
        self.available < if was { self.relieved.max(self.threshold) } else { self.threshold }
    }
}

/// What an end frees at least, if anybody is to end for it: less is what every instance has (`/etc/hosts` and the like), and
/// comes back with the instance that takes its place.
#[must_use]
pub fn worth(scarce: Scarce) -> u64 {
    match scarce {
        Scarce::Memory | Scarce::Disk => 1 << 20,
        Scarce::Pids => 2,
    }
}

/// Who goes next, of those who use at least so much: who uses more than was asked for goes before others, and of those who uses most beyond it (kubelet's
/// `rankMemoryPressure`). One at a time: what is left is looked at again before another goes.
#[must_use]
pub fn victim(instances: &[Usage], least: u64) -> Option<&Usage> {
    let beyond = |usage: &Usage| i128::from(usage.used) - i128::from(usage.requested);
    instances
        .iter()
        .filter(|usage| usage.used >= least.max(1))
        .max_by(|a, b| beyond(a).cmp(&beyond(b)).then_with(|| b.uid.cmp(&a.uid)))
}

/// What people are told of an eviction.
#[must_use]
pub fn message(scarce: Scarce, level: &Level, victim: &Usage) -> String {
    let what = scarce.as_str();
    format!(
        "The node was low on resource: {what}. Threshold quantity: {}, available: {}. The instance was using {}, request \
         is {}.",
        amount(scarce, level.threshold),
        amount(scarce, level.available),
        amount(scarce, victim.used),
        amount(scarce, victim.requested),
    )
}

fn amount(scarce: Scarce, amount: u64) -> String {
    match (scarce, amount) {
        (Scarce::Pids, _) | (_, 0) => amount.to_string(),
        (_, bytes) if bytes < 1 << 20 => format!("{}Ki", bytes.div_ceil(1 << 10)),
        (_, bytes) => format!("{}Mi", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(uid: &str, requested: u64, used: u64) -> Usage {
        Usage { uid: InstanceUid::parse(uid).unwrap(), requested, used }
    }

    #[test]
    fn who_takes_more_than_was_asked_for_goes_first() {
        let all = [usage("a", 100, 90), usage("b", 0, 50), usage("c", 1000, 1040), usage("d", 0, 0)];
        assert_eq!(victim(&all, 1).unwrap().uid.as_str(), "b");
        assert_eq!(victim(&all[..1], 1).unwrap().uid.as_str(), "a");
        assert_eq!(victim(&all[3..], 0), None);
        // Who frees nothing worth it stays, whatever they asked for.
        assert_eq!(victim(&all, 1000).unwrap().uid.as_str(), "c");
        assert_eq!(victim(&all, 2000), None);
    }

    #[test]
    fn pressure_ends_later_than_it_begins() {
        let level = |available| Level { available, threshold: 100, relieved: 150 };
        assert!(level(99).is_scarce(false) && !level(100).is_scarce(false));
        assert!(level(149).is_scarce(true) && !level(150).is_scarce(true));
    }

    #[test]
    fn the_message_tells_why_and_who() {
        let level = Level { available: 50 << 20, threshold: 100 << 20, relieved: 0 };
        insta::assert_snapshot!(message(Scarce::Memory, &level, &usage("a", 0, 200 << 20)), @"The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. The instance was using 200Mi, request is 0.");
    }
}
