//! Schedules: which run is due, and which runs are kept. Pure.
//!
//! A run is a Workload of its own, whose name is made of the minute that it is due in: it is made once, whoever makes
//! it. Of runs that were missed the last one is made up for, and no other.

mod clock;

pub use clock::Clock;

use super::dereference::Observed;
use super::job;
use super::object::{self, Workload};
use super::service::span;
use super::status::Settled;
use super::template;
use crate::runtime::Subject;
use crate::runtime::conditions::{Holds, seconds};
use hypermesh_schemas::workload::WorkloadStatus;
use hypermesh_schemas::workload::job::{Concurrency, Schedule, ScheduleStatus};
use jiff::Timestamp;
use serde_json::Value;
use std::fmt;

/// The label of a run that says whose it is.
pub const SCHEDULE: &str = "hypermesh.online/schedule";
/// The annotation of a run that says what time by the clock it is for.
pub const DUE: &str = "hypermesh.online/scheduled-for";
/// The longest DNS label.
const LABEL: usize = 63;
/// Runs that a status names.
const NAMED: usize = 100;

/// A run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// The very object.
    pub uid: String,
    /// What time by the clock it is for.
    pub due: Timestamp,
    /// Whether it ended well, and when, if it has ended.
    pub ended: Option<(bool, Timestamp)>,
    /// Whether it is being deleted.
    pub leaving: bool,
}

impl Run {
    /// Reads a run; `None` for a Workload that no schedule has made.
    pub fn of(workload: &Workload, _: Timestamp) -> Option<Self> {
        let meta = &workload.metadata;
        let due = meta.annotations.as_ref()?.get(DUE)?.parse().ok()?;
        Some(Self {
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            due,
            ended: workload.status.as_ref().and_then(job::ended),
            leaving: meta.deletion_timestamp.is_some(),
        })
    }

    fn is_active(&self) -> bool {
        self.ended.is_none() && !self.leaving
    }
}

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The run that is made: its name and the object.
    pub create: Option<(String, Value)>,
    /// Runs that are deleted: names and uids.
    pub delete: Vec<(String, String)>,
    /// What was missed, in words.
    pub missed: Option<String>,
    /// When to look again.
    pub again: Option<Timestamp>,
    /// What is told.
    pub status: WorkloadStatus,
}

/// The next step of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The time by the clock for which a run is made.
    pub start: Option<Timestamp>,
    /// Runs that are deleted: names and uids.
    pub delete: Vec<(String, String)>,
    /// A run that is made no more, since it is too late.
    pub missed: Option<Timestamp>,
    /// When the next run is due.
    pub next: Option<Timestamp>,
    /// The time for which a run was last started.
    pub last: Option<Timestamp>,
}

/// The next step. `told` is the time for which a run was last started, as the status has it; `since` is when the schedule
/// was made.
pub fn step(
    schedule: &Schedule,
    clock: &Clock,
    runs: &[Run],
    told: Option<Timestamp>,
    since: Timestamp,
    now: Timestamp,
) -> Step {
    let known = runs.iter().map(|run| run.due).max().max(told);
    let mut step = Step { last: known, ..Step::default() };
    let mut left: Vec<&Run> = runs.iter().filter(|run| !run.leaving).collect();
    if !schedule.suspend {
        step.next = clock.after(now);
        let due = clock.at_or_before(now).filter(|due| *due > known.unwrap_or(since));
        let too_late = |due: &Timestamp| {
            let patience = schedule.starting_deadline.as_ref().map(span);
            patience.is_some_and(|patience| now.duration_since(*due) > patience)
        };
        let running = left.iter().any(|run| run.is_active());
        match due {
            Some(due) if too_late(&due) => step.missed = Some(due),
            Some(_) if running && schedule.concurrency == Concurrency::Forbid => {}
            Some(due) => {
                if schedule.concurrency == Concurrency::Replace {
                    let active = left.iter().filter(|run| run.is_active());
                    step.delete.extend(active.map(|run| (run.name.clone(), run.uid.clone())));
                    left.retain(|run| !run.is_active());
                }
                (step.start, step.last) = (Some(due), Some(due));
            }
            None => {}
        }
    }
    // A run that the status does not know of yet stays: it is what says that it was started.
    left.retain(|run| told.is_some_and(|told| run.due <= told));
    left.sort_by_key(|run| std::cmp::Reverse(run.due));
    for (well, keep) in [(true, schedule.keep_succeeded), (false, schedule.keep_failed)] {
        let of_kind = left.iter().filter(|run| run.ended.is_some_and(|(ok, _)| ok == well));
        let beyond = of_kind.skip(usize::try_from(keep).unwrap_or(usize::MAX));
        step.delete.extend(beyond.map(|run| (run.name.clone(), run.uid.clone())));
    }
    step
}

