//! What is done about a request now, and when to look again.

use super::dereference::Observed;
use super::validate::{Claim, Right, Stage, Valid};
use super::{DECIDED, LOOK, UNDECIDED};
use std::fmt;
use std::time::Duration;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is approved, and this says why.
    Approve(String),
    /// It is denied, and this says why, in one word and in words.
    Deny(&'static str, String),
    /// A person has to decide, and is told why.
    Ask(String),
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
    let Valid { stage, since, leaving, claim, right, observed } = valid;
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
        (Stage::Pending, Some(Err(why))) => Deed::Ask(format!("it is no request of a node: {why}")),
        (Stage::Pending, Some(Ok(claim))) => judge(&claim, right, &observed),
    };
    // What a person is asked may answer itself: a Node goes, a key is registered again.
    let again = if matches!(deed, Deed::Ask(_)) { left.min(LOOK) } else { left };
    Plan { deed, again: Some(again.max(Duration::from_secs(1))) }
}

/// Who may be a node. What may not is denied at once: a request that waited would be answered in other circumstances than
/// those it was made in.
fn judge(claim: &Claim, right: Option<Right>, observed: &Observed) -> Deed {
    let Claim { node, key } = claim;
    let Some(right) = right else {
        return Deed::Ask(
            "who asks has no bootstrap token and is not that node: a person decides".to_owned(),
        );
    };
    if right == Right::Token && !observed.token {
        let why =
            "the bootstrap token that it was asked with counts no more: ask with another one".to_owned();
        return Deed::Deny("TokenGone", why);
    }
    let mine = observed.registered.contains(key);
    let of_node = observed.node.as_ref().filter(|_| !mine);
    if let Some(other) = observed.registered.iter().chain(of_node).find(|holder| *holder != key) {
        let why = format!(
            "the name {node:?} is held by another key, {other}: revoke that key and delete the Node, then ask again; or \
             join by another name"
        );
        return Deed::Deny("NameHeld", why);
    }
    match (right, mine) {
        (_, true) => Deed::Approve(format!("the node {node:?} renews with its own key")),
        (Right::Itself, false) => {
            Deed::Deny("KeyRevoked", format!("its key is not registered for the node {node:?} any more"))
        }
        (Right::Token, false) if of_node.is_some() => Deed::Ask(format!(
            "the Node {node:?} has this key, and the key is not registered: was it revoked? Approve it to let the node in \
             again"
        )),
        (Right::Token, false) => Deed::Approve(format!("nobody else holds the name {node:?}")),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deed {
            Deed::Approve(why) => write!(f, "approve it: {why}"),
            Deed::Deny(_, why) => write!(f, "deny it: {why}"),
            Deed::Ask(why) | Deed::Wait(why) => f.write_str(why),
            Deed::Delete => f.write_str("delete it: it is over, or nobody decided in time"),
        }
    }
}
