//! Jobs, and how they are stored.
//!
//! A job's record is named by what it does and whom it concerns, so that there is one of each. Its body is compact JSON
//! in one form: what decodes encodes to the same bytes, and anything else is refused by name.

use super::progress::{Progress, Refusals};
use hypermesh_chain::{Hash, KeyRange, ObjectKey, Uid};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A job's record is at most this large, in bytes: selectors come from a request's target, reasons are bounded.
pub const MOST_BYTES: usize = 128 << 10;

/// Why a record is not a job.
#[derive(Debug, Error)]
pub enum JobError {
    /// Longer than any job.
    #[error("the job takes {length} bytes, more than the limit of {MOST_BYTES}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not the JSON of a job.
    #[error("the job does not decode")]
    Malformed(#[source] serde_json::Error),
    /// JSON of a job, but not as a job is written.
    #[error("the job is not in the one form that jobs are written in")]
    NotCanonical,
    /// The name is none of a job, or does not go with the body.
    #[error("no job is named {0:?} and has this body")]
    Name(String),
}

/// A key, as a job stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    collection: String,
    namespace: String,
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
    pub fn key(&self) -> Option<ObjectKey> {
        ObjectKey::new(self.collection.as_str(), self.namespace.as_str(), self.name.as_str())
    }
}

/// A range, as a job stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    collection: String,
    namespace: Option<String>,
}

impl From<&KeyRange> for Range {
    fn from(range: &KeyRange) -> Self {
        Self { collection: range.collection.clone(), namespace: range.namespace.clone() }
    }
}

impl Range {
    pub fn range(&self) -> KeyRange {
        KeyRange { collection: self.collection.clone(), namespace: self.namespace.clone() }
    }
}

/// What is left of a `deletecollection`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rest {
    pub range: Range,
    /// Objects made after the request are none of its business: newer than this revision, and not older than `time`.
    pub until: u64,
    /// The request's block time.
    pub time: String,
    pub labels: String,
    pub fields: String,
    pub propagation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<i64>,
    /// The plural of what the objects are selected as, where that is another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Aggregated roles are given the rules that they hold.
    Aggregate,
    /// The owner is gone: its dependents follow, unless another owner holds them.
    Collect { uid: Uid },
    /// The owner waits for its blocking dependents to go.
    Foreground { uid: Uid, key: Place },
    /// The owner's dependents are let go, then the owner goes.
    Orphan { uid: Uid, key: Place },
    /// A namespace is emptied, then it goes.
    Namespace { name: String },
    /// The rest of the `deletecollection` of this digest.
    Collection { digest: Hash, rest: Rest },
}

/// A job's body: what its name does not say of it, and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<Rest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Place>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    marked: bool,
    #[serde(default, skip_serializing_if = "Refusals::is_empty")]
    refused: Refusals,
    #[serde(default, skip_serializing_if = "is_zero")]
    tries: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    retry: u64,
}

fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

/// A job and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub(crate) job: Job,
    pub(crate) progress: Progress,
}

impl Job {
    pub fn foreground_name(uid: Uid) -> String {
        format!("foreground/{uid}")
    }

    pub fn namespace_name(name: &str) -> String {
        format!("namespace/{name}")
    }

    pub fn name(&self) -> String {
        match self {
            Self::Aggregate => "aggregate/clusterroles".to_owned(),
            Self::Collect { uid } => format!("collect/{uid}"),
            Self::Foreground { uid, .. } => Self::foreground_name(*uid),
            Self::Orphan { uid, .. } => format!("orphan/{uid}"),
            Self::Namespace { name } => Self::namespace_name(name),
            Self::Collection { digest, .. } => format!("collection/{digest}"),
        }
    }

    fn of(name: &str, key: Option<Place>, rest: Option<Rest>) -> Option<Self> {
        let (word, subject) = name.split_once('/')?;
        Some(match (word, key, rest) {
            ("aggregate", None, None) if subject == "clusterroles" => Self::Aggregate,
            ("collect", None, None) => Self::Collect { uid: Uid::parse(subject)? },
            ("foreground", Some(key), None) => Self::Foreground { uid: Uid::parse(subject)?, key },
            ("orphan", Some(key), None) => Self::Orphan { uid: Uid::parse(subject)?, key },
            ("namespace", None, None) => Self::Namespace { name: subject.to_owned() },
            ("collection", None, Some(rest)) => Self::Collection { digest: Hash::parse(subject)?, rest },
            _ => return None,
        })
    }
}

