//! Nobody honest is ever accused, and every accusation is proven.

use super::{Invariant, Observation, Setting};

#[derive(Debug)]
pub(super) struct Accused(Setting);

impl Accused {
    pub fn new(setting: &Setting) -> Self {
        Self(setting.clone())
    }
}

impl Invariant for Accused {
    fn name(&self) -> &'static str {
        "accused"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Accused(evidence) = observation else { return Ok(()) };
        let key = evidence.key();
        evidence
            .verify(&self.0.cluster)
            .map_err(|error| format!("{key} is accused by evidence that does not hold: {error}"))?;
        if self.0.liars.contains(&key) { Ok(()) } else { Err(format!("{key} is honest and accused")) }
    }
}
