//! Elections, by example and by simulation.

use super::*;
use proptest::prelude::*;

const D: Duration = Duration::from_secs(30);

fn timing() -> Timing {
    Timing { duration: D }
}

fn lease(holder: &str, version: u64) -> Lease {
    let holder = (!holder.is_empty()).then(|| holder.to_owned());
    Lease { holder, duration: D, version: version.to_string(), transitions: 0 }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_first_creates_the_lease_and_leads_for_two_thirds() {
    let mut a = Election::new("a".into(), timing());
    assert_eq!(a.step(s(5)), Step::Create);
    assert!(!a.leads(s(5)));
    a.wrote(lease("a", 1), s(5), s(9));
    assert!(a.leads(s(24)) && !a.leads(s(25)), "it counts from when the write was sent");
    assert_eq!(a.renews_at(), Some(s(17)));
}

#[test]
fn a_standby_waits_for_as_long_as_it_has_seen_no_change() {
    let mut b = Election::new("b".into(), timing());
    b.observe(Some(lease("a", 1)), s(100));
    assert_eq!(b.step(s(100)), Step::Wait(s(130)));
    b.observe(Some(lease("a", 1)), s(120));
    assert_eq!(b.step(s(120)), Step::Wait(s(130)), "the same version is no sign of life");
    b.observe(Some(lease("a", 2)), s(125));
    assert_eq!(b.step(s(130)), Step::Wait(s(155)));
    assert_eq!(b.step(s(155)), Step::Take { version: "2".into(), transitions: 1 });
}

#[test]
fn a_released_lease_is_free_at_once() {
    let mut b = Election::new("b".into(), timing());
    b.observe(Some(lease("a", 1)), s(0));
    b.observe(Some(lease("", 2)), s(1));
    assert!(matches!(b.step(s(1)), Step::Take { .. }));
}

#[test]
fn a_deleted_lease_is_waited_out_by_who_knew_its_holder() {
    let mut b = Election::new("b".into(), timing());
    b.observe(Some(lease("a", 1)), s(0));
    b.observe(None, s(10));
    assert_eq!(b.step(s(10)), Step::Wait(s(40)));
    assert_eq!(b.step(s(40)), Step::Create);
    let mut a = Election::new("a".into(), timing());
    a.wrote(lease("a", 1), s(0), s(0));
    a.observe(None, s(10));
    assert!(!a.leads(s(10)), "whoever finds its lease deleted stops");
}

#[test]
fn a_leader_that_sees_another_holder_stops() {
    let mut a = Election::new("a".into(), timing());
    a.wrote(lease("a", 1), s(0), s(0));
    a.observe(Some(lease("b", 2)), s(3));
    assert!(!a.leads(s(3)));
    assert_eq!(a.step(s(3)), Step::Wait(s(33)));
}

/// One candidate of the simulation, with a clock that starts anywhere and runs up to a tenth too fast or too slow.
struct Candidate {
    name: String,
    election: Election,
    starts: f64,
    speed: f64,
    crashed_until: f64,
}

impl Candidate {
    fn clock(&self, time: f64) -> Duration {
        Duration::from_secs_f64(self.starts + time * self.speed)
    }
}

/// The Lease as the server has it.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    fn put(&mut self, holder: &str, meets: Option<&str>) -> Option<Lease> {
        if self.lease.as_ref().map(|lease| lease.version.as_str()) != meets {
            return None;
        }
        self.version += 1;
        self.lease = Some(Lease { version: self.version.to_string(), ..lease(holder, 0) });
        self.lease.clone()
    }
}

