//! What an instance's containers say: why one does not run, is not ready, or runs again and again. Pure.

use super::report::{Report, Weight};
use crate::output::age;
use jiff::Timestamp;
use serde_json::Value;

/// Adds what the containers of an instance have to say.
pub(super) fn explain(instance: &Value, report: &mut Report, now: Timestamp) {
    let list = |pointer: &str| instance.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let (namespace, name) = (report.namespace.clone(), report.name.clone());
    let ended =
        matches!(instance.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"));
    let inits = list("/status/initContainerStatuses").map(|status| (status, true));
    for (status, init) in inits.chain(list("/status/containerStatuses").map(|status| (status, false))) {
        let container = Container { status, init, place: (&namespace, &name) };
        container.explain(report, ended, now);
    }
}

struct Container<'a> {
    status: &'a Value,
    init: bool,
    /// Namespace and name of the instance.
    place: (&'a str, &'a str),
}

impl Container<'_> {
    fn text(&self, pointer: &str) -> &str {
        self.status.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.text("/name")
    }

    fn logs(&self, previous: bool) -> String {
        let (namespace, name) = self.place;
        let previous = if previous { " --previous" } else { "" };
        format!("nexusctl logs -n {namespace} {name} -c {}{previous}", self.name())
    }

    fn explain(&self, report: &mut Report, ended: bool, now: Timestamp) {
        let kind = if self.init { "init container" } else { "container" };
        let (name, reason) = (self.name(), self.text("/state/waiting/reason"));
        let restarts = self.status.pointer("/restartCount").and_then(Value::as_u64).unwrap_or_default();
        if self.status.pointer("/state/waiting").is_some() {
            self.waits(report, kind, reason, restarts, now);
        } else if let Some(end) = self.status.pointer("/state/terminated") {
            let code = end.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
            if code != 0 {
                let text = format!("{kind} {name} has ended: {}", self.end(end, now));
                report.because(Weight::Wrong, text, Some(self.logs(false)));
            } else if !self.init && !ended {
                report.because(Weight::Fact, format!("{kind} {name} has ended well"), None);
            }
        } else if self.status.pointer("/state/running").is_some() {
            let ready = self.status.pointer("/ready").and_then(Value::as_bool) == Some(true);
            let started = self.status.pointer("/started").and_then(Value::as_bool);
            if started == Some(false) {
                let text = format!("{kind} {name} runs, and its startup probe has not succeeded yet");
                report.because(Weight::Waits, text, Some(self.logs(false)));
            } else if !ready && !self.init {
                let text = format!("{kind} {name} runs, and its readiness probe does not succeed");
                report.because(Weight::Waits, text, Some(self.logs(false)));
            }
            if restarts > 0 {
                let last = self.status.pointer("/lastState/terminated");
                let last =
                    last.map(|end| format!("; before that, {}", self.end(end, now))).unwrap_or_default();
                let text = format!("{kind} {name} was started again {}{last}", times(restarts));
                report.because(Weight::Fact, text, Some(self.logs(true)));
            }
        }
    }

    fn waits(&self, report: &mut Report, kind: &str, reason: &str, restarts: u64, now: Timestamp) {
        let (name, message) = (self.name(), self.text("/state/waiting/message"));
        let said = if message.is_empty() { String::new() } else { format!(": {}", plain(message)) };
        match reason {
            "ContainerCreating" | "PodInitializing" | "" => {
                report.because(Weight::Waits, format!("{kind} {name} is about to start{said}"), None);
            }
            "CrashLoopBackOff" => {
                let last = self.status.pointer("/lastState/terminated");
                let last = last.map(|end| format!(": {}", self.end(end, now))).unwrap_or(said);
                let text = format!("{kind} {name} ends soon after each start ({}){last}", times(restarts));
                report.because(Weight::Wrong, text, Some(self.logs(true)));
            }
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                let image = self.text("/image");
                let image = if image.is_empty() { String::new() } else { format!(" {image}") };
                let (why, hint) = no_image(reason, &image, message);
                let text = format!("{kind} {name} has no image: {why} ({reason}){said}");
                report.because(Weight::Wrong, text, Some(hint.to_owned()));
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                let text = format!("{kind} {name} cannot be started ({reason}){said}");
                report.because(Weight::Wrong, text, None);
            }
            other => report.because(Weight::Waits, format!("{kind} {name} waits ({other}){said}"), None),
        }
    }

    /// How a run ended: `exit code 137 (OOMKilled), 2m ago`.
    fn end(&self, end: &Value, now: Timestamp) -> String {
        let text = |field: &str| end.get(field).and_then(Value::as_str).unwrap_or_default();
        let code = end.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
        let signal = end.get("signal").and_then(Value::as_i64);
        let how = match (text("reason"), signal) {
            ("OOMKilled", _) => {
                format!("exit code {code}: it used more memory than its limit allows (OOMKilled)")
            }
            ("" | "Error" | "Completed", Some(signal)) => format!("signal {signal} (exit code {code})"),
            ("" | "Error" | "Completed", None) => format!("exit code {code}"),
            (reason, _) => format!("exit code {code} ({reason})"),
        };
        let message = text("message");
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        let when = text("finishedAt");
        let when = if when.is_empty() { String::new() } else { format!(", {} ago", age::since(when, now)) };
        format!("{how}{when}{message}")
    }
}

