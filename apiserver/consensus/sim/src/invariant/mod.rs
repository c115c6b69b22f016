//! What must hold whatever happens, one invariant a file.

mod accused;
mod acknowledged;
mod agreement;
mod bounded;
mod certified;
mod dated;
mod linearizable;
mod liveness;
mod quorums;
mod roots;
mod said_once;
mod validity;

use crate::linearize::Access;
use hypermesh_bft::{Kept, Message};
use hypermesh_chain::request::Request;
use hypermesh_chain::{Block, Certificate, ClusterId, Evidence, Hash, PublicKey, ValidatorSet};
use std::collections::BTreeSet;
use std::fmt;

/// Who takes part in a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The cluster.
    pub cluster: ClusterId,
    /// All replicas.
    pub validators: ValidatorSet,
    /// Their keys, by place.
    pub keys: Vec<PublicKey>,
    /// Those that lie.
    pub liars: BTreeSet<PublicKey>,
    /// How far an honest clock that is sound may be off, in microseconds.
    pub skew: u64,
    /// The honest replica whose clock is not, if there is one.
    pub wrong_clock: Option<PublicKey>,
}

/// Something that an honest replica or a client did.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// A client made a request, which nobody can make in its name.
    Issued(&'a Request),
    /// A replica told a client that its request was ordered.
    Acknowledged(Hash),
    /// A client began to read or write a register.
    Called {
        /// Which of the operations.
        operation: u64,
        /// The register.
        register: u64,
        /// What is written; nothing for a read.
        write: Option<u64>,
        /// When: later calls and returns have higher numbers.
        at: u64,
    },
    /// A client was told what came of it.
    Returned {
        /// Which of the operations.
        operation: u64,
        /// What it did.
        access: Access,
        /// When.
        at: u64,
    },
    /// A replica sent a message.
    Said {
        /// Its key.
        key: PublicKey,
        /// What.
        message: &'a Message,
        /// What a right clock shows, in microseconds since the epoch.
        clock: u64,
    },
    /// A replica kept a block.
    Kept {
        /// Its place.
        replica: usize,
        /// The block's id.
        id: Hash,
        /// The block.
        block: &'a Block,
        /// What decided it, as far as the replica thinks.
        certificate: &'a Certificate,
        /// The root of the state that it has from then on.
        root: Hash,
        /// What a right clock shows, in microseconds since the epoch.
        clock: u64,
    },
    /// A replica thinks that another has contradicted itself.
    Accused(&'a Evidence),
    /// So much does a replica's engine keep.
    Holds {
        /// Its place.
        replica: usize,
        /// What.
        kept: &'a Kept,
    },
    /// The run is over.
    Ended {
        /// Requests that no client got an answer to.
        unanswered: usize,
        /// The heights of all honest replicas.
        heights: &'a [u64],
    },
}

/// Something that must hold.
pub trait Invariant: fmt::Debug {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Sees what happened; `Err` says how it is broken.
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String>;
}

/// All of them.
pub fn all(setting: &Setting) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<agreement::Agreement>::default(),
        Box::new(validity::Validity::new(setting)),
        Box::<said_once::SaidOnce>::default(),
        Box::new(quorums::Quorums::new(setting)),
        Box::new(certified::Certified::new(setting)),
        Box::new(dated::Dated::new(setting)),
        Box::<acknowledged::Acknowledged>::default(),
        Box::new(roots::Roots),
        Box::new(accused::Accused::new(setting)),
        Box::new(bounded::Bounded::new(setting)),
        Box::<linearizable::Linearizable>::default(),
        Box::new(liveness::Liveness),
    ]
}
