//! What the server counts, in Prometheus' text format.

use hypermesh_api::request::Verb;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const VERBS: [&str; 9] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "other"];
/// Upper bounds of the duration histogram, in microseconds.
const BOUNDS: [u64; 10] = [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

#[derive(Debug, Default)]
struct PerVerb {
    /// By class of status code, 1xx to 5xx.
    codes: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// Counters of the API server.
#[derive(Debug, Default)]
pub struct Metrics {
    verbs: [PerVerb; VERBS.len()],
    /// Watches that are open.
    pub watches: AtomicI64,
    /// Events that were delivered to watchers.
    pub events: AtomicU64,
    /// Connections over TCP that are open.
    pub connections: AtomicI64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections that were refused because there were too many.
    pub refused_of_all: AtomicU64,
    /// Connections that were refused because there were too many of their address.
    pub refused_of_address: AtomicU64,
    /// Streams that were reset because their client took nothing.
    pub stalled_streams: AtomicU64,
    /// Connections that were cut because their client took nothing.
    pub stalled_connections: AtomicU64,
    /// Connections that were cut because their client gave up requests as fast as it made them.
    pub flooded_connections: AtomicU64,
    /// What the UDP side counts, once it is served.
    pub quic: OnceLock<Arc<stoq::Metrics>>,
}

/// What the text shows beside the counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// The store's newest revision.
    pub revision: u64,
    /// Whether the replica writes.
    pub writable: bool,
    /// Bytes that requests hold, and requests that were refused for want of room.
    pub bodies: (usize, u64),
    /// The same of replies.
    pub replies: (usize, u64),
    /// Logs, shells, forwarded ports and the like that are open.
    pub streams: usize,
    /// Agents that are heard of.
    pub agents: usize,
}

impl Metrics {
    /// Counts one answered request.
    pub fn answered(&self, verb: Option<Verb>, code: u16, took: Duration) {
        let word = verb.map_or("other", Verb::as_str);
        let Some(counters) = VERBS.iter().position(|v| *v == word).and_then(|i| self.verbs.get(i)) else {
            return;
        };
        if let Some(class) = counters.codes.get(usize::from(code / 100).saturating_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        // A watch lasts as long as its client likes: its time says nothing.
        if verb == Some(Verb::Watch) {
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counters.count.fetch_add(1, Ordering::Relaxed);
        counters.micros.fetch_add(micros, Ordering::Relaxed);
        if let Some(bucket) = BOUNDS.iter().position(|b| micros <= *b).and_then(|i| counters.buckets.get(i)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The text that `/metrics` serves.
    pub fn render(&self, figures: &Figures) -> String {
        let mut out = String::new();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        out.push_str("# TYPE hypermesh_apiserver_requests_total counter\n");
        for (verb, counters) in VERBS.iter().zip(&self.verbs) {
            for (i, count) in counters.codes.iter().enumerate().filter(|(_, count)| get(count) > 0) {
                let _ = writeln!(
                    out,
                    "hypermesh_apiserver_requests_total{{verb=\"{verb}\",code=\"{}xx\"}} {}",
                    i + 1,
                    get(count)
                );
            }
        }
        out.push_str("# TYPE hypermesh_apiserver_request_duration_seconds histogram\n");
        for (verb, counters) in VERBS.iter().zip(&self.verbs).filter(|(_, c)| get(&c.count) > 0) {
            let mut below = 0;
            for (bound, bucket) in BOUNDS.iter().zip(&counters.buckets) {
                below += get(bucket);
                let le = *bound as f64 / 1e6;
                let _ = writeln!(
                    out,
                    "hypermesh_apiserver_request_duration_seconds_bucket{{verb=\"{verb}\",le=\"{le}\"}} {below}"
                );
            }
            let (count, sum) = (get(&counters.count), get(&counters.micros) as f64 / 1e6);
            let name = "hypermesh_apiserver_request_duration_seconds";
            let _ = writeln!(out, "{name}_bucket{{verb=\"{verb}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{name}_sum{{verb=\"{verb}\"}} {sum}");
            let _ = writeln!(out, "{name}_count{{verb=\"{verb}\"}} {count}");
        }
        let gauges = [
            ("hypermesh_apiserver_watches", self.watches.load(Ordering::Relaxed)),
            ("hypermesh_apiserver_streams", signed(figures.streams)),
            ("hypermesh_apiserver_agents", signed(figures.agents)),
            ("hypermesh_apiserver_request_bytes_held", signed(figures.bodies.0)),
            ("hypermesh_apiserver_reply_bytes_held", signed(figures.replies.0)),
            ("hypermesh_store_revision", i64::try_from(figures.revision).unwrap_or(i64::MAX)),
            ("hypermesh_replica_writable", i64::from(figures.writable)),
        ];
        for (name, value) in gauges {
            let _ = writeln!(out, "# TYPE {name} gauge\n{name} {value}");
        }
        let quic = self.quic.get().map_or(0, |quic| quic.connections.get());
        out.push_str("# TYPE hypermesh_apiserver_connections gauge\n");
        for (transport, open) in [
            ("tcp", self.connections.load(Ordering::Relaxed)),
            ("quic", i64::try_from(quic).unwrap_or(i64::MAX)),
        ] {
            let _ = writeln!(out, "hypermesh_apiserver_connections{{transport=\"{transport}\"}} {open}");
        }
        let counters = [
            ("hypermesh_apiserver_watch_events_total", get(&self.events)),
            ("hypermesh_apiserver_tls_handshakes_failed_total", get(&self.handshakes_failed)),
            ("hypermesh_apiserver_requests_without_room_total", figures.bodies.1),
            ("hypermesh_apiserver_replies_without_room_total", figures.replies.1),
            ("hypermesh_apiserver_stalled_streams_total", get(&self.stalled_streams)),
            ("hypermesh_apiserver_stalled_connections_total", get(&self.stalled_connections)),
            ("hypermesh_apiserver_flooded_connections_total", get(&self.flooded_connections)),
        ];
        for (name, value) in counters {
            let _ = writeln!(out, "# TYPE {name} counter\n{name} {value}");
        }
        let name = "hypermesh_apiserver_connections_refused_total";
        let _ = writeln!(out, "# TYPE {name} counter");
        for (limit, counter) in [("all", &self.refused_of_all), ("address", &self.refused_of_address)] {
            let _ = writeln!(out, "{name}{{limit=\"{limit}\"}} {}", get(counter));
        }
        if let Some(quic) = self.quic.get() {
            out.push_str(&quic.prometheus());
        }
        out
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.answered(Some(Verb::Get), 200, Duration::from_micros(400));
        metrics.answered(Some(Verb::Get), 404, Duration::from_secs(100));
        metrics.refused_of_address.fetch_add(2, Ordering::Relaxed);
        let text = metrics.render(&Figures { revision: 7, ..Figures::default() });
        assert!(text.contains("requests_total{verb=\"get\",code=\"2xx\"} 1"), "{text}");
        assert!(text.contains("_bucket{verb=\"get\",le=\"10\"} 1"), "{text}");
        assert!(text.contains("_bucket{verb=\"get\",le=\"+Inf\"} 2"), "{text}");
        assert!(text.contains("hypermesh_store_revision 7"));
        assert!(text.contains("connections_refused_total{limit=\"address\"} 2"), "{text}");
    }
}
