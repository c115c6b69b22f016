//! Once the troubles are over, every client is answered in time and every honest replica has every block: a run ends when
//! all is well, or when somebody has waited too long.

use super::{Invariant, Observation};

#[derive(Debug)]
pub(super) struct Liveness;

impl Invariant for Liveness {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Ended { unanswered, heights } = observation else { return Ok(()) };
        let level = heights.iter().min() == heights.iter().max();
        if *unanswered == 0 && level {
            return Ok(());
        }
        Err(format!("{unanswered} requests are unanswered, and the honest replicas are at {heights:?}"))
    }
}
