//! A running replica: one thread that writes, and what everyone else holds of it.
//!
//! Whether the replica is alone or one of several, who holds it sees the same: requests go in and outcomes come out, and a
//! [`Reading`] is what is kept.

use crate::alone;
use crate::among::{self, Job, Others};
use crate::base::Base;
use crate::error::OpenError;
use crate::evaluate::{State, evaluate};
use crate::feed::Feed;
use crate::open::Config;
use crate::reading::Reading;
use crate::state::Machine;
use crate::submission::{Answer, MOST_WAITING, MOST_WAITING_BYTES, Submission, Unavailable, Weight};
use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use hypermesh_api::Status;
use hypermesh_chain::{
    Canonical, Change, ClusterId, Genesis, Hash, PublicKey, Receipt, Request, Revision, Timestamp,
};
use hypermesh_consensus::Limits;
use hypermesh_consensus::solo::Solo;
use hypermesh_pipeline::call::Authority;
use hypermesh_pipeline::{Body, Call, Outcome, Window};
use hypermesh_store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// The way to the thread that writes.
#[derive(Clone)]
enum Door {
    /// Boxed: the channel has room for all that may wait from the first moment on, and a submission is as large as a page.
    Alone(Sender<Box<Submission>>),
    /// There are other replicas.
    Among(Sender<Job>),
}

/// A running replica.
pub struct Replica {
    door: Mutex<Option<Door>>,
    published: Arc<ArcSwap<Reading>>,
    feed: Arc<Feed>,
    store: Store,
    cluster: ClusterId,
    key: PublicKey,
    nonce: AtomicU64,
    waiting_bytes: Arc<AtomicUsize>,
    failure: Arc<Mutex<Option<String>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The wall clock. Only here: the pipeline has none.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Nonces begin with the clock, so that they rise over restarts, and above those that are remembered, so that they do
/// even when the clock was set back.
fn first_nonce(machine: &Machine, now: Timestamp) -> u64 {
    let used = machine.window.highest_nonce(&machine.key.public().0);
    (now.0 << 8).max(used.map_or(0, |used| used.saturating_add(1)))
}

impl Replica {
    /// Opens the machine and starts its thread, under the engine of one replica.
    pub fn start(config: Config, genesis: &Genesis) -> Result<Self, OpenError> {
        let key = config.key.clone();
        let machine = Machine::open(config, genesis)?;
        if !machine.is_alone() {
            return Err(OpenError::Others);
        }
        let (sender, receiver) = crossbeam_channel::bounded(MOST_WAITING);
        let replica = Self::of(&machine, Door::Alone(sender));
        let failure = Arc::clone(&replica.failure);
        let solo = Solo::new(key, machine.cluster, Limits::default());
        let thread = std::thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || alone::run(machine, &solo, &receiver, &failure))
            .map_err(OpenError::Thread)?;
        *replica.thread.lock() = Some(thread);
        Ok(replica)
    }

    /// Opens the machine and the replication log, and starts the thread of one replica among others. What it said
    /// before it stopped is said again.
    pub fn start_among(config: Config, genesis: &Genesis, others: Others) -> Result<Self, OpenError> {
        let machine = Machine::open(config, genesis)?;
        if machine.is_alone() {
            return Err(OpenError::NoOthers);
        }
        let (sender, receiver) = crossbeam_channel::bounded(MOST_WAITING);
        let replica = Self::of(&machine, Door::Among(sender));
        let failure = Arc::clone(&replica.failure);
        let thread = among::start(machine, others, receiver, failure)?;
        *replica.thread.lock() = Some(thread);
        Ok(replica)
    }

    fn of(machine: &Machine, door: Door) -> Self {
        Self {
            door: Mutex::new(Some(door)),
            published: Arc::clone(&machine.published),
            feed: Arc::clone(&machine.feed),
            store: machine.store.clone(),
            cluster: machine.cluster,
            key: machine.key.public(),
            nonce: AtomicU64::new(first_nonce(machine, now())),
            waiting_bytes: Arc::default(),
            failure: Arc::default(),
            thread: Mutex::new(None),
        }
    }

