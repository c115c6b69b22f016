use super::instance;
use super::world::{Fate, Kind, World};
use crate::probe::ProbeKind;
use crate::{Outcome, Plan, Refusal, Run};
use hypermesh_schemas::instance::InstancePhase;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn running<F>(world: &World<F>, _: &Plan) -> bool {
    world.told.as_ref().is_some_and(|told| told.phase == Some(InstancePhase::Running))
}

fn phase<F>(world: &World<F>) -> Option<InstancePhase> {
    world.told.as_ref().and_then(|told| told.phase)
}

fn finished<F>(_: &World<F>, plan: &Plan) -> bool {
    plan.finished
}

/// Waiting reason of the first container.
fn waits<F>(world: &World<F>) -> String {
    let status = &world.told.as_ref().unwrap().container_statuses[0];
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    waiting.map(|waiting| waiting.reason.clone()).unwrap_or_default()
}

fn simple() -> Value {
    json!({"containers": [{"name": "web", "image": "web:1"}]})
}

#[test]
fn an_instance_runs_and_goes() {
    let mut world = World::new(instance(simple()), Kind);
    world.run_until(running);
    let told = world.told.clone().unwrap();
    assert!(
        told.conditions
            .iter()
            .all(|condition| condition.status == hypermesh_schemas::condition::ConditionStatus::True)
    );
    world.delete(30);
    world.run_until(finished);
    insta::assert_snapshot!(world.log.join("\n"));
    let words: Vec<_> = world.notices.iter().map(|notice| notice.reason).collect();
    assert_eq!(words, ["Pulled", "Created", "Started", "Killing"]);
    assert!(!world.sandbox && !world.volumes && world.alive.is_empty());
}

struct Crashes;
impl Fate for Crashes {
    fn run(&mut self, _: &str, _: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
        Ok(Some((Duration::from_secs(1), 3)))
    }
}

#[test]
fn what_crashes_waits_longer_each_time() {
    let mut world = World::new(instance(simple()), Crashes);
    world.run_until(|world, _| world.told.as_ref().is_some_and(|told| told.restarts == Some(4)));
    let starts: Vec<_> = world.log.iter().filter(|line| line.contains(" Start ")).cloned().collect();
    let at: Vec<_> = starts.iter().map(|line| line.split('s').next().unwrap()).collect();
    assert_eq!(at, ["0", "1", "12", "33", "74"]);
    world.run_until(|world, _| waits(world) == "CrashLoopBackOff");
    let status = world.told.clone().unwrap().container_statuses.remove(0);
    insta::assert_json_snapshot!(status);
    assert_eq!(phase(&world), Some(InstancePhase::Running));
}

#[test]
fn a_job_that_fails_for_good_has_failed_and_one_that_ends_well_has_succeeded() {
    let job = json!({"restartPolicy": "Never", "containers": [{"name": "web", "image": "web:1"}]});
    let mut world = World::new(instance(job.clone()), Crashes);
    world.run_until(|_, plan| plan.actions.is_empty() && plan.wake_at.is_none() && !plan.finished);
    // Nothing is left of it but what is told.
    world.run_until(|world, _| !world.sandbox && !world.volumes);
    assert_eq!(phase(&world), Some(InstancePhase::Failed));

    struct Succeeds;
    impl Fate for Succeeds {
        fn run(&mut self, name: &str, attempt: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
            let code = i32::from(attempt == 0);
            Ok((name == "web").then_some((Duration::from_secs(1), code)))
        }
    }
    let mut job = job;
    job["restartPolicy"] = "OnFailure".into();
    job["initContainers"] = json!([{"name": "side", "image": "s:1", "restartPolicy": "Always"}]);
    let mut world = World::new(instance(job), Succeeds);
    world.run_until(|world, _| phase(world) == Some(InstancePhase::Succeeded));
    assert!(world.alive.is_empty(), "the sidecar ends with the job");
    assert_eq!(world.told.unwrap().restarts, Some(1));
}

#[test]
fn init_containers_go_first_and_sidecars_stay_to_the_end() {
    struct Inits;
    impl Fate for Inits {
        fn run(&mut self, name: &str, _: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
            Ok(name.starts_with("init").then_some((Duration::from_secs(2), 0)))
        }
        fn ends_in(&mut self, _: &str) -> Option<Duration> {
            Some(Duration::from_secs(1))
        }
    }
    let pod = json!({
        "initContainers": [
            {"name": "init-1", "image": "i:1"},
            {"name": "side-1", "image": "s:1", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 3}},
            {"name": "init-2", "image": "i:1"},
            {"name": "side-2", "image": "s:1", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "web", "image": "web:1"}],
    });
    let mut world = World::new(instance(pod), Inits);
    world.run_until(running);
    world.delete(30);
    world.run_until(finished);
    let lines = world.log.iter().filter(|line| line.contains("Start ") || line.contains("Terminate"));
    let steps: Vec<_> = lines.map(|line| line.split(", attempt").next().unwrap().to_owned()).collect();
    insta::assert_snapshot!(steps.join("\n"));
}

