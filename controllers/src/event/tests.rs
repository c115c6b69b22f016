//! The pure steps: what is due goes, nothing else does, and the next look comes in time.

use super::build::build;
use super::dereference::Oldest;
use super::validate::validate;
use super::*;
use crate::runtime::Key;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);
const GRAIN: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn aged(second: i64) -> Aged {
    let name = format!("e{second}");
    Aged { written: at(second), uid: name.clone(), resource_version: "1".to_owned(), name }
}

fn plan(now: i64, seconds: impl IntoIterator<Item = i64>) -> Plan {
    let mut oldest = Oldest::default();
    seconds.into_iter().for_each(|second| oldest.add(aged(second)));
    let observed = Observed { now: at(now), oldest: oldest.sorted() };
    build(Valid { retention: HOUR, observed, leaving: false }, GRAIN)
}

fn namespace(wish: Option<&str>, deleting: bool) -> Subject<Namespace> {
    let metadata = ObjectMeta {
        name: Some("n".to_owned()),
        annotations: wish.map(|wish| [(ANNOTATION.to_owned(), wish.to_owned())].into()),
        deletion_timestamp: deleting.then_some(Time(Timestamp::UNIX_EPOCH)),
        ..ObjectMeta::default()
    };
    let resource = ApiResource::erase::<Namespace>(&());
    Subject { resource, key: Key::cluster("n"), object: Namespace { metadata, ..Namespace::default() } }
}

fn retention(wish: &str) -> Result<Duration, Invalid> {
    let observed = Observed { now: at(0), oldest: Vec::new() };
    validate(&namespace(Some(wish), false), observed, HOUR).map(|valid| valid.retention)
}

#[test]
fn a_namespace_may_ask_for_another_time() {
    assert_eq!(retention("72h"), Ok(72 * HOUR));
    assert_eq!(retention("1h30m"), Ok(HOUR * 3 / 2));
    for wrong in ["", "soon", "-1h", "59s", "8760h", "24", "99999999999999999999h"] {
        let invalid = retention(wrong).unwrap_err();
        assert_eq!(invalid.reason, "InvalidEventRetention");
        assert!(invalid.message.contains(&format!("{wrong:?}")), "{invalid}");
    }
    let observed = Observed { now: at(0), oldest: Vec::new() };
    assert!(validate(&namespace(Some("soon"), true), observed.clone(), HOUR).unwrap().leaving);
    assert_eq!(validate(&namespace(None, false), observed, HOUR).unwrap().retention, HOUR);
}

#[test]
fn an_event_lives_from_its_last_write() {
    let entry = |second| ManagedFieldsEntry { time: Some(Time(at(second))), ..ManagedFieldsEntry::default() };
    let meta = ObjectMeta {
        name: Some("e".to_owned()),
        uid: Some("u".to_owned()),
        resource_version: Some("1".to_owned()),
        creation_timestamp: Some(Time(at(10))),
        managed_fields: Some(vec![entry(20), entry(15)]),
        ..ObjectMeta::default()
    };
    assert_eq!(Aged::of(meta.clone()).unwrap().written, at(20));
    assert_eq!(Aged::of(ObjectMeta { managed_fields: None, ..meta.clone() }).unwrap().written, at(10));
    assert_eq!(Aged::of(ObjectMeta { managed_fields: None, creation_timestamp: None, ..meta }), None);
}

#[test]
fn a_namespace_without_events_is_looked_at_when_its_first_could_be_due() {
    let plan = plan(0, []);
    assert_eq!((plan.delete.len(), plan.again), (0, Some(HOUR)));
    assert_eq!(plan.to_string(), "no event has been as it is for 3600 s");
}

#[test]
fn more_than_a_batch_is_due() {
    let count = i64::try_from(BATCH).unwrap() + 100;
    let plan = plan(10_000, (0..count).rev());
    assert_eq!(plan.delete.len(), BATCH);
    assert_eq!(plan.delete[0].written, at(0));
    assert!(plan.again.unwrap() < Duration::from_secs(1), "the rest does not wait");
}

proptest! {
    #[test]
    fn what_is_due_goes_and_nothing_else(
        now in 0_i64..20_000,
        seconds in prop::collection::btree_set(0_i64..20_000, 0..60),
    ) {
        let plan = plan(now, seconds.iter().copied());
        let due: Vec<i64> = seconds.iter().copied().filter(|s| s + 3_600 <= now).collect();
        let gone: Vec<i64> = plan.delete.iter().map(|aged| aged.written.as_second()).collect();
        prop_assert_eq!(gone, due);
        let again = plan.again.unwrap();
        prop_assert!(again >= GRAIN && again <= HOUR);
        // The next one goes at most a grain late.
        if let Some(next) = seconds.iter().find(|s| **s + 3_600 > now) {
            let wait = u64::try_from(next + 3_600 - now).unwrap();
            prop_assert!(again <= Duration::from_secs(wait).max(GRAIN));
        }
    }

    #[test]
    fn any_wish_is_survived(wish in ".{0,80}") {
        if let Ok(kept) = retention(&wish) {
            prop_assert!(kept >= BOUNDS.0 && kept <= BOUNDS.1);
        }
    }
}
