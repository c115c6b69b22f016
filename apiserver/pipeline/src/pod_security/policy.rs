//! The labels of a namespace, and what they mean.
//!
//! Source: `k8s.io/pod-security-admission/api`, PolicyToEvaluate.

use hypermesh_api::FieldError;
use std::fmt;

/// How much is let through, from everything to little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Everything.
    Privileged,
    /// What gives no more rights than a container usually has.
    Baseline,
    /// What follows the present practice of hardening.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A level as a minor version of Kubernetes 1 has it; `None`: as the newest one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standard {
    pub level: Level,
    pub minor: Option<u32>,
}

impl Standard {
    const ALL: Self = Self { level: Level::Privileged, minor: None };
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            Some(minor) => write!(f, "{}:v1.{minor}", self.level.as_str()),
            None => write!(f, "{}:latest", self.level.as_str()),
        }
    }
}

/// What a namespace asks for: what is refused, what is noted, what people are warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub enforce: Standard,
    pub audit: Standard,
    pub warn: Standard,
}

/// What all of the labels begin with.
const PREFIX: &str = "pod-security.kubernetes.io/";

impl Policy {
    /// What labels ask for, and what of them cannot be read. There is always a policy: who meant to forbid something and
    /// misspelt it forbids the most, and who meant to be told of something is told of nothing.
    pub fn read<'l>(label: impl Fn(&str) -> Option<&'l str>) -> (Self, Vec<FieldError>) {
        let mut errors = Vec::new();
        let mut standard = |mode: &str, otherwise: Level| {
            let mut read = Standard::ALL;
            let name = format!("{PREFIX}{mode}");
            let level = label(&name);
            if let Some(text) = level {
                read.level = Level::parse(text).unwrap_or_else(|| {
                    errors.push(wrong(&name, text, "must be one of privileged, baseline, restricted"));
                    otherwise
                });
            }
            let name = format!("{PREFIX}{mode}-version");
            let version = label(&name);
            if let Some(text) = version {
                read.minor = minor(text).unwrap_or_else(|| {
                    errors.push(wrong(&name, text, "must be \"latest\" or \"v1.x\""));
                    None
                });
            }
            (read, level, version)
        };
        let (enforce, enforced, _) = standard("enforce", Level::Restricted);
        let (audit, ..) = standard("audit", Level::Privileged);
        let (mut warn, warned, versioned) = standard("warn", Level::Privileged);
        // Who is refused later, when instances are made, is warned before.
        let legible = enforced.is_some_and(|text| Level::parse(text).is_some());
        if warned.is_none() && legible {
            warn.level = enforce.level;
            if versioned.is_none() {
                warn.minor = enforce.minor;
            }
        }
        (Self { enforce, audit, warn }, errors)
    }

    /// Whether it lets everything through, and says nothing of anything.
    pub fn is_open(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }
}

/// `latest`, or `v1.N`.
fn minor(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let digits = text.strip_prefix("v1.")?;
    let canonical = digits == "0" || !digits.starts_with('0');
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()) && canonical;
    digits.parse().ok().filter(|_| number).map(Some)
}

fn wrong(label: &str, value: &str, why: &str) -> FieldError {
    FieldError::invalid(format!("metadata.labels[{label}]"), value.into(), why)
}
