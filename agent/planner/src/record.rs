//! What a node remembers of an instance: what was observed, what is under way, and what failed how often.
//!
//! It is written to disk, so that an agent that starts anew goes on where the one before it ended. What was under way
//! then is not remembered ([`Record::resume`]): whether it was done is looked up where it was done.

mod begin;
mod learn;

use crate::admission::Rejection;
use crate::backoff::{LONGEST_FOR_OBJECTS, after, wait};
use crate::plan::StopReason;
use crate::probe::{Answers, ProbeKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub use learn::{Outcome, ProbeOutcome};

/// What a node remembers of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the node took it on.
    pub taken_on: Option<Timestamp>,
    /// Its volumes.
    pub volumes: Stage,
    /// What its containers share.
    pub sandbox: Sandbox,
    /// Its containers, by name.
    pub containers: BTreeMap<String, ContainerRecord>,
    /// Set once the node needs what it has.
    pub eviction: Option<Eviction>,
    /// Set where the node did not take it on: nothing of it is ever begun.
    pub rejection: Option<Rejection>,
}

/// That the node needs what an instance has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eviction {
    /// When that was decided.
    pub at: Timestamp,
    /// Why, in words.
    pub message: String,
}

/// How far something is made. Making and removing may both be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Something of it is there, and has to be removed some time.
    pub begun: bool,
    /// It is whole.
    pub ready: bool,
    /// It is being made or removed.
    #[serde(skip)]
    pub busy: bool,
    /// The last try failed.
    pub refused: Option<Refused>,
}

impl Stage {
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        self.refused.as_ref().map(Refused::retry_at)
    }
}

/// What the containers of an instance share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// How far it is made.
    pub stage: Stage,
    /// How many there were before it.
    pub generation: u32,
    /// It is there no more, though nobody removed it.
    pub lost: bool,
    /// The instance's addresses, the stable one first.
    pub addresses: Vec<IpAddr>,
}

/// What a node remembers of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// The newest run: 0 is the first.
    pub attempt: u32,
    /// What the newest run does.
    pub run: Run,
    /// How the run before it ended.
    pub last: Option<Exit>,
    /// How many runs in a row have ended early.
    pub exits: u32,
    /// Why the next run cannot begin.
    pub refused: Option<Refused>,
    /// Its image.
    pub image: ImageFact,
    /// Set once the newest run is to end.
    pub stopping: Option<Stopping>,
    /// What its probes say.
    pub answers: BTreeMap<ProbeKind, Answers>,
    /// Whether what is to be done after its start is done; none: not yet.
    pub post_start: Option<Result<(), String>>,
    /// It is being done.
    #[serde(skip)]
    pub post_start_busy: bool,
    /// In this sandbox it has ended well, or, as a sidecar, has started: what comes after it may begin.
    pub passed: bool,
    /// The sandbox that the newest run began in.
    pub sandbox: u32,
    /// Why what the newest run writes is lost, as long as it is.
    #[serde(default)]
    pub unlogged: Option<String>,
}

/// What a run does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// It has not begun.
    #[default]
    None,
    /// It begins.
    Starting,
    /// It runs.
    Running {
        /// What the runtime calls it.
        id: String,
        /// Since when.
        since: Timestamp,
    },
    /// It has ended.
    Exited(Exit),
}

impl Run {
    /// Whether there is, or may be, a process.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Starting | Self::Running { .. })
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What the runtime called it.
    pub id: String,
    /// The exit code; 128 + n for signal n.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why.
    pub reason: ExitReason,
    /// Why, in words, where the code does not tell.
    pub message: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    /// By itself, with the code.
    Itself,
    /// By itself, with the code; before that, others of its processes were killed for want of memory.
    WithoutSome,
    /// It took more memory than it may.
    OutOfMemory,
    /// What it was to run cannot be run.
    CannotRun,
    /// Nobody saw it end: its shim is gone.
    Lost,
}

impl Exit {
    /// The word that people are told.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.reason {
            ExitReason::Itself | ExitReason::WithoutSome if self.code == 0 => "Completed",
            ExitReason::Itself | ExitReason::WithoutSome => "Error",
            ExitReason::OutOfMemory => "OOMKilled",
            ExitReason::CannotRun => "ContainerCannotRun",
            ExitReason::Lost => "ContainerStatusUnknown",
        }
    }
}

