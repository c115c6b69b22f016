//! What a peer can make a replica hold, whatever it sends or does not read.

use crate::node::*;
use crate::raw::*;
use hypermesh_bft::Message;
use hypermesh_peers::frame::Stream;
use hypermesh_peers::hello::Hello;
use hypermesh_peers::{Incoming, Limits, Window};
use std::time::Duration;

const WINDOW: Window = Window { frames: 20, bytes: 1 << 20 };
const STREAM: u32 = 64 << 10;
/// When for so long no more is taken, none will be.
const IDLE: Duration = Duration::from_secs(1);

fn small() -> Limits {
    let mut limits = Limits { stream_window: STREAM, ..limits() };
    limits.statements.window = WINDOW;
    limits.requests.window = WINDOW;
    limits.blocks.window = Window { frames: 2, bytes: 256 << 10 };
    limits
}

/// The same bytes over and over.
struct Flood {
    send: stoq::SendStream,
    bytes: Vec<u8>,
    at: usize,
}

impl Flood {
    fn new(send: stoq::SendStream, bytes: Vec<u8>) -> Self {
        Self { send, bytes, at: 0 }
    }

    /// Goes on where it stopped.
    async fn write(&mut self) -> usize {
        let written = self.send.write(&self.bytes[self.at..]).await.unwrap();
        self.at = (self.at + written) % self.bytes.len();
        written
    }

    /// Writes as much as is taken, until for a moment no more is.
    async fn all(&mut self) -> usize {
        let mut written = 0;
        while let Ok(more) = tokio::time::timeout(IDLE, self.write()).await {
            written += more;
            assert!(written < 64 << 20, "there is no end to what is taken");
        }
        written
    }
}

#[tokio::test]
async fn of_a_flood_no_more_is_taken_than_the_receiver_has_room_for() {
    let mut node = Node::new(1, &[2], small());
    let (raw, control, _recv) = Raw::greeted(2, &mut node).await;
    let (mut more, _taken) = raw.connection.open_bi().await.unwrap();
    more.write_all(&[Stream::Requests.tag()]).await.unwrap();
    // Any number of them at once; a write may end within one.
    let mut votes = Flood::new(control, message(&vote(1, 1)).repeat(100));
    let mut all = Flood::new(more, message(&requests(1, 1000)).repeat(10));
    let written = votes.all().await;
    // What the receiver holds, what waits in the stream's window, and a chunk that was read and waits for room.
    let most = WINDOW.frames * message(&vote(1, 1)).len() + STREAM as usize + (128 << 10);
    assert!(written <= most, "{written} of statements");
    let written = all.all().await;
    let most = WINDOW.frames * message(&requests(1, 1000)).len() + STREAM as usize + (128 << 10);
    assert!(written <= most, "{written} of requests");
    let status = node.status(key(2));
    assert_eq!((status.statements.held, status.requests.held), (WINDOW.frames, WINDOW.frames));
    // It is not closed for it, and goes on when there is room.
    let hear = async {
        loop {
            node.message(key(2)).await;
        }
    };
    tokio::select! {
        written = votes.write() => assert!(written > 0),
        () = hear => {}
    }
}

