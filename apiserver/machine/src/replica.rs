//! A running replica: one thread that writes, and what everyone else holds of it.

use crate::error::{MachineError, OpenError};
use crate::feed::Feed;
use crate::open::Config;
use crate::reading::Reading;
use crate::state::Machine;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use hypermesh_api::Status;
use hypermesh_chain::{
    Canonical, Change, ClusterId, Genesis, Hash, PublicKey, Receipt, Request, Revision, Timestamp,
};
use hypermesh_consensus::Limits;
use hypermesh_consensus::solo::{Solo, Step};
use hypermesh_pipeline::{Body, Call, Outcome};
use hypermesh_store::{Room, Store, StoreError};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Requests that may wait; beyond it the replica says that it is busy.
const MOST_WAITING: usize = 16_384;
/// Bytes of requests that may wait, bodies as they are ordered: who asks may be gone, what was asked waits on.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// The write did not happen, or it is not known whether it did; the Status says which.
#[derive(Clone, Debug)]
pub struct Unavailable(pub Box<Status>);

/// Who waits for an outcome.
pub(crate) struct Waiting {
    sender: oneshot::Sender<Result<Outcome, Unavailable>>,
    /// What waits with them.
    weight: Option<Weight>,
}

impl Waiting {
    pub fn answer(self, outcome: Outcome) {
        // Who went away does not want to know.
        let _ = self.sender.send(Ok(outcome));
    }

    pub fn refuse(self, error: &MachineError) {
        let _ = self.sender.send(Err(Unavailable(Box::new(refusal(error)))));
    }
}

/// A full disk refuses by name and recovers by itself; any other fault stops writes.
fn refusal(error: &MachineError) -> Status {
    match error {
        MachineError::Store(full @ StoreError::DiskFull { .. }) => {
            let mut status =
                Status::failure(507, "InsufficientStorage", format!("{full}; nothing was stored"));
            status.details =
                Some(hypermesh_api::Details { retry_after_seconds: 10, ..hypermesh_api::Details::default() });
            status
        }
        MachineError::Unsupported(why) => Status::unavailable(*why, 1),
        other => Status::internal(format!(
            "the replica stopped writing: {other}; it is not known whether this write was kept"
        )),
    }
}

/// A request that waits to be ordered.
pub(crate) struct Submission {
    pub request: Request,
    pub call: Call,
    pub waiting: Waiting,
}

/// Bytes of a request that waits, counted for as long as it does.
struct Weight {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Weight {
    /// Counts a request; `None` if too much waits already.
    fn add(request: &Request, all: &Arc<AtomicUsize>) -> Option<Self> {
        let bytes = request.body.len() + request.target.len();
        let add = |now: usize| (now == 0 || now + bytes <= MOST_WAITING_BYTES).then_some(now + bytes);
        all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Self { bytes, all: Arc::clone(all) })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where the outcome of a submission arrives.
pub(crate) type Answer = oneshot::Receiver<Result<Outcome, Unavailable>>;

impl Submission {
    pub fn new(request: Request, call: Call) -> (Self, Answer) {
        let (sender, answer) = oneshot::channel();
        (Self { request, call, waiting: Waiting { sender, weight: None } }, answer)
    }
}

/// A running replica.
pub struct Replica {
    /// Boxed: the channel has room for all that may wait from the first moment on, and a submission is as large as a page.
    sender: Mutex<Option<Sender<Box<Submission>>>>,
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
fn now() -> Timestamp {
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
        let (sender, receiver) = crossbeam_channel::bounded(MOST_WAITING);
        let failure = Arc::new(Mutex::new(None));
        let replica = Self {
            sender: Mutex::new(Some(sender)),
            published: Arc::clone(&machine.published),
            feed: Arc::clone(&machine.feed),
            store: machine.store.clone(),
            cluster: machine.cluster,
            key: key.public(),
            nonce: AtomicU64::new(first_nonce(&machine, now())),
            waiting_bytes: Arc::default(),
            failure: Arc::clone(&failure),
            thread: Mutex::new(None),
        };
        let solo = Solo::new(key, machine.cluster, Limits::default());
        let thread = std::thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || guarded(machine, &solo, &receiver, &failure))
            .map_err(OpenError::Thread)?;
        *replica.thread.lock() = Some(thread);
        Ok(replica)
    }

