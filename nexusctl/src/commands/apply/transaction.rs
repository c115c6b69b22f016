//! `--atomic`: one POST of a `v1` List; all objects are applied or none.

use crate::{
    client::{self, Call},
    commands::apply::{Arguments, Before, Outcome, explain, patch, preflight, send::WIDTH},
    error::Error,
    manifest::Placed,
    session::Session,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use hypermesh_api::Status;
use serde_json::{Value, json};

/// Where transactions go.
const PATH: &str = "/apis/hypermesh.online/v1/transactions";

/// The transaction that applies objects.
pub(super) fn call(arguments: &Arguments, objects: Vec<Value>, dry_run: &str) -> Call {
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects});
    Call::with_body(Method::POST, PATH, list.to_string()).query(&[
        ("fieldManager", &arguments.field_manager),
        ("fieldValidation", arguments.validate.parameter()),
        ("force", if arguments.force_conflicts { "true" } else { "" }),
        ("dryRun", dry_run),
    ])
}

/// Applies all or none. The objects as the server has them afterwards, or `None` where it refused and has been quoted.
pub(super) async fn run(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    session: &mut Session,
) -> Result<Option<Vec<(Outcome, Value)>>, Error> {
    let client = session.client()?;
    let looked = stream::iter(placed).map(|item| Before::look(item, &client)).buffered(WIDTH);
    let before: Vec<Before> = looked.try_collect().await?;
    let call = call(arguments, objects.to_vec(), arguments.dry_run.parameter());
    let reply = match session.send(&call).await {
        Ok(reply) => reply,
        Err(error) => {
            refused(arguments, (placed, objects), &error, session).await?;
            return Ok(None);
        }
    };
    let reply: Value = reply.json()?;
    let results = reply.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if results.len() != placed.len() {
        return Err(Error::Message(format!(
            "the server answered the transaction of {} objects with {} results: look at them with `nexusctl get`",
            placed.len(),
            results.len()
        )));
    }
    let mut done = Vec::with_capacity(placed.len());
    for ((item, before), result) in placed.iter().zip(&before).zip(results) {
        let outcome = before.compare(false, result);
        if arguments.output.is_none() {
            session.say(&format!("{} {outcome}{}", item.name(), arguments.dry_run.suffix()))?;
        }
        done.push((outcome, result.clone()));
    }
    Ok(Some(done))
}

/// Tells all that is wrong. A server ends a transaction at the first object that it refuses, so each is judged alone,
/// too; what shows only when they are taken together is told as the transaction's refusal says it.
async fn refused(
    arguments: &Arguments,
    (placed, objects): (&[Placed], &[Value]),
    error: &client::Error,
    session: &mut Session,
) -> Result<(), Error> {
    let color = session.streams.err_color;
    let Some(status) = error.status().filter(|s| s.code != 401) else {
        let unsure = error.is_unreachable() && !matches!(error, client::Error::Connect { .. });
        let end = if unsure {
            "whether the transaction was carried out is unknown: all of it was, or nothing; applying again is safe"
        } else {
            "nothing was applied"
        };
        session.note(&format!("error: {}\n{end}", crate::error::chain(error)));
        return Ok(());
    };
    let told = preflight::each(arguments, placed, objects, session).await?;
    let mut texts = Vec::new();
    for (index, status) in by_item(status, placed.len()) {
        match index {
            Some(index) if told.contains(&index) => {}
            Some(index) => {
                let asked = patch(arguments, &placed[index], &objects[index], "All");
                let faults = explain(&placed[index], &status, &asked, session).await;
                texts.extend(faults.iter().map(|f| f.render(color)));
            }
            None if told.is_empty() => {
                texts.push(format!("error: {}", crate::manifest::refusal::sentence(&status)));
            }
            None => {}
        }
    }
    texts.push("nothing was applied".to_owned());
    let gap = if told.is_empty() { "" } else { "\n" };
    session.note(&format!("{gap}{}", texts.join("\n\n")));
    Ok(())
}

