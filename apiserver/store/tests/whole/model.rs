//! Whatever is written, compacted, sealed anew and reopened: the store says what a plain map of states would say.

use crate::support::*;
use hypermesh_chain::{Change, Facts, KeyRange, ObjectKey, Revision};
use hypermesh_store::{StoreError, check};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Write>),
    /// Compact to so many revisions before the newest.
    Compact(u64),
    Reopen,
    Reseal,
}

fn object() -> impl Strategy<Value = ObjectKey> {
    ("[ab]{0,1}", "[a-c\\x01]{1,2}").prop_map(|(namespace, name)| key(&namespace, &name))
}

fn facts() -> impl Strategy<Value = Facts> {
    (prop::collection::vec(0..3_u8, 0..3), 0..4_u64).prop_map(|(owners, due)| Facts {
        owners: owners.into_iter().map(uid).collect(),
        due,
        ..Facts::default()
    })
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (object(), "[a-z]{0,5}", facts()).prop_map(|(key, body, facts)| Write::Put(key, body, facts)),
        2 => object().prop_map(Write::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(write(), 0..6).prop_map(Step::Commit),
        2 => (0..12_u64).prop_map(Step::Compact),
        1 => Just(Step::Reopen),
        1 => Just(Step::Reseal),
    ]
}

type State = BTreeMap<ObjectKey, (String, Facts)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]
    #[test]
    fn the_store_agrees_with_a_map(steps in prop::collection::vec(step(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut states: BTreeMap<u64, State> = BTreeMap::from([(0, State::new())]);
        let mut oldest = 0;
        for step in steps {
            match step {
                Step::Commit(writes) => {
                    for write in &writes {
                        let (newest, state) = states.last_key_value().unwrap();
                        let mut next = state.clone();
                        match write {
                            Write::Put(key, body, facts) => drop(next.insert(key.clone(), (body.clone(), facts.clone()))),
                            Write::Delete(key) if next.remove(key).is_none() => continue,
                            Write::Delete(_) => {}
                        }
                        let newest = newest + 1;
                        states.insert(newest, next);
                    }
                    commit(&store, &writes);
                }
                Step::Compact(back) => {
                    let newest = *states.last_key_value().unwrap().0;
                    store.compact(Revision(newest.saturating_sub(back))).unwrap();
                    if store.head().is_some() {
                        oldest = oldest.max(newest.saturating_sub(back));
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(dir.path());
                }
                Step::Reseal => {
                    store.rotate_key().unwrap();
                    store.reseal().unwrap();
                }
            }
        }
        let range = KeyRange { collection: "/configmaps".to_owned(), namespace: None };
        let view = store.view().unwrap();
        prop_assert_eq!(view.oldest_revision(), Revision(oldest));
        for (revision, state) in &states {
            let found = view.scan_at(&range, Revision(*revision), None, usize::MAX);
            if *revision < oldest {
                let refused = matches!(found, Err(StoreError::Compacted { .. }));
                prop_assert!(refused);
                continue;
            }
            let found: State = found.unwrap().into_iter()
                .map(|(key, record)| (key, (String::from_utf8(record.body.to_vec()).unwrap(), record.facts)))
                .collect();
            prop_assert_eq!(&found, state, "revision {}", revision);
            for (key, (body, _)) in state {
                let record = view.get_at(key, Revision(*revision)).unwrap().unwrap();
                prop_assert_eq!(record.body.as_ref(), body.as_bytes());
            }
            // Page by page it is the same.
            let mut after = None;
            let mut paged = 0;
            while let Some((key, _)) = view.scan_at(&range, Revision(*revision), after.as_ref(), 1).unwrap().pop() {
                after = Some(key);
                paged += 1;
            }
            prop_assert_eq!(paged, state.len());
        }
        let (newest, state) = states.last_key_value().unwrap();
        let events = store.events(Revision(oldest), usize::MAX).unwrap();
        prop_assert_eq!(events.len() as u64, newest - oldest);
        for effect in events {
            let (before, after) = (&states[&(effect.revision.0 - 1)], &states[&effect.revision.0]);
            let (was, is) = (before.get(&effect.key), after.get(&effect.key));
            let record = effect.change.record();
            let shown = (String::from_utf8(record.body.to_vec()).unwrap(), record.facts.clone());
            prop_assert_eq!(record.revision, effect.revision);
            match &effect.change {
                Change::Created(_) => prop_assert_eq!((was, is), (None, Some(&shown))),
                Change::Updated(_) => {
                    prop_assert!(was.is_some());
                    prop_assert_eq!(is, Some(&shown));
                }
                Change::Deleted(_) => prop_assert_eq!((was, is), (Some(&shown), None)),
            }
        }
        for owner in 0..3 {
            let expected: Vec<_> =
                state.iter().filter(|(_, (_, facts))| facts.owners.contains(&uid(owner))).map(|(key, _)| key.clone()).collect();
            prop_assert_eq!(view.dependents(uid(owner), None, usize::MAX).unwrap(), expected);
        }
        drop(view);
        drop(store);
        prop_assert_eq!(check(dir.path(), &options()).unwrap().findings, []);
    }
}
