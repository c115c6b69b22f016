//! The node's network on a real kernel, in namespaces of the tests' own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod hostile;
mod world;

use hypermesh_network::{Attachment, Backend, Claim, Ipv4Pool, Network, Protocol, Reach, Service};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use world::{PATIENCE, World, ask, serve, skip};

const FAR4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 2), 7000);
const FAR6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2), 7000);

/// Network and world; none: they cannot be had here. With `firewall`, `nft` must be there.
async fn open(firewall: bool) -> Option<(Network, World)> {
    let world = World::new()?;
    let (network, missing) = Network::open(world.config()).await.unwrap();
    if let Some(missing) = missing.iter().find(|_| firewall) {
        skip(&missing.message);
        return None;
    }
    Some((network, world))
}

fn service(network: &Network, name: &str, reach: Reach, backends: &[(&Attachment, u32)]) -> Service {
    let backend = |(attachment, weight): &(&Attachment, u32)| Backend {
        ipv6: attachment.ipv6,
        ipv4: attachment.ipv4,
        port: 8080,
        weight: *weight,
    };
    Service {
        name: name.to_owned(),
        claim: Claim::default(),
        address: Some(network_address(network, name)),
        port: 80,
        protocol: Protocol::Tcp,
        reach,
        backends: backends.iter().map(backend).collect(),
    }
}

fn network_address(_: &Network, name: &str) -> Ipv6Addr {
    hypermesh_chain::ClusterPrefix::of(&hypermesh_chain::ClusterId::default()).workload("default", name)
}

