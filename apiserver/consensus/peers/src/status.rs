//! How it stands with each peer, for people and for decisions that are not consensus'.

use crate::class::Class;
use crate::counts::get;
use crate::link::Link;
use crate::settings::Window;
use hypermesh_chain::PublicKey;
use std::net::SocketAddr;
use std::time::Duration;

/// What is counted of one class of messages with one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStatus {
    /// Bytes that wait for the peer, or are under way to it.
    pub queued: usize,
    /// Messages that it was sent, or for blocks, that it has.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages that came of it.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages that it was not sent: too many waited, it was not there, or they came too late.
    pub dropped: u64,
    /// Messages of it that the receiver still holds.
    pub held: usize,
    /// Their bytes.
    pub held_bytes: usize,
}

/// How it stands with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub key: PublicKey,
    /// Whether it can be reached.
    pub connected: bool,
    /// Where it is now, if it is connected; it may move.
    pub address: Option<SocketAddr>,
    /// The round trip as measured now.
    pub round_trip: Option<Duration>,
    /// Votes, proposals and the like.
    pub statements: ClassStatus,
    /// Blocks.
    pub blocks: ClassStatus,
    /// Requests.
    pub requests: ClassStatus,
    /// Connections that were taken up.
    pub connections: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Connections of it that were refused after its key was proven.
    pub refused: u64,
    /// Connections that ended because it broke the protocol.
    pub violations: u64,
    /// Why there is no connection, or why the last dial failed.
    pub last_error: Option<String>,
}

impl PeerStatus {
    /// Of one class.
    #[must_use]
    pub fn class(&self, class: Class) -> &ClassStatus {
        match class {
            Class::Statements => &self.statements,
            Class::Blocks => &self.blocks,
            Class::Requests => &self.requests,
        }
    }

    pub(crate) fn of(link: &Link) -> Self {
        let connection = link.connected();
        let class = |class| class_status(link, class);
        Self {
            key: link.key,
            connected: connection.is_some(),
            address: connection.as_ref().map(|connection| canonical(connection.remote_address())),
            round_trip: connection.as_ref().map(stoq::Connection::rtt),
            statements: class(Class::Statements),
            blocks: class(Class::Blocks),
            requests: class(Class::Requests),
            connections: get(&link.counts.connections),
            dials_failed: get(&link.counts.dials_failed),
            refused: get(&link.counts.refused),
            violations: get(&link.counts.violations),
            last_error: link.last_error(),
        }
    }
}

fn class_status(link: &Link, class: Class) -> ClassStatus {
    let (sent, sent_bytes) = link.counts.sent.get(class);
    let (received, received_bytes) = link.counts.received.get(class);
    let Window { frames: held, bytes: held_bytes } = link.windows.held(class);
    let (queued, dropped) = (link.outbox.bytes(class), link.counts.dropped(class));
    ClassStatus { queued, sent, sent_bytes, received, received_bytes, dropped, held, held_bytes }
}

/// An address of version 4 that a socket of both families shows as one of version 6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
