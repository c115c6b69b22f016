//! The next step of a rollout, or of keeping what there is. Pure: the time is an argument.

use super::rank::rank;
use super::{Wanted, Way};
use crate::workload::member::{Member, Phase};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Instances that have ended are kept, for people to look at, so many and so long.
const KEPT: (usize, SignedDuration) = (6, SignedDuration::from_secs(3600));
/// An instance that ended sooner than this after it was made failed quickly.
const QUICK: SignedDuration = SignedDuration::from_secs(120);
/// Replacements of what fails quickly wait for this, twice as long for each, and at most for the other.
const WAIT: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(10), SignedDuration::from_secs(300));
/// Quick failures are forgotten after this.
const MEMORY: SignedDuration = SignedDuration::from_secs(600);

/// What is done next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many instances of which revision are made.
    pub create: Vec<(String, u32)>,
    /// Which instances go.
    pub delete: Vec<Removal>,
    /// When to look again, if nothing happens before.
    pub again: Option<Timestamp>,
    /// Whether what fails quickly is waited for before it is made again.
    pub held: bool,
}

/// An instance that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its name.
    pub name: String,
    /// The very object.
    pub uid: String,
    /// Why.
    pub why: Why,
}

/// Why an instance goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// There are more than wanted.
    Surplus,
    /// It has an old template.
    Outdated,
    /// It has ended, and was kept for long enough.
    Ended,
}

impl Removal {
    /// `member` goes.
    pub fn of(member: &Member, why: Why) -> Self {
        Self { name: member.name.clone(), uid: member.uid.clone(), why }
    }
}

/// The next step.
pub fn plan(wanted: &Wanted, members: &[Member], now: Timestamp) -> Plan {
    let mut step = Step { wanted, members, now, plan: Plan::default() };
    let live: Vec<&Member> = members.iter().filter(|member| member.is_live()).collect();
    step.ended();
    match wanted.way {
        _ if wanted.paused => step.paused(&live),
        Way::Recreate => step.recreate(&live),
        Way::Rolling { surge, .. } => step.rolling(&live, surge),
    }
    step.hold();
    step.plan.create.retain(|(_, count)| *count > 0);
    step.plan
}

struct Step<'a> {
    wanted: &'a Wanted,
    members: &'a [Member],
    now: Timestamp,
    plan: Plan,
}

fn count(members: &[&Member]) -> u32 {
    u32::try_from(members.len()).unwrap_or(u32::MAX)
}

