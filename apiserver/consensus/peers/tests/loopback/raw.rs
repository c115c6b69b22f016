//! A replica's key without its manners: anything can be written.

use crate::node::*;
use hypermesh_bft::Message;
use hypermesh_chain::PublicKey;
use hypermesh_peers::ALPN;
use hypermesh_peers::frame::{HEAD, Stream};
use hypermesh_peers::hello::{Hello, VERSION};
use std::time::Duration;
use stoq::{Closed, Connection, Endpoint, Identity, RecvStream, SendStream, Settings, Target, Trust};

pub struct Raw {
    pub connection: Connection,
}

/// What an honest replica says first.
pub fn hello() -> Hello {
    Hello { versions: (VERSION, VERSION), cluster: CLUSTER.0, incarnation: 1, dial: 1, taken: None }
}

/// The code with which those are closed who have to stay out.
pub const PENALTY: u64 = 5;

/// What the node says first; nothing if it closes the connection instead.
async fn hear_hello(recv: &mut RecvStream) -> Option<Hello> {
    let mut head = [0; HEAD];
    recv.read_exact(&mut head).await.ok()?;
    let mut body = vec![0; u32::from_le_bytes(head) as usize];
    recv.read_exact(&mut body).await.ok()?;
    Some(Hello::decode(&body).unwrap())
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
        Self::dial_from(&endpoint(seed), node).await
    }

    pub async fn dial_from(endpoint: &Endpoint, node: &Node) -> Self {
        Self { connection: endpoint.connect(&target(node), ALPN).await.unwrap() }
    }

    /// With hellos, up to the point at which the node takes it for the replica. While it has to stay out, it comes again.
    pub async fn greeted(seed: u8, node: &mut Node) -> (Self, SendStream, RecvStream) {
        loop {
            let raw = Self::dial(seed, node).await;
            let (send, mut recv) = raw.greet(&hello()).await;
            if hear_hello(&mut recv).await.is_some() {
                node.connected(key(seed)).await;
                return (raw, send, recv);
            }
            assert_eq!(raw.closed().await.0, PENALTY);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Dials until what is written first is judged, and not the one who writes it.
    pub async fn first_words(seed: u8, node: &Node, bytes: &[u8]) -> (u64, String) {
        loop {
            let raw = Self::dial(seed, node).await;
            if let Ok((mut send, _recv)) = raw.connection.open_bi().await {
                // Whoever is closed meanwhile is told why.
                let _ = send.write_all(bytes).await;
                let closed = raw.closed().await;
                if closed.0 != PENALTY {
                    return closed;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn greet(&self, hello: &Hello) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        let first = [&[Stream::Control.tag()][..], &framed(&hello.encode())].concat();
        // Whoever has to stay out is closed meanwhile.
        let _ = send.write_all(&first).await;
        (send, recv)
    }

    /// The code and reason with which it is closed.
    pub async fn closed(&self) -> (u64, String) {
        let closed = tokio::time::timeout(LONG, self.connection.closed()).await;
        let closed = closed.unwrap_or_else(|_| panic!("it stays open"));
        match closed {
            Closed::ByPeer { code, reason } => (code, reason),
            other => panic!("closed otherwise: {other:?}"),
        }
    }
}
