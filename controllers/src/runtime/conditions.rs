//! Conditions of an object: what changes in them, and whether anything has to be written. Pure.
//!
//! The form is that of `meta/v1` Condition: `lastTransitionTime` moves when the status does and at no other time.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What a controller wants to say of one aspect of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The aspect, such as `Ready`.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: Holds,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
}

/// Whether an aspect holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Holds {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The condition as it has to be written over those that are there, or `None` if it is there already.
///
/// `generation` is that of the object that was looked at; kinds without one have conditions without
/// `observedGeneration`.
pub fn settle(
    current: &[Value],
    wanted: &Condition,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Value> {
    let was = find(current, wanted.kind);
    let text = |field: &str| was.and_then(|was| was.get(field)).and_then(Value::as_str);
    let same_status = text("status") == Some(wanted.status.as_str());
    let since = text("lastTransitionTime").filter(|_| same_status);
    let observed = was.and_then(|was| was.get("observedGeneration")).and_then(Value::as_i64);
    let same = same_status
        && since.is_some()
        && text("reason") == Some(wanted.reason.as_str())
        && text("message") == Some(wanted.message.as_str())
        && observed == generation;
    if same {
        return None;
    }
    let mut condition = Map::new();
    condition.insert("type".into(), wanted.kind.into());
    condition.insert("status".into(), wanted.status.as_str().into());
    condition.insert("reason".into(), wanted.reason.as_str().into());
    condition.insert("message".into(), wanted.message.as_str().into());
    condition.insert("lastTransitionTime".into(), since.map_or_else(|| seconds(now), str::to_owned).into());
    if let Some(generation) = generation {
        condition.insert("observedGeneration".into(), generation.into());
    }
    Some(Value::Object(condition))
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
}

/// A server-side apply of an object's conditions: those given and no others are the writer's from then on.
pub fn apply(api_version: &str, kind: &str, name: &str, conditions: &[Value]) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name},
        "status": {"conditions": conditions},
    })
}

/// RFC 3339 to the second, as `meta/v1` Time is.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wanted(status: Holds, reason: &str) -> Condition {
        Condition { kind: "Ready", status, reason: reason.to_owned(), message: "m".to_owned() }
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let first = settle(&[], &wanted(Holds::False, "A"), Some(1), at(100)).unwrap();
        assert_eq!(first["lastTransitionTime"], "1970-01-01T00:01:40Z");
        assert_eq!(first["observedGeneration"], 1);
        assert_eq!(settle(std::slice::from_ref(&first), &wanted(Holds::False, "A"), Some(1), at(200)), None);
        // Looked at a newer generation: that is worth a write, and no transition.
        let seen =
            settle(std::slice::from_ref(&first), &wanted(Holds::False, "A"), Some(2), at(200)).unwrap();
        assert_eq!(
            (&seen["observedGeneration"], &seen["lastTransitionTime"]),
            (&json!(2), &first["lastTransitionTime"])
        );
        let turned = settle(&[first], &wanted(Holds::True, "B"), Some(2), at(200)).unwrap();
        assert_eq!(turned["lastTransitionTime"], "1970-01-01T00:03:20Z");
    }

    #[test]
    fn kinds_without_a_generation_observe_none() {
        let first = settle(&[], &wanted(Holds::True, "A"), None, at(1)).unwrap();
        assert_eq!(first.get("observedGeneration"), None);
        assert_eq!(settle(&[first], &wanted(Holds::True, "A"), None, at(2)), None);
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        let status = prop_oneof![Just(Holds::True), Just(Holds::False), Just(Holds::Unknown)];
        (status, "[A-C]", "[a-c]{0,2}").prop_map(|(status, reason, message)| Condition {
            kind: "Ready",
            status,
            reason,
            message,
        })
    }

    proptest! {
        #[test]
        fn settling_twice_writes_once(
            steps in prop::collection::vec((any_condition(), prop::option::of(0_i64..3)), 1..20),
        ) {
            let mut current: Vec<Value> = vec![json!({"type": "Other", "status": "True"})];
            for (at_step, (wanted, generation)) in steps.into_iter().enumerate() {
                let now = at(i64::try_from(at_step).unwrap());
                if let Some(condition) = settle(&current, &wanted, generation, now) {
                    current.retain(|c| c["type"] != "Ready");
                    current.push(condition);
                }
                prop_assert_eq!(settle(&current, &wanted, generation, at(1_000)), None);
                prop_assert!(find(&current, "Other").is_some());
            }
        }

        #[test]
        fn whatever_lies_in_a_status_is_survived(text in "[ -~]{0,40}") {
            let odd = [json!(text), json!({"type": 1}), json!({"type": "Ready", "status": {"a": 1}}), Value::Null];
            prop_assert!(settle(&odd, &wanted(Holds::True, "A"), Some(1), at(1)).is_some());
        }
    }
}