/// Divides a refusal by the items that it is about: paths begin with `items[2].`. What names no item stays whole.
fn by_item(status: &Status, count: usize) -> Vec<(Option<usize>, Status)> {
    let mut divided: Vec<(Option<usize>, Status)> = Vec::new();
    let causes = status.details.as_ref().map(|d| d.causes.as_slice()).unwrap_or_default();
    for cause in causes {
        let Some((index, field)) = item_of(&cause.field).filter(|(index, _)| *index < count) else {
            return vec![(in_message(status, count), status.clone())];
        };
        if field.is_empty() && !cause.message.is_empty() {
            // About the object as a whole: the cause says it without what the transaction puts around it.
            let message = cause.message.clone();
            divided.push((Some(index), Status { message, details: None, ..status.clone() }));
            continue;
        }
        let cause = hypermesh_api::Cause { field: field.to_owned(), ..cause.clone() };
        let of_fields = |known: &Status| known.details.as_ref().is_some_and(|d| !d.causes.is_empty());
        match divided.iter_mut().find(|(known, status)| *known == Some(index) && of_fields(status)) {
            Some((_, known)) => {
                if let Some(details) = &mut known.details {
                    details.causes.push(cause);
                }
            }
            None => {
                let details = hypermesh_api::Details { causes: vec![cause], ..Default::default() };
                divided.push((Some(index), Status { details: Some(details), ..status.clone() }));
            }
        }
    }
    if divided.is_empty() { vec![(in_message(status, count), status.clone())] } else { divided }
}

/// `items[2].spec.x` is item 2 and `spec.x`.
fn item_of(field: &str) -> Option<(usize, &str)> {
    let (index, rest) = field.strip_prefix("items[")?.split_once(']')?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// A refusal without causes may still begin with the item that it is about: `items[2]: …`.
fn in_message(status: &Status, count: usize) -> Option<usize> {
    let at = status.message.find("items[")?;
    item_of(&status.message[at..]).map(|(index, _)| index).filter(|index| *index < count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_api::{Cause, Details};

    #[test]
    fn what_is_about_a_whole_item_is_said_in_its_own_words() {
        let cause = |field: &str, message: &str| Cause {
            field: field.into(),
            message: message.into(),
            ..Cause::default()
        };
        let causes = vec![cause("items[1]", "strict decoding error"), cause("items[1].spec", "no")];
        let mut status = Status::failure(
            400,
            "BadRequest",
            "items[1]: strict decoding error; nothing of the transaction was stored",
        );
        status.details = Some(Details { causes, ..Details::default() });
        let divided = by_item(&status, 2);
        assert_eq!(divided.len(), 2);
        assert_eq!((divided[0].0, divided[0].1.message.as_str()), (Some(1), "strict decoding error"));
        assert!(divided[0].1.details.is_none());
        assert_eq!(divided[1].1.details.as_ref().unwrap().causes[0].field, "spec");
    }

    #[test]
    fn causes_go_to_their_items() {
        let cause = |field: &str| Cause { field: field.into(), ..Cause::default() };
        let details = Details {
            causes: vec![cause("items[1].spec.a"), cause("items[0].spec"), cause("items[1].spec.b")],
            ..Details::default()
        };
        let mut status = Status::failure(422, "Invalid", "x");
        status.details = Some(details);
        let divided = by_item(&status, 2);
        let fields: Vec<(Option<usize>, Vec<&str>)> = divided
            .iter()
            .map(|(i, s)| (*i, s.details.as_ref().unwrap().causes.iter().map(|c| c.field.as_str()).collect()))
            .collect();
        assert_eq!(fields, [(Some(1), vec!["spec.a", "spec.b"]), (Some(0), vec!["spec"])]);
        // An item that was never sent cannot be pointed at.
        assert_eq!(by_item(&status, 1).len(), 1);
        assert_eq!(by_item(&Status::bad_request("items[1]: strict decoding error"), 2)[0].0, Some(1));
    }
}
