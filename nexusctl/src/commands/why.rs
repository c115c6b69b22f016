//! `why`: in plain words, why something is where it is, or nowhere, and what it waits for.
//!
//! What is told comes from the objects' own conditions, from their Events, from the scheduler's judgement over what the
//! asker may list, and, on the machine that the controllers run on, from their record of decisions. Nothing is asked of
//! anybody else, and what the asker may not see is left out.

mod containers;
mod decisions;
mod instance;
mod place;
mod report;
mod workload;

use crate::{
    client::{Call, path_segment},
    commands::{events::last_seen, get::list_all},
    discovery::Resource,
    error::{Error, Exit},
    output::{self, Form},
    session::Session,
};
use clap::Args;
use jiff::Timestamp;
use report::{Report, Weight};
use serde_json::Value;
use std::net::SocketAddr;

/// Arguments of `why`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl why workload/web
  nexusctl why instance web-7d4f9-x2x1
  nexusctl why pod/web-7d4f9-x2x1 -o json")]
pub struct Arguments {
    /// workload, instance or pod, and its name: TYPE/NAME, or TYPE NAME
    #[arg(required = true, num_args = 1..=2, value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    /// Where controllers on this machine tell what they decided
    #[arg(long, value_name = "HOST:PORT", default_value = hypermesh_controllers::DEFAULT_METRICS)]
    pub decisions: SocketAddr,
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Workload,
    Instance,
}

/// Kinds of ours, as `why` and `node` read them: their paths are known.
pub(super) fn ours(kind: &str, plural: &str, namespaced: bool) -> Resource {
    Resource {
        group: hypermesh_schemas::GROUP.to_owned(),
        version: hypermesh_schemas::VERSION.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        namespaced,
        ..Resource::default()
    }
}

/// Instances.
pub(super) fn instances() -> Resource {
    ours("Instance", "instances", true)
}

/// Workloads.
pub(super) fn workloads() -> Resource {
    ours("Workload", "workloads", true)
}

/// Nodes.
pub(super) fn nodes() -> Resource {
    ours("Node", "nodes", false)
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let form = Form::parse(arguments.output.as_deref())?;
    if !matches!(form, Form::Table | Form::Json | Form::Yaml) {
        return Err(Error::Message("reasons can be shown as json or yaml".into()));
    }
    let (kind, name) = asked(&arguments.words)?;
    let namespace = session.namespace()?;
    let report = match kind {
        Kind::Workload => {
            let object = read(&workloads(), &namespace, &name, session).await?;
            of_workload(&object, &arguments, session).await?
        }
        Kind::Instance => {
            let object = read(&instances(), &namespace, &name, session).await?;
            of_instance(&object, &arguments, session).await?
        }
    };
    match form {
        Form::Json => session.print(&output::json(&report.to_json()))?,
        Form::Yaml => session.print(&output::yaml::to_string(&report.to_json()))?,
        _ => {
            let text = report.render(session.streams.out_width);
            session.print(&text)?;
        }
    }
    Ok(Exit::Success)
}

/// What keeps an instance from running, as far as it says so itself: the gravest reason.
pub(super) fn in_short(object: &Value) -> Option<String> {
    let bound = object.pointer("/spec/nodeName").is_some();
    let place = if bound { place::Place::On(None) } else { place::Place::Waits(None) };
    let report = instance::explain(object, &place, &[], &[], Timestamp::now());
    let gravest = report.gravest().filter(|reason| reason.weight != Weight::Fact)?;
    Some(gravest.text.clone())
}

/// What the words ask about.
fn asked(words: &[String]) -> Result<(Kind, String), Error> {
    let (kind, name) = match words {
        [one] => match one.split_once('/') {
            Some(pair) => pair,
            None => return Err(Error::Message(format!("say which: {one}/NAME"))),
        },
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => return Err(Error::Message("say what: workload/NAME, instance/NAME or pod/NAME".into())),
    };
    let word = kind.to_lowercase();
    let known = match word.strip_suffix(".hypermesh.online").unwrap_or(&word) {
        "workload" | "workloads" | "wl" => Kind::Workload,
        // A pod is how an instance looks to Kubernetes' clients.
        "instance" | "instances" | "inst" | "pod" | "pods" | "po" => Kind::Instance,
        _ => {
            return Err(Error::Message(format!(
                "why is told of workloads and instances (which are also pods), not of {kind:?}: \
                 `nexusctl describe {kind}/{name}` shows what there is"
            )));
        }
    };
    if name.is_empty() {
        return Err(Error::Message(format!("say which: {kind}/NAME")));
    }
    Ok((known, name.to_owned()))
}

