//! What the node has too little of, since when, and who has to go for it. Pure: readings and the clock are arguments.

use crate::settings::PressureSettings;
use hypermesh_planner::eviction::{Level, Scarce, Usage, victim};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long pressure is told of after it has gone: kubelet's `evictionPressureTransitionPeriod`, shorter.
pub(super) const LINGERS: Duration = Duration::from_secs(60);

/// All there is of something, and what of it may still be taken: bytes, or processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub all: u64,
    pub available: u64,
}

/// A reading as it is judged.
pub(super) fn level(scarce: Scarce, settings: &PressureSettings, reading: Reading) -> Level {
    let Reading { all, available } = reading;
    let (threshold, more) = match scarce {
        Scarce::Memory => (settings.memory, settings.memory / 2),
        Scarce::Disk => {
            let left = settings.disk_left(all);
            (left, left / 4)
        }
        Scarce::Pids => {
            let used = u128::from(all) * u128::from(settings.pids_percent.min(100)) / 100;
            let left = all.saturating_sub(u64::try_from(used).unwrap_or(all));
            (left, left / 2)
        }
    };
    Level { available, threshold, relieved: threshold.saturating_add(more) }
}

/// What the node had too little of when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Standing(BTreeMap<Scarce, Instant>);

impl Standing {
    /// Takes in how much there is of something; gives whether there is too little of it now.
    pub fn take(&mut self, scarce: Scarce, level: &Level, now: Instant) -> bool {
        let short = level.is_scarce(self.0.contains_key(&scarce));
        if short {
            self.0.insert(scarce, now);
        } else if self.0.get(&scarce).is_some_and(|since| now.duration_since(*since) > LINGERS) {
            self.0.remove(&scarce);
        }
        short
    }

    /// Whether the node is under this pressure: there is too little, or there was a moment ago.
    pub fn holds(&self, scarce: Scarce) -> bool {
        self.0.contains_key(&scarce)
    }
}

/// Who goes now: nobody while there is enough, or while somebody who was asked to go is about to; and nobody whose end frees
/// less than `worth`.
pub(super) fn next<'a>(
    level: &Level,
    somebody_goes: bool,
    usages: &'a [Usage],
    worth: u64,
) -> Option<&'a Usage> {
    if somebody_goes || !level.is_scarce(false) { None } else { victim(usages, worth) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_planner::InstanceUid;

    const SETTINGS: PressureSettings = PressureSettings {
        memory: 100,
        disk_percent: 10,
        disk_enough: 4 << 30,
        pids_percent: 90,
        every: Duration::from_secs(10),
    };

    fn usage(uid: &str, requested: u64, used: u64) -> Usage {
        Usage { uid: InstanceUid::parse(uid).unwrap(), requested, used }
    }

    #[test]
    fn each_resource_has_its_own_measure() {
        let of = |scarce, all, available| {
            let level = level(scarce, &SETTINGS, Reading { all, available });
            (level.threshold, level.relieved)
        };
        assert_eq!(of(Scarce::Memory, 1000, 1), (100, 150));
        assert_eq!(of(Scarce::Disk, 1000, 1), (100, 125));
        // A tenth of a large disk is more than anybody needs left.
        assert_eq!(of(Scarce::Disk, 1 << 50, 1), (4 << 30, (4 << 30) + (1 << 30)));
        assert_eq!(of(Scarce::Pids, 4000, 1), (400, 600));
        assert_eq!(
            of(Scarce::Pids, u64::MAX, 1).0,
            u64::MAX - u64::try_from(u128::from(u64::MAX) * 90 / 100).unwrap()
        );
    }

    /// A node that is looked at every ten seconds, and whose instances take what they take until they are evicted.
    fn story(total: u64, mut instances: Vec<Usage>, looks: usize) -> Vec<String> {
        let (mut standing, mut told) = (Standing::default(), Vec::new());
        let mut going: Option<InstanceUid> = None;
        let mut now = Instant::now();
        for look in 0..looks {
            now += SETTINGS.every;
            let used: u64 = instances.iter().map(|usage| usage.used).sum();
            let reading = Reading { all: total, available: total.saturating_sub(used) };
            let level = level(Scarce::Memory, &SETTINGS, reading);
            let before = standing.holds(Scarce::Memory);
            if standing.take(Scarce::Memory, &level, now)
                && let Some(usage) = next(&level, going.is_some(), &instances, 1)
            {
                told.push(format!("{look}: {} goes, {} left", usage.uid, reading.available));
                going = Some(usage.uid.clone());
            } else if let Some(gone) = going.take() {
                instances.retain(|usage| usage.uid != gone);
            }
            if before && !standing.holds(Scarce::Memory) {
                told.push(format!("{look}: over"));
            }
        }
        told
    }

    #[test]
    fn one_after_another_goes_until_there_is_enough_and_no_more() {
        let instances = vec![
            // Within what it asked for, and the largest of all.
            usage("a", 500, 490),
            usage("b", 100, 260),
            usage("c", 0, 200),
        ];
        // 50 of 1000 are left: who took most beyond what was asked for goes, is waited for, and is enough.
        assert_eq!(story(1000, instances, 12), ["0: c goes, 50 left", "8: over"]);
        let instances =
            vec![usage("a", 500, 490), usage("b", 100, 260), usage("c", 0, 200), usage("d", 50, 0)];
        // Who keeps within what was asked for is the last, whatever it uses.
        assert_eq!(
            story(540, instances, 14),
            ["0: c goes, 0 left", "2: b goes, 0 left", "4: a goes, 50 left", "12: over"]
        );
    }

    #[test]
    fn pressure_is_told_a_while_longer_than_it_lasts() {
        let (mut standing, begin) = (Standing::default(), Instant::now());
        let mut at = |second: u64, available| {
            let level = level(Scarce::Pids, &SETTINGS, Reading { all: 1000, available });
            let short = standing.take(Scarce::Pids, &level, begin + Duration::from_secs(second));
            (short, standing.holds(Scarce::Pids))
        };
        assert_eq!(at(0, 100), (false, false));
        assert_eq!(at(10, 99), (true, true));
        // Enough to begin with is not enough to end it.
        assert_eq!(at(20, 149), (true, true));
        assert_eq!(at(30, 150), (false, true));
        assert_eq!(at(80, 150), (false, true));
        assert_eq!(at(81, 150), (false, false));
        assert_eq!(at(90, 120), (false, false));
    }
}
