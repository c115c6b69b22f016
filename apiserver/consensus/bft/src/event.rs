//! What an engine is told, and what it wants done.

use crate::message::Message;
use hypermesh_chain::{Block, Certificate, Evidence, Hash, Height, PublicKey, ValidatorSet};
use std::sync::Arc;
use std::time::Duration;

/// The newest block that is decided, and who decides the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub height: Height,
    /// Its id.
    pub block: Hash,
    /// Who composed it.
    pub proposer: PublicKey,
    /// Who decides the next height.
    pub validators: ValidatorSet,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another replica said something. Who it is was proven by the connection; what it says is not.
    Received {
        /// Who.
        from: PublicKey,
        /// What.
        message: Message,
    },
    /// A read wants to miss nothing that was acknowledged anywhere before now ([`Action::Passed`]). Numbers rise, and no
    /// process of this replica uses one again.
    Barrier(u64),
    /// Another replica can be reached from now on.
    Connected(PublicKey),
    /// A timer went off.
    Elapsed(Timer),
    /// Whether requests wait to be ordered.
    Work(bool),
    /// What [`Action::Prepare`] came to; nothing if nothing has to be ordered.
    Prepared(Option<Arc<Block>>),
    /// What [`Action::Judge`] came to.
    Judged {
        /// The block's id.
        block: Hash,
        /// Why it must not be voted for, if it must not.
        verdict: Result<(), String>,
    },
    /// A block that was asked for is committed.
    Committed {
        /// This is the head now.
        head: Head,
        /// Whether requests still wait to be ordered.
        work: bool,
    },
    /// What [`Action::Load`] came to: a block and its certificate, in order of height.
    Loaded {
        /// Who asked for them.
        to: PublicKey,
        /// What there is of them.
        blocks: Vec<(bytes::Bytes, Certificate)>,
    },
}

/// What a timer is for. There is one of each at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A step of a round takes too long.
    Step(crate::entry::Step, u32),
    /// The bytes of a block do not come.
    Fetch,
    /// Decided blocks do not come.
    Ask,
    /// Others do not answer what a barrier asks.
    Barrier,
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To all other replicas.
    All,
    /// To one.
    One(PublicKey),
}

/// Something that has to be done. Actions are done one after another, in the order in which they come; a replica that
/// crashes between any two of them says nothing, when it is back, that contradicts what it said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Append an entry to the log.
    Log(Vec<u8>),
    /// Flush the log. If that fails, nothing that follows may be done, and the replica stops.
    Sync,
    /// Begin the log anew: the heights in it are decided and kept.
    Restart,
    /// Send a message.
    Send(To, Message),
    /// Tell of a timer after this long; one that runs begins anew.
    Start(Timer, Duration),
    /// Tell of it no more.
    Stop(Timer),
    /// Tell of no timer of a step any more.
    StopSteps,
    /// Make a block of what waits ([`Event::Prepared`]).
    Prepare,
    /// Judge a block ([`Event::Judged`]).
    Judge {
        /// The block.
        block: Arc<Block>,
        /// Whether its time must be near: it is proposed for the first time, and nobody vouches for it yet.
        fresh: bool,
    },
    /// Keep a block that was made or found valid here, for good ([`Event::Committed`]).
    Commit {
        /// The block's id.
        block: Hash,
        /// What decided it.
        certificate: Certificate,
    },
    /// Forget what was prepared or judged of other blocks of a height that is decided.
    Forget(Hash),
    /// Read decided blocks ([`Event::Loaded`]).
    Load {
        /// The first of them.
        from: Height,
        /// How many at most.
        most: usize,
        /// Who asks.
        to: PublicKey,
    },
    /// Requests of another replica wait to be ordered.
    Requests {
        /// Whose.
        from: PublicKey,
        /// As the state machine encodes them.
        requests: Vec<bytes::Bytes>,
    },
    /// Keep proof that a validator contradicted itself.
    Evidence(Evidence),
    /// The state that is kept holds all that was acknowledged anywhere before [`Event::Barrier`] of this number, or of a
    /// lower one, came.
    Passed(u64),
}
