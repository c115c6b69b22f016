//! What is counted, in Prometheus' text format (version 0.0.4).

use crate::class::Class;
use crate::status::{ClassStatus, PeerStatus};
use std::fmt::Write;

/// A metric of each peer: name, kind, help, and how it is read.
type OfPeer = (&'static str, &'static str, &'static str, fn(&PeerStatus) -> f64);
/// A metric of each peer and class.
type OfClass = (&'static str, &'static str, &'static str, fn(&ClassStatus) -> f64);

const OF_PEER: [OfPeer; 6] = [
    ("connected", "gauge", "Whether the peer can be reached.", |peer| f64::from(u8::from(peer.connected))),
    ("round_trip_seconds", "gauge", "Round trip to the peer.", |peer| {
        peer.round_trip.map_or(f64::NAN, |round_trip| round_trip.as_secs_f64())
    }),
    ("connections_total", "counter", "Connections with the peer that were taken up.", |peer| {
        peer.connections as f64
    }),
    ("dials_failed_total", "counter", "Dials of the peer that failed.", |peer| peer.dials_failed as f64),
    (
        "refused_total",
        "counter",
        "Connections of the peer that were refused after its key was proven.",
        |peer| peer.refused as f64,
    ),
    ("violations_total", "counter", "Connections that ended because the peer broke the protocol.", |peer| {
        peer.violations as f64
    }),
];

const OF_CLASS: [OfClass; 8] = [
    ("queued_bytes", "gauge", "Bytes that wait for the peer or are under way to it.", |of| of.queued as f64),
    ("sent_messages_total", "counter", "Messages that the peer was sent.", |of| of.sent as f64),
    ("sent_bytes_total", "counter", "Bytes of messages that the peer was sent.", |of| of.sent_bytes as f64),
    ("received_messages_total", "counter", "Messages that came of the peer.", |of| of.received as f64),
    ("received_bytes_total", "counter", "Bytes of messages that came of the peer.", |of| {
        of.received_bytes as f64
    }),
    ("dropped_messages_total", "counter", "Messages that the peer was not sent.", |of| of.dropped as f64),
    ("held_messages", "gauge", "Messages of the peer that are not done with.", |of| of.held as f64),
    ("held_bytes", "gauge", "Bytes of messages of the peer that are not done with.", |of| {
        of.held_bytes as f64
    }),
];

pub(crate) fn prometheus(peers: &[PeerStatus], strangers: u64, unknown: u64) -> String {
    let mut out = String::with_capacity(4096);
    // Writing to memory does not fail.
    let header = |out: &mut String, name: &str, kind: &str, help: &str| {
        let _ = writeln!(out, "# HELP hypermesh_peers_{name} {help}\n# TYPE hypermesh_peers_{name} {kind}");
    };
    for (name, kind, help, read) in OF_PEER {
        header(&mut out, name, kind, help);
        for peer in peers {
            let value = read(peer);
            if !value.is_nan() {
                let _ = writeln!(out, "hypermesh_peers_{name}{{peer=\"{}\"}} {value}", peer.key);
            }
        }
    }
    for (name, kind, help, read) in OF_CLASS {
        header(&mut out, name, kind, help);
        for peer in peers {
            for class in Class::ALL {
                let (value, class) = (read(peer.class(class)), class.name());
                let labels = format!("peer=\"{}\",class=\"{class}\"", peer.key);
                let _ = writeln!(out, "hypermesh_peers_{name}{{{labels}}} {value}");
            }
        }
    }
    for (name, help, value) in [
        (
            "strangers_total",
            "Connections refused after the handshake: the key is no peer's any more.",
            strangers,
        ),
        ("unknown_messages_total", "Messages to keys that are no peer's.", unknown),
    ] {
        header(&mut out, name, "counter", help);
        let _ = writeln!(out, "hypermesh_peers_{name} {value}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::PublicKey;
    use std::time::Duration;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let class = ClassStatus { sent: 3, ..ClassStatus::default() };
        let peer = PeerStatus {
            key: PublicKey([0xab; 32]),
            connected: true,
            address: None,
            round_trip: Some(Duration::from_millis(2)),
            statements: class,
            blocks: class,
            requests: class,
            connections: 1,
            dials_failed: 0,
            refused: 0,
            violations: 0,
            last_error: None,
        };
        let away = PeerStatus { round_trip: None, ..peer.clone() };
        let text = prometheus(&[peer], 4, 5);
        let key = "ab".repeat(32);
        for line in [
            "# TYPE hypermesh_peers_connected gauge".to_owned(),
            format!("hypermesh_peers_connected{{peer=\"{key}\"}} 1"),
            format!("hypermesh_peers_round_trip_seconds{{peer=\"{key}\"}} 0.002"),
            format!("hypermesh_peers_sent_messages_total{{peer=\"{key}\",class=\"blocks\"}} 3"),
            "hypermesh_peers_strangers_total 4".to_owned(),
            "hypermesh_peers_unknown_messages_total 5".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!prometheus(&[away], 0, 0).contains("round_trip_seconds{"));
    }
}
