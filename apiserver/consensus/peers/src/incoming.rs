//! What is handed to whoever owns the replica, and how that one says that it has had enough for now.
//!
//! A message is handed over once the room for it was set aside in the peer's window of its class; the room is free again
//! when the receiver has let go of it. Until then no more than the window is taken of this peer in this class, and what is
//! beyond it stays in the peer's own queue: nothing is dropped. Classes have windows of their own, so requests that wait to
//! be ordered hold up no vote.

use crate::window::Room;
use hypermesh_bft::Message;
use hypermesh_chain::PublicKey;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Something that another replica did. Of one peer, what it says comes between [`Incoming::Connected`] and
/// [`Incoming::Disconnected`], which alternate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// It said something. That it was this replica is proven; what it says is well-formed, and nothing more.
    Message {
        /// Who.
        from: PublicKey,
        /// What.
        message: Message,
    },
    /// It can be reached from now on. What was on the way when the connection before it ended may be lost.
    Connected(PublicKey),
    /// It cannot be reached any more.
    Disconnected(PublicKey),
}

/// Whether what was handed over is done with: what the receiver answers.
#[derive(Debug)]
#[must_use = "it says when the next message may come"]
pub struct Delivery(Option<Weak<Slot>>);

/// Keeps a message's room until it is dropped, from any thread.
#[derive(Debug)]
#[must_use = "dropped at once, it holds nothing"]
pub struct Held(#[expect(dead_code, reason = "it is held, and never looked at")] Arc<Slot>);

#[derive(Debug, Default)]
struct Slot(Mutex<Option<Room>>);

impl Delivery {
    /// It is done with.
    pub fn done() -> Self {
        Self(None)
    }

    /// It is done with when the guard is dropped: keep it beside the message, in a queue or a pool.
    pub fn pending() -> (Held, Self) {
        let slot = Arc::<Slot>::default();
        let delivery = Self(Some(Arc::downgrade(&slot)));
        (Held(slot), delivery)
    }

    /// Leaves the room with the guard; if that is gone already, the room is free.
    pub(crate) fn keep(self, room: Room) {
        if let Some(slot) = self.0.and_then(|slot| slot.upgrade()) {
            *slot.0.lock() = Some(room);
        }
    }
}
