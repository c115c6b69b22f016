//! Leads datagrams: those of one sender to one backend, for as long as they keep coming.

use crate::proxy::Way;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

/// After how much silence a sender is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// Most senders at once; the datagrams of more are dropped.
const SENDERS: usize = 1024;
/// The largest datagram.
const DATAGRAM: usize = 65_535;

/// Takes datagrams until it is dropped.
pub async fn relay(socket: UdpSocket, way: Way) {
    let socket = Arc::new(socket);
    let mut senders: HashMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        tokio::select! {
            Some(ended) = answers.join_next() => {
                if let Ok(sender) = ended {
                    senders.remove(&sender);
                }
            }
            received = socket.recv_from(&mut buffer) => {
                // An error is an answer of the network to something that was sent: the next datagram is another matter.
                let Ok((length, sender)) = received else { continue };
                let datagram = buffer.get(..length).unwrap_or_default();
                if let Some((backend, _)) = senders.get(&sender)
                    && backend.send(datagram).await.is_ok()
                {
                    continue;
                }
                if let Some((_, task)) = senders.remove(&sender) {
                    task.abort();
                }
                if senders.len() >= SENDERS {
                    continue;
                }
                let Some(backend) = way.datagrams().await else { continue };
                let backend = Arc::new(backend);
                let _ = backend.send(datagram).await;
                let task = answers.spawn(answer(Arc::clone(&socket), Arc::clone(&backend), sender));
                senders.insert(sender, (backend, task));
            }
        }
    }
}

/// Carries a backend's answers back, until it has been silent for long.
async fn answer(socket: Arc<UdpSocket>, backend: Arc<UdpSocket>, sender: SocketAddr) -> SocketAddr {
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(Ok(length)) = tokio::time::timeout(IDLE, backend.recv(&mut buffer)).await {
        if socket.send_to(buffer.get(..length).unwrap_or_default(), sender).await.is_err() {
            break;
        }
    }
    sender
}