#[tokio::test]
async fn no_more_blocks_are_taken_than_there_is_room_for() {
    let mut node = Node::new(1, &[2], small());
    let (raw, _control, _recv) = Raw::greeted(2, &mut node).await;
    let large = [&[Stream::Block.tag()][..], &message(&block(1, 200 << 10))].concat();
    let mut streams = Vec::new();
    let mut written = 0;
    // No more streams than are granted, and no more of them than is read.
    while let Ok(Ok(mut send)) = tokio::time::timeout(IDLE, raw.connection.open_uni()).await {
        let whole = tokio::time::timeout(IDLE, send.write_all(&large)).await.is_ok();
        written += if whole { large.len() } else { STREAM as usize };
        if whole {
            send.finish().unwrap();
        }
        streams.push(send);
        assert!(streams.len() < 10, "there is no end to streams");
    }
    let held = node.held().await;
    node.silence().await;
    assert!(written <= large.len() + 4 * (STREAM as usize + (128 << 10)), "{written}");
    assert_eq!(node.status(key(2)).blocks.held, 2, "one is held, one has its room and waits for bytes");
    drop(held);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_makes_no_queue_grow() {
    let mut limits = Limits { stall: Duration::from_secs(2), ..small() };
    limits.statements.queue = 64 << 10;
    limits.blocks.queue = 4 << 20;
    limits.requests.queue = 1 << 20;
    let mut node = Node::new(1, &[2], limits.clone());
    let (raw, _control, _recv) = Raw::greeted(2, &mut node).await;
    let mut refused = 0;
    for number in 0..3_000_u32 {
        assert!(node.send(key(2), &vote(u64::from(number / 10) + 1, number % 10)));
        refused += u32::from(!node.send(key(2), &requests(number, 2 << 10)));
        if number % 100 == 0 {
            node.send(key(2), &block(u64::from(number) + 1, 1 << 20));
            tokio::task::yield_now().await;
        }
        let status = node.status(key(2));
        assert!(status.statements.queued <= limits.statements.queue, "{status:?}");
        assert!(status.requests.queued <= limits.requests.queue, "{status:?}");
        assert!(status.blocks.queued <= limits.blocks.queue + (1 << 20) + 100, "{status:?}");
    }
    let status = node.status(key(2));
    assert!(status.statements.dropped > 0 && status.blocks.dropped > 0 && refused > 0, "{status:?}");
    assert_eq!(status.requests.dropped, 0, "what was taken is kept");
    // Whoever takes no statement at all is cut off.
    let (code, reason) = raw.closed().await;
    assert_eq!((code, reason.as_str()), (11, "the replica has taken nothing for 2s"));
    node.disconnected(key(2)).await;
    // Who comes next hears the newest height first of all, and what was taken of requests from the first on.
    let (raw, _send, mut recv) = Raw::greeted(2, &mut node).await;
    let mut decoder = hypermesh_peers::frame::Decoder::new(Message::MOST_SHORT);
    let mut heights = Vec::new();
    while heights.last() != Some(&300) || heights.len() < 10 {
        let chunk = recv.read_chunk(64 << 10, true).await.unwrap().unwrap();
        decoder.push(&chunk.bytes);
        while let Some(frame) = decoder.next_frame().unwrap() {
            match Message::decode(&frame) {
                Ok(Message::Vote(signed)) => heights.push(signed.vote.height.0),
                Ok(other) => panic!("{other:?}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(heights, [300; 10]);
    let (_taken, mut waiting) = raw.connection.accept_bi().await.unwrap();
    let mut first = vec![0; 1 + 4];
    waiting.read_exact(&mut first).await.unwrap();
    assert_eq!(first[0], Stream::Requests.tag());
    let length = u32::from_le_bytes(*first.last_chunk().unwrap()) as usize;
    let mut body = vec![0; length];
    waiting.read_exact(&mut body).await.unwrap();
    assert_eq!(number(&Message::decode(&body).unwrap()), 0);
}

#[tokio::test]
async fn statements_beyond_a_rate_wait_on_their_way() {
    let limits = Limits { statements_a_second: 50, statements_at_once: 10, ..limits() };
    let (one, mut two) = pair(limits).await;
    let begun = tokio::time::Instant::now();
    for round in 0..35 {
        one.send(two.key, &vote(1, round));
    }
    for round in 0..35 {
        assert_eq!(two.next().await, Incoming::Message { from: one.key, message: vote(1, round) });
    }
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_replica_that_comes_and_goes_is_let_in_now_and_then() {
    let mut node = Node::new(1, &[2], limits());
    for number in 0..100 {
        let raw = Raw::dial(2, &node).await;
        let hello = Hello { incarnation: number, ..hello() };
        let _streams = raw.greet(&hello).await;
        tokio::select! {
            closed = raw.closed() => {
                assert!(closed.0 == 13 && closed.1.contains("connects too often"), "{closed:?}");
                // One a second, and twenty at once.
                assert!(number >= 20, "{number}");
                return;
            }
            () = node.connected(key(2)) => {}
        }
    }
    panic!("it may come and go as it likes");
}