/// Whether an image is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFact {
    /// For which run it was last fetched.
    pub for_attempt: u32,
    /// Its digest, once it is here.
    pub id: Option<String>,
    /// It is being fetched.
    #[serde(skip)]
    pub busy: bool,
    /// It could not be fetched.
    pub refused: Option<Refused>,
}

/// Something that could not be done, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What kind of refusal.
    pub refusal: Refusal,
    /// Why, in words.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// Kinds of refusals, by the words that people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The image's name is none.
    InvalidImageName,
    /// The image could not be pulled.
    ErrImagePull,
    /// The image is not here and may not be pulled.
    ErrImageNeverPull,
    /// The image is here and cannot be used.
    ImageInspectError,
    /// Something that the container refers to is missing or wrong.
    CreateContainerConfigError,
    /// The container could not be made.
    CreateContainerError,
    /// Its volumes could not be made.
    FailedMount,
    /// Its sandbox could not be made.
    FailedCreatePodSandBox,
    /// It could not be removed.
    FailedKillPod,
}

impl Refusal {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidImageName => "InvalidImageName",
            Self::ErrImagePull => "ErrImagePull",
            Self::ErrImageNeverPull => "ErrImageNeverPull",
            Self::ImageInspectError => "ImageInspectError",
            Self::CreateContainerConfigError => "CreateContainerConfigError",
            Self::CreateContainerError => "CreateContainerError",
            Self::FailedMount => "FailedMount",
            Self::FailedCreatePodSandBox => "FailedCreatePodSandBox",
            Self::FailedKillPod => "FailedKillPod",
        }
    }
}

impl Refused {
    /// One more refusal after those before it.
    pub(crate) fn again(before: Option<&Self>, refusal: Refusal, message: String, at: Timestamp) -> Self {
        let times = before.filter(|before| before.refusal == refusal).map_or(0, |before| before.times);
        Self { refusal, message, at, times: times.saturating_add(1) }
    }

    /// When it is tried again.
    #[must_use]
    pub fn retry_at(&self) -> Timestamp {
        match self.refusal {
            // What an instance runs never changes, and a name does not become one.
            Refusal::InvalidImageName => Timestamp::MAX,
            Refusal::CreateContainerConfigError | Refusal::FailedMount => {
                after(self.at, wait(self.times).min(LONGEST_FOR_OBJECTS))
            }
            _ => after(self.at, wait(self.times)),
        }
    }
}

/// That a run is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Why.
    pub why: StopReason,
    /// When it is killed.
    pub deadline: Timestamp,
    /// What is done before.
    pub pre_stop: PreStop,
    /// It was told to end.
    pub told: bool,
    /// The deadline was moved behind what was asked for, so that there is a moment between being told and being killed.
    pub extended: bool,
    /// When it was last killed.
    pub killed: Option<Timestamp>,
}

/// What is done before a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreStop {
    /// It is being done.
    Busy,
    /// It is done, or there is nothing to do.
    Done,
}

impl ContainerRecord {
    /// The number of the run that would begin next.
    #[must_use]
    pub fn next_attempt(&self) -> u32 {
        match self.run {
            Run::Exited(_) => self.attempt.saturating_add(1),
            _ => self.attempt,
        }
    }

    /// What a probe said last; none where it has not decided.
    #[must_use]
    pub fn verdict(&self, kind: ProbeKind) -> Option<bool> {
        self.answers.get(&kind).and_then(|answers| answers.verdict)
    }
}

impl Record {
    /// What is known of a container.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerRecord> {
        self.containers.get(name)
    }

    /// After a restart of the agent: what was under way is under way no more.
    pub fn resume(&mut self) {
        for container in self.containers.values_mut() {
            if container.run == Run::Starting {
                container.run = Run::None;
            }
            if let Some(stopping) = &mut container.stopping {
                stopping.pre_stop = PreStop::Done;
            }
        }
    }

    /// Something that an instance refers to has changed: what was refused for its sake is tried again at once.
    pub fn retry_now(&mut self) {
        for container in self.containers.values_mut() {
            container.refused = None;
        }
        if !self.volumes.ready {
            self.volumes.refused = None;
        }
    }

    /// An image has come by another way: those that could not be had are asked for again at once.
    pub fn retry_images(&mut self) {
        for container in self.containers.values_mut() {
            let refused = container.image.refused.as_ref();
            if refused.is_some_and(|refused| refused.refusal != Refusal::InvalidImageName) {
                container.image.refused = None;
            }
        }
    }

    /// The instance's addresses, the stable one first.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.sandbox.addresses
    }
}
