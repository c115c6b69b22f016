//! `get`: objects as tables, JSON, YAML or names; watched, with `-w`.

mod list;
mod watch;

use crate::{
    client::{self, Call},
    commands::{files::Files, filter::Filter},
    error::{Error, Exit},
    output::{
        self, Format, TablePrinter,
        table::{Options, Table},
    },
    selection::{self, Selection},
    session::Session,
};
use clap::Args;
pub(crate) use list::list_all;
use serde_json::{Value, json};
pub(crate) use watch::{Event, ended};

pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Arguments of `get`.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// TYPE, TYPE,TYPE, TYPE NAME…, or TYPE/NAME…
    pub words: Vec<String>,
    /// The objects of manifests
    #[command(flatten)]
    pub files: Files,
    /// Which objects
    #[command(flatten)]
    pub filter: Filter,
    /// json, yaml, wide or name
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Go on showing changes
    #[arg(short, long)]
    pub watch: bool,
    /// Show changes only
    #[arg(long)]
    pub watch_only: bool,
    /// Say what happened to each object watched
    #[arg(long)]
    pub output_watch_events: bool,
    /// Keep metadata.managedFields in json and yaml
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Leave headings out
    #[arg(long)]
    pub no_headers: bool,
    /// Write names as type/name
    #[arg(long)]
    pub show_kind: bool,
    /// Show all labels in a last column
    #[arg(long)]
    pub show_labels: bool,
    /// Show these labels in columns of their own
    #[arg(short = 'L', long, value_name = "LABELS", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// Say nothing of objects that do not exist
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Fetch lists in parts of so many objects; 0 for whole lists
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub chunk_size: u64,
    /// Show what the server answers to this path
    #[arg(long, value_name = "PATH")]
    pub raw: Option<String>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if let Some(path) = &arguments.raw {
        return raw(path, session).await;
    }
    let selections = select(&arguments, session).await?;
    if arguments.watch || arguments.watch_only {
        return watch::run(&arguments, &selections, session).await;
    }
    let mut faults = Vec::new();
    let found = match arguments.output.unwrap_or_default() {
        Format::Table | Format::Wide => tables(&arguments, &selections, &mut faults, session).await?,
        format => objects(&arguments, &selections, format, &mut faults, session).await?,
    };
    if !found && faults.is_empty() && !arguments.ignore_not_found {
        let text = nothing(&arguments, &selections, session)?;
        session.note(&text);
    }
    if faults.is_empty() {
        return Ok(Exit::Success);
    }
    for fault in faults {
        let text = Error::Client(fault).render(false);
        session.note(&text);
    }
    Ok(Exit::Failure)
}

async fn raw(path: &str, session: &mut Session) -> Result<Exit, Error> {
    if !path.starts_with('/') {
        return Err(Error::Message(format!(
            "--raw takes a path of the server, such as /readyz; this is {path:?}"
        )));
    }
    let reply = session.send(&Call::get(path)).await?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    session.print(&text)?;
    Ok(Exit::Success)
}

/// The objects that words or files name, kind by kind.
pub(crate) async fn select(arguments: &Arguments, session: &mut Session) -> Result<Vec<Placed>, Error> {
    if !arguments.files.filenames.is_empty() {
        if !arguments.words.is_empty() {
            return Err(Error::Message("objects are named by -f or by words, not by both".into()));
        }
        let placed = arguments.files.read(session).await?;
        return Ok(placed
            .into_iter()
            .map(|p| Placed {
                selection: Selection { resource: p.resource, names: vec![p.document.name] },
                namespace: p.namespace,
            })
            .collect());
    }
    if arguments.filter.all_namespaces && arguments.words.iter().skip(1).any(|w| !w.is_empty()) {
        let named = arguments.words.iter().any(|w| w.contains('/')) || arguments.words.len() > 1;
        if named {
            return Err(Error::Message(
                "a name says nothing across all namespaces: leave -A or the name out".into(),
            ));
        }
    }
    let discovery = session.discovery().await?;
    let selections = selection::parse(&arguments.words, &discovery)?;
    if arguments.filter.selects() && selections.iter().any(|s| !s.names.is_empty()) {
        return Err(Error::Message("objects are chosen by name or by selector, not by both".into()));
    }
    let namespace = session.namespace()?;
    Ok(selections.into_iter().map(|selection| Placed { selection, namespace: namespace.clone() }).collect())
}

