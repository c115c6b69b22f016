//! What is counted of one peer.

use crate::class::Class;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages and their bytes, by class.
#[derive(Debug, Default)]
pub(crate) struct Flow([(AtomicU64, AtomicU64); 3]);

/// Of one peer, since it was named.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: Flow,
    pub(crate) received: Flow,
    /// Messages that were let go, by class.
    dropped: [AtomicU64; 3],
    /// Connections that were taken up.
    pub(crate) connections: AtomicU64,
    /// Dials that failed.
    pub(crate) dials_failed: AtomicU64,
    /// Connections that ended because the peer broke the protocol.
    pub(crate) violations: AtomicU64,
    /// Connections that were refused after the handshake.
    pub(crate) refused: AtomicU64,
}

impl Flow {
    pub(crate) fn add(&self, class: Class, messages: u64, bytes: usize) {
        if let Some((frames, all)) = self.0.get(class.place()) {
            frames.fetch_add(messages, Ordering::Relaxed);
            all.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Messages and bytes.
    pub(crate) fn get(&self, class: Class) -> (u64, u64) {
        let read = |(frames, bytes): &(AtomicU64, AtomicU64)| {
            (frames.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
        };
        self.0.get(class.place()).map_or((0, 0), read)
    }
}

impl Counts {
    pub(crate) fn drop(&self, class: Class, messages: u64) {
        if let Some(dropped) = self.dropped.get(class.place()) {
            dropped.fetch_add(messages, Ordering::Relaxed);
        }
    }

    pub(crate) fn dropped(&self, class: Class) -> u64 {
        self.dropped.get(class.place()).map_or(0, |dropped| dropped.load(Ordering::Relaxed))
    }
}

pub(crate) fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
