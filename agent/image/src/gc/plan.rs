//! What goes, and why: a value.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// When images are collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Percent of the disk in use above which images go (kubelet's `imageGCHighThresholdPercent`).
    pub high_percent: u8,
    /// Percent of the disk in use down to which they go (`imageGCLowThresholdPercent`).
    pub low_percent: u8,
    /// Images that were used or came more recently stay (`imageMinimumGCAge`).
    pub minimum_age: Duration,
    /// Unused images go after this, however empty the disk is; zero is never (`imageMaximumGCAge`).
    pub maximum_age: Duration,
    /// Unfinished downloads go after this.
    pub partial_age: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            high_percent: 85,
            low_percent: 80,
            minimum_age: Duration::from_secs(2 * 60),
            maximum_age: Duration::ZERO,
            partial_age: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// How full a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// All of it, in bytes.
    pub capacity: u64,
    /// What this user may still take.
    pub available: u64,
}

impl Disk {
    fn used(self) -> u64 {
        self.capacity.saturating_sub(self.available)
    }

    /// Percent in use, rounded down.
    #[must_use]
    pub fn percent(self) -> u8 {
        if self.capacity == 0 {
            return 0;
        }
        u8::try_from(u128::from(self.used()) * 100 / u128::from(self.capacity)).unwrap_or(100)
    }
}

/// An image as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its manifest.
    pub manifest: Digest,
    /// Its names.
    pub names: Vec<String>,
    /// When it was used or came last, in seconds since 1970.
    pub last_used: u64,
    /// Who needs it: leases and root file systems.
    pub holders: Vec<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// What it is made of, with bytes; what it shares with others stays with them.
    pub parts: BTreeMap<Digest, u64>,
}

/// All that a plan is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The images.
    pub images: Vec<Candidate>,
    /// What no image is made of, with bytes.
    pub loose: BTreeMap<Digest, u64>,
    /// Unfinished downloads: bytes, and when they last grew.
    pub partials: Vec<(Digest, u64, u64)>,
    /// How full the disk is.
    pub disk: Disk,
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The disk is fuller than the high threshold.
    DiskPressure,
    /// It was unused for longer than the maximum age.
    Age,
}

/// An image that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its manifest.
    pub manifest: Digest,
    /// Its names.
    pub names: Vec<String>,
    /// Why.
    pub reason: Reason,
    /// What becomes free by it, with what went before.
    pub frees: u64,
}

/// What goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Images, in this order.
    pub removals: Vec<Removal>,
    /// Unfinished downloads that nobody goes on with.
    pub partials: Vec<Digest>,
    /// What becomes free in all.
    pub frees: u64,
    /// What the disk would still be above the low threshold: no unused images are left to go.
    pub shortfall: u64,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for removal in &self.removals {
            let why = match removal.reason {
                Reason::DiskPressure => "the disk is full",
                Reason::Age => "unused for long",
            };
            let name = removal.names.first().map_or_else(|| removal.manifest.to_string(), Clone::clone);
            writeln!(f, "remove {name}: {why}, frees {} bytes", removal.frees)?;
        }
        for partial in &self.partials {
            writeln!(f, "remove the unfinished download of {partial}")?;
        }
        write!(f, "{} bytes become free", self.frees)?;
        if self.shortfall > 0 {
            write!(
                f,
                "; {} more are needed, and every other image is in use, pinned or young",
                self.shortfall
            )?;
        }
        Ok(())
    }
}

