//! Work that goes on after a block: collecting what lost its owner, emptying namespaces, long deletions.
//!
//! A job is a record of the state, so every replica has the same ones; a step does a bounded part of one, as the last
//! thing of a block, and leaves the job where it stands. A job that waits for others lies aside, where it costs nothing,
//! until the write that it waits for wakes it.
//!
//! Every turn of a job writes at least its own record: a block with work to do is never empty.

mod collect;
mod collection;
mod foreground;
mod namespace;
mod orphan;
mod owners;

pub(crate) use owners::notice;

use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::{ReadError, StateReader};
use crate::system;
use hypermesh_chain::{Facts, Hash, KeyRange, ObjectKey, Record, Uid};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Writes that the steps after one block make at most (a job may go over by what one object takes).
const MOST_WRITES: usize = 500;
/// Objects that one turn of a job looks at.
const SLICE: usize = MOST_WRITES / 2;
/// Jobs that are read at once.
const PAGE: usize = 64;

/// A key, as a job stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    collection: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

impl From<&ObjectKey> for Place {
    fn from(key: &ObjectKey) -> Self {
        Self {
            collection: key.collection().into(),
            namespace: key.namespace().into(),
            name: key.name().into(),
        }
    }
}

impl Place {
    fn key(&self) -> Option<ObjectKey> {
        ObjectKey::new(self.collection.as_str(), self.namespace.as_str(), self.name.as_str())
    }
}

/// A range, as a job stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    collection: String,
    #[serde(default)]
    namespace: Option<String>,
}

impl From<&KeyRange> for Range {
    fn from(range: &KeyRange) -> Self {
        Self { collection: range.collection.clone(), namespace: range.namespace.clone() }
    }
}

impl Range {
    fn range(&self) -> KeyRange {
        KeyRange { collection: self.collection.clone(), namespace: self.namespace.clone() }
    }
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// The owner is gone: its dependents follow, unless another owner holds them.
    Collect { uid: Uid },
    /// The owner waits for its blocking dependents to go.
    Foreground { uid: Uid, key: Place },
    /// The owner's dependents are let go, then the owner goes.
    Orphan { uid: Uid, key: Place },
    /// A namespace is emptied, then it goes.
    Namespace { name: String },
    /// The rest of a `deletecollection`.
    Collection {
        digest: Hash,
        range: Range,
        after: Place,
        until: u64,
        time: String,
        labels: String,
        fields: String,
        propagation: Option<String>,
    },
}

/// A job's record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
    #[serde(default, skip_serializing_if = "is_zero")]
    until: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    time: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    labels: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    fields: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    propagation: Option<String>,
    /// The last object that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Place>,
    /// Every object was looked at once; what is left is waited for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    marked: bool,
}

/// How far a job has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    after: Option<Place>,
    marked: bool,
}

impl Progress {
    /// Goes on after `key`.
    fn after(&self, key: &ObjectKey) -> Self {
        Self { after: Some(key.into()), marked: self.marked }
    }

    /// Begins again from the start, to see what is left.
    fn marked() -> Self {
        Self { after: None, marked: true }
    }

    fn key(&self) -> Option<ObjectKey> {
        self.after.as_ref().and_then(Place::key)
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a job's turn ended.
pub(crate) enum Turn {
    /// It is done.
    Done,
    /// There is more to do at once, from here on.
    More(Progress),
    /// It waits to be woken, and goes on from here.
    Waits(Progress),
}

impl Job {
    pub fn foreground_name(uid: Uid) -> String {
        format!("foreground/{uid}")
    }

    pub fn namespace_name(name: &str) -> String {
        format!("namespace/{name}")
    }

    fn name(&self) -> String {
        match self {
            Self::Collect { uid } => format!("collect/{uid}"),
            Self::Foreground { uid, .. } => Self::foreground_name(*uid),
            Self::Orphan { uid, .. } => format!("orphan/{uid}"),
            Self::Namespace { name } => Self::namespace_name(name),
            Self::Collection { digest, .. } => format!("collection/{digest}"),
        }
    }

    fn stored(&self) -> Stored {
        match self {
            Self::Collect { .. } | Self::Namespace { .. } => Stored::default(),
            Self::Foreground { key, .. } | Self::Orphan { key, .. } => {
                Stored { key: Some(key.clone()), ..Stored::default() }
            }
            Self::Collection { range, after, until, time, labels, fields, propagation, .. } => Stored {
                range: Some(range.clone()),
                after: Some(after.clone()),
                until: *until,
                time: time.clone(),
                labels: labels.clone(),
                fields: fields.clone(),
                propagation: propagation.clone(),
                ..Stored::default()
            },
        }
    }

    fn read(name: &str, stored: &Stored) -> Option<Self> {
        let (word, subject) = name.split_once('/')?;
        let uid = || Uid::parse(subject);
        Some(match word {
            "collect" => Self::Collect { uid: uid()? },
            "foreground" => Self::Foreground { uid: uid()?, key: stored.key.clone()? },
            "orphan" => Self::Orphan { uid: uid()?, key: stored.key.clone()? },
            "namespace" => Self::Namespace { name: subject.to_owned() },
            "collection" => {
                let mut digest = Hash::default();
                hex_into(subject, &mut digest.0)?;
                Self::Collection {
                    digest,
                    range: stored.range.clone()?,
                    after: stored.after.clone()?,
                    until: stored.until,
                    time: stored.time.clone(),
                    labels: stored.labels.clone(),
                    fields: stored.fields.clone(),
                    propagation: stored.propagation.clone(),
                }
            }
            _ => return None,
        })
    }
}

fn hex_into(text: &str, bytes: &mut [u8; 32]) -> Option<()> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(())
}

/// Adds a job, or has one start over.
pub(crate) fn add<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>, job: &Job) -> Result<(), Fault> {
    take(execution, system::WAITING, &job.name())?;
    put(execution, system::WORK, &job.name(), &job.stored())
}

