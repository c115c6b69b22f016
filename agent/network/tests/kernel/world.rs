//! A node and a world around it, each a namespace that the test made, so that nothing of the machine's network is touched.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use hypermesh_chain::{ClusterId, ClusterPrefix};
use hypermesh_network::{Config, Ipv4Pool, netns};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long anything may take before the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The namespaces. Dropped, they go.
pub struct World {
    folder: tempfile::TempDir,
    /// The node.
    pub node: PathBuf,
    /// What lies beyond its uplink.
    pub beyond: PathBuf,
}

impl World {
    /// A node whose uplink leads to a host that has `192.0.2.2` and `2001:db8::2`. None: this cannot be made here, and
    /// the skip is told.
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip("making network namespaces needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (node, beyond) = (folder.path().join("node"), folder.path().join("beyond"));
        for path in [&node, &beyond] {
            if let Err(error) = netns::create(path) {
                skip(&format!("network namespaces cannot be made here: {error}"));
                return None;
            }
        }
        let world = Self { folder, node, beyond };
        world.ip(&world.node, "link add uplink type veth peer name far");
        // The peer is moved by the number of a process that is in the other namespace for as long as that takes.
        let mut there = netns::within(&world.beyond, || {
            Command::new("sleep").arg("10").stdin(Stdio::null()).stdout(Stdio::null()).spawn()
        })
        .unwrap();
        world.ip(&world.node, &format!("link set far netns {}", there.id()));
        there.kill().unwrap();
        there.wait().unwrap();
        for (path, link, four, six) in [
            (&world.node, "uplink", "192.0.2.1/24", "2001:db8::1/64"),
            (&world.beyond, "far", "192.0.2.2/24", "2001:db8::2/64"),
        ] {
            world.ip(path, "link set lo up");
            world.ip(path, &format!("addr add {four} dev {link}"));
            world.ip(path, &format!("addr add {six} dev {link} nodad"));
            world.ip(path, &format!("link set {link} up"));
        }
        Some(world)
    }

    /// The configuration of the network of another agent of the node.
    pub fn other_config(&self) -> Config {
        let config = self.config();
        Config {
            state: self.folder.path().join("other"),
            bridge: "hmtest1".to_owned(),
            node: config.prefix.node(&hypermesh_chain::PublicKey([2; 32])),
            ..config
        }
    }

    /// The configuration of the node's network.
    pub fn config(&self) -> Config {
        let prefix = ClusterPrefix::of(&ClusterId::default());
        Config {
            state: self.folder.path().join("state"),
            bridge: "hmtest0".to_owned(),
            prefix,
            node: prefix.node(&hypermesh_chain::PublicKey([1; 32])),
            pool: Ipv4Pool::DEFAULT,
            reserved: Vec::new(),
            metadata: false,
            host: Some(self.node.clone()),
        }
    }

    /// What `ip` says inside a namespace.
    pub fn ip(&self, path: &Path, arguments: &str) -> String {
        let output = netns::within(path, || Command::new("ip").args(arguments.split(' ')).output()).unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let folders = ["state/namespaces", "other/namespaces"].map(|name| self.folder.path().join(name));
        let instances =
            folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let mut paths: Vec<_> = instances.map(|entry| entry.path()).collect();
        paths.extend([self.node.clone(), self.beyond.clone()]);
        for path in paths {
            let _ = netns::remove(&path);
        }
    }
}

/// A server in a namespace that tells each client `name` and the client's address, and counts them.
pub fn serve(path: &Path, port: u16, name: &'static str) -> Arc<AtomicUsize> {
    let listener = netns::within(path, || TcpListener::bind(("::", port))).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let served = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            served.fetch_add(1, Ordering::SeqCst);
            let peer = stream.peer_addr().unwrap();
            let _ = write!(stream, "{name} {}", peer.ip().to_canonical());
        }
    });
    count
}

/// What a server answers to who connects from inside a namespace.
pub fn ask(from: &Path, to: impl Into<SocketAddr>) -> io::Result<String> {
    let to = to.into();
    netns::within(from, || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

/// Tells that a test was not run, as the workspace's other tests do.
pub fn skip(why: &str) {
    println!("SKIPPED: {why}");
    let Some(path) = std::env::var_os("HYPERMESH_SKIPS") else { return };
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let file = std::fs::File::options().append(true).create(true).open(path);
    drop(file.and_then(|mut file| file.write_all(format!("{name}: {why}\n").as_bytes())));
}
