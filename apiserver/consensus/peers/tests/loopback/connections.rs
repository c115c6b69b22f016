//! One connection a pair, whoever dials, moves, dies or comes back.

use crate::node::*;
use crate::raw;
use hypermesh_bft::To;
use hypermesh_peers::{Incoming, Limits, Settings};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_towards_each_other_end_in_one_connection() {
    for _ in 0..10 {
        // Neither waits for the other to dial first.
        let limits = Limits { redial: (Duration::from_micros(1), Duration::from_millis(50)), ..limits() };
        let mut one = Node::new(1, &[2], limits.clone());
        let mut two = Node::new(2, &[1], limits);
        let (to_one, to_two) = (peer(1, &[one.address()]), peer(2, &[two.address()]));
        one.peers.set_peers(vec![to_two]);
        two.peers.set_peers(vec![to_one]);
        // Until it is settled which one stays, each may come and go.
        let settled = eventually(|| (one.connections() == 1 && two.connections() == 1).then_some(()));
        if tokio::time::timeout(Duration::from_secs(8), settled).await.is_err() {
            let (of_one, of_two) = (one.peers.status(), two.peers.status());
            panic!("{} {of_one:?}\n{} {of_two:?}", one.connections(), two.connections());
        }
        one.until(two.key, |status| status.connected).await;
        two.until(one.key, |status| status.connected).await;
        one.send(two.key, &vote(1, 1));
        two.send(one.key, &vote(1, 2));
        for (node, from, round) in [(&mut two, one.key, 1), (&mut one, key(2), 2)] {
            let mut up = false;
            loop {
                match node.next().await {
                    Incoming::Connected(_) => assert!(!std::mem::replace(&mut up, true), "it comes in turn"),
                    Incoming::Disconnected(_) => assert!(std::mem::replace(&mut up, false)),
                    Incoming::Message { message, .. } => {
                        assert!(up && message == vote(1, round), "{from} {message:?}");
                        break;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_replica_that_begins_anew_is_connected_at_once() {
    let mut two = Node::new(2, &[1], limits());
    let one = Machine::start(settings(1, vec![peer(2, &[two.address()])], limits()));
    let (address, key_of_one) = (one.node.address(), one.node.key);
    two.connected(key_of_one).await;
    // Its silence would be noticed in a minute.
    one.lose_power();
    let listen = Settings { listen: address, ..settings(1, vec![peer(2, &[two.address()])], limits()) };
    let mut one = Node::of(listen);
    one.connected(two.key).await;
    two.disconnected(key_of_one).await;
    two.connected(key_of_one).await;
    two.send(one.key, &vote(1, 1));
    assert_eq!(one.message(two.key).await, vote(1, 1));
}

#[tokio::test]
async fn a_replica_that_falls_silent_is_noticed_and_what_was_said_is_said_again() {
    let limits = Limits { silence: Duration::from_secs(2), ..limits() };
    let two = Machine::start(settings(2, vec![peer(1, &[])], limits.clone()));
    let (address, key_of_two) = (two.node.address(), two.node.key);
    let mut one = Node::of(settings(1, vec![peer(2, &[address])], limits.clone()));
    one.connected(key_of_two).await;
    one.send(key_of_two, &vote(3, 1));
    one.until(key_of_two, |status| status.statements.sent == 1).await;
    two.lose_power();
    one.disconnected(key_of_two).await;
    assert!(one.status(key_of_two).last_error.unwrap().contains("nothing was heard"));
    // It may have been lost with the machine, so who comes back hears it again, and what was said meanwhile.
    one.send(key_of_two, &vote(2, 9));
    one.send(key_of_two, &vote(3, 2));
    let mut two =
        Node::of(Settings { listen: address, ..settings(2, vec![peer(1, &[one.address()])], limits) });
    two.connected(one.key).await;
    assert_eq!(two.message(one.key).await, vote(3, 1));
    assert_eq!(two.message(one.key).await, vote(3, 2));
}

#[tokio::test]
async fn of_several_addresses_one_that_answers_is_found() {
    let dead = UdpSocket::bind(LOOPBACK).unwrap();
    let mut two = Node::new(2, &[1], limits());
    let addresses = [dead.local_addr().unwrap(), two.address()];
    let mut one = Node::of(settings(1, vec![peer(2, &addresses)], limits()));
    one.connected(two.key).await;
    two.connected(one.key).await;
    let status = one.status(two.key);
    assert_eq!((status.connected, status.address), (true, Some(two.address())));
    assert!(status.round_trip.is_some());
}

#[tokio::test]
async fn a_replica_is_found_where_it_moved() {
    let nowhere = UdpSocket::bind(LOOPBACK).unwrap();
    let limits = Limits { hello: Duration::from_millis(200), ..limits() };
    let wrong = nowhere.local_addr().unwrap();
    let one = Node::of(settings(1, vec![peer(2, &[wrong])], limits.clone()));
    let failed = one.until(key(2), |status| status.dials_failed > 0).await;
    assert!(failed.last_error.unwrap().contains("did not answer over UDP"));
    let mut two = Node::new(2, &[1], limits);
    one.peers.set_peers(vec![peer(2, &[two.address()])]);
    two.connected(one.key).await;
    let status = one.until(two.key, |status| status.connected).await;
    assert_eq!(status.last_error, None);
}

#[tokio::test]
async fn a_connection_follows_its_peer_to_another_address() {
    let mut node = Node::new(2, &[1], limits());
    let endpoint = raw::endpoint(1);
    let raw = raw::Raw::dial_from(&endpoint, &node).await;
    let (mut control, _recv) = raw.greet(&raw::hello()).await;
    node.connected(key(1)).await;
    let before = node.status(key(1)).address;
    endpoint.rebind(LOOPBACK).unwrap();
    let now = Some(endpoint.local_addr().unwrap());
    assert_ne!(before, now);
    control.write_all(&raw::message(&vote(1, 1))).await.unwrap();
    assert_eq!(node.message(key(1)).await, vote(1, 1));
    assert_eq!(node.until(key(1), |status| status.address == now).await.connections, 1);
}

#[tokio::test]
async fn who_is_a_peer_may_change() {
    let mut hub = Node::new(1, &[], limits());
    let mut two = Node::of(settings(2, vec![peer(1, &[hub.address()])], limits()));
    // Nobody that the hub knows.
    let refused = two.until(hub.key, |status| status.last_error.is_some()).await;
    assert!(refused.last_error.unwrap().contains("refused"));
    hub.peers.set_peers(vec![peer(2, &[]), peer(1, &[]), peer(2, &[LOOPBACK])]);
    hub.connected(two.key).await;
    two.connected(hub.key).await;
    assert_eq!(hub.peers.status().len(), 1, "itself is left out, and who is named twice is one");
    assert!(hub.peers.send(To::One(hub.key), vote(1, 1)) == [hub.key], "nobody talks to himself");
    assert!(hub.peers.send(To::One(key(9)), vote(1, 1)) == [key(9)]);
    assert!(hub.peers.prometheus().contains("hypermesh_peers_unknown_messages_total 2"));
    hub.peers.set_peers(Vec::new());
    hub.disconnected(two.key).await;
    two.disconnected(hub.key).await;
    let told = two.until(hub.key, |status| status.last_error.is_some()).await;
    assert!(told.last_error.is_some());
    assert!(hub.peers.status().is_empty());
}

#[tokio::test]
async fn both_families_are_served_by_one_socket() {
    let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let mut hub = Node::of(Settings { listen, ..settings(1, vec![peer(2, &[]), peer(3, &[])], limits()) });
    let port = hub.address().port();
    let by_four = SocketAddr::from(([127, 0, 0, 1], port));
    let by_six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let mut four = Node::of(settings(2, vec![peer(1, &[by_four])], limits()));
    four.connected(hub.key).await;
    hub.connected(four.key).await;
    assert_eq!(hub.status(four.key).address, Some(four.address()), "as it is written, not as it is mapped");
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let mut six = Node::of(Settings { listen, ..settings(3, vec![peer(1, &[by_six])], limits()) });
    six.connected(hub.key).await;
    hub.connected(six.key).await;
    assert_eq!(hub.status(six.key).address, Some(six.address()));
}

#[tokio::test]
async fn what_waits_arrives_before_a_replica_stops() {
    let (one, mut two) = pair(limits()).await;
    for number in 0..200 {
        one.send(two.key, &vote(1, number));
        assert!(one.send(two.key, &requests(number, 1 << 10)));
    }
    one.send(two.key, &block(1, 3 << 20));
    let stopped = tokio::spawn(async move { (one.peers.shutdown(LONG).await, one) });
    let (mut votes, mut numbers, mut blocks) = (0, Vec::new(), 0);
    loop {
        match two.next().await {
            Incoming::Message { message: hypermesh_bft::Message::Vote(_), .. } => votes += 1,
            Incoming::Message { message: hypermesh_bft::Message::Block { .. }, .. } => blocks += 1,
            Incoming::Message { message, .. } => numbers.push(number(&message)),
            Incoming::Disconnected(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((votes, blocks), (200, 1));
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    let (whole, one) = stopped.await.unwrap();
    assert!(whole, "nothing was cut");
    assert!(one.peers.send(To::All, vote(1, 1)).is_empty(), "nothing is sent any more");
    assert!(one.peers.shutdown(LONG).await);
    let told = two.until(one.key, |status| status.last_error.is_some()).await.last_error.unwrap();
    assert!(told.contains("the replica stops"), "{told}");
}

#[tokio::test]
async fn a_replica_that_stops_does_not_wait_for_ever() {
    let (one, mut two) = pair(limits()).await;
    for number in 0..4_000 {
        one.send(two.key, &requests(number, 2 << 10));
    }
    // It holds what it hears.
    let _held = [two.held().await, two.held().await];
    let begun = tokio::time::Instant::now();
    let whole = one.peers.shutdown(Duration::from_millis(100)).await;
    assert!(!whole || begun.elapsed() < LONG);
    assert!(begun.elapsed() < LONG / 2);
}

#[tokio::test]
async fn requests_that_were_not_taken_when_a_connection_broke_come_over_the_next() {
    let mut limits = limits();
    limits.requests.window.frames = 3;
    let (one, mut two) = pair(limits).await;
    for number in 0..20 {
        assert!(one.send(two.key, &requests(number, 100)));
    }
    let mut numbers = Vec::new();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(two.held().await);
    }
    for (incoming, _) in &held {
        let Incoming::Message { message, .. } = incoming else { panic!("{incoming:?}") };
        numbers.push(number(message));
    }
    // The other end forgets this one, and remembers.
    two.peers.set_peers(Vec::new());
    two.disconnected(one.key).await;
    two.peers.set_peers(vec![peer(1, &[])]);
    two.connected(one.key).await;
    drop(held);
    while numbers.last() != Some(&19) {
        numbers.push(number(&two.message(one.key).await));
    }
    numbers.dedup();
    let mut all = numbers.clone();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..20).collect::<Vec<_>>(), "{numbers:?}");
}