/// Wakes a job that waits.
pub(crate) fn wake<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
) -> Result<(), Fault> {
    match take(execution, system::WAITING, name)? {
        Some(record) => put(execution, system::WORK, name, &decode(&record)?),
        None => Ok(()),
    }
}

fn decode(record: &Record) -> Result<Stored, ReadError> {
    serde_json::from_slice(&record.body).map_err(|why| ReadError(format!("a job does not decode: {why}")))
}

fn put<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    collection: &'static str,
    name: &str,
    stored: &Stored,
) -> Result<(), Fault> {
    let key = system::key(collection, name)
        .ok_or_else(|| hypermesh_api::Status::internal("a job's name holds a zero byte"))?;
    let before = execution.overlay.get(&key)?;
    let body = serde_json::to_vec(stored).map_err(hypermesh_api::Status::internal)?;
    if before.as_ref().is_some_and(|before| before.body == body) {
        return Ok(());
    }
    let record = Record {
        revision: execution.overlay.next_revision(),
        salt: Vec::new(),
        facts: Facts::default(),
        body: body.into(),
    };
    execution.overlay.put(key, record, before);
    Ok(())
}

/// Takes a job away; what it was.
fn take<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    collection: &'static str,
    name: &str,
) -> Result<Option<Arc<Record>>, Fault> {
    let Some(key) = system::key(collection, name) else { return Ok(None) };
    let Some(record) = execution.overlay.get(&key)? else { return Ok(None) };
    let last = Record { revision: execution.overlay.next_revision(), ..(*record).clone() };
    execution.overlay.delete(key, last, Arc::clone(&record));
    Ok(Some(record))
}

/// Replaces the finalizers of an object that is still the one with this uid, by those that `left` keeps.
fn release<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    uid: Uid,
    place: &Place,
    left: impl Fn(&serde_json::Value) -> Vec<String>,
) -> Result<(), Fault> {
    let Some(key) = place.key() else { return Ok(()) };
    let Some(record) = execution.overlay.get(&key)?.filter(|record| record.facts.uid == uid) else {
        return Ok(());
    };
    let Some(kind) = execution.derived.registry.collection(key.collection()).cloned() else { return Ok(()) };
    let mut object = crate::verb::decode(&record)?;
    let left = left(&object);
    crate::metadata::set_finalizers(&mut object, left);
    crate::verb::overwrite(execution, &kind, &key, &record, object)?;
    Ok(())
}

/// Does a bounded part of what is to be done. True while a job is left that does not wait.
pub(crate) fn step<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>) -> Result<bool, ReadError> {
    let start = execution.overlay.effects().len();
    let range = system::range(system::WORK);
    let mut after: Option<ObjectKey> = None;
    'jobs: loop {
        let page = execution.overlay.scan(&range, after.as_ref(), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, record) in page {
            if execution.overlay.effects().len() - start >= MOST_WRITES {
                break 'jobs;
            }
            turn(execution, key.name(), &decode(&record)?)?;
        }
    }
    Ok(!execution.overlay.scan(&range, None, 1)?.is_empty())
}

/// One turn of a job. What a job cannot do (a record that does not encode, say) makes it wait rather than stop others.
fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
    stored: &Stored,
) -> Result<(), ReadError> {
    let savepoint = execution.overlay.savepoint();
    let settled = match Job::read(name, stored) {
        None => take(execution, system::WORK, name).map(drop),
        Some(job) => run(execution, &job, stored).and_then(|turn| settle(execution, name, stored, turn)),
    };
    let settled = match settled {
        Err(Fault::Refused(_)) => {
            execution.overlay.rollback(savepoint);
            let progress = Progress { after: stored.after.clone(), marked: stored.marked };
            settle(execution, name, stored, Turn::Waits(progress))
        }
        settled => settled,
    };
    match settled {
        Err(Fault::Read(error)) => Err(error),
        _ => Ok(()),
    }
}

fn settle<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
    stored: &Stored,
    turn: Turn,
) -> Result<(), Fault> {
    let at = |Progress { after, marked }| Stored { after, marked, ..stored.clone() };
    match turn {
        Turn::Done => take(execution, system::WORK, name).map(drop),
        Turn::More(progress) => put(execution, system::WORK, name, &at(progress)),
        Turn::Waits(progress) => {
            take(execution, system::WORK, name)?;
            put(execution, system::WAITING, name, &at(progress))
        }
    }
}

fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    job: &Job,
    stored: &Stored,
) -> Result<Turn, Fault> {
    let progress = Progress { after: stored.after.clone(), marked: stored.marked };
    match job {
        Job::Collect { uid } => collect::turn(execution, *uid, &progress),
        Job::Foreground { uid, key } => foreground::turn(execution, *uid, key, &progress),
        Job::Orphan { uid, key } => orphan::turn(execution, *uid, key, &progress),
        Job::Namespace { name } => namespace::turn(execution, name, &progress),
        Job::Collection { range, until, time, labels, fields, propagation, .. } => collection::turn(
            execution,
            &collection::Rest { range: range.range(), until: *until, time, labels, fields, propagation },
            &progress,
        ),
    }
}
