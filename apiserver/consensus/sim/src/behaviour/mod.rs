//! What replicas do that an adversary controls, one behaviour a file.
//!
//! A liar runs the same engine as everyone else, with its own key, and what it sends passes through its behaviour, which
//! may leave out, change, add, and tell each of the others something else. It cannot sign for anyone else.

mod equivocating;
mod invalid;
mod lying;
mod replaying;
mod silent;
mod withholding;

use crate::random::Random;
use hypermesh_bft::{Identity, Message};
use std::fmt;

/// What a liar does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says nothing.
    Silent,
    /// It tells half of the others something else.
    Equivocating,
    /// It proposes blocks and sends nobody their bytes.
    Withholding,
    /// It proposes blocks that are invalid.
    Invalid,
    /// It lies to those who are behind.
    Lying,
    /// It says again what was said before.
    Replaying,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Silent, Self::Equivocating, Self::Withholding, Self::Invalid, Self::Lying, Self::Replaying];

    pub(crate) fn start(self) -> Box<dyn Behaviour> {
        match self {
            Self::Silent => Box::new(silent::Silent),
            Self::Equivocating => Box::<equivocating::Equivocating>::default(),
            Self::Withholding => Box::new(withholding::Withholding),
            Self::Invalid => Box::<invalid::Invalid>::default(),
            Self::Lying => Box::new(lying::Lying),
            Self::Replaying => Box::<replaying::Replaying>::default(),
        }
    }
}

/// A liar: who it is, and how many others there are.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Its key and cluster.
    pub identity: &'a Identity,
    /// Places of all replicas but its own.
    pub others: &'a [usize],
}

/// A way to lie.
pub trait Behaviour: fmt::Debug {
    /// What is sent instead of a message that the engine wants sent to some of the others.
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)>;
}

/// The message to each of those it is meant for.
fn as_it_is(to: &[usize], message: &Message) -> Vec<(usize, Message)> {
    to.iter().map(|place| (*place, message.clone())).collect()
}
