//! The pure steps, over the states that a node can be found in.

use super::build;
use super::vigil::Voice;
use super::*;
use crate::runtime::Key;
use crate::runtime::conditions::Holds;
use crate::scheduler::plan::demand;
use hypermesh_schemas::condition::{Condition, ConditionStatus};
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T01:00:00Z";

fn build(valid: &Valid) -> Plan {
    build::build(valid, &Timing::default())
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ready(status: ConditionStatus, reason: &str, since: &str) -> Condition {
    Condition {
        kind: "Ready".to_owned(),
        status,
        observed_generation: Some(1),
        last_transition_time: since.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
    }
}

fn resident(name: &str, tolerations: Value) -> Resident {
    Resident {
        key: Key::namespaced("n", name),
        uid: format!("uid-{name}"),
        leaving: false,
        phase: "Running".to_owned(),
        reason: String::new(),
        tolerations: serde_json::from_value(tolerations).unwrap(),
        generation: Some(1),
        conditions: Vec::new(),
    }
}

fn well() -> Valid {
    let observed = Observed {
        now: NOW.parse().unwrap(),
        voice: Voice { silent: None, back: None },
        heard: Some("2026-01-01T00:59:58Z".to_owned()),
        tainted: Vec::new(),
        storm: None,
        residents: Vec::new(),
    };
    let ready = Some(ready(ConditionStatus::True, "AgentReady", "2026-01-01T00:00:00Z"));
    Valid {
        name: "a".to_owned(),
        leaving: false,
        taints: Vec::new(),
        ready,
        held: None,
        short_of: Vec::new(),
        observed,
    }
}

/// A node that has been known to be silent for `seconds`.
fn silent(seconds: i64) -> Valid {
    let mut valid = well();
    let now: jiff::Timestamp = NOW.parse().unwrap();
    let since = now - jiff::SignedDuration::from_secs(seconds);
    valid.ready = Some(ready(ConditionStatus::Unknown, NOT_HEARD, &since.to_string()));
    valid.taints = taint(UNREACHABLE, TaintEffect::NoExecute).into_iter().collect();
    valid.observed.voice.silent = Some(s(100));
    valid.observed.tainted = vec![s(0)];
    valid
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.evictions.iter().map(|eviction| &*eviction.key.name).collect()
}

#[test]
fn a_node_that_is_as_it_says_is_left_alone() {
    let plan = build(&well());
    assert_eq!(plan, Plan { again: Timing::default().every, ..Plan::default() });
    assert_eq!(plan.to_string(), "the node is as it says");
    // One that has not said anything yet has time to do so.
    let new = Valid { ready: Some(ready(ConditionStatus::Unknown, "NoController", NOW)), ..well() };
    assert_eq!(build(&new), plan);
}

#[test]
fn a_node_that_is_not_heard_of_is_said_to_be_so_and_so_are_its_instances() {
    let mut valid = well();
    valid.observed.voice.silent = Some(s(40));
    valid.observed.residents = vec![
        resident("one", json!([])),
        Resident { phase: "Unknown".to_owned(), ..resident("two", json!([])) },
    ];
    let plan = build(&valid);
    let said = plan.ready.as_ref().unwrap();
    assert_eq!((said.status, &*said.reason), (Holds::Unknown, NOT_HEARD));
    assert_eq!(
        said.message,
        "its agent was last heard of at 2026-01-01T00:59:58Z; before that, Ready was True (AgentReady)"
    );
    assert_eq!(
        plan.taints.as_ref().unwrap().iter().map(|t| t.key.as_str()).collect::<Vec<_>>(),
        [UNREACHABLE]
    );
    assert_eq!(plan.unknown.len(), 1);
    assert!(plan.evictions.is_empty());
    // Said once.
    let plan = build(&silent(10));
    assert_eq!((plan.ready, plan.taints), (None, None));
}

#[test]
fn instances_leave_a_silent_node_when_their_patience_ends() {
    let mut valid = silent(299);
    let short =
        json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}]);
    let ever = json!([{"operator": "Exists"}]);
    let elsewhere = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 900, "effect": "NoExecute"}]);
    valid.observed.residents = vec![
        resident("plain", json!([])),
        resident("short", short),
        resident("ever", ever),
        resident("elsewhere", elsewhere),
    ];
    let plan = build(&valid);
    assert_eq!(names(&plan), ["short"]);
    assert_eq!(plan.again, s(1), "the next one is due in a second");
    assert!(plan.evictions[0].taint.is_none(), "nobody is there to end it gracefully");
    let later = Valid { ready: silent(300).ready, ..valid.clone() };
    assert_eq!(names(&build(&later)), ["plain", "short"]);
    // One that was deleted already waits for nobody either.
    let mut leaving = silent(300);
    leaving.observed.residents = vec![Resident { leaving: true, ..resident("going", json!([])) }];
    assert_eq!(names(&build(&leaving)), ["going"]);
    // Too many are silent.
    let mut storm = later;
    storm.observed.storm = Some((3, 5));
    let plan = build(&storm);
    assert!(plan.evictions.is_empty());
    let held = plan.held.as_ref().unwrap();
    assert!(held.status == Holds::True && held.message.starts_with("3 of 5 nodes"), "{held:?}");
}

