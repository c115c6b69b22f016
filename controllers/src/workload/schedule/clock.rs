//! When a schedule is due: crontab(5) in a time zone. Pure.
//!
//! Where clocks are put forward, a time that does not exist that day comes right after the gap, once; one of every hour
//! or minute goes on by the clock. Where they are put back, a time that comes twice is due the first time only, and one
//! of every hour or minute both times.

use crate::runtime::Invalid;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use hypermesh_schemas::workload::job::Schedule;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A schedule that can be read.
#[derive(Clone, Debug)]
pub struct Clock {
    cron: Cron,
    zone: TimeZone,
}

impl Clock {
    /// Reads a schedule.
    pub fn parse(schedule: &Schedule) -> Result<Self, Invalid> {
        let zone = TimeZone::get(&schedule.time_zone).map_err(|_| Invalid {
            reason: "InvalidTimeZone",
            message: format!(
                "spec.schedule.timeZone: {:?} is no time zone of the IANA database, such as Europe/Zurich or Etc/UTC",
                schedule.time_zone
            ),
        })?;
        let invalid = |why: String| Invalid {
            reason: "InvalidSchedule",
            message: format!(
                "spec.schedule.cron: {:?} cannot be read: {why}; it has five fields, minute, hour, day of month, month and \
                 day of week, as in \"30 3 * * 1-5\", or is one of @hourly, @daily, @weekly, @monthly, @yearly",
                schedule.cron
            ),
        };
        if schedule.cron.contains("TZ=") {
            return Err(invalid("the time zone is a field of its own, spec.schedule.timeZone".to_owned()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&schedule.cron).map_err(|error| invalid(words(&schedule.cron, &error)))?;
        let clock = Self { cron, zone };
        // Some can be read and never come, such as the 30th of February.
        if clock.after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(invalid("there is no such day".to_owned()));
        }
        Ok(clock)
    }

    fn at(&self, time: Timestamp) -> Zoned {
        time.to_zoned(self.zone.clone())
    }

    /// The first time after `time`.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        self.cron.find_next_occurrence(&self.at(time), false).ok().map(|next| next.timestamp())
    }

    /// The last time not after `time`.
    pub fn at_or_before(&self, time: Timestamp) -> Option<Timestamp> {
        let last = self.cron.find_previous_occurrence(&self.at(time), true).ok()?.timestamp();
        (last <= time).then_some(last)
    }

    /// A time as the schedule's own clock shows it.
    pub fn shown(&self, time: Timestamp, zone: &str) -> String {
        format!("{} in {zone}", self.at(time).strftime("%Y-%m-%d %H:%M"))
    }
}

/// What the library says, in words of our own: its own change, and name what nobody wrote.
fn words(cron: &str, error: &CronError) -> String {
    let fields = cron.split_whitespace().count();
    let what = match error {
        _ if cron.trim().starts_with('@') => "there is no such name",
        _ if fields != 5 => return format!("it has {fields} fields"),
        CronError::IllegalCharacters(_) => "it has characters that no schedule has",
        CronError::InvalidDate => "there is no such day",
        _ => "a field is out of its range, or is no list of numbers, ranges and steps",
    };
    what.to_owned()
}
