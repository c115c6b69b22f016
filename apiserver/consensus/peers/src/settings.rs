//! Who a replica is among its peers, and what each of them may cost it.

use hypermesh_bft::Message;
use hypermesh_chain::{ClusterId, PublicKey, SigningKey};
use std::net::SocketAddr;
use std::time::Duration;

/// Another replica: a validator, or one that learns to become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its key: whoever is at the other end proves that it has it.
    pub key: PublicKey,
    /// Where it may be, in order of preference. With none, it is waited for to come by itself.
    pub addresses: Vec<SocketAddr>,
}

/// Who a replica is among its peers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its key, which it proves to have in every handshake.
    pub key: SigningKey,
    /// The cluster. Replicas of others are refused.
    pub cluster: ClusterId,
    /// The UDP address on which it listens, and from which it dials. `[::]` has both families where the machine has both.
    pub listen: SocketAddr,
    /// The others. Itself among them is left out.
    pub peers: Vec<Peer>,
    /// What each of them may cost.
    pub limits: Limits,
}

/// How much of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// In messages.
    pub frames: usize,
    /// In bytes.
    pub bytes: usize,
}

/// What one class of messages of one peer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// What waits here until the peer takes it, in bytes.
    pub queue: usize,
    /// What came of the peer and is not let go of by the receiver. Beyond it, the peer is not read.
    pub window: Window,
}

/// What a peer may cost. All of it is of each peer, whatever it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Votes, proposals and the like.
    pub statements: ClassLimits,
    /// Blocks.
    pub blocks: ClassLimits,
    /// Requests that wait to be ordered.
    pub requests: ClassLimits,
    /// Statements that are taken in a second; more are left to wait on their way.
    pub statements_a_second: u32,
    /// How far ahead of that rate a peer may be after a pause.
    pub statements_at_once: u32,
    /// Blocks of a peer that are on their way at a time.
    pub block_streams: u32,
    /// Bytes of one stream that may come before they are read; also what a long way can hold in flight.
    pub stream_window: u32,
    /// How long a peer may be silent before it is taken for dead. It is asked four times in that time.
    pub silence: Duration,
    /// How long a handshake may take, and the hellos after it.
    pub hello: Duration,
    /// How long a frame that has begun may take, and besides as long as its bytes take at `slowest`.
    pub frame: Duration,
    /// The least bytes a second of a frame that is on its way.
    pub slowest: u64,
    /// How long a peer may take nothing of what is said to it, though it acknowledges packets, before it is cut off.
    pub stall: Duration,
    /// The first and the longest pause before a peer is dialled again. Each is up to half as long, by chance.
    pub redial: (Duration, Duration),
    /// The first and the longest time for which a peer that broke the protocol is not let in again.
    pub penalty: (Duration, Duration),
    /// For how long requests are kept for a peer that has gone.
    pub retention: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (block, mebibyte) = (Message::MOST_LONG, 1 << 20);
        Self {
            statements: ClassLimits { queue: mebibyte, window: Window { frames: 256, bytes: 4 * mebibyte } },
            blocks: ClassLimits { queue: 3 * block, window: Window { frames: 8, bytes: 2 * block } },
            requests: ClassLimits {
                queue: 8 * mebibyte,
                window: Window { frames: 2048, bytes: 8 * mebibyte },
            },
            statements_a_second: 5_000,
            statements_at_once: 2_000,
            block_streams: 3,
            stream_window: 2 << 20,
            silence: Duration::from_secs(1),
            hello: Duration::from_secs(3),
            frame: Duration::from_secs(5),
            slowest: 128 << 10,
            stall: Duration::from_secs(30),
            redial: (Duration::from_millis(100), Duration::from_secs(5)),
            penalty: (Duration::from_secs(1), Duration::from_secs(60)),
            retention: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How long a frame of so many bytes may take.
    pub(crate) fn patience(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.frame.saturating_add(Duration::from_millis(bytes.saturating_mul(1_000) / self.slowest.max(1)))
    }

    /// What connections grant and how long they wait.
    ///
    /// The window of a connection is above those of its streams together, and so is what may be sent and not
    /// acknowledged: a block that is not read never takes the room of a vote.
    pub(crate) fn transport(&self) -> stoq::Settings {
        let streams = self.block_streams.max(1);
        let window = self.stream_window.max(64 << 10);
        let whole = window.saturating_mul(streams + 4);
        stoq::Settings {
            idle_timeout: self.silence,
            keep_alive: Some(self.silence / 4),
            handshake_timeout: self.hello,
            // Control and requests of whoever dialled.
            streams: 2,
            one_way_streams: streams,
            stream_window: window,
            connection_window: whole,
            send_window: u64::from(whole),
            datagrams: None,
            early_data: false,
            migration: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_are_not_read_leave_room_on_the_connection() {
        for limits in [Limits::default(), Limits { block_streams: 0, stream_window: 1, ..Limits::default() }]
        {
            let transport = limits.transport();
            let streams = transport.one_way_streams + transport.streams;
            assert!(transport.connection_window > streams * transport.stream_window);
            assert!(transport.send_window > u64::from(streams * transport.stream_window));
        }
    }

    #[test]
    fn a_long_frame_may_take_longer_and_not_for_ever() {
        let limits = Limits::default();
        assert_eq!(limits.patience(0), limits.frame);
        let longest = limits.patience(Message::MOST_LONG);
        assert!(longest > limits.frame && longest < Duration::from_secs(300), "{longest:?}");
    }
}
