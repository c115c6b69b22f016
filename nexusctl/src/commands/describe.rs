//! `describe`: everything about objects, whatever their kind: metadata, spec, status, conditions as a table, events.

mod render;

use crate::{
    client::{self, Call},
    commands::{
        files::Files,
        filter::Filter,
        get::{self, list_all},
    },
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
pub use render::describe;
use serde_json::Value;

/// Arguments of `describe`.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// TYPE, TYPE NAME…, or TYPE/NAME…
    pub words: Vec<String>,
    /// The objects of manifests
    #[command(flatten)]
    pub files: Files,
    /// Which objects
    #[command(flatten)]
    pub filter: Filter,
    /// Whether to show events
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub show_events: bool,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let chosen = get::Arguments {
        words: arguments.words.clone(),
        files: arguments.files.clone(),
        filter: arguments.filter.clone(),
        ..get::Arguments::default()
    };
    let selections = get::select(&chosen, session).await?;
    let (mut objects, mut faults) = (Vec::new(), Vec::new());
    for placed in &selections {
        let resource = &placed.selection.resource;
        if placed.selection.names.is_empty() {
            let path = arguments.filter.collection(resource, session)?;
            objects.extend(list_all(&path, &arguments.filter.parameters(), 500, resource, session).await?);
        }
        for name in &placed.selection.names {
            match session.send(&Call::get(resource.object_path(&placed.namespace, name))).await {
                Ok(reply) => objects.push(reply.json()?),
                Err(error) if error.status().is_some() => faults.push(error),
                Err(error) => return Err(error.into()),
            }
        }
    }
    for (index, object) in objects.iter().enumerate() {
        let events = if arguments.show_events { Some(events(object, session).await?) } else { None };
        if index > 0 {
            session.print("\n\n")?;
        }
        let text = describe(object, events.as_deref());
        session.print(&text)?;
    }
    if objects.is_empty() && faults.is_empty() {
        let namespace = session.namespace()?;
        session.note(&format!("No resources found in {namespace} namespace."));
    }
    for fault in &faults {
        session.note(&fault.to_string());
    }
    Ok(if faults.is_empty() { Exit::Success } else { Exit::Failure })
}

/// The events about an object, oldest first. Whoever may not see events sees none.
async fn events(object: &Value, session: &mut Session) -> Result<Vec<Value>, client::Error> {
    let metadata = |key: &str| {
        object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut selector =
        format!("involvedObject.name={},involvedObject.kind={}", metadata("name"), text("kind"));
    if !metadata("uid").is_empty() {
        selector.push_str(&format!(",involvedObject.uid={}", metadata("uid")));
    }
    // Events about what lives in no namespace are kept in `default`.
    let namespace = Some(metadata("namespace")).filter(|n| !n.is_empty()).unwrap_or("default");
    let path = format!("/api/v1/namespaces/{}/events", client::path_segment(namespace));
    match session.send(&Call::get(path).query(&[("fieldSelector", &selector), ("limit", "500")])).await {
        Ok(reply) => {
            let mut list: Value = reply.json()?;
            let mut events = match list.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let last = |event: &Value| {
                let time =
                    event.get("lastTimestamp").or_else(|| event.get("eventTime")).and_then(Value::as_str);
                time.unwrap_or_default().to_owned()
            };
            events.sort_by_key(last);
            Ok(events)
        }
        Err(error) if error.status().is_some() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
