//! What the controllers count, in Prometheus' text format.

use super::failure::FailureClass;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the duration histogram, in milliseconds.
const BOUNDS: [u64; 10] = [1, 2, 5, 10, 25, 100, 500, 2_500, 10_000, 60_000];

/// How a reconcile ended, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was as it should be.
    AsWanted,
    /// Something was written.
    Changed,
    /// The object is wrong.
    Invalid,
    /// The object is gone.
    Gone,
    /// It failed.
    Failed(FailureClass),
}

const RESULTS: [&str; 4] = ["as-wanted", "changed", "invalid", "gone"];

/// Counters of one controller.
#[derive(Debug, Default)]
pub struct ControllerMetrics {
    results: [AtomicU64; RESULTS.len()],
    failures: [AtomicU64; FailureClass::ALL.len()],
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
    /// Reconciles that were put off because their object asks too often.
    pub held_back: AtomicU64,
    /// Errors of the watches.
    pub watch_errors: AtomicU64,
    /// Objects that the watch has shown.
    pub objects: AtomicI64,
    /// Reconciles under way.
    pub in_flight: AtomicI64,
    /// Objects whose last reconcile failed.
    pub failing: AtomicI64,
    /// The watch has shown all that exists.
    pub synced: AtomicBool,
}

impl ControllerMetrics {
    /// Counts a reconcile.
    pub fn ended(&self, ended: Ended, took: Duration) {
        let slot = match ended {
            Ended::AsWanted => self.results.first(),
            Ended::Changed => self.results.get(1),
            Ended::Invalid => self.results.get(2),
            Ended::Gone => self.results.get(3),
            Ended::Failed(class) => {
                FailureClass::ALL.iter().position(|c| *c == class).and_then(|at| self.failures.get(at))
            }
        };
        if let Some(slot) = slot {
            slot.fetch_add(1, Relaxed);
        }
        let (millis, micros) = (took.as_millis(), took.as_micros());
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(micros).unwrap_or(u64::MAX), Relaxed);
        let bucket = BOUNDS.iter().position(|bound| millis <= u128::from(*bound));
        if let Some(bucket) = bucket.and_then(|at| self.buckets.get(at)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// How many reconciles have ended so, for tests.
    pub fn count(&self, ended: Ended) -> u64 {
        match ended {
            Ended::AsWanted => self.results[0].load(Relaxed),
            Ended::Changed => self.results[1].load(Relaxed),
            Ended::Invalid => self.results[2].load(Relaxed),
            Ended::Gone => self.results[3].load(Relaxed),
            Ended::Failed(class) => {
                let slot = FailureClass::ALL.iter().position(|c| *c == class);
                slot.and_then(|at| self.failures.get(at)).map_or(0, |slot| slot.load(Relaxed))
            }
        }
    }
}

/// Counters of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    controllers: Mutex<BTreeMap<&'static str, Arc<ControllerMetrics>>>,
    /// Whether this process leads.
    pub leading: AtomicBool,
    /// Whether it contends for a Lease that it has not been able to read yet.
    pub lease_unread: AtomicBool,
    /// How often it has begun to lead.
    pub terms: AtomicU64,
    /// How often it has lost the Lease.
    pub terms_lost: AtomicU64,
}

impl Metrics {
    /// The counters of a controller.
    pub fn of(&self, controller: &'static str) -> Arc<ControllerMetrics> {
        Arc::clone(self.controllers.lock().entry(controller).or_default())
    }

    /// Whether every controller's watch has shown all that exists; true as well where another process leads.
    pub fn synced(&self) -> bool {
        !self.leading.load(Relaxed) || self.controllers.lock().values().all(|c| c.synced.load(Relaxed))
    }

