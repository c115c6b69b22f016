//! What a request would come to by itself, on a state that is kept.
//!
//! Refusals, dry runs and writes that change nothing are answered like this and never ordered. What it says is as fresh as
//! the state: whoever answers a client by it sees to it that the state holds all that was acknowledged before the request.

use hypermesh_chain::{Hash, Height, Revision, Timestamp};
use hypermesh_pipeline::{BlockFacts, Call, Derived, Execution, Outcome, ReadError, StateReader, Window};

/// A state that is kept.
pub(crate) struct State<'a, R> {
    pub base: &'a R,
    pub revision: Revision,
    pub derived: &'a Derived,
    pub cluster: Hash,
    pub height: Height,
    pub time: Timestamp,
}

/// Executes a request over a state, in a block of its own that is not kept. The block is dated as early as it can be:
/// what has expired in it, has expired in every block that is still to come.
pub(crate) fn evaluate<R: StateReader>(
    state: &State<'_, R>,
    window: &Window,
    call: Call,
    now: Timestamp,
) -> Result<Outcome, ReadError> {
    let earliest = state.time.0.saturating_add(1);
    let time = Timestamp(earliest.max(now.0.min(call.authority.made().0)));
    let height = Height(state.height.0.saturating_add(1));
    let facts = BlockFacts { cluster: state.cluster, height, time };
    let mut execution = Execution::begin(state.base, state.revision, state.derived.clone(), window, facts);
    execution.execute(call)
}
