//! A budget of bytes, shared among callers: what requests and replies in flight may hold in memory.
//!
//! A reservation is made whole, before the bytes are there, so nobody waits while holding a part of what they need and
//! nothing can deadlock; only [`Reservation::set`] asks for more, and it does not wait. Who waits is served in order,
//! and is refused after a bounded time.
//!
//! Invariants: what is held never exceeds the total. A caller that holds something never comes to hold more than its
//! share; one that holds nothing may take one reservation of any size, or a large request could never run. All
//! strangers are one caller, with a smaller share.

use hypermesh_api::{Details, Status};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// A caller may hold one part in so many.
const CALLERS: usize = 4;
/// All strangers together may hold one part in so many.
const STRANGERS: usize = 16;
/// Reservations that wait at a time; more are refused at once.
const MOST_WAITING: usize = 1024;
/// Seconds after which who was refused may try again.
const RETRY: u32 = 1;

/// Who holds bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// All who are not known.
    Stranger,
    /// An authenticated user, by name: the one who sent the request, not the one whom it impersonates.
    Known(Arc<str>),
}

/// A budget of bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    what: &'static str,
    total: usize,
    patience: Duration,
    state: Mutex<State>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    callers: HashMap<Caller, usize>,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    caller: Caller,
    bytes: usize,
    granted: oneshot::Sender<Reservation>,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    caller: Caller,
    bytes: usize,
}

/// Whether bytes can be had.
#[derive(PartialEq, Eq)]
enum Verdict {
    /// Now.
    Fits,
    /// Once the caller itself has given some back.
    OverShare,
    /// Once anyone has.
    Full,
}

impl State {
    fn judge(&self, total: usize, caller: &Caller, bytes: usize) -> Verdict {
        let share = match caller {
            Caller::Stranger => total / STRANGERS,
            Caller::Known(_) => total / CALLERS,
        };
        let held = self.callers.get(caller).copied().unwrap_or(0);
        if held > 0 && held + bytes > share {
            Verdict::OverShare
        } else if self.held + bytes > total {
            Verdict::Full
        } else {
            Verdict::Fits
        }
    }

    fn take(&mut self, caller: &Caller, bytes: usize) {
        self.held += bytes;
        *self.callers.entry(caller.clone()).or_insert(0) += bytes;
    }

    fn give(&mut self, caller: &Caller, bytes: usize) {
        self.held -= bytes;
        if let Some(held) = self.callers.get_mut(caller) {
            *held -= bytes;
            if *held == 0 {
                self.callers.remove(caller);
            }
        }
    }

    /// Takes out of the queue who can be served: in order, passing over callers that have used up their own share.
    fn grant(&mut self, budget: &Arc<Budget>) -> Vec<(oneshot::Sender<Reservation>, Reservation)> {
        let mut granted = Vec::new();
        let mut at = 0;
        while let Some(waiter) = self.waiting.get(at) {
            if waiter.granted.is_closed() {
                self.waiting.remove(at);
                continue;
            }
            match self.judge(budget.total, &waiter.caller, waiter.bytes) {
                Verdict::OverShare => at += 1,
                Verdict::Full => break,
                Verdict::Fits => {
                    let Some(waiter) = self.waiting.remove(at) else { break };
                    self.take(&waiter.caller, waiter.bytes);
                    let Waiter { caller, bytes, granted: sender } = waiter;
                    granted.push((sender, Reservation { budget: Arc::clone(budget), caller, bytes }));
                }
            }
        }
        granted
    }
}

