//! What is taken of one peer: how much of it may be under way to the receiver at a time, and how much in a second.
//!
//! A window is counted in frames and bytes. Whoever is beyond it is not read, which its own end notices: that is all that
//! happens to a peer that says too much.

use crate::class::Class;
use crate::settings::{Limits, Window};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The windows of a peer, the same over all of its connections: a receiver that holds what came on the last one still does.
#[derive(Debug)]
pub(crate) struct Windows([Gate; 3]);

#[derive(Debug)]
struct Gate {
    most: Window,
    frames: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// The room of one message, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room(
    #[expect(dead_code, reason = "they are held, and never looked at")]
    (OwnedSemaphorePermit, OwnedSemaphorePermit),
);

impl Windows {
    pub(crate) fn new(limits: &Limits) -> Self {
        let gate = |most: Window| Gate {
            most,
            frames: Arc::new(Semaphore::new(most.frames.clamp(1, Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(most.bytes.clamp(1, u32::MAX as usize))),
        };
        Self([gate(limits.statements.window), gate(limits.blocks.window), gate(limits.requests.window)])
    }

    /// Waits for the room of a message. One that is longer than the window takes all of it.
    pub(crate) async fn room(&self, class: Class, bytes: usize) -> Option<Room> {
        let gate = self.gate(class);
        let bytes = u32::try_from(bytes.min(gate.most.bytes.max(1))).unwrap_or(u32::MAX);
        let frame = Arc::clone(&gate.frames).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&gate.bytes).acquire_many_owned(bytes).await.ok()?;
        Some(Room((frame, bytes)))
    }

    /// Frames and bytes that the receiver holds.
    pub(crate) fn held(&self, class: Class) -> Window {
        let gate = self.gate(class);
        Window {
            frames: gate.most.frames.saturating_sub(gate.frames.available_permits()),
            bytes: gate.most.bytes.saturating_sub(gate.bytes.available_permits()),
        }
    }

    fn gate(&self, class: Class) -> &Gate {
        let [statements, blocks, requests] = &self.0;
        match class {
            Class::Statements => statements,
            Class::Blocks => blocks,
            Class::Requests => requests,
        }
    }
}

/// So many a second, and so many at once after a pause: a bucket of tokens.
#[derive(Debug)]
pub(crate) struct Rate {
    each: Duration,
    /// How far ahead of the rate one may be.
    burst: Duration,
    /// When the bucket would be full again, were nothing more taken.
    full: Instant,
}

impl Rate {
    pub(crate) fn new(a_second: u32, burst: u32, now: Instant) -> Self {
        let each = Duration::from_secs(1) / a_second.max(1);
        Self { each, burst: each.saturating_mul(burst), full: now }
    }

    /// Takes one if it is time; else says how long it is until then.
    pub(crate) fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        let full = self.full.max(now) + self.each;
        let wait = full.saturating_duration_since(now).saturating_sub(self.burst);
        if wait.is_zero() {
            self.full = full;
            return Ok(());
        }
        Err(wait)
    }

    /// Takes one; says how long to wait before the next.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        self.full = self.full.max(now) + self.each;
        self.full.saturating_duration_since(now).saturating_sub(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_a_window_there_is_no_room_until_some_is_free() {
        let mut limits = Limits::default();
        limits.requests.window = Window { frames: 3, bytes: 100 };
        let windows = Windows::new(&limits);
        let held = windows.room(Class::Requests, 60).await.unwrap();
        let full = tokio::time::timeout(Duration::from_millis(10), windows.room(Class::Requests, 60)).await;
        assert!(full.is_err());
        assert_eq!(windows.held(Class::Requests), Window { frames: 1, bytes: 60 });
        assert!(windows.room(Class::Statements, 60).await.is_some(), "classes do not wait for each other");
        drop(held);
        // More than the window is all of it, and not never.
        assert!(windows.room(Class::Requests, 1000).await.is_some());
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_so_many_a_second() {
        let now = Instant::now();
        let mut rate = Rate::new(10, 5, now);
        for _ in 0..5 {
            assert_eq!(rate.take(now), Duration::ZERO);
        }
        assert_eq!(rate.take(now), Duration::from_millis(100));
        assert_eq!(rate.take(now), Duration::from_millis(200));
        assert_eq!(rate.try_take(now), Err(Duration::from_millis(300)));
        assert_eq!(rate.try_take(now), Err(Duration::from_millis(300)), "what is refused is not counted");
        assert_eq!(rate.try_take(now + Duration::from_millis(300)), Ok(()));
        let later = now + Duration::from_secs(10);
        assert_eq!(rate.take(later), Duration::ZERO, "a pause fills the bucket");
    }
}
