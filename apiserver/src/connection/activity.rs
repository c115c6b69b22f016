//! What happens on one connection: how many requests are in progress, since when none is, and how many were given up.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// The time over which requests that were given up are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Requests that a client may give up in that time, if it lets no more than that finish. A controller that ends all of
/// its watches at once stays far below; a flood of resets (CVE-2023-44487) does not.
const MOST_GIVEN_UP: u32 = 500;

/// What happens on one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    flooded: Notify,
}

#[derive(Debug)]
struct State {
    in_progress: usize,
    /// Requests since the connection was made.
    requests: u64,
    idle_since: Instant,
    window: Instant,
    finished: u32,
    given_up: u32,
}

impl Activity {
    /// Nothing has happened yet.
    pub fn new() -> Arc<Self> {
        let now = Instant::now();
        let state =
            State { in_progress: 0, requests: 0, idle_since: now, window: now, finished: 0, given_up: 0 };
        Arc::new(Self { state: Mutex::new(state), flooded: Notify::new() })
    }

    /// A request begins; it ends when the value is dropped.
    pub fn begin(self: &Arc<Self>) -> InProgress {
        let mut state = self.state.lock();
        state.in_progress += 1;
        state.requests += 1;
        InProgress { activity: Arc::clone(self), finished: false }
    }

    /// Whether a request is in progress, and how many there were.
    pub fn progress(&self) -> (bool, u64) {
        let state = self.state.lock();
        (state.in_progress > 0, state.requests)
    }

    /// Since when no request is in progress, if none is; and how many there were.
    pub fn idle(&self) -> (Option<Instant>, u64) {
        let state = self.state.lock();
        ((state.in_progress == 0).then_some(state.idle_since), state.requests)
    }

    /// Ends when the client has given up more requests than anyone does who means them.
    pub async fn flooded(&self) {
        self.flooded.notified().await;
    }
}

/// A request in progress, until its reply is sent.
#[derive(Debug)]
pub(crate) struct InProgress {
    activity: Arc<Activity>,
    finished: bool,
}

impl InProgress {
    /// The reply was handed over, all of it.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut state = self.activity.state.lock();
        let now = Instant::now();
        state.in_progress -= 1;
        state.idle_since = now;
        if now.duration_since(state.window) > WINDOW {
            (state.window, state.finished, state.given_up) = (now, 0, 0);
        }
        if self.finished {
            state.finished = state.finished.saturating_add(1);
        } else {
            state.given_up = state.given_up.saturating_add(1);
            if state.given_up > MOST_GIVEN_UP.max(state.finished) {
                self.activity.flooded.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn flooded(activity: &Activity) -> bool {
        tokio::time::timeout(Duration::ZERO, activity.flooded()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_given_up_requests_is_noticed_and_slow_ones_are_not() {
        let activity = Activity::new();
        for _ in 0..MOST_GIVEN_UP {
            drop(activity.begin());
        }
        assert!(!flooded(&activity).await);
        tokio::time::advance(WINDOW * 2).await;
        for _ in 0..MOST_GIVEN_UP {
            drop(activity.begin());
            activity.begin().finish();
        }
        assert!(!flooded(&activity).await);
        tokio::time::advance(WINDOW * 2).await;
        for _ in 0..=MOST_GIVEN_UP {
            drop(activity.begin());
        }
        assert!(flooded(&activity).await);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_the_time_since_the_last_of_several_ended() {
        let activity = Activity::new();
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert_eq!(activity.idle(), (None, 2));
        tokio::time::advance(Duration::from_secs(3)).await;
        drop(second);
        assert_eq!(activity.idle(), (Some(Instant::now()), 2));
        assert_eq!(activity.progress(), (false, 2));
    }
}
