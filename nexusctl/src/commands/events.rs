//! `events`: what happened, in order, and what happens, with `-w`.

use crate::{
    client::{self, Call},
    commands::{
        apply::METADATA,
        get::{Event, ended, list_all},
    },
    discovery::Resource,
    error::{Error, Exit},
    output::{Form, age, aligned::Grid, escape, form::FORMS},
    session::Session,
};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// How often a broken watch is taken up again without an event in between.
const MOST_TRIES: u32 = 5;

/// Arguments of `events`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  nexusctl events
  nexusctl events --for workload/web
  nexusctl events -A --types=Warning -o json")]
pub struct Arguments {
    /// About this object: TYPE/NAME
    #[arg(long = "for", value_name = "TYPE/NAME")]
    pub about: Option<String>,
    /// Of these types: Normal, Warning
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub types: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Go on showing what happens
    #[arg(short, long)]
    pub watch: bool,
    /// The form
    #[arg(short, long, value_name = "FORM", help = FORMS)]
    pub output: Option<String>,
    /// Leave headings out
    #[arg(long)]
    pub no_headers: bool,
    /// Fetch lists in parts of so many objects; 0 for whole lists
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub chunk_size: u64,
}

/// When an event was last seen, in RFC 3339; empty if it does not say.
pub fn last_seen(event: &Value) -> &str {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).filter(|t| !t.is_empty());
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .find_map(|pointer| text(pointer))
    .unwrap_or_default()
}

/// How often.
pub fn count(event: &Value) -> u64 {
    let number = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64);
    number("/series/count").or_else(|| number("/count")).unwrap_or(1)
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let form = Form::parse(arguments.output.as_deref())?;
    for kind in &arguments.types {
        if !["normal", "warning"].contains(&kind.to_lowercase().as_str()) {
            return Err(Error::Message(format!("--types: {kind:?} is not one of Normal, Warning")));
        }
    }
    let about = match &arguments.about {
        Some(about) => Some(object(about, session).await?),
        None => None,
    };
    let selector = about.as_ref().map_or_else(String::new, |(resource, name)| {
        format!("involvedObject.kind={},involvedObject.name={name}", resource.kind)
    });
    let namespace = if arguments.all_namespaces { None } else { Some(session.namespace()?) };
    let resource = Resource {
        version: "v1".into(),
        kind: "Event".into(),
        plural: "events".into(),
        singular: "event".into(),
        namespaced: true,
        ..Resource::default()
    };
    let path = resource.collection_path(namespace.as_deref());
    let parameters = [("fieldSelector", selector.as_str())];
    let mut shown = Shown {
        arguments: &arguments,
        form,
        grid: Grid::default().telling(),
        heading_due: !arguments.no_headers,
    };
    let (mut events, from) = if arguments.watch {
        // In one piece: a watch begins where its list was taken.
        let mut list: Value = session.send(&Call::get(path.as_str()).query(&parameters)).await?.json()?;
        let from =
            list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        let items = list.get_mut("items").map(Value::take);
        (items.and_then(|items| serde_json::from_value(items).ok()).unwrap_or_default(), from)
    } else {
        (list_all(&path, &parameters, arguments.chunk_size, &resource, session).await?, String::new())
    };
    events.retain(|event: &Value| shown.wanted(event));
    events.sort_by_key(time);
    if events.is_empty() && !arguments.watch {
        let place = match (&arguments.about, &namespace) {
            (Some(about), _) => format!("about {about}"),
            (None, Some(namespace)) => format!("in {namespace} namespace"),
            (None, None) => "anywhere".to_owned(),
        };
        let absent = match &about {
            Some((resource, name)) => absent(resource, name, namespace.as_deref(), session).await,
            None => None,
        };
        session.note(&format!("No events {place}{}", absent.unwrap_or_else(|| ".".to_owned())));
        return Ok(Exit::Success);
    }
    shown.list(events, session)?;
    if !arguments.watch {
        return Ok(Exit::Success);
    }
    session.flush()?;
    shown.follow(&path, &parameters, from, session).await
}

fn time(event: &Value) -> Option<Timestamp> {
    last_seen(event).parse().ok()
}

/// That there is no such object, where the server says so: a mistyped name is a likelier reason than a quiet object.
async fn absent(
    resource: &Resource,
    name: &str,
    namespace: Option<&str>,
    session: &mut Session,
) -> Option<String> {
    let namespace = match (resource.namespaced, namespace) {
        (false, _) => "",
        (true, Some(namespace)) => namespace,
        (true, None) => return None,
    };
    let call = Call::get(resource.object_path(namespace, name)).accept(METADATA);
    let error = session.send(&call).await.err()?;
    let place = if resource.namespaced { format!(" in {namespace} namespace") } else { String::new() };
    let all = format!("`nexusctl get {}` shows those there are", resource.plural);
    error
        .is_not_found()
        .then(|| format!(": there is no {} {name:?}{place}; {all}.", resource.qualified_singular()))
}

