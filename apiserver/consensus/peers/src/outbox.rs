//! What waits for one peer: a queue a class, each bounded by bytes, each with its own way of being full.
//!
//! | class | full | nobody there | a new connection |
//! |---|---|---|---|
//! | statements | those of earlier heights go first, then the oldest; never the newest | only the newest height's stay | what was said of the newest height is said again |
//! | blocks | those of the lowest height go: they can be asked for | none is kept | begins empty |
//! | requests | the newest is not taken, and whoever sent it is told | kept for a while | what was not acknowledged is sent again |
//!
//! What goes is counted. The queue outlives connections; one connection at a time takes from it.

mod blocks;
mod requests;
mod statements;

use crate::class::Class;
use crate::frame::Frame;
use blocks::Blocks;
use parking_lot::Mutex;
use requests::Requests;
use statements::Statements;
use tokio::sync::Notify;

pub(crate) use requests::Overcounted;

/// The queues of one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    ready: [Notify; 3],
}

#[derive(Debug)]
struct Queues {
    statements: Statements,
    blocks: Blocks,
    requests: Requests,
    open: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits to be sent, and so many messages of its class went for it.
    Waits(u64),
    /// It waits already.
    Known,
    /// It was not taken.
    Refused,
}

impl Outbox {
    pub(crate) fn new(limits: &crate::Limits) -> Self {
        let queues = Queues {
            statements: Statements::new(limits.statements.queue),
            blocks: Blocks::new(limits.blocks.queue),
            requests: Requests::new(limits.requests.queue),
            open: false,
        };
        Self { queues: Mutex::new(queues), ready: Default::default() }
    }

    pub(crate) fn push(&self, class: Class, frame: &Frame) -> Pushed {
        let mut queues = self.queues.lock();
        let open = queues.open;
        let pushed = match class {
            Class::Statements => queues.statements.push(frame.clone(), open),
            Class::Blocks if open => queues.blocks.push(frame.clone()),
            Class::Blocks => Pushed::Refused,
            Class::Requests => queues.requests.push(frame.clone()),
        };
        drop(queues);
        if matches!(pushed, Pushed::Waits(_)) {
            self.ready(class).notify_one();
        }
        pushed
    }

    /// Statements to send, of so many bytes at most, but one at least if there is one.
    pub(crate) fn statements(&self, most: usize) -> Vec<Frame> {
        self.queues.lock().statements.take(most)
    }

    /// A block to send. Its bytes count until it is [done with](Outbox::block_done).
    pub(crate) fn block(&self) -> Option<Frame> {
        self.queues.lock().blocks.take()
    }

    pub(crate) fn block_done(&self, frame: &Frame) {
        self.queues.lock().blocks.done(frame);
    }

    /// Requests to send. They count until they are acknowledged.
    pub(crate) fn request(&self) -> Option<Frame> {
        self.queues.lock().requests.take()
    }

    /// The peer has taken so many messages of requests, in the order in which they were sent.
    pub(crate) fn acknowledge(&self, frames: u64) -> Result<(), Overcounted> {
        let mut queues = self.queues.lock();
        queues.requests.acknowledge(frames)?;
        drop(queues);
        // Whoever waits for all of them to be acknowledged looks again.
        self.ready(Class::Requests).notify_one();
        Ok(())
    }

    /// Whether nothing of a class waits or is under way.
    pub(crate) fn is_empty(&self, class: Class) -> bool {
        self.bytes(class) == 0
    }

    /// Bytes of a class that wait or are under way.
    pub(crate) fn bytes(&self, class: Class) -> usize {
        let queues = self.queues.lock();
        match class {
            Class::Statements => queues.statements.bytes(),
            Class::Blocks => queues.blocks.bytes(),
            Class::Requests => queues.requests.bytes(),
        }
    }

    /// Waits until something of a class may be there.
    pub(crate) async fn wait(&self, class: Class) {
        self.ready(class).notified().await;
    }

    /// A connection begins to take from it.
    pub(crate) fn open(&self) {
        let mut queues = self.queues.lock();
        queues.open = true;
        queues.statements.again();
        queues.requests.again();
        drop(queues);
        self.ready.iter().for_each(Notify::notify_one);
    }

    /// The connection is over. How many messages of each class went with it.
    pub(crate) fn close(&self) -> [u64; 3] {
        let mut queues = self.queues.lock();
        queues.open = false;
        [queues.statements.keep_newest(), queues.blocks.clear(), 0]
    }

    /// The peer has been away for long. How many messages of requests went.
    pub(crate) fn forget_requests(&self) -> u64 {
        self.queues.lock().requests.clear()
    }

    fn ready(&self, class: Class) -> &Notify {
        let [statements, blocks, requests] = &self.ready;
        match class {
            Class::Statements => statements,
            Class::Blocks => blocks,
            Class::Requests => requests,
        }
    }
}