impl Stored {
    /// The body of the job's record.
    ///
    /// # Errors
    /// When it does not encode: none is known that does not.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let (key, rest) = match &self.job {
            Job::Aggregate | Job::Collect { .. } | Job::Namespace { .. } => (None, None),
            Job::Foreground { key, .. } | Job::Orphan { key, .. } => (Some(key.clone()), None),
            Job::Collection { rest, .. } => (None, Some(rest.clone())),
        };
        let Progress { after, marked, refused, tries, retry } = self.progress.clone();
        serde_json::to_vec(&Body { key, rest, after, marked, refused, tries, retry })
    }
}

/// Reads the record of a job: its name and its body.
///
/// # Errors
/// What is not exactly as [`Stored::encode`] and the job's name have it.
pub fn decode_job(name: &str, body: &[u8]) -> Result<Stored, JobError> {
    if body.len() > MOST_BYTES {
        return Err(JobError::TooLong { length: body.len() });
    }
    let Body { key, rest, after, marked, refused, tries, retry } =
        serde_json::from_slice(body).map_err(JobError::Malformed)?;
    let wrong = || JobError::Name(name.chars().take(300).collect());
    let job = Job::of(name, key, rest).ok_or_else(wrong)?;
    if job.name() != name {
        return Err(wrong());
    }
    let stored = Stored { job, progress: Progress { after, marked, refused, tries, retry } };
    if stored.encode().map_err(JobError::Malformed)? != body {
        return Err(JobError::NotCanonical);
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_api::Status;
    use proptest::prelude::*;

    fn samples() -> Vec<Stored> {
        let key = Place { collection: "/secrets".into(), namespace: "n".into(), name: "a\"é".into() };
        let uid = Uid([7; 16]);
        let mut refused = Progress::default();
        refused.refuse(&key.key().unwrap(), &Status::internal("why"));
        let rest = Rest {
            range: Range { collection: "/secrets".into(), namespace: None },
            until: 9,
            time: "2026-01-01T00:00:00Z".into(),
            labels: "a in (b,c)".into(),
            fields: String::new(),
            propagation: Some("Orphan".into()),
            grace: None,
            shown: None,
        };
        let at = Progress { after: Some(key.clone()), marked: true, tries: 3, retry: 77, ..refused };
        vec![
            Stored { job: Job::Aggregate, progress: Progress::default() },
            Stored { job: Job::Collect { uid }, progress: Progress::default() },
            Stored { job: Job::Foreground { uid, key: key.clone() }, progress: at.clone() },
            Stored { job: Job::Orphan { uid, key }, progress: at.clone() },
            Stored { job: Job::Namespace { name: "tenant".into() }, progress: at },
            Stored { job: Job::Collection { digest: Hash([5; 32]), rest }, progress: Progress::default() },
        ]
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        for stored in samples() {
            let body = stored.encode().unwrap();
            assert_eq!(decode_job(&stored.job.name(), &body).unwrap(), stored);
            assert!(decode_job("collect/x", &body).is_err());
            let upper = stored.job.name().to_uppercase();
            assert!(decode_job(&upper, &body).is_err(), "one job has one name");
            let spaced = [&body[..], b" "].concat();
            assert!(matches!(decode_job(&stored.job.name(), &spaced), Err(JobError::NotCanonical)));
        }
        let collect = format!("collect/{}", Uid([7; 16]));
        for (body, wanted) in [
            (&b"{\"tries\":0}"[..], "one form"),
            (b"{\"unknown\":1}", "does not decode"),
            (b"{\"marked\":true,\"marked\":true}", "does not decode"),
            (b"{}{}", "does not decode"),
            (b"[]", "one form"),
            (b"", "does not decode"),
        ] {
            let error = decode_job(&collect, body).unwrap_err().to_string();
            assert!(error.contains(wanted), "{}: {error}", String::from_utf8_lossy(body));
        }
        let deep = "[".repeat(10_000);
        assert!(matches!(decode_job(&collect, deep.as_bytes()), Err(JobError::Malformed(_))));
        let long = vec![b' '; MOST_BYTES + 1];
        assert!(matches!(decode_job(&collect, &long), Err(JobError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same(which in 0..6_usize, cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let stored = &samples()[which];
            let mut body = stored.encode().unwrap();
            let place = cut.index(body.len());
            body[place] = byte;
            if let Ok(read) = decode_job(&stored.job.name(), &body) {
                prop_assert_eq!(read.encode().unwrap(), body);
            }
        }
    }
}
