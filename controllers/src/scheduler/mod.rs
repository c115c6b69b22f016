//! The scheduler: binds instances that have no node to the nodes there are.
//!
//! What it knows comes from watches ([`cluster`]), who decides is a [`plan::Policy`], and what was decided is written by
//! [`write`]. An instance that was bound counts as bound from that moment, before the write has come back through the
//! watch: many are bound in one pass, and no place is promised twice. One that nothing fits is told so once, and is
//! weighed again when something has changed that could help it, never by the clock.

pub mod cluster;
mod known;
pub mod look;
mod orphan;
pub mod plan;
pub mod write;

use crate::runtime::backoff::{Backoff, Failing};
use crate::runtime::decision::{self, Decision as Record};
use crate::runtime::failure::{FailureClass, chain};
use crate::runtime::metrics::{ControllerMetrics, Ended};
use crate::runtime::{Context, Failure, Key, Stop, random};
use cluster::{Change, Kind};
use futures_util::stream::StreamExt as _;
use known::Known;
use kube::core::DynamicObject;
use plan::{BestNode, Decision, Policy};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use write::Judged;

/// Its name in metrics, logs and decisions.
pub const NAME: &str = "scheduler";
/// How many writes are under way at once.
const WRITES: usize = 64;
/// How many changes are taken in before the next pass, if so many are there.
const CHANGES: usize = 1_024;
/// How long a conflict is left to the watch, which shows who was faster.
const CONFLICT: Duration = Duration::from_secs(2);

/// Binds by the best node, until it is stopped.
pub async fn run(context: Context, stop: Stop) {
    drive(Arc::new(BestNode), context, stop).await;
}

/// Binds by `policy`, until it is stopped; writes that are under way then come to their end.
pub async fn drive(policy: Arc<dyn Policy>, context: Context, mut stop: Stop) {
    let metrics = context.metrics.of(NAME);
    metrics.synced.store(false, Relaxed);
    let mut changes = cluster::changes(&context).ready_chunks(CHANGES);
    let mut scheduler = Scheduler::new(policy, context, Arc::clone(&metrics));
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            Some(done) = scheduler.tasks.join_next(), if !scheduler.tasks.is_empty() => match done {
                Ok(done) => scheduler.done(done),
                Err(error) => tracing::error!(%error, "a write of the scheduler ended by a panic"),
            },
            Some(Ok(due)) = scheduler.sleepers.join_next(), if !scheduler.sleepers.is_empty() => {
                scheduler.done(due);
            }
            Some(changes) = changes.next() => for change in changes {
                scheduler.change(change);
            },
            else => break,
        }
        scheduler.pass();
    }
    while scheduler.tasks.join_next().await.is_some() {}
    metrics.synced.store(false, Relaxed);
}

/// What a task of the scheduler came to.
enum Done {
    /// An instance was to be bound.
    Bound { key: Key, judged: Judged, result: Result<(), Failure>, took: Duration },
    /// An instance was to be told that it waits.
    Told { key: Key, result: Result<bool, Failure> },
    /// A workload that no watch had shown was read.
    Asked { workload: Key, result: Result<Option<Box<DynamicObject>>, Failure> },
    /// It is time to look at an instance again.
    Again(Key),
    /// Instances of a node that does not exist were ended, or not.
    Orphans { node: Arc<str>, result: Result<(), Failure> },
    /// They may be looked after again.
    Rested(Arc<str>),
}

struct Scheduler {
    policy: Arc<dyn Policy>,
    context: Context,
    metrics: Arc<ControllerMetrics>,
    known: Known,
    /// To be weighed in the next pass.
    due: HashSet<Key>,
    /// Weighed and found no place for, and what they were told but for amounts.
    waiting: HashMap<Key, String>,
    /// Nodes that do not exist and have instances, being looked after.
    orphaning: HashSet<Arc<str>>,
    tasks: JoinSet<Done>,
    /// What waits for its time, and ends with the scheduler.
    sleepers: JoinSet<Done>,
    writes: Arc<Semaphore>,
    backoff: Backoff,
    failing: Failing,
}

