//! Rollouts under random interleavings of instances that become ready, fail, leave and come.

use super::*;
use crate::workload::member::{Member, Phase};
use jiff::Timestamp;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn member(name: &str, revision: &str) -> Member {
    Member {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        revision: revision.to_owned(),
        ordinal: 0,
        created: at(0),
        node: None,
        phase: Phase::Pending,
        leaving: false,
        ready_since: None,
        restarts: 0,
        trouble: None,
        unpublished: None,
        images: Vec::new(),
    }
}

fn ready(name: &str, revision: &str, since: i64) -> Member {
    Member {
        phase: Phase::Running,
        node: Some("n".to_owned()),
        ready_since: Some(at(since)),
        ..member(name, revision)
    }
}

fn wanted(replicas: u32, revision: &str, way: Way) -> Wanted {
    let (revision, before) = (revision.to_owned(), None);
    Wanted { replicas, revision, before, way, paused: false, min_ready: SignedDuration::ZERO }
}

fn rolling(surge: u32, unavailable: u32) -> Way {
    Way::Rolling { surge, unavailable }
}

fn names(plan: &Plan) -> Vec<(&str, Why)> {
    plan.delete.iter().map(|removal| (removal.name.as_str(), removal.why)).collect()
}

#[test]
fn shares_round_so_that_a_step_can_always_be_made() {
    let rollout = |text: &str| serde_json::from_str::<Rollout>(text).unwrap();
    assert_eq!(Way::of(&Rollout::default(), 3), rolling(1, 0));
    assert_eq!(Way::of(&Rollout::default(), 8), rolling(2, 2));
    let none = rollout(r#"{"rolling": {"maxSurge": 0, "maxUnavailable": "10%"}}"#);
    assert_eq!(Way::of(&none, 5), rolling(0, 1));
    assert_eq!(Way::of(&rollout(r#"{"strategy": "Recreate"}"#), 5), Way::Recreate);
    assert_eq!(Way::of(&rollout(r#"{"rolling": {"maxSurge": 0, "maxUnavailable": 9}}"#), 5).least(5), 0);
}

#[test]
fn those_that_are_missed_least_go_first() {
    let mut members = [
        ready("old-ready", "a", 10),
        Member { created: at(50), ..ready("young-ready", "a", 60) },
        Member { node: Some("m".to_owned()), ..ready("alone", "a", 10) },
        Member { node: Some("n".to_owned()), ..member("pending", "a") },
        member("unbound", "a"),
        Member { ready_since: None, ..ready("running", "a", 0) },
    ];
    members[5].node = Some("n".to_owned());
    let mut sorted: Vec<&Member> = members.iter().collect();
    rank(&mut sorted, Member::is_ready);
    let order: Vec<&str> = sorted.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(order, ["unbound", "pending", "running", "young-ready", "alone", "old-ready"]);
}

#[test]
fn nodes_are_left_even() {
    let mut members: Vec<Member> =
        (0..6).map(|n| Member { created: at(n), ..ready(&format!("a{n}"), "a", 9) }).collect();
    for crowded in &mut members[..4] {
        crowded.node = Some("crowded".to_owned());
    }
    let plan = plan(&wanted(2, "a", rolling(1, 0)), &members, at(100));
    assert_eq!(
        names(&plan),
        [("a3", Why::Surplus), ("a2", Why::Surplus), ("a5", Why::Surplus), ("a1", Why::Surplus)]
    );
}

#[test]
fn what_ended_is_replaced_at_once_the_first_time_and_later_and_later_after_that() {
    let failed = |name: &str, ended: i64| Member {
        phase: Phase::Failed(at(ended)),
        created: at(ended - 5),
        ..member(name, "a")
    };
    let want = wanted(1, "a", rolling(1, 0));
    let once = plan(&want, &[failed("a0", 100)], at(100));
    assert_eq!(once.create, [("a".to_owned(), 1)]);
    let twice = [failed("a0", 100), failed("a1", 106)];
    let held = plan(&want, &twice, at(107));
    assert_eq!((held.create.len(), held.held, held.again), (0, true, Some(at(116))));
    assert_eq!(plan(&want, &twice, at(116)).create, [("a".to_owned(), 1)]);
    let thrice = [failed("a0", 100), failed("a1", 106), failed("a2", 120)];
    assert_eq!(plan(&want, &thrice, at(121)).again, Some(at(140)));
    // What ran well for long before it was evicted is no reason to wait.
    let evicted: Vec<Member> =
        (0..4).map(|n| Member { phase: Phase::Failed(at(900)), ..member(&format!("a{n}"), "a") }).collect();
    assert_eq!(plan(&wanted(4, "a", rolling(1, 0)), &evicted, at(901)).create, [("a".to_owned(), 4)]);
}

#[test]
fn what_ended_stays_a_while() {
    let ended: Vec<Member> = (0..9)
        .map(|n| Member { phase: Phase::Failed(at(1_000 + n)), ..member(&format!("e{n}"), "a") })
        .collect();
    let first = plan(&wanted(0, "a", rolling(1, 0)), &ended, at(2_000));
    assert_eq!(names(&first), [("e2", Why::Ended), ("e1", Why::Ended), ("e0", Why::Ended)]);
    assert_eq!(first.again, Some(at(1_003 + 3_600)));
    assert_eq!(plan(&wanted(0, "a", rolling(1, 0)), &ended, at(10_000)).delete.len(), 9);
}

#[test]
fn an_instance_of_a_silent_node_is_neither_counted_on_nor_given_up_here() {
    let mut silent = ready("a", "a", 0);
    (silent.phase, silent.ready_since) = (Phase::Unknown, None);
    let members = [silent, ready("b", "a", 0)];
    assert_eq!(plan(&wanted(2, "a", rolling(1, 0)), &members, at(9_999_999)), Plan::default());
    // It is in nobody's way: an old one that is well stays for it.
    let update = plan(&wanted(2, "b", rolling(1, 0)), &members, at(9_999_999));
    assert_eq!((names(&update), &update.create), (vec![], &vec![("b".to_owned(), 1)]));
}

#[test]
fn recreate_waits_for_the_last_of_the_old_to_be_gone() {
    let mut old = ready("a", "a", 0);
    let want = wanted(2, "b", Way::Recreate);
    assert_eq!(plan(&want, std::slice::from_ref(&old), at(1)).create, []);
    old.leaving = true;
    assert_eq!(plan(&want, std::slice::from_ref(&old), at(1)), Plan::default());
    assert_eq!(plan(&want, &[], at(1)).create, [("b".to_owned(), 2)]);
}

#[test]
fn an_instance_counts_once_it_was_ready_for_long_enough() {
    let want = Wanted { min_ready: SignedDuration::from_secs(30), ..wanted(1, "b", rolling(1, 0)) };
    let members = [ready("a", "a", 0), ready("b", "b", 100)];
    let early = plan(&want, &members, at(120));
    assert_eq!((early.delete.len(), early.again), (0, Some(at(130))));
    assert_eq!(names(&plan(&want, &members, at(130))), [("a", Why::Outdated)]);
}

#[test]
fn a_template_that_was_never_rolled_out_waits_while_paused() {
    let want = Wanted { paused: true, ..wanted(3, "a", rolling(1, 0)) };
    assert_eq!(plan(&want, &[], at(0)), Plan::default());
    let changed = Wanted { paused: true, before: Some("a".to_owned()), ..wanted(3, "b", rolling(1, 0)) };
    assert_eq!(plan(&changed, &[ready("a", "a", 0)], at(0)).create, [("a".to_owned(), 2)]);
    assert_eq!(plan(&changed, &[], at(0)).create, [("a".to_owned(), 3)]);
}

#[test]
fn what_is_lost_in_the_middle_is_made_of_what_is_proven() {
    // Two of three old ones have gone, and what is new has not proven anything.
    let want = Wanted { before: Some("a".to_owned()), ..wanted(3, "b", rolling(1, 0)) };
    let members = [ready("a", "a", 0), member("b", "b")];
    assert_eq!(plan(&want, &members, at(0)).create, [("a".to_owned(), 2)]);
}

/// A small cluster.
#[derive(Clone, Debug, Default)]
struct World {
    members: Vec<Member>,
    made: u64,
    now: i64,
}

/// What happens in it.
#[derive(Clone, Debug)]
enum Happens {
    /// The controller takes a step.
    Step,
    /// The instance at this place becomes ready, if its revision works.
    Ready(usize),
    /// Time passes.
    Time(i64),
    /// An instance that was let go is gone.
    Gone(usize),
    /// An instance fails.
    Fails(usize),
    /// An instance is not ready any more.
    Stumbles(usize),
    /// Another template.
    Template(u8),
    /// Another number.
    Scale(u32),
    /// Paused, or resumed.
    Pause(bool),
}

impl World {
    fn steady(replicas: u32, revision: &str) -> Self {
        let mut world = Self { now: 10_000, ..Self::default() };
        for _ in 0..replicas {
            world.make(revision);
        }
        for member in &mut world.members {
            (member.phase, member.ready_since, member.created) = (Phase::Running, Some(at(100)), at(50));
        }
        world
    }

    fn make(&mut self, revision: &str) {
        self.made += 1;
        let node = Some(format!("n{}", self.made % 3));
        let name = format!("{revision}{}", self.made);
        self.members.push(Member { node, created: at(self.now), ..member(&name, revision) });
    }

    fn live(&self) -> usize {
        self.members.iter().filter(|member| member.is_live()).count()
    }

    fn available(&self, min_ready: SignedDuration) -> usize {
        let is = |member: &&Member| member.available_at(min_ready).is_some_and(|since| since <= at(self.now));
        self.members.iter().filter(is).count()
    }

    /// Performs a plan; what is let go leaves, and is gone later.
    fn perform(&mut self, plan: &Plan) {
        for removal in &plan.delete {
            let found = self.members.iter_mut().find(|member| member.uid == removal.uid).unwrap();
            assert!(!found.leaving, "it is let go twice");
            found.leaving = true;
        }
        for (revision, count) in &plan.create {
            for _ in 0..*count {
                self.make(revision);
            }
        }
    }

    fn happens(&mut self, event: &Happens, wanted: &mut Wanted, works: impl Fn(&str) -> bool) {
        let len = self.members.len().max(1);
        match event {
            Happens::Step => {
                let plan = plan(wanted, &self.members, at(self.now));
                self.perform(&plan);
            }
            Happens::Ready(n) => {
                let now = at(self.now);
                if let Some(member) =
                    self.members.get_mut(n % len).filter(|m| m.is_live() && works(&m.revision))
                {
                    (member.phase, member.ready_since) = (Phase::Running, member.ready_since.or(Some(now)));
                }
            }
            Happens::Time(seconds) => self.now += seconds,
            Happens::Gone(n) => {
                if self.members.get(n % len).is_some_and(|member| member.leaving) {
                    self.members.remove(n % len);
                }
            }
            Happens::Fails(n) => {
                let now = at(self.now);
                if let Some(member) = self.members.get_mut(n % len).filter(|member| member.is_live()) {
                    (member.phase, member.ready_since) = (Phase::Failed(now), None);
                }
            }
            Happens::Stumbles(n) => {
                if let Some(member) = self.members.get_mut(n % len) {
                    member.ready_since = None;
                }
            }
            Happens::Template(n) => {
                let next = ["a", "b", "c"][usize::from(n % 3)];
                wanted.before = (next != "a").then(|| "a".to_owned());
                wanted.revision = next.to_owned();
            }
            Happens::Scale(replicas) => wanted.replicas = *replicas,
            Happens::Pause(paused) => wanted.paused = *paused,
        }
    }

    /// The controller steps and all that works becomes ready, until nothing changes any more.
    fn settle(
        &mut self,
        wanted: &mut Wanted,
        works: impl Fn(&str) -> bool + Copy,
    ) -> Result<(), TestCaseError> {
        let mut rests = 0;
        for _ in 0..400 {
            let before = self.members.clone();
            self.happens(&Happens::Step, wanted, works);
            self.members.retain(|member| !member.leaving);
            for n in 0..self.members.len() {
                self.happens(&Happens::Ready(n), wanted, works);
            }
            // Whatever waits has waited long enough after that.
            self.now += 4_000;
            rests = if self.members == before { rests + 1 } else { 0 };
            if rests == 3 {
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("it never comes to rest: {self:?}")))
    }
}

fn any_way() -> impl Strategy<Value = Way> {
    let rolling = (0_u32..4, 0_u32..4).prop_map(|(surge, unavailable)| match (surge, unavailable) {
        (0, 0) => rolling(0, 1),
        _ => rolling(surge, unavailable),
    });
    prop_oneof![4 => rolling, 1 => Just(Way::Recreate)]
}

fn calm() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Step),
        4 => any::<usize>().prop_map(Happens::Ready),
        2 => (0_i64..90).prop_map(Happens::Time),
        2 => any::<usize>().prop_map(Happens::Gone),
    ]
}

fn storm() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => calm(),
        1 => any::<usize>().prop_map(Happens::Fails),
        1 => any::<usize>().prop_map(Happens::Stumbles),
        1 => any::<u8>().prop_map(Happens::Template),
        1 => (0_u32..9).prop_map(Happens::Scale),
        1 => any::<bool>().prop_map(Happens::Pause),
    ]
}

fn min_ready() -> impl Strategy<Value = SignedDuration> {
    (0_i64..3).prop_map(|n| SignedDuration::from_secs(n * 20))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Of a rollout in calm, at every moment.
    #[test]
    fn enough_are_available_and_never_too_many_are_there(
        replicas in 0_u32..9, surge in 0_u32..4, unavailable in 0_u32..4, min_ready in min_ready(),
        events in prop::collection::vec(calm(), 0..120), broken: bool,
    ) {
        let way = if surge + unavailable == 0 { rolling(0, 1) } else { rolling(surge, unavailable) };
        let mut wanted = Wanted { min_ready, before: Some("a".to_owned()), ..wanted(replicas, "b", way) };
        let mut world = World::steady(replicas, "a");
        for event in events {
            world.happens(&event, &mut wanted, |revision| !broken || revision == "a");
            prop_assert!(world.available(min_ready) >= way.least(replicas) as usize, "{world:?}");
            prop_assert!(world.live() <= (replicas + surge) as usize, "{world:?}");
        }
    }

    /// Of any state at all: a step takes nothing away that is needed, and adds no more than may be.
    #[test]
    fn no_step_breaks_what_it_is_held_to(
        way in any_way(), replicas in 0_u32..9, min_ready in min_ready(),
        events in prop::collection::vec(storm(), 0..80),
    ) {
        let mut wanted = Wanted { min_ready, ..wanted(replicas, "a", way) };
        let mut world = World::steady(replicas, "a");
        for event in events {
            let before = world.clone();
            world.happens(&event, &mut wanted, |_| true);
            let (Happens::Step, Way::Rolling { surge, .. }) = (&event, way) else { continue };
            let least = way.least(wanted.replicas) as usize;
            let floor = before.available(min_ready).min(least);
            prop_assert!(world.available(min_ready) >= floor, "{wanted:?} {before:?} {world:?}");
            // Old ones that are not ready for a while are not given away for new ones that prove nothing.
            let trusted = |world: &World| {
                let old = world.members.iter().filter(|m| m.is_live() && m.revision != wanted.revision).count();
                let is = |m: &&Member| m.available_at(min_ready).is_some_and(|since| since <= at(world.now));
                old + world.members.iter().filter(|m| m.revision == wanted.revision).filter(is).count()
            };
            let kept = trusted(&world) >= trusted(&before).min(least);
            prop_assert!(wanted.paused || kept, "{wanted:?} {before:?} {world:?}");
            let most = (wanted.replicas + surge) as usize;
            prop_assert!(world.live() <= most.max(before.live()), "{wanted:?} {before:?} {world:?}");
        }
    }

    #[test]
    fn whatever_happened_it_converges_once_instances_become_ready(
        way in any_way(), replicas in 0_u32..9, min_ready in min_ready(),
        events in prop::collection::vec(storm(), 0..80),
    ) {
        let mut wanted = Wanted { min_ready, ..wanted(replicas, "a", way) };
        let mut world = World::steady(replicas, "a");
        for event in &events {
            world.happens(event, &mut wanted, |_| true);
        }
        wanted.paused = false;
        world.settle(&mut wanted, |_| true)?;
        let live: Vec<&Member> = world.members.iter().filter(|member| member.is_live()).collect();
        prop_assert!(live.iter().all(|member| member.revision == wanted.revision), "{wanted:?} {live:?}");
        prop_assert_eq!(live.len(), wanted.replicas as usize);
        prop_assert_eq!(plan(&wanted, &world.members, at(world.now)).create, []);
    }

    #[test]
    fn a_broken_revision_takes_no_more_than_it_may_and_a_rollback_restores_all(
        surge in 0_u32..4, unavailable in 0_u32..4, replicas in 1_u32..9,
        events in prop::collection::vec(calm(), 0..60),
    ) {
        let way = if surge + unavailable == 0 { rolling(0, 1) } else { rolling(surge, unavailable) };
        let mut wanted = Wanted { before: Some("a".to_owned()), ..wanted(replicas, "b", way) };
        let mut world = World::steady(replicas, "a");
        let works = |revision: &str| revision == "a";
        for event in &events {
            world.happens(event, &mut wanted, works);
        }
        world.settle(&mut wanted, works)?;
        let old = world.members.iter().filter(|member| member.is_ready() && member.revision == "a").count();
        prop_assert!(old >= way.least(replicas) as usize, "{world:?}");
        (wanted.revision, wanted.before) = ("a".to_owned(), None);
        world.settle(&mut wanted, works)?;
        prop_assert_eq!(world.available(SignedDuration::ZERO), replicas as usize);
        prop_assert!(world.members.iter().all(|member| member.revision == "a"), "{world:?}");
    }

    #[test]
    fn a_paused_rollout_stays_where_it_is(
        way in any_way(), replicas in 1_u32..9, before in prop::collection::vec(calm(), 0..60),
        after in prop::collection::vec(calm(), 0..60),
    ) {
        let mut wanted = Wanted { before: Some("a".to_owned()), ..wanted(replicas, "b", way) };
        let mut world = World::steady(replicas, "a");
        for event in &before {
            world.happens(event, &mut wanted, |_| true);
        }
        // What was on its way when it was paused has come to its end.
        world.members.retain(|member| !member.leaving);
        wanted.paused = true;
        let shape = |world: &World| {
            let of = |r: &str| world.members.iter().filter(|member| member.revision == r).count();
            (of("a"), of("b"))
        };
        let (a, b) = shape(&world);
        for event in &after {
            world.happens(event, &mut wanted, |_| true);
        }
        let now = shape(&world);
        let filled = now.0 + now.1 == replicas as usize && now.0 >= a && now.1 >= b;
        prop_assert!(now == (a, b) || filled, "{a} {b} became {now:?}");
    }
}
