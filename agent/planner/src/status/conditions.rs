//! Aspects of an instance's state, with kubelet's types, reasons and messages.

use super::{Surroundings, Tell, time};
use crate::instance::Role;
use hypermesh_schemas::condition::{Condition, ConditionStatus};
use hypermesh_schemas::instance::{ContainerStatus, InstancePhase, InstanceStatus};
use jiff::Timestamp;

pub(super) fn conditions(
    tell: &Tell<'_>,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    phase: InstancePhase,
    surroundings: Surroundings<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let ended = matches!(phase, InstancePhase::Succeeded | InstancePhase::Failed);
    let sidecars = tell.instance.containers().filter(|(role, _)| *role == Role::Sidecar);
    let sidecars: Vec<&str> = sidecars.map(|(_, container)| container.name.as_str()).collect();
    let counted = || main.iter().chain(init.iter().filter(|status| sidecars.contains(&status.name.as_str())));
    let unready: Vec<&str> =
        counted().filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    let incomplete: Vec<&str> = tell
        .instance
        .containers()
        .filter(|(role, container)| {
            let record = tell.record.container(container.name.as_str());
            *role != Role::Main && !record.is_some_and(|record| record.passed || tell.is_done(*role, record))
        })
        .map(|(_, container)| container.name.as_str())
        .collect();
    let sandbox = tell.record.sandbox.stage.ready;
    let mut aspects = vec![
        aspect("PodScheduled", true, "Bound", String::new()),
        aspect(
            "PodReadyToStartContainers",
            sandbox,
            if sandbox { "SandboxReady" } else { "SandboxNotReady" },
            String::new(),
        ),
    ];
    aspects.push(if incomplete.is_empty() {
        aspect("Initialized", true, "ContainersInitialized", String::new())
    } else {
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        aspect("Initialized", false, "ContainersNotInitialized", message)
    });
    let (ready, reason, message) = match phase {
        InstancePhase::Succeeded => (false, "PodCompleted", String::new()),
        InstancePhase::Failed => (false, "PodFailed", String::new()),
        _ if !unready.is_empty() => {
            (false, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
        }
        _ => (true, "ContainersReady", String::new()),
    };
    aspects.push(aspect("ContainersReady", ready, reason, message.clone()));
    aspects.push(if ready && tell.instance.ending.is_some() {
        aspect("Ready", false, "Terminating", "the instance is to go: it gets no new traffic".to_owned())
    } else {
        aspect("Ready", ready, reason, message)
    });
    if let Some(eviction) = &tell.record.eviction {
        aspects.push(aspect("DisruptionTarget", true, "TerminationByKubelet", eviction.message.clone()));
    } else if let (false, Some(message)) = (ended, tell.held_up()) {
        aspects.push(aspect("Stuck", true, "Refused", message));
    }
    let unlogged = |(name, container): (&String, &crate::record::ContainerRecord)| {
        Some(format!("what container {name} writes is lost: {}", container.unlogged.as_ref()?))
    };
    let unlogged: Vec<String> = tell.record.containers.iter().filter_map(unlogged).collect();
    if !unlogged.is_empty() {
        aspects.push(aspect("LogsKept", false, "LogFailed", super::cut(&unlogged.join("; "))));
    }
    if let Some(unpublished) = surroundings.unpublished.filter(|_| !ended) {
        aspects.push(aspect("PortsPublished", false, unpublished.reason, super::cut(unpublished.message)));
    }
    let previous = surroundings.previous;
    aspects.into_iter().map(|aspect| dated(aspect, tell.instance.generation, previous, now)).collect()
}

struct Aspect {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn aspect(kind: &'static str, holds: bool, reason: &'static str, message: String) -> Aspect {
    Aspect { kind, holds, reason, message }
}

/// With the time of its last change.
fn dated(aspect: Aspect, generation: i64, previous: Option<&InstanceStatus>, now: Timestamp) -> Condition {
    let status = if aspect.holds { ConditionStatus::True } else { ConditionStatus::False };
    let before = previous.into_iter().flat_map(|previous| &previous.conditions);
    let same = before.into_iter().find(|before| before.kind == aspect.kind && before.status == status);
    Condition {
        kind: aspect.kind.to_owned(),
        status,
        observed_generation: Some(generation),
        last_transition_time: same.map_or_else(|| time(now), |same| same.last_transition_time.clone()),
        reason: aspect.reason.to_owned(),
        message: aspect.message,
    }
}

#[cfg(test)]
mod tests {
    use crate::record::Record;
    use crate::{Surroundings, Unpublished, status};
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn what_is_lost_of_logs_is_told_until_it_is_kept_again() {
        let instance = crate::tests::instance(json!({"containers": [{"name": "a", "image": "a"}]}));
        let mut record = Record::default();
        record.containers.entry("a".to_owned()).or_default().attempt = 1;
        let mut learn = |attempt, lost: Option<&str>| {
            let (container, lost) = ("a".to_owned(), lost.map(str::to_owned));
            let outcome = crate::Outcome::Logged { container, attempt, lost };
            let notices = record.learn(&instance, outcome, Timestamp::UNIX_EPOCH);
            let status = status(&instance, &record, Surroundings::default(), Timestamp::UNIX_EPOCH);
            let told = status.conditions.into_iter().find(|condition| condition.kind == "LogsKept");
            let told = told.map(|condition| (condition.status, condition.reason, condition.message));
            (notices.into_iter().map(|notice| notice.reason).collect::<Vec<_>>(), told)
        };
        assert_eq!(learn(0, Some("no space")), (vec![], None), "of a run that is over");
        let (reasons, told) = learn(1, Some("No space left on device"));
        let (status, reason, message) = told.unwrap();
        assert_eq!((reasons, reason.as_str()), (vec!["LogFailed"], "LogFailed"));
        assert_eq!(status, hypermesh_schemas::condition::ConditionStatus::False);
        assert_eq!(message, "what container a writes is lost: No space left on device");
        assert_eq!(learn(1, None), (vec!["LogKept"], None));
    }

    #[test]
    fn ports_that_are_not_reached_are_told_until_they_are() {
        let instance = crate::tests::instance(json!({"containers": [{"name": "a", "image": "a"}]}));
        let told = |unpublished| {
            let around = Surroundings { unpublished, ..Surroundings::default() };
            let status = status(&instance, &Record::default(), around, Timestamp::UNIX_EPOCH);
            status.conditions.into_iter().find(|condition| condition.kind == "PortsPublished")
        };
        assert_eq!(told(None), None);
        let condition = told(Some(Unpublished { reason: "PortTaken", message: "80/tcp" })).unwrap();
        assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("PortTaken", "80/tcp"));
        assert_eq!(condition.status, hypermesh_schemas::condition::ConditionStatus::False);
    }
}
