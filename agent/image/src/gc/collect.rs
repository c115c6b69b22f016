//! From what there is to a plan, and from a plan to what is left.

use super::plan::{Candidate, Disk, Inventory, Plan, Policy, plan};
use crate::digest::Digest;
use crate::store::{Store, StoreError, now};
use std::collections::{BTreeMap, BTreeSet};

/// What a collection did.
#[derive(Debug, Default)]
pub struct Collected {
    /// Images whose names are gone.
    pub images: Vec<Digest>,
    /// Images of the plan that somebody began to use meanwhile, and which stay.
    pub kept: Vec<Digest>,
    /// Blobs that were removed.
    pub blobs: usize,
    /// Unpacked layers that were removed.
    pub layers: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// What there is to plan with.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let holders = self.holders()?;
        let sizes: BTreeMap<Digest, u64> = self.blobs()?.into_iter().collect();
        let layers: BTreeMap<Digest, u64> =
            self.layers().into_iter().map(|(diff_id, layer)| (diff_id, layer.bytes)).collect();
        let mut images: BTreeMap<Digest, Candidate> = BTreeMap::new();
        for (name, record) in self.names() {
            let image = images.entry(record.manifest.clone()).or_insert_with(|| Candidate {
                manifest: record.manifest.clone(),
                names: Vec::new(),
                last_used: 0,
                holders: holders.get(&record.manifest).cloned().unwrap_or_default(),
                pinned: false,
                parts: BTreeMap::new(),
            });
            image.names.push(name);
            image.last_used = image.last_used.max(record.last_used);
            image.pinned |= record.pinned;
            for part in self.parts(&record.manifest).into_iter().chain([record.target.digest]) {
                // One digest may be a blob and, where it is plain, a layer as well.
                let bytes = sizes.get(&part).copied().unwrap_or(0) + layers.get(&part).copied().unwrap_or(0);
                image.parts.insert(part, bytes);
            }
        }
        let used: BTreeSet<&Digest> = images.values().flat_map(|image| image.parts.keys()).collect();
        let held: BTreeSet<Digest> = self.roots(&holders);
        let all: BTreeSet<&Digest> = sizes.keys().chain(layers.keys()).collect();
        let loose = all
            .into_iter()
            .filter(|digest| !used.contains(digest) && !held.contains(*digest))
            .map(|digest| {
                let bytes =
                    sizes.get(digest).copied().unwrap_or(0) + layers.get(digest).copied().unwrap_or(0);
                (digest.clone(), bytes)
            })
            .collect();
        let images = images.into_values().collect();
        Ok(Inventory { images, loose, partials: self.partials()?, disk: self.disk()? })
    }

    /// How full the disk is that the store lies on.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn disk(&self) -> Result<Disk, StoreError> {
        let stat = rustix::fs::fstatvfs(self.dir())
            .map_err(|errno| crate::store::errno_error("measuring the disk of", self.root(), errno))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        // What root alone may take is neither free nor used.
        let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
        Ok(Disk { capacity: bytes(stat.f_blocks.saturating_sub(reserved)), available: bytes(stat.f_bavail) })
    }

    /// Carries a plan out: takes the names away, and removes every blob and layer that nothing leads to any more. An
    /// image that somebody began to use since the plan was made stays.
    ///
    /// # Errors
    /// If the disk would not; what was done until then stays done.
    pub fn collect(&self, plan: &Plan) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        for removal in &plan.removals {
            let holders = self.holders()?;
            let in_use = holders.contains_key(&removal.manifest) || self.held().contains(&removal.manifest);
            if in_use || !self.unname_all(&removal.manifest, &removal.names)? {
                collected.kept.push(removal.manifest.clone());
            } else {
                collected.images.push(removal.manifest.clone());
            }
        }
        for partial in &plan.partials {
            if !self.held().contains(partial) {
                self.drop_partial(partial)?;
            }
        }
        self.sweep(&mut collected)?;
        Ok(collected)
    }

    fn sweep(&self, collected: &mut Collected) -> Result<(), StoreError> {
        let (mut generation, mut reachable) = self.reachable()?;
        let layers: BTreeMap<Digest, u64> =
            self.layers().into_iter().map(|(diff_id, layer)| (diff_id, layer.bytes)).collect();
        let blobs = self.blobs()?.into_iter().map(|(digest, bytes)| (false, digest, bytes));
        let layers = layers.into_iter().map(|(diff_id, bytes)| (true, diff_id, bytes));
        for (layer, digest, bytes) in blobs.chain(layers) {
            while !reachable.contains(&digest) {
                let gone = if layer {
                    self.drop_layer(&digest, generation)?
                } else {
                    self.drop_loose(&digest, generation)?
                };
                if gone {
                    *(if layer { &mut collected.layers } else { &mut collected.blobs }) += 1;
                    collected.bytes += bytes;
                    break;
                }
                // A pull, an import or a container came in between: what it needs is looked at anew.
                (generation, reachable) = self.reachable()?;
            }
        }
        Ok(())
    }

    /// Everything that a name, a lease, a root file system or somebody at work leads to.
    fn reachable(&self) -> Result<(u64, BTreeSet<Digest>), StoreError> {
        let generation = self.generation();
        let mut reachable = self.roots(&self.holders()?);
        for record in self.names().into_values() {
            reachable.extend(self.parts(&record.manifest));
            reachable.insert(record.target.digest);
        }
        Ok((generation, reachable))
    }

    /// What is needed though perhaps no name leads to it.
    fn roots(&self, holders: &BTreeMap<Digest, Vec<String>>) -> BTreeSet<Digest> {
        let mut roots: BTreeSet<Digest> = holders.keys().flat_map(|manifest| self.parts(manifest)).collect();
        for held in self.held() {
            roots.extend(self.parts(&held));
        }
        roots
    }

    /// A manifest, and what it is made of if it can be read.
    fn parts(&self, manifest: &Digest) -> BTreeSet<Digest> {
        let mut parts = BTreeSet::from([manifest.clone()]);
        if self.blob_size(manifest).is_some_and(|bytes| bytes <= self.limits().manifest_bytes)
            && let Ok((read, config)) = self.read_image(manifest)
        {
            parts.insert(read.config.digest);
            parts.extend(read.layers.into_iter().map(|layer| layer.digest));
            parts.extend(config.rootfs.diff_ids);
        }
        parts
    }

    /// Who needs which manifest.
    pub(crate) fn holders(&self) -> Result<BTreeMap<Digest, Vec<String>>, StoreError> {
        let mut holders: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for (holder, lease) in self.leases() {
            holders.entry(lease.manifest).or_default().push(holder);
        }
        for id in self.snapshots()? {
            match self.snapshot(&id) {
                Ok(Some(rootfs)) => holders.entry(rootfs.manifest).or_default().push(id),
                // Nothing runs in what a crash of the machine left half.
                Ok(None) | Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for list in holders.values_mut() {
            list.sort();
            list.dedup();
        }
        Ok(holders)
    }

    /// Plans and collects.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn collect_garbage(&self, policy: &Policy) -> Result<(Plan, Collected), StoreError> {
        let plan = plan(&self.inventory()?, policy, now());
        let collected = self.collect(&plan)?;
        Ok((plan, collected))
    }
}
