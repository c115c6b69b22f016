//! What is due when, on the days on which clocks change too.

use super::*;
use crate::runtime::Invalid;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    serde_json::from_str(text).unwrap()
}

fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let text = format!(r#"{{"cron": "{cron}", "timeZone": "{zone}"}}"#);
    let clock = Clock::parse(&schedule(&text)).unwrap();
    let mut time = at(after);
    let mut times = Vec::new();
    for _ in 0..count {
        time = clock.after(time).unwrap();
        assert_eq!(clock.at_or_before(time), Some(time), "{cron} {zone}");
        times.push(seconds(time));
    }
    times
}

#[test]
fn it_is_crontab_in_a_time_zone() {
    assert_eq!(
        times("30 3 * * 1-5", "Etc/UTC", "2026-01-02T12:00:00Z", 2),
        ["2026-01-05T03:30:00Z", "2026-01-06T03:30:00Z"]
    );
    assert_eq!(times("@daily", "Asia/Kolkata", "2026-01-01T00:00:00Z", 1), ["2026-01-01T18:30:00Z"]);
    assert_eq!(times("*/20 * * * *", "Etc/UTC", "2026-01-01T00:00:00Z", 3)[2], "2026-01-01T01:00:00Z");
    // The day of the month or the day of the week, as crontab(5) has it.
    assert_eq!(
        times("0 0 13 * 5", "Etc/UTC", "2026-01-01T00:00:00Z", 3),
        ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"]
    );
}

