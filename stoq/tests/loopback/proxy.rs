//! The network between a client and a server: it loses, delays, records and renames.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use crate::pair::LOOPBACK;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    server: Mutex<SocketAddr>,
    lose_to_server: AtomicBool,
    lose_to_client: AtomicBool,
    lose_long_to_client: AtomicBool,
    /// So many datagrams pass to the server still.
    pass_to_server: AtomicUsize,
    /// What clients sent.
    recorded: Mutex<Vec<Vec<u8>>>,
    /// The way to the server, for each client: as the server sees it.
    ways: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            lose_to_server: AtomicBool::new(false),
            lose_to_client: AtomicBool::new(false),
            lose_long_to_client: AtomicBool::new(false),
            pass_to_server: AtomicUsize::new(usize::MAX),
            recorded: Mutex::default(),
            ways: Mutex::default(),
        });
        let near = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
        let address = near.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(near, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// Nothing passes any more, in either direction.
    pub fn vanish(&self) {
        self.shared.lose_to_server.store(true, Ordering::SeqCst);
        self.lose_answers();
    }

    /// What the server says is lost.
    pub fn lose_answers(&self) {
        self.shared.lose_to_client.store(true, Ordering::SeqCst);
    }

    /// What the server says is lost, but for what is as short as a Retry.
    pub fn lose_long_answers(&self) {
        self.shared.lose_long_to_client.store(true, Ordering::SeqCst);
    }

    /// Only so many datagrams pass to the server from now on.
    pub fn pass(&self, datagrams: usize) {
        self.shared.pass_to_server.store(datagrams, Ordering::SeqCst);
    }

    /// As a NAT that forgot: the server sees all clients at new ports.
    pub fn rename(&self) {
        self.shared.ways.lock().clear();
    }

    /// Another process has the server's address from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.shared.server.lock() = server;
        self.rename();
    }

    pub fn forget_recorded(&self) {
        self.shared.recorded.lock().clear();
    }

    /// Sends what was recorded once more, from elsewhere. Returns how many datagrams.
    pub async fn replay(&self) -> usize {
        let recorded = self.shared.recorded.lock().clone();
        let server = *self.shared.server.lock();
        let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
        for datagram in &recorded {
            socket.send_to(datagram, server).await.unwrap();
        }
        recorded.len()
    }
}

async fn forward(near: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut backwards = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, client)) = near.recv_from(&mut buffer).await else { continue };
        shared.recorded.lock().push(buffer[..length].to_vec());
        let left = shared.pass_to_server.load(Ordering::SeqCst);
        if left == 0 || shared.lose_to_server.load(Ordering::SeqCst) {
            continue;
        }
        shared.pass_to_server.store(left - 1, Ordering::SeqCst);
        let way = shared.ways.lock().get(&client).cloned();
        let way = match way {
            Some(way) => way,
            None => {
                let way = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
                let server = *shared.server.lock();
                way.connect(server).await.unwrap();
                shared.ways.lock().insert(client, Arc::clone(&way));
                backwards.spawn(back(Arc::clone(&way), Arc::clone(&near), client, Arc::clone(&shared)));
                way
            }
        };
        let _ = way.send(&buffer[..length]).await;
    }
}

async fn back(way: Arc<UdpSocket>, near: Arc<UdpSocket>, client: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = way.recv(&mut buffer).await {
        let long = length > 500 && shared.lose_long_to_client.load(Ordering::SeqCst);
        if !long && !shared.lose_to_client.load(Ordering::SeqCst) {
            let _ = near.send_to(&buffer[..length], client).await;
        }
    }
}
