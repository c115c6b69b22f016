//! Who is not let in, and what it is told.

use crate::node::*;
use crate::raw::*;
use hypermesh_chain::{ClusterId, Hash};
use hypermesh_peers::hello::Hello;
use hypermesh_peers::{ALPN, Limits, Settings};
use std::time::Duration;
use stoq::{Closed, ConnectError};

#[tokio::test]
async fn a_key_that_is_no_peers_gets_no_further_than_the_handshake() {
    let mut node = Node::new(1, &[2], limits());
    // A client learns that its certificate was refused after its own handshake is over.
    let closed = match endpoint(9).connect(&target(&node), ALPN).await {
        Ok(connection) => connection.closed().await,
        Err(ConnectError::Handshake { closed, .. }) => closed,
        Err(error) => panic!("{error}"),
    };
    assert!(matches!(closed, Closed::CertificateRefused { .. }), "{closed:?}");
    node.silence().await;
}

#[tokio::test]
async fn at_an_address_where_another_replica_is_nobody_is_taken_for_whom_was_meant() {
    let mut three = Node::new(3, &[1], limits());
    let mut one = Node::of(settings(1, vec![peer(2, &[three.address()])], limits()));
    let status = one.until(key(2), |status| status.last_error.is_some()).await;
    let told = status.last_error.unwrap();
    assert!(told.contains(&key(3).to_string()) && told.contains(&key(2).to_string()), "{told}");
    assert!(!status.connected);
    one.silence().await;
    three.silence().await;
}

#[tokio::test]
async fn replicas_of_two_clusters_tell_each_other_so() {
    let theirs = ClusterId(Hash([8; 32]));
    let mut two = Node::of(Settings { cluster: theirs, ..settings(2, vec![peer(1, &[])], limits()) });
    let mut one = Node::of(settings(1, vec![peer(2, &[two.address()])], limits()));
    for (node, of) in [(&one, two.key), (&two, one.key)] {
        let told = node.until(of, |status| status.last_error.is_some()).await.last_error.unwrap();
        assert!(told.contains(&theirs.to_string()) && told.contains(&CLUSTER.to_string()), "{told}");
    }
    assert_eq!(two.status(one.key).violations, 0, "it is a mistake, and nothing worse");
    one.silence().await;
    two.silence().await;
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_by_name() {
    let mut node = Node::new(1, &[2], limits());
    let raw = Raw::dial(2, &node).await;
    let _streams = raw.greet(&Hello { versions: (2, 4), ..hello() }).await;
    let expected = "the replica speaks versions 2 to 4, this one 1: upgrade the older one";
    assert_eq!(raw.closed().await, (2, expected.to_owned()));
    node.silence().await;
    // One that speaks this version too is let in.
    let raw = Raw::dial(2, &node).await;
    let _streams = raw.greet(&Hello { versions: (1, 4), ..hello() }).await;
    node.connected(key(2)).await;
}

#[tokio::test]
async fn whoever_says_no_hello_is_closed() {
    let mut node = Node::new(1, &[2], Limits { hello: Duration::from_millis(500), ..limits() });
    let silent = Raw::dial(2, &node).await;
    assert_eq!(silent.closed().await, (10, "a hello was begun and did not come in time".to_owned()));
    assert_eq!(node.until(key(2), |status| status.violations == 1).await.refused, 1);
    node.silence().await;
}

#[tokio::test]
async fn connections_that_say_no_hello_are_few_and_keep_nobody_else_out() {
    let mut node = Node::new(1, &[2, 3], limits());
    // They wait, each in a place of their key's.
    let silent = [Raw::dial(2, &node).await, Raw::dial(2, &node).await];
    let third = Raw::dial(2, &node).await;
    let expected = "too many connections of this replica wait for their hello".to_owned();
    let closed = tokio::select! {
        closed = third.closed() => closed,
        // Which of the three comes last is the network's.
        closed = silent[0].closed() => closed,
        closed = silent[1].closed() => closed,
    };
    assert_eq!(closed, (6, expected));
    let (_other, _send, _recv) = Raw::greeted(3, &mut node).await;
    assert_eq!(node.status(key(2)).violations, 0);
}

#[tokio::test]
async fn what_is_no_hello_is_refused_before_anything_is_read() {
    let mut node = Node::new(1, &[2], limits());
    let cases: [(&[u8], u64); 5] = [
        (b"\x00\x0e\x00\x00\x00GET / HTTP/1.1", 8),
        // A stream that is none.
        (b"\x07", 9),
        // A stream of requests.
        (b"\x01", 9),
        // A hello of a gibibyte.
        (b"\x00\x00\x00\x00\x40", 7),
        (b"\x00\x00\x00\x00\x00", 7),
    ];
    for (bytes, code) in cases {
        assert_eq!(Raw::first_words(2, &node, bytes).await.0, code, "{bytes:?}");
    }
    assert_eq!(node.status(key(2)).violations, 5);
    node.silence().await;
}
