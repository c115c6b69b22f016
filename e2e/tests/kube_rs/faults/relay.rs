//! A relay between a client and a server that does to connections what networks do: loses an answer, cuts, falls mute.

use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What connections share.
#[derive(Default)]
struct State {
    /// The next answer is lost, and its connection with it.
    lose: AtomicBool,
    lost: AtomicU32,
    /// How much of the next connection is carried.
    room: Mutex<Room>,
}

/// How many bytes of a connection are carried before it is cut, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// From the client.
    pub asked: usize,
    /// To the client.
    pub answered: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { asked: usize::MAX, answered: usize::MAX }
    }
}

impl Room {
    /// Takes `length` bytes of one direction; how many of them are carried.
    fn take(left: &mut usize, length: usize) -> usize {
        let taken = length.min(*left);
        *left -= taken;
        taken
    }
}

/// What is done to open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Carry,
    Cut,
    Mute,
}

/// A relay that runs until it is dropped.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    order: watch::Sender<Order>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// A relay to a server.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let address = listener.local_addr()?;
        let (order, orders) = watch::channel(Order::Carry);
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&shared), orders.clone()));
            }
        });
        Ok(Self { address, state, order, accepting })
    }

    /// Loses what the server says next, with the connection that it says it on.
    pub fn lose_next_answer(&self) {
        self.state.lose.store(true, Ordering::SeqCst);
    }

    /// Cuts the next connection once so much was carried; those after it are carried whole.
    pub fn cut_next_after(&self, room: Room) {
        *self.state.room.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = room;
    }

    /// How many answers were lost.
    pub fn lost(&self) -> u32 {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// Cuts all connections that are open; new ones are carried.
    pub fn cut(&self) {
        self.order.send_replace(Order::Cut);
    }

    /// Stops carrying, without a word: both ends believe that they are connected.
    pub fn mute(&self) {
        self.order.send_replace(Order::Mute);
    }

    /// Listens no more.
    pub async fn stop(&mut self) {
        self.accepting.abort();
        // The listener is gone once its task is.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Bytes of a write, at least: HTTP/2's own frames (settings, pings, windows) are shorter, and their answers are none.
const A_REQUEST: usize = 150;

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    state: Arc<State>,
    mut orders: watch::Receiver<Order>,
) {
    let room = std::mem::take(&mut *state.room.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let Room { asked: mut left_to_ask, answered: mut left_to_answer } = room;
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    orders.mark_unchanged();
    let (mut asked, mut answered) = ([0; 16 << 10], [0; 16 << 10]);
    // Bytes that the client has sent since an answer is to be lost.
    let mut since = 0;
    loop {
        tokio::select! {
            changed = orders.changed() => {
                let order = *orders.borrow();
                match order {
                    _ if changed.is_err() => return,
                    Order::Cut => return,
                    Order::Mute => return std::future::pending().await,
                    Order::Carry => {}
                }
            }
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                since = if state.lose.load(Ordering::SeqCst) { since + length } else { 0 };
                let carried = Room::take(&mut left_to_ask, length);
                if server.write_all(&asked[..carried]).await.is_err() || left_to_ask == 0 { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if since >= A_REQUEST && state.lose.swap(false, Ordering::SeqCst) {
                    state.lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let carried = Room::take(&mut left_to_answer, length);
                if client.write_all(&answered[..carried]).await.is_err() || left_to_answer == 0 { return }
            }
        }
    }
}
