//! What an endpoint grants and how long it waits.

use std::time::Duration;

/// Times and windows of connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A connection on which nothing is heard for this long is over. The smaller of both ends' values counts.
    pub idle_timeout: Duration,
    /// How often an end that has nothing to say says so, to keep the connection and the NAT's mapping, and to notice
    /// that the peer is gone. What ends connections that nobody uses is the protocol's
    /// ([`HttpLimits::idle`](crate::http3::HttpLimits::idle)).
    pub keep_alive: Option<Duration>,
    /// How long a handshake may take, on either side; after it a dial fails.
    pub handshake_timeout: Duration,
    /// Streams that the peer may have open at a time, in each direction of opening.
    pub streams: u32,
    /// Streams in one direction that the peer may have open at a time. HTTP/3 needs at least three.
    pub one_way_streams: u32,
    /// Bytes that a peer may send on a stream before they are read.
    pub stream_window: u32,
    /// Bytes that a peer may send on all streams of a connection before they are read.
    pub connection_window: u32,
    /// Bytes that wait here for a slow peer, for each connection.
    pub send_window: u64,
    /// Bytes of datagrams that wait to be read; without it the peer may send none.
    pub datagrams: Option<usize>,
    /// Whether requests may be sent (by clients that mark them) and taken in the first flight of a resumed
    /// connection (RFC 8470).
    pub early_data: bool,
    /// Whether a client may change its address (RFC 9000 §9).
    pub migration: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(10)),
            handshake_timeout: Duration::from_secs(5),
            streams: 256,
            one_way_streams: 16,
            stream_window: 1 << 20,
            connection_window: 8 << 20,
            send_window: 8 << 20,
            datagrams: Some(256 << 10),
            early_data: true,
            migration: true,
        }
    }
}

impl Settings {
    pub(crate) fn transport(&self) -> quinn::TransportConfig {
        let mut transport = quinn::TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(self.streams.into())
            .max_concurrent_uni_streams(self.one_way_streams.into())
            .max_idle_timeout(quinn::IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(self.keep_alive)
            .stream_receive_window(self.stream_window.into())
            .receive_window(self.connection_window.into())
            .send_window(self.send_window)
            .datagram_receive_buffer_size(self.datagrams);
        transport
    }
}

/// What strangers may cost a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more are refused.
    pub connections: usize,
    /// Connections of one address at a time (of one /64 with IPv6); more are refused. This machine's own are bound by
    /// `connections` alone.
    pub per_address: usize,
    /// Handshakes at a time: beyond them, the oldest gives way. One address (one /64 with IPv6) has an eighth of them
    /// at most, and is refused more; this machine's own are not counted so.
    pub handshakes: usize,
    /// From so many handshakes at a time on, a client must first prove its address (Retry, RFC 9000 §8.1.2),
    /// which costs it a round trip and the server nothing.
    pub retry_from: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, per_address: 2_000, handshakes: 512, retry_from: 64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reaches_the_transport() {
        let settings = Settings {
            idle_timeout: Duration::from_millis(1_009),
            keep_alive: Some(Duration::from_millis(1_013)),
            streams: 1_019,
            one_way_streams: 1_021,
            stream_window: 1_031,
            connection_window: 1_033,
            send_window: 1_039,
            datagrams: Some(1_049),
            ..Settings::default()
        };
        let shown = format!("{:?}", settings.transport());
        for field in [
            "max_idle_timeout: Some(1009)",
            "keep_alive_interval: Some(1.013s)",
            "max_concurrent_bidi_streams: 1019",
            "max_concurrent_uni_streams: 1021",
            "stream_receive_window: 1031",
            "receive_window: 1033",
            "send_window: 1039",
            "datagram_receive_buffer_size: Some(1049)",
        ] {
            // Not as the end of another field's name.
            assert!(shown.contains(&format!(" {field},")), "{field}: {shown}");
        }
        let silent = Settings { keep_alive: None, datagrams: None, ..settings };
        let shown = format!("{:?}", silent.transport());
        assert!(
            shown.contains("keep_alive_interval: None") && shown.contains("buffer_size: None"),
            "{shown}"
        );
    }
}
