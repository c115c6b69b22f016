//! `rollout restart`: the template says when, so it is another one, and is rolled out as any other.

use super::{each, no_service, targets};
use crate::{
    commands::{results::Manner, targets::Choice},
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use hypermesh_controllers::workload::RESTARTED_AT;
use serde_json::{Value, json};

/// Arguments of `rollout restart`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl rollout restart workload/web
  nexusctl rollout restart workloads --all --dry-run")]
pub struct Restart {
    /// workload/NAME…, workload NAME…, or workloads with -l or --all
    #[arg(value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Which objects
    #[command(flatten)]
    pub choice: Choice,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

pub(super) async fn run(arguments: Restart, session: &mut Session) -> Result<Exit, Error> {
    let targets = targets(&arguments.choice, &arguments.words, session).await?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let change = |object: &Value| {
        if let Some(why) = no_service(object) {
            return Err(why.to_owned());
        }
        if object.pointer("/spec/rollout/paused") == Some(&Value::Bool(true)) {
            return Err("it is paused: `nexusctl rollout resume` lets it go on first".to_owned());
        }
        Ok(json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}}))
    };
    each(targets, &arguments.manner, "restarted", change, session).await
}
