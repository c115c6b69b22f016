//! Messages by how they travel.
//!
//! What decides a height is small, ordered and urgent. Blocks are large, and can be asked for again. Requests may wait as
//! long as need be, and must not be lost. No class waits for another.

use hypermesh_bft::Message;
use hypermesh_chain::Height;

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Votes, proposals, certificates of votes, heads and questions: one ordered stream each way, before all else.
    Statements,
    /// Blocks, decided or not: a stream each.
    Blocks,
    /// Requests that wait to be ordered: one ordered stream each way, acknowledged.
    Requests,
}

/// What the queue for a peer has to know of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) height: Height,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a round: it stays true, and is said again on a new connection while its height is the newest.
    Round,
    /// How far this replica is: only the newest matters.
    Head,
    /// A question, or an answer to one: whoever asks asks again.
    Question,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Statements, Self::Blocks, Self::Requests];

    /// A message's.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        match message {
            Message::Vote(_)
            | Message::Proposal(_)
            | Message::Polka(_)
            | Message::Round(_)
            | Message::Want { .. }
            | Message::Head { .. }
            | Message::Ask { .. }
            | Message::Probe { .. }
            | Message::Reached { .. }
            | Message::LeftOut { .. } => Self::Statements,
            Message::Block { .. } | Message::Decided(_) => Self::Blocks,
            Message::Requests(_) => Self::Requests,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Statements => "statements",
            Self::Blocks => "blocks",
            Self::Requests => "requests",
        }
    }

    pub(crate) fn place(self) -> usize {
        match self {
            Self::Statements => 0,
            Self::Blocks => 1,
            Self::Requests => 2,
        }
    }
}

impl About {
    /// Of a statement, or of a block, whose height is what it is about; requests are about none.
    pub(crate) fn of(message: &Message) -> Self {
        let (height, kind) = match message {
            Message::Vote(signed) => (signed.vote.height, Kind::Round),
            Message::Proposal(signed) => (signed.proposal.height, Kind::Round),
            Message::Polka(polka) => (polka.height, Kind::Round),
            Message::Round(entry) => (entry.height, Kind::Round),
            Message::Head { height } => (*height, Kind::Head),
            Message::Want { height, .. }
            | Message::Ask { from: height }
            | Message::Probe { height, .. }
            | Message::Reached { height, .. }
            | Message::LeftOut { height, .. } => (*height, Kind::Question),
            Message::Block { height, .. } => (*height, Kind::Round),
            Message::Decided(decided) => {
                let last = decided.last().map_or(Height(0), |decided| decided.certificate.height);
                (last, Kind::Question)
            }
            Message::Requests(_) => (Height(0), Kind::Question),
        };
        Self { height, kind }
    }
}
