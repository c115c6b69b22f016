//! Which protocol a server is asked over: HTTP/3 where UDP gets through, else TCP.
//!
//! As RFC 8305 races addresses, connections are raced here, never requests: HTTP/3 begins, TCP joins when it has not
//! answered in a quarter of a second, and the first that stands is used and remembered for that server. So a network
//! that drops UDP costs that quarter once. What was remembered is forgotten when it fails, and a server that was reached
//! over TCP is tried over UDP again from time to time, beside the requests and not before them.

use crate::config::Transport;
use crate::metrics::Protocol;
use crate::wire::addresses::ATTEMPT_DELAY;
use crate::wire::fault::ConnectError;
use http::uri::Authority;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long TCP is used before UDP is tried again.
const AGAIN: Duration = Duration::from_secs(300);
/// How long HTTP/3 is still waited for once TCP has failed.
const GRACE: Duration = Duration::from_secs(1);
/// Servers that are remembered.
const MOST_SERVERS: usize = 256;

/// What is known of servers.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<Authority, Known>>);

#[derive(Clone, Copy)]
struct Known {
    protocol: Protocol,
    since: Instant,
}

/// What to do for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Use this.
    Use(Protocol),
    /// Use TCP, and try HTTP/3 beside it.
    TcpAndTry,
    /// Nothing is known: race.
    Race,
}

impl Memory {
    pub fn choose(&self, transport: Transport, server: &Authority) -> Choice {
        match transport {
            Transport::Tcp => return Choice::Use(Protocol::Tcp),
            Transport::Http3 => return Choice::Use(Protocol::Http3),
            Transport::Auto => {}
        }
        let Ok(mut known) = self.0.lock() else { return Choice::Use(Protocol::Tcp) };
        match known.get_mut(server) {
            None => Choice::Race,
            Some(Known { protocol: Protocol::Http3, .. }) => Choice::Use(Protocol::Http3),
            Some(tcp) if tcp.since.elapsed() < AGAIN => Choice::Use(Protocol::Tcp),
            Some(tcp) => {
                // One try at a time.
                tcp.since = Instant::now();
                Choice::TcpAndTry
            }
        }
    }

    /// Whether HTTP/3 worked when the server was last reached.
    pub fn knows_http3(&self, server: &Authority) -> bool {
        let known = self.0.lock();
        known.is_ok_and(|known| known.get(server).is_some_and(|known| known.protocol == Protocol::Http3))
    }

    pub fn remember(&self, server: &Authority, protocol: Protocol) {
        if let Ok(mut known) = self.0.lock() {
            if known.len() >= MOST_SERVERS {
                known.clear();
            }
            known.insert(server.clone(), Known { protocol, since: Instant::now() });
        }
    }

    pub fn forget(&self, server: &Authority) {
        if let Ok(mut known) = self.0.lock() {
            known.remove(server);
        }
    }
}

/// The protocol whose connection stands first. Both failed: why TCP did, and why HTTP/3 did, if that is known by then.
pub(crate) async fn race(
    http3: impl Future<Output = Result<(), ConnectError>>,
    tcp: impl Future<Output = Result<(), ConnectError>>,
) -> Result<Protocol, (ConnectError, Option<ConnectError>)> {
    let (mut http3, mut tcp) = (std::pin::pin!(http3), std::pin::pin!(tcp));
    let early = tokio::time::timeout(ATTEMPT_DELAY, &mut http3).await;
    let mut refused = match early {
        Ok(Ok(())) => return Ok(Protocol::Http3),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    if refused.is_none() {
        tokio::select! {
            outcome = &mut http3 => match outcome {
                Ok(()) => return Ok(Protocol::Http3),
                Err(error) => refused = Some(error),
            },
            outcome = &mut tcp => match outcome {
                Ok(()) => return Ok(Protocol::Tcp),
                Err(error) => return match tokio::time::timeout(GRACE, http3).await {
                    Ok(Ok(())) => Ok(Protocol::Http3),
                    Ok(Err(other)) => Err((error, Some(other))),
                    Err(_) => Err((error, None)),
                },
            },
        }
    }
    tcp.await.map(|()| Protocol::Tcp).map_err(|error| (error, refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    /// A connection that stands, or fails, after so many milliseconds.
    async fn after(milliseconds: u64, stands: bool) -> Result<(), ConnectError> {
        sleep(Duration::from_millis(milliseconds)).await;
        if stands { Ok(()) } else { Err(ConnectError::TimedOut("test")) }
    }

    async fn raced(http3: (u64, bool), tcp: (u64, bool)) -> (Option<Protocol>, u128) {
        let begun = Instant::now();
        let outcome = race(after(http3.0, http3.1), after(tcp.0, tcp.1)).await;
        (outcome.ok(), begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn http3_is_preferred_and_tcp_is_soon_tried() {
        // UDP gets through: nothing else is tried.
        assert_eq!(raced((40, true), (0, true)).await, (Some(Protocol::Http3), 40));
        // UDP is shut: a quarter of a second, and TCP.
        assert_eq!(raced((5_000, false), (30, true)).await, (Some(Protocol::Tcp), 280));
        // UDP is refused: TCP at once.
        assert_eq!(raced((10, false), (30, true)).await, (Some(Protocol::Tcp), 40));
        // A far server: HTTP/3 needs fewer round trips and wins.
        assert_eq!(raced((300, true), (600, true)).await, (Some(Protocol::Http3), 300));
        // TCP is shut.
        assert_eq!(raced((700, true), (10, false)).await, (Some(Protocol::Http3), 700));
        // Nobody is there: the wait is bounded.
        assert_eq!(raced((5_000, false), (10, false)).await, (None, 1_260));
    }

    #[test]
    fn what_works_is_remembered_for_each_server() {
        let (memory, a, b) = (Memory::default(), Authority::from_static("a"), Authority::from_static("b"));
        assert_eq!(memory.choose(Transport::Auto, &a), Choice::Race);
        memory.remember(&a, Protocol::Tcp);
        assert_eq!(memory.choose(Transport::Auto, &a), Choice::Use(Protocol::Tcp));
        assert_eq!(memory.choose(Transport::Auto, &b), Choice::Race);
        memory.remember(&a, Protocol::Http3);
        assert_eq!(memory.choose(Transport::Auto, &a), Choice::Use(Protocol::Http3));
        assert_eq!(memory.choose(Transport::Tcp, &a), Choice::Use(Protocol::Tcp));
        memory.forget(&a);
        assert_eq!(memory.choose(Transport::Auto, &a), Choice::Race);
        assert_eq!(memory.choose(Transport::Http3, &a), Choice::Use(Protocol::Http3));
    }

    #[test]
    fn udp_is_tried_again_after_a_while() {
        let (memory, a) = (Memory::default(), Authority::from_static("a"));
        memory.remember(&a, Protocol::Tcp);
        let past = Instant::now().into_std().checked_sub(AGAIN);
        if let Some(past) = past {
            memory.0.lock().unwrap().get_mut(&a).unwrap().since = past;
            assert_eq!(memory.choose(Transport::Auto, &a), Choice::TcpAndTry);
            assert_eq!(memory.choose(Transport::Auto, &a), Choice::Use(Protocol::Tcp));
        }
    }
}
