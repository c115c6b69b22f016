//! Asks the server to judge everything before anything is applied: one mistake, and nothing is.
//!
//! All objects go as one transaction in a dry run, in which later ones see earlier ones. Where it is refused, each
//! object is judged alone, so that all mistakes are told at once. A server that has no transactions judges each alone.

use super::{Arguments, DryRun, order, patch, send::WIDTH, tell, transaction};
use crate::{
    client::{self, Client},
    error::Error,
    manifest::Placed,
    session::Session,
};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use std::collections::BTreeSet;

/// The most that goes in one transaction: a server takes a thousand objects and 3 MiB.
const MOST_OBJECTS: usize = 1_000;
const MOST_BYTES: usize = 2 << 20;

/// Whether all may be applied. What is wrong has then been told.
pub(super) async fn passes(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    session: &mut Session,
) -> Result<bool, Error> {
    let alone = placed.len() < 2 || arguments.keep_going;
    if alone || arguments.dry_run != DryRun::None {
        return Ok(true);
    }
    if whole(arguments, placed, objects, session).await? {
        return Ok(true);
    }
    let refused = each(arguments, placed, objects, session).await?.len();
    if refused > 0 {
        let (all, was) = (placed.len(), if refused == 1 { "was" } else { "were" });
        session.note(&format!(
            "\nerror: {refused} of {all} objects {was} refused, so nothing was applied\n--keep-going applies the rest"
        ));
    }
    Ok(refused == 0)
}

/// Judges each object alone, and tells what is wrong with any. Those that the server would refuse.
pub(super) async fn each(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    session: &mut Session,
) -> Result<Vec<usize>, Error> {
    let client = session.client()?;
    let made: BTreeSet<&str> = placed
        .iter()
        .filter(|item| item.resource.group.is_empty() && item.resource.kind == "Namespace")
        .map(|item| item.document.name.as_str())
        .collect();
    let judged = stream::iter(placed.iter().zip(objects))
        .map(|(item, object)| judge(&client, arguments, item, object))
        .buffered(WIDTH);
    let answers: Vec<Result<(), client::Error>> = judged.collect().await;
    let mut refused = Vec::new();
    for (index, (item, answer)) in placed.iter().zip(answers).enumerate() {
        match answer {
            Err(error) if error.status().is_some() && !waits_for_namespace(&error, &made) => {
                if !refused.is_empty() {
                    session.note("");
                }
                refused.push(index);
                tell(item, &error, &patch(arguments, item, &objects[index], "All"), session).await;
            }
            Err(error) if error.status().is_none() => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(refused)
}

/// Judges all at once; false if that did not go well, for whatever reason.
async fn whole(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    session: &mut Session,
) -> Result<bool, Error> {
    let size: usize = objects.iter().map(|object| object.to_string().len() + 1).sum();
    if placed.len() > MOST_OBJECTS || size > MOST_BYTES {
        return Ok(false);
    }
    let ordered: Vec<Value> =
        order::waves(placed).into_iter().flatten().map(|i| objects[i].clone()).collect();
    let client = session.client()?;
    match client.send(&transaction::call(arguments, ordered, "All")).await {
        Ok(_) => Ok(true),
        Err(error) if error.status().is_some() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn judge(
    client: &Client,
    arguments: &Arguments,
    item: &Placed,
    object: &Value,
) -> Result<(), client::Error> {
    client.send(&patch(arguments, item, object, "All")).await.map(|_| ())
}

/// An object of a namespace that is yet to be made cannot be judged before.
fn waits_for_namespace(error: &client::Error, made: &BTreeSet<&str>) -> bool {
    let status = error.status().filter(|status| status.code == 404);
    let details = status.and_then(|status| status.details.as_ref());
    details.is_some_and(|details| details.kind == "namespaces" && made.contains(details.name.as_str()))
}
