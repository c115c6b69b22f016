//! What an engine keeps has the bounds that it documents, whatever others send.

use super::{Invariant, Observation, Setting};

#[derive(Debug)]
pub(super) struct Bounded {
    validators: usize,
}

impl Bounded {
    pub fn new(setting: &Setting) -> Self {
        Self { validators: setting.validators.validators().len() }
    }
}

impl Invariant for Bounded {
    fn name(&self) -> &'static str {
        "bounded"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Holds { replica, kept } = observation else { return Ok(()) };
        match kept.beyond(self.validators) {
            Some(what) => Err(format!("replica {replica} keeps too many {what}: {kept:?}")),
            None => Ok(()),
        }
    }
}
