//! Whether an object is as its spec asks, as far as it says so itself. Pure.
//!
//! The rules are those that `kstatus` made common: a controller must have seen the newest generation, and the condition
//! that sums up the others must be true.

use serde_json::Value;

/// Conditions that sum up an object, by the names that kinds give them.
const SUMMARIES: [&str; 4] = ["Ready", "Available", "Complete", "Established"];
/// Conditions that say that an object will not get there by itself.
const FAILURES: [&str; 2] = ["Failed", "Stalled"];

/// Why a rollout does not go on.
const STUCK: &str = "ProgressDeadlineExceeded";

/// Whether an object is as its spec asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// It is, or it has nothing to become.
    Ready,
    /// Not yet, for this reason.
    Waiting(String),
    /// It cannot get there without help.
    Failed(String),
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Judges an object.
pub(in super::super) fn verdict(object: &Value) -> Verdict {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Verdict::Failed(held(object));
    }
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let generation = number("/metadata/generation");
    let behind = |seen: Option<i64>| seen.zip(generation).is_some_and(|(seen, generation)| seen < generation);
    if behind(number("/status/observedGeneration")) {
        return Verdict::Waiting(unseen(number("/status/observedGeneration"), generation));
    }
    let conditions: Vec<&Value> =
        object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten().collect();
    let fails = |condition: &&&Value| match text(condition, "type") {
        "Progressing" => text(condition, "reason") == STUCK,
        kind => FAILURES.contains(&kind) && text(condition, "status") == "True",
    };
    let failure = conditions.iter().find(fails);
    if let Some(failure) = failure {
        return Verdict::Failed(told(failure));
    }
    let summary = SUMMARIES.iter().find_map(|kind| conditions.iter().find(|c| text(c, "type") == *kind));
    match summary {
        None => Verdict::Ready,
        Some(summary) => {
            let seen = summary.get("observedGeneration").and_then(Value::as_i64);
            match text(summary, "status") {
                "True" if behind(seen) => Verdict::Waiting(unseen(seen, generation)),
                "True" => Verdict::Ready,
                _ => Verdict::Waiting(told(summary)),
            }
        }
    }
}

fn unseen(seen: Option<i64>, generation: Option<i64>) -> String {
    let (seen, generation) = (seen.unwrap_or_default(), generation.unwrap_or_default());
    format!("its controller has seen generation {seen}, not yet {generation}")
}

/// `Ready=False (ImagePull): no such image`
fn told(condition: &Value) -> String {
    let mut words = format!("{}={}", text(condition, "type"), text(condition, "status"));
    if !text(condition, "reason").is_empty() {
        words.push_str(&format!(" ({})", text(condition, "reason")));
    }
    if !text(condition, "message").is_empty() {
        words.push_str(": ");
        words.push_str(text(condition, "message"));
    }
    crate::output::escape(&words)
}

/// What keeps an object that is being deleted.
pub(super) fn held(object: &Value) -> String {
    let finalizers: Vec<&str> = ["/metadata/finalizers", "/spec/finalizers"]
        .iter()
        .filter_map(|pointer| object.pointer(pointer)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if finalizers.is_empty() {
        "it is being deleted".to_owned()
    } else {
        crate::output::escape(&format!("it is being deleted, held by {}", finalizers.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(object: Value) -> Verdict {
        verdict(&object)
    }

    #[test]
    fn what_says_nothing_is_ready() {
        assert_eq!(of(json!({"kind": "ConfigMap", "metadata": {"name": "x"}})), Verdict::Ready);
    }

    #[test]
    fn a_stale_condition_does_not_count() {
        let object = |seen: i64, status: &str| {
            json!({"metadata": {"generation": 2}, "status": {"conditions": [{
                "type": "Ready", "status": status, "observedGeneration": seen, "reason": "R", "message": "m",
            }]}})
        };
        assert_eq!(of(object(2, "True")), Verdict::Ready);
        assert_eq!(
            of(object(1, "True")),
            Verdict::Waiting("its controller has seen generation 1, not yet 2".into())
        );
        assert_eq!(of(object(2, "False")), Verdict::Waiting("Ready=False (R): m".into()));
    }

    #[test]
    fn failures_and_deletions_end_the_waiting() {
        let failed =
            json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "Deadline"}]}});
        assert_eq!(of(failed), Verdict::Failed("Failed=True (Deadline)".into()));
        let progress = |status: &str, reason: &str| {
            json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "R"},
            {"type": "Progressing", "status": status, "reason": reason}]}})
        };
        let stuck = of(progress("False", "ProgressDeadlineExceeded"));
        assert_eq!(stuck, Verdict::Failed("Progressing=False (ProgressDeadlineExceeded)".into()));
        assert!(matches!(of(progress("True", "RolloutProgressing")), Verdict::Waiting(_)));
        let going = json!({"metadata": {"deletionTimestamp": "x", "finalizers": ["a/b"]}});
        assert_eq!(of(going), Verdict::Failed("it is being deleted, held by a/b".into()));
        let behind = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": 2}});
        assert!(matches!(of(behind), Verdict::Waiting(_)));
    }
}
