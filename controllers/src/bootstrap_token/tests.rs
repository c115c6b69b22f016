//! The pure steps: over every time a token may name.

use super::build::build;
use super::validate::validate;
use super::*;
use crate::runtime::Key;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn token(n: usize, expiration: Option<String>) -> Token {
    Token {
        name: format!("bootstrap-token-{n}"),
        uid: n.to_string(),
        resource_version: "1".into(),
        expiration,
    }
}

fn plan(namespace: &str, tokens: Vec<Token>) -> Plan {
    let subject = Subject {
        resource: ApiResource::erase::<Namespace>(&()),
        key: Key::cluster(namespace),
        object: Namespace::default(),
    };
    build(validate(&subject, Observed { now: now(), tokens }), LOOK)
}

fn at(seconds: i64) -> Option<String> {
    Some((now() + SignedDuration::from_secs(seconds)).to_string())
}

#[test]
fn what_has_expired_goes_and_nothing_else() {
    let tokens = vec![
        token(0, at(-1)),
        token(1, at(0)),
        token(2, at(30)),
        token(3, None),
        token(4, Some("soon".to_owned())),
    ];
    let plan = plan(NAMESPACE, tokens);
    let names: Vec<&str> = plan.delete.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["bootstrap-token-0", "bootstrap-token-1", "bootstrap-token-4"]);
    assert_eq!(plan.again, Some(Duration::from_secs(30)));
    assert_eq!(
        plan.to_string(),
        "delete bootstrap tokens that have expired: bootstrap-token-0, bootstrap-token-1, bootstrap-token-4"
    );
}

#[test]
fn other_namespaces_hold_none() {
    assert_eq!(plan("default", vec![token(0, at(-1))]), Plan { delete: Vec::new(), again: None });
    assert_eq!(plan(NAMESPACE, Vec::new()).again, Some(LOOK));
}

proptest! {
    #[test]
    fn every_expired_token_goes_in_the_end(ends in prop::collection::vec(prop::option::of(-1000_i64..1000), 0..250)) {
        let tokens: Vec<Token> = ends.iter().enumerate().map(|(n, end)| token(n, end.and_then(at))).collect();
        let expired = ends.iter().filter(|end| end.is_some_and(|end| end <= 0)).count();
        let plan = plan(NAMESPACE, tokens);
        prop_assert_eq!(plan.delete.len(), expired.min(BATCH));
        let again = plan.again.unwrap();
        prop_assert!(again >= Duration::from_secs(1) && again <= LOOK);
        if expired > BATCH {
            prop_assert_eq!(again, Duration::from_secs(1));
        } else if let Some(next) = ends.iter().flatten().filter(|end| **end > 0).min() {
            prop_assert!(again <= Duration::from_secs(next.unsigned_abs().max(1)));
        }
    }
}
