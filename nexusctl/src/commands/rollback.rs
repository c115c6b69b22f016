//! `rollback`: makes an object what it was at a revision that is kept, deleted ones too.
//!
//! Restored is what people decide: labels, annotations and everything but status. What the server and controllers keep
//! (uid, finalizers, owners, status) stays as it is now. The change names the version that was compared, so what is
//! shown is what happens.

use crate::{
    client::{self, Call},
    commands::{
        apply::DryRun,
        results::{Manner, Results},
        targets::{Choice, Target},
    },
    difference::{self, Look},
    error::{Error, Exit},
    moment::Moment,
    session::Session,
};
use clap::Args;
use http::Method;
use serde_json::Value;

const MANAGER: &str = "nexusctl-rollback";
/// Metadata that is restored.
const RESTORED: [&str; 2] = ["annotations", "labels"];
/// Versions that are asked for at once.
const PAGE: &str = "100";
/// How many such pages are looked at for a version that was different: most versions differ in their status alone.
const MOST_PAGES: usize = 20;

const EXAMPLES: &str = "Examples:
  # What the last change would be undone to
  nexusctl rollback network/office --dry-run
  nexusctl rollback workload/web --at=10s";

/// Arguments of `rollback`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// TYPE/NAME, or TYPE NAME
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// The revision to go back to (`nexusctl history` lists them) [default: the version before the last change]
    #[arg(long, value_name = "N", conflicts_with = "at")]
    pub to_revision: Option<u64>,
    /// The time to go back to: 2026-11-21T09:30:00Z, or how long ago: 90s, 15m, 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<Moment>,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let targets = Choice::default().targets(&arguments.words, session).await?;
    let [target] = targets.as_slice() else {
        return Err(Error::Message("one object is rolled back at a time".into()));
    };
    let now = match session.send(&Call::get(target.path())).await {
        Ok(reply) => Some(reply.json::<Value>()?),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let (then, when) = past(&arguments, target, now.as_ref(), session).await?;
    let restored = restore(now.as_ref(), &then);
    let look = Look { color: session.streams.out_color, managed_fields: false };
    let mut shown = restored.clone();
    if let (Some(status), Some(map)) = (now.as_ref().and_then(|now| now.get("status")), shown.as_object_mut())
    {
        map.insert("status".to_owned(), status.clone());
    }
    let text = difference::unified(&target.shown(), now.clone(), Some(shown), look);
    if text.is_empty() {
        session.note(&format!("{} is as it was {when}: there is nothing to roll back", target.shown()));
        return Ok(Exit::Success);
    }
    if arguments.manner.output.is_none() {
        session.print(&text)?;
    }
    let mut results = Results::new(&arguments.manner);
    let object = match arguments.manner.dry_run {
        DryRun::Client => restored,
        _ => write(&arguments, target, now.is_some(), &restored, session).await?,
    };
    results.tell(&target.shown(), &format!("rolled back to what it was {when}"), object, session)?;
    results.show(session)?;
    Ok(Exit::Success)
}

/// The object as it was, and when.
async fn past(
    arguments: &Arguments,
    target: &Target,
    now: Option<&Value>,
    session: &mut Session,
) -> Result<(Value, String), Error> {
    let Some(moment) = arguments.to_revision.map(Moment::Revision).or(arguments.at) else {
        return before(target, now, session).await;
    };
    let when = moment.to_string();
    match session.send(&moment.ask(Call::get(target.path()))).await {
        Ok(reply) => Ok((reply.json()?, when)),
        Err(error) if error.is_not_found() => {
            let shown = target.shown();
            let words = match now {
                Some(_) => format!("{shown} did not exist {when}: `nexusctl delete {shown}` deletes it"),
                None => format!("{shown} does not exist, and did not {when}"),
            };
            Err(Error::Message(words))
        }
        Err(error) => Err(error.into()),
    }
}

