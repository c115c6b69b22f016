//! What was acknowledged, what was under way, and whether the server agrees.

use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::load::{Call, Objects, Target};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The state of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not exist.
    Absent,
    /// It exists as an acknowledged write has answered it.
    Exactly {
        /// Its resourceVersion.
        version: u64,
        /// SHA-256 of all that the answer held.
        content: [u8; 32],
    },
    /// It exists with this value, if the write that was under way has happened.
    WithSequence(u64),
}

impl State {
    /// The state that an answer shows.
    pub fn of(object: &Value) -> Result<Self> {
        let version = object["metadata"]["resourceVersion"].as_str().context("no resourceVersion")?;
        let mut object = object.clone();
        // A list names the kind of its items once.
        if let Some(fields) = object.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        // Objects keep their fields in order, so equal ones have equal bytes.
        let content = Sha256::digest(object.to_string().as_bytes()).into();
        Ok(Self::Exactly { version: version.parse()?, content })
    }
}

/// What one connection knows of the objects that only it writes.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The last acknowledged state of every object that was ever written.
    pub known: BTreeMap<String, State>,
    /// The object of the write that was not answered, and what that would make of it.
    pub pending: Option<(String, State)>,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Objects named so far.
    pub named: u64,
}

/// What all connections know.
#[derive(Clone, Debug)]
pub struct Journal {
    /// One of each connection.
    pub ledgers: Vec<Ledger>,
}

impl Journal {
    /// Nothing known, for a number of connections.
    pub fn new(writers: usize) -> Self {
        Self { ledgers: vec![Ledger::default(); writers] }
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.ledgers.iter().map(|ledger| ledger.acknowledged).sum()
    }

    /// Compares the server's whole collection with what is known, and settles what was under way.
    ///
    /// Gives how many objects there are.
    pub async fn verify(&mut self, target: &Target, objects: &Objects) -> Result<usize> {
        let body = target.connect().await?.expect(Call::get(objects.collection())).await?;
        let list: Value = serde_json::from_slice(&body).context("the list is no JSON")?;
        let version: u64 = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse()?;
        let mut found = BTreeMap::new();
        for item in list["items"].as_array().context("the list has no items")? {
            let name = item["metadata"]["name"].as_str().context("an item has no name")?;
            ensure!(found.insert(name.to_owned(), item).is_none(), "{name} is listed twice");
        }
        let count = found.len();
        for ledger in &mut self.ledgers {
            ledger.settle(&mut found, version)?;
        }
        ensure!(found.is_empty(), "objects that nobody wrote exist: {:?}", found.keys());
        Ok(count)
    }
}

impl Ledger {
    fn settle(&mut self, found: &mut BTreeMap<String, &Value>, newest: u64) -> Result<()> {
        if let Some((name, wanted)) = self.pending.take() {
            let item = found.get(&name);
            let now = item.map_or(Ok(State::Absent), |item| State::of(item))?;
            let sequence = item.and_then(|item| item["spec"]["seq"].as_u64());
            let before = self.known.get(&name).unwrap_or(&State::Absent);
            let happened = match wanted {
                State::WithSequence(wanted) => sequence == Some(wanted),
                other => now == other,
            };
            ensure!(happened || now == *before, "{name} is neither as before its last write nor as after it");
            self.known.insert(name, now);
        }
        for (name, wanted) in &self.known {
            let item = found.remove(name);
            match (item, wanted) {
                (None, State::Absent) => {}
                (None, _) => bail!("{name} is lost: an acknowledged write made it"),
                (Some(_), State::Absent) => bail!("{name} is back: its deletion was acknowledged"),
                (Some(item), wanted) => {
                    ensure!(State::of(item)? == *wanted, "{name} is not what was acknowledged: {item}");
                }
            }
            if let State::Exactly { version, .. } = wanted {
                ensure!(*version <= newest, "{name} is newer than the list, which is of {newest}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(sequence: u64, version: u64) -> Value {
        json!({"metadata": {"name": "w", "resourceVersion": version.to_string()}, "spec": {"seq": sequence}})
    }

    fn settle(known: State, pending: Option<State>, found: Option<&Value>) -> Result<State> {
        let mut ledger = Ledger { pending: pending.map(|state| ("w".into(), state)), ..Ledger::default() };
        ledger.known.insert("w".into(), known);
        let mut items: BTreeMap<_, _> = found.map(|item| ("w".to_owned(), item)).into_iter().collect();
        ledger.settle(&mut items, 9)?;
        Ok(ledger.known["w"].clone())
    }

    #[test]
    fn what_was_acknowledged_must_be_there_as_it_was() {
        let written = item(1, 5);
        let known = State::of(&written).unwrap();
        assert_eq!(settle(known.clone(), None, Some(&written)).unwrap(), known);
        settle(known.clone(), None, None).unwrap_err();
        settle(known.clone(), None, Some(&item(2, 5))).unwrap_err();
        settle(known.clone(), None, Some(&item(1, 6))).unwrap_err();
        settle(State::Absent, None, Some(&written)).unwrap_err();
    }

    #[test]
    fn a_write_under_way_has_happened_or_not() {
        let (before, after) = (item(1, 5), item(2, 6));
        let known = State::of(&before).unwrap();
        let pending = Some(State::WithSequence(2));
        assert_eq!(settle(known.clone(), pending.clone(), Some(&before)).unwrap(), known);
        assert_eq!(settle(known.clone(), pending.clone(), Some(&after)).unwrap(), State::of(&after).unwrap());
        settle(known.clone(), pending.clone(), Some(&item(3, 6))).unwrap_err();
        settle(known.clone(), pending, None).unwrap_err();
        assert_eq!(settle(known, Some(State::Absent), None).unwrap(), State::Absent);
    }

    #[test]
    fn a_state_newer_than_the_list_is_refused() {
        let written = item(1, 10);
        settle(State::of(&written).unwrap(), None, Some(&written)).unwrap_err();
    }
}
