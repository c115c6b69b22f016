//! `node describe`: everything about nodes, and what runs there.

use super::list::instances_of_all;
use crate::{
    commands::{describe, why::meta},
    error::{Error, Exit},
    output::{age, aligned::Grid},
    session::Session,
};
use clap::Args;
use hypermesh_controllers::runtime::Key;
use hypermesh_controllers::scheduler::{look, plan::Life, plan::Snapshot, plan::amounts::Resource};
use jiff::Timestamp;
use serde_json::Value;

/// Arguments of `node describe`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl node describe rack-1")]
pub struct Describe {
    /// Names of nodes
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Whether to show events
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub show_events: bool,
}

/// Runs the verb.
pub(super) async fn run(arguments: &Describe, session: &mut Session) -> Result<Exit, Error> {
    let all = instances_of_all(session).await?;
    let (mut exit, now) = (Exit::Success, Timestamp::now());
    for (at, name) in arguments.nodes.iter().enumerate() {
        if at > 0 {
            session.print("\n\n")?;
        }
        let asked = describe::Arguments {
            words: vec![format!("nodes.hypermesh.online/{name}")],
            show_events: arguments.show_events,
            chunk_size: 500,
            ..describe::Arguments::default()
        };
        let described = describe::run(asked, session).await?;
        if described != Exit::Success {
            exit = described;
            continue;
        }
        match &all {
            None => session.note("what runs there is not shown: you may not list instances"),
            Some(all) => {
                let text = residents(name, all, session.streams.out_width, now);
                session.print(&text)?;
            }
        }
    }
    Ok(exit)
}

/// What runs on a node, and what it asks for.
fn residents(name: &str, all: &[Value], width: Option<usize>, now: Timestamp) -> String {
    let at = |one: &&Value| one.pointer("/spec/nodeName").and_then(Value::as_str) == Some(name);
    let here: Vec<Value> = all.iter().filter(at).cloned().collect();
    if here.is_empty() {
        return "\nInstances:  <none>\n".to_owned();
    }
    let snapshot = look::snapshot(&[], &here, &[]);
    let mut grid = Grid::new(2, Vec::new());
    grid.heading(
        ["NAMESPACE", "NAME", "PHASE", "CPU", "MEMORY", "RESTARTS", "AGE"].map(str::to_owned).to_vec(),
    );
    for one in &here {
        grid.row(row(one, &snapshot, now));
    }
    format!("\nInstances ({}):\n{}", here.len(), grid.render(width, &crate::output::Paint::default()))
}

fn row(one: &Value, snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let key = Key::namespaced(meta(one, "namespace"), meta(one, "name"));
    let instance = snapshot.instance(&key).filter(|instance| instance.life != Life::Ended);
    let asks = |resource: Resource| match instance.map(|instance| instance.demand.needs.get(&resource)) {
        None | Some(0) => "-".to_owned(),
        Some(amount) => resource.show(amount),
    };
    let phase = one.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    let leaving = if meta(one, "deletionTimestamp").is_empty() { "" } else { ",Deleting" };
    let restarts = one.pointer("/status/restarts").and_then(Value::as_u64).unwrap_or_default();
    vec![
        meta(one, "namespace").to_owned(),
        meta(one, "name").to_owned(),
        format!("{phase}{leaving}"),
        asks(Resource::Cpu),
        asks(Resource::Memory),
        restarts.to_string(),
        age::since(meta(one, "creationTimestamp"), now),
    ]
}