    /// Whether there are no other replicas.
    pub fn is_alone(&self) -> bool {
        !matches!(*self.door.lock(), Some(Door::Among(_)))
    }

    /// Has a request ordered, or answered where it writes nothing, and waits for its outcome. Whoever calls has verified
    /// its signatures.
    pub async fn submit(&self, request: Request, call: Call) -> Result<Outcome, Unavailable> {
        let door = self.door.lock().clone();
        match door {
            Some(Door::Alone(sender)) => {
                let weight = self.weigh(&request, 0)?;
                let answer = hand_over(request, call, weight, |submission| sender.try_send(submission))?;
                drop(sender);
                self.answer(answer).await
            }
            Some(Door::Among(sender)) => {
                // Whoever waits must not keep the thread from ending.
                drop(sender);
                self.submit_among(request, call).await
            }
            None => Err(self.gone()),
        }
    }

    async fn submit_among(&self, request: Request, call: Call) -> Result<Outcome, Unavailable> {
        // Counted so that as many fit as may wait, however small they are.
        let weight = self.weigh(&request, MOST_WAITING_BYTES / MOST_WAITING)?;
        if let Some(outcome) = self.outcome_without_writes(&call).await? {
            return Ok(outcome);
        }
        let Some(Door::Among(sender)) = self.door.lock().clone() else { return Err(self.gone()) };
        let send = |submission| sender.try_send(Job::Submit(submission));
        let answer = hand_over(request, call, weight, send)?;
        drop(sender);
        self.answer(answer).await
    }

    fn weigh(&self, request: &Request, least: usize) -> Result<Weight, Unavailable> {
        Weight::add(request, least, &self.waiting_bytes).ok_or_else(|| {
            let message =
                format!("{} MiB of writes are waiting; try again in a second", MOST_WAITING_BYTES >> 20);
            Unavailable(Box::new(Status::unavailable(message, 1)))
        })
    }

