//! Runs one controller: keys come from watches, wait their turn, are reconciled, and come back when it is time.
//!
//! A key is in the queue once, and never in two hands. What fails comes back later and later, what asks too often waits,
//! what is invalid does not come back before it changes, and what panics is a failure of one object.

use super::attempt::{Attempt, attempt};
use super::backoff::{Backoff, Failing};
use super::context::Context;
use super::failure::FailureClass;
use super::key::Key;
use super::metrics::{ControllerMetrics, Ended};
use super::pace::Pace;
use super::random;
use super::reconciler::Reconciler;
use super::stop::Stop;
use super::watch::{self, Pending};
use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use kube::runtime::scheduler;
use kube::runtime::scheduler::ScheduleRequest;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// Runs `reconciler` until it is stopped; reconciles that are under way then come to their end. Dropping the future ends
/// them at once.
pub async fn drive<R: Reconciler>(reconciler: Arc<R>, context: Context, mut stop: Stop) {
    let metrics = context.metrics.of(R::NAME);
    metrics.synced.store(false, Relaxed);
    let mut driver = Driver::new(Arc::clone(&reconciler), context.clone(), Arc::clone(&metrics));
    let (later, back) = mpsc::unbounded_channel();
    driver.later = Some(later);
    let pending = Pending::new(1 + reconciler.related().len(), Arc::clone(&metrics));
    let mut queue = Box::pin(scheduler(requests(&*reconciler, &context, &pending, back)));
    tracing::debug!(controller = R::NAME, "a controller starts");
    loop {
        let Driver { tasks, hands, limit, .. } = &mut driver;
        let waits = !pending.is_over();
        let free = hands.len() < *limit && !waits;
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            () = pending.over(), if waits => {}
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => driver.ended(ended),
            Some(key) = async {
                if free {
                    queue.as_mut().hold_unless(|key| !hands.contains(key)).next().await
                } else {
                    queue.as_mut().hold().next().await
                }
            } => driver.start(key),
            else => break,
        }
    }
    while let Some(ended) = driver.tasks.join_next_with_id().await {
        driver.ended(ended);
    }
    metrics.synced.store(false, Relaxed);
    tracing::debug!(controller = R::NAME, "a controller has stopped");
}

type Requests = SelectAll<BoxStream<'static, ScheduleRequest<Key>>>;

/// Everything that asks for a reconcile.
fn requests<R: Reconciler>(
    reconciler: &R,
    context: &Context,
    pending: &Arc<Pending>,
    back: mpsc::UnboundedReceiver<ScheduleRequest<Key>>,
) -> Requests {
    let now = |key| ScheduleRequest { message: key, run_at: Instant::now() };
    let mut all = SelectAll::new();
    let resource = reconciler.resource();
    let subjects = watch::subjects(context, &resource, reconciler.trigger(), Arc::clone(pending));
    all.push(subjects.map(now).boxed());
    for related in reconciler.related() {
        all.push(watch::related(context, &resource, related, Arc::clone(pending)).map(now).boxed());
    }
    let back =
        futures_util::stream::unfold(back, |mut back| async { back.recv().await.map(|key| (key, back)) });
    all.push(back.boxed());
    all
}

struct Driver<R> {
    reconciler: Arc<R>,
    context: Context,
    metrics: Arc<ControllerMetrics>,
    limit: usize,
    started: Instant,
    backoff: Backoff,
    failing: Failing,
    pace: Pace,
    tasks: JoinSet<(Attempt, Duration)>,
    /// Keys under way.
    hands: HashSet<Key>,
    of_task: HashMap<Id, Key>,
    later: Option<mpsc::UnboundedSender<ScheduleRequest<Key>>>,
}

impl<R: Reconciler> Driver<R> {
    fn new(reconciler: Arc<R>, context: Context, metrics: Arc<ControllerMetrics>) -> Self {
        let (burst, per_second) = reconciler.pace();
        Self {
            limit: reconciler.concurrency().max(1),
            reconciler,
            context,
            metrics,
            started: Instant::now(),
            backoff: Backoff::default(),
            failing: Failing::default(),
            pace: Pace::new(burst, per_second),
            tasks: JoinSet::new(),
            hands: HashSet::new(),
            of_task: HashMap::new(),
            later: None,
        }
    }

    fn start(&mut self, key: Key) {
        if let Err(wait) = self.pace.admit(&key, self.started.elapsed()) {
            self.metrics.held_back.fetch_add(1, Relaxed);
            return self.come_back(key, wait);
        }
        let (reconciler, context, failures) =
            (Arc::clone(&self.reconciler), self.context.clone(), self.failing.of(&key));
        let of_task = key.clone();
        let handle = self.tasks.spawn(async move {
            let begin = Instant::now();
            let attempt = attempt(&*reconciler, &context, &key, failures).await;
            (attempt, begin.elapsed())
        });
        self.of_task.insert(handle.id(), of_task.clone());
        self.hands.insert(of_task);
        self.count();
    }

    fn ended(&mut self, ended: Result<(Id, (Attempt, Duration)), JoinError>) {
        let (id, attempt, took) = match ended {
            Ok((id, (attempt, took))) => (id, attempt, took),
            Err(error) => {
                tracing::error!(controller = R::NAME, %error, "a reconcile ended by a panic");
                let ended = Ended::Failed(FailureClass::Panicked);
                (error.id(), Attempt { ended, again: None }, Duration::ZERO)
            }
        };
        let Some(key) = self.of_task.remove(&id) else { return };
        self.hands.remove(&key);
        self.metrics.ended(attempt.ended, took);
        match attempt.ended {
            Ended::Failed(_) => {
                let failures = self.failing.failed(&key);
                let wait = self.backoff.delay(failures, random::fraction());
                self.come_back(key, wait);
            }
            Ended::Gone => {
                self.failing.ended(&key);
                self.pace.forget(&key);
            }
            Ended::Invalid => self.failing.ended(&key),
            Ended::AsWanted | Ended::Changed => {
                self.failing.ended(&key);
                if let Some(again) = attempt.again {
                    self.come_back(key, again);
                }
            }
        }
        self.count();
    }

    fn come_back(&self, key: Key, wait: Duration) {
        if let Some(later) = &self.later {
            // The queue lives as long as this driver.
            let _ = later.send(ScheduleRequest { message: key, run_at: Instant::now() + wait });
        }
    }

    fn count(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.in_flight.store(count(self.hands.len()), Relaxed);
        self.metrics.failing.store(count(self.failing.len()), Relaxed);
    }
}
