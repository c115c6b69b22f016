//! Counters of an endpoint: read by field, or rendered in Prometheus' text format.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and shrinks.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more, until the guard is dropped.
    pub(crate) fn hold(self: &Gauge) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.down();
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident = $metric:literal,)+) => {
        /// What an endpoint counts. Names in Prometheus' text are `stoq_…`.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: $kind,)+
        }

        impl Metrics {
            /// All of them in Prometheus' text format (version 0.0.4).
            #[must_use]
            pub fn prometheus(&self) -> String {
                let mut text = String::with_capacity(4096);
                $(
                    let help = concat!($($help),+).trim();
                    let kind = stringify!($kind).to_ascii_lowercase();
                    let _ = writeln!(text, "# HELP {0} {help}\n# TYPE {0} {kind}\n{0} {1}", $metric, self.$name.get());
                )+
                text
            }
        }
    };
}

metrics! {
    /// Connections that are open, both dialled and accepted.
    connections: Gauge = "stoq_connections",
    /// Connections accepted.
    accepted: Counter = "stoq_connections_accepted_total",
    /// Connections dialled.
    dialled: Counter = "stoq_connections_dialled_total",
    /// Dials that failed.
    dials_failed: Counter = "stoq_dials_failed_total",
    /// Handshakes of clients in progress.
    handshakes: Gauge = "stoq_handshakes",
    /// Handshakes of clients that failed.
    handshakes_failed: Counter = "stoq_handshakes_failed_total",
    /// Clients that had to prove their address first.
    retries: Counter = "stoq_retries_total",
    /// Connections refused because a limit was reached.
    refused: Counter = "stoq_connections_refused_total",
    /// Connections closed because the peer broke the protocol or abandoned too much.
    abusive: Counter = "stoq_connections_abusive_total",
    /// HTTP/3 requests taken.
    requests: Counter = "stoq_http3_requests_total",
    /// HTTP/3 requests being served.
    requests_active: Gauge = "stoq_http3_requests_active",
    /// HTTP/3 requests that the client gave up.
    requests_cancelled: Counter = "stoq_http3_requests_cancelled_total",
    /// HTTP/3 requests refused before the service saw them.
    requests_refused: Counter = "stoq_http3_requests_refused_total",
    /// HTTP/3 requests taken in early data.
    early_requests: Counter = "stoq_http3_early_requests_total",
    /// HTTP/3 requests in early data that were told to come again (425).
    too_early: Counter = "stoq_http3_too_early_total",
    /// HTTP/3 requests sent.
    sent: Counter = "stoq_http3_sent_total",
    /// HTTP/3 requests sent in early data.
    sent_early: Counter = "stoq_http3_sent_early_total",
    /// HTTP/3 requests sent again because the first try was not processed.
    sent_again: Counter = "stoq_http3_sent_again_total",
}

/// A handshake in progress, until dropped.
pub(crate) struct Shaking(Arc<Metrics>);

impl Shaking {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.handshakes.up();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.handshakes.down();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_in_the_readme() {
        let readme = include_str!("../README.md");
        let text = Metrics::default().prometheus();
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README");
        }
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.retries.one();
        let text = metrics.prometheus();
        assert!(text.contains(
            "# HELP stoq_retries_total Clients that had to prove their address first.\n# TYPE stoq_retries_total counter\nstoq_retries_total 1\n"
        ), "{text}");
        assert!(text.contains("# TYPE stoq_connections gauge\nstoq_connections 0\n"), "{text}");
    }
}