fn first(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Step<'_> {
    fn look_at(&mut self, at: Timestamp) {
        self.plan.again = Some(self.plan.again.map_or(at, |again| again.min(at)));
    }

    fn create(&mut self, revision: &str, count: u32) {
        self.plan.create.push((revision.to_owned(), count));
    }

    /// The first `count` of those given go, worst first.
    fn let_go(&mut self, mut members: Vec<&Member>, count: u32, why: Why) -> u32 {
        rank(&mut members, |member| self.is_available(member));
        let going = members.iter().take(first(count)).map(|member| Removal::of(member, why));
        let before = self.plan.delete.len();
        self.plan.delete.extend(going);
        u32::try_from(self.plan.delete.len() - before).unwrap_or(u32::MAX)
    }

    /// How many are available; those that will be are looked at then.
    fn available(&mut self, members: &[&Member]) -> u32 {
        let mut available = 0;
        for at in members.iter().filter_map(|member| member.available_at(self.wanted.min_ready)) {
            if at <= self.now {
                available += 1;
            } else {
                self.look_at(at);
            }
        }
        available
    }

    fn is_available(&self, member: &Member) -> bool {
        member.available_at(self.wanted.min_ready).is_some_and(|at| at <= self.now)
    }

    /// Instances that have ended stay a while.
    fn ended(&mut self) {
        let mut ended: Vec<(Timestamp, &Member)> = self
            .members
            .iter()
            .filter(|member| !member.leaving)
            .filter_map(|member| Some((member.ended_at()?, member)))
            .collect();
        ended.sort_by_key(|(at, member)| (std::cmp::Reverse(*at), &member.name));
        for (position, (at, member)) in ended.into_iter().enumerate() {
            let until = at.checked_add(KEPT.1).unwrap_or(Timestamp::MAX);
            if position >= KEPT.0 || until <= self.now {
                self.plan.delete.push(Removal::of(member, Why::Ended));
            } else {
                self.look_at(until);
            }
        }
    }

    /// What fails quickly is made again later and later.
    fn hold(&mut self) {
        let now = self.now;
        for at in 0..self.plan.create.len() {
            let Some((revision, wanted)) = self.plan.create.get(at).cloned() else { continue };
            let quick = |member: &&Member| {
                let Phase::Failed(ended) = member.phase else { return false };
                member.revision == revision
                    && ended.duration_since(member.created) < QUICK
                    && now.duration_since(ended) < MEMORY
            };
            let failures: Vec<Timestamp> =
                self.members.iter().filter(quick).filter_map(Member::ended_at).collect();
            let (Some(last), true) = (failures.iter().max(), wanted > 0) else { continue };
            // The first one is made again at once.
            let Some(doubled) = failures.len().checked_sub(2) else { continue };
            let factor = 1_i32 << doubled.min(16);
            let wait = WAIT.0.checked_mul(factor).unwrap_or(WAIT.1).min(WAIT.1);
            let until = last.checked_add(wait).unwrap_or(Timestamp::MAX);
            if until > now {
                self.plan.held = true;
                self.look_at(until);
                if let Some((_, count)) = self.plan.create.get_mut(at) {
                    *count = 0;
                }
            }
        }
    }

    /// All stays as it is but for what is missing, or more than may be.
    fn paused(&mut self, live: &[&Member]) {
        let replicas = self.wanted.replicas;
        self.available(live);
        let mixed =
            live.iter().any(|member| live.first().is_some_and(|other| other.revision != member.revision));
        let most = match self.wanted.way {
            // In the middle of a rollout its surge stays.
            Way::Rolling { surge, .. } if mixed && replicas > 0 => replicas.saturating_add(surge),
            _ => replicas,
        };
        let total = count(live);
        if total > most {
            self.let_go(live.to_vec(), total - most, Why::Surplus);
        } else if total < replicas
            && let Some(revision) = self.revision_while_paused(live, mixed)
        {
            self.create(&revision, replicas - total);
        }
    }

    /// What is made while a changed template waits: more of what there is. Nothing, if there never was anything.
    fn revision_while_paused(&self, live: &[&Member], mixed: bool) -> Option<String> {
        if let (Some(only), false) = (live.first(), mixed) {
            return Some(only.revision.clone());
        }
        if let Some(before) = &self.wanted.before {
            return Some(before.clone());
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members {
            *counts.entry(&member.revision).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(revision, _)| revision.to_owned())
    }

    fn recreate(&mut self, live: &[&Member]) {
        let replicas = self.wanted.replicas;
        let (new, old): (Vec<&Member>, Vec<&Member>) =
            live.iter().partition(|member| member.revision == self.wanted.revision);
        self.available(&new);
        let still = |member: &&Member| member.revision != self.wanted.revision && !member.has_ended();
        let waits = self.members.iter().any(|member| still(&member));
        self.let_go(old, u32::MAX, Why::Outdated);
        let there = count(&new);
        if there > replicas {
            self.let_go(new, there - replicas, Why::Surplus);
        } else if !waits {
            self.create(&self.wanted.revision.clone(), replicas - there);
        }
    }

    fn rolling(&mut self, live: &[&Member], surge: u32) {
        let (wanted, replicas) = (self.wanted, self.wanted.replicas);
        let (mut new, old): (Vec<&Member>, Vec<&Member>) =
            live.iter().partition(|member| member.revision == wanted.revision);
        if count(&new) > replicas {
            rank(&mut new, |member| self.is_available(member));
            let surplus = new.len().saturating_sub(first(replicas));
            self.plan.delete.extend(new.drain(..surplus).map(|member| Removal::of(member, Why::Surplus)));
        }
        let least = wanted.way.least(replicas);
        let most = replicas.saturating_add(surge);
        let (new_available, old_available) = (self.available(&new), self.available(&old));
        let unproven = count(&new) - new_available;

        // Old ones go for as long as enough of the others are proven.
        let (well, ill): (Vec<&Member>, Vec<&Member>) =
            old.iter().partition(|member| self.is_available(member));
        let mut spare = (count(&new) + count(&old)).saturating_sub(least.saturating_add(unproven));
        let mut gone = self.let_go(ill, spare, Why::Outdated);
        spare -= gone;
        let dispensable = (new_available + old_available).saturating_sub(least).min(spare);
        gone += self.let_go(well, dispensable, Why::Outdated);
        let old_left = count(&old) - gone;

        // After fewer are wanted, new ones that prove nothing may be in the way.
        let there = old_left + count(&new);
        let mut new_left = count(&new);
        if there > most {
            let idle: Vec<&Member> =
                new.iter().copied().filter(|member| !self.is_available(member)).collect();
            new_left -= self.let_go(idle, there - most, Why::Surplus);
        }

        let mut room = most.saturating_sub(old_left + new_left);
        if let Some(before) = &wanted.before {
            let gap = least.saturating_sub(old_left + new_available).min(room);
            self.create(before, gap);
            room -= gap;
        }
        self.create(&wanted.revision, replicas.saturating_sub(new_left).min(room));
    }
}