/// The last version that was different, or that there was before the object was deleted.
async fn before(
    target: &Target,
    now: Option<&Value>,
    session: &mut Session,
) -> Result<(Value, String), Error> {
    let mut older_than = String::new();
    for _ in 0..MOST_PAGES {
        let call =
            Call::get(target.path()).query(&[("history", "true"), ("limit", PAGE), ("before", &older_than)]);
        let mut history: Value = match session.send(&call).await {
            Ok(reply) => reply.json()?,
            Err(error) if error.is_not_found() => {
                let words = format!("{} does not exist, and no version of it is kept", target.shown());
                return Err(Error::Message(words));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(Value::Array(versions)) = history.get_mut("items").map(Value::take) else {
            return Err(Error::Message("this server keeps no history: say --to-revision or --at".into()));
        };
        if let Some(found) = versions.into_iter().find_map(|version| different(now, version)) {
            return Ok(found);
        }
        let next = history.pointer("/metadata/before").and_then(Value::as_str);
        older_than = next.unwrap_or_default().to_owned();
        if older_than.is_empty() {
            break;
        }
    }
    Err(Error::Message(format!("no earlier version of {} is kept that was different", target.shown())))
}

/// A version that was different from the object as it is, and when that was.
fn different(now: Option<&Value>, mut version: Value) -> Option<(Value, String)> {
    let deleted = version.get("change").and_then(Value::as_str) == Some("Deleted");
    let object = version.get_mut("object").map(Value::take).filter(Value::is_object)?;
    let differs = match now {
        // What was deleted before this object was made is not what was changed last.
        Some(now) => !deleted && restore(Some(now), &object) != restore(Some(now), now),
        None => true,
    };
    let revision = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
    let when = if deleted { "when it was deleted".to_owned() } else { format!("at revision {revision}") };
    differs.then_some((object, when))
}

/// The object with what people decide as it was `then`.
fn restore(now: Option<&Value>, then: &Value) -> Value {
    let mut object = then.as_object().cloned().unwrap_or_default();
    object.remove("status");
    let of = |value: &Value, key: &str| value.get("metadata").and_then(|m| m.get(key)).cloned();
    let mut metadata = match now {
        Some(now) => now.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default(),
        None => {
            ["name", "namespace"].iter().filter_map(|key| Some(((*key).to_owned(), of(then, key)?))).collect()
        }
    };
    metadata.remove("managedFields");
    for key in RESTORED {
        match of(then, key) {
            Some(value) => metadata.insert(key.to_owned(), value),
            None => metadata.remove(key),
        };
    }
    object.insert("metadata".to_owned(), Value::Object(metadata));
    Value::Object(object)
}

async fn write(
    arguments: &Arguments,
    target: &Target,
    exists: bool,
    object: &Value,
    session: &mut Session,
) -> Result<Value, Error> {
    let (method, path) = if exists {
        (Method::PUT, target.path())
    } else {
        (Method::POST, target.resource.collection_path(Some(&target.namespace)))
    };
    let call = Call::with_body(method, path, object.to_string()).query(&[
        ("fieldManager", arguments.manner.manager(MANAGER)),
        ("dryRun", arguments.manner.dry_run.parameter()),
    ]);
    match session.send(&call).await {
        Ok(reply) => Ok(reply.json()?),
        Err(client::Error::Refused { status, .. }) if status.code == 409 && exists => {
            let words = format!("{} changed meanwhile: nothing was rolled back, look again", target.shown());
            Err(Error::Message(words))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    #[test]
    fn people_s_part_goes_back_and_the_rest_stays() {
        let now = json!({"kind": "X", "metadata": {"name": "a", "uid": "1", "resourceVersion": "9", "labels": {"new": "1"},
            "finalizers": ["f"], "managedFields": []}, "spec": {"a": 2}, "extra": 1, "status": {"s": 1}});
        let then = json!({"kind": "X", "metadata": {"name": "a", "uid": "1", "resourceVersion": "5", "annotations": {"n": "x"}},
            "spec": {"a": 1}, "status": {"s": 0}});
        assert_eq!(
            restore(Some(&now), &then),
            json!({"kind": "X", "metadata": {"name": "a", "uid": "1", "resourceVersion": "9", "annotations": {"n": "x"},
                "finalizers": ["f"]}, "spec": {"a": 1}})
        );
        assert_eq!(
            restore(None, &then),
            json!({"kind": "X", "metadata": {"name": "a", "annotations": {"n": "x"}}, "spec": {"a": 1}})
        );
    }
}
