//! Jobs: which instances are still needed, and when the job has ended. Pure.
//!
//! Each instance is counted once, however often it is looked at: the status says which have been, by their ordinals,
//! beside the counts, and both are written at once. An instance that has ended stays until the status that counts it is
//! stored. What is lost before it ended is made again and counts as nothing.

mod counted;

pub use counted::Counted;

use super::dereference::Observed;
use super::member::{Member, Phase};
use super::object::{self, Workload};
use super::rollout::{Removal, Why, rank};
use super::service::{BATCH, Counts, span, trouble};
use super::status::{Settled, selector};
use crate::runtime::Subject;
use crate::runtime::conditions::{Holds, seconds};
use hypermesh_schemas::condition::ConditionStatus;
use hypermesh_schemas::workload::WorkloadStatus;
use hypermesh_schemas::workload::job::{Job, JobStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::fmt;

/// Instances that have ended and were counted are kept, newest first, so that their logs can be read.
const KEPT: usize = 100;
/// The wait after a failure; it doubles with each in a row, up to the other.
const WAIT: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(10), SignedDuration::from_secs(360));

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Instances that are made: names and objects.
    pub create: Vec<(String, Value)>,
    /// Instances that are let go.
    pub delete: Vec<Removal>,
    /// Whether the Workload itself goes: it was kept for as long as it asks for.
    pub expired: bool,
    /// When to look again, if nothing happens before.
    pub again: Option<Timestamp>,
    /// What is told.
    pub status: WorkloadStatus,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Enough instances ended well.
    Complete,
    /// Too many failed.
    BackoffLimitExceeded,
    /// It took too long.
    DeadlineExceeded,
}

/// The next step of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// How many instances are made.
    pub create: u32,
    /// The ordinal of the first of them.
    pub next: u64,
    /// Which instances go.
    pub delete: Vec<Removal>,
    /// When to look again.
    pub again: Option<Timestamp>,
    /// Until when nothing new is begun, since one has failed.
    pub rests_until: Option<Timestamp>,
    /// How far it is.
    pub status: JobStatus,
    /// How it ended, if it has.
    pub end: Option<End>,
}

/// The next step of a job that has not ended before.
pub fn step(job: &Job, told: &JobStatus, members: &[Member], now: Timestamp) -> Step {
    let before = Counted::parse(told.counted.as_deref().unwrap_or_default());
    let mut step = Step { status: told.clone(), ..Step::default() };
    step.count(&before, members);
    let start = told.start_time.as_deref().and_then(|start| start.parse().ok()).unwrap_or(now);
    step.status.start_time = Some(told.start_time.clone().unwrap_or_else(|| seconds(now)));
    let live: Vec<&Member> = members.iter().filter(|member| member.is_live()).collect();
    step.tidy(&before, members);
    let restarts: u32 = live.iter().map(|member| member.restarts).fold(0, u32::saturating_add);
    let deadline =
        job.active_deadline.as_ref().map(|wait| start.checked_add(span(wait)).unwrap_or(Timestamp::MAX));
    step.end = match deadline {
        _ if step.status.succeeded >= job.completions => Some(End::Complete),
        _ if step.status.failed.saturating_add(restarts) > job.backoff_limit => {
            Some(End::BackoffLimitExceeded)
        }
        Some(deadline) if deadline <= now => Some(End::DeadlineExceeded),
        _ => None,
    };
    let mut active = u32::try_from(live.len()).unwrap_or(u32::MAX);
    let wanted = match step.end {
        Some(_) => 0,
        None => job.parallelism.min(job.completions.saturating_sub(step.status.succeeded)),
    };
    if step.end.is_some() {
        step.status.completion_time = Some(seconds(now));
    } else if let Some(deadline) = deadline {
        step.look_at(deadline);
    }
    if active > wanted {
        let mut live = live;
        rank(&mut live, Member::is_ready);
        let surplus = usize::try_from(active - wanted).unwrap_or(usize::MAX);
        step.delete.extend(live.into_iter().take(surplus).map(|member| Removal::of(member, Why::Surplus)));
        active = wanted;
    } else if active < wanted {
        match wait(members).filter(|until| *until > now) {
            Some(until) => {
                step.rests_until = Some(until);
                step.look_at(until);
            }
            None => step.create = wanted - active,
        }
    }
    step.status.active = active.saturating_add(step.create);
    step
}

