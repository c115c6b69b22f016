//! The rest of a `deletecollection`.

use super::{MOST_WRITES, Place, Turn};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::state::StateReader;
use crate::verb::{delete_object, selected};
use hypermesh_api::options::Propagation;
use hypermesh_api::selector::{FieldSelector, LabelSelector};
use hypermesh_chain::KeyRange;

const SLICE: usize = MOST_WRITES / 2;

/// What is left of the request.
pub(super) struct Rest<'a> {
    pub range: KeyRange,
    pub after: &'a Place,
    /// Objects written after the request are none of its business.
    pub until: u64,
    pub labels: &'a str,
    pub fields: &'a str,
    pub propagation: &'a Option<String>,
}

pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    rest: &Rest<'_>,
) -> Result<(Turn, Option<Place>), Fault> {
    let (Ok(labels), Ok(fields)) = (LabelSelector::parse(rest.labels), FieldSelector::parse(rest.fields))
    else {
        return Ok((Turn::Done, None));
    };
    let propagation = match rest.propagation.as_deref() {
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Background") => Some(Propagation::Background),
        Some("Orphan") => Some(Propagation::Orphan),
        _ => None,
    };
    let Some(kind) = execution.derived.registry.collection(&rest.range.collection).cloned() else {
        return Ok((Turn::Done, None));
    };
    let page = execution.overlay.scan(&rest.range, rest.after.key().as_ref(), SLICE)?;
    let Some((last, _)) = page.last() else { return Ok((Turn::Done, None)) };
    let next = Place::from(last);
    let full = page.len() == SLICE;
    for (key, record) in page {
        if record.revision.0 <= rest.until && selected(&key, &record, &labels, &fields) {
            delete_object(execution, &kind, &key, &record, propagation)?;
        }
    }
    Ok((if full { Turn::More } else { Turn::Done }, Some(next)))
}
