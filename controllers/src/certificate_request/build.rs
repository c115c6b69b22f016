//! What is done about a request now, and when to look again.

use super::validate::{Stage, Valid};
use super::{DECIDED, UNDECIDED};
use std::fmt;
use std::time::Duration;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is approved, and this says why.
    Approve(String),
    /// Nothing, and this says why.
    Wait(String),
    /// It is deleted.
    Delete,
}

/// What is done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What.
    pub deed: Deed,
    /// When to look again.
    pub again: Option<Duration>,
}

pub(super) fn build(valid: Valid) -> Plan {
    let Valid { stage, since, leaving, claim, entitled, observed } = valid;
    if leaving {
        return Plan { deed: Deed::Wait("it is being deleted".to_owned()), again: None };
    }
    let kept = if stage == Stage::Over { DECIDED } else { UNDECIDED };
    let age = Duration::try_from(observed.now.duration_since(since)).unwrap_or_default();
    let Some(left) = kept.checked_sub(age).filter(|left| !left.is_zero()) else {
        return Plan { deed: Deed::Delete, again: None };
    };
    let wait = |why: String| Deed::Wait(why);
    let deed = match (stage, claim) {
        (Stage::Over, _) => wait("it has come to its end".to_owned()),
        (Stage::Approved, _) => wait("it is approved, and its signer has the next word".to_owned()),
        (Stage::Pending, None) => wait("its signer is for people to decide on".to_owned()),
        (Stage::Pending, Some(Err(why))) => wait(format!("it is no request of a node: {why}")),
        (Stage::Pending, Some(Ok(_))) if !entitled => {
            wait("who asks has no bootstrap token and is not that node: a person decides".to_owned())
        }
        (Stage::Pending, Some(Ok(claim))) => match observed.holders.iter().find(|key| **key != claim.key) {
            Some(other) => wait(format!(
                "the name {:?} is held by another key, {other}: delete the Node and revoke the key, or join by another name",
                claim.node
            )),
            None if observed.holders.is_empty() => {
                Deed::Approve(format!("nobody else holds the name {:?}", claim.node))
            }
            None => Deed::Approve(format!("the node {:?} renews with its own key", claim.node)),
        },
    };
    Plan { deed, again: Some(left.max(Duration::from_secs(1))) }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deed {
            Deed::Approve(why) => write!(f, "approve it: {why}"),
            Deed::Wait(why) => f.write_str(why),
            Deed::Delete => f.write_str("delete it: it is over, or nobody decided in time"),
        }
    }
}
