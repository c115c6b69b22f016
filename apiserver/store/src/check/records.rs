//! The check of records: what each says, and whether they agree with each other.

use super::Report;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::files::Files;
use crate::keyring::Keyring;
use crate::keyspace::{self, DUE, Done, Event, FLOOR, Family, Floor, GONE, LIVE, OWNER, UNIQUE};
use crate::records::object_key;
use crate::store::read_floor;
use hypermesh_chain::{Hash, Height, Record, Revision};
use rocksdb::{LiveFile, ReadOptions};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Checks every record.
pub(super) fn check(
    files: &Files,
    engine: &Engine,
    keys: &Keyring,
    report: &mut Report,
) -> Result<(), StoreError> {
    let parts = engine.db.live_files().map_err(|error| engine.fault("list", error))?;
    let floor = match engine.get(Family::Meta, FLOOR).and_then(read_floor) {
        Ok(floor) => floor,
        Err(error) => {
            report.note(&files.database(), &error);
            Floor::default()
        }
    };
    let mut check = Check { files, engine, keys, parts, floor, report };
    check.objects()?;
    check.versions()?;
    check.history()?;
    check.past()?;
    check.indexes()?;
    check.leaves()?;
    let requests = check.blocks()?;
    check.outcomes(&requests)
}

struct Check<'a> {
    files: &'a Files,
    engine: &'a Engine,
    keys: &'a Keyring,
    parts: Vec<LiveFile>,
    floor: Floor,
    report: &'a mut Report,
}