/// Objects of one kind in one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) selection: Selection,
    pub(crate) namespace: String,
}

fn nothing(arguments: &Arguments, selections: &[Placed], session: &mut Session) -> Result<String, Error> {
    let cluster_wide =
        arguments.filter.all_namespaces || selections.iter().all(|s| !s.selection.resource.namespaced);
    if cluster_wide {
        return Ok("No resources found".to_owned());
    }
    Ok(format!("No resources found in {} namespace.", session.namespace()?))
}

/// Prints a table a kind; whether there was anything to print.
async fn tables(
    arguments: &Arguments,
    selections: &[Placed],
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<bool, Error> {
    let several = selections.len() > 1;
    let mut printed = false;
    for placed in selections {
        let table = match table(arguments, placed, faults, session).await {
            Ok(table) if table.rows.is_empty() => continue,
            Ok(table) => table,
            Err(Error::Client(error)) if error.status().is_some() => {
                faults.push(error);
                continue;
            }
            Err(other) => return Err(other),
        };
        if printed && several {
            session.print("\n")?;
        }
        let text = TablePrinter::new(table_options(arguments, placed, several)).print(&table, None);
        session.print(&text)?;
        printed = true;
    }
    Ok(printed)
}

fn table_options(arguments: &Arguments, placed: &Placed, several: bool) -> Options {
    let resource = &placed.selection.resource;
    Options {
        wide: arguments.output == Some(Format::Wide),
        no_headers: arguments.no_headers,
        namespace: arguments.filter.all_namespaces && resource.namespaced,
        kind: (several || arguments.show_kind).then(|| resource.qualified_singular()),
        labels: arguments.show_labels,
        label_columns: arguments.label_columns.clone(),
        events: arguments.output_watch_events,
    }
}

async fn table(
    arguments: &Arguments,
    placed: &Placed,
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<Table, Error> {
    let resource = &placed.selection.resource;
    if placed.selection.names.is_empty() {
        let path = arguments.filter.collection(resource, session)?;
        return list::table(&path, &arguments.filter.parameters(), arguments.chunk_size, session).await;
    }
    let mut whole = Table::default();
    for name in &placed.selection.names {
        let call = Call::get(resource.object_path(&placed.namespace, name)).accept(TABLE);
        match session.send(&call).await {
            Ok(reply) => list::append(&mut whole, reply.json()?),
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) if error.status().is_some() => faults.push(error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(whole)
}

async fn objects(
    arguments: &Arguments,
    selections: &[Placed],
    format: Format,
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<bool, Error> {
    let one = matches!(selections, [only] if only.selection.names.len() == 1);
    let mut found: Vec<(String, Value)> = Vec::new();
    for placed in selections {
        let resource = &placed.selection.resource;
        let prefix = resource.qualified_singular();
        if placed.selection.names.is_empty() {
            let path = arguments.filter.collection(resource, session)?;
            match list_all(&path, &arguments.filter.parameters(), arguments.chunk_size, resource, session)
                .await
            {
                Ok(items) => found.extend(items.into_iter().map(|item| (prefix.clone(), item))),
                Err(Error::Client(error)) if error.status().is_some() => faults.push(error),
                Err(error) => return Err(error),
            }
            continue;
        }
        for name in &placed.selection.names {
            match session.send(&Call::get(resource.object_path(&placed.namespace, name))).await {
                Ok(reply) => found.push((prefix.clone(), reply.json()?)),
                Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
                Err(error) if error.status().is_some() => faults.push(error),
                Err(error) => return Err(error.into()),
            }
        }
    }
    if format == Format::Name {
        for (prefix, object) in &found {
            session.say(&format!("{prefix}/{}", name_of(object)))?;
        }
        return Ok(!found.is_empty());
    }
    if one && found.is_empty() {
        return Ok(false);
    }
    let mut objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
    let mut value = if one && objects.len() == 1 {
        objects.remove(0)
    } else {
        json!({"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}})
    };
    if !arguments.show_managed_fields {
        output::hide_managed_fields(&mut value);
    }
    let text = if format == Format::Json { output::json(&value) } else { output::yaml::to_string(&value) };
    session.print(&text)?;
    Ok(true)
}

/// `metadata.name`
pub(crate) fn name_of(object: &Value) -> &str {
    object.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).unwrap_or_default()
}
