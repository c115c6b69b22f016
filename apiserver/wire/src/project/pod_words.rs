//! The row of a Pod: its words for what it is doing.
//!
//! Words and their precedence are those of `k8s.io/kubernetes/pkg/printers/internalversion` (printPod), which scripts and
//! people know: `CrashLoopBackOff`, `Init:0/1`, `Completed`, `Terminating`.

use super::{at, condition, list, text};
use crate::age::{age, human_duration, unix_seconds};
use serde_json::Value;

/// Cells of a Pod: name, ready, status, restarts, age; address, node, nominated node, readiness gates.
pub(super) fn row(pod: &Value, now: i64) -> Vec<Value> {
    let told = tell(pod);
    let or_none = |words: &str| Value::from(if words.is_empty() { "<none>" } else { words });
    let restarts = match told.last_restart {
        Some(last) if told.restarts > 0 => {
            format!("{} ({} ago)", told.restarts, human_duration(now.saturating_sub(last)))
        }
        _ => told.restarts.to_string(),
    };
    let created = text(pod, &["metadata", "creationTimestamp"]);
    vec![
        text(pod, &["metadata", "name"]).into(),
        format!("{}/{}", told.ready, told.containers).into(),
        told.status.into(),
        restarts.into(),
        Value::from(if created.is_empty() { "<unknown>".to_owned() } else { age(created, now) }),
        or_none(text(pod, &["status", "podIP"])),
        or_none(text(pod, &["spec", "nodeName"])),
        or_none(""),
        or_none(""),
    ]
}

/// What the cells say.
struct Told {
    status: String,
    containers: usize,
    ready: usize,
    restarts: u64,
    /// When one last ended and was started again, in seconds since 1970.
    last_restart: Option<i64>,
}

/// Restarts of some containers.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: u64,
    last: Option<i64>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container.get("restartCount").and_then(Value::as_u64).unwrap_or_default();
        let ended = unix_seconds(text(container, &["lastState", "terminated", "finishedAt"]));
        self.last = self.last.max(ended);
    }
}

fn is_sidecar(pod: &Value, name: &str) -> bool {
    let init = list(pod, &["spec", "initContainers"]);
    init.iter().any(|c| text(c, &["name"]) == name && text(c, &["restartPolicy"]) == "Always")
}

fn flag(container: &Value, key: &str) -> bool {
    container.get(key) == Some(&Value::Bool(true))
}

/// `reason`, or how a container ended that gives none.
fn ending(terminated: &Value) -> String {
    let number = |key| terminated.get(key).and_then(Value::as_i64).unwrap_or_default();
    match (text(terminated, &["reason"]), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn tell(pod: &Value) -> Told {
    let phase = text(pod, &["status", "phase"]);
    let reason = text(pod, &["status", "reason"]);
    let init = list(pod, &["spec", "initContainers"]);
    let sidecars = init.iter().filter(|c| text(c, &["restartPolicy"]) == "Always").count();
    let mut told = Told {
        status: if reason.is_empty() { phase } else { reason }.to_owned(),
        containers: list(pod, &["spec", "containers"]).len() + sidecars,
        ready: 0,
        restarts: 0,
        last_restart: None,
    };
    let mut restarts = Restarts::default();
    let mut of_sidecars = Restarts::default();
    let initializing = initializing(pod, &mut told, &mut restarts, &mut of_sidecars);
    if let Some(word) = &initializing {
        told.status.clone_from(word);
    }
    if initializing.is_none() || condition(pod, "Initialized") == Some(true) {
        restarts = of_sidecars;
        running(pod, &mut told, &mut restarts);
    }
    let deleted = at(pod, &["metadata", "deletionTimestamp"]).is_some();
    if deleted && reason == "NodeLost" {
        told.status = "Unknown".to_owned();
    } else if deleted && !matches!(phase, "Succeeded" | "Failed") {
        told.status = "Terminating".to_owned();
    }
    told.restarts = restarts.count;
    told.last_restart = restarts.last;
    told
}

/// The word for the first container of `initContainers` that holds the others up; `None` where none does.
fn initializing(
    pod: &Value,
    told: &mut Told,
    restarts: &mut Restarts,
    of_sidecars: &mut Restarts,
) -> Option<String> {
    let count = list(pod, &["spec", "initContainers"]).len();
    for (i, container) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        restarts.add(container);
        let sidecar = is_sidecar(pod, text(container, &["name"]));
        if sidecar {
            of_sidecars.add(container);
        }
        let terminated = at(container, &["state", "terminated"]);
        let waits = text(container, &["state", "waiting", "reason"]);
        match terminated {
            Some(ended) if ended.get("exitCode").and_then(Value::as_i64) == Some(0) => {}
            _ if sidecar && flag(container, "started") => told.ready += usize::from(flag(container, "ready")),
            Some(ended) => return Some(format!("Init:{}", ending(ended))),
            None if !waits.is_empty() && waits != "PodInitializing" => return Some(format!("Init:{waits}")),
            None => return Some(format!("Init:{i}/{count}")),
        }
    }
    None
}

/// Adds what the containers say that run side by side; the first of them has the last word.
fn running(pod: &Value, told: &mut Told, restarts: &mut Restarts) {
    let mut one_runs = false;
    for container in list(pod, &["status", "containerStatuses"]).iter().rev() {
        restarts.add(container);
        let waits = text(container, &["state", "waiting", "reason"]);
        if !waits.is_empty() {
            waits.clone_into(&mut told.status);
        } else if let Some(ended) = at(container, &["state", "terminated"]) {
            told.status = ending(ended);
        } else if flag(container, "ready") && at(container, &["state", "running"]).is_some() {
            one_runs = true;
            told.ready += 1;
        }
    }
    // One has ended, and another goes on.
    if told.status == "Completed" && one_runs {
        let ready = condition(pod, "Ready") == Some(true);
        told.status = if ready { "Running" } else { "NotReady" }.to_owned();
    }
}