#[test]
fn where_clocks_go_forward_a_time_that_is_not_comes_right_after() {
    // From 02:00 to 03:00 on the 29th of March.
    let nights = times("30 2 * * *", "Europe/Zurich", "2026-03-28T00:00:00Z", 3);
    assert_eq!(nights, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    let hours = times("0 * * * *", "Europe/Zurich", "2026-03-28T23:30:00Z", 3);
    assert_eq!(hours, ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
}

#[test]
fn where_clocks_go_back_a_time_that_comes_twice_is_due_once() {
    // From 03:00 to 02:00 on the 25th of October.
    let nights = times("30 2 * * *", "Europe/Zurich", "2026-10-24T12:00:00Z", 2);
    assert_eq!(nights, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let hours = times("0 * * * *", "Europe/Zurich", "2026-10-24T23:30:00Z", 3);
    assert_eq!(hours, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
}

#[test]
fn what_cannot_be_read_says_why() {
    let wrong = |text: &str| -> Invalid { Clock::parse(&schedule(text)).unwrap_err() };
    for cron in ["* * * *", "61 * * * *", "a b c d e", "* * * * * *", "0 0 30 2 *", "@often", "*/0 * * * *"] {
        let invalid = wrong(&format!(r#"{{"cron": "{cron}"}}"#));
        assert_eq!(invalid.reason, "InvalidSchedule", "{cron}");
        assert!(invalid.message.contains("as in \"30 3 * * 1-5\""), "{}", invalid.message);
    }
    // No words of a library reach people.
    for (cron, why) in [
        ("* * * *", "it has 4 fields"),
        ("60 * * * *", "a field is out of its range, or is no list of numbers, ranges and steps"),
        ("@often", "there is no such name"),
        ("0 0 30 2 *", "there is no such day"),
        ("TZ=UTC * * * * *", "the time zone is a field of its own, spec.schedule.timeZone"),
    ] {
        let invalid = wrong(&format!(r#"{{"cron": "{cron}"}}"#));
        assert!(invalid.message.contains(&format!("cannot be read: {why}; ")), "{}", invalid.message);
    }
    let invalid = wrong(r#"{"cron": "@daily", "timeZone": "Europe/Zurch"}"#);
    assert_eq!(invalid.reason, "InvalidTimeZone");
}

fn run(name: &str, due: &str, ended: Option<bool>) -> Run {
    let ended = ended.map(|ok| (ok, at(due)));
    Run { name: name.to_owned(), uid: format!("u-{name}"), due: at(due), ended, leaving: false }
}

fn hourly(more: &str) -> (Schedule, Clock) {
    let schedule = schedule(&format!(r#"{{"cron": "@hourly"{more}}}"#));
    let clock = Clock::parse(&schedule).unwrap();
    (schedule, clock)
}

const MADE: &str = "2026-01-01T00:30:00Z";

#[test]
fn the_last_missed_run_is_made_up_for_and_no_other() {
    let (schedule, clock) = hourly("");
    let early = step(&schedule, &clock, &[], None, at(MADE), at("2026-01-01T00:59:59Z"));
    assert_eq!((early.start, early.next), (None, Some(at("2026-01-01T01:00:00Z"))));
    let late = step(&schedule, &clock, &[], None, at(MADE), at("2026-01-01T05:10:00Z"));
    assert_eq!((late.start, late.next), (Some(at("2026-01-01T05:00:00Z")), Some(at("2026-01-01T06:00:00Z"))));
    let again = step(&schedule, &clock, &[], late.last, at(MADE), at("2026-01-01T05:10:00Z"));
    assert_eq!(again.start, None);
    // The run is there, and the status that says so was lost.
    let known = [run("a", "2026-01-01T05:00:00Z", Some(true))];
    let again = step(&schedule, &clock, &known, None, at(MADE), at("2026-01-01T05:10:00Z"));
    assert_eq!((again.start, again.delete.len()), (None, 0));
}

#[test]
fn a_run_that_is_too_late_is_left_out_and_told() {
    let (schedule, clock) = hourly(r#", "startingDeadline": "5m""#);
    let late = step(&schedule, &clock, &[], None, at(MADE), at("2026-01-01T05:10:00Z"));
    assert_eq!((late.start, late.missed), (None, Some(at("2026-01-01T05:00:00Z"))));
    let in_time = step(&schedule, &clock, &[], None, at(MADE), at("2026-01-01T05:05:00Z"));
    assert_eq!((in_time.start, in_time.missed), (Some(at("2026-01-01T05:00:00Z")), None));
}

#[test]
fn runs_meet_as_the_schedule_says() {
    let runs = [run("a", "2026-01-01T01:00:00Z", None)];
    let (told, now) = (Some(at("2026-01-01T01:00:00Z")), at("2026-01-01T02:00:01Z"));
    let of = |more: &str| {
        let (schedule, clock) = hourly(more);
        let step = step(&schedule, &clock, &runs, told, at(MADE), now);
        (step.start.is_some(), step.delete.len())
    };
    assert_eq!(of(""), (true, 0));
    assert_eq!(of(r#", "concurrency": "Forbid""#), (false, 0));
    assert_eq!(of(r#", "concurrency": "Replace""#), (true, 1));
    assert_eq!(of(r#", "suspend": true"#), (false, 0));
}

#[test]
fn so_many_runs_are_kept() {
    let (schedule, clock) = hourly(r#", "keepSucceeded": 1, "keepFailed": 0"#);
    let runs = [
        run("old", "2026-01-01T01:00:00Z", Some(true)),
        run("failed", "2026-01-01T02:00:00Z", Some(false)),
        run("new", "2026-01-01T03:00:00Z", Some(true)),
        run("runs", "2026-01-01T04:00:00Z", None),
    ];
    let told = Some(at("2026-01-01T04:00:00Z"));
    let step = step(&schedule, &clock, &runs, told, at(MADE), at("2026-01-01T04:10:00Z"));
    let names: Vec<&str> = step.delete.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["old", "failed"]);
}

#[test]
fn names_tell_the_minute_and_fit() {
    let due = at("2026-01-01T03:00:00Z");
    assert_eq!(run_name("nightly", "u", due), "nightly-29453940");
    assert_eq!(run_name(&"a".repeat(54), "u", due).len(), 63);
    // Two that begin alike have runs of their own.
    let begin = "c".repeat(54);
    let (one, two) =
        (run_name(&format!("{begin}-one"), "1", due), run_name(&format!("{begin}-two"), "2", due));
    assert_ne!(one, two);
    for long in [one, two, run_name(&"-".repeat(63), "u", due).trim_start_matches('-').to_owned()] {
        assert!(hypermesh_schemas::value::DnsLabel::parse(&long).is_ok(), "{long}");
    }
}
