//! What all connections of a replica have in common.

use crate::counts;
use crate::duel::Us;
use crate::end::End;
use crate::incoming::{Delivery, Incoming};
use crate::link::Link;
use crate::settings::Limits;
use crate::window::Room;
use hypermesh_bft::Message;
use hypermesh_chain::{ClusterId, PublicKey};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stoq::Endpoint;
use tokio::sync::watch;

/// The peers, by their keys.
pub(crate) type Links = Arc<RwLock<BTreeMap<PublicKey, Arc<Link>>>>;

/// How far a replica's connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// What waits is sent, and no connection is made.
    Draining,
    Stopped,
}

pub(crate) struct Shared {
    pub(crate) key: PublicKey,
    pub(crate) cluster: ClusterId,
    pub(crate) limits: Limits,
    pub(crate) incarnation: u64,
    pub(crate) endpoint: Endpoint,
    pub(crate) links: Links,
    pub(crate) phase: watch::Sender<Phase>,
    /// Connections of keys that are no peer's, refused after the handshake.
    pub(crate) strangers: AtomicU64,
    /// Messages to keys that are no peer's.
    pub(crate) unknown: AtomicU64,
    pub(crate) dials: AtomicU64,
    pub(crate) deliver: Box<dyn Fn(Incoming) -> Delivery + Send + Sync>,
}

impl Shared {
    pub(crate) fn us(&self, other: &PublicKey) -> Us {
        Us { incarnation: self.incarnation, smaller: self.key < *other }
    }

    /// The number of the next dial.
    pub(crate) fn next_dial(&self) -> u64 {
        self.dials.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The peer at the other end of a connection.
    pub(crate) fn link_of(&self, connection: &stoq::Connection) -> Result<Arc<Link>, End> {
        let key = connection.peer().key.map(|key| PublicKey(*key.as_bytes()));
        let link = key.and_then(|key| self.links.read().get(&key).cloned());
        link.ok_or_else(|| {
            // A session that was resumed is of a key that was a peer's when it began.
            counts::one(&self.strangers);
            End::Unknown
        })
    }

    /// Hands a message over. Its room is free when the receiver is done with it.
    pub(crate) fn hand_over(&self, from: PublicKey, message: Message, room: Room) {
        (self.deliver)(Incoming::Message { from, message }).keep(room);
    }

    /// Tells of a peer that came or went.
    pub(crate) fn tell(&self, incoming: Incoming) {
        // Nothing is held for it.
        let _ = (self.deliver)(incoming);
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until a phase is reached.
    pub(crate) async fn until(&self, phase: Phase) {
        let mut watched = self.phase.subscribe();
        // The sender lives as long as this.
        let _ = watched.wait_for(|now| *now >= phase).await;
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("key", &self.key).finish_non_exhaustive()
    }
}