    async fn answer(&self, answer: Answer) -> Result<Outcome, Unavailable> {
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// What a request comes to if it writes nothing: a refusal, a dry run, what is so already. It is never ordered. It
    /// rests on a state that holds all that was acknowledged anywhere before the request came. Nothing if it writes.
    async fn outcome_without_writes(&self, call: &Call) -> Result<Option<Outcome>, Unavailable> {
        let reading = self.reading();
        let outcome = self.evaluate(&reading, call)?;
        if outcome.writes > 0 {
            return Ok(None);
        }
        self.barrier().await?;
        let newest = self.reading();
        if matches!(call.authority, Authority::Signed { .. })
            && let Some(original) = original(&self.store, &newest, &call.digest)
        {
            return Ok(Some(original));
        }
        let same = newest.view.head() == reading.view.head();
        let outcome = if same { outcome } else { self.evaluate(&newest, call)? };
        Ok((outcome.writes == 0).then_some(outcome))
    }

    fn evaluate(&self, reading: &Reading, call: &Call) -> Result<Outcome, Unavailable> {
        let head = reading.view.head();
        let state = State {
            base: &Base::new(&reading.view),
            revision: reading.revision,
            derived: &reading.derived,
            cluster: self.cluster.0,
            height: head.map(|head| head.height).unwrap_or_default(),
            time: head.map(|head| head.time).unwrap_or_default(),
        };
        evaluate(&state, &Window::default(), call.clone(), now())
            .map_err(|error| Unavailable(Box::new(Status::internal(error))))
    }

    /// Waits until [`Replica::reading`] holds every write that any replica acknowledged before this was called: what a
    /// consistent read begins with. It is immediate for a replica that is alone. Those that wait at the same time share
    /// one question to the others; while too few of them answer, it waits.
    ///
    /// # Errors
    /// When the replica stops, or has.
    pub async fn barrier(&self) -> Result<(), Unavailable> {
        let door = self.door.lock().clone();
        match door {
            Some(Door::Alone(_)) => Ok(()),
            Some(Door::Among(jobs)) => {
                let (sender, passed) = oneshot::channel();
                jobs.try_send(Job::Barrier(sender)).map_err(|error| match error {
                    crossbeam_channel::TrySendError::Full(_) => busy(),
                    crossbeam_channel::TrySendError::Disconnected(_) => self.gone(),
                })?;
                drop(jobs);
                passed.await.map_err(|_| self.gone())
            }
            None => Err(self.gone()),
        }
    }

    /// Why nothing is answered any more.
    fn gone(&self) -> Unavailable {
        let status = match self.failure() {
            Some(failure) => Status::internal(format!(
                "the replica stopped writing: {failure}; it is not known whether this write was kept"
            )),
            None => Status::unavailable("the server is shutting down", 1),
        };
        Unavailable(Box::new(status))
    }

    /// What a signed request came to when it was executed before: a retry is answered as the first try was. `None` if
    /// it was not executed, or so long ago that its receipt is gone. The object of the reply is found again in history;
    /// where the reply was something else, a Status says when the request was executed.
    pub fn original(&self, digest: &Hash) -> Option<Outcome> {
        original(&self.store, &self.reading(), digest)
    }

    /// The newest committed state.
    pub fn reading(&self) -> Arc<Reading> {
        self.published.load_full()
    }

    /// The newest events.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The store, for history and upkeep.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The cluster's id.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The replica's key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The replica's clock, as it dates requests.
    pub fn now(&self) -> Timestamp {
        now()
    }

    /// The time that a request is dated: the clock's, and never before the newest block, or a clock that was set back
    /// would make every request look old.
    pub fn request_time(&self) -> Timestamp {
        let newest = self.published.load().view.head().map_or(Timestamp(0), |head| head.time);
        now().max(newest)
    }

    /// A nonce for an endorsement: they rise, over restarts too.
    pub fn next_nonce(&self) -> u64 {
        self.nonce.fetch_add(1, Ordering::Relaxed)
    }

    /// Why writing has stopped, if it has.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Takes no more requests, finishes those that wait, and ends the thread.
    pub fn stop(&self) {
        self.door.lock().take();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the replica's thread ended by a panic");
        }
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("cluster", &self.cluster)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a signed request came to when it was executed before. See [`Replica::original`].
pub(crate) fn original(store: &Store, reading: &Reading, digest: &Hash) -> Option<Outcome> {
    let receipt = Receipt::decode(&store.outcome(digest).ok()??).ok()?;
    let before = Revision(receipt.revision.0.saturating_sub(u64::from(receipt.writes)));
    let effects = reading.view.events(before, receipt.writes as usize).unwrap_or_default();
    let records = effects.into_iter().map(|effect| match effect.change {
        Change::Created(record) | Change::Updated(record) | Change::Deleted(record) => record,
    });
    let body = records.into_iter().find(|record| Hash::of(&[&record.body]) == receipt.body);
    let body = match body {
        Some(record) => Body::Object(Arc::new(record)),
        None => {
            let mut status = Status::success(hypermesh_api::Details::default());
            status.message = format!("the request was executed before, at revision {}", receipt.revision.0);
            Body::Document(serde_json::to_vec(&status).ok()?.into())
        }
    };
    let Receipt { code, revision, writes, .. } = receipt;
    Some(Outcome { code, body, warnings: Vec::new(), audit: Vec::new(), revision, writes })
}

/// Hands a request to the thread that writes.
fn hand_over<T>(
    request: Request,
    call: Call,
    weight: Weight,
    send: impl FnOnce(Box<Submission>) -> Result<(), crossbeam_channel::TrySendError<T>>,
) -> Result<Answer, Unavailable> {
    let (mut submission, answer) = Submission::new(request, call);
    submission.waiting.weight = Some(weight);
    match send(Box::new(submission)) {
        Err(crossbeam_channel::TrySendError::Full(_)) => Err(busy()),
        // Whoever waits is told why by what is left of the replica.
        Ok(()) | Err(crossbeam_channel::TrySendError::Disconnected(_)) => Ok(answer),
    }
}

fn busy() -> Unavailable {
    let message = format!("{MOST_WAITING} writes are waiting; try again in a second");
    Unavailable(Box::new(Status::unavailable(message, 1)))
}
