//! The newest events, shared by all watchers.
//!
//! A ring of committed events; a watcher keeps a cursor (the last revision it has seen) and reads on from there. What
//! has left the ring is read from the store's history. One [`Event`] is shared by everyone, its encoded frame too, so
//! that a thousand watchers of one object cost one encoding.

use bytes::Bytes;
use hypermesh_chain::{Change, ObjectKey, Record, Revision};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Events kept at most.
const MOST_EVENTS: usize = 16_384;
/// Bytes of bodies kept at most.
const MOST_BYTES: usize = 8 << 20;

/// A committed write.
#[derive(Debug)]
pub struct Event {
    /// Which object.
    pub key: ObjectKey,
    /// What became of it.
    pub change: Change,
    /// What it was before, if it was.
    pub before: Option<Arc<Record>>,
    frame: OnceLock<Bytes>,
}

impl Event {
    /// An event that has not been encoded yet.
    pub fn new(key: ObjectKey, change: Change, before: Option<Arc<Record>>) -> Self {
        Self { key, change, before, frame: OnceLock::new() }
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.change.record().revision
    }

    /// The event as the plain watch shows it, encoded once by `encode`.
    pub fn frame(&self, encode: impl FnOnce() -> Bytes) -> &Bytes {
        self.frame.get_or_init(encode)
    }

    fn weight(&self) -> usize {
        let before = self.before.as_ref().map_or(0, |record| record.body.len());
        self.change.record().body.len() + before + 256
    }
}

/// A watcher's cursor has left the ring: what follows is to be read from the store's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag;

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything after this revision is in the ring.
    floor: Revision,
}

/// The newest events.
#[derive(Debug)]
pub struct Feed {
    ring: RwLock<Ring>,
    newest: watch::Sender<Revision>,
}

impl Feed {
    /// A feed that begins after `revision`.
    pub fn new(revision: Revision) -> Self {
        let ring = Ring { floor: revision, ..Ring::default() };
        Self { ring: RwLock::new(ring), newest: watch::Sender::new(revision) }
    }

    /// Publishes the events of a committed block, and wakes watchers once.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = Event>, revision: Revision) {
        {
            let mut ring = self.ring.write();
            for event in events {
                ring.bytes += event.weight();
                ring.events.push_back(Arc::new(event));
            }
            while ring.events.len() > MOST_EVENTS || ring.bytes > MOST_BYTES {
                let Some(gone) = ring.events.pop_front() else { break };
                ring.bytes -= gone.weight();
                ring.floor = gone.revision();
            }
        }
        self.newest.send_replace(revision);
    }

    /// Appends to `out` the events after `cursor`, at most `limit`, and returns the revision up to which they are
    /// complete.
    pub fn after(&self, cursor: Revision, limit: usize, out: &mut Vec<Arc<Event>>) -> Result<Revision, Lag> {
        let ring = self.ring.read();
        if cursor < ring.floor {
            return Err(Lag);
        }
        let start = ring.events.partition_point(|event| event.revision() <= cursor);
        let before = out.len();
        out.extend(ring.events.range(start..).take(limit).map(Arc::clone));
        let cut = out.len() - before == limit;
        let newest = (*self.newest.borrow()).max(cursor);
        Ok(match out.last() {
            Some(last) if cut && before < out.len() => last.revision(),
            _ => ring.events.back().map_or(newest, |last| last.revision().max(newest)),
        })
    }

    /// Wakes all watchers without news, so that they look at whatever else they depend on.
    pub fn wake(&self) {
        self.newest.send_modify(|_| {});
    }

    /// Wakes whenever a block was published; the value is the newest revision.
    pub fn subscribe(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, size: usize) -> Event {
        let record = Record { revision: Revision(revision), body: vec![b'x'; size].into(), ..empty() };
        let key = ObjectKey::new("/things", "", format!("t{revision}")).unwrap();
        Event::new(key, Change::Created(record), None)
    }

    fn empty() -> Record {
        Record { revision: Revision(0), salt: Vec::new(), facts: Default::default(), body: Bytes::new() }
    }

    #[test]
    fn a_cursor_reads_on_where_it_stands() {
        let feed = Feed::new(Revision(4));
        feed.publish([event(5, 1), event(6, 1)], Revision(6));
        feed.publish([event(8, 1)], Revision(9));
        let mut out = Vec::new();
        assert_eq!(feed.after(Revision(5), 10, &mut out), Ok(Revision(9)));
        assert_eq!(out.iter().map(|e| e.revision().0).collect::<Vec<_>>(), [6, 8]);
        assert_eq!(feed.after(Revision(9), 10, &mut out), Ok(Revision(9)));
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn a_limit_cuts_and_says_how_far_it_came() {
        let feed = Feed::new(Revision(0));
        feed.publish((1..=5).map(|n| event(n, 1)), Revision(5));
        let mut out = Vec::new();
        assert_eq!(feed.after(Revision(0), 2, &mut out), Ok(Revision(2)));
        assert_eq!(feed.after(Revision(2), 3, &mut out), Ok(Revision(5)));
        assert_eq!(out.len(), 5);
    }

    #[test]
    fn what_left_the_ring_is_a_lag_not_a_gap() {
        let feed = Feed::new(Revision(0));
        feed.publish((1..=30).map(|n| event(n, 1 << 19)), Revision(30));
        let mut out = Vec::new();
        assert_eq!(feed.after(Revision(0), 10, &mut out), Err(Lag));
        let floor = (0..30).find(|n| feed.after(Revision(*n), 100, &mut Vec::new()).is_ok()).unwrap();
        assert_eq!(feed.after(Revision(floor), 100, &mut out), Ok(Revision(30)));
        assert_eq!(out.len() as u64, 30 - floor);
    }
}
