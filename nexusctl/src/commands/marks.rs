//! What `label` and `annotate` have in common: keys that are set, changed, taken away or listed.
//!
//! A key that has another value already is left alone unless `--overwrite` says otherwise; that holds against changes
//! in between too, since the change names the version of the object that was looked at.

use crate::{
    client::{self, Call},
    commands::{
        apply::DryRun,
        results::{Manner, Results},
        targets::{Choice, Target},
    },
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How often a change is made anew on an object that changed in between.
const MOST_TRIES: usize = 5;

/// Arguments of `label` and `annotate`.
#[derive(Args, Clone, Debug)]
pub struct Marks {
    /// TYPE NAME…, TYPE/NAME…, or TYPE with -l or --all; then KEY=VALUE to set and KEY- to take away
    #[arg(value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Which objects
    #[command(flatten)]
    pub choice: Choice,
    /// Change keys that have another value, too
    #[arg(long)]
    pub overwrite: bool,
    /// Show what the objects have
    #[arg(long)]
    pub list: bool,
    /// Only if the object is at this version
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// The words of a verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Field of metadata: `labels`.
    pub field: &'static str,
    /// What is asked for: `label`.
    pub one: &'static str,
    /// `labeled`
    pub done: &'static str,
    /// `unlabeled`
    pub undone: &'static str,
    /// Who owns what is set.
    pub manager: &'static str,
}

/// Keys to set (`Some`) and to take away (`None`).
type Changes = BTreeMap<String, Option<String>>;

/// Runs `label` or `annotate`.
pub async fn run(arguments: Marks, verb: Verb, session: &mut Session) -> Result<Exit, Error> {
    let (words, changes) = divide(&arguments.words, verb)?;
    if changes.is_empty() != arguments.list {
        return Err(Error::Message(if arguments.list {
            format!("--list shows every {}: leave the changes out", verb.one)
        } else {
            format!("say which {}: KEY=VALUE sets it, KEY- takes it away, --list shows them", verb.one)
        }));
    }
    let targets = arguments.choice.targets(&words, session).await?;
    if arguments.resource_version.is_some() && targets.len() != 1 {
        return Err(Error::Message("--resource-version is that of one object".into()));
    }
    let mut results = Results::new(&arguments.manner);
    let mut failed = false;
    let several = targets.len() > 1;
    for target in targets {
        let result = if arguments.list {
            list(&target, verb, several, session).await
        } else {
            one(&arguments, &target, &changes, verb, &mut results, session).await
        };
        match result {
            Ok(()) => {}
            Err(Error::Client(error)) if error.is_unreachable() => return Err(error.into()),
            Err(Error::Output(error)) => return Err(Error::Output(error)),
            Err(error) => {
                failed = true;
                session.note(&error.render(session.streams.err_color));
            }
        }
    }
    results.show(session)?;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// Words that name objects, and the changes that follow them.
fn divide(words: &[String], verb: Verb) -> Result<(Vec<String>, Changes), Error> {
    let is_change = |word: &str| word.contains('=') || (word.len() > 1 && word.ends_with('-'));
    let split = words.iter().position(|word| is_change(word)).unwrap_or(words.len());
    let (named, rest) = words.split_at(split);
    let mut changes = Changes::new();
    for word in rest {
        let change = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None if is_change(word) => (word.trim_end_matches('-').to_owned(), None),
            None => {
                let one = verb.one;
                return Err(Error::Message(format!(
                    "{word:?} is no {one}: KEY=VALUE or KEY-, after the names"
                )));
            }
        };
        if change.0.is_empty() {
            return Err(Error::Message(format!("{word:?} names no {}", verb.one)));
        }
        let (key, value) = (change.0.clone(), change.1.clone());
        if changes.insert(change.0, change.1).is_some_and(|before| before != value) {
            return Err(Error::Message(format!("{key:?} is changed twice, to different ends")));
        }
    }
    Ok((named.to_vec(), changes))
}

async fn list(target: &Target, verb: Verb, several: bool, session: &mut Session) -> Result<(), Error> {
    let object: Value = session.send(&Call::get(target.path())).await?.json()?;
    if several {
        session.say(&format!("{}:", target.shown()))?;
    }
    for (key, value) in current(&object, verb.field) {
        let text = value.as_str().unwrap_or_default();
        session.say(&format!("{}{key}={}", if several { "  " } else { "" }, crate::output::escape(text)))?;
    }
    Ok(())
}

fn current(object: &Value, field: &str) -> Map<String, Value> {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// What a change does to an object.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    Set,
    Removed,
}

/// Refuses to overwrite silently; tells what the changes amount to.
fn effect(
    now: &Map<String, Value>,
    changes: &Changes,
    overwrite: bool,
    verb: Verb,
) -> Result<Effect, String> {
    let mut effect = Effect::Nothing;
    for (key, value) in changes {
        match (now.get(key).and_then(Value::as_str), value) {
            (None, None) => {}
            (Some(_), None) => {
                if effect == Effect::Nothing {
                    effect = Effect::Removed;
                }
            }
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) if !overwrite => {
                let one = verb.one;
                return Err(format!("the {one} {key:?} is {old:?} already; --overwrite makes it {new:?}"));
            }
            (_, Some(_)) => effect = Effect::Set,
        }
    }
    Ok(effect)
}

