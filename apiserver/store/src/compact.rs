//! Compaction of history, online: the past up to a revision is given up, in bounded slices.
//!
//! The floor moves first, so that no new view reads below it; views from before keep what they see. Then each event at
//! or below the floor removes the version it superseded, and itself if it was a deletion. What stays below the floor is
//! exactly what the floor's revision sees. A crash in between costs nothing: the next compaction goes on where the last
//! slice ended.

use crate::error::StoreError;
use crate::files::encode;
use crate::keyspace::{self, Done, FLOOR, Family, Floor, GONE};
use crate::store::{Inner, Store};
use crate::view::View;
use hypermesh_chain::{Height, Revision};
use rocksdb::WriteBatch;
use std::ops::ControlFlow;

/// Events a slice.
const EVENTS: usize = 512;
/// Blocks a slice.
const BLOCKS: u64 = 256;

/// What a compaction has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Superseded versions and deletions.
    pub versions: u64,
    /// Blocks.
    pub blocks: u64,
    /// Outcomes of requests.
    pub outcomes: u64,
}

impl Store {
    /// Gives up what only revisions before `before` see, and the blocks and outcomes that ended before it. The newest
    /// block always stays. Reads and commits go on meanwhile; call it where blocking is allowed.
    ///
    /// # Errors
    /// When the database fails; what has been removed stays removed, and the next call goes on.
    pub fn compact(&self, before: Revision) -> Result<Compaction, StoreError> {
        let inner = &*self.0;
        let _alone = inner.sweeper.lock();
        let mut done = Compaction::default();
        let Some(head) = self.head() else { return Ok(done) };
        let mut floor = inner.floor()?;
        floor.revision = floor.revision.max(before.min(head.revision));
        inner.put_floor(WriteBatch::default(), floor)?;
        while floor.swept < floor.revision {
            done.versions += inner.sweep_events(&View::new(self.0.clone())?, &mut floor)?;
        }
        loop {
            let from = floor.height;
            done.outcomes += inner.sweep_blocks(head.height, &mut floor)?;
            if floor.height == from {
                break;
            }
            done.blocks += floor.height.0 - from.0;
        }
        if done != Compaction::default() {
            inner.give_space_back(floor)?;
        }
        Ok(done)
    }
}

impl Inner {
    fn put_floor(&self, mut batch: WriteBatch, floor: Floor) -> Result<(), StoreError> {
        batch.put_cf(self.engine.family(Family::Meta)?, FLOOR, encode(&floor)?);
        self.engine.write(batch, false)
    }

    /// One slice of events; says how many versions went.
    fn sweep_events(&self, view: &View, floor: &mut Floor) -> Result<u64, StoreError> {
        let mut batch = WriteBatch::default();
        let mut removed = 0;
        let mut events = 0;
        let (goal, start) = (floor.revision, keyspace::number(floor.swept.0));
        let mut swept = goal;
        let mut versions = view.cursor(Family::Versions, &[], false)?;
        let (history, rows) = (self.engine.family(Family::History)?, self.engine.family(Family::Versions)?);
        let past = self.engine.family(Family::Past)?;
        let mut remove = |batch: &mut WriteBatch, key: &[u8], revision: Revision| {
            batch.delete_cf(history, keyspace::number(revision.0));
            batch.delete_cf(rows, keyspace::version(key, revision));
            removed += 1;
        };
        view.rows(Family::History, &[], Some(&start), false, |number, sealed| {
            let event = self.keys.event(number, sealed)?;
            if event.revision > goal {
                return Ok(ControlFlow::Break(()));
            }
            let key = event.key.encode();
            versions.seek_for_prev(keyspace::version(&key, Revision(event.revision.0.saturating_sub(1))));
            versions.status().map_err(|error| self.engine.fault("read", error))?;
            if let Some((row, live)) = versions.item()
                && let Some((object, older)) = keyspace::read_version(row)
                && object == key
                // A deletion has removed itself, perhaps earlier in this very slice.
                && live != [GONE]
            {
                remove(&mut batch, &key, older);
                batch.delete_cf(past, keyspace::number(older.0));
            }
            if matches!(event.done, Done::Deleted(_)) {
                remove(&mut batch, &key, event.revision);
            }
            events += 1;
            if events == EVENTS {
                swept = event.revision;
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        floor.swept = swept;
        self.put_floor(batch, *floor)?;
        Ok(removed)
    }

    /// One slice of blocks; says how many outcomes went. The floor's height stays when nothing is left to do.
    fn sweep_blocks(&self, head: Height, floor: &mut Floor) -> Result<u64, StoreError> {
        let mut batch = WriteBatch::default();
        let outcomes = self.engine.family(Family::Outcomes)?;
        let mut removed = 0;
        let start = floor.height;
        let mut next = start;
        while next < head && next.0 - start.0 < BLOCKS {
            // A gap holds nothing to remove; the check names it.
            if let Some(block) = self.stored_block(next)? {
                if block.revision >= floor.revision {
                    break;
                }
                for request in &block.requests {
                    batch.delete_cf(outcomes, request.0);
                    removed += 1;
                }
            }
            next = Height(next.0 + 1);
        }
        if next > start {
            let blocks = self.engine.family(Family::Blocks)?;
            batch.delete_range_cf(blocks, keyspace::number(start.0), keyspace::number(next.0));
            floor.height = next;
            self.put_floor(batch, *floor)?;
        }
        Ok(removed)
    }

    /// Rewrites the files of what has been removed, so that the disk has its space back. RocksDB does this in its own
    /// threads, beside commits.
    fn give_space_back(&self, floor: Floor) -> Result<(), StoreError> {
        let (history, blocks) = (keyspace::number(floor.revision.0), keyspace::number(floor.height.0));
        let zero = keyspace::number(0);
        let mut options = rocksdb::CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        let db = &self.engine.db;
        for family in [Family::History, Family::Past] {
            db.compact_range_cf_opt(self.engine.family(family)?, Some(zero), Some(history), &options);
        }
        db.compact_range_cf_opt(self.engine.family(Family::Blocks)?, Some(zero), Some(blocks), &options);
        Ok(())
    }
}
