//! `node list`: nodes, how they are and how full.

use super::shares::share;
use crate::{
    client,
    commands::{
        get::list_all,
        why::{instances, meta, nodes},
    },
    error::{Error, Exit},
    output::{self, Form, age, aligned::Grid},
    session::Session,
};
use clap::Args;
use hypermesh_controllers::scheduler::{look, plan::Snapshot, plan::amounts::Resource, plan::demand};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Arguments of `node list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl node list
  nexusctl node list -l zone=a -o wide")]
pub struct List {
    /// Nodes with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    pub selector: String,
    /// json, yaml, wide or name
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    /// Leave headings out
    #[arg(long)]
    pub no_headers: bool,
}

/// Runs the verb.
pub(super) async fn run(arguments: &List, session: &mut Session) -> Result<Exit, Error> {
    let form = Form::parse(arguments.output.as_deref())?;
    let kind = nodes();
    let selector = [("labelSelector", arguments.selector.as_str())];
    let found = list_all(&kind.collection_path(None), &selector, 500, &kind, session).await?;
    match form {
        Form::Table | Form::Wide => {}
        Form::Name => {
            for node in &found {
                session.say(&format!("node/{}", output::escape_line(meta(node, "name"))))?;
            }
            return Ok(Exit::Success);
        }
        form => {
            let mut list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": found});
            output::hide_managed_fields(&mut list);
            session.print(&form.show(&list, "node")?)?;
            return Ok(Exit::Success);
        }
    }
    if found.is_empty() {
        session.note(
            "There is no node: `nexusctl token create` makes a token with which nexus-agent joins a machine.",
        );
        return Ok(Exit::Success);
    }
    // Whoever may not see instances sees nodes without how full they are.
    let there = instances_of_all(session).await?;
    let snapshot = look::snapshot(&found, there.as_deref().unwrap_or_default(), &[]);
    let wide = matches!(form, Form::Wide);
    let mut grid = Grid::new(1, Vec::new());
    if !arguments.no_headers {
        grid.heading(heading(wide));
    }
    let now = Timestamp::now();
    for node in &found {
        grid.row(row(node, &snapshot, there.is_some(), wide, now));
    }
    let (width, paint) = (session.streams.out_width, session.paint());
    session.print(&grid.render(width, &paint))?;
    Ok(Exit::Success)
}

/// All instances, if the asker may list them.
pub(super) async fn instances_of_all(session: &mut Session) -> Result<Option<Vec<Value>>, Error> {
    let kind = instances();
    match list_all(&kind.collection_path(None), &[], 500, &kind, session).await {
        Ok(list) => Ok(Some(list)),
        Err(Error::Client(client::Error::Refused { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn heading(wide: bool) -> Vec<String> {
    let mut cells = vec!["NAME", "STATUS", "INSTANCES", "CPU", "MEMORY", "ADDRESS", "VERSION", "AGE"];
    if wide {
        cells.extend(["TAINTS", "ARCHITECTURE", "KERNEL", "OS-IMAGE"]);
    }
    cells.into_iter().map(str::to_owned).collect()
}

fn row(node: &Value, snapshot: &Snapshot, known: bool, wide: bool, now: Timestamp) -> Vec<String> {
    let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or("<none>").to_owned();
    let name = meta(node, "name");
    let host = snapshot.hosts().find(|(host, _)| &***host == name).map(|(_, host)| host).filter(|_| known);
    let full = |resource: Resource| host.map_or_else(|| "?".to_owned(), |host| share(host, &resource));
    let mut cells = vec![
        name.to_owned(),
        status(node),
        host.map_or_else(|| "?".to_owned(), |host| host.instances.to_string()),
        full(Resource::Cpu),
        full(Resource::Memory),
        text("/status/address"),
        text("/status/nodeInfo/agentVersion"),
        age::since(meta(node, "creationTimestamp"), now),
    ];
    if wide {
        let taints = snapshot.node(name).map(|node| node.taints.iter().map(demand::show).collect::<Vec<_>>());
        let taints = taints.filter(|taints| !taints.is_empty()).map_or("<none>".to_owned(), |t| t.join(","));
        cells.push(taints);
        cells.extend(
            ["architecture", "kernelVersion", "osImage"]
                .map(|field| text(&format!("/status/nodeInfo/{field}"))),
        );
    }
    cells
}

/// `Ready`, `NotReady,SchedulingDisabled`: as kubectl's users know it.
pub(super) fn status(node: &Value) -> String {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
        .and_then(|ready| ready.get("status"))
        .and_then(Value::as_str);
    let mut words = vec![match ready {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    }];
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        words.push("SchedulingDisabled");
    }
    if !meta(node, "deletionTimestamp").is_empty() {
        words.push("Deleting");
    }
    words.join(",")
}
