//! Jobs under random interleavings: each instance is counted once, whatever is lost or seen twice.

use super::*;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(text: &str) -> Job {
    serde_json::from_str(text).unwrap()
}

fn member(ordinal: u64, phase: Phase) -> Member {
    Member {
        name: format!("j-{ordinal}"),
        uid: format!("u{ordinal}"),
        revision: "r".to_owned(),
        ordinal,
        created: at(0),
        node: Some("n".to_owned()),
        phase,
        leaving: false,
        ready_since: None,
        restarts: 0,
        trouble: None,
        unpublished: None,
        images: Vec::new(),
    }
}

fn told(text: &str) -> JobStatus {
    serde_json::from_str(text).unwrap()
}

#[test]
fn as_many_run_as_may_and_no_more_than_are_needed() {
    let job = job(r#"{"completions": 5, "parallelism": 3}"#);
    let first = step(&job, &JobStatus::default(), &[], at(100));
    assert_eq!((first.create, first.next, first.status.active), (3, 0, 3));
    assert_eq!(first.status.start_time.as_deref(), Some("1970-01-01T00:01:40Z"));
    let members = [
        member(0, Phase::Succeeded(at(110))),
        member(1, Phase::Succeeded(at(111))),
        member(2, Phase::Running),
    ];
    let second = step(&job, &first.status, &members, at(112));
    assert_eq!((second.create, second.next, second.status.succeeded), (2, 3, 2));
    assert_eq!(second.status.counted.as_deref(), Some("0-1"));
    let nearly =
        step(&job, &told(r#"{"succeeded": 4, "counted": "0-3"}"#), &[member(4, Phase::Running)], at(113));
    assert_eq!((nearly.create, nearly.delete.len(), nearly.end), (0, 0, None));
    let done = step(&job, &nearly.status, &[member(4, Phase::Succeeded(at(120)))], at(121));
    assert_eq!((done.end, done.status.succeeded, done.status.active), (Some(End::Complete), 5, 0));
    assert_eq!(done.status.completion_time.as_deref(), Some("1970-01-01T00:02:01Z"));
    let fewer = Job { parallelism: 1, ..job };
    let running: Vec<Member> = (0..3).map(|n| member(n, Phase::Running)).collect();
    assert_eq!(step(&fewer, &JobStatus::default(), &running, at(1)).delete.len(), 2);
}

#[test]
fn failures_are_waited_for_longer_and_longer_until_there_were_too_many() {
    let job = job(r#"{"backoffLimit": 3}"#);
    let failed = |n: u64| member(n, Phase::Failed(at(100 + i64::try_from(n).unwrap())));
    for (count, wait) in [(1_u64, 10), (2, 20), (3, 40)] {
        let members: Vec<Member> = (0..count).map(failed).collect();
        let last = 100 + i64::try_from(count).unwrap() - 1;
        let held = step(&job, &JobStatus::default(), &members, at(last + 1));
        assert_eq!((held.create, held.again, held.rests_until), (0, Some(at(last + wait)), held.again));
        assert_eq!(step(&job, &JobStatus::default(), &members, at(last + wait)).create, 1);
    }
    let members: Vec<Member> = (0..4).map(failed).collect();
    let over = step(&job, &JobStatus::default(), &members, at(200));
    assert_eq!((over.create, over.end), (0, Some(End::BackoffLimitExceeded)));
    // A success in between begins anew.
    let members = [failed(0), failed(1), member(2, Phase::Succeeded(at(103))), failed(4)];
    assert_eq!(
        step(&self::job(r#"{"completions": 2}"#), &JobStatus::default(), &members, at(105)).again,
        Some(at(114))
    );
    // It never takes longer than six minutes.
    let many: Vec<Member> = (0..60).map(failed).collect();
    let patient = self::job(r#"{"backoffLimit": 100}"#);
    assert_eq!(step(&patient, &JobStatus::default(), &many, at(160)).again, Some(at(159 + 360)));
}

#[test]
fn containers_that_are_started_again_and_again_fail_the_job_too() {
    let mut running = member(0, Phase::Running);
    running.restarts = 7;
    let over = step(&job("{}"), &JobStatus::default(), std::slice::from_ref(&running), at(1));
    assert_eq!((over.end, over.delete.len()), (Some(End::BackoffLimitExceeded), 1));
    running.restarts = 6;
    assert_eq!(step(&job("{}"), &JobStatus::default(), &[running], at(1)).end, None);
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let job = job(r#"{"activeDeadline": "1m"}"#);
    let told = told(r#"{"startTime": "1970-01-01T00:01:00Z"}"#);
    let running = [member(0, Phase::Running)];
    let early = step(&job, &told, &running, at(100));
    assert_eq!((early.end, early.again), (None, Some(at(120))));
    let late = step(&job, &told, &running, at(120));
    assert_eq!((late.end, late.delete.len()), (Some(End::DeadlineExceeded), 1));
}

#[test]
fn what_has_ended_goes_only_once_its_count_is_stored_and_newer_ones_are_kept() {
    let job = job(r#"{"completions": 1000}"#);
    let members: Vec<Member> =
        (0..150).map(|n| member(n, Phase::Succeeded(at(i64::try_from(n).unwrap())))).collect();
    let first = step(&job, &JobStatus::default(), &members, at(500));
    assert_eq!(first.delete, []);
    let second = step(&job, &first.status, &members, at(501));
    assert_eq!((second.delete.len(), second.status.succeeded), (50, 150));
    assert!(second.delete.iter().all(|removal| members[..50].iter().any(|member| member.uid == removal.uid)));
}

proptest! {
    /// Statuses that are lost on their way, instances that are lost before their end, looks that happen twice.
    #[test]
    fn each_instance_is_counted_once_and_the_job_ends_when_it_should(
        completions in 1_u32..12, parallelism in 1_u32..5,
        events in prop::collection::vec((0_u8..6, any::<usize>()), 0..200),
    ) {
        let job = Job { completions, parallelism, ..job(r#"{"backoffLimit": 10000}"#) };
        let (mut stored, mut members): (JobStatus, Vec<Member>) = Default::default();
        let (mut now, mut ended_well, mut ended_badly) = (1_000_i64, 0_u32, 0_u32);
        let calm = (0..200_usize).map(|n| (if n % 2 == 0 { 0 } else { 2 }, 0));
        for (event, n) in events.into_iter().chain(calm) {
            now += 400;
            let len = members.len().max(1);
            match event {
                // A look, whose status may be lost.
                0 | 1 => {
                    let step = step(&job, &stored, &members, at(now));
                    prop_assert!(step.status.succeeded <= ended_well && step.status.failed <= ended_badly);
                    members.retain(|member| step.delete.iter().all(|removal| removal.uid != member.uid));
                    for ordinal in (step.next..).take(step.create as usize) {
                        prop_assert!(members.iter().all(|member| member.ordinal != ordinal));
                        members.push(member(ordinal, Phase::Running));
                    }
                    let active = members.iter().filter(|member| member.is_live()).count();
                    prop_assert!(active <= parallelism as usize);
                    if event == 0 {
                        stored = step.status;
                        prop_assert_eq!((stored.succeeded, stored.failed), (ended_well, ended_badly));
                        if step.end.is_some() {
                            prop_assert_eq!(step.end, Some(End::Complete));
                            prop_assert!(stored.succeeded >= completions);
                            return Ok(());
                        }
                    }
                }
                2 | 3 => {
                    if let Some(member) = members.iter_mut().find(|member| member.is_live()) {
                        member.phase = Phase::Succeeded(at(now));
                        ended_well += 1;
                    }
                }
                4 => {
                    if let Some(member) = members.get_mut(n % len).filter(|member| member.is_live()) {
                        member.phase = Phase::Failed(at(now));
                        ended_badly += 1;
                    }
                }
                _ => {
                    // Somebody deletes one that runs, or one that was counted.
                    let counted = Counted::parse(stored.counted.as_deref().unwrap_or_default());
                    if members.get(n % len).is_some_and(|m| m.is_live() || counted.contains(m.ordinal)) {
                        members.remove(n % len);
                    }
                }
            }
        }
        prop_assert!(false, "the job never ended: {:?} {:?}", stored, members);
    }
}
