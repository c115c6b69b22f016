//! `rollout`: how a changed template of a Workload reaches its instances, and the way back.

mod history;
mod kept;
mod restart;
mod restore;
mod status;
mod stop;
mod undo;

pub(super) use kept::revisions;

use crate::{
    client::Call,
    commands::{
        apply::DryRun,
        results::{Manner, Results},
        targets::{Choice, Target},
    },
    error::{Error, Exit},
    session::Session,
};
use clap::Subcommand;
use http::Method;
use serde_json::Value;

/// The field manager of these verbs.
const MANAGER: &str = "nexusctl-rollout";

/// The verbs of `rollout`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow a rollout to its end; exits 1 where it does not get on
    Status(status::Status),
    /// Show the templates that a workload has had, and what they referred to
    History(history::History),
    /// Go back to an earlier template, and to what it referred to
    Undo(undo::Undo),
    /// Let a changed template wait, and a rollout stay where it is
    Pause(stop::Pause),
    /// Let a rollout go on
    Resume(stop::Resume),
    /// Replace all instances by new ones, step by step
    Restart(restart::Restart),
}

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Status(arguments) => status::run(arguments, session).await,
        Command::History(arguments) => history::run(arguments, session).await,
        Command::Undo(arguments) => undo::run(arguments, session).await,
        Command::Pause(arguments) => stop::pause(arguments, session).await,
        Command::Resume(arguments) => stop::resume(arguments, session).await,
        Command::Restart(arguments) => restart::run(arguments, session).await,
    }
}

/// The Workloads that words and flags name.
async fn targets(choice: &Choice, words: &[String], session: &mut Session) -> Result<Vec<Target>, Error> {
    let targets = choice.targets(words, session).await?;
    for target in &targets {
        if target.resource.kind != "Workload" || target.resource.group != hypermesh_schemas::GROUP {
            let plural = target.resource.qualified_plural();
            return Err(Error::Message(format!("{plural} are not rolled out: only workloads are")));
        }
    }
    Ok(targets)
}

/// The one Workload that words name.
async fn target(words: &[String], session: &mut Session) -> Result<Target, Error> {
    let mut targets = targets(&Choice::default(), words, session).await?;
    match (targets.pop(), targets.is_empty()) {
        (Some(target), true) => Ok(target),
        _ => Err(Error::Message("one workload at a time: say workload/NAME".into())),
    }
}

/// Changes each Workload by a merge patch that `change` makes of it; `None` where nothing is to be done, with the words
/// that say so.
async fn each(
    targets: Vec<Target>,
    manner: &Manner,
    done: &str,
    change: impl Fn(&Value) -> Result<Value, String>,
    session: &mut Session,
) -> Result<Exit, Error> {
    let mut results = Results::new(manner);
    let mut exit = Exit::Success;
    for target in targets {
        match one(&target, manner, &change, session).await {
            Ok(object) => results.tell(&target.shown(), done, object, session)?,
            Err(Error::Client(error)) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                exit = Exit::Failure;
                session.note(&error.render(session.streams.err_color));
            }
        }
    }
    results.show(session)?;
    Ok(exit)
}

async fn one(
    target: &Target,
    manner: &Manner,
    change: &impl Fn(&Value) -> Result<Value, String>,
    session: &mut Session,
) -> Result<Value, Error> {
    let now: Value = session.send(&Call::get(target.path())).await?.json()?;
    let patch = change(&now).map_err(|why| Error::Message(format!("{}: {why}", target.shown())))?;
    if manner.dry_run == DryRun::Client {
        return Ok(now);
    }
    let call = Call::with_body(Method::PATCH, target.path(), patch.to_string())
        .content_type("application/merge-patch+json")
        .query(&[("fieldManager", manner.manager(MANAGER)), ("dryRun", manner.dry_run.parameter())]);
    Ok(session.send(&call).await?.json()?)
}

/// Whether a Workload is a job or a schedule, in words: what has no rollouts.
fn no_service(object: &Value) -> Option<&'static str> {
    if object.pointer("/spec/schedule").is_some_and(|schedule| !schedule.is_null()) {
        return Some("it is a schedule: each of its runs has the template that it had when the run began");
    }
    let job = object.pointer("/spec/job").is_some_and(|job| !job.is_null());
    job.then_some("it is a job: what it runs is not replaced")
}