#[test]
fn a_node_that_is_back_speaks_for_itself_or_is_spoken_for() {
    let mut valid = silent(100);
    valid.observed.voice = Voice { silent: None, back: Some(s(5)) };
    valid.observed.residents = vec![resident("stays", json!([]))];
    let plan = build(&Valid { ready: silent(900).ready, ..valid.clone() });
    assert!(plan.evictions.is_empty(), "whoever is still there when the node is back stays");
    let retold = Resident { reason: ITS_NODE.to_owned(), ..resident("retold", json!([])) };
    let still = Resident { phase: "Unknown".to_owned(), ..retold.clone() };
    valid.observed.residents = vec![retold.clone(), still];
    let plan = build(&valid);
    assert_eq!(plan.known, [retold], "what was said instead of the agent is taken back once it speaks");
    assert_eq!((plan.ready, plan.taints), (None, None), "its agent has a moment to say how it is");
    valid.observed.voice.back = Some(Timing::default().restore);
    let plan = build(&valid);
    assert_eq!(plan.ready.unwrap().status, Holds::True);
    assert_eq!(plan.taints, Some(Vec::new()));
    // It said so itself.
    valid.ready = Some(ready(ConditionStatus::True, "AgentReady", NOW));
    let plan = build(&valid);
    assert_eq!((plan.ready, plan.taints), (None, Some(Vec::new())));
    // It said that it is not.
    valid.ready = Some(ready(ConditionStatus::False, "RuntimeDown", NOW));
    let keys: Vec<String> = build(&valid).taints.unwrap().iter().map(|t| t.key.to_string()).collect();
    assert_eq!(keys, [NOT_READY]);
}

#[test]
fn nothing_new_comes_to_a_node_that_is_short_of_something_and_what_is_there_stays() {
    let mut valid = well();
    valid.observed.residents = vec![resident("a", json!([]))];
    valid.short_of = vec!["DiskPressure", "NetworkUnavailable"];
    let plan = build(&valid);
    let told: Vec<String> = plan.taints.clone().unwrap().iter().map(demand::show).collect();
    assert_eq!(
        told,
        [
            "node.hypermesh.online/disk-pressure:NoSchedule",
            "node.hypermesh.online/network-unavailable:PreferNoSchedule"
        ]
    );
    assert!(plan.evictions.is_empty());
    valid.taints = plan.taints.unwrap();
    assert_eq!(build(&valid).taints, None, "said once");
    valid.short_of.clear();
    assert_eq!(build(&valid).taints, Some(Vec::new()));
}

#[test]
fn taints_that_people_set_end_instances_that_do_not_tolerate_them() {
    let mut valid = well();
    let broken: Taint =
        serde_json::from_value(json!({"key": "disk", "value": "bad", "effect": "NoExecute"})).unwrap();
    let shy: Taint = serde_json::from_value(json!({"key": "disk", "effect": "NoSchedule"})).unwrap();
    valid.taints = vec![shy, broken];
    valid.observed.tainted = vec![s(20)];
    let tolerates = |seconds: Value| json!([{"key": "disk", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    valid.observed.residents = vec![
        resident("plain", json!([])),
        resident("ever", tolerates(Value::Null)),
        resident("over", tolerates(json!(20))),
        resident("soon", tolerates(json!(24))),
        Resident { leaving: true, ..resident("going", json!([])) },
    ];
    let plan = build(&valid);
    assert_eq!(names(&plan), ["plain", "over"]);
    assert_eq!(plan.evictions[0].taint.as_deref(), Some("disk=bad:NoExecute"));
    assert_eq!(plan.again, s(4));
    assert_eq!(plan.taints, None, "they are not ours to change");
}
