//! Instances that take what is not theirs: others' addresses, the node's ports, all connections.

use super::world::{PATIENCE, World, ask, serve};
use super::{open, port_of, service};
use hypermesh_network::{Attachment, Config, Network, Reach, netns};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// How long is waited for what is not to arrive. What is to arrive is sent behind it, so that nothing depends on it.
const NOTHING: Duration = Duration::from_millis(200);

/// Sends a datagram from an address that need not be one's own, as any process may.
fn send_as(from: &Path, source: IpAddr, to: SocketAddr, word: &[u8]) -> io::Result<usize> {
    netns::within(from, || {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
        match source {
            // Of IPv4 it takes a right over one's own network.
            IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            IpAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.send_to(word, &to.into())
    })
}

fn hears(at: &Path, address: IpAddr) -> UdpSocket {
    let socket = netns::within(at, || UdpSocket::bind((address, 9))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sends_from_an_address_that_is_not_theirs() {
    let Some((network, world)) = open(true).await else { return };
    let [forger, other, victim] = [
        network.attach("a").await.unwrap(),
        network.attach("b").await.unwrap(),
        network.attach("c").await.unwrap(),
    ];
    let config = world.config();
    let six: [IpAddr; 5] = [
        other.ipv6.into(),
        config.prefix.api_server().into(),
        config.node.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        config.prefix.workload("tb", "web").into(),
    ];
    let four: [IpAddr; 3] =
        [other.ipv4.into(), Ipv4Addr::new(10, 212, 0, 1).into(), Ipv4Addr::new(192, 0, 2, 1).into()];
    for (sources, own, to) in [
        (&six[..], IpAddr::from(forger.ipv6), IpAddr::from(victim.ipv6)),
        (&four[..], forger.ipv4.into(), victim.ipv4.into()),
        (&six[..], forger.ipv6.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into()),
        (&four[..], forger.ipv4.into(), Ipv4Addr::new(192, 0, 2, 2).into()),
    ] {
        let at = if [IpAddr::from(victim.ipv6), victim.ipv4.into()].contains(&to) {
            &victim.namespace
        } else {
            &world.beyond
        };
        let ears = hears(at, to);
        for source in sources {
            send_as(&forger.namespace, *source, (to, 9).into(), b"forged").unwrap();
        }
        // What was sent before arrives before; a datagram may be lost while a link is still coming up.
        let mut heard = [0; 8];
        let begun = std::time::Instant::now();
        ears.set_read_timeout(Some(NOTHING)).unwrap();
        let (length, from) = loop {
            let sent = send_as(&forger.namespace, own, (to, 9).into(), b"own");
            match sent.and_then(|_| ears.recv_from(&mut heard)) {
                Ok(heard) => break heard,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "from {own} to {to}: {error}"),
            }
        };
        assert_eq!(&heard[..length], b"own", "from {from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_passes_the_nodes_routing() {
    let Some((network, world)) = open(true).await else { return };
    let (a, b) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    serve(&b.namespace, 8080, "b");
    let own = |at: &Attachment| {
        let shown = world.ip(&at.namespace, "-o link show eth0");
        let words: Vec<&str> = shown.split_whitespace().collect();
        words[words.iter().position(|word| *word == "link/ether").unwrap() + 1].to_owned()
    };
    assert!(ask(&a.namespace, (b.ipv6, 8080)).unwrap().starts_with("b "));
    // Who may change their network goes past the node, to a neighbour on the same bridge.
    world.ip(&a.namespace, &format!("-6 route add {} dev eth0", b.ipv6));
    world.ip(&a.namespace, &format!("-6 neigh replace {} lladdr {} dev eth0", b.ipv6, own(&b)));
    let past = netns::within(&a.namespace, || TcpStream::connect_timeout(&(b.ipv6, 8080).into(), NOTHING));
    assert!(past.is_err(), "a frame went past the node's rules");
    // Nor does it become another one by a hardware address.
    world.ip(&a.namespace, &format!("-6 route del {} dev eth0", b.ipv6));
    world.ip(&a.namespace, "link set eth0 address 02:00:00:00:00:77");
    let other = netns::within(&a.namespace, || TcpStream::connect_timeout(&(b.ipv6, 8080).into(), NOTHING));
    assert!(other.is_err(), "it was somebody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_publishes_443_to_the_world_does_not_become_the_api_server() {
    let Some((network, world)) = open(true).await else { return };
    let (a, client) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    serve(&a.namespace, 8080, "evil");
    serve(&world.node, 6443, "api");
    let config = world.config();
    let api = config.prefix.api_server();
    network.forward(api, 443, &[(Ipv4Addr::LOCALHOST, 6443).into()]).await.unwrap();
    let https = hypermesh_network::Service { port: 443, ..service(&network, "w", Reach::World, &[(&a, 1)]) };
    assert_eq!(network.publish(vec![https]).await.unwrap()[0].problem, None);
    assert!(ask(&client.namespace, (api, 443)).unwrap().starts_with("api "));
    assert!(ask(&world.node, (api, 443)).unwrap().starts_with("api "));
    // What is between the node and instances alone is nobody's to publish on, what is the world's is.
    assert!(ask(&client.namespace, (config.node, 443)).is_err());
    assert!(ask(&client.namespace, (Ipv4Addr::new(10, 212, 0, 1), 443)).is_err());
    for address in
        [IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()]
    {
        assert!(ask(&world.beyond, port_of(address, 443)).unwrap().starts_with("evil "));
        assert!(ask(&client.namespace, port_of(address, 443)).unwrap().starts_with("evil "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_a_process_has_on_any_address_is_not_taken_from_it() {
    let Some((network, world)) = open(true).await else { return };
    let a = network.attach("a").await.unwrap();
    serve(&a.namespace, 8080, "evil");
    let own = (Ipv4Addr::new(192, 0, 2, 1), 80);
    let listener = netns::within(&world.node, || std::net::TcpListener::bind(own)).unwrap();
    let web = service(&network, "w", Reach::World, &[(&a, 1)]);
    let refused = network.publish(vec![web.clone()]).await.unwrap();
    assert_eq!(refused[0].problem.as_ref().unwrap().reason, "PortInUse");
    let _client = netns::within(&world.beyond, || TcpStream::connect_timeout(&own.into(), PATIENCE)).unwrap();
    listener.accept().unwrap();
    drop((listener, _client));
    // Nor can one be begun that nobody would reach.
    assert_eq!(network.publish(vec![web.clone()]).await.unwrap()[0].problem, None);
    let late = netns::within(&world.node, || std::net::TcpListener::bind(own));
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    // The node has another address: it is told, and the port is there too.
    let mut moves = network.moves();
    world.ip(&world.node, "addr add 192.0.2.77/24 dev uplink");
    tokio::time::timeout(PATIENCE, network.moved(&mut moves)).await.unwrap();
    network.publish(vec![web]).await.unwrap();
    assert!(ask(&world.beyond, (Ipv4Addr::new(192, 0, 2, 77), 80)).unwrap().starts_with("evil "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_of_the_node_itself_are_given_to_nobody() {
    let Some(world) = World::new() else { return };
    let config = Config { reserved: vec![22..=22, 79..=81], ..world.config() };
    let (network, _) = Network::open(config).await.unwrap();
    let a = network.attach("a").await.unwrap();
    serve(&a.namespace, 8080, "a");
    let at = Reach::At(Ipv4Addr::LOCALHOST.into());
    for reach in [Reach::World, Reach::Node, at] {
        let outcome = network.publish(vec![service(&network, "w", reach, &[(&a, 1)])]).await.unwrap();
        assert_eq!(outcome[0].problem.as_ref().unwrap().reason, "PortReserved");
        assert!(ask(&world.node, (Ipv4Addr::LOCALHOST, 80)).is_err());
    }
    let both = ["v", "w"].map(|name| service(&network, name, Reach::World, &[(&a, 1)]));
    for outcome in network.publish(both.to_vec()).await.unwrap() {
        assert_eq!(outcome.problem.unwrap().reason, "PortReserved", "whoever came first");
    }
    let bridge = Reach::At(world.config().node.into());
    let outcome = network
        .publish(vec![hypermesh_network::Service { port: 443, ..service(&network, "w", bridge, &[(&a, 1)]) }])
        .await
        .unwrap();
    assert_eq!(outcome[0].problem.as_ref().unwrap().reason, "PortRefused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_does_not_keep_the_others_off_the_api_server() {
    let Some((network, world)) = open(false).await else { return };
    let (greedy, other) = (network.attach("a").await.unwrap(), network.attach("b").await.unwrap());
    let api = world.config().prefix.api_server();
    let listener = netns::within(&world.node, || std::net::TcpListener::bind(("127.0.0.1", 6443))).unwrap();
    // It answers, and holds on to everybody.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            let _ = io::Write::write_all(&mut &stream, b"!");
            held.push(stream);
        }
    });
    network.forward(api, 443, &[(Ipv4Addr::LOCALHOST, 6443).into()]).await.unwrap();
    let reach = |from: &Path| -> io::Result<TcpStream> {
        netns::within(from, || {
            let mut stream = TcpStream::connect_timeout(&(api, 443).into(), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            io::Read::read_exact(&mut stream, &mut [0])?;
            Ok(stream)
        })
    };
    let mut held = Vec::new();
    while let Ok(stream) = reach(&greedy.namespace) {
        held.push(stream);
        assert!(held.len() < 4096, "it may have everything");
    }
    assert!(held.len() > 100, "{}", held.len());
    assert!(reach(&other.namespace).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_of_one_cluster_share_a_node() {
    let Some((network, world)) = open(true).await else { return };
    serve(&world.node, 6443, "api");
    let (other, _) = Network::open(world.other_config()).await.unwrap();
    let api = world.config().prefix.api_server();
    let to = [(Ipv4Addr::LOCALHOST, 6443).into()];
    network.forward(api, 443, &to).await.unwrap();
    other.forward(api, 443, &to).await.unwrap();
    let (a, b) = (network.attach("a").await.unwrap(), other.attach("b").await.unwrap());
    serve(&b.namespace, 8080, "b");
    for _ in 0..8 {
        assert!(ask(&a.namespace, (api, 443)).unwrap().starts_with("api "));
        assert!(ask(&b.namespace, (api, 443)).unwrap().starts_with("api "));
    }
    assert!(ask(&a.namespace, (b.ipv6, 8080)).unwrap().starts_with("b "));
    // The one goes: the other has lost nothing.
    network.detach("a").await.unwrap();
    network.remove().await.unwrap();
    drop(network);
    assert!(ask(&b.namespace, (api, 443)).unwrap().starts_with("api "));
    assert!(world.ip(&world.node, "-6 route").contains("/48 dev hmtest1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_network_that_could_not_be_opened() {
    let Some(world) = World::new() else { return };
    let seen = || {
        let tables = netns::within(&world.node, || {
            std::process::Command::new("nft").args(["list", "tables"]).output()
        });
        let links = world.ip(&world.node, "-o link");
        let names: Vec<_> =
            links.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned).collect();
        (names, tables.map(|output| output.stdout).unwrap_or_default())
    };
    let before = seen();
    world.ip(&world.node, "route add 10.212.0.0/16 via 192.0.2.2");
    let pool = hypermesh_network::Ipv4Pool::parse("10.212.0.0/20").unwrap();
    assert!(Network::open(Config { pool, ..world.config() }).await.is_err());
    // A name that the kernel does not take fails later, after a bridge was made or not.
    let long = Config { bridge: "a-name-of-16-byt".to_owned(), ..world.other_config() };
    assert!(Network::open(long).await.is_err());
    assert_eq!(seen(), before);
    assert!(
        !world.config().state.exists(),
        "{:?}",
        std::fs::read_dir(world.config().state).unwrap().flatten().collect::<Vec<_>>()
    );
    assert!(!world.other_config().state.exists());
    world.ip(&world.node, "route del 10.212.0.0/16");
    let (network, _) = Network::open(world.config()).await.unwrap();
    network.remove().await.unwrap();
    assert_eq!(seen(), before);
    assert!(!world.config().state.exists());
}

/// Listens on one address of a namespace, and says so to whoever comes.
fn serve_at(path: &Path, address: SocketAddr) {
    let listener = netns::within(path, || std::net::TcpListener::bind(address)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = io::Write::write_all(&mut stream, b"secret");
        }
    });
}

/// Whether somebody answers an instance there.
fn reaches(from: &Path, address: SocketAddr) -> bool {
    netns::within(from, || TcpStream::connect_timeout(&address, NOTHING * 3)).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cloud_tells_the_node_is_told_to_no_instance_unless_it_may_be() {
    for metadata in [false, true] {
        let Some(world) = World::new() else { return };
        let (network, missing) = Network::open(Config { metadata, ..world.config() }).await.unwrap();
        if let Some(missing) = missing.first() {
            return super::skip(&missing.message);
        }
        let a = network.attach("a").await.unwrap();
        for address in ["169.254.169.254", "169.254.170.2", "168.63.129.16"] {
            world.ip(&world.beyond, &format!("addr add {address}/32 dev far"));
            world.ip(&world.node, &format!("route add {address} via 192.0.2.2"));
        }
        world.ip(&world.beyond, "addr add fd00:ec2::254/128 dev far nodad");
        world.ip(&world.node, "-6 route add fd00:ec2::254 via 2001:db8::2");
        serve(&world.beyond, 80, "keys");
        serve(&world.beyond, 53, "names");
        for address in ["169.254.169.254", "169.254.170.2", "168.63.129.16", "fd00:ec2::254"] {
            let address: IpAddr = address.parse().unwrap();
            assert!(reaches(&world.node, (address, 80).into()), "the node itself reaches {address}");
            assert_eq!(reaches(&a.namespace, (address, 80).into()), metadata, "{address}");
        }
        // Resolvers of clouds have such addresses, and what is beside them is reached as ever.
        assert!(reaches(&a.namespace, (Ipv4Addr::new(169, 254, 169, 254), 53).into()));
        assert!(reaches(&a.namespace, (Ipv4Addr::new(192, 0, 2, 2), 80).into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_listens_on_loopback_and_link_local_addresses_is_the_nodes_alone() {
    let Some((network, world)) = open(true).await else { return };
    let a = network.attach("a").await.unwrap();
    let bridge = world.config().bridge;
    // As some proxies and overlays set it: what comes for 127.0.0.0/8 from outside is taken.
    let routed = |path: &Path, link: &str| {
        let file = format!("/proc/sys/net/ipv4/conf/{link}/route_localnet");
        netns::within(path, || std::fs::write(&file, "1")).unwrap();
    };
    routed(&world.node, "all");
    routed(&a.namespace, "eth0");
    let loopback = Ipv4Addr::new(127, 0, 0, 9);
    serve_at(&world.node, (loopback, 9000).into());
    assert!(reaches(&world.node, (loopback, 9000).into()));
    world.ip(&a.namespace, "addr del 127.0.0.1/8 dev lo");
    world.ip(&a.namespace, "route add 127.0.0.9 via 10.212.0.1 dev eth0 onlink");
    assert!(!reaches(&a.namespace, (loopback, 9000).into()), "the node's loopback");
    // A service on the bridge's own link-local address.
    let shown = world.ip(&world.node, &format!("-6 -o addr show dev {bridge} scope link"));
    let local = shown.split_whitespace().skip_while(|word| *word != "inet6").nth(1);
    let Some(local) = local else { return };
    let local: Ipv6Addr = local.split('/').next().unwrap().parse().unwrap();
    let scope = |path: &Path, link: &str| -> u32 {
        world.ip(path, &format!("-o link show dev {link}")).split(':').next().unwrap().parse().unwrap()
    };
    let at = |scope: u32| SocketAddr::from(SocketAddrV6::new(local, 9001, 0, scope));
    serve_at(&world.node, at(scope(&world.node, &bridge)));
    assert!(reaches(&world.node, at(scope(&world.node, &bridge))));
    assert!(!reaches(&a.namespace, at(scope(&a.namespace, "eth0"))), "a link-local service of the node");
}
