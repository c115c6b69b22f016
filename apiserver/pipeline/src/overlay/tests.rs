use super::*;
use hypermesh_chain::Facts;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A state of few objects, which answers by looking at all of them.
#[derive(Clone, Debug, Default)]
struct Plain(BTreeMap<ObjectKey, Arc<Record>>);

impl StateReader for Plain {
    fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let all = self.0.iter().filter(|(key, _)| range.contains(key));
        let all = all.filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(all.take(limit).map(|(key, record)| (key.clone(), Arc::clone(record))).collect())
    }

    fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        let all = self.0.iter().filter(|(_, record)| record.facts.owners.contains(&owner));
        let all = all.filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(all.take(limit).map(|(key, _)| key.clone()).collect())
    }

    fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError> {
        let holds = |record: &Record| record.facts.unique.iter().any(|(i, v)| i == index && v == value);
        Ok(self.0.iter().find(|(_, record)| holds(record)).map(|(key, _)| key.clone()))
    }
}

/// What is done to an overlay; numbers choose among few names.
#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u8,
        owners: Vec<u8>,
        value: u8,
    },
    Delete {
        key: u8,
    },
    /// Runs the steps, and takes them back.
    Undo(Vec<Step>),
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0..16_u8, prop::collection::vec(0..3_u8, 0..3), 0..40_u8)
        .prop_map(|(key, owners, value)| Step::Put { key, owners, value });
    let leaf = prop_oneof![2 => put, 1 => (0..16_u8).prop_map(|key| Step::Delete { key })];
    leaf.prop_recursive(2, 24, 6, |inner| prop::collection::vec(inner, 1..6).prop_map(Step::Undo))
}

fn key(n: u8) -> ObjectKey {
    ObjectKey::new(format!("/c{}", n / 8), format!("n{}", n / 4 % 2), format!("o{}", n % 4)).unwrap()
}

fn owner(n: u8) -> Uid {
    Uid([n; 16])
}

fn record(revision: Revision, owners: &[u8], value: u8) -> Record {
    let facts = Facts {
        owners: owners.iter().map(|n| owner(*n)).collect(),
        unique: vec![("index".into(), format!("v{value}"))],
        ..Facts::default()
    };
    Record { revision, salt: Vec::new(), facts, body: format!("{{\"value\":{value}}}").into() }
}

fn run(overlay: &mut Overlay<'_, Plain>, model: &mut Plain, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Put { key: n, owners, value } => {
                // The caller keeps values unique.
                if overlay.holder("index", &format!("v{value}")).unwrap().is_some_and(|by| by != key(*n)) {
                    continue;
                }
                let (before, record) =
                    (overlay.get(&key(*n)).unwrap(), record(overlay.next_revision(), owners, *value));
                overlay.put(key(*n), record.clone(), before);
                model.0.insert(key(*n), Arc::new(record));
            }
            Step::Delete { key: n } => {
                let Some(before) = overlay.get(&key(*n)).unwrap() else { continue };
                let last = Record { revision: overlay.next_revision(), ..(*before).clone() };
                overlay.delete(key(*n), last, before);
                model.0.remove(&key(*n));
            }
            Step::Undo(steps) => {
                let (savepoint, weight) = (overlay.savepoint(), overlay.weight());
                run(overlay, &mut model.clone(), steps);
                overlay.rollback(savepoint);
                assert_eq!(overlay.weight(), weight);
            }
        }
    }
}

fn same(overlay: &Overlay<'_, Plain>, model: &Plain) {
    let places: Vec<Option<ObjectKey>> = std::iter::once(None).chain((0..16).map(|n| Some(key(n)))).collect();
    for n in 0..16 {
        assert_eq!(overlay.get(&key(n)).unwrap(), model.get(&key(n)).unwrap());
    }
    for value in 0..40 {
        let value = format!("v{value}");
        assert_eq!(overlay.holder("index", &value).unwrap(), model.holder("index", &value).unwrap());
    }
    for limit in [0, 1, 2, 5, 100] {
        for after in &places {
            for n in 0..3 {
                let found = overlay.dependents(owner(n), after.as_ref(), limit).unwrap();
                assert_eq!(found, model.dependents(owner(n), after.as_ref(), limit).unwrap());
            }
            for (collection, namespace) in
                [("/c0", None), ("/c1", Some("n0")), ("/c1", Some("n1")), ("/c2", None)]
            {
                let range =
                    KeyRange { collection: collection.into(), namespace: namespace.map(str::to_owned) };
                let found = overlay.scan(&range, after.as_ref(), limit).unwrap();
                assert_eq!(found, model.scan(&range, after.as_ref(), limit).unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// An overlay answers as a state does to which the writes were made.
    #[test]
    fn an_overlay_is_the_state_after_its_writes(
        base in prop::collection::btree_map(0..16_u8, prop::collection::vec(0..3_u8, 0..3), 0..12),
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let base = base.iter().map(|(n, owners)| (key(*n), Arc::new(record(Revision(1), owners, *n)))).collect();
        let base = Plain(base);
        let (mut overlay, mut model) = (Overlay::new(&base, Revision(1)), base.clone());
        run(&mut overlay, &mut model, &steps);
        same(&overlay, &model);
        let touched: BTreeSet<_> = overlay.effects().iter().map(|effect| effect.key.clone()).collect();
        for key in touched {
            prop_assert_eq!(overlay.get(&key).unwrap(), model.get(&key).unwrap());
        }
    }
}

#[test]
fn what_is_spent_is_not_taken_back() {
    let base = Plain::default();
    let mut overlay = Overlay::new(&base, Revision(0));
    let savepoint = overlay.savepoint();
    overlay.put(key(1), record(Revision(1), &[], 1), None);
    let (weight, spent) = (overlay.weight(), overlay.spent());
    assert_eq!(weight, overlay.weight_since(savepoint));
    assert!(weight > OVERHEAD && spent == weight);
    overlay.rollback(savepoint);
    assert_eq!((overlay.weight(), overlay.spent()), (0, spent));
}
