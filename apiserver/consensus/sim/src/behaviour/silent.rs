//! Says nothing: a replica that is dead and looks alive.

use super::{Actor, Behaviour};
use crate::random::Random;
use hypermesh_bft::Message;

#[derive(Debug)]
pub(super) struct Silent;

impl Behaviour for Silent {
    fn send(&mut self, _: Actor<'_>, _: &[usize], _: Message, _: &mut Random) -> Vec<(usize, Message)> {
        Vec::new()
    }
}
