//! A block's time is near that of honest clocks: no further ahead, when it is kept, and no further behind, when an honest
//! replica votes for it first, than a clock may be off and a judge takes.

use super::{Invariant, Observation, Setting};
use crate::ledger::MOST_SKEW;
use hypermesh_bft::Message;
use hypermesh_chain::Hash;
use std::collections::BTreeMap;

/// Between judging a block and voting for it, a log is flushed: so long at most, in microseconds.
const FLUSH: u64 = 5_000_000;

#[derive(Debug)]
pub(super) struct Dated {
    setting: Setting,
    /// When an honest replica voted for a block first.
    voted: BTreeMap<Hash, u64>,
}

impl Dated {
    pub fn new(setting: &Setting) -> Self {
        Self { setting: setting.clone(), voted: BTreeMap::new() }
    }
}

impl Invariant for Dated {
    fn name(&self) -> &'static str {
        "dated"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Said { key, message: Message::Vote(signed), clock } if signed.voter == *key => {
                // Whose clock is wrong proposes blocks that others do not take, and votes for them itself.
                if let Some(block) = signed.vote.block
                    && self.setting.wrong_clock != Some(*key)
                {
                    self.voted.entry(block).or_insert(*clock);
                }
                Ok(())
            }
            Observation::Kept { replica, id, block, clock, .. } => {
                let time = block.header.time.0;
                let most = MOST_SKEW + self.setting.skew;
                if time > clock + most {
                    let early = time - clock;
                    return Err(format!("replica {replica} keeps {id}, dated {early} µs ahead"));
                }
                match self.voted.get(id) {
                    Some(voted) if time + most + FLUSH < *voted => {
                        let late = voted - time;
                        Err(format!(
                            "replica {replica} keeps {id}, dated {late} µs before anybody voted for it"
                        ))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