impl Step {
    fn look_at(&mut self, at: Timestamp) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    /// Counts those that have ended and were not counted before.
    fn count(&mut self, before: &Counted, members: &[Member]) {
        let mut counted = before.clone();
        // One that was told to go did not fail by itself.
        let counts = |member: &&Member| match member.phase {
            Phase::Failed(_) => !member.leaving,
            _ => member.has_ended(),
        };
        for member in members.iter().filter(counts) {
            if counted.insert(member.ordinal) {
                match member.phase {
                    Phase::Succeeded(_) => self.status.succeeded = self.status.succeeded.saturating_add(1),
                    _ => self.status.failed = self.status.failed.saturating_add(1),
                }
            }
        }
        let newest = members.iter().map(|member| member.ordinal).max();
        self.next = newest.max(counted.last()).map_or(0, |last| last.saturating_add(1));
        self.status.counted = (!counted.is_empty()).then(|| counted.to_string());
    }

    /// Lets those go whose count is stored, but for the newest.
    fn tidy(&mut self, before: &Counted, members: &[Member]) {
        let stored =
            |member: &&Member| member.has_ended() && !member.leaving && before.contains(member.ordinal);
        let mut ended: Vec<&Member> = members.iter().filter(stored).collect();
        ended.sort_by_key(|member| (std::cmp::Reverse(member.ended_at()), member.ordinal));
        self.delete.extend(ended.into_iter().skip(KEPT).map(|member| Removal::of(member, Why::Ended)));
    }
}

/// Until when the next instance waits: longer for each failure since the last success.
fn wait(members: &[Member]) -> Option<Timestamp> {
    let mut ends: Vec<(Timestamp, bool)> = members
        .iter()
        .filter(|member| !member.leaving)
        .filter_map(|member| Some((member.ended_at()?, matches!(member.phase, Phase::Failed(_)))))
        .collect();
    ends.sort_by_key(|(at, failed)| (std::cmp::Reverse(*at), !failed));
    let failures = ends.iter().take_while(|(_, failed)| *failed).count();
    let (last, _) = ends.first().filter(|(_, failed)| *failed)?;
    let factor = 1_i32 << failures.saturating_sub(1).min(16);
    let wait = WAIT.0.checked_mul(factor).unwrap_or(WAIT.1).min(WAIT.1);
    last.checked_add(wait).ok()
}

/// Whether a status tells that the job has ended, and when.
pub fn ended(status: &WorkloadStatus) -> Option<(bool, Timestamp)> {
    let told = |kind: &str| {
        let mut all = status.conditions.iter();
        all.any(|condition| condition.kind == kind && condition.status == ConditionStatus::True)
    };
    let at = status.job.as_ref()?.completion_time.as_ref()?.parse().ok()?;
    match (told("Complete"), told("Failed")) {
        (true, _) => Some((true, at)),
        (_, true) => Some((false, at)),
        _ => None,
    }
}

pub(super) fn build(subject: &Subject<Workload>, job: &Job, observed: &Observed) -> Plan {
    let told = subject.object.status.clone().unwrap_or_default();
    let now = observed.now;
    if let Some((_, at)) = ended(&told) {
        return after(subject, job, told, at, observed);
    }
    let step = step(job, &told.job.clone().unwrap_or_default(), &observed.members, now);
    let made_of = &subject.object.spec.template;
    let count = usize::try_from(step.create).unwrap_or(BATCH).min(BATCH);
    let create: Vec<(String, Value)> = (step.next..)
        .take(count)
        .map(|ordinal| object::instance(subject, &observed.revision, made_of, ordinal))
        .collect();
    let mut settled = Settled::new(&told, subject.meta().generation, now);
    let mut summary = summary(job, &step.status);
    let (holds, reason) = match step.end {
        Some(End::Complete) => {
            settled.set("Complete", Holds::True, "CompletionsReached", summary.clone());
            (Holds::True, "Complete")
        }
        Some(End::BackoffLimitExceeded) => {
            let words = format!("{summary}; more than {} failed", job.backoff_limit);
            settled.set("Failed", Holds::True, "BackoffLimitExceeded", words);
            (Holds::False, "BackoffLimitExceeded")
        }
        Some(End::DeadlineExceeded) => {
            let limit = job.active_deadline.as_ref().map(ToString::to_string).unwrap_or_default();
            settled.set(
                "Failed",
                Holds::True,
                "DeadlineExceeded",
                format!("{summary}; it took longer than {limit}"),
            );
            (Holds::False, "DeadlineExceeded")
        }
        None => {
            let (mut reason, trouble) = held_up(&observed.members, &observed.revision);
            if !trouble.is_empty() {
                summary = format!("{summary}; {trouble}");
            }
            if let Some(until) = step.rests_until.filter(|_| step.status.active == 0) {
                reason = "BackingOff";
                summary = format!("{summary}; the next one begins at {}", seconds(until));
            }
            (Holds::False, reason)
        }
    };
    settled.set("Ready", holds, reason, summary);
    let mut again = step.again;
    if create.len() >= BATCH {
        again = Some(now);
    }
    if let (Some(_), Some(keep)) = (step.end, &job.keep_after_end) {
        again = again.max(now.checked_add(span(keep)).ok());
    }
    let status = tell(subject, &told, observed, step.status, settled);
    Plan { create, delete: step.delete, expired: false, again, status }
}

