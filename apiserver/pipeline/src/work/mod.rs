//! Work that goes on after a block: collecting what lost its owner, emptying namespaces, long deletions.
//!
//! A job is a record of the state, so every replica has the same ones; a step does a bounded part of one, as the last
//! thing of a block, and leaves the job where it stands. A job that waits for others is woken by the write that it
//! waits for.

mod collect;
mod collection;
mod foreground;
mod namespace;
mod orphan;

use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::{ReadError, StateReader};
use crate::system;
use hypermesh_chain::{Facts, Hash, KeyRange, ObjectKey, Record, Uid};
use serde::{Deserialize, Serialize};

/// Writes that the steps after one block make at most (a job may go over by what one object takes).
const MOST_WRITES: usize = 500;
/// Jobs that one block looks at.
const MOST_JOBS: usize = 64;

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
    labels: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    fields: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    propagation: Option<String>,
    /// Set while the job waits to be woken.
    #[serde(default)]
    waiting: bool,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a job's turn ended.
pub(crate) enum Turn {
    /// It is done.
    Done,
    /// There is more to do at once.
    More,
    /// It waits to be woken.
    Waits,
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
            Self::Collection { range, after, until, labels, fields, propagation, .. } => Stored {
                key: Some(after.clone()),
                range: Some(range.clone()),
                until: *until,
                labels: labels.clone(),
                fields: fields.clone(),
                propagation: propagation.clone(),
                waiting: false,
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
                    after: stored.key.clone()?,
                    until: stored.until,
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
    put(execution, &job.name(), &job.stored())
}

/// Wakes a job that waits.
pub(crate) fn wake<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
) -> Result<(), Fault> {
    let Some(key) = system::key(system::WORK, name) else { return Ok(()) };
    let Some(record) = execution.overlay.get(&key)? else { return Ok(()) };
    let mut stored = decode(&record)?;
    if !stored.waiting {
        return Ok(());
    }
    stored.waiting = false;
    put(execution, name, &stored)
}

fn decode(record: &Record) -> Result<Stored, ReadError> {
    serde_json::from_slice(&record.body).map_err(|why| ReadError(format!("a job does not decode: {why}")))
}

fn put<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
    stored: &Stored,
) -> Result<(), Fault> {
    let key = system::key(system::WORK, name)
        .ok_or_else(|| hypermesh_api::Status::internal("a job's name holds a zero byte"))?;
    let before = execution.overlay.get(&key)?;
    let body = serde_json::to_vec(stored).map_err(hypermesh_api::Status::internal)?;
    let record = Record {
        revision: execution.overlay.next_revision(),
        salt: Vec::new(),
        facts: Facts::default(),
        body: body.into(),
    };
    execution.overlay.put(key, record, before);
    Ok(())
}

fn drop_job<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>, name: &str) -> Result<(), Fault> {
    let Some(key) = system::key(system::WORK, name) else { return Ok(()) };
    let Some(record) = execution.overlay.get(&key)? else { return Ok(()) };
    let last = Record { revision: execution.overlay.next_revision(), ..(*record).clone() };
    execution.overlay.delete(key, last, record);
    Ok(())
}

/// Does a bounded part of what is to be done. True while a job is left that does not wait.
pub(crate) fn step<R: StateReader + ?Sized>(execution: &mut Execution<'_, R>) -> Result<bool, ReadError> {
    let start = execution.overlay.effects().len();
    let spent = |execution: &Execution<'_, R>| execution.overlay.effects().len() - start >= MOST_WRITES;
    let mut after: Option<ObjectKey> = None;
    loop {
        let page = execution.overlay.scan(&system::range(system::WORK), after.as_ref(), MOST_JOBS)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, record) in page {
            let stored = decode(&record)?;
            if stored.waiting {
                continue;
            }
            if spent(execution) {
                return Ok(true);
            }
            turn(execution, key.name(), stored)?;
        }
    }
    any_ready(execution)
}

fn any_ready<R: StateReader + ?Sized>(execution: &Execution<'_, R>) -> Result<bool, ReadError> {
    let mut after: Option<ObjectKey> = None;
    loop {
        let page = execution.overlay.scan(&system::range(system::WORK), after.as_ref(), MOST_JOBS)?;
        let Some((last, _)) = page.last() else { return Ok(false) };
        after = Some(last.clone());
        for (_, record) in &page {
            if !decode(record)?.waiting {
                return Ok(true);
            }
        }
    }
}

/// One turn of a job. What a job cannot do (a record that does not encode, say) makes it wait rather than stop others.
fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    name: &str,
    stored: Stored,
) -> Result<(), ReadError> {
    let savepoint = execution.overlay.savepoint();
    let result = match Job::read(name, &stored) {
        None => Ok((Turn::Done, stored.clone())),
        Some(job) => run(execution, &job).map(|(turn, after)| {
            let key = after.or_else(|| stored.key.clone());
            (turn, Stored { key, ..stored.clone() })
        }),
    };
    let settled = result.and_then(|(turn, next)| match turn {
        Turn::Done => drop_job(execution, name),
        Turn::More if next == stored => Ok(()),
        Turn::More => put(execution, name, &next),
        Turn::Waits => put(execution, name, &Stored { waiting: true, ..next }),
    });
    match settled {
        Ok(()) => Ok(()),
        Err(Fault::Read(error)) => Err(error),
        Err(Fault::Refused(_)) => {
            execution.overlay.rollback(savepoint);
            match put(execution, name, &Stored { waiting: true, ..stored }) {
                Err(Fault::Read(error)) => Err(error),
                _ => Ok(()),
            }
        }
    }
}

fn run<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    job: &Job,
) -> Result<(Turn, Option<Place>), Fault> {
    match job {
        Job::Collect { uid } => Ok((collect::turn(execution, *uid)?, None)),
        Job::Foreground { uid, key } => Ok((foreground::turn(execution, *uid, key)?, None)),
        Job::Orphan { uid, key } => Ok((orphan::turn(execution, *uid, key)?, None)),
        Job::Namespace { name } => Ok((namespace::turn(execution, name)?, None)),
        Job::Collection { range, after, until, labels, fields, propagation, .. } => collection::turn(
            execution,
            &collection::Rest { range: range.range(), after, until: *until, labels, fields, propagation },
        ),
    }
}
