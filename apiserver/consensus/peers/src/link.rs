//! One peer: what waits for it, what it may cost, and the one connection to it.
//!
//! A link outlives its connections. Which of several stays is decided here, under one lock; the connections' tasks then
//! take turns, so that the receiver is told of the end of one before the beginning of the next.

use crate::backoff::Backoff;
use crate::counts::{self, Counts};
use crate::duel::{self, Origin, Taken, Us};
use crate::end::End;
use crate::hello::{Hello, VERSION};
use crate::outbox::Outbox;
use crate::settings::Limits;
use crate::window::{Rate, Windows};
use hypermesh_chain::{ClusterId, PublicKey};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stoq::Connection;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

/// Connections of one peer that may wait for their hello at a time.
const MOST_GREETING: usize = 2;
/// A connection that lasted so long was good: the next dial is not held up by failures before it.
const GOOD: Duration = Duration::from_secs(1);

/// How often a peer may come, in a second and at once after a pause: to be told that one is there costs the receiver.
const COMES: (u32, u32) = (1, 20);

/// One connection at a time has it. A peer that was left out and named again keeps its own.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: PublicKey,
    pub(crate) outbox: Outbox,
    pub(crate) windows: Windows,
    pub(crate) rate: Mutex<Rate>,
    pub(crate) counts: Counts,
    /// Places for connections that have not said hello.
    pub(crate) greeting: Arc<Semaphore>,
    /// Whose turn it is to take from the outbox and to hand over.
    pub(crate) turn: Turn,
    /// Told when a dial may be worth a try before its time.
    pub(crate) wake: Notify,
    penalty_of: (Duration, Duration),
    state: Mutex<State>,
    occupied: watch::Sender<bool>,
    gone: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    addresses: Vec<SocketAddr>,
    current: Option<Current>,
    /// Connections that were taken up, ever.
    number: u64,
    /// The last of the other end's dials that was taken up: its incarnation and number.
    taken: Option<(u64, u64)>,
    /// Whether the receiver was told that the peer is there.
    up: bool,
    redial: Backoff,
    comes: Rate,
    penalty: Backoff,
    shut_until: Option<Instant>,
    last_error: Option<String>,
}

#[derive(Debug)]
struct Current {
    number: u64,
    taken: Taken,
    connection: Connection,
    began: Instant,
}

impl Current {
    fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }
}

impl Link {
    pub(crate) fn new(key: PublicKey, addresses: Vec<SocketAddr>, turn: Turn, limits: &Limits) -> Self {
        let now = Instant::now();
        let state = State {
            addresses,
            current: None,
            number: 0,
            taken: None,
            up: false,
            redial: Backoff::new(limits.redial),
            comes: Rate::new(COMES.0, COMES.1, now),
            penalty: Backoff::new(limits.penalty),
            shut_until: None,
            last_error: None,
        };
        Self {
            key,
            outbox: Outbox::new(limits),
            windows: Windows::new(limits),
            rate: Mutex::new(Rate::new(
                limits.statements_a_second,
                limits.statements_at_once,
                Instant::now(),
            )),
            counts: Counts::default(),
            greeting: Arc::new(Semaphore::new(MOST_GREETING)),
            turn,
            wake: Notify::new(),
            penalty_of: limits.penalty,
            state: Mutex::new(state),
            occupied: watch::Sender::new(false),
            gone: watch::Sender::new(false),
        }
    }

    /// What this end says first on a connection; `dial` is its number if this end dialled it.
    pub(crate) fn hello(&self, cluster: &ClusterId, incarnation: u64, dial: u64) -> Hello {
        let state = self.state.lock();
        // What is still there is not lost, though both may dial at once.
        let theirs = |current: &Current| current.taken.origin == Origin::Theirs;
        let here = state.current.as_ref().is_some_and(|current| theirs(current) && current.is_open());
        let taken = state.taken.filter(|_| !here);
        Hello { versions: (VERSION, VERSION), cluster: cluster.0, incarnation, dial, taken }
    }

