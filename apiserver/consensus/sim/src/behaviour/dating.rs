//! Dates its blocks as it likes: far ahead, far behind, and just within what others take, so that honest blocks after its
//! own are early.

use super::Behaviour;
use crate::ledger::MOST_SKEW;
use crate::random::Random;

#[derive(Debug)]
pub(super) struct Dating;

impl Behaviour for Dating {
    fn dates_by(&mut self, random: &mut Random) -> i64 {
        let edge = MOST_SKEW as i64;
        random.one_of([edge - 1, edge / 2, 2 * edge, 1000 * edge, -edge / 2, -2 * edge])
    }
}
