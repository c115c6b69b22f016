//! `get`: objects as tables, JSON, YAML, names or by templates; watched, with `-w`; as they were, with `--at`.

mod list;
mod show;
mod watch;

use crate::{
    client::{self, Call},
    commands::{files::Files, filter::Filter},
    error::{Error, Exit},
    jsonpath::Template,
    moment::{Moment, keeps_history},
    output::{Form, form::FORMS, table::Options},
    selection::{self, Selection},
    session::Session,
};
use clap::Args;
pub(crate) use list::list_all;
use serde_json::Value;
pub(crate) use watch::{Event, ended};

pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Arguments of `get`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  nexusctl get workloads
  nexusctl get workloads,networks -A --show-labels
  nexusctl get workload/web network/office -o wide
  nexusctl get wl web -o jsonpath='{.spec.template.spec.containers[*].image}'
  nexusctl get wl -o custom-columns=NAME:.metadata.name,N:.spec.replicas --sort-by=.spec.replicas
  nexusctl get workloads --at 10m
  nexusctl get --raw /readyz")]
pub struct Arguments {
    /// TYPE, TYPE,TYPE, TYPE NAME…, or TYPE/NAME…
    #[arg(value_name = "TYPE[/NAME]")]
    pub words: Vec<String>,
    /// The objects of manifests
    #[command(flatten)]
    pub files: Files,
    /// Which objects
    #[command(flatten)]
    pub filter: Filter,
    /// The form
    #[arg(short, long, value_name = "FORM", help = FORMS)]
    pub output: Option<String>,
    /// Sort by a field: .metadata.creationTimestamp, .spec.replicas
    #[arg(long, value_name = "PATH")]
    pub sort_by: Option<String>,
    /// As it was: at a revision (42), at a time (2026-11-21T09:30:00Z), or so long ago (10m)
    #[arg(long, value_name = "MOMENT", allow_hyphen_values = true)]
    pub at: Option<Moment>,
    /// A part of its own: status or scale
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
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
    /// Not built in: see the message
    #[arg(short = 'k', long, value_name = "DIR", hide = true)]
    pub kustomize: Option<String>,
}

/// How one invocation shows what it finds.
struct Request<'a> {
    arguments: &'a Arguments,
    form: Form,
    sort: Option<Template>,
    at: Option<Moment>,
}

impl Request<'_> {
    /// A call about the moment that is asked about.
    fn then(&self, call: Call) -> Call {
        self.at.map_or(call.clone(), |moment| moment.ask(call))
    }

    /// The path of a named object, or of the part of it that is asked for.
    fn path(&self, placed: &Placed, name: &str) -> String {
        let path = placed.selection.resource.object_path(&placed.namespace, name);
        match &self.arguments.subresource {
            Some(part) => format!("{path}/{}", client::path_segment(part)),
            None => path,
        }
    }

    fn table_options(&self, placed: &Placed, several: bool, session: &Session) -> Options {
        let (arguments, resource) = (self.arguments, &placed.selection.resource);
        Options {
            wide: matches!(self.form, Form::Wide),
            no_headers: arguments.no_headers,
            namespace: arguments.filter.all_namespaces && resource.namespaced,
            kind: (several || arguments.show_kind).then(|| resource.qualified_singular()),
            labels: arguments.show_labels,
            label_columns: arguments.label_columns.clone(),
            events: arguments.output_watch_events,
            width: session.streams.out_width,
            paint: session.paint(),
        }
    }
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if let Some(path) = &arguments.raw {
        return raw(path, session).await;
    }
    if let Some(folder) = &arguments.kustomize {
        return Err(Error::Message(format!(
            "kustomizations are not built here: pipe them in, `kustomize build {folder} | nexusctl get -f -`"
        )));
    }
    let request = Request {
        form: Form::parse(arguments.output.as_deref())?,
        sort: arguments.sort_by.as_deref().map(|path| Template::relaxed("--sort-by", path)).transpose()?,
        at: arguments.at,
        arguments: &arguments,
    };
    let selections = select(&arguments, session).await?;
    if request.at.is_some() {
        keeps_history(session).await?;
    }
    if let Some(part) = &arguments.subresource {
        for placed in &selections {
            placed.selection.resource.has_part(part, "get")?;
        }
        if selections.iter().any(|s| s.selection.names.is_empty()) {
            return Err(Error::Message(format!("--subresource {part} is of single objects: name them")));
        }
    }
    if arguments.watch || arguments.watch_only {
        return watch::run(&request, &selections, session).await;
    }
    let mut faults = Vec::new();
    let found = match &request.form {
        Form::Table | Form::Wide => show::tables(&request, &selections, &mut faults, session).await,
        _ => show::objects(&request, &selections, &mut faults, session).await,
    };
    let found = match found {
        // What was not found is told all the same.
        Err(error) if error.is_broken_pipe() && !faults.is_empty() => true,
        found => found?,
    };
    if !found && faults.is_empty() && !arguments.ignore_not_found {
        let text = nothing(&arguments, &selections, session).await?;
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
    let query = path.split_once('?').map_or("", |(_, query)| query);
    if query
        .split('&')
        .any(|p| p == "watch" || (p.starts_with("watch=") && !p.ends_with("=false") && !p.ends_with("=0")))
    {
        let mut lines = session.client()?.stream(&Call::get(path)).await?;
        while let Some(event) = session.while_read(lines.next::<Value>()).await?? {
            session.say(&event.to_string())?;
            session.flush()?;
        }
        return Ok(Exit::Success);
    }
    let reply = session.send(&Call::get(path)).await?;
    if session.streams.out_width.is_some() {
        session.print(&crate::output::escape(&String::from_utf8_lossy(&reply.body)))?;
    } else {
        session.write(&reply.body)?;
    }
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

async fn nothing(
    arguments: &Arguments,
    selections: &[Placed],
    session: &mut Session,
) -> Result<String, Error> {
    let cluster_wide =
        arguments.filter.all_namespaces || selections.iter().all(|s| !s.selection.resource.namespaced);
    if cluster_wide {
        return Ok("No resources found".to_owned());
    }
    nothing_in_namespace(session).await
}

/// That nothing was found where the session works, or that there is no such place: its name is then likely mistyped.
pub(crate) async fn nothing_in_namespace(session: &mut Session) -> Result<String, Error> {
    let namespace = session.namespace()?;
    let text = format!("No resources found in {namespace} namespace");
    let path = format!("/api/v1/namespaces/{}", client::path_segment(&namespace));
    // Who may not ask is told no more.
    let is_absent = session.send(&Call::get(path)).await.is_err_and(|error| error.is_not_found());
    let why = if is_absent {
        ": there is no such namespace, `nexusctl get namespaces` shows those there are"
    } else {
        ""
    };
    Ok(format!("{text}{why}."))
}

/// `metadata.name`
pub(crate) fn name_of(object: &Value) -> &str {
    object.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).unwrap_or_default()
}
