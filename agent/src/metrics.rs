//! What the agent counts, in Prometheus' text format: what becomes of instances, and how long their starts take.
//!
//! Counters are of this process, as Prometheus has it. What is used by whom is told by the same address in the names that
//! kubelet's `/metrics/resource` has, so that dashboards know it.

use hypermesh_planner::{ContainerRecord, Outcome, Record, Run};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the histogram of starts, in milliseconds.
const BOUNDS: [u64; 12] = [25, 50, 100, 150, 250, 400, 700, 1_500, 5_000, 15_000, 60_000, 300_000];

/// Counters of the process.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    starts: Histogram,
    /// By family, and by the value of its one label.
    counts: Mutex<BTreeMap<(Family, String), u64>>,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    millis: AtomicU64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Runs of containers that began.
    Started,
    /// Runs that ended, by why.
    Exited,
    /// What could not be made or begun, by kubelet's word for it.
    Refused,
    /// Probes that failed, by kind.
    ProbesFailed,
    /// Instances that had to go.
    Evicted,
    /// What panicked, by what it was.
    Panicked,
    /// Containers whose output began to be lost.
    LogsFailed,
}

impl Family {
    /// Name, label and help.
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Started => {
                ("hypermesh_agent_containers_started_total", "", "Runs of containers that began.")
            }
            Self::Exited => (
                "hypermesh_agent_containers_exited_total",
                "reason",
                "Runs of containers that ended, by why.",
            ),
            Self::Refused => (
                "hypermesh_agent_refusals_total",
                "reason",
                "Volumes, sandboxes, images and runs that could not be had, by why.",
            ),
            Self::ProbesFailed => {
                ("hypermesh_agent_probes_failed_total", "kind", "Probes that failed, by kind.")
            }
            Self::Evicted => ("hypermesh_agent_evictions_total", "", "Instances that had to make room."),
            Self::Panicked => ("hypermesh_agent_panics_total", "what", "What panicked and was begun again."),
            Self::LogsFailed => {
                ("hypermesh_agent_logs_failed_total", "", "Containers whose output began to be lost.")
            }
        }
    }

    const ALL: [Self; 7] = [
        Self::Started,
        Self::Exited,
        Self::Refused,
        Self::ProbesFailed,
        Self::Evicted,
        Self::Panicked,
        Self::LogsFailed,
    ];
}

/// What is counted by values of one label at most: more are one, since what comes in from outside must not grow it.
const VALUES: usize = 64;

impl Metrics {
    /// Counts one.
    pub fn count(&self, family: Family, value: &str) {
        let mut counts = self.0.counts.lock();
        let known =
            counts.len() < VALUES * Family::ALL.len() || counts.contains_key(&(family, value.to_owned()));
        let value = if known { value } else { "other" };
        *counts.entry((family, value.to_owned())).or_default() += 1;
    }

    /// Counts what a worker learns of its instance, whose record is as it was before.
    pub fn learn(&self, record: &Record, outcome: &Outcome) {
        match outcome {
            Outcome::Started { container, at, .. } => {
                self.count(Family::Started, "");
                // The first of it that ran at all.
                let ran = |(name, known): (&String, &ContainerRecord)| {
                    known.last.is_some()
                        || (name != container && !matches!(known.run, Run::None | Run::Starting))
                };
                let first = !record.containers.iter().any(ran);
                if let Some(taken) = record.taken_on.filter(|_| first) {
                    self.began(taken, *at);
                }
            }
            Outcome::Exited { exit, .. } => self.count(Family::Exited, exit.word()),
            Outcome::ImageRefused { refusal, .. } | Outcome::StartRefused { refusal, .. } => {
                self.count(Family::Refused, refusal.as_str());
            }
            Outcome::VolumesRefused(_) => self.count(Family::Refused, "FailedMount"),
            Outcome::SandboxRefused(_) => self.count(Family::Refused, "FailedCreatePodSandBox"),
            Outcome::SandboxStays(_) | Outcome::VolumesStay(_) => {
                self.count(Family::Refused, "FailedKillPod")
            }
            Outcome::Logged { lost: Some(_), .. } => self.count(Family::LogsFailed, ""),
            Outcome::Probed(answer) if !answer.good => self.count(Family::ProbesFailed, answer.kind.as_str()),
            _ => {}
        }
    }