impl Budget {
    /// A budget of `total` bytes for `what`, for which a caller waits no longer than `patience`.
    pub fn new(what: &'static str, total: usize, patience: Duration) -> Arc<Self> {
        let (state, refused) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { what, total, patience, state, refused })
    }

    /// Reserves `bytes`, or all there are if that is less, waiting for them if need be. 429 when they do not become
    /// free in time.
    pub async fn reserve(self: &Arc<Self>, caller: Caller, bytes: usize) -> Result<Reservation, Box<Status>> {
        let bytes = bytes.min(self.total);
        let granted = {
            let mut state = self.state.lock();
            // Whoever would fit must still not overtake those who wait for bytes that anyone holds.
            let behind = state.waiting.iter().any(|waiter| {
                !waiter.granted.is_closed()
                    && state.judge(self.total, &waiter.caller, waiter.bytes) != Verdict::OverShare
            });
            if !behind && state.judge(self.total, &caller, bytes) == Verdict::Fits {
                state.take(&caller, bytes);
                return Ok(Reservation { budget: Arc::clone(self), caller, bytes });
            }
            state.waiting.retain(|waiter| !waiter.granted.is_closed());
            if state.waiting.len() >= MOST_WAITING {
                drop(state);
                return Err(self.refuse(&caller));
            }
            let (sender, granted) = oneshot::channel();
            state.waiting.push_back(Waiter { caller: caller.clone(), bytes, granted: sender });
            granted
        };
        match tokio::time::timeout(self.patience, granted).await {
            Ok(Ok(reservation)) => Ok(reservation),
            Ok(Err(_)) | Err(_) => {
                // Whoever waited behind may be next.
                self.serve_waiting();
                Err(self.refuse(&caller))
            }
        }
    }

    /// Reserves `bytes` if they can be had now: for what is in memory already.
    pub fn try_reserve(self: &Arc<Self>, caller: Caller, bytes: usize) -> Result<Reservation, Box<Status>> {
        let bytes = bytes.min(self.total);
        let mut state = self.state.lock();
        if state.judge(self.total, &caller, bytes) != Verdict::Fits {
            drop(state);
            return Err(self.refuse(&caller));
        }
        state.take(&caller, bytes);
        drop(state);
        Ok(Reservation { budget: Arc::clone(self), caller, bytes })
    }

    /// Bytes that are held, and reservations that were refused.
    pub fn figures(&self) -> (usize, u64) {
        (self.state.lock().held, self.refused.load(Ordering::Relaxed))
    }

    fn refuse(&self, caller: &Caller) -> Box<Status> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let whose = match caller {
            Caller::Stranger => "unauthenticated clients",
            Caller::Known(_) => "this client, or all clients together,",
        };
        let message =
            format!("{whose} have more {} in flight than there is memory for; try again", self.what);
        let mut status = Status::failure(429, "TooManyRequests", message);
        status.details = Some(Details { retry_after_seconds: RETRY, ..Details::default() });
        Box::new(status)
    }

    fn serve_waiting(self: &Arc<Self>) {
        let granted = self.state.lock().grant(self);
        // Outside the lock: who went away gives back at once.
        for (sender, reservation) in granted {
            let _ = sender.send(reservation);
        }
    }
}