/// Why there is no image, and what to do about it, by what the registry or the way there said.
fn no_image(reason: &str, image: &str, message: &str) -> (String, &'static str) {
    const NOT_LET_IN: [&str; 8] =
        ["401", "403", "404", "unauthorized", "denied", "forbidden", "not found", "unknown"];
    match reason {
        "ErrImageNeverPull" => (
            format!("the node does not have{image}, and may not pull it (imagePullPolicy is Never)"),
            "`nexusctl image import` puts it there",
        ),
        "InvalidImageName" => (
            format!(
                "{} is no name of an image",
                if image.is_empty() { "what it names" } else { image.trim() }
            ),
            "write it as REPOSITORY:TAG or REGISTRY/REPOSITORY:TAG, in lower case",
        ),
        _ => {
            let lowered = message.to_lowercase().replace("service not known", "");
            let refused = NOT_LET_IN.iter().any(|word| lowered.contains(word));
            let hint = match message.is_empty() || refused {
                true => {
                    "see that the name is right, and that imagePullSecrets names a Secret that may pull it"
                }
                false => {
                    "see that its node reaches the registry (a mirror, or plain HTTP, is its agent's to allow); it is \
                     tried again by itself"
                }
            };
            (format!("pulling{image} fails"), hint)
        }
    }
}

/// A message without the instance's own name and uid, which kubelet's words repeat.
pub(super) fn plain(message: &str) -> String {
    message.split(' ').filter(|word| !word.starts_with("pod=")).collect::<Vec<_>>().join(" ")
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_an_image_follows_from_what_was_said() {
        let hint = |reason: &str, message: &str| no_image(reason, " app:1", message).1;
        for refused in ["", "401 Unauthorized", "manifest unknown", "app:1 was not found there"] {
            assert!(hint("ErrImagePull", refused).contains("imagePullSecrets"), "{refused}");
        }
        for away in ["Connection refused (os error 111)", "name or service not known", "certificate expired"]
        {
            assert!(hint("ImagePullBackOff", away).contains("reaches the registry"), "{away}");
        }
        assert!(no_image("ErrImageNeverPull", " app:1", "").0.contains("imagePullPolicy is Never"));
        assert!(no_image("InvalidImageName", " App", "").0.starts_with("App is no name"));
        let kubelet = "back-off 40s restarting failed container=c pod=web-1_default(0a)";
        assert_eq!(plain(kubelet), "back-off 40s restarting failed container=c");
    }
}