    /// The text that `/metrics` serves.
    pub fn render(&self) -> String {
        let controllers = self.controllers.lock().clone();
        let mut out = String::new();
        results(&mut out, &controllers);
        durations(&mut out, &controllers);
        type Get = fn(&ControllerMetrics) -> i64;
        let series: [(&str, &str, &str, Get); 6] = [
            (
                "reconciles_held_back_total",
                "counter",
                "Reconciles put off because their object asks too often.",
                |c| signed(&c.held_back),
            ),
            ("watch_errors_total", "counter", "Errors of the watch.", |c| signed(&c.watch_errors)),
            ("watched_objects", "gauge", "Objects that the watch has shown.", |c| c.objects.load(Relaxed)),
            ("reconciles_in_flight", "gauge", "Reconciles under way.", |c| c.in_flight.load(Relaxed)),
            ("failing_objects", "gauge", "Objects whose last reconcile failed.", |c| c.failing.load(Relaxed)),
            ("watch_synced", "gauge", "Whether the watch has shown all that exists.", |c| {
                i64::from(c.synced.load(Relaxed))
            }),
        ];
        for (name, kind, help, get) in series {
            let _ = writeln!(
                out,
                "# HELP hypermesh_controller_{name} {help}\n# TYPE hypermesh_controller_{name} {kind}"
            );
            for (controller, metrics) in &controllers {
                let _ = writeln!(
                    out,
                    "hypermesh_controller_{name}{{controller=\"{controller}\"}} {}",
                    get(metrics)
                );
            }
        }
        let process = [
            ("leading", "gauge", "Whether this process leads.", i64::from(self.leading.load(Relaxed))),
            ("terms_total", "counter", "How often it has begun to lead.", signed(&self.terms)),
            ("terms_lost_total", "counter", "How often it has lost the Lease.", signed(&self.terms_lost)),
        ];
        for (name, kind, help, value) in process {
            let name = format!("hypermesh_controllers_{name}");
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        out
    }
}

fn signed(counter: &AtomicU64) -> i64 {
    i64::try_from(counter.load(Relaxed)).unwrap_or(i64::MAX)
}

fn results(out: &mut String, controllers: &BTreeMap<&'static str, Arc<ControllerMetrics>>) {
    out.push_str("# HELP hypermesh_controller_reconciles_total Reconciles, by how they ended.\n");
    out.push_str("# TYPE hypermesh_controller_reconciles_total counter\n");
    for (controller, metrics) in controllers {
        for (result, count) in RESULTS.iter().zip(&metrics.results) {
            let _ = writeln!(
                out,
                "hypermesh_controller_reconciles_total{{controller=\"{controller}\",result=\"{result}\"}} {}",
                count.load(Relaxed)
            );
        }
        let failures = FailureClass::ALL.iter().zip(&metrics.failures).filter(|(_, n)| n.load(Relaxed) > 0);
        for (class, count) in failures {
            let _ = writeln!(
                out,
                "hypermesh_controller_reconciles_total{{controller=\"{controller}\",result=\"failed-{}\"}} {}",
                class.as_str(),
                count.load(Relaxed)
            );
        }
    }
}

fn durations(out: &mut String, controllers: &BTreeMap<&'static str, Arc<ControllerMetrics>>) {
    let name = "hypermesh_controller_reconcile_duration_seconds";
    let _ = writeln!(out, "# HELP {name} How long reconciles took.\n# TYPE {name} histogram");
    for (controller, metrics) in controllers {
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&metrics.buckets) {
            below += bucket.load(Relaxed);
            let le = *bound as f64 / 1e3;
            let _ = writeln!(out, "{name}_bucket{{controller=\"{controller}\",le=\"{le}\"}} {below}");
        }
        let (count, sum) = (metrics.count.load(Relaxed), metrics.micros.load(Relaxed) as f64 / 1e6);
        let _ = writeln!(out, "{name}_bucket{{controller=\"{controller}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{controller=\"{controller}\"}} {sum}");
        let _ = writeln!(out, "{name}_count{{controller=\"{controller}\"}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconciles_are_counted_by_how_they_ended() {
        let metrics = Metrics::default();
        let one = metrics.of("one");
        one.ended(Ended::Changed, Duration::from_millis(3));
        one.ended(Ended::Failed(FailureClass::Conflict), Duration::from_secs(100));
        assert_eq!((one.count(Ended::Changed), one.count(Ended::AsWanted)), (1, 0));
        assert_eq!(metrics.of("one").count(Ended::Failed(FailureClass::Conflict)), 1);
        let text = metrics.render();
        for line in [
            "hypermesh_controller_reconciles_total{controller=\"one\",result=\"changed\"} 1",
            "hypermesh_controller_reconciles_total{controller=\"one\",result=\"failed-conflict\"} 1",
            "hypermesh_controller_reconcile_duration_seconds_bucket{controller=\"one\",le=\"0.005\"} 1",
            "hypermesh_controller_reconcile_duration_seconds_bucket{controller=\"one\",le=\"60\"} 1",
            "hypermesh_controller_reconcile_duration_seconds_bucket{controller=\"one\",le=\"+Inf\"} 2",
            "hypermesh_controllers_leading 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_metric_has_its_help_and_stands_in_the_guide() {
        let metrics = Metrics::default();
        metrics.of("one");
        let guide = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guides/metrics.md"));
        let text = metrics.render();
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(names.len(), 11);
        for name in names {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
            assert!(guide.contains(&format!("`{name}`")), "{name} is not in the guide");
        }
    }

    #[test]
    fn a_process_that_does_not_lead_has_nothing_to_sync() {
        let metrics = Metrics::default();
        metrics.of("one");
        assert!(metrics.synced());
        metrics.leading.store(true, Relaxed);
        assert!(!metrics.synced());
        metrics.of("one").synced.store(true, Relaxed);
        assert!(metrics.synced());
    }
}