impl Scheduler {
    fn new(policy: Arc<dyn Policy>, context: Context, metrics: Arc<ControllerMetrics>) -> Self {
        Self {
            policy,
            context,
            metrics,
            known: Known::default(),
            due: HashSet::new(),
            waiting: HashMap::new(),
            orphaning: HashSet::new(),
            tasks: JoinSet::new(),
            sleepers: JoinSet::new(),
            writes: Arc::new(Semaphore::new(WRITES)),
            backoff: Backoff::default(),
            failing: Failing::default(),
        }
    }

    /// Takes in what a watch tells.
    fn change(&mut self, (kind, event): Change) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.metrics.watch_errors.fetch_add(1, Relaxed);
                tracing::warn!(?kind, error = chain(&error), "a watch was interrupted and goes on");
                return;
            }
        };
        let effect = self.known.take(kind, event);
        if effect.room {
            self.due.extend(self.waiting.keys().cloned());
        }
        for key in effect.gone {
            self.due.remove(&key);
            self.waiting.remove(&key);
            self.failing.ended(&key);
        }
        if let Some(key) = effect.due.filter(|key| !self.waiting.contains_key(key)) {
            self.due.insert(key);
        }
        if let Some((key, error)) = effect.unreadable {
            tracing::warn!(?kind, object = %key, error, "an object cannot be read, and is left alone");
        }
    }

    /// Weighs what is due, once everything is known.
    fn pass(&mut self) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.objects.store(count(self.known.instances()), Relaxed);
        self.metrics.synced.store(self.known.is_complete(), Relaxed);
        if !self.known.is_complete() {
            return;
        }
        self.orphans();
        let mut wishes = Vec::new();
        for key in std::mem::take(&mut self.due) {
            match self.known.unasked(&key) {
                None => wishes.push(key),
                Some(workload) => self.ask(workload, key),
            }
        }
        if wishes.is_empty() {
            return;
        }
        for (key, decision) in plan::pass(&*self.policy, &mut self.known.snapshot, wishes) {
            let Some(judged) = self.known.judged(&key) else { continue };
            match decision {
                Decision::Bind(choice) => self.bind(key, judged, choice),
                Decision::Wait(refusal) => {
                    let shape = refusal.shape();
                    if self.waiting.insert(key.clone(), shape.clone()).as_ref() != Some(&shape) {
                        self.record(&key, &judged, decision::Verdict::Failed, refusal.to_string());
                        let (context, writes) = (self.context.clone(), Arc::clone(&self.writes));
                        self.tasks.spawn(async move {
                            let _turn = writes.acquire_owned().await;
                            let result = write::tell_waits(&context, &key, &judged, &refusal).await;
                            Done::Told { key, result }
                        });
                    }
                }
            }
        }
        self.metrics.failing.store(count(self.waiting.len()), Relaxed);
        self.metrics.in_flight.store(count(self.tasks.len()), Relaxed);
    }

    fn bind(&mut self, key: Key, judged: Judged, choice: plan::Choice) {
        self.waiting.remove(&key);
        self.known.assume(&key, &choice.node);
        self.record(
            &key,
            &judged,
            decision::Verdict::Changed,
            format!("bind it to {}: {choice}", choice.node),
        );
        let (context, writes) = (self.context.clone(), Arc::clone(&self.writes));
        let begin = Instant::now();
        self.tasks.spawn(async move {
            let turn = writes.acquire_owned().await;
            let result = write::bind(&context, &key, &judged, &choice).await;
            if result.is_ok() {
                tracing::info!(instance = %key, node = %choice.node, "bound");
                // The words may come after: nothing waits for them, and the next instance should not either.
                drop(turn);
                write::tell_bound(&context, &key, &judged, &choice).await;
            }
            Done::Bound { key, judged, result, took: begin.elapsed() }
        });
    }

    /// Reads a workload that has an instance before the watch of workloads has shown it.
    fn ask(&mut self, workload: Key, key: Key) {
        let first = self.known.hold(&workload, key);
        if !first {
            return;
        }
        let context = self.context.clone();
        self.tasks.spawn(async move {
            let result =
                context.get(&Kind::Workload.resource(), &workload).await.map(|found| found.map(Box::new));
            Done::Asked { workload, result }
        });
    }

    /// Ends instances that are bound to nodes that do not exist.
    fn orphans(&mut self) {
        for (node, instances) in self.known.orphans() {
            if !self.orphaning.insert(Arc::clone(&node)) {
                continue;
            }
            let (context, writes) = (self.context.clone(), Arc::clone(&self.writes));
            self.tasks.spawn(async move {
                let _turn = writes.acquire_owned().await;
                let result = orphan::end(&context, &node, instances).await;
                Done::Orphans { node, result }
            });
        }
    }

    /// Takes in what a task came to.
    fn done(&mut self, done: Done) {
        match done {
            Done::Bound { key, judged, result: Ok(()), took } => {
                self.metrics.ended(Ended::Changed, took);
                self.failing.ended(&key);
                self.known.bound(&key, &judged.uid);
            }
            Done::Bound { key, judged, result: Err(failure), took } => {
                self.metrics.ended(Ended::Failed(failure.class()), took);
                tracing::warn!(instance = %key, error = chain(&failure), "an instance was not bound");
                self.record(&key, &judged, decision::Verdict::Failed, chain(&failure));
                self.known.revoke(&key);
                // What it was to take is free again.
                self.due.extend(self.waiting.keys().cloned());
                // The watch may have shown already who was faster.
                let newer = self.known.judged(&key).is_some_and(|now| now.version != judged.version);
                if newer && is_conflict(&failure) {
                    self.due.insert(key);
                } else {
                    self.later(key, &failure);
                }
            }
            Done::Told { result: Ok(_), .. } => self.metrics.ended(Ended::Invalid, Duration::ZERO),
            Done::Told { key, result: Err(failure) } => {
                self.metrics.ended(Ended::Failed(failure.class()), Duration::ZERO);
                tracing::debug!(instance = %key, error = chain(&failure), "why it waits was not written");
                // It is told with the next reason, or with this one after a while.
                if self.waiting.remove(&key).is_some() {
                    self.later(key, &failure);
                }
            }
            Done::Asked { workload, result } => match result {
                Ok(object) => self.due.extend(self.known.asked(&workload, object.as_deref())),
                Err(failure) => {
                    tracing::warn!(%workload, error = chain(&failure), "a workload could not be read");
                    for key in self.known.release(&workload) {
                        self.later(key, &failure);
                    }
                }
            },
            Done::Again(key) => {
                if self.known.wants(&key) {
                    self.waiting.remove(&key);
                    self.due.insert(key);
                }
            }
            Done::Orphans { node, result } => {
                if let Err(failure) = result {
                    tracing::warn!(%node, error = chain(&failure), "instances of a node that is gone remain");
                }
                // The watch may be behind: who is looked after again at once is looked after for nothing.
                self.sleepers.spawn(async move {
                    tokio::time::sleep(CONFLICT).await;
                    Done::Rested(node)
                });
            }
            Done::Rested(node) => {
                self.orphaning.remove(&node);
            }
        }
    }

    /// Looks at an instance again after a failure.
    fn later(&mut self, key: Key, failure: &Failure) {
        let wait = if is_conflict(failure) {
            CONFLICT
        } else {
            let failures = self.failing.failed(&key);
            self.backoff.delay(failures, random::fraction())
        };
        self.sleepers.spawn(async move {
            tokio::time::sleep(wait).await;
            Done::Again(key)
        });
    }

    fn record(&self, key: &Key, judged: &Judged, verdict: decision::Verdict, why: String) {
        let now = self.context.now();
        self.context.decisions.record(Record {
            controller: NAME,
            kind: "Instance".to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: judged.uid.clone(),
            generation: judged.generation,
            resource_version: judged.version.clone(),
            verdict,
            why,
            since: now,
            at: now,
            count: 1,
            again_in_seconds: None,
        });
    }
}

fn is_conflict(failure: &Failure) -> bool {
    failure.class() == FailureClass::Conflict
}
