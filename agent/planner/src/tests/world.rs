//! A world without machines: it does what plans say, or does not, as it is told.

use crate::probe::ProbeKind;
use crate::*;
use hypermesh_schemas::instance::{ContainerState, InstanceStatus};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the world answers.
pub trait Fate {
    fn image(&mut self, _container: &str) -> Result<(), (Refusal, String)> {
        Ok(())
    }
    /// Starting, and for how long it runs and how it ends; none: until it is told to.
    fn run(&mut self, _container: &str, _attempt: u32) -> Result<Option<(Duration, i32)>, (Refusal, String)> {
        Ok(None)
    }
    /// How long it takes to end once it is told to; none: it does not listen.
    fn ends_in(&mut self, _container: &str) -> Option<Duration> {
        Some(Duration::ZERO)
    }
    fn probe(&mut self, _container: &str, _kind: ProbeKind) -> bool {
        true
    }
    fn hook(&mut self) -> Option<(Duration, Result<(), String>)> {
        Some((Duration::ZERO, Ok(())))
    }
    fn place(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Everything goes well.
pub struct Kind;
impl Fate for Kind {}

pub struct World<F> {
    pub instance: Instance,
    pub record: Record,
    pub now: Timestamp,
    pub fate: F,
    /// What will come of what was begun, by when.
    pub coming: Vec<(Timestamp, Outcome)>,
    /// Runs that are alive: since when.
    pub alive: BTreeMap<(String, u32), Timestamp>,
    pub sandbox: bool,
    pub volumes: bool,
    pub log: Vec<String>,
    pub notices: Vec<Notice>,
    pub told: Option<InstanceStatus>,
}

impl<F: Fate> World<F> {
    pub fn new(instance: Instance, fate: F) -> Self {
        Self {
            instance,
            record: Record::default(),
            now: Timestamp::UNIX_EPOCH,
            fate,
            coming: Vec::new(),
            alive: BTreeMap::new(),
            sandbox: false,
            volumes: false,
            log: Vec::new(),
            notices: Vec::new(),
            told: None,
        }
    }

    pub fn seconds(&self) -> i64 {
        self.now.as_second()
    }

    /// Plans, does, and takes in what is due, until nothing is due now. The invariants are looked after.
    pub fn settle(&mut self) -> Plan {
        for _ in 0..1000 {
            let due = self.coming.iter().position(|(at, _)| *at <= self.now);
            if let Some(due) = due {
                let (_, outcome) = self.coming.remove(due);
                self.happens(outcome);
                continue;
            }
            let plan = plan(&self.instance, &self.record, self.now);
            if plan.actions.is_empty() {
                assert!(plan.wake_at.is_none_or(|at| at > self.now), "woken for nothing: {plan:?}");
                return plan;
            }
            for action in &plan.actions {
                self.log.push(format!("{}s {action:?}", self.seconds()));
                let notices = self.record.begin(&self.instance, action, self.now);
                self.notices.extend(notices);
            }
            let again = super::super::plan(&self.instance, &self.record, self.now);
            for action in &again.actions {
                assert!(!plan.actions.contains(action), "begun twice: {action:?}");
            }
            for action in plan.actions {
                self.act(action);
            }
        }
        panic!("it never comes to rest: {:#?}", self.log.iter().rev().take(20).collect::<Vec<_>>());
    }

    pub fn happens(&mut self, outcome: Outcome) {
        if let Outcome::Exited { container, attempt, .. } = &outcome {
            self.alive.remove(&(container.clone(), *attempt));
        }
        let notices = self.record.learn(&self.instance, outcome, self.now);
        self.notices.extend(notices);
        let around = Surroundings { previous: self.told.as_ref(), ..Surroundings::default() };
        let status = status(&self.instance, &self.record, around, self.now);
        let one = |state: &ContainerState| {
            usize::from(state.waiting.is_some())
                + usize::from(state.running.is_some())
                + usize::from(state.terminated.is_some())
        };
        for container in status.container_statuses.iter().chain(&status.init_container_statuses) {
            assert_eq!(container.state.as_ref().map(one), Some(1), "{container:?}");
        }
        self.told = Some(status);
    }

    /// Settles, and lets time pass to what comes next, until `until` holds.
    pub fn run_until(&mut self, until: impl Fn(&Self, &Plan) -> bool) {
        for _ in 0..5000 {
            let plan = self.settle();
            if until(self, &plan) {
                return;
            }
            let next = self.coming.iter().map(|(at, _)| *at).chain(plan.wake_at).min();
            let Some(next) = next else { panic!("it waits for ever: {:?}\n{:#?}", self.record, self.log) };
            self.now = self.now.max(next);
        }
        panic!("it takes for ever: {:#?}", self.log.iter().rev().take(30).collect::<Vec<_>>());
    }

    pub fn delete(&mut self, grace: u64) {
        self.instance.ending = Some(Ending { since: self.now, grace: Duration::from_secs(grace) });
    }

    fn come(&mut self, after: Duration, outcome: Outcome) {
        self.coming.push((backoff::after(self.now, after), outcome));
    }

    fn exit(&mut self, container: &str, attempt: u32, after: Duration, code: i32) {
        let started = self.alive.get(&(container.to_owned(), attempt)).copied().unwrap_or(self.now);
        let finished = backoff::after(self.now, after);
        let signal = (code > 128).then(|| code - 128);
        let reason = ExitReason::Itself;
        let exit = Exit { id: "id".into(), code, signal, reason, message: None, started, finished };
        self.come(after, Outcome::Exited { container: container.into(), attempt, exit });
    }

    fn act(&mut self, action: Action) {
        let zero = Duration::ZERO;
        match action {
            Action::PrepareVolumes => {
                assert!(!self.volumes);
                let placed = self.fate.place();
                self.volumes = placed.is_ok();
                self.come(zero, placed.map_or_else(Outcome::VolumesRefused, |()| Outcome::VolumesReady));
            }
            Action::MakeSandbox => {
                assert!(!self.sandbox);
                let placed = self.fate.place();
                self.sandbox = placed.is_ok();
                let ready = Outcome::SandboxReady(vec!["fd00::1".parse().unwrap()]);
                self.come(zero, placed.map_or_else(Outcome::SandboxRefused, |()| ready));
            }
            Action::FetchImage { container, attempt } => {
                let outcome = match self.fate.image(&container) {
                    Ok(()) => Outcome::ImageReady { container, attempt, id: "sha256:1".into(), pulled: None },
                    Err((refusal, message)) => Outcome::ImageRefused { container, attempt, refusal, message },
                };
                self.come(zero, outcome);
            }
            Action::Start { container, attempt } => self.start(container, attempt),
            Action::PostStart { container, attempt } => {
                // Whoever executes it gives it a limit.
                let (after, result) =
                    self.fate.hook().unwrap_or((Duration::from_secs(60), Err("late".into())));
                self.come(after, Outcome::PostStartDone { container, attempt, result });
            }
            Action::PreStop { container, attempt, .. } => {
                if let Some((after, result)) = self.fate.hook() {
                    self.come(after, Outcome::PreStopDone { container, attempt, result });
                }
            }
            Action::Probe { container, attempt, kind } => {
                let good = self.fate.probe(&container, kind);
                let answer = ProbeOutcome { container, attempt, kind, good, message: "no".into() };
                self.come(zero, Outcome::Probed(answer));
            }
            Action::Terminate { container, attempt, .. } => {
                assert!(self.alive.contains_key(&(container.clone(), attempt)));
                if let Some(after) = self.fate.ends_in(&container) {
                    self.exit(&container, attempt, after, 143);
                }
            }
            Action::Kill { container, attempt, .. } => self.exit(&container, attempt, zero, 137),
            Action::RemoveSandbox => {
                assert!(self.alive.is_empty() || self.record.sandbox.lost, "alive: {:?}", self.alive);
                let placed = self.fate.place();
                if placed.is_ok() {
                    self.sandbox = false;
                }
                self.come(zero, placed.map_or_else(Outcome::SandboxStays, |()| Outcome::SandboxRemoved));
            }
            Action::RemoveVolumes => {
                assert!(!self.sandbox, "volumes are removed under a sandbox");
                let placed = self.fate.place();
                self.volumes &= placed.is_err();
                self.come(zero, placed.map_or_else(Outcome::VolumesStay, |()| Outcome::VolumesRemoved));
            }
        }
    }

    fn start(&mut self, container: String, attempt: u32) {
        assert!(self.sandbox, "{container} without its sandbox");
        assert!(self.volumes, "{container} without its volumes");
        assert!(self.instance.ending.is_none() && self.record.eviction.is_none(), "{container} at the end");
        assert!(!self.alive.keys().any(|(name, _)| *name == container), "two runs of {container}");
        match self.fate.run(&container, attempt) {
            Ok(end) => {
                self.alive.insert((container.clone(), attempt), self.now);
                let at = self.now;
                self.come(
                    Duration::ZERO,
                    Outcome::Started { container: container.clone(), attempt, id: "id".into(), at },
                );
                if let Some((after, code)) = end {
                    self.exit(&container, attempt, after, code);
                }
            }
            Err((refusal, message)) => {
                self.come(Duration::ZERO, Outcome::StartRefused { container, attempt, refusal, message });
            }
        }
    }
}
