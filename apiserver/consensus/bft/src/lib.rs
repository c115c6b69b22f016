//! Byzantine fault tolerant replication: Tendermint over blocks, as a machine of steps.
//!
//! [`Engine`] is one replica of a group. Events go in, actions come out, in the order in which they must be done; whoever
//! drives it owns the clock, the network, the log and the state machine. With n = 3f+1 replicas of equal power, f of them
//! may do whatever they like: no two honest replicas keep different blocks at one height, and heights go on.
//!
//! The rounds are those of Tendermint (Buchman, Kwon, Milosevic, 2018), by `malachitebft-core-consensus`. What is agreed
//! on is a block's id; a block is executed before it is voted for, and its header names the state after it. Around the
//! core stands what a core does not do: blocks are spread and asked for, heights begin when there is something to decide,
//! what is said is logged first and said once, replicas that are behind catch up, and what others send is bounded.
//!
//! - [`message`]: what replicas say to each other.
//! - [`entry`]: what is logged.
//! - [`event`]: what goes in and comes out.
//! - [`timing`]: how long others are waited for.
//!
//! Everything here is a function of what goes in: no clock, no randomness, no thread, no file, no socket.

mod certify;
mod context;
mod core;
mod engine;
pub mod entry;
pub mod event;
pub mod message;
mod signer;
pub mod timing;
mod translate;

pub use certify::Flaw;
pub use context::{Members, MembersError};
pub use core::CoreError;
pub use engine::{Engine, EngineError, Kept};
pub use event::{Action, Event, Head, Timer, To};
pub use message::Message;
pub use signer::{Contradiction, Identity};
pub use timing::Timing;
