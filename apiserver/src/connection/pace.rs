//! Whether the client of a stream takes what it is sent.
//!
//! On HTTP/1.1 a client that reads nothing fills its socket, which [`super::io`] notices. On HTTP/2 it may keep the
//! connection alive and leave one stream's window closed: then the stream's body is asked for no more. Each stream's
//! task is watched for that, and dropped (which resets the stream) when it lasts.

use crate::metrics::Metrics;
use hyper::rt::Executor;
use std::future::Future;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

tokio::task_local! {
    /// The pace of the stream whose task this is.
    static PACE: Arc<Pace>;
}

/// Milliseconds since the first call, and never zero.
fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    u64::try_from(Instant::now().saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// Since when something waits for the client to take it.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// The pace of the stream whose task this is; `None` on HTTP/1.1.
    pub fn current() -> Option<Arc<Self>> {
        PACE.try_with(Arc::clone).ok()
    }

    /// Something was handed over.
    pub fn handed(&self) {
        self.0.store(clock(), Ordering::Relaxed);
    }

    /// More is asked for: what was handed over is on its way.
    pub fn taken(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How long something has been waiting.
    fn waiting(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(clock().saturating_sub(since)),
        }
    }

    /// Ends when something has been waiting for `bound`.
    async fn stalled(&self, bound: Duration) {
        let mut left = bound;
        while left > Duration::ZERO {
            tokio::time::sleep(left).await;
            left = bound.saturating_sub(self.waiting());
        }
    }
}

/// Runs the streams of an HTTP/2 connection, each no longer than its client takes what it is sent.
#[derive(Clone)]
pub(crate) struct Streams {
    /// How long a client may take nothing.
    pub bound: Duration,
    /// Counts who was cut off.
    pub metrics: Arc<Metrics>,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (bound, metrics) = (self.bound, Arc::clone(&self.metrics));
        let pace = Arc::new(Pace::default());
        tokio::spawn(PACE.scope(Arc::clone(&pace), async move {
            tokio::select! {
                biased;
                _ = stream => {}
                () = pace.stalled(bound) => {
                    metrics.stalled_streams.fetch_add(1, Ordering::Relaxed);
                    tracing::info!("a stream was reset: its client took nothing for {} s", bound.as_secs());
                }
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn only_who_leaves_something_lying_is_stalled() {
        let pace = Pace::default();
        let stalled = |pace: &'static Pace| async move {
            tokio::time::timeout(BOUND * 10, pace.stalled(BOUND)).await.is_ok()
        };
        let pace: &'static Pace = Box::leak(Box::new(pace));
        assert!(!stalled(pace).await, "nothing was sent");
        pace.handed();
        pace.taken();
        assert!(!stalled(pace).await, "it was taken");
        pace.handed();
        let begun = Instant::now();
        assert!(stalled(pace).await);
        assert!(begun.elapsed() <= BOUND + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
