//! The deterministic write pipeline: the state machine that every replica runs.
//!
//! What is replicated is the request; every replica executes it here and must come to the same bytes. So this crate
//! imports no clock, randomness, environment, thread or unordered iteration (`clippy.toml` bans them), reads through
//! [`state::StateReader`] only, and counts its budgets in units of work.
//!
//! The way of a request: [`call::Call::decode`] (no state, in parallel) → [`execution::Execution::execute`]
//! (authenticate → authorize → decode, default, merge → validate → check preconditions → store, into an overlay) →
//! [`execution::Execution::finish`] (steps of work that goes on, then the block's effects).

pub mod authn;
pub mod authz;
pub mod call;
pub mod clock;
pub mod entropy;
pub mod execution;
pub mod fault;
pub mod genesis;
mod hook;
pub mod identities;
pub mod judge;
pub mod metadata;
pub mod nodes;
pub mod outcome;
pub mod overlay;
mod pod_security;
pub mod record;
pub mod registry;
pub mod state;
mod stored;
pub mod system;
mod verb;
pub mod view;
pub mod window;
mod work;

pub use call::Call;
pub use execution::{BlockFacts, Derived, Executed, Execution, Refused};
pub use identities::Identities;
pub use nodes::Nodes;
pub use outcome::{Body, Outcome, Remarks};
pub use registry::{Kind, Registry};
pub use state::{ReadError, StateReader};
pub use verb::{check_fields, scale_of, selected_by};
pub use window::Window;
pub use work::{JobError, Stored as StoredJob, decode_job};

/// The version of the rules of this crate. A change of any outcome is a new version; blocks say which one executes
/// them.
pub const PIPELINE_VERSION: u16 = 1;
