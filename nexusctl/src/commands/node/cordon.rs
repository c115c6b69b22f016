//! `node cordon` and `node uncordon`: whether new instances come to a node.

use crate::{
    client::Call,
    commands::why::{meta, nodes},
    error::{Error, Exit},
    output::escape_line,
    session::Session,
};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

/// Arguments of `node cordon` and `node uncordon`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl node cordon rack-1
  nexusctl node uncordon rack-1 rack-2")]
pub struct Cordon {
    /// Names of nodes
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Change nothing, and say what would be
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the verb.
pub(super) async fn run(arguments: &Cordon, cordoned: bool, session: &mut Session) -> Result<Exit, Error> {
    let mut exit = Exit::Success;
    for name in &arguments.nodes {
        match set(name, cordoned, arguments.dry_run, session).await {
            Ok(was) => {
                let word = if cordoned { "cordoned" } else { "uncordoned" };
                let already = if was { "already " } else { "" };
                let dry = if arguments.dry_run { " (dry run)" } else { "" };
                session.say(&format!("node/{} {already}{word}{dry}", escape_line(name)))?;
            }
            Err(Error::Client(error)) if error.status().is_some() => {
                session.note(&error.to_string());
                exit = Exit::Failure;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit)
}

/// Cordons or uncordons a node. True if it was so already.
pub(super) async fn set(name: &str, cordoned: bool, dry: bool, session: &mut Session) -> Result<bool, Error> {
    let path = nodes().object_path("", name);
    let node: Value = session.send(&Call::get(path.as_str())).await?.json()?;
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or_default() == cordoned {
        return Ok(true);
    }
    let patch = json!({"metadata": {"uid": meta(&node, "uid")}, "spec": {"unschedulable": cordoned}});
    let call = Call::with_body(Method::PATCH, path, patch.to_string())
        .content_type("application/merge-patch+json")
        .query(&[("fieldManager", "nexusctl-cordon"), ("dryRun", if dry { "All" } else { "" })]);
    session.send(&call).await?;
    Ok(false)
}
