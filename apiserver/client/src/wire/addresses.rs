//! From a host's name to a TCP connection: addresses raced as RFC 8305 has it, so that one dead address of several
//! costs a quarter of a second and not a timeout.

use crate::wire::fault::ConnectError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// RFC 8305, section 5: the next address is tried after this time, or when the one before has failed.
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The most addresses that are tried.
const MOST_ADDRESSES: usize = 16;

/// A peer that is gone without a word is noticed within `silence`.
pub(crate) async fn connect(host: &str, port: u16, silence: Duration) -> Result<TcpStream, ConnectError> {
    let stream = race(resolve(host, port).await?).await?;
    // A request is one write; waiting to fill segments only costs time.
    let _ = stream.set_nodelay(true);
    watch(&stream, silence);
    Ok(stream)
}

/// The addresses of a host in the order in which they are tried: families take turns, the resolver's first choice first.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let found =
        tokio::net::lookup_host((host, port)).await.map_err(|e| ConnectError::Unresolved(e.to_string()))?;
    let ordered = interleave(found.collect());
    if ordered.is_empty() { Err(ConnectError::Unresolved("no address".into())) } else { Ok(ordered) }
}

fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else { return addresses };
    let (mut preferred, mut other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(preferred.len() + other.len());
    preferred.reverse();
    other.reverse();
    while let Some(address) = preferred.pop().or_else(|| other.pop()) {
        ordered.push(address);
        ordered.extend(other.pop());
    }
    ordered.truncate(MOST_ADDRESSES);
    ordered
}

async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectError> {
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut last = ConnectError::Unresolved("no address".into());
    let mut next_at = Instant::now();
    let mut more = true;
    loop {
        tokio::select! {
            biased;
            Some(outcome) = running.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let error: std::io::Error = error;
                    last = ConnectError::Tcp(error.kind(), error.to_string());
                    next_at = Instant::now();
                }
            },
            () = tokio::time::sleep_until(next_at), if more => {
                match waiting.next() {
                    Some(address) => running.push(TcpStream::connect(address)),
                    None => more = false,
                }
                next_at = Instant::now() + ATTEMPT_DELAY;
            }
            else => return Err(last),
        }
    }
}

/// Has the kernel notice a peer that is gone: probes on an idle connection, a bound on unacknowledged bytes.
fn watch(stream: &TcpStream, silence: Duration) {
    let socket = SockRef::from(stream);
    let probe = (silence / 4).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(silence / 2).with_interval(probe).with_retries(2);
    // What a kernel does not offer leaves HTTP/2's own pings.
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(silence));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses: Vec<SocketAddr> =
            ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(|a| a.parse().unwrap()).into();
        let ordered: Vec<String> = interleave(addresses).iter().map(ToString::to_string).collect();
        assert_eq!(ordered, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    }

    #[tokio::test]
    async fn a_dead_address_among_others_costs_little() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let refused = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let begun = Instant::now();
        let stream = race(vec![refused, alive]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(begun.elapsed() < ATTEMPT_DELAY);
        let error = race(vec![refused]).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tcp(std::io::ErrorKind::ConnectionRefused, _)));
    }
}