async fn read(kind: &Resource, namespace: &str, name: &str, session: &mut Session) -> Result<Value, Error> {
    Ok(session.send(&Call::get(kind.object_path(namespace, name))).await?.json()?)
}

async fn of_instance(object: &Value, arguments: &Arguments, session: &mut Session) -> Result<Report, Error> {
    let (namespace, name) = (meta(object, "namespace"), meta(object, "name"));
    let bound = object.pointer("/spec/nodeName").and_then(Value::as_str);
    let place = match bound {
        None => place::Place::Waits(place::judge(object, session).await?),
        Some(node) => {
            let found = session.send(&Call::get(nodes().object_path("", node))).await;
            match found {
                Ok(reply) => place::Place::On(Some(reply.json()?)),
                Err(error) if error.is_not_found() => place::Place::NodeGone,
                Err(error) if error.status().is_some() => place::Place::On(None),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let events = events(object, session).await?;
    let decided = decisions::of(arguments.decisions, "Instance", namespace, name, meta(object, "uid")).await;
    Ok(instance::explain(object, &place, &events, &decided, Timestamp::now()))
}

async fn of_workload(object: &Value, arguments: &Arguments, session: &mut Session) -> Result<Report, Error> {
    let (namespace, name) = (meta(object, "namespace").to_owned(), meta(object, "name").to_owned());
    let kind = instances();
    let path = kind.collection_path(Some(&namespace));
    let selector = format!("spec.workload={name}");
    let mut own = list_all(&path, &[("fieldSelector", &selector)], 500, &kind, session).await?;
    own.retain(|one| one.pointer("/spec/workload").and_then(Value::as_str) == Some(&*name));
    let waits = own.iter().any(|one| one.pointer("/spec/nodeName").is_none());
    let mut judge = if waits { place::Judge::read(session).await? } else { place::Judge::default() };
    let now = Timestamp::now();
    let mut reports = Vec::new();
    for one in &own {
        let place = match one.pointer("/spec/nodeName").and_then(Value::as_str) {
            None => place::Place::Waits(judge.of(one)),
            // Of many instances, what each says of itself is enough.
            Some(_) => place::Place::On(None),
        };
        reports.push((one, place));
    }
    let mut told = Vec::new();
    let mut happened: Option<Vec<Value>> = None;
    for (one, place) in reports {
        let report = instance::explain(one, &place, &[], &[], now);
        if report.gravest().is_none_or(|reason| reason.weight == Weight::Fact) {
            told.push(report);
            continue;
        }
        // Which probe or hook fails is said by Events alone. They are read once, and only where something is wrong.
        let all = match happened.take() {
            Some(all) => all,
            None => warnings(&namespace, session).await?,
        };
        let own: Vec<Value> = all
            .iter()
            .filter(|event| {
                event.pointer("/involvedObject/uid").and_then(Value::as_str) == Some(meta(one, "uid"))
            })
            .cloned()
            .collect();
        told.push(instance::explain(one, &place, &own, &[], now));
        happened = Some(all);
    }
    let reports = told;
    let events = events(object, session).await?;
    let decided =
        decisions::of(arguments.decisions, "Workload", &namespace, &name, meta(object, "uid")).await;
    Ok(workload::explain(object, reports, &events, &decided, now))
}

/// A text of an object's metadata.
pub(super) fn meta<'v>(object: &'v Value, key: &str) -> &'v str {
    object.get("metadata").and_then(|meta| meta.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// The Events about an object, oldest first. Whoever may not see them sees none.
async fn events(object: &Value, session: &mut Session) -> Result<Vec<Value>, Error> {
    let selector =
        format!("involvedObject.name={},involvedObject.uid={}", meta(object, "name"), meta(object, "uid"));
    select_events(meta(object, "namespace"), &selector, session).await
}

/// Warnings about the instances of a namespace, likewise.
async fn warnings(namespace: &str, session: &mut Session) -> Result<Vec<Value>, Error> {
    select_events(namespace, "involvedObject.kind=Instance,type=Warning", session).await
}

async fn select_events(namespace: &str, selector: &str, session: &mut Session) -> Result<Vec<Value>, Error> {
    let path = format!("/api/v1/namespaces/{}/events", path_segment(namespace));
    let call = Call::get(path).query(&[("fieldSelector", selector), ("limit", "500")]);
    let mut list: Value = match session.send(&call).await {
        Ok(reply) => reply.json()?,
        Err(error) if error.status().is_some() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let Some(Value::Array(mut events)) = list.get_mut("items").map(Value::take) else {
        return Ok(Vec::new());
    };
    events.sort_by_key(|event| last_seen(event).to_owned());
    Ok(events)
}
