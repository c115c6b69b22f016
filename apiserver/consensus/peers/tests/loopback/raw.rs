//! A replica's key without its manners: anything can be written.

use crate::node::*;
use hypermesh_bft::Message;
use hypermesh_chain::PublicKey;
use hypermesh_peers::ALPN;
use hypermesh_peers::frame::Stream;
use hypermesh_peers::hello::{Hello, VERSION};
use stoq::{Closed, Connection, Endpoint, Identity, RecvStream, SendStream, Settings, Target, Trust};

pub struct Raw {
    pub connection: Connection,
}

/// What an honest replica says first.
pub fn hello() -> Hello {
    Hello { versions: (VERSION, VERSION), cluster: CLUSTER.0, incarnation: 1, dial: 1, taken: None }
}

pub fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], body].concat()
}

pub fn message(message: &Message) -> Vec<u8> {
    framed(&message.encode())
}

pub fn endpoint(seed: u8) -> Endpoint {
    let settings = Settings { idle_timeout: LONG, stream_window: 32 << 10, ..Settings::default() };
    Endpoint::client(Trust::dialled_key())
        .identity(Identity::from_seed(&[seed; 32]).unwrap())
        .settings(settings)
        .address(LOOPBACK)
        .bind()
        .unwrap()
}

pub fn target(node: &Node) -> Target {
    let PublicKey(bytes) = node.key;
    Target::key(&stoq::PublicKey::from_bytes(bytes), node.address())
}

impl Raw {
    /// Only the handshake.
    pub async fn dial(seed: u8, node: &Node) -> Self {
        let connection = endpoint(seed).connect(&target(node), ALPN).await.unwrap();
        Self { connection }
    }

    /// With hellos, up to the point at which the node takes it for the replica.
    pub async fn greeted(seed: u8, node: &mut Node) -> (Self, SendStream, RecvStream) {
        let raw = Self::dial(seed, node).await;
        let (send, recv) = raw.greet(&hello()).await;
        node.connected(key(seed)).await;
        (raw, send, recv)
    }

    pub async fn greet(&self, hello: &Hello) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        let first = [&[Stream::Control.tag()][..], &framed(&hello.encode())].concat();
        send.write_all(&first).await.unwrap();
        (send, recv)
    }

    /// The code and reason with which it is closed.
    pub async fn closed(&self) -> (u64, String) {
        let closed = tokio::time::timeout(LONG, self.connection.closed()).await.expect("it is closed");
        match closed {
            Closed::ByPeer { code, reason } => (code, reason),
            other => panic!("closed otherwise: {other:?}"),
        }
    }
}