impl Check<'_> {
    /// Calls `row` for every row of `family`; what it returns is wrong with the row.
    fn each(
        &mut self,
        family: Family,
        mut row: impl FnMut(&Self, &[u8], &[u8]) -> Result<(), Wrong>,
    ) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut cursor = self.engine.db.raw_iterator_cf_opt(self.engine.family(family)?, options);
        cursor.seek_to_first();
        while let Some((key, value)) = cursor.item() {
            match row(self, key, value) {
                Ok(()) => {}
                Err(Wrong::Record(what)) => self.find(family, key, &what),
                Err(Wrong::Store(error @ StoreError::BadRecord { .. })) => {
                    let file = self.file_of(family, key);
                    self.report.find(&file, error.to_string());
                }
                Err(Wrong::Store(error)) => return Err(error),
            }
            cursor.next();
        }
        cursor.status().map_err(|error| self.engine.fault("read", error))
    }

    fn find(&mut self, family: Family, key: &[u8], what: &str) {
        let file = self.file_of(family, key);
        self.report.find(&file, format!("{} at {}: {what}", family.name(), key.escape_ascii()));
    }

    /// The file a row stands in, when only one can be it.
    fn file_of(&self, family: Family, key: &[u8]) -> PathBuf {
        let spans = |part: &&LiveFile| {
            part.column_family_name == family.name()
                && part.start_key.as_deref().is_some_and(|start| start <= key)
                && part.end_key.as_deref().is_some_and(|end| key <= end)
        };
        let mut holders = self.parts.iter().filter(spans);
        match (holders.next(), holders.next()) {
            (Some(part), None) => self.files.database().join(part.name.trim_start_matches('/')),
            _ => self.files.database(),
        }
    }

    fn object(&self, key: &[u8]) -> Result<Option<Record>, StoreError> {
        let Some(sealed) = self.engine.get(Family::Objects, key)? else { return Ok(None) };
        self.keys.record(key, &sealed).map(Some)
    }

    fn objects(&mut self) -> Result<(), StoreError> {
        let newest = self.report.head.map_or(Revision(0), |head| head.revision);
        self.each(Family::Objects, |check, key, sealed| {
            object_key(Family::Objects, key)?;
            let record = check.keys.record(key, sealed)?;
            if record.revision > newest {
                return wrong("it is newer than the newest commit");
            }
            let row = keyspace::version(key, record.revision);
            if check.engine.get(Family::Versions, &row)?.as_deref() != Some(&[LIVE]) {
                return wrong("versions do not know its revision");
            }
            let last = check.last_version(key)?;
            if last != Some(record.revision) {
                return wrong("versions know a later one");
            }
            let Some(event) = check.event(record.revision)? else {
                return wrong("history does not hold its revision");
            };
            if event.key.encode() != key || matches!(event.done, Done::Deleted(_)) {
                return wrong("history holds another event for its revision");
            }
            if check.engine.get(Family::Past, &keyspace::number(record.revision.0))?.is_some() {
                return wrong("past holds its revision, as if it were superseded");
            }
            for row in check.keys.index_rows(key, &record.facts) {
                let Some(value) = check.engine.get(Family::Indexes, &row)? else {
                    return wrong("an index does not know it");
                };
                if row.first() == Some(&UNIQUE)
                    && check.keys.open_value(Family::Indexes, &row, &value)? != key
                {
                    return wrong("another object holds its unique value");
                }
            }
            Ok(())
        })
    }

    fn last_version(&self, key: &[u8]) -> Result<Option<Revision>, StoreError> {
        let mut cursor = self.engine.db.raw_iterator_cf(self.engine.family(Family::Versions)?);
        cursor.seek_for_prev(keyspace::version(key, Revision(u64::MAX)));
        cursor.status().map_err(|error| self.engine.fault("read", error))?;
        let last = cursor.key().and_then(keyspace::read_version);
        Ok(last.filter(|(object, _)| *object == key).map(|(_, revision)| revision))
    }

    fn versions(&mut self) -> Result<(), StoreError> {
        self.each(Family::Versions, |check, row, live| {
            let Some((object, revision)) = keyspace::read_version(row) else {
                return wrong("it is no version");
            };
            let Some(event) = check.event(revision)? else { return wrong("history does not hold it") };
            let expected = if matches!(event.done, Done::Deleted(_)) { GONE } else { LIVE };
            if event.key.encode() != object || live != [expected] {
                return wrong("history holds another event for it");
            }
            let newest = check.last_version(object)? == Some(revision);
            let there = newest && check.engine.get(Family::Objects, object)?.is_some();
            if newest && there != (expected == LIVE) {
                return wrong("objects say otherwise");
            }
            let past = || check.engine.get(Family::Past, &keyspace::number(revision.0));
            if !newest && expected == LIVE && past()?.is_none() {
                return wrong("it is superseded, and past does not hold it");
            }
            Ok(())
        })
    }

    fn history(&mut self) -> Result<(), StoreError> {
        let newest = self.report.head.map_or(Revision(0), |head| head.revision);
        self.each(Family::History, |check, number, sealed| {
            let event = check.keys.event(number, sealed)?;
            let revision = event.revision;
            if keyspace::read_number(number) != Some(revision.0) {
                return wrong("it is of another revision");
            }
            if revision > newest {
                return wrong("it is newer than the newest commit");
            }
            let row = keyspace::version(&event.key.encode(), revision);
            if check.engine.get(Family::Versions, &row)?.is_none() {
                return wrong("versions do not know it");
            }
            Ok(())
        })
    }

    fn past(&mut self) -> Result<(), StoreError> {
        self.each(Family::Past, |check, number, sealed| {
            let record = check.keys.past(number, sealed)?;
            let Some(event) = check.event(record.revision)? else {
                return wrong("history does not hold its revision");
            };
            if matches!(event.done, Done::Deleted(_)) {
                return wrong("history holds a deletion for its revision");
            }
            if check.last_version(&event.key.encode())? == Some(record.revision) {
                return wrong("nothing has superseded it");
            }
            Ok(())
        })
    }

    /// The event of a revision, if history holds it.
    fn event(&self, revision: Revision) -> Result<Option<Event>, StoreError> {
        let number = keyspace::number(revision.0);
        let Some(sealed) = self.engine.get(Family::History, &number)? else { return Ok(None) };
        self.keys.event(&number, &sealed).map(Some)
    }

    fn indexes(&mut self) -> Result<(), StoreError> {
        self.each(Family::Indexes, |check, row, value| {
            let object = match row.first() {
                Some(&DUE) => keyspace::read_due(row).map(<[u8]>::to_vec),
                Some(&OWNER) => keyspace::read_owner(row).map(<[u8]>::to_vec),
                Some(&UNIQUE) => Some(check.keys.open_value(Family::Indexes, row, value)?),
                _ => None,
            };
            let Some(object) = object else { return wrong("it is no index") };
            let indexed = check.object(&object)?.map(|record| check.keys.index_rows(&object, &record.facts));
            if !indexed.is_some_and(|rows| rows.contains(row)) {
                return wrong("its object does not have this value");
            }
            Ok(())
        })
    }

    fn leaves(&mut self) -> Result<(), StoreError> {
        self.each(Family::Leaves, |check, key, leaf| {
            let Some(record) = check.object(key)? else { return wrong("its object is not there") };
            if record.leaf(key).0 != leaf {
                return wrong("it is not the hash of its object");
            }
            Ok(())
        })
    }

    /// Checks blocks; returns the requests whose outcomes must be there.
    fn blocks(&mut self) -> Result<BTreeSet<Hash>, StoreError> {
        let Some(head) = self.report.head else { return Ok(BTreeSet::new()) };
        let mut requests = BTreeSet::new();
        let mut next = Some(self.floor.height);
        let mut last = Revision(0);
        self.each(Family::Blocks, |check, number, sealed| {
            let Some(height) = keyspace::read_number(number).map(Height) else {
                return wrong("it is no height");
            };
            let expected = next;
            next = height.0.checked_add(1).map(Height);
            let block = check.keys.block(number, sealed)?;
            requests.extend(block.requests);
            if expected != Some(height) {
                return wrong("blocks are missing before it");
            }
            if height > head.height {
                return wrong("it is newer than the newest commit");
            }
            let is_head = (block.id, block.time, block.revision) == (head.block_id, head.time, head.revision);
            if block.revision < last || (height == head.height && !is_head) {
                return wrong("its revision or id does not fit");
            }
            last = block.revision;
            Ok(())
        })?;
        if next != head.height.0.checked_add(1).map(Height) {
            self.find(
                Family::Blocks,
                &keyspace::number(head.height.0),
                "blocks are missing up to the newest commit",
            );
        }
        Ok(requests)
    }

    fn outcomes(&mut self, requests: &BTreeSet<Hash>) -> Result<(), StoreError> {
        let mut found = BTreeSet::new();
        self.each(Family::Outcomes, |check, request, sealed| {
            check.keys.open_value(Family::Outcomes, request, sealed)?;
            let Ok(hash) = request.try_into().map(Hash) else { return wrong("it is no request's digest") };
            found.insert(hash);
            if !requests.contains(&hash) { wrong("no block has its request") } else { Ok(()) }
        })?;
        for request in requests.difference(&found) {
            self.find(Family::Outcomes, &request.0, "it is missing");
        }
        Ok(())
    }
}

/// What is wrong with a row.
enum Wrong {
    Record(String),
    Store(StoreError),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn wrong(what: &str) -> Result<(), Wrong> {
    Err(Wrong::Record(what.to_owned()))
}