    /// Orders a request and waits for its outcome.
    pub async fn submit(&self, request: Request, call: Call) -> Result<Outcome, Unavailable> {
        let sender = self.sender.lock().clone();
        let Some(sender) = sender else { return Err(stopped()) };
        let Some(weight) = Weight::add(&request, &self.waiting_bytes) else {
            let message =
                format!("{} MiB of writes are waiting; try again in a second", MOST_WAITING_BYTES >> 20);
            return Err(Unavailable(Box::new(Status::unavailable(message, 1))));
        };
        let (mut submission, outcome) = Submission::new(request, call);
        submission.waiting.weight = Some(weight);
        if let Err(error) = sender.try_send(Box::new(submission)) {
            return Err(match error {
                crossbeam_channel::TrySendError::Full(_) => {
                    let message = format!("{MOST_WAITING} writes are waiting; try again in a second");
                    Unavailable(Box::new(Status::unavailable(message, 1)))
                }
                crossbeam_channel::TrySendError::Disconnected(_) => stopped(),
            });
        }
        drop(sender);
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// What a signed request came to when it was executed before: a retry is answered as the first try was. `None` if
    /// it was not executed, or so long ago that its receipt is gone. The object of the reply is found again in history;
    /// where the reply was something else, a Status says when the request was executed.
    pub fn original(&self, digest: &Hash) -> Option<Outcome> {
        let receipt = Receipt::decode(&self.store.outcome(digest).ok()??).ok()?;
        let before = Revision(receipt.revision.0.saturating_sub(u64::from(receipt.writes)));
        let effects = self.reading().view.events(before, receipt.writes as usize).unwrap_or_default();
        let records = effects.into_iter().map(|effect| match effect.change {
            Change::Created(record) | Change::Updated(record) | Change::Deleted(record) => record,
        });
        let body = records.into_iter().find(|record| Hash::of(&[&record.body]) == receipt.body);
        let body = match body {
            Some(record) => Body::Object(Arc::new(record)),
            None => {
                let mut status = Status::success(hypermesh_api::Details::default());
                status.message =
                    format!("the request was executed before, at revision {}", receipt.revision.0);
                Body::Document(serde_json::to_vec(&status).ok()?.into())
            }
        };
        let Receipt { code, revision, writes, .. } = receipt;
        Some(Outcome { code, body, warnings: Vec::new(), audit: Vec::new(), revision, writes })
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
        self.sender.lock().take();
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

fn stopped() -> Unavailable {
    Unavailable(Box::new(Status::unavailable("the server is shutting down", 1)))
}

/// Runs the loop, and says so if it ends by a panic: a replica that is silent must not look ready.
fn guarded(
    machine: Machine,
    solo: &Solo,
    receiver: &Receiver<Box<Submission>>,
    failure: &Mutex<Option<String>>,
) {
    let run = AssertUnwindSafe(|| write_loop(machine, solo, receiver, failure));
    if catch_unwind(run).is_ok() {
        return;
    }
    tracing::error!("the replica stops writing: its thread panicked");
    *failure.lock() = Some("the replica's thread panicked; restart the server".to_owned());
    let error = MachineError::Unsupported("the replica stopped after a fault; restart the server");
    for late in receiver.iter() {
        late.waiting.refuse(&error);
    }
}

/// Takes whatever waits into one block after another, without waiting for more: under load blocks grow by themselves.
fn write_loop(
    mut machine: Machine,
    solo: &Solo,
    receiver: &Receiver<Box<Submission>>,
    failure: &Mutex<Option<String>>,
) {
    let most = Limits::default().requests;
    loop {
        if !machine.has_work() {
            match receiver.recv() {
                Ok(first) => machine.queue.push_back(*first),
                Err(_) => return,
            }
        }
        let mut open = true;
        while machine.queue.len() < most {
            match receiver.try_recv() {
                Ok(next) => machine.queue.push_back(*next),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        if !open && machine.queue.is_empty() {
            return;
        }
        if refuse_when_full(&mut machine) {
            continue;
        }
        match solo.step(&mut machine, now()) {
            Ok(Step::Committed | Step::Idle) => {}
            Err(MachineError::Store(StoreError::DiskFull { available, wanted, .. })) => {
                tracing::warn!(available, wanted, "a block was refused: the disk is full");
                std::thread::park_timeout(Duration::from_millis(100));
            }
            Err(error) => return fail(machine, receiver, failure, &error),
        }
    }
}

/// While the disk has little room, what makes the store grow is refused before it is ordered; deletions go on.
fn refuse_when_full(machine: &mut Machine) -> bool {
    let (available, wanted) = match machine.room() {
        Ok(Room::Low { available, wanted }) => (available, wanted),
        Ok(Room::Enough) => return false,
        Err(error) => {
            tracing::warn!(%error, "the room on the disk cannot be told");
            return false;
        }
    };
    let error = MachineError::Store(StoreError::DiskFull { dir: machine.dir.clone(), available, wanted });
    let (shrinking, growing): (Vec<_>, Vec<_>) = std::mem::take(&mut machine.queue)
        .into_iter()
        .partition(|s| matches!(s.request.method, hypermesh_chain::Method::Delete));
    machine.queue.extend(shrinking);
    for refused in growing {
        refused.waiting.refuse(&error);
    }
    // Work of the state machine itself goes on: emptying and collecting is what makes room.
    !machine.has_work()
}

/// A replica that does not know what it has written must not go on: it answers everyone, and reads stay.
fn fail(
    mut machine: Machine,
    receiver: &Receiver<Box<Submission>>,
    failure: &Mutex<Option<String>>,
    error: &MachineError,
) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    tracing::error!(error = %text, "the replica stops writing");
    *failure.lock() = Some(text);
    for waiting in machine.queue.drain(..) {
        waiting.waiting.refuse(error);
    }
    for (_, prepared) in std::mem::take(&mut machine.prepared) {
        prepared.refuse(error);
    }
    for late in receiver.iter() {
        late.waiting.refuse(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::request::{Authority, Media, Method};

    #[test]
    fn what_waits_is_bounded_by_bytes_too() {
        let request = |mib: usize| Request {
            method: Method::Post,
            target: "/".to_owned(),
            media: Media::Json,
            body: vec![b' '; mib << 20].into(),
            authority: Authority::Signed { signatures: Vec::new() },
        };
        let all = Arc::new(AtomicUsize::new(0));
        let most = MOST_WAITING_BYTES >> 20;
        let held: Vec<_> = (0..most - 1).map_while(|_| Weight::add(&request(1), &all)).collect();
        assert_eq!(held.len(), most - 1);
        assert!(Weight::add(&request(1), &all).is_none(), "the target counts too");
        drop(held);
        assert_eq!(all.load(Ordering::Relaxed), 0);
        assert!(Weight::add(&request(most + 1), &all).is_some(), "one always fits");
    }
}
