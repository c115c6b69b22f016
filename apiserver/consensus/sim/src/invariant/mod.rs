//! What must hold whatever happens, one invariant a file.

mod acknowledged;
mod agreement;
mod liveness;
mod roots;
mod said_once;
mod validity;

use hypermesh_bft::Message;
use hypermesh_chain::{Block, Hash, PublicKey};
use std::fmt;

/// Something that an honest replica or a client did.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// A client made a request.
    Issued(Hash),
    /// A replica told a client that its request was ordered.
    Acknowledged(Hash),
    /// A replica sent a message.
    Said {
        /// Its key.
        key: PublicKey,
        /// What.
        message: &'a Message,
    },
    /// A replica kept a block.
    Kept {
        /// Its place.
        replica: usize,
        /// The block's id.
        id: Hash,
        /// The block.
        block: &'a Block,
        /// The root of the state that it has from then on.
        root: Hash,
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
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<agreement::Agreement>::default(),
        Box::<validity::Validity>::default(),
        Box::<said_once::SaidOnce>::default(),
        Box::<acknowledged::Acknowledged>::default(),
        Box::new(roots::Roots),
        Box::new(liveness::Liveness),
    ]
}
