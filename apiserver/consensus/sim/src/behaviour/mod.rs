//! What replicas do that an adversary controls, one behaviour a file.
//!
//! A liar runs the same engine as everyone else, with its own key. What it proposes is composed by its behaviour, and what
//! it sends passes through it, which may leave out, change, add, and tell each of the others something else. It hears all
//! that the replica hears. It cannot sign for anyone else.

mod censoring;
mod dating;
mod equivocating;
mod flooding;
mod forgetful;
mod forging;
mod garbling;
mod invalid;
mod lying;
mod replaying;
mod silent;
mod sparing;
mod unauthorized;
mod withholding;

use crate::random::Random;
use hypermesh_bft::{Identity, Message};
use hypermesh_chain::request::Request;
use std::fmt;

/// The numbers of what liars make up begin here: no client uses them.
const MADE_UP: u64 = 1 << 32;

/// What a liar does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says nothing.
    Silent,
    /// It tells half of the others something else.
    Equivocating,
    /// It proposes blocks and sends nobody their bytes.
    Withholding,
    /// It sends what it proposes, and its votes, to just as many as a quorum needs.
    Sparing,
    /// It proposes blocks whose headers are wrong.
    Invalid,
    /// It proposes what nobody asked for, and what was ordered before.
    Unauthorized,
    /// It vouches for what only an administrator may write.
    Forging,
    /// It leaves out what one client asks for.
    Censoring,
    /// It dates its blocks as it likes.
    Dating,
    /// It lies to those who are behind.
    Lying,
    /// It makes up certificates out of the votes that it hears.
    Garbling,
    /// It says again what was said before, by itself and by others.
    Replaying,
    /// It says very much, about heights and rounds that are far.
    Flooding,
    /// It forgets at every crash what it has said and why.
    Forgetful,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Silent,
        Self::Equivocating,
        Self::Withholding,
        Self::Sparing,
        Self::Invalid,
        Self::Unauthorized,
        Self::Forging,
        Self::Censoring,
        Self::Dating,
        Self::Lying,
        Self::Garbling,
        Self::Replaying,
        Self::Flooding,
        Self::Forgetful,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Equivocating => "equivocating",
            Self::Withholding => "withholding",
            Self::Sparing => "sparing",
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forging => "forging",
            Self::Censoring => "censoring",
            Self::Dating => "dating",
            Self::Lying => "lying",
            Self::Garbling => "garbling",
            Self::Replaying => "replaying",
            Self::Flooding => "flooding",
            Self::Forgetful => "forgetful",
        }
    }

    pub(crate) fn start(self) -> Box<dyn Behaviour> {
        match self {
            Self::Silent => Box::new(silent::Silent),
            Self::Equivocating => Box::<equivocating::Equivocating>::default(),
            Self::Withholding => Box::new(withholding::Withholding),
            Self::Sparing => Box::new(sparing::Sparing),
            Self::Invalid => Box::<invalid::Invalid>::default(),
            Self::Unauthorized => Box::<unauthorized::Unauthorized>::default(),
            Self::Forging => Box::new(forging::Forging),
            Self::Censoring => Box::new(censoring::Censoring),
            Self::Dating => Box::new(dating::Dating),
            Self::Lying => Box::new(lying::Lying),
            Self::Garbling => Box::<garbling::Garbling>::default(),
            Self::Replaying => Box::<replaying::Replaying>::default(),
            Self::Flooding => Box::new(flooding::Flooding),
            Self::Forgetful => Box::new(forgetful::Forgetful),
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

/// A way to lie. What it does not say is done as an honest replica would.
pub trait Behaviour: fmt::Debug {
    /// What is sent instead of a message that the engine wants sent to some of the others.
    fn send(
        &mut self,
        _actor: Actor<'_>,
        to: &[usize],
        message: Message,
        _random: &mut Random,
    ) -> Vec<(usize, Message)> {
        as_it_is(to, &message)
    }

    /// What is proposed where these requests wait.
    fn compose(&mut self, _actor: Actor<'_>, waiting: Vec<Request>, _random: &mut Random) -> Vec<Request> {
        waiting
    }

    /// By how much its blocks are dated wrong, in microseconds.
    fn dates_by(&mut self, _random: &mut Random) -> i64 {
        0
    }

    /// Hears what the replica is told.
    fn hear(&mut self, _actor: Actor<'_>, _message: &Message) {}

    /// Whether it knows after a crash what it has said before.
    fn remembers(&self) -> bool {
        true
    }
}

/// The message to each of those it is meant for.
fn as_it_is(to: &[usize], message: &Message) -> Vec<(usize, Message)> {
    to.iter().map(|place| (*place, message.clone())).collect()
}
