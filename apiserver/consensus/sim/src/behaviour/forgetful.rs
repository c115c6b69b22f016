//! Forgets at every crash what it has said and why, and votes on: it runs the honest code with a disk that keeps nothing
//! of its log.

use super::Behaviour;

#[derive(Debug)]
pub(super) struct Forgetful;

impl Behaviour for Forgetful {
    fn remembers(&self) -> bool {
        false
    }
}