async fn one(
    arguments: &Marks,
    target: &Target,
    changes: &Changes,
    verb: Verb,
    results: &mut Results,
    session: &mut Session,
) -> Result<(), Error> {
    for _ in 0..MOST_TRIES {
        let object: Value = session.send(&Call::get(target.path())).await?.json()?;
        let now = current(&object, verb.field);
        let effect = effect(&now, changes, arguments.overwrite, verb)
            .map_err(|why| Error::Message(format!("{}: {why}", target.shown())))?;
        let asked = arguments.resource_version.as_deref();
        let seen = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        if effect == Effect::Nothing && asked.is_none_or(|asked| asked == seen) {
            return results.tell(&target.shown(), &format!("not {}", verb.done), object, session);
        }
        let done = if effect == Effect::Removed { verb.undone } else { verb.done };
        let patch = json!({"metadata": {verb.field: changes, "resourceVersion": asked.unwrap_or(seen)}});
        if arguments.manner.dry_run == DryRun::Client {
            let mut after = object;
            merge(&mut after, verb.field, changes);
            return results.tell(&target.shown(), done, after, session);
        }
        let call = Call::with_body(Method::PATCH, target.path(), patch.to_string())
            .content_type("application/merge-patch+json")
            .query(&[
                ("fieldManager", arguments.manner.manager(verb.manager)),
                ("dryRun", arguments.manner.dry_run.parameter()),
            ]);
        match session.send(&call).await {
            Ok(reply) => return results.tell(&target.shown(), done, reply.json()?, session),
            Err(error) if is_conflict(&error) && asked.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Message(format!("{} changes all the time: nothing was changed", target.shown())))
}

fn merge(object: &mut Value, field: &str, changes: &Changes) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let entries = metadata.entry(field).or_insert_with(|| json!({}));
    let Some(entries) = entries.as_object_mut() else { return };
    for (key, value) in changes {
        match value {
            Some(value) => entries.insert(key.clone(), value.clone().into()),
            None => entries.remove(key),
        };
    }
}

fn is_conflict(error: &client::Error) -> bool {
    error.status().is_some_and(|status| status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Verb =
        Verb { field: "labels", one: "label", done: "labeled", undone: "unlabeled", manager: "x" };

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_come_before_changes() {
        let (named, changes) = divide(&words("wl web api a=b c- d="), LABEL).unwrap();
        assert_eq!(named, ["wl", "web", "api"]);
        assert_eq!(changes.len(), 3);
        assert_eq!((&changes["a"], &changes["c"]), (&Some("b".to_owned()), &None));
        assert_eq!(changes["d"].as_deref(), Some(""));
        assert!(divide(&words("wl web a=b api"), LABEL).is_err());
        assert!(divide(&words("wl web =b"), LABEL).is_err());
        assert!(divide(&words("wl web a=b a-"), LABEL).is_err());
    }

    #[test]
    fn nothing_is_overwritten_unasked() {
        let now = json!({"a": "1", "b": "2"}).as_object().cloned().unwrap();
        let of = |text: &str, overwrite| {
            let (_, changes) = divide(&words(&format!("wl web {text}")), LABEL).unwrap();
            effect(&now, &changes, overwrite, LABEL)
        };
        assert_eq!(of("a=1", false), Ok(Effect::Nothing));
        assert_eq!(of("x-", false), Ok(Effect::Nothing));
        assert_eq!(of("a-", false), Ok(Effect::Removed));
        assert_eq!(of("a- c=3", false), Ok(Effect::Set));
        assert_eq!(of("a=2", true), Ok(Effect::Set));
        assert_eq!(of("a=2", false), Err(r#"the label "a" is "1" already; --overwrite makes it "2""#.into()));
    }
}
