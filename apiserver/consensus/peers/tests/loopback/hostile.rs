//! A validator that means harm: what it gets, that others are served on, and that it comes back only after a while.

use crate::node::*;
use crate::raw::*;
use hypermesh_bft::Message;
use hypermesh_peers::Limits;
use hypermesh_peers::frame::{MOST_REQUESTS, Stream};
use std::time::Duration;

/// What is written on a stream of its own.
enum On {
    Control,
    Requests,
    Block,
}

async fn say(node: &mut Node, on: On, bytes: &[u8]) -> (u64, String) {
    let (raw, mut control, _recv) = Raw::greeted(2, node).await;
    match on {
        On::Control => control.write_all(bytes).await.unwrap(),
        On::Requests => {
            let (mut send, _taken) = raw.connection.open_bi().await.unwrap();
            send.write_all(&[&[Stream::Requests.tag()], bytes].concat()).await.unwrap();
            return raw.closed().await;
        }
        On::Block => {
            let mut send = raw.connection.open_uni().await.unwrap();
            send.write_all(&[&[Stream::Block.tag()], bytes].concat()).await.unwrap();
            send.finish().unwrap();
        }
    }
    raw.closed().await
}

#[tokio::test]
async fn what_is_malformed_ends_the_connection_with_a_reason() {
    let mut node = Node::new(1, &[2, 3], limits());
    let (other, mut to_node, _recv) = Raw::greeted(3, &mut node).await;
    let (vote, block) = (message(&vote(1, 1)), message(&block(1, 100)));
    let too_long = |most: usize| u32::try_from(most + 1).unwrap().to_le_bytes().to_vec();
    let cases: Vec<(On, Vec<u8>, u64, &str)> = vec![
        (On::Control, framed(b"garbage"), 8, "statements is malformed"),
        (On::Control, framed(&[1, 99]), 8, "statements is malformed"),
        (On::Control, block.clone(), 8, "a message of blocks is on it"),
        (On::Control, message(&requests(1, 10)), 8, "a message of requests is on it"),
        (On::Control, too_long(Message::MOST_SHORT), 7, "bytes is announced where at most"),
        (On::Control, vec![0; 4], 7, "an empty frame"),
        (On::Requests, vote.clone(), 8, "a message of statements is on it"),
        (On::Requests, too_long(MOST_REQUESTS), 7, "bytes is announced where at most"),
        (On::Block, vote.clone(), 8, "a message of statements is on it"),
        (On::Block, too_long(Message::MOST_LONG), 7, "bytes is announced where at most"),
        (On::Block, [&block[..], b"x"].concat(), 8, "more than one frame"),
        (On::Block, block[..50].to_vec(), 8, "it ends within a frame"),
        (On::Block, Vec::new(), 8, "it is empty"),
    ];
    let count = cases.len() as u64;
    for (on, bytes, code, reason) in cases {
        let closed = say(&mut node, on, &bytes).await;
        assert!(closed.0 == code && closed.1.contains(reason), "{bytes:?}: {closed:?}");
        node.disconnected(key(2)).await;
    }
    assert_eq!(node.status(key(2)).violations, count);
    to_node.write_all(&vote).await.unwrap();
    assert_eq!(node.message(key(3)).await, crate::node::vote(1, 1), "others are heard");
    assert_eq!(other.connection.close_reason(), None);
}

#[tokio::test]
async fn streams_that_this_protocol_has_not_end_the_connection() {
    let mut node = Node::new(1, &[2], limits());
    for tag in [0_u8, 3] {
        let (raw, _send, _recv) = Raw::greeted(2, &mut node).await;
        let (mut send, _taken) = raw.connection.open_bi().await.unwrap();
        send.write_all(&[tag]).await.unwrap();
        assert_eq!(raw.closed().await.0, 9, "a second control stream, or one of no kind: {tag}");
    }
    let (raw, _send, _recv) = Raw::greeted(2, &mut node).await;
    let mut send = raw.connection.open_uni().await.unwrap();
    send.write_all(&[Stream::Control.tag()]).await.unwrap();
    assert_eq!(raw.closed().await.0, 9);
}

#[tokio::test]
async fn requests_that_were_not_sent_cannot_be_acknowledged() {
    let mut node = Node::new(1, &[2], limits());
    let (raw, _send, _recv) = Raw::greeted(2, &mut node).await;
    let (mut taken, _requests) = raw.connection.accept_bi().await.unwrap();
    taken.write_all(&[1]).await.unwrap();
    assert_eq!(raw.closed().await, (9, "more requests are acknowledged than were sent".to_owned()));
}

#[tokio::test]
async fn whoever_broke_the_protocol_stays_out_for_a_while() {
    let mut node = Node::new(1, &[2, 3], Limits { penalty: (LONG, LONG), ..limits() });
    assert_eq!(say(&mut node, On::Control, &framed(b"garbage")).await.0, 8);
    node.disconnected(key(2)).await;
    node.until(key(2), |status| status.violations == 1).await;
    let raw = Raw::dial(2, &node).await;
    let (code, reason) = raw.closed().await;
    assert!(code == PENALTY && reason.contains("it may come again in"), "{code} {reason}");
    assert_eq!(node.status(key(2)).violations, 1, "to come too soon is no further one");
    let (_other, _send, _recv) = Raw::greeted(3, &mut node).await;
}

#[tokio::test]
async fn a_frame_that_was_begun_must_go_on() {
    let limits = Limits { frame: Duration::from_millis(200), slowest: 1 << 20, ..limits() };
    let mut node = Node::new(1, &[2], limits);
    let (vote, block, requests) =
        (message(&vote(1, 1)), message(&block(1, 1000)), message(&requests(1, 100)));
    let parts: [(On, &[u8]); 3] =
        [(On::Control, &vote[..3]), (On::Control, &vote[..vote.len() - 1]), (On::Requests, &requests[..20])];
    for (on, part) in parts {
        let closed = say(&mut node, on, part).await;
        assert_eq!(closed, (10, "a frame was begun and did not come in time".to_owned()));
    }
    // Slow is also who sends a byte now and then.
    let (raw, _control, _recv) = Raw::greeted(2, &mut node).await;
    let mut send = raw.connection.open_uni().await.unwrap();
    send.write_all(&[Stream::Block.tag()]).await.unwrap();
    let drip = async {
        for byte in &block {
            if send.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    drip.await;
    assert_eq!(raw.closed().await.0, 10);
    // And who opens a stream and says nothing on it, but between frames one may be silent.
    let (raw, mut control, _recv) = Raw::greeted(2, &mut node).await;
    control.write_all(&vote).await.unwrap();
    node.message(key(2)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    control.write_all(&vote).await.unwrap();
    node.message(key(2)).await;
    assert_eq!(raw.connection.close_reason(), None);
}