/// The name of the run of a schedule that is due then. Where a name is too long to stand in it whole, a hash of the
/// schedule's uid tells it from others that begin like it.
pub fn run_name(schedule: &str, uid: &str, due: Timestamp) -> String {
    let minutes = due.as_second().div_euclid(60).to_string();
    let room = LABEL.saturating_sub(minutes.len() + 1);
    if schedule.len() <= room {
        return format!("{schedule}-{minutes}");
    }
    let hash = template::content(&uid.into());
    let head = schedule.get(..room.saturating_sub(hash.len() + 1)).unwrap_or_default();
    format!("{}-{hash}-{minutes}", head.trim_end_matches('-'))
}

pub(super) fn build(
    subject: &Subject<Workload>,
    schedule: &Schedule,
    clock: &Clock,
    observed: &Observed,
) -> Plan {
    let told = subject.object.status.clone().unwrap_or_default();
    let (now, before) = (observed.now, told.schedule.clone().unwrap_or_default());
    let time = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let since = subject.meta().creation_timestamp.as_ref().map_or(now, |time| time.0);
    let step = step(schedule, clock, &observed.runs, time(&before.last_time), since, now);
    let create = step.start.map(|due| {
        let name = run_name(&subject.key.name, object::uid(subject), due);
        let object = object::run(subject, &name, due);
        (name, object)
    });
    let goes = |run: &&Run| step.delete.iter().any(|(_, uid)| *uid == run.uid);
    let mut active: Vec<String> = observed
        .runs
        .iter()
        .filter(|run| run.is_active() && !goes(run))
        .map(|run| run.name.clone())
        .collect();
    active.extend(create.iter().map(|(name, _)| name.clone()));
    active.sort();
    active.dedup();
    active.truncate(NAMED);
    let succeeded =
        observed.runs.iter().filter_map(|run| run.ended.filter(|(ok, _)| *ok)).map(|(_, at)| at).max();
    let zone = &schedule.time_zone;
    let mut settled = Settled::new(&told, subject.meta().generation, now);
    match (schedule.suspend, step.next) {
        (true, _) => settled.set(
            "Ready",
            Holds::True,
            "Suspended",
            "no runs are started: spec.schedule.suspend".into(),
        ),
        (_, Some(next)) => {
            let words = format!("the next run is due at {} ({})", seconds(next), clock.shown(next, zone));
            settled.set("Ready", Holds::True, "Scheduled", words);
        }
        (_, None) => settled.set("Ready", Holds::False, "NeverDue", "no run is due any more".to_owned()),
    }
    let status = WorkloadStatus {
        observed_generation: subject.meta().generation,
        update_revision: Some(observed.revision.clone()),
        schedule: Some(ScheduleStatus {
            last_time: step.last.map(seconds).or_else(|| before.last_time.clone()),
            last_success: succeeded.max(time(&before.last_success)).map(seconds),
            next_time: step.next.map(seconds),
            active,
        }),
        conditions: settled.finish(),
        ..WorkloadStatus::default()
    };
    let missed =
        step.missed.map(|due| format!("the run of {} is left out: it could not start in time", seconds(due)));
    Plan { create, delete: step.delete, missed, again: step.next, status }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schedule = self.status.schedule.clone().unwrap_or_default();
        let next = schedule.next_time.unwrap_or_else(|| "never".to_owned());
        write!(f, "{} runs are active, the next one is due {next}", schedule.active.len())?;
        if let Some((name, _)) = &self.create {
            write!(f, "; start {name}")?;
        }
        if !self.delete.is_empty() {
            write!(f, "; delete {} runs", self.delete.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