/// What `TYPE/NAME` names.
async fn object(about: &str, session: &mut Session) -> Result<(Resource, String), Error> {
    let parts = about
        .split_once('/')
        .filter(|(kind, name)| !kind.is_empty() && !name.is_empty() && !name.contains('/'));
    let Some((kind, name)) = parts else {
        return Err(Error::Message(format!(
            "--for: {about:?} is not of the form TYPE/NAME, such as workload/web"
        )));
    };
    let discovery = session.discovery().await?;
    Ok((discovery.find(kind)?.clone(), name.to_owned()))
}

struct Shown<'a> {
    arguments: &'a Arguments,
    form: Form,
    grid: Grid,
    heading_due: bool,
}

impl Shown<'_> {
    fn wanted(&self, event: &Value) -> bool {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        self.arguments.types.is_empty() || self.arguments.types.iter().any(|t| t.eq_ignore_ascii_case(kind))
    }

    fn list(&mut self, events: Vec<Value>, session: &mut Session) -> Result<(), Error> {
        match &self.form {
            Form::Table | Form::Wide => self.rows(&events, session),
            Form::Name => events.iter().try_for_each(|event| session.print(&self.form.show(event, "event")?)),
            Form::Columns(columns) => {
                let headless = !std::mem::take(&mut self.heading_due);
                session.print(&columns.table(&events, headless, session.streams.out_width)?)
            }
            form => {
                let mut list = json!({"apiVersion": "v1", "items": events, "kind": "List", "metadata": {"resourceVersion": ""}});
                crate::output::hide_managed_fields(&mut list);
                session.print(&form.show(&list, "")?)
            }
        }
    }

    fn rows(&mut self, events: &[Value], session: &mut Session) -> Result<(), Error> {
        let now = Timestamp::now();
        if std::mem::take(&mut self.heading_due) && (!events.is_empty() || self.arguments.watch) {
            let mut heading = vec!["LAST SEEN".to_owned(), "TYPE".into(), "REASON".into(), "OBJECT".into()];
            if self.arguments.all_namespaces {
                heading.insert(0, "NAMESPACE".into());
            }
            if matches!(self.form, Form::Wide) {
                heading.push("SOURCE".into());
            }
            heading.push("MESSAGE".into());
            self.grid.heading(heading);
        }
        for event in events {
            let row = self.row(event, now);
            self.grid.row(row);
        }
        let text = self.grid.print(session.streams.out_width, &session.paint());
        session.print(&text)
    }

    fn row(&self, event: &Value, now: Timestamp) -> Vec<String> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut seen = age::since(last_seen(event), now);
        let count = count(event);
        if count > 1 {
            let first = Some(text("/firstTimestamp")).filter(|t| !t.is_empty()).unwrap_or(text("/eventTime"));
            seen = format!("{seen} (x{count} over {})", age::since(first, now));
        }
        let object =
            format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name"));
        let mut row = vec![seen, text("/type").to_owned(), text("/reason").to_owned(), object];
        if self.arguments.all_namespaces {
            row.insert(0, text("/metadata/namespace").to_owned());
        }
        if matches!(self.form, Form::Wide) {
            let source = Some(text("/source/component")).filter(|t| !t.is_empty());
            row.push(source.unwrap_or(text("/reportingComponent")).to_owned());
        }
        row.push(text("/message").trim().to_owned());
        row.iter().map(|cell| escape(cell).replace('\n', " ")).collect()
    }

    async fn follow(
        &mut self,
        path: &str,
        parameters: &[(&str, &str)],
        mut from: String,
        session: &mut Session,
    ) -> Result<Exit, Error> {
        let mut tries = 0;
        loop {
            match self.watch(path, parameters, &mut from, session).await {
                Ok(events) => tries = if events { 0 } else { tries + 1 },
                Err(Error::Client(error)) if error.is_unreachable() && tries < MOST_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            if tries > MOST_TRIES {
                return Err(Error::Message("the server ends every watch at once".into()));
            }
            tokio::time::sleep(Duration::from_millis(100) * tries.pow(2)).await;
        }
    }

    async fn watch(
        &mut self,
        path: &str,
        parameters: &[(&str, &str)],
        from: &mut String,
        session: &mut Session,
    ) -> Result<bool, Error> {
        let call = Call::get(path).query(parameters).query(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", from),
        ]);
        let mut lines = session.client()?.stream(&call).await?;
        let mut any = false;
        while let Some(event) = session.while_read(lines.next::<Event>()).await?? {
            any = true;
            if event.kind == "ERROR" {
                return Err(client::Error::into(ended(event.object)));
            }
            let revision = event.object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            if let Some(revision) = revision {
                *from = revision.to_owned();
            }
            if matches!(event.kind.as_str(), "ADDED" | "MODIFIED") && self.wanted(&event.object) {
                if self.form.is_table() {
                    self.rows(std::slice::from_ref(&event.object), session)?;
                } else {
                    let mut object = event.object;
                    crate::output::hide_managed_fields(&mut object);
                    let text = self.form.show(&object, "event")?;
                    session.print(&text)?;
                }
                session.flush()?;
            }
        }
        Ok(any)
    }
}
