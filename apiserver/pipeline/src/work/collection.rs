//! The rest of a `deletecollection`.

use super::job::Rest;
use super::slice::{PAGE, Slice};
use super::{Progress, Turn, end_of_pass};
use crate::execution::Execution;
use crate::fault::Fault;
use crate::metadata;
use crate::state::StateReader;
use crate::verb::{Manner, decode, delete_object, selected_as};
use crate::view::View;
use hypermesh_api::options::Propagation;
use hypermesh_api::selector::{FieldSelector, LabelSelector};
use hypermesh_chain::Record;

pub(super) fn turn<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    slice: &mut Slice,
    rest: &Rest,
    progress: &mut Progress,
) -> Result<Turn, Fault> {
    let (Ok(labels), Ok(fields)) = (LabelSelector::parse(&rest.labels), FieldSelector::parse(&rest.fields))
    else {
        return Ok(Turn::Done);
    };
    let propagation = rest.propagation.as_deref().and_then(Propagation::parse);
    let manner = Manner { propagation, grace: rest.grace };
    let view = rest.shown.as_deref().and_then(View::named);
    let range = rest.range.range();
    let Some(kind) = execution.derived.registry.collection(&range.collection).cloned() else {
        return Ok(Turn::Done);
    };
    loop {
        if !slice.has_room(execution) {
            return Ok(Turn::More);
        }
        let page = execution.overlay.scan(&range, progress.key().as_ref(), PAGE)?;
        let full = page.len() == PAGE;
        for (key, record) in page {
            slice.attempt(execution, progress, &key, |execution| {
                if selected_as(view, &key, &record, &labels, &fields) && concerns(rest, &record)? {
                    delete_object(execution, &kind, &key, &record, manner)?;
                }
                Ok(())
            })?;
            progress.pass(&key);
        }
        if !full {
            return Ok(end_of_pass(progress));
        }
    }
}

fn concerns(rest: &Rest, record: &Record) -> Result<bool, Fault> {
    // Times of one form, in UTC, compare as text.
    Ok(record.revision.0 <= rest.until || metadata::text(&decode(record)?, "creationTimestamp") < &*rest.time)
}
