//! How an apply ended: what is in place, what is not, and how to go on.

use super::{
    Arguments,
    send::{Fate, Sent},
};
use crate::{
    cli::GlobalOptions, commands::results::ResultFormat, error::Exit, manifest::Placed, session::Session,
    shell,
};
use serde_json::Value;
use std::fmt::Write as _;

/// Tells what was not applied, if anything, and gives the exit code.
pub(super) fn tell(arguments: &Arguments, placed: &[Placed], sent: &Sent, session: &mut Session) -> Exit {
    if sent.is_complete() {
        return Exit::Success;
    }
    let cut = sent.interrupted || sent.unreachable;
    if placed.len() == 1 && !cut {
        return Exit::Failure;
    }
    let missing: Vec<(usize, &str)> = sent.fates.iter().enumerate().filter_map(why).collect();
    let (count, all) = (missing.len(), placed.len());
    let was = if count == 1 { "was" } else { "were" };
    let mut text = format!("\nerror: {count} of {all} objects {was} not applied:");
    for (index, why) in missing {
        let document = &placed[index].document;
        let _ = write!(text, "\n  {}: {} ({why})", document.place(), document.reference());
    }
    text.push_str("\napplying again is safe: what is in place stays as it is");
    if cut {
        let _ = write!(text, "\nto go on: {}", again(arguments, &session.options));
    }
    session.note(&text);
    if sent.interrupted { Exit::Interrupted } else { Exit::Failure }
}

/// Tells what is in place where somebody stopped it after everything was applied.
pub(super) fn stopped(arguments: &Arguments, waited: bool, session: &mut Session) -> Exit {
    let text = if waited {
        "interrupted: everything is applied, and nobody waits for it any more"
    } else {
        "interrupted: everything is applied; of what is to be pruned only what was told is deleted, and perhaps one more"
    };
    session.note(&format!("{text}\nto go on: {}", again(arguments, &session.options)));
    Exit::Interrupted
}

fn why((index, fate): (usize, &Fate)) -> Option<(usize, &'static str)> {
    match fate {
        Fate::Applied(..) => None,
        Fate::Refused => Some((index, "refused")),
        Fate::Unsent => Some((index, "not sent")),
        Fate::Unknown => Some((index, "sent, its outcome unknown")),
    }
}

/// Tells how many of how many objects were applied where standard output could not say which.
pub(super) fn unsaid(arguments: &Arguments, (applied, all): (usize, usize), session: &mut Session) {
    let were = if all == 1 { "object was" } else { "objects were" };
    let mut text = format!("{applied} of {all} {were} applied{}", arguments.dry_run.suffix());
    if arguments.prune {
        text.push_str("; nothing was pruned");
    }
    session.note(&text);
}

/// The command that does the same again.
fn again(arguments: &Arguments, options: &GlobalOptions) -> String {
    let mut words = vec!["nexusctl".to_owned()];
    let mut pair = |flag: &str, value: Option<String>| {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    };
    pair("--kubeconfig", options.kubeconfig.as_ref().map(|path| path.display().to_string()));
    pair("--context", options.context.clone());
    pair("--server", options.server.clone());
    pair("--namespace", options.namespace.clone());
    words.push("apply".to_owned());
    for name in &arguments.files.filenames {
        words.extend(["-f".to_owned(), name.clone()]);
    }
    let mut flag = |set: bool, flag: &str| words.extend(set.then(|| flag.to_owned()));
    flag(arguments.files.recursive, "--recursive");
    flag(arguments.force_conflicts, "--force-conflicts");
    flag(arguments.keep_going, "--keep-going");
    flag(arguments.prune, "--prune");
    flag(arguments.wait, "--wait");
    flag(
        arguments.field_manager != super::FIELD_MANAGER,
        &format!("--field-manager={}", arguments.field_manager),
    );
    if let Some(set) = &arguments.applyset {
        words.push(format!("--applyset={set}"));
    }
    let command = shell::join(&words);
    let stdin = arguments.files.filenames.iter().any(|name| name == "-");
    if stdin { format!("{command} (with the same input)") } else { command }
}

/// Shows the objects that were applied in the form asked for.
pub(super) fn show(
    format: Option<ResultFormat>,
    results: &[(&Placed, &Value)],
    session: &mut Session,
) -> Result<(), crate::Error> {
    let Some(format) = format.filter(|_| !results.is_empty()) else { return Ok(()) };
    if format == ResultFormat::Name {
        return results.iter().try_for_each(|(item, _)| session.say(&item.name()));
    }
    let value = match results {
        [(_, only)] => (*only).clone(),
        _ => {
            let items: Vec<&Value> = results.iter().map(|(_, object)| *object).collect();
            serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {}})
        }
    };
    crate::commands::results::show(format, value, session)
}
