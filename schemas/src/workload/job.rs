//! Jobs: instances that run to completion, once or by the clock.

use crate::value::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes a Workload run to completion: a number of its instances must end well, after which none is started again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// How many instances must end well.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub completions: u32,
    /// How many instances run side by side.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub parallelism: u32,
    /// How many instances may fail before the job has failed. Failures are waited for longer and longer.
    #[serde(default = "six")]
    #[schemars(range(min = 0, max = 10_000))]
    pub backoff_limit: u32,
    /// How long the job may take from its start; left out: as long as it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline: Option<Duration>,
    /// How long the Workload is kept after the job has ended; left out: until somebody deletes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_after_end: Option<Duration>,
}

fn one() -> u32 {
    1
}

fn six() -> u32 {
    6
}

/// Runs the job by the clock: each time a Workload of its own, owned by this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When: minute, hour, day of month, month and day of week as crontab(5) has them, or `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@yearly`.
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [{
        "rule": "!self.contains('TZ=')",
        "message": "the time zone is a field of its own: schedule.timeZone",
    }, {
        "rule": format!("self.contains('TZ=') || self.matches('{}')", crontab()),
        "message": "there are five fields, minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day of week (0-7), as in \"30 3 * * 1-5\", or one of @hourly, @daily, @weekly, @monthly, @yearly",
    }]))]
    pub cron: String,
    /// The time zone that `cron` is read in, by its name in the IANA database (`Europe/Zurich`).
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: String,
    /// What happens when the last run has not ended yet.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// How late a run may start that was missed; left out: however late, the last missed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_deadline: Option<Duration>,
    /// Whether no new runs are started.
    #[serde(default)]
    pub suspend: bool,
    /// How many runs that ended well are kept.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    pub keep_succeeded: u32,
    /// How many runs that failed are kept.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub keep_failed: u32,
}

/// What every schedule that can be read looks like: RE2 without backslashes. Which of them never comes, such as the 30th
/// of February, is for the controller to say.
fn crontab() -> String {
    let list = |value: &str, others: &str| {
        let item = format!("(?:[*]|(?:{value})(?:-(?:{value}))?)(?:/0*[1-9][0-9]*)?{others}");
        format!("(?:{item})(?:,(?:{item}))*")
    };
    let day = "0?[1-9]|[12][0-9]|3[01]";
    let weekday = "0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT";
    let fields = [
        list("[0-5]?[0-9]", ""),
        list("[01]?[0-9]|2[0-3]", ""),
        list(day, &format!("|[?]|LW?|(?:{day})W")),
        list("0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC", ""),
        format!("[+]?{}", list(weekday, &format!("|[?]|(?:{weekday})(?:#[1-5L]|L)"))),
    ];
    let named = "@(?:hourly|daily|weekly|monthly|yearly|annually)";
    format!("(?i)^[[:space:]]*(?:{named}|{})[[:space:]]*$", fields.join("[[:space:]]+"))
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

fn three() -> u32 {
    3
}

/// What happens when the last run of a schedule has not ended yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Concurrency {
    /// They run side by side.
    #[default]
    Allow,
    /// The new run is left out.
    Forbid,
    /// The old run is ended first.
    Replace,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// How many instances run or are about to.
    #[serde(default)]
    pub active: u32,
    /// How many have ended well.
    #[serde(default)]
    pub succeeded: u32,
    /// How many have failed.
    #[serde(default)]
    pub failed: u32,
    /// Which instances these counts are about, by their ordinals: `0-4,7`. Each is counted once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131072))]
    pub counted: Option<String>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// When it ended, well or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub completion_time: Option<String>,
}

/// How far a schedule is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// The time by the clock for which a run was last started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_time: Option<String>,
    /// When a run last ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_success: Option<String>,
    /// The time by the clock for which the next run is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub next_time: Option<String>,
    /// The runs that have not ended, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub active: Vec<String>,
}