#[derive(Clone, Debug)]
enum Happening {
    /// A candidate reads the Lease and acts; its write is answered (or its answer lost) after a delay.
    Acts {
        who: usize,
        delay: f64,
        answered: bool,
    },
    Crashes {
        who: usize,
        lasts: f64,
    },
    Releases {
        who: usize,
    },
    Deleted,
    Time {
        passes: f64,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let who = 0_usize..3;
    prop_oneof![
        8 => (who.clone(), 0.0_f64..8.0, prop::bool::weighted(0.8))
            .prop_map(|(who, delay, answered)| Happening::Acts { who, delay, answered }),
        6 => (0.1_f64..12.0).prop_map(|passes| Happening::Time { passes }),
        1 => (who.clone(), 0.0_f64..90.0).prop_map(|(who, lasts)| Happening::Crashes { who, lasts }),
        1 => who.prop_map(|who| Happening::Releases { who }),
        1 => Just(Happening::Deleted),
    ]
}

/// A write that the server has taken and whose answer is on its way.
struct Answer {
    who: usize,
    sent: Duration,
    arrives: f64,
    lease: Lease,
}

fn working(candidates: &[Candidate], time: f64) -> Vec<&str> {
    let works = |c: &&Candidate| time >= c.crashed_until && c.election.leads(c.clock(time));
    candidates.iter().filter(works).map(|c| c.name.as_str()).collect()
}

fn act(candidate: &mut Candidate, server: &mut Server, now: Duration) -> Option<Lease> {
    candidate.election.observe(server.lease.clone(), now);
    let name = candidate.name.clone();
    if candidate.election.leads(now) {
        let due = candidate.election.renews_at().is_some_and(|at| now >= at);
        let meets = candidate.election.version().map(|(version, _)| version.to_owned());
        return due.then(|| server.put(&name, meets.as_deref())).flatten();
    }
    match candidate.election.step(now) {
        Step::Create => server.put(&name, None),
        Step::Take { version, .. } => server.put(&name, Some(&version)),
        Step::Wait(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However clocks differ, answers are late or lost, processes die and the Lease is deleted (which whoever leads
    /// sees at once, since it watches): never do two work at the same time.
    #[test]
    fn never_two_at_once(
        clocks in prop::collection::vec((0.0_f64..1e6, 0.91_f64..1.09), 3),
        happenings in prop::collection::vec(happening(), 1..200),
    ) {
        let mut candidates: Vec<Candidate> = clocks.into_iter().enumerate().map(|(n, (starts, speed))| {
            let name = format!("c{n}");
            Candidate { election: Election::new(name.clone(), timing()), name, starts, speed, crashed_until: 0.0 }
        }).collect();
        let (mut server, mut time, mut on_the_way) = (Server::default(), 0.0_f64, Vec::<Answer>::new());
        // All have seen the Lease before it can be deleted: a newcomer cannot know who held it.
        let first = server.put("c0", None).unwrap();
        for candidate in &mut candidates {
            candidate.election.observe(Some(first.clone()), candidate.clock(0.0));
        }
        for happening in happenings {
            match happening {
                Happening::Time { passes } => time += passes,
                Happening::Deleted => {
                    server.lease = None;
                    for candidate in &mut candidates {
                        candidate.election.observe(None, candidate.clock(time));
                    }
                }
                Happening::Crashes { who, lasts } => {
                    let candidate = &mut candidates[who];
                    candidate.crashed_until = time + lasts;
                    candidate.election = Election::new(format!("{}'", candidate.name), timing());
                    candidate.name.push('\'');
                    // What it had seen is gone, so it must not meet a deletion as the first thing it sees.
                    if server.lease.is_none() {
                        server.put("nobody", None);
                    }
                    candidate.election.observe(server.lease.clone(), candidate.clock(time));
                    on_the_way.retain(|answer| answer.who != who);
                }
                Happening::Releases { who } => {
                    let candidate = &mut candidates[who];
                    let now = candidate.clock(time);
                    if candidate.election.leads(now) {
                        let meets = candidate.election.version().map(|(v, _)| v.to_owned());
                        if let Some(lease) = server.put("", meets.as_deref()) {
                            candidate.election.wrote(Lease { holder: None, ..lease.clone() }, now, now);
                            server.lease = Some(Lease { holder: None, ..lease });
                        }
                    }
                }
                Happening::Acts { who, delay, answered } => {
                    let busy = on_the_way.iter().any(|answer| answer.who == who);
                    let candidate = &mut candidates[who];
                    let now = candidate.clock(time);
                    if time >= candidate.crashed_until && !busy
                        && let Some(lease) = act(candidate, &mut server, now)
                        && answered
                    {
                        on_the_way.push(Answer { who, sent: now, arrives: time + delay, lease });
                    }
                }
            }
            let (arrived, later) = on_the_way.into_iter().partition(|answer| answer.arrives <= time);
            on_the_way = later;
            for Answer { who, sent, lease, .. } in arrived {
                let now = candidates[who].clock(time);
                // An answer is worth nothing once the Lease was seen to be another's, or gone.
                let newest = server.lease.as_ref().is_some_and(|l| l.version == lease.version);
                if newest {
                    candidates[who].election.wrote(lease, sent, now);
                }
            }
            let working = working(&candidates, time);
            prop_assert!(working.len() <= 1, "at {time}: {working:?}");
        }
    }
}
