//! What a client counts, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What carries HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2 over TLS over TCP.
    Tcp,
    /// HTTP/3 over QUIC.
    Http3,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Http3];

    /// Its label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http3 => "http3",
        }
    }
}

#[derive(Debug, Default)]
struct PerProtocol {
    /// Replies by class of status code, 1xx to 5xx.
    codes: [AtomicU64; 5],
    /// Requests without a reply.
    failed: AtomicU64,
    opened: AtomicU64,
    unopened: AtomicU64,
}

/// Counters of a client; cheap to share.
#[derive(Debug, Default)]
pub struct Metrics {
    protocols: [PerProtocol; 2],
    in_flight: AtomicI64,
    signed: AtomicU64,
    repeated: AtomicU64,
    redirected: AtomicU64,
    reloaded: AtomicU64,
    /// Seconds by which the server's clock is ahead, as last seen.
    skew: AtomicI64,
}

impl Metrics {
    fn of(&self, protocol: Protocol) -> &PerProtocol {
        let [tcp, http3] = &self.protocols;
        match protocol {
            Protocol::Tcp => tcp,
            Protocol::Http3 => http3,
        }
    }

    /// Connections that were opened.
    pub fn connections(&self, protocol: Protocol) -> u64 {
        self.of(protocol).opened.load(Ordering::Relaxed)
    }

    /// Replies that came over a protocol.
    pub fn replies(&self, protocol: Protocol) -> u64 {
        self.of(protocol).codes.iter().map(|code| code.load(Ordering::Relaxed)).sum()
    }

    /// Requests that were sent once more.
    pub fn repeats(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Requests that were signed.
    pub fn signatures(&self) -> u64 {
        self.signed.load(Ordering::Relaxed)
    }

    pub(crate) fn connected(&self, protocol: Protocol, opened: bool) {
        let counters = self.of(protocol);
        let counter = if opened { &counters.opened } else { &counters.unopened };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn begun(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has its reply's head; `None` for one that will get none.
    pub(crate) fn ended(&self, protocol: Protocol, code: Option<u16>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let counters = self.of(protocol);
        let class = code.and_then(|code| counters.codes.get(usize::from(code / 100).saturating_sub(1)));
        class.unwrap_or(&counters.failed).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn signed(&self) {
        self.signed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn redirected(&self) {
        self.redirected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reloaded(&self) {
        self.reloaded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn skewed(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }

    /// The text that a daemon's `/metrics` serves.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            let _ =
                writeln!(out, "# HELP hypermesh_client_{name} {help}\n# TYPE hypermesh_client_{name} {kind}");
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        head(
            &mut out,
            "requests_total",
            "counter",
            "Requests to the API server, by class of the reply's code.",
        );
        for protocol in Protocol::ALL {
            let (counters, label) = (self.of(protocol), protocol.as_str());
            let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&counters.codes);
            for (code, counter) in classes.chain([("none", &counters.failed)]) {
                let _ = writeln!(
                    out,
                    "hypermesh_client_requests_total{{transport=\"{label}\",code=\"{code}\"}} {}",
                    load(counter)
                );
            }
        }
        head(&mut out, "connections_total", "counter", "Connections that were tried.");
        for protocol in Protocol::ALL {
            let (counters, label) = (self.of(protocol), protocol.as_str());
            for (result, counter) in [("opened", &counters.opened), ("failed", &counters.unopened)] {
                let _ = writeln!(
                    out,
                    "hypermesh_client_connections_total{{transport=\"{label}\",result=\"{result}\"}} {}",
                    load(counter)
                );
            }
        }
        for (name, help, counter) in [
            ("signed_total", "Requests that were signed.", &self.signed),
            ("repeats_total", "Requests that were sent once more as they were.", &self.repeated),
            ("redirects_total", "Requests that were sent on to another member.", &self.redirected),
            ("reloads_total", "Times that renewed credentials were taken up.", &self.reloaded),
        ] {
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "hypermesh_client_{name} {}", load(counter));
        }
        for (name, help, gauge) in [
            ("in_flight", "Requests that wait for the beginning of their reply.", &self.in_flight),
            ("clock_skew_seconds", "By how much the server's clock is ahead.", &self.skew),
        ] {
            head(&mut out, name, "gauge", help);
            let _ = writeln!(out, "hypermesh_client_{name} {}", gauge.load(Ordering::Relaxed));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_in_the_guide() {
        let guide = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/metrics.md"));
        let text = Metrics::default().render();
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(guide.contains(&format!("`{name}`")), "{name} is not in the guide");
        }
    }

    #[test]
    fn the_text_is_prometheus() {
        let metrics = Metrics::default();
        metrics.connected(Protocol::Tcp, true);
        metrics.begun();
        metrics.ended(Protocol::Tcp, Some(201));
        metrics.begun();
        metrics.ended(Protocol::Http3, None);
        metrics.signed();
        insta::assert_snapshot!(metrics.render());
    }
}
