//! What has to be done about a node: what its state is said to be, which taints follow from that, and who has to leave.

use super::dereference::Resident;
use super::validate::Valid;
use super::vigil::Timing;
use super::{AGENT_IS_BACK, HELD, ITS_NODE, NOT_HEARD, NOT_READY, SHORT_OF, UNREACHABLE};
use crate::runtime::Key;
use crate::runtime::conditions::{Condition, Holds};
use crate::scheduler::plan::demand;
use hypermesh_schemas::condition::ConditionStatus;
use hypermesh_schemas::node::{Taint, TaintEffect};
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;

/// What is done about a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What it is said to be.
    pub ready: Option<Condition>,
    /// Whether it is said to be kept from being emptied.
    pub held: Option<Condition>,
    /// Its taints from now on, if they change.
    pub taints: Option<Vec<Taint>>,
    /// Instances of which nobody knows how they are.
    pub unknown: Vec<Resident>,
    /// Instances of which their agent has said again how they are: what was said instead is taken back.
    pub known: Vec<Resident>,
    /// Instances that leave.
    pub evictions: Vec<Eviction>,
    /// When to look again.
    pub again: Duration,
}

/// An instance that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Which.
    pub key: Key,
    /// The very object.
    pub uid: String,
    /// The taint that it does not tolerate, or no longer; `None`: its node is not heard of.
    pub taint: Option<String>,
}

pub(super) fn build(valid: &Valid, timing: &Timing) -> Plan {
    let silent = valid.observed.voice.silent.is_some();
    let mut plan = Plan { again: timing.every, ..Plan::default() };
    if valid.leaving {
        return plan;
    }
    let said_by_us = valid.ready.as_ref().is_some_and(|ready| ready.reason == NOT_HEARD);
    let restored = said_by_us && valid.observed.voice.back.is_some_and(|back| back >= timing.restore);
    if silent && !said_by_us {
        plan.ready = Some(not_heard(valid));
    } else if restored && !silent {
        plan.ready = Some(Condition {
            kind: "Ready",
            status: Holds::True,
            reason: AGENT_IS_BACK.to_owned(),
            message: "its agent is heard of again".to_owned(),
        });
    }
    plan.taints = taints(valid, silent || (said_by_us && !restored));
    plan.held = held(valid, silent);
    if silent {
        let known = valid.observed.residents.iter().filter(|one| one.phase != "Unknown" && !one.leaving);
        plan.unknown = known.cloned().collect();
    } else {
        let retold =
            valid.observed.residents.iter().filter(|one| one.phase != "Unknown" && one.reason == ITS_NODE);
        plan.known = retold.cloned().collect();
    }
    leave(valid, silent, timing, &mut plan);
    plan
}

fn not_heard(valid: &Valid) -> Condition {
    let before = valid.ready.as_ref().map_or_else(String::new, |ready| {
        format!("; before that, Ready was {:?} ({})", ready.status, ready.reason)
    });
    let since = match &valid.observed.heard {
        Some(heard) => format!("its agent was last heard of at {heard}"),
        None => "its agent was never heard of".to_owned(),
    };
    Condition {
        kind: "Ready",
        status: Holds::Unknown,
        reason: NOT_HEARD.to_owned(),
        message: format!("{since}{before}"),
    }
}

/// The taints that the node has to have, if it has others. What a silent node is short of is as it last said.
fn taints(valid: &Valid, unreachable: bool) -> Option<Vec<Taint>> {
    let says_no = valid.ready.as_ref().is_some_and(|ready| ready.status == ConditionStatus::False);
    let alive = [
        (NOT_READY, TaintEffect::NoExecute, says_no && !unreachable),
        (UNREACHABLE, TaintEffect::NoExecute, unreachable),
    ];
    let short = SHORT_OF.map(|(condition, key, effect)| (key, effect, valid.short_of.contains(&condition)));
    let mut taints = valid.taints.clone();
    for (key, effect, wanted) in alive.into_iter().chain(short) {
        let ours = |taint: &Taint| taint.key.as_str() == key && taint.effect == effect;
        let is = taints.iter().any(ours);
        if is && !wanted {
            taints.retain(|taint| !ours(taint));
        } else if !is && wanted {
            taints.extend(super::taint(key, effect));
        }
    }
    (taints != valid.taints).then_some(taints)
}