#[test]
fn who_does_not_listen_is_killed_in_time_and_sooner_if_asked() {
    struct Deaf;
    impl Fate for Deaf {
        fn ends_in(&mut self, _: &str) -> Option<Duration> {
            None
        }
        fn hook(&mut self) -> Option<(Duration, Result<(), String>)> {
            None
        }
    }
    let mut world = World::new(instance(simple()), Deaf);
    world.run_until(running);
    world.delete(30);
    world.run_until(finished);
    assert_eq!(world.seconds(), 30);

    let mut world = World::new(instance(simple()), Deaf);
    world.run_until(running);
    world.delete(30);
    world.settle();
    world.instance.ending.as_mut().unwrap().grace = Duration::from_secs(5);
    world.run_until(finished);
    assert_eq!(world.seconds(), 5);

    // A hook that takes all the time leaves two seconds.
    let mut pod = simple();
    pod["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 100}}});
    let mut world = World::new(instance(pod), Deaf);
    world.run_until(running);
    world.delete(10);
    world.run_until(finished);
    assert_eq!(world.seconds(), 12);
}

#[test]
fn images_that_do_not_come_are_told_and_tried_again() {
    struct NoImage(u32);
    impl Fate for NoImage {
        fn image(&mut self, _: &str) -> Result<(), (Refusal, String)> {
            self.0 += 1;
            if self.0 < 4 { Err((Refusal::ErrImagePull, "not found".into())) } else { Ok(()) }
        }
    }
    let mut world = World::new(instance(simple()), NoImage(0));
    world.settle();
    assert_eq!(waits(&world), "ErrImagePull");
    world.run_until(|world, _| waits(world) == "ImagePullBackOff");
    world.run_until(running);
    assert_eq!(world.seconds(), 10 + 20 + 40);
    let mut invalid = World::new(instance(simple()), Invalid);
    let plan = invalid.settle();
    assert_eq!((waits(&invalid).as_str(), plan.wake_at), ("InvalidImageName", None));
    struct Invalid;
    impl Fate for Invalid {
        fn image(&mut self, _: &str) -> Result<(), (Refusal, String)> {
            Err((Refusal::InvalidImageName, "no name".into()))
        }
    }
}

#[test]
fn probes_decide_who_is_started_ready_and_alive() {
    struct Sick(bool);
    impl Fate for Sick {
        fn probe(&mut self, _: &str, kind: ProbeKind) -> bool {
            kind != ProbeKind::Liveness || !self.0
        }
    }
    let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 5, "failureThreshold": 2});
    let mut pod = simple();
    for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
        pod["containers"][0][kind] = probe.clone();
    }
    let mut world = World::new(instance(pod), Sick(false));
    world.run_until(|world, _| world.told.as_ref().is_some_and(|told| told.container_statuses[0].ready));
    let order: Vec<_> = world.log.iter().filter(|line| line.contains("Probe ")).cloned().collect();
    assert!(order[0].contains("Startup"), "{order:?}");
    world.fate.0 = true;
    world.run_until(|world, _| world.told.as_ref().is_some_and(|told| told.restarts == Some(1)));
    assert!(world.log.iter().any(|line| line.contains("Unhealthy(Liveness)")), "{:#?}", world.log);
    assert!(world.notices.iter().any(|notice| notice.message.contains("Liveness probe failed: no")));
}

#[test]
fn a_sandbox_that_is_lost_is_made_anew_with_all_that_ran_in_it() {
    struct Inits;
    impl Fate for Inits {
        fn run(&mut self, name: &str, _: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
            Ok((name == "init").then_some((Duration::from_secs(1), 0)))
        }
    }
    let mut pod = simple();
    pod["initContainers"] = json!([{"name": "init", "image": "i:1"}]);
    let mut world = World::new(instance(pod), Inits);
    world.run_until(running);
    (world.alive, world.coming) = Default::default();
    world.happens(Outcome::SandboxGone("the shim was killed".into()));
    world.run_until(|world, _| matches!(world.record.containers["web"].run, Run::Running { .. }));
    assert_eq!(world.record.containers["init"].attempt, 1, "what prepares runs again");
    assert_eq!(world.record.containers["web"].attempt, 1);
    assert!(world.notices.iter().any(|notice| notice.reason == "SandboxChanged"));
}