fn port_of(address: impl Into<IpAddr>, port: u16) -> (IpAddr, u16) {
    (address.into(), port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_reach_each_other_the_node_and_the_world() {
    let Some((network, world)) = open(true).await else { return };
    let (a, b) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    serve(&b.namespace, 8080, "b");
    serve(&world.beyond, 7000, "far");
    for address in b.addresses() {
        let own = if address.is_ipv6() { IpAddr::from(a.ipv6) } else { a.ipv4.into() };
        assert_eq!(ask(&a.namespace, (address, 8080)).unwrap(), format!("b {own}"));
        assert!(ask(&world.node, (address, 8080)).unwrap().starts_with("b "));
    }
    // Beyond the node an instance wears the node's address.
    assert_eq!(ask(&a.namespace, FAR4).unwrap(), "far 192.0.2.1");
    assert_eq!(ask(&a.namespace, FAR6).unwrap(), "far 2001:db8::1");
    let traffic = network.traffic().await.unwrap();
    assert!(traffic["a"].received > 0 && traffic["a"].sent > 0, "{traffic:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_what_is_detached() {
    let Some((network, world)) = open(false).await else { return };
    let seen = || {
        let routes = ["-6 route", "route"].map(|what| world.ip(&world.node, what).replace("linkdown ", ""));
        (world.ip(&world.node, "-o link").lines().count(), routes)
    };
    let before = seen();
    let first = network.attach("a").await.unwrap();
    assert_eq!(network.attach("a").await.unwrap(), first, "attaching again changes nothing");
    assert_ne!(seen(), before);
    network.detach("a").await.unwrap();
    network.detach("a").await.unwrap();
    assert_eq!(seen(), before);
    assert!(!first.namespace.exists());
    let again = network.attach("a").await.unwrap();
    assert_eq!(again.ipv6, first.ipv6, "the stable address is the instance's");
    assert_ne!(again.ipv4, first.ipv4, "an address comes back late");
    network.remove().await.unwrap();
    assert!(!world.ip(&world.node, "-o link").contains("hmtest0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_takes_over_what_is_whole_and_removes_the_rest() {
    let Some((network, world)) = open(false).await else { return };
    let (whole, torn) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    drop(network);
    world.ip(&world.node, &format!("link del {}", torn.link));
    // What a process that was killed in the middle leaves: a namespace and a link that nobody knows.
    let known = world.config().state.join("attachments/a.json");
    let lost = std::fs::read(&known).unwrap();
    hypermesh_network::netns::create(&world.config().state.join("namespaces/c")).unwrap();
    std::fs::write(world.config().state.join("attachments/d.json"), &lost[..lost.len() / 2]).unwrap();
    let (network, _) = Network::open(world.config()).await.unwrap();
    assert_eq!(network.attached(), std::slice::from_ref(&whole));
    assert!(!torn.namespace.exists() && !world.config().state.join("namespaces/c").exists());
    serve(&whole.namespace, 8080, "a");
    assert_eq!(network.attach("a").await.unwrap(), whole);
    assert!(ask(&world.node, (whole.ipv6, 8080)).unwrap().starts_with("a "));
    assert_ne!(network.attach("e").await.unwrap().ipv4, whole.ipv4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_port_is_balanced_by_weight_for_whom_it_is_for() {
    let Some((network, world)) = open(true).await else { return };
    let (a, b) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    let client = network.attach("client").await.unwrap();
    let counts = [serve(&a.namespace, 8080, "a"), serve(&b.namespace, 8080, "b")];
    let outcome = |reach, weights: [u32; 2]| {
        let service = service(&network, "w", reach, &[(&a, weights[0]), (&b, weights[1])]);
        let network = &network;
        async move { network.publish(vec![service]).await.unwrap() }
    };
    let own = network_address(&network, "w");
    assert_eq!(outcome(Reach::World, [300, 100]).await[0].problem, None);
    for (from, to) in [
        (&client.namespace, port_of(own, 80)),
        (&world.node, port_of(own, 80)),
        (&world.node, port_of(Ipv4Addr::LOCALHOST, 80)),
        (&world.node, port_of(Ipv6Addr::LOCALHOST, 80)),
        (&world.beyond, port_of(Ipv4Addr::new(192, 0, 2, 1), 80)),
        (&world.beyond, port_of(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 80)),
    ] {
        let before: Vec<_> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        for _ in 0..40 {
            ask(from, to).unwrap_or_else(|error| panic!("{} to {to:?}: {error}", from.display()));
        }
        let share: Vec<_> =
            counts.iter().zip(before).map(|(now, before)| now.load(Ordering::SeqCst) - before).collect();
        assert!(share[0] > share[1] && share.iter().sum::<usize>() == 40, "{to:?}: {share:?}");
    }
    // One that is behind its own workload's port may reach itself over it.
    assert_eq!(outcome(Reach::World, [1, 0]).await[0].problem, None);
    assert!(ask(&a.namespace, (own, 80)).unwrap().starts_with("a "));
    // Who is not to reach it does not.
    outcome(Reach::Mesh, [1, 1]).await;
    assert!(ask(&client.namespace, (own, 80)).is_ok());
    assert!(ask(&world.beyond, (Ipv4Addr::new(192, 0, 2, 1), 80)).is_err());
    outcome(Reach::Node, [1, 1]).await;
    assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).is_ok());
    assert!(ask(&client.namespace, (own, 80)).is_err());
    // Nobody behind it: refused at once, on each way.
    outcome(Reach::World, [0, 0]).await;
    for (from, to) in [
        (&client.namespace, port_of(own, 80)),
        (&world.node, port_of(own, 80)),
        (&world.node, port_of(Ipv4Addr::LOCALHOST, 80)),
    ] {
        let kind = ask(from, to).unwrap_err().kind();
        assert!(
            matches!(kind, std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset),
            "{kind}"
        );
    }
    network.publish(Vec::new()).await.unwrap();
    assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).is_err());
}

/// Waits until what a process that ended listened on is free: it was a part of this one.
async fn until_free(world: &World) {
    let bind = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 80));
    while hypermesh_network::netns::within(&world.node, bind).is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_port_goes_on_while_one_process_follows_another() {
    use std::sync::atomic::AtomicBool;
    let Some((network, world)) = open(true).await else { return };
    let (a, client) = (network.attach("a").await.unwrap(), network.attach("client").await.unwrap());
    serve(&a.namespace, 8080, "a");
    let published = vec![service(&network, "w", Reach::World, &[(&a, 1)])];
    assert_eq!(network.publish(published.clone()).await.unwrap()[0].problem, None);
    let own = network_address(&network, "w");
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let ways = [
        (world.beyond.clone(), port_of(Ipv4Addr::new(192, 0, 2, 1), 80)),
        (client.namespace.clone(), port_of(own, 80)),
    ];
    let asking = {
        let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                for (from, to) in &ways {
                    ask(from, *to).unwrap_or_else(|error| panic!("{} to {to:?}: {error}", from.display()));
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    let mut network = network;
    for _ in 0..3 {
        drop(network);
        until_free(&world).await;
        network = Network::open(world.config()).await.unwrap().0;
        assert_eq!(network.services().await, published);
        assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).is_ok(), "before anybody says it anew");
    }
    let before = asked.load(Ordering::SeqCst);
    while asked.load(Ordering::SeqCst) < before + 20 && !asking.is_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    asking.join().unwrap();
    // What led to an instance that is gone meanwhile leads nowhere.
    drop(network);
    until_free(&world).await;
    world.ip(&world.node, &format!("link del {}", a.link));
    let (network, _) = Network::open(world.config()).await.unwrap();
    assert_eq!(network.services().await, Vec::new());
    assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_gone_costs_no_request_and_one_that_drains_keeps_its_connections() {
    use std::io::{Read as _, Write as _};
    let Some((network, world)) = open(false).await else { return };
    let (a, b) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    serve(&a.namespace, 8080, "a");
    network.publish(vec![service(&network, "w", Reach::Node, &[(&a, 1), (&b, 1)])]).await.unwrap();
    for _ in 0..10 {
        assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).unwrap().starts_with("a "));
    }
    let echo =
        hypermesh_network::netns::within(&b.namespace, || std::net::TcpListener::bind(("::", 8080))).unwrap();
    network.publish(vec![service(&network, "w", Reach::Node, &[(&b, 1)])]).await.unwrap();
    let mut client = hypermesh_network::netns::within(&world.node, || {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, 80))
    })
    .unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut server, _) = echo.accept().unwrap();
    network.publish(vec![service(&network, "w", Reach::Node, &[(&a, 1), (&b, 0)])]).await.unwrap();
    client.write_all(b"still").unwrap();
    let mut heard = [0; 5];
    server.read_exact(&mut heard).unwrap();
    server.write_all(&heard).unwrap();
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still");
    assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).unwrap().starts_with("a "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_has_one_holder() {
    let Some((network, world)) = open(false).await else { return };
    let a = network.attach("a").await.unwrap();
    serve(&a.namespace, 8080, "a");
    let of = |name: &str, since: i64| {
        let claim = Claim { since, uid: name.to_owned() };
        Service { claim, ..service(&network, name, Reach::World, &[(&a, 1)]) }
    };
    let (older, younger) = (of("tb/web", 1), of("ta/web", 2));
    let holder = |published: Vec<hypermesh_network::Published>| -> Vec<String> {
        published.into_iter().filter(|one| one.problem.is_none()).map(|one| one.name).collect()
    };
    assert_eq!(network.publish(vec![younger.clone()]).await.unwrap()[0].problem, None);
    // Whoever comes back has what was theirs before anybody else came.
    let both = network.publish(vec![younger.clone(), older.clone()]).await.unwrap();
    let problem = both.iter().find_map(|published| published.problem.clone()).unwrap();
    assert_eq!(problem.reason, "PortTaken");
    assert_eq!(
        problem.message,
        "port 80/tcp of the node was published by somebody else before; ta/web is reached by its own address alone"
    );
    assert_eq!(problem.holder.as_deref(), Some("tb/web"));
    assert_eq!(holder(both), ["tb/web"]);
    drop(network);
    let (network, _) = Network::open(world.config()).await.unwrap();
    assert_eq!(holder(network.publish(vec![younger.clone(), older]).await.unwrap()), ["tb/web"]);
    // The holder went: who waited has it.
    assert_eq!(network.publish(vec![younger.clone()]).await.unwrap()[0].problem, None);
    network.publish(Vec::new()).await.unwrap();
    let _taken =
        hypermesh_network::netns::within(&world.node, || std::net::TcpListener::bind(("127.0.0.1", 80)))
            .unwrap();
    let refused = network.publish(vec![younger]).await.unwrap();
    let problem = refused[0].problem.clone().unwrap();
    assert_eq!(problem.reason, "PortInUse");
    assert_eq!(
        problem.message,
        "port 80/tcp of the node is in use by another process of it; ta/web is reached by its own address alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_come_back_to_who_sent() {
    let Some((network, world)) = open(false).await else { return };
    let a = network.attach("a").await.unwrap();
    let server =
        hypermesh_network::netns::within(&a.namespace, || std::net::UdpSocket::bind(("::", 8080))).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let udp = Service { protocol: Protocol::Udp, ..service(&network, "w", Reach::Node, &[(&a, 1)]) };
    assert_eq!(network.publish(vec![udp]).await.unwrap()[0].problem, None);
    let client = || {
        let socket =
            hypermesh_network::netns::within(&world.node, || std::net::UdpSocket::bind(("127.0.0.1", 0)))
                .unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(("127.0.0.1", 80)).unwrap();
        socket
    };
    let (one, other) = (client(), client());
    let mut buffer = [0; 8];
    for round in 0..2_u8 {
        for (socket, word) in [(&one, [b'1', round]), (&other, [b'2', round])] {
            socket.send(&word).unwrap();
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..length], from).unwrap();
            assert_eq!(socket.recv(&mut buffer).unwrap(), 2);
            assert_eq!(buffer[..2], word);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_reach_what_listens_on_the_nodes_loopback() {
    let Some((network, world)) = open(false).await else { return };
    let a = network.attach("a").await.unwrap();
    serve(&world.node, 6443, "api");
    let address = hypermesh_chain::ClusterPrefix::of(&hypermesh_chain::ClusterId::default()).api_server();
    network
        .forward(address, 443, &[(Ipv4Addr::LOCALHOST, 1).into(), (Ipv4Addr::LOCALHOST, 6443).into()])
        .await
        .unwrap();
    assert!(ask(&a.namespace, (address, 443)).unwrap().starts_with("api "));
    let mut stream = network.dial("a", 9, std::time::Duration::from_millis(200)).await;
    assert!(stream.is_err());
    serve(&a.namespace, 9, "own");
    stream = network.dial("a", 9, PATIENCE).await;
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream.unwrap(), &mut answer).await.unwrap();
    assert_eq!(answer, "own 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_somebody_uses_is_refused() {
    let Some(world) = World::new() else { return };
    world.ip(&world.node, "route add 10.0.0.0/8 via 192.0.2.2");
    let Err(error) = Network::open(world.config()).await else { panic!("it was taken") };
    assert_eq!(
        error.to_string(),
        "the range 10.212.0.0/16 overlaps with 10.0.0.0/8, which this node has a route for; configure another range"
    );
    world.ip(&world.node, "route del 10.0.0.0/8");
    world.ip(&world.node, "route add 10.212.7.0/24 via 192.0.2.2");
    let own = hypermesh_network::Config { pool: Ipv4Pool::parse("10.212.0.0/20").unwrap(), ..world.config() };
    assert!(Network::open(own).await.is_err(), "a range that was asked for is not another one");
    let (network, _) = Network::open(world.config()).await.unwrap();
    let first = network.attach("a").await.unwrap();
    assert_eq!(first.ipv4, Ipv4Addr::new(10, 213, 0, 2));
    drop(network);
    world.ip(&world.node, "route del 10.212.7.0/24");
    let (network, _) = Network::open(world.config()).await.unwrap();
    assert_eq!(network.attached(), [first], "what was chosen stays");
    network.remove().await.unwrap();
}