/// Whether it has to be said, or no longer, that the node is kept from being emptied.
fn held(valid: &Valid, silent: bool) -> Option<Condition> {
    let is = valid.held.as_ref().is_some_and(|held| held.status == ConditionStatus::True);
    match valid.observed.storm {
        Some((many, of)) if silent && !is => Some(Condition {
            kind: HELD,
            status: Holds::True,
            reason: "ManyNodesSilent".to_owned(),
            message: format!(
                "{many} of {of} nodes are not heard of, which is more than half: rather the network than the nodes is \
                 at fault, so their instances are left alone until most nodes are heard of"
            ),
        }),
        _ if is && (!silent || valid.observed.storm.is_none()) => Some(Condition {
            kind: HELD,
            status: Holds::False,
            reason: "MostNodesHeard".to_owned(),
            message: "most nodes are heard of again".to_owned(),
        }),
        _ => None,
    }
}

/// Who has to leave now, and when to look again for the next one.
fn leave(valid: &Valid, silent: bool, timing: &Timing, plan: &mut Plan) {
    let observed = &valid.observed;
    let lasting: Vec<&Taint> =
        valid.taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute).collect();
    let since_ready = since(valid, observed.now);
    for resident in observed.residents.iter().filter(|resident| silent || !resident.leaving) {
        let mut soonest: Option<(Duration, &Taint)> = None;
        for (at, taint) in lasting.iter().enumerate() {
            let seen = observed.tainted.get(at).copied().unwrap_or_default();
            let own = is_ours(taint);
            // A node that is heard of again is about to lose this one.
            if !silent && taint.key.as_str() == UNREACHABLE {
                continue;
            }
            let elapsed = if own { since_ready.max(seen) } else { seen };
            let Some(patience) = patience(resident, taint, timing) else { continue };
            let left = patience.saturating_sub(elapsed);
            if soonest.is_none_or(|(least, _)| left < least) {
                soonest = Some((left, taint));
            }
        }
        let Some((left, taint)) = soonest else { continue };
        if !left.is_zero() {
            plan.again = plan.again.min(left);
            continue;
        }
        if silent && observed.storm.is_some() {
            continue;
        }
        // An agent that is not heard of ends nothing: whatever the reason, nobody is waited for.
        let taint = (!silent).then(|| demand::show(taint));
        plan.evictions.push(Eviction { key: resident.key.clone(), uid: resident.uid.clone(), taint });
    }
}

fn is_ours(taint: &Taint) -> bool {
    matches!(taint.key.as_str(), UNREACHABLE | NOT_READY)
}

/// For how long the node's condition `Ready` has been what it is.
fn since(valid: &Valid, now: Timestamp) -> Duration {
    let since = valid.ready.as_ref().and_then(|ready| ready.last_transition_time.parse::<Timestamp>().ok());
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default()
}

/// For how long an instance tolerates a taint; `None`: for good.
fn patience(resident: &Resident, taint: &Taint, timing: &Timing) -> Option<Duration> {
    let mut about =
        resident.tolerations.iter().filter(|toleration| demand::tolerates(toleration, taint)).peekable();
    if about.peek().is_none() {
        return Some(if is_ours(taint) { timing.patience } else { Duration::ZERO });
    }
    let seconds = about.filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if let Some(ready) = &self.ready {
            let status = if ready.status == Holds::True { "True" } else { "Unknown" };
            words.push(format!("say that Ready is {status}: {}", ready.message));
        }
        if let Some(taints) = &self.taints {
            let taints: Vec<String> = taints.iter().map(demand::show).collect();
            words.push(match taints.is_empty() {
                true => "take the taints away".to_owned(),
                false => format!("set the taints {}", taints.join(", ")),
            });
        }
        if let Some(held) = &self.held {
            words.push(held.message.clone());
        }
        if !self.unknown.is_empty() {
            words.push(format!("say of {} instances that nobody knows how they are", self.unknown.len()));
        }
        if !self.known.is_empty() {
            words.push(format!("take back that nobody knows how {} instances are", self.known.len()));
        }
        if !self.evictions.is_empty() {
            words.push(format!("end {} instances", self.evictions.len()));
        }
        f.write_str(if words.is_empty() { "the node is as it says" } else { "" })?;
        f.write_str(&words.join("; "))
    }
}