#[test]
fn nobody_is_told_that_what_goes_is_made_anew() {
    let mut world = World::new(instance(simple()), Kind);
    world.run_until(running);
    world.record.eviction = Some(crate::Eviction { at: world.now, message: "no disk".into() });
    world.happens(Outcome::SandboxGone("its shim is gone".into()));
    assert!(world.notices.iter().all(|notice| notice.reason != "SandboxChanged"), "{:#?}", world.notices);
}

#[test]
fn an_agent_that_starts_anew_goes_on() {
    let mut world = World::new(instance(simple()), Kind);
    world.run_until(running);
    let json = serde_json::to_string(&world.record).unwrap();
    world.record = serde_json::from_str(&json).unwrap();
    world.record.resume();
    let before = world.log.len();
    world.settle();
    assert_eq!(world.log.len(), before, "nothing is begun again");
    world.delete(0);
    world.run_until(finished);
}

#[test]
fn what_is_missing_is_tried_again_at_once_when_it_may_be_there() {
    struct Missing(bool);
    impl Fate for Missing {
        fn run(&mut self, _: &str, _: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
            if self.0 {
                Ok(None)
            } else {
                Err((Refusal::CreateContainerConfigError, "secret \"s\" not found".into()))
            }
        }
    }
    let mut world = World::new(instance(simple()), Missing(false));
    let plan = world.settle();
    assert_eq!(waits(&world), "CreateContainerConfigError");
    assert!(plan.wake_at.is_some());
    world.fate.0 = true;
    world.record.retry_now();
    world.settle();
    assert!(running(&world, &plan));
    assert_eq!(world.told.unwrap().restarts, Some(0), "what did not run is no restart");
}

#[test]
fn what_could_not_be_made_goes_at_once() {
    struct Nowhere;
    impl Fate for Nowhere {
        fn place(&mut self) -> Result<(), String> {
            Err("no".into())
        }
    }
    let mut world = World::new(instance(simple()), Nowhere);
    world.run_until(|world, _| world.seconds() > 100);
    let mut world = change(world);
    world.delete(30);
    let begun = world.seconds();
    world.run_until(finished);
    assert_eq!(world.seconds(), begun);
}

/// The same world with another fate.
fn change<F>(world: World<F>) -> World<Kind> {
    let World { instance, record, now, coming, alive, sandbox, volumes, log, notices, told, .. } = world;
    World { instance, record, now, fate: Kind, coming, alive, sandbox, volumes, log, notices, told }
}

/// Anything may happen, in a repeatable way.
struct Chance {
    seed: u64,
    /// Out of 8: how often something fails.
    fails: u64,
}

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }
    fn fails(&mut self) -> bool {
        let fails = self.fails;
        self.next(8) < fails
    }
}

impl Fate for Chance {
    fn image(&mut self, _: &str) -> Result<(), (Refusal, String)> {
        if self.fails() { Err((Refusal::ErrImagePull, "no".into())) } else { Ok(()) }
    }
    fn run(&mut self, name: &str, _: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
        if self.fails() {
            return Err((Refusal::CreateContainerError, "no".into()));
        }
        let ends = name == "init" || self.next(3) > 0;
        Ok(ends.then(|| (Duration::from_secs(self.next(900)), i32::try_from(self.next(2)).unwrap())))
    }
    fn ends_in(&mut self, _: &str) -> Option<Duration> {
        (!self.fails()).then(|| Duration::from_secs(self.next(40)))
    }
    fn probe(&mut self, _: &str, _: ProbeKind) -> bool {
        !self.fails()
    }
    fn hook(&mut self) -> Option<(Duration, Result<(), String>)> {
        let result = if self.fails() { Err("no".into()) } else { Ok(()) };
        (!self.fails()).then(|| (Duration::from_secs(self.next(50)), result))
    }
    fn place(&mut self) -> Result<(), String> {
        if self.fails() { Err("no".into()) } else { Ok(()) }
    }
}

