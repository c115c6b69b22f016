//! `rollout pause` and `rollout resume`.

use super::{each, no_service, targets};
use crate::{
    commands::{results::Manner, targets::Choice},
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `rollout pause`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl rollout pause workload/web")]
pub struct Pause {
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

/// Arguments of `rollout resume`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl rollout resume workload/web")]
pub struct Resume {
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

pub(super) async fn pause(arguments: Pause, session: &mut Session) -> Result<Exit, Error> {
    let targets = targets(&arguments.choice, &arguments.words, session).await?;
    each(targets, &arguments.manner, "paused", |object| set(object, true), session).await
}

pub(super) async fn resume(arguments: Resume, session: &mut Session) -> Result<Exit, Error> {
    let targets = targets(&arguments.choice, &arguments.words, session).await?;
    each(targets, &arguments.manner, "resumed", |object| set(object, false), session).await
}

fn set(object: &Value, paused: bool) -> Result<Value, String> {
    if let Some(why) = no_service(object) {
        return Err(why.to_owned());
    }
    let is_paused = object.pointer("/spec/rollout/paused") == Some(&Value::Bool(true));
    match (is_paused, paused) {
        (true, true) => Err("it is paused already".to_owned()),
        (false, false) => Err("it is not paused".to_owned()),
        (false, true) => Ok(json!({"spec": {"rollout": {"paused": true}}})),
        (true, false) => Ok(json!({"spec": {"rollout": {"paused": null}}})),
    }
}