/// What is done about a job that has ended: what still runs is let go, and the Workload after it was kept long enough.
fn after(
    subject: &Subject<Workload>,
    job: &Job,
    told: WorkloadStatus,
    at: Timestamp,
    observed: &Observed,
) -> Plan {
    let live = observed.members.iter().filter(|member| member.is_live());
    let delete = live.map(|member| Removal::of(member, Why::Surplus)).collect();
    let until = job.keep_after_end.as_ref().and_then(|keep| at.checked_add(span(keep)).ok());
    let mut settled = Settled::new(&told, subject.meta().generation, observed.now);
    for condition in &told.conditions {
        let holds = match condition.status {
            ConditionStatus::True => Holds::True,
            ConditionStatus::False => Holds::False,
            ConditionStatus::Unknown => Holds::Unknown,
        };
        if let Some(kind) = ["Complete", "Failed", "Ready"].into_iter().find(|kind| condition.kind == *kind) {
            settled.set(kind, holds, &condition.reason, condition.message.clone());
        }
    }
    let mut job = told.job.clone().unwrap_or_default();
    job.active = 0;
    let status = tell(subject, &told, observed, job, settled);
    let expired = until.is_some_and(|until| until <= observed.now);
    Plan { create: Vec::new(), delete, expired, again: until, status }
}

fn tell(
    subject: &Subject<Workload>,
    told: &WorkloadStatus,
    observed: &Observed,
    job: JobStatus,
    settled: Settled<'_>,
) -> WorkloadStatus {
    let counts = Counts::of(&observed.members, &observed.revision, SignedDuration::ZERO, observed.now);
    WorkloadStatus {
        observed_generation: subject.meta().generation,
        replicas: Some(counts.live),
        updated_replicas: Some(counts.updated),
        ready_replicas: Some(counts.ready),
        available_replicas: Some(counts.available),
        selector: Some(selector(&subject.key.name)),
        current_revision: None,
        update_revision: Some(observed.revision.clone()),
        collision_count: told.collision_count,
        job: Some(job),
        schedule: None,
        conditions: settled.finish(),
    }
}

/// Why a job that has not ended does not get on, in a word and in words: nothing runs where no node has been found.
fn held_up(members: &[Member], revision: &str) -> (&'static str, String) {
    let mut live = members.iter().filter(|member| member.is_live()).peekable();
    let waits = live.peek().is_some() && live.all(|member| member.node.is_none());
    (if waits { "Unschedulable" } else { "Running" }, trouble(members, revision))
}

fn summary(job: &Job, status: &JobStatus) -> String {
    format!(
        "{} of {} instances have ended well, {} have failed",
        status.succeeded, job.completions, status.failed
    )
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.expired {
            return f.write_str("the job has ended and was kept for as long as it asks for: delete it");
        }
        let job = self.status.job.clone().unwrap_or_default();
        let (succeeded, failed, active) = (job.succeeded, job.failed, job.active);
        write!(f, "{succeeded} instances have ended well, {failed} have failed, {active} are active")?;
        if !self.create.is_empty() {
            write!(f, "; make {} instances", self.create.len())?;
        }
        if !self.delete.is_empty() {
            write!(f, "; let {} instances go", self.delete.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