/// Decides what goes. `now` is in seconds since 1970.
#[must_use]
pub fn plan(inventory: &Inventory, policy: &Policy, now: u64) -> Plan {
    let mut users: BTreeMap<&Digest, usize> = BTreeMap::new();
    for part in inventory.images.iter().flat_map(|image| image.parts.keys()) {
        *users.entry(part).or_default() += 1;
    }
    // What nothing leads to goes anyway.
    let mut frees: u64 = inventory.loose.values().sum();
    let disk = inventory.disk;
    let share = |percent: u8| {
        let bytes = u128::from(disk.capacity) * u128::from(percent.min(100)) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let goal = if disk.used() > share(policy.high_percent) {
        disk.used().saturating_sub(share(policy.low_percent.min(policy.high_percent)))
    } else {
        0
    };
    // Where room is needed, downloads that nobody goes on with right now are the first to go.
    let age = if goal > 0 { policy.minimum_age } else { policy.partial_age };
    let partials: Vec<Digest> = {
        let old = inventory.partials.iter().filter(|(_, _, at)| now.saturating_sub(*at) > age.as_secs());
        old.map(|(digest, bytes, _)| {
            frees = frees.saturating_add(*bytes);
            digest.clone()
        })
        .collect()
    };
    let mut idle: Vec<&Candidate> = inventory
        .images
        .iter()
        .filter(|image| image.holders.is_empty() && !image.pinned)
        .filter(|image| now.saturating_sub(image.last_used) >= policy.minimum_age.as_secs())
        .collect();
    idle.sort_by(|a, b| a.last_used.cmp(&b.last_used).then_with(|| a.manifest.cmp(&b.manifest)));
    let mut removals = Vec::new();
    for image in idle {
        let old = !policy.maximum_age.is_zero()
            && now.saturating_sub(image.last_used) > policy.maximum_age.as_secs();
        let reason = match (old, frees < goal) {
            (true, _) => Reason::Age,
            (false, true) => Reason::DiskPressure,
            (false, false) => continue,
        };
        let mut own = 0_u64;
        for (part, bytes) in &image.parts {
            if let Some(count) = users.get_mut(part) {
                *count -= 1;
                own = own.saturating_add(if *count == 0 { *bytes } else { 0 });
            }
        }
        frees = frees.saturating_add(own);
        let (manifest, names) = (image.manifest.clone(), image.names.clone());
        removals.push(Removal { manifest, names, reason, frees: own });
    }
    Plan { removals, partials, frees, shortfall: goal.saturating_sub(frees) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn image(name: &str, last_used: u64, parts: &[(&str, u64)]) -> Candidate {
        Candidate {
            manifest: digest(name),
            names: vec![name.to_owned()],
            last_used,
            holders: Vec::new(),
            pinned: false,
            parts: parts.iter().map(|(part, bytes)| (digest(part), *bytes)).collect(),
        }
    }

    fn inventory(images: Vec<Candidate>, available: u64) -> Inventory {
        let disk = Disk { capacity: 1000, available };
        Inventory { images, loose: BTreeMap::new(), partials: Vec::new(), disk }
    }

    #[test]
    fn the_longest_unused_go_until_the_disk_is_below_the_low_threshold() {
        let mut images = vec![
            image("old", 100, &[("base", 50), ("a", 30)]),
            image("older", 50, &[("base", 50), ("b", 10)]),
            image("young", 9_990, &[("c", 500)]),
            image("used", 1, &[("d", 500)]),
            image("pinned", 2, &[("e", 500)]),
            image("recent", 5_000, &[("f", 100)]),
        ];
        images[3].holders.push("container".to_owned());
        images[4].pinned = true;
        // 90 % used: 100 bytes have to go to come to 80 %.
        let full = plan(&inventory(images.clone(), 100), &Policy::default(), 10_000);
        insta::assert_snapshot!(full);
        let none = plan(&inventory(images.clone(), 160), &Policy::default(), 10_000);
        assert!(none.removals.is_empty() && none.shortfall == 0);
        let fuller = plan(&inventory(images, 0), &Policy::default(), 10_000);
        assert_eq!((fuller.removals.len(), fuller.frees, fuller.shortfall), (3, 190, 10));
    }

    #[test]
    fn age_alone_takes_what_is_unused_for_long() {
        let policy = Policy { maximum_age: Duration::from_secs(1000), ..Policy::default() };
        let images = vec![image("old", 0, &[("a", 1)]), image("new", 9_500, &[("b", 1)])];
        let mut inventory = inventory(images, 900);
        inventory.partials = vec![(digest("p"), 7, 0), (digest("q"), 7, 9_999)];
        let plan = plan(&inventory, &Policy { partial_age: Duration::from_secs(60), ..policy }, 10_000);
        assert_eq!(plan.removals.len(), 1);
        assert_eq!(plan.removals[0].reason, Reason::Age);
        assert_eq!(plan.partials, [digest("p")]);
        assert_eq!(plan.frees, 8);
    }

    proptest! {
        #[test]
        fn a_plan_takes_nothing_that_is_needed_and_no_more_than_has_to_go(
            made in proptest::collection::vec((0_u64..10_000, 0_u8..4, proptest::collection::vec((0_u8..8, 1_u64..200), 1..4)), 0..10),
            available in 0_u64..1000,
        ) {
            let images: Vec<Candidate> = made.iter().enumerate().map(|(at, (last_used, state, parts))| {
                let mut image = image(&format!("i{at}"), *last_used, &[]);
                // A part has one size, whoever has it.
                image.parts = parts.iter().map(|(part, _)| (digest(&part.to_string()), u64::from(*part) * 20 + 1)).collect();
                if *state == 0 { image.holders.push("c".to_owned()); }
                image.pinned = *state == 1;
                image
            }).collect();
            let inventory = inventory(images.clone(), available);
            let policy = Policy::default();
            let plan = plan(&inventory, &policy, 10_000);
            for removal in &plan.removals {
                let image = images.iter().find(|image| image.manifest == removal.manifest).unwrap();
                prop_assert!(image.holders.is_empty() && !image.pinned && image.last_used + 120 <= 10_000);
            }
            let goal = if inventory.disk.percent() > 85 { inventory.disk.used().saturating_sub(800) } else { 0 };
            // Without the last removal it would not have been enough.
            if let Some(last) = plan.removals.last() {
                prop_assert!(plan.frees - last.frees < goal.max(1) || inventory.disk.used() > 850);
            }
            let gone: BTreeSet<Digest> = plan.removals.iter().map(|removal| removal.manifest.clone()).collect();
            let left: BTreeSet<&Digest> = images.iter().filter(|image| !gone.contains(&image.manifest)).flat_map(|image| image.parts.keys()).collect();
            let freed: BTreeMap<&Digest, u64> = images.iter().flat_map(|image| &image.parts)
                .filter(|(part, _)| !left.contains(part)).map(|(part, bytes)| (part, *bytes)).collect();
            prop_assert_eq!(plan.frees, freed.values().sum::<u64>());
        }
    }
}
