//! A request that waits to be ordered, and who waits for what comes of it.

use crate::error::MachineError;
use hypermesh_api::Status;
use hypermesh_chain::Request;
use hypermesh_pipeline::{Call, Outcome};
use hypermesh_store::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// Requests that may wait; beyond it the replica says that it is busy.
pub(crate) const MOST_WAITING: usize = 16_384;
/// Bytes of requests that may wait, bodies as they are ordered: who asks may be gone, what was asked waits on.
pub(crate) const MOST_WAITING_BYTES: usize = 64 << 20;

/// The write did not happen, or it is not known whether it did; the Status says which.
#[derive(Clone, Debug)]
pub struct Unavailable(pub Box<Status>);

/// Who waits for an outcome.
pub(crate) struct Waiting {
    sender: oneshot::Sender<Result<Outcome, Unavailable>>,
    /// What waits with them.
    pub weight: Option<Weight>,
}

impl Waiting {
    pub fn answer(self, outcome: Outcome) {
        // Who went away does not want to know.
        let _ = self.sender.send(Ok(outcome));
    }

    pub fn refuse(self, error: &MachineError) {
        self.refuse_as(refusal(error));
    }

    pub fn refuse_as(self, status: Status) {
        let _ = self.sender.send(Err(Unavailable(Box::new(status))));
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
pub(crate) struct Weight {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Weight {
    /// Counts a request, as `least` bytes if it has fewer; `None` if too much waits already.
    pub fn add(request: &Request, least: usize, all: &Arc<AtomicUsize>) -> Option<Self> {
        let bytes = (request.body.len() + request.target.len()).max(least);
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

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::request::{Authority, Media, Method};

    fn request(bytes: usize) -> Request {
        Request {
            method: Method::Post,
            target: "/".to_owned(),
            media: Media::Json,
            body: vec![b' '; bytes].into(),
            authority: Authority::Signed { signatures: Vec::new() },
        }
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_too() {
        let all = Arc::new(AtomicUsize::new(0));
        let most = MOST_WAITING_BYTES >> 20;
        let held: Vec<_> = (0..most - 1).map_while(|_| Weight::add(&request(1 << 20), 0, &all)).collect();
        assert_eq!(held.len(), most - 1);
        assert!(Weight::add(&request(1 << 20), 0, &all).is_none(), "the target counts too");
        drop(held);
        assert_eq!(all.load(Ordering::Relaxed), 0);
        assert!(Weight::add(&request((most + 1) << 20), 0, &all).is_some(), "one always fits");
    }

    #[test]
    fn what_waits_is_bounded_by_number_where_it_counts_as_much() {
        let all = Arc::new(AtomicUsize::new(0));
        let least = MOST_WAITING_BYTES / MOST_WAITING;
        let held: Vec<_> = (0..).map_while(|_| Weight::add(&request(1), least, &all)).collect();
        assert_eq!(held.len(), MOST_WAITING);
    }
}
