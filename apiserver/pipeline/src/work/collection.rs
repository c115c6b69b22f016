//! The rest of a `deletecollection`.

use super::{Progress, SLICE, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::state::{ReadError, StateReader};
use crate::verb::{decode, delete_object, selected};
use hypermesh_api::options::Propagation;
use hypermesh_api::selector::{FieldSelector, LabelSelector};
use hypermesh_chain::{KeyRange, Record};

/// What is left of the request.
pub(super) struct Rest<'a> {
    pub range: KeyRange,
    /// Objects made after the request are none of its business: newer than this revision, and not older than `time`.
    pub until: u64,
    /// The request's block time.
    pub time: &'a str,
    pub labels: &'a str,
    pub fields: &'a str,
    pub propagation: &'a Option<String>,
}

pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    rest: &Rest<'_>,
    progress: &Progress,
) -> Result<Turn, Fault> {
    let (Ok(labels), Ok(fields)) = (LabelSelector::parse(rest.labels), FieldSelector::parse(rest.fields))
    else {
        return Ok(Turn::Done);
    };
    let propagation = match rest.propagation.as_deref() {
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Background") => Some(Propagation::Background),
        Some("Orphan") => Some(Propagation::Orphan),
        _ => None,
    };
    let Some(kind) = execution.derived.registry.collection(&rest.range.collection).cloned() else {
        return Ok(Turn::Done);
    };
    let page = execution.overlay.scan(&rest.range, progress.key().as_ref(), SLICE)?;
    let last = page.last().map(|(key, _)| key.clone()).filter(|_| page.len() == SLICE);
    for (key, record) in page {
        if selected(&key, &record, &labels, &fields) && rest.concerns(&record)? {
            delete_object(execution, &kind, &key, &record, propagation)?;
        }
    }
    Ok(last.map_or(Turn::Done, |last| Turn::More(progress.after(&last))))
}

impl Rest<'_> {
    fn concerns(&self, record: &Record) -> Result<bool, ReadError> {
        // Times of one form, in UTC, compare as text.
        Ok(record.revision.0 <= self.until
            || metadata::text(&decode(record)?, "creationTimestamp") < self.time)
    }
}