    /// An instance's container began, so long after the node took the instance on.
    fn began(&self, taken: Timestamp, at: Timestamp) {
        let took = at.duration_since(taken).as_millis();
        let millis = u64::try_from(took).unwrap_or_default();
        let starts = &self.0.starts;
        starts.count.fetch_add(1, Relaxed);
        starts.millis.fetch_add(millis, Relaxed);
        let bucket = BOUNDS.iter().position(|bound| millis <= *bound);
        if let Some(bucket) = bucket.and_then(|place| starts.buckets.get(place)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// As text.
    pub fn write(&self, out: &mut String) {
        let name = "hypermesh_agent_start_duration_seconds";
        head(
            out,
            name,
            "histogram",
            "From when an instance was taken on until a container of it ran for the first time.",
        );
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&self.0.starts.buckets) {
            below += bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {below}", seconds(*bound));
        }
        let (count, millis) = (self.0.starts.count.load(Relaxed), self.0.starts.millis.load(Relaxed));
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {count}", seconds(millis));
        let counts = self.0.counts.lock();
        for family in Family::ALL {
            let (name, label, help) = family.words();
            head(out, name, "counter", help);
            let of = counts.iter().filter(|((of, _), _)| *of == family);
            let mut none = true;
            for ((_, value), count) in of {
                none = false;
                let labels = if label.is_empty() {
                    String::new()
                } else {
                    format!("{{{label}=\"{}\"}}", escaped(value))
                };
                let _ = writeln!(out, "{name}{labels} {count}");
            }
            if none && label.is_empty() {
                let _ = writeln!(out, "{name} 0");
            }
        }
    }
}

/// What every family begins with.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Milliseconds as Prometheus has times.
fn seconds(millis: u64) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A label's value as it may stand between quotes.
pub fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learnt_is_counted() {
        let metrics = Metrics::default();
        let at = |millis: i64| Timestamp::from_millisecond(millis).unwrap();
        let record = Record { taken_on: Some(at(1_000)), ..Record::default() };
        let started = |at| Outcome::Started { container: "a".to_owned(), attempt: 0, id: String::new(), at };
        metrics.learn(&record, &started(at(1_120)));
        metrics.learn(&record, &Outcome::VolumesRefused("x".to_owned()));
        metrics.count(Family::Panicked, "a \"duty\"\n");
        for value in 0..10_000 {
            metrics.count(Family::Refused, &value.to_string());
        }
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            "hypermesh_agent_start_duration_seconds_bucket{le=\"0.1\"} 0",
            "hypermesh_agent_start_duration_seconds_bucket{le=\"0.15\"} 1",
            "hypermesh_agent_start_duration_seconds_sum 0.12",
            "hypermesh_agent_containers_started_total 1",
            "hypermesh_agent_evictions_total 0",
            "hypermesh_agent_refusals_total{reason=\"FailedMount\"} 1",
            "hypermesh_agent_panics_total{what=\"a \\\"duty\\\"\\n\"} 1",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
        assert!(text.lines().count() < 600, "what comes from outside does not grow it");
    }

    #[test]
    fn every_metric_has_its_help_and_stands_in_the_guide() {
        let mut text = String::new();
        Metrics::default().write(&mut text);
        let guide = include_str!("../../docs/guides/metrics.md");
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(names.len(), Family::ALL.len() + 1);
        for name in names {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
            assert!(guide.contains(&format!("`{name}`")), "{name} is not in the guide");
        }
    }
}
