//! What arrives, and before what.

use crate::node::*;
use hypermesh_bft::{Message, To};
use hypermesh_peers::{Incoming, Limits, Window};
use std::time::Duration;

#[tokio::test]
async fn four_replicas_hear_each_other() {
    let seeds = [1, 2, 3, 4];
    let mut nodes: Vec<Node> = Vec::new();
    for seed in seeds {
        // Each dials those before it, and waits for those after it.
        let others = seeds.iter().filter(|other| **other != seed).map(|other| {
            let known = nodes.iter().find(|node| node.key == key(*other)).map(Node::address);
            peer(*other, known.as_slice())
        });
        nodes.push(Node::of(settings(seed, others.collect(), limits())));
    }
    for node in &mut nodes {
        for _ in 0..3 {
            assert!(matches!(node.next().await, Incoming::Connected(_)));
        }
    }
    for (round, node) in nodes.iter().enumerate() {
        assert!(node.peers.send(To::All, vote(1, round as u32)).is_empty());
    }
    for node in &mut nodes {
        let mut heard = Vec::new();
        for _ in 0..3 {
            let Incoming::Message { from, message } = node.next().await else { panic!("no message") };
            heard.push((from, message));
        }
        heard.sort_by_key(|(from, _)| *from);
        let mut expected: Vec<_> =
            seeds.iter().enumerate().map(|(round, seed)| (key(*seed), vote(1, round as u32))).collect();
        expected.retain(|(from, _)| *from != node.key);
        expected.sort_by_key(|(from, _)| *from);
        assert_eq!(heard, expected);
        node.silence().await;
    }
}

#[tokio::test]
async fn statements_come_in_the_order_in_which_they_were_said() {
    let (one, mut two) = pair(limits()).await;
    for round in 0..1_000 {
        assert!(one.send(two.key, &vote(1, round)));
    }
    for round in 0..1_000 {
        assert_eq!(two.message(one.key).await, vote(1, round));
    }
    let status = one.until(two.key, |status| status.statements.sent == 1_000).await;
    assert_eq!((status.statements.dropped, status.statements.queued), (0, 0));
}

#[tokio::test]
async fn a_vote_that_is_sent_behind_a_large_block_arrives_first() {
    let (one, mut two) = pair(limits()).await;
    let large = block(1, 16 << 20);
    one.send(two.key, &large);
    // It is on its way.
    tokio::time::sleep(Duration::from_millis(1)).await;
    one.send(two.key, &vote(1, 0));
    assert_eq!(two.message(one.key).await, vote(1, 0));
    assert_eq!(two.message(one.key).await, large);
    let status = one.until(two.key, |status| status.blocks.queued == 0).await;
    assert_eq!(status.blocks.sent, 1);
}

#[tokio::test]
async fn blocks_and_requests_that_nobody_takes_hold_up_no_vote() {
    let mut limits = Limits { stream_window: 64 << 10, ..limits() };
    limits.blocks.window = Window { frames: 2, bytes: 1 << 20 };
    limits.requests.window = Window { frames: 2, bytes: 1 << 20 };
    let (one, mut two) = pair(limits).await;
    for height in 1..6 {
        one.send(two.key, &block(height, 600 << 10));
        assert!(one.send(two.key, &requests(height as u32, 600 << 10)));
    }
    // Of each, one fits; what is beyond it waits at its sender.
    let first = [two.held().await, two.held().await];
    two.silence().await;
    assert_eq!(first.iter().filter(|(incoming, _)| is_block(incoming)).count(), 1);
    for round in 0..300 {
        one.send(two.key, &vote(1, round));
        assert_eq!(two.message(one.key).await, vote(1, round));
    }
    drop(first);
    let (mut blocks, mut numbers) = (1, vec![1]);
    while blocks < 5 || numbers.len() < 5 {
        match two.message(one.key).await {
            Message::Block { .. } => blocks += 1,
            message => numbers.push(number(&message)),
        }
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5], "requests keep their order");
}

fn is_block(incoming: &Incoming) -> bool {
    matches!(incoming, Incoming::Message { message: Message::Block { .. }, .. })
}

#[tokio::test]
async fn no_request_that_was_taken_is_lost_and_those_beyond_are_refused() {
    let mut limits = limits();
    limits.requests.window = Window { frames: 10, bytes: 8 << 20 };
    limits.requests.queue = 200 << 10;
    let (one, mut two) = pair(limits).await;
    let mut held = Vec::new();
    let mut taken = Vec::new();
    for number in 0..2_000 {
        if one.send(two.key, &requests(number, 1 << 10)) {
            taken.push(number);
        }
        tokio::task::yield_now().await;
    }
    assert!(taken.len() < 1_000, "the queue is bounded: {}", taken.len());
    for _ in 0..10 {
        held.push(two.held().await);
    }
    two.silence().await;
    assert_eq!(two.status(one.key).requests.held, 10);
    let arrived = |heard: &[(Incoming, _)]| -> Vec<u32> {
        let message = |(incoming, _): &(Incoming, _)| match incoming {
            Incoming::Message { message, .. } => number(message),
            other => panic!("no message: {other:?}"),
        };
        heard.iter().map(message).collect()
    };
    let mut all = arrived(&held);
    drop(held);
    while all.len() < taken.len() {
        let heard = two.held().await;
        all.extend(arrived(&[heard]));
    }
    assert_eq!(all, taken);
    two.silence().await;
    one.until(two.key, |status| status.requests.queued == 0).await;
    assert!(one.send(two.key, &requests(9_999, 1 << 10)), "there is room again");
}
