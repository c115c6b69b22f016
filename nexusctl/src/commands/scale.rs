//! `scale`: how many replicas there should be, by the `scale` subresource.
//!
//! `--current-replicas` and `--resource-version` are preconditions: the change names the version that was looked at, so
//! they hold when it is made, not only when it is asked for.

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
use clap::Args;
use http::Method;
use serde_json::{Value, json};

const MANAGER: &str = "nexusctl-scale";

const EXAMPLES: &str = "Examples:
  nexusctl scale workload web --replicas=3
  # Only if there are three
  nexusctl scale workload/web --current-replicas=3 --replicas=2
  nexusctl scale workloads --all --replicas=2 --dry-run";

/// Arguments of `scale`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// TYPE NAME…, TYPE/NAME…, or TYPE with -l or --all
    #[arg(value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Which objects
    #[command(flatten)]
    pub choice: Choice,
    /// How many there should be
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub replicas: u32,
    /// Only where so many are asked for now
    #[arg(long, value_name = "N")]
    pub current_replicas: Option<u32>,
    /// Only if the object is at this version
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let targets = arguments.choice.targets(&arguments.words, session).await?;
    if arguments.resource_version.is_some() && targets.len() != 1 {
        return Err(Error::Message("--resource-version is that of one object".into()));
    }
    let mut results = Results::new(&arguments.manner);
    let mut failed = false;
    for target in targets {
        match scale(&arguments, &target, session).await {
            Ok(object) => results.tell(&target.shown(), "scaled", object, session)?,
            Err(Error::Client(error)) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                failed = true;
                session.note(&error.render(session.streams.err_color));
            }
        }
    }
    results.show(session)?;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

async fn scale(arguments: &Arguments, target: &Target, session: &mut Session) -> Result<Value, Error> {
    let path = format!("{}/scale", target.path());
    let mut patch = json!({"spec": {"replicas": arguments.replicas}});
    let mut now = Value::Null;
    if arguments.current_replicas.is_some() || arguments.manner.dry_run == DryRun::Client {
        now = match session.send(&Call::get(&path)).await {
            Ok(reply) => reply.json()?,
            Err(error) => return Err(missing(error, target, session).await),
        };
        let replicas = now.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or_default();
        if let Some(expected) = arguments.current_replicas.filter(|n| u64::from(*n) != replicas) {
            let shown = target.shown();
            let words = format!("{shown} has {replicas} replicas, not {expected}: it was not scaled");
            return Err(Error::Message(words));
        }
    }
    let seen = now.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    if let Some(version) = arguments.resource_version.as_deref().or(seen) {
        patch["metadata"] = json!({"resourceVersion": version});
    }
    if arguments.manner.dry_run == DryRun::Client {
        now["spec"] = patch["spec"].take();
        return Ok(now);
    }
    let call = Call::with_body(Method::PATCH, &path, patch.to_string())
        .content_type("application/merge-patch+json")
        .query(&[
            ("fieldManager", arguments.manner.manager(MANAGER)),
            ("dryRun", arguments.manner.dry_run.parameter()),
        ]);
    match session.send(&call).await {
        Ok(reply) => Ok(reply.json()?),
        Err(error) => Err(missing(error, target, session).await),
    }
}

/// A kind without the subresource is told apart from an object that does not exist.
async fn missing(error: crate::client::Error, target: &Target, session: &mut Session) -> Error {
    if !error.is_not_found() {
        return error.into();
    }
    match session.send(&Call::get(target.path())).await {
        Ok(_) => Error::Message(format!("{} cannot be scaled", target.resource.qualified_plural())),
        Err(error) => error.into(),
    }
}
