//! Where instances go: the seam between what is known and who decides, and who decides today. Pure.
//!
//! A [`Policy`] is asked for one instance at a time and sees the whole [`Snapshot`]. [`pass`] asks it for many, the oldest
//! first, and puts each instance into the snapshot before the next is asked for, so that a pass never promises one place
//! twice. The outcome depends on the state alone: not on the order in which it came to be, and on no clock or chance.

pub mod amounts;
pub mod demand;
pub mod filter;
pub mod node;
mod reason;
mod score;
pub mod snapshot;
#[cfg(test)]
mod tests;

use crate::runtime::Key;
use demand::Demand;
use filter::View;
pub use reason::{Choice, Reason, Refusal, Score};
pub use snapshot::{Instance, Life, Snapshot};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How many of the nodes that would have done as well a choice names.
const OTHERS: usize = 4;

/// Who decides where instances go.
pub trait Policy: Send + Sync + 'static {
    /// Decides for one instance, which has no place yet.
    fn decide(&self, snapshot: &Snapshot, key: &Key, instance: &Instance) -> Decision;
}

/// What was decided for an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes to a node.
    Bind(Choice),
    /// It waits.
    Wait(Arc<Refusal>),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(choice) => choice.fmt(f),
            Self::Wait(refusal) => refusal.fmt(f),
        }
    }
}

/// The best of the nodes that do; among equals, lots are drawn by a hash of instance and node.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestNode;

impl Policy for BestNode {
    fn decide(&self, snapshot: &Snapshot, key: &Key, instance: &Instance) -> Decision {
        let view = View::new(snapshot, instance);
        let (mut fitting, mut refusal) = (Vec::new(), Refusal::default());
        let of = view.candidates().len();
        for candidate in view.candidates() {
            let reasons = view.reasons(candidate);
            if reasons.is_empty() {
                fitting.push((candidate.host, candidate.node));
            } else if fitting.is_empty() {
                refusal.nodes.push((Arc::clone(&candidate.node.name), reasons));
            }
        }
        let mut ranked: Vec<(Score, u64, &Arc<str>)> = score::scores(&view, &fitting)
            .into_iter()
            .zip(&fitting)
            .map(|(score, (_, node))| (score, lot(key, instance, &node.name), &node.name))
            .collect();
        ranked.sort_by(|(a, lot, name), (b, other, another)| {
            b.total.cmp(&a.total).then_with(|| other.cmp(lot)).then_with(|| name.cmp(another))
        });
        let fit = ranked.len();
        let mut ranked = ranked.into_iter().map(|(score, _, name)| (Arc::clone(name), score));
        match ranked.next() {
            Some((node, score)) => {
                Decision::Bind(Choice { node, score, others: ranked.take(OTHERS).collect(), fit, of })
            }
            None => Decision::Wait(Arc::new(refusal)),
        }
    }
}

/// The lot that an instance draws for a node (FNV-1a): the same in every process and every build.
fn lot(key: &Key, instance: &Instance, node: &str) -> u64 {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let parts = [&*instance.uid, namespace, &*key.name, node];
    parts.iter().flat_map(|part| part.bytes().chain([0])).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// By workload and revision: what was asked, and why nothing fits it.
type Refused = HashMap<(Key, Arc<str>), (Arc<Demand>, Arc<Refusal>)>;

/// Decides for `wishes`, the oldest first, and puts into the snapshot what was bound.
///
/// Instances that need others near them, or as many in other groups, are asked for again when something was bound;
/// everything else that waits would go on waiting, since what was bound only took room.
pub fn pass(policy: &dyn Policy, snapshot: &mut Snapshot, wishes: Vec<Key>) -> Vec<(Key, Decision)> {
    let mut wishes: Vec<(Arc<str>, Key)> =
        wishes.into_iter().filter_map(|key| Some((wanting(snapshot, &key)?, key))).collect();
    wishes.sort();
    wishes.dedup();
    let mut decisions = Vec::with_capacity(wishes.len());
    loop {
        let (mut waiting, mut bound) = (Vec::new(), false);
        // Instances that ask the same wait for the same, as long as nothing was bound that one of them could need.
        let mut refused = Refused::new();
        for (age, key) in wishes {
            let Some(instance) = snapshot.instance(&key) else { continue };
            let kind = (instance.workload.clone(), Arc::clone(&instance.revision));
            let demand = Arc::clone(&instance.demand);
            let decision = match refused.get(&kind).filter(|(asked, _)| *asked == demand) {
                Some((_, refusal)) => Decision::Wait(Arc::clone(refusal)),
                None => policy.decide(snapshot, &key, instance),
            };
            match &decision {
                Decision::Bind(choice) => {
                    let node = Arc::clone(&choice.node);
                    snapshot.bind(&key, Some(node));
                    bound = true;
                    decisions.push((key, decision));
                }
                Decision::Wait(refusal) => {
                    refused.insert(kind, (demand, Arc::clone(refusal)));
                    waiting.push((age, key, decision));
                }
            }
        }
        let others_help = |key: &Key| {
            let placement =
                snapshot.instance(key).and_then(|instance| snapshot.placement(&instance.workload));
            placement.is_some_and(|p| !p.spread.is_empty() || p.near.iter().any(|near| near.required))
        };
        if bound && waiting.iter().any(|(_, key, _)| others_help(key)) {
            wishes = waiting.into_iter().map(|(age, key, _)| (age, key)).collect();
            continue;
        }
        decisions.extend(waiting.into_iter().map(|(_, key, decision)| (key, decision)));
        return decisions;
    }
}

/// When the instance was made, if it wants a place.
fn wanting(snapshot: &Snapshot, key: &Key) -> Option<Arc<str>> {
    let instance = snapshot.instance(key)?;
    let wants = instance.node.is_none() && instance.life == Life::Lives;
    wants.then(|| Arc::clone(&instance.created))
}