    /// Takes a connection up, unless another one stays; says its number.
    pub(crate) fn take_up(
        &self,
        us: Us,
        origin: Origin,
        hello: &Hello,
        connection: &Connection,
    ) -> Result<u64, End> {
        let mut state = self.state.lock();
        if *self.gone.borrow() {
            return Err(End::Unknown);
        }
        if let Some(current) = &state.current
            && current.is_open()
        {
            if !duel::replaces(us, current.taken, origin, hello) {
                return Err(End::Duplicate);
            }
            let end = End::Duplicate;
            current.connection.close(end.code(), &end.told());
        }
        state.number += 1;
        let taken = Taken { origin, incarnation: hello.incarnation };
        let (number, connection) = (state.number, connection.clone());
        state.current = Some(Current { number, taken, connection, began: Instant::now() });
        if origin == Origin::Theirs {
            state.taken = Some((hello.incarnation, hello.dial));
        }
        state.last_error = None;
        self.occupied.send_replace(true);
        drop(state);
        counts::one(&self.counts.connections);
        Ok(number)
    }

    /// A connection that was taken up is over.
    pub(crate) fn release(&self, number: u64, end: &End) {
        let mut state = self.state.lock();
        let Some(current) = state.current.take_if(|current| current.number == number) else { return };
        if current.began.elapsed() >= GOOD {
            state.redial.reset();
        }
        if current.began.elapsed() >= self.penalty_of.1 {
            state.penalty.reset();
        }
        self.occupied.send_replace(false);
        drop(state);
        self.failed(end);
    }

    /// Remembers why there is no connection, and for how long there will be none if the peer broke the protocol.
    pub(crate) fn failed(&self, end: &End) {
        if end.is_duplicate() {
            return;
        }
        let mut state = self.state.lock();
        state.last_error = Some(end.told());
        if end.is_violation() {
            let pause = state.penalty.next(chance());
            state.shut_until = Some(Instant::now() + pause);
            drop(state);
            counts::one(&self.counts.violations);
            tracing::warn!(peer = %self.key, error = end.told(), ?pause, "a replica broke the protocol");
        }
    }

    /// For how long the peer is not let in, nor dialled.
    pub(crate) fn penalty(&self) -> Option<Duration> {
        let until = self.state.lock().shut_until?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Counts that the peer has come; how long it has to wait if that was too often.
    pub(crate) fn comes(&self) -> Result<(), End> {
        self.state.lock().comes.try_take(Instant::now()).map_err(End::Often)
    }

    /// The pause before the next dial.
    pub(crate) fn pause(&self) -> Duration {
        let pause = self.state.lock().redial.next(chance());
        pause.max(self.penalty().unwrap_or_default())
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.state.lock().addresses.clone()
    }

    /// It is to be found elsewhere from now on. A connection that is open stays.
    pub(crate) fn move_to(&self, addresses: Vec<SocketAddr>) {
        let mut state = self.state.lock();
        if state.addresses != addresses {
            state.addresses = addresses;
            state.redial.reset();
            drop(state);
            self.wake.notify_one();
        }
    }

    /// It is no peer any more.
    pub(crate) fn leave(&self) {
        let state = self.state.lock();
        self.gone.send_replace(true);
        if let Some(current) = &state.current {
            let end = End::Unknown;
            current.connection.close(end.code(), &end.told());
        }
    }

    /// The receiver was told that the peer is there, or is not.
    pub(crate) fn told(&self, up: bool) {
        self.state.lock().up = up;
    }

    /// The connection that the receiver was told of.
    pub(crate) fn connected(&self) -> Option<Connection> {
        let state = self.state.lock();
        state.current.as_ref().filter(|_| state.up).map(|current| current.connection.clone())
    }

    /// The connection, whether or not the receiver was told of it.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.state.lock().current.as_ref().map(|current| current.connection.clone())
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.state.lock().last_error.clone()
    }

    /// Waits until there is a connection, or none.
    pub(crate) async fn until(&self, occupied: bool) {
        let mut watched = self.occupied.subscribe();
        // The sender lives as long as this link.
        let _ = watched.wait_for(|now| *now == occupied).await;
    }

    /// Waits until it is no peer any more.
    pub(crate) async fn until_gone(&self) {
        let mut watched = self.gone.subscribe();
        let _ = watched.wait_for(|gone| *gone).await;
    }
}

/// Any number. Where the system has no randomness, no handshake succeeds either.
pub(crate) fn chance() -> u64 {
    getrandom::u64().unwrap_or_default()
}