impl Reservation {
    /// Holds `bytes` from now on. Less is always possible; for more nobody waits, since that could be in vain.
    pub fn set(&mut self, bytes: usize) -> Result<(), Box<Status>> {
        let bytes = bytes.min(self.budget.total);
        let mut state = self.budget.state.lock();
        if let Some(less) = self.bytes.checked_sub(bytes) {
            state.give(&self.caller, less);
            drop(state);
            self.bytes = bytes;
            if less > 0 {
                self.budget.serve_waiting();
            }
            return Ok(());
        }
        // Judged as if this reservation were made anew.
        state.give(&self.caller, self.bytes);
        let fits = state.judge(self.budget.total, &self.caller, bytes) == Verdict::Fits;
        let bytes = if fits { bytes } else { self.bytes };
        state.take(&self.caller, bytes);
        drop(state);
        self.bytes = bytes;
        if fits { Ok(()) } else { Err(self.budget.refuse(&self.caller)) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.state.lock().give(&self.caller, self.bytes);
        self.budget.serve_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    const PATIENCE: Duration = Duration::from_secs(5);

    fn known(name: &str) -> Caller {
        Caller::Known(name.into())
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn nobody_takes_more_than_a_share_and_strangers_a_small_one() {
        let budget = Budget::new("bodies", 1600, PATIENCE);
        let first = budget.reserve(known("a"), 300).await.unwrap();
        assert!(now(budget.reserve(known("a"), 101)).is_none());
        let _rest = budget.reserve(known("a"), 100).await.unwrap();
        let _stranger = budget.reserve(Caller::Stranger, 100).await.unwrap();
        assert!(now(budget.reserve(Caller::Stranger, 1)).is_none(), "strangers are one caller");
        let _other = budget.reserve(known("b"), 400).await.unwrap();
        drop(first);
        assert!(now(budget.reserve(known("a"), 101)).unwrap().is_ok());
    }

    #[tokio::test]
    async fn one_reservation_may_be_larger_than_a_share_and_than_all_there_is() {
        let budget = Budget::new("bodies", 1600, PATIENCE);
        let mut huge = budget.reserve(known("a"), 5000).await.unwrap();
        assert_eq!(budget.figures(), (1600, 0));
        huge.set(10).unwrap();
        assert_eq!(budget.figures(), (10, 0));
        huge.set(900).unwrap();
        let _other = budget.reserve(known("b"), 400).await.unwrap();
        assert_eq!(huge.set(1300).unwrap_err().code, 429);
        assert_eq!(budget.figures(), (1300, 1), "what it held it keeps");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_when_to_try_again() {
        let budget = Budget::new("bodies", 1600, PATIENCE);
        let all = budget.reserve(known("a"), 1600).await.unwrap();
        let begun = tokio::time::Instant::now();
        let status = budget.reserve(known("b"), 1).await.unwrap_err();
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
        assert_eq!(status.details.unwrap().retry_after_seconds, RETRY);
        drop(all);
        assert!(now(budget.reserve(known("b"), 1)).unwrap().is_ok());
        assert_eq!(budget.figures(), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_one_is_not_starved_by_small_ones_and_blocks_no_other_share() {
        let budget = Budget::new("bodies", 1600, PATIENCE);
        let held = budget.reserve(known("a"), 1000).await.unwrap();
        let mut large = std::pin::pin!(budget.reserve(known("b"), 700));
        assert!(now(large.as_mut()).is_none());
        assert!(now(budget.reserve(known("c"), 1)).is_none(), "a small one overtook");
        drop(held);
        let _large = large.await.unwrap();
        // Whom its own share holds up holds up nobody else.
        let mut own = std::pin::pin!(budget.reserve(known("b"), 1));
        assert!(now(own.as_mut()).is_none());
        assert!(now(budget.reserve(known("c"), 300)).unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_nothing_behind() {
        let budget = Budget::new("bodies", 1600, PATIENCE);
        let all = budget.reserve(known("a"), 1600).await.unwrap();
        {
            let mut gone = std::pin::pin!(budget.reserve(known("b"), 1600));
            assert!(now(gone.as_mut()).is_none());
        }
        let mut granted_and_gone = Box::pin(budget.reserve(known("c"), 10));
        assert!(now(granted_and_gone.as_mut()).is_none());
        drop(all);
        drop(granted_and_gone);
        assert_eq!(budget.figures().0, 0);
        assert!(budget.state.lock().callers.is_empty() && budget.state.lock().waiting.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn under_contention_the_total_holds_and_everyone_is_answered() {
        let budget = Budget::new("bodies", 1000, PATIENCE);
        let tasks: Vec<_> = (0..64_usize)
            .map(|n| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move {
                    for round in 0..50 {
                        let caller = known(["a", "b", "c"][n % 3]);
                        let mut one = budget.reserve(caller, 1 + (n * 37 + round * 13) % 400).await.unwrap();
                        assert!(budget.figures().0 <= 1000);
                        tokio::task::yield_now().await;
                        one.set(1).unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(budget.figures(), (0, 0));
    }
}