fn pods() -> impl Strategy<Value = Value> {
    let container = |name: &'static str| {
        (any::<[bool; 4]>()).prop_map(move |[probes, hooks, starts, always]| {
            let mut container = json!({"name": name, "image": if always { "a" } else { "a:1" }});
            if probes {
                container["livenessProbe"] = json!({"tcpSocket": {"port": 1}});
                container["readinessProbe"] = json!({"tcpSocket": {"port": 1}});
            }
            if starts {
                container["startupProbe"] = json!({"tcpSocket": {"port": 1}, "periodSeconds": 3});
            }
            if hooks {
                let sleep = json!({"sleep": {"seconds": 1}});
                container["lifecycle"] = json!({"preStop": sleep, "postStart": sleep});
            }
            container
        })
    };
    let policies = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    (container("a"), container("b"), container("side"), any::<[bool; 3]>(), policies).prop_map(
        |(a, b, mut side, [two, init, sidecar], policy)| {
            side["restartPolicy"] = "Always".into();
            let mut inits = Vec::new();
            if init {
                inits.push(json!({"name": "init", "image": "i:1"}));
            }
            if sidecar {
                inits.push(side);
            }
            let mains = if two { vec![a, b] } else { vec![a] };
            json!({"containers": mains, "initContainers": inits, "restartPolicy": policy})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: nothing is begun twice, no container has two runs, none is without its sandbox (the world
    /// looks after these); what is deleted ends within its grace period and what a hook may take beyond it, and
    /// nothing is left.
    #[test]
    fn every_instance_that_is_deleted_ends(
        pod in pods(),
        seed: u64,
        fails in 0..6_u64,
        lived in 0..4000_i64,
        grace in 0..100_u64,
        restarts: bool,
        lost: bool,
    ) {
        let mut world = World::new(instance(pod), Chance { seed, fails });
        world.run_until(|world, plan| {
            world.seconds() >= lived || world.coming.is_empty() && plan.wake_at.is_none()
        });
        if restarts {
            let json = serde_json::to_string(&world.record).unwrap();
            world.record = serde_json::from_str(&json).unwrap();
            world.record.resume();
        }
        if lost && world.sandbox {
            (world.alive, world.coming) = Default::default();
            world.happens(Outcome::SandboxGone("lost".into()));
        }
        let begun = world.seconds();
        world.delete(grace);
        // From here on nothing is refused: only what is asked of the containers may fail.
        world.run_until(|world, plan| plan.finished || world.alive.is_empty());
        prop_assert!(world.seconds() - begun <= i64::try_from(grace).unwrap() + 2 + 50, "took {}", world.seconds() - begun);
        world.fate.fails = 0;
        world.run_until(finished);
        prop_assert!(world.alive.is_empty() && !world.sandbox && !world.volumes);
    }

    /// Once nothing fails any more, what is to run runs, or has ended.
    #[test]
    fn every_instance_comes_to_its_state(pod in pods(), seed: u64, fails in 0..8_u64, bad in 0..500_i64) {
        let never = pod["restartPolicy"] == "Never";
        let mut world = World::new(instance(pod), Chance { seed, fails });
        world.run_until(|world, plan| {
            world.seconds() >= bad || world.coming.is_empty() && plan.wake_at.is_none()
        });
        world.fate.fails = 0;
        world.run_until(|world, _| {
            let phase = phase(world);
            phase == Some(InstancePhase::Running) || phase == Some(InstancePhase::Succeeded)
                || never && phase == Some(InstancePhase::Failed)
        });
    }
}

#[test]
fn what_a_node_does_not_take_on_has_failed_before_it_began() {
    let pod = json!({
        "containers": [{"name": "web", "image": "web:1"}], "initContainers": [{"name": "i", "image": "i"}],
    });
    let mut world = World::new(instance(pod), Kind);
    world.record.rejection = Some(crate::Rejection {
        at: world.now,
        reason: "OutOfcpu".to_owned(),
        message: "Pod was rejected: Node didn't have enough resource: cpu".to_owned(),
    });
    let plan = world.settle();
    assert!(plan.actions.is_empty() && plan.wake_at.is_none() && !plan.finished, "{plan:?}");
    let told = crate::status(&world.instance, &world.record, crate::Surroundings::default(), world.now);
    assert_eq!((told.phase, told.reason.as_deref()), (Some(InstancePhase::Failed), Some("OutOfcpu")));
    assert!(told.container_statuses.is_empty() && told.init_container_statuses.is_empty());
    let ready = told.conditions.iter().find(|condition| condition.kind == "Ready").unwrap();
    assert_eq!(ready.reason, "PodFailed");
    // What was kept of it is read back, and so is what was kept before there was such a thing.
    let kept = serde_json::to_string(&world.record).unwrap();
    assert_eq!(serde_json::from_str::<crate::Record>(&kept).unwrap(), world.record);
    let older: crate::Record = serde_json::from_str(&kept.replace("\"rejection\"", "\"unknown\"")).unwrap();
    assert_eq!(older.rejection, None);
    world.delete(30);
    assert!(world.settle().finished);
    assert!(world.log.is_empty(), "nothing was ever begun: {:?}", world.log);
}
