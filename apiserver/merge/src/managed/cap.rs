//! A bound on the number of updaters: the oldest are merged into one entry per version (`capManagersManager`).

use super::{Managed, ManagerId, Operation, Owner, Time};
use std::collections::BTreeMap;

/// The most entries of updates that an object keeps.
pub(crate) const MAX_UPDATERS: usize = 10;

/// The manager of what the oldest updaters owned.
const ANCIENT: &str = "ancient-changes";

impl Managed {
    /// Merges the oldest updaters until at most `most` are left, or until each version has one left.
    pub(crate) fn cap_updaters(&mut self, most: usize) {
        if self.updaters() <= most {
            return;
        }
        let mut oldest: Vec<(i64, String, ManagerId)> = self
            .0
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update)
            .map(|(id, owner)| (Time::seconds(owner.time.as_ref()), id.identifier(), id.clone()))
            .collect();
        oldest.sort();
        // The entry of each version into which the next older one goes.
        let mut heads: BTreeMap<String, ManagerId> = BTreeMap::new();
        for (_, _, id) in oldest {
            if self.updaters() <= most {
                return;
            }
            let Some(version) = self.0.get(&id).map(|owner| owner.api_version.clone()) else { continue };
            match heads.get(&version) {
                None => {
                    heads.insert(version, id);
                }
                Some(head) => {
                    let bucket = self.bury(&version, head.clone(), id);
                    heads.insert(version, bucket);
                }
            }
        }
    }

    fn updaters(&self) -> usize {
        self.0.keys().filter(|id| id.operation == Operation::Update).count()
    }

    /// Merges two entries of a version into its bucket, which gets the time of the later one.
    fn bury(&mut self, version: &str, older: ManagerId, later: ManagerId) -> ManagerId {
        let bucket = ManagerId {
            manager: ANCIENT.to_owned(),
            operation: Operation::Update,
            api_version: version.to_owned(),
            subresource: String::new(),
        };
        let time = self.0.get(&later).and_then(|owner| owner.time.clone());
        let mut merged = self.0.remove(&bucket).unwrap_or_default();
        for id in [older, later] {
            if let Some(Owner { set, .. }) = self.0.remove(&id) {
                merged.set = merged.set.union(set);
            }
        }
        merged.api_version = version.to_owned();
        merged.time = time;
        self.0.insert(bucket.clone(), merged);
        bucket
    }
}
