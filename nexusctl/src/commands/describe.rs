//! `describe`: everything about objects, whatever their kind: metadata, spec, status, conditions as a table, what they
//! own, what they wait for, events.

mod relations;
mod render;

use crate::{
    client::{self, Call},
    commands::{
        files::Files,
        filter::Filter,
        get::{self, list_all},
    },
    error::{Error, Exit},
    schema::Schema,
    session::Session,
};
use clap::Args;
pub use render::{About, describe};
use serde_json::Value;
use std::{collections::BTreeMap, rc::Rc};

/// Arguments of `describe`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  nexusctl describe workload web
  nexusctl describe wl/web network/office
  nexusctl describe workloads -l app=web --show-events=false")]
pub struct Arguments {
    /// TYPE, TYPE NAME…, or TYPE/NAME…
    #[arg(value_name = "TYPE[/NAME]")]
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
    /// Whether to look for what the objects own, and whether what they name is there
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub show_relations: bool,
    /// Fetch lists in parts of so many objects; 0 for whole lists
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub chunk_size: u64,
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
            let parameters = arguments.filter.parameters();
            objects.extend(list_all(&path, &parameters, arguments.chunk_size, resource, session).await?);
        }
        for name in &placed.selection.names {
            match session.send(&Call::get(resource.object_path(&placed.namespace, name))).await {
                Ok(reply) => objects.push(reply.json()?),
                Err(error) if error.status().is_some() => faults.push(error),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let mut schemas = Schemas::default();
    for (index, object) in objects.iter().enumerate() {
        let mut about = about(&arguments, object, session).await?;
        about.schema = schemas.of(object, session).await?;
        if index > 0 {
            session.print("\n\n")?;
        }
        let text = describe(object, &about, &session.paint(), session.streams.out_width);
        session.print(&text)?;
        session.flush()?;
    }
    if objects.is_empty() && faults.is_empty() {
        let text = get::nothing_in_namespace(session).await?;
        session.note(&text);
    }
    for fault in &faults {
        session.note(&fault.to_string());
    }
    Ok(if faults.is_empty() { Exit::Success } else { Exit::Failure })
}

/// The schemas of the kinds that were met.
#[derive(Default)]
struct Schemas(BTreeMap<[String; 2], Option<Rc<Schema>>>);

impl Schemas {
    /// The schema of an object's kind: a kind that was added to the cluster is asked for.
    async fn of(&mut self, object: &Value, session: &mut Session) -> Result<Option<Rc<Schema>>, Error> {
        let [version, kind] = ["apiVersion", "kind"].map(|key| object.get(key).and_then(Value::as_str));
        let (Some(version), Some(kind)) = (version, kind) else { return Ok(None) };
        let key = [version.to_owned(), kind.to_owned()];
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let discovery = session.discovery().await?;
        let schema = match discovery.kind(version, kind) {
            Ok(resource) => match Schema::built_in(resource) {
                Some(schema) => Some(schema),
                None => Schema::find(&*session.client()?, resource).await,
            },
            Err(_) => None,
        };
        Ok(self.0.entry(key).or_insert(schema.map(Rc::new)).clone())
    }
}

async fn about(arguments: &Arguments, object: &Value, session: &mut Session) -> Result<About, Error> {
    let mut about = About { waits: crate::waits::reasons(object), ..About::default() };
    if arguments.show_relations {
        about.owned = relations::owned(object, session).await?;
        about.waits.extend(relations::missing(object, session).await?);
    }
    if arguments.show_events {
        about.events = Some(events(object, session).await?);
    }
    Ok(about)
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
            events.sort_by_key(|event| crate::commands::events::last_seen(event).to_owned());
            Ok(events)
        }
        Err(error) if error.status().is_some() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
