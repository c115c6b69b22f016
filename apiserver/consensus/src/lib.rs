//! What a replication engine asks of a state machine, and the engine of one replica.
//!
//! The seam has ABCI++'s shape (Tendermint's application interface): the engine decides which block comes next, the
//! state machine makes, judges and keeps blocks. Neither knows the other's inside: an engine sees headers, blocks and
//! certificates, never an object; a state machine sees no vote, round or peer.
//!
//! Rules for both sides:
//! - One height is in the making at a time. Several blocks of it may be known at once, told apart by their ids.
//! - A verdict on a block does not change: a block that is proposed again is judged as it was.
//! - What [`StateMachine::commit`] has answered is durable. An error of it stops the replica.

pub mod machine;
pub mod solo;

pub use machine::{Attestation, Limits, Proposal, StateMachine, Verdict};
pub use solo::Solo;
