//! `history`: every version of an object that the server keeps: when, by whom, what changed.

use crate::{
    client::Call,
    difference::{self, Look},
    error::{Error, Exit},
    moment::keeps_history,
    output::{self, Form, aligned::Grid, escape, form::FORMS},
    selection,
    session::Session,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Changed fields that a line names, unless the output is wide.
const FIELDS_IN_A_LINE: usize = 3;
/// Where a wide table has the keys that signed: before the fields, which may go on for long.
const KEYS_COLUMN: usize = 5;

/// Arguments of `history`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  nexusctl history workload/web
  nexusctl history workload web --limit 5 -o wide
  nexusctl history workload/web -o json")]
pub struct Arguments {
    /// TYPE/NAME or TYPE NAME
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Show this version of the object
    #[arg(long, value_name = "REVISION", conflicts_with = "diff")]
    pub revision: Option<u64>,
    /// Show what lies between two revisions, or between one and now
    #[arg(long, value_name = "REVISION", num_args = 1..=2)]
    pub diff: Vec<u64>,
    /// At most so many versions, the newest ones; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub limit: usize,
    /// The form
    #[arg(short, long, value_name = "FORM", help = FORMS)]
    pub output: Option<String>,
    /// Keep metadata.managedFields
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Leave headings out
    #[arg(long)]
    pub no_headers: bool,
}

/// A server's answer to `history=true`.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    items: Vec<Version>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    before: String,
}

/// One version of an object.
#[derive(Clone, Debug, Deserialize)]
pub struct Version {
    /// The write that made it.
    pub revision: String,
    /// When, in RFC 3339, where it is still known.
    #[serde(default)]
    pub time: String,
    /// Created, Updated or Deleted.
    #[serde(default)]
    pub change: String,
    /// By whom, where it is still known and it was somebody.
    #[serde(default)]
    pub by: Option<By>,
    /// The object.
    pub object: Value,
}

/// Who asked for a write.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct By {
    /// The user's name.
    #[serde(default)]
    pub user: String,
    /// The field manager.
    #[serde(default)]
    pub manager: String,
    /// How it was asked for: `PATCH`, say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The keys that signed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// The versions of the object at a path, newest first; `limit` at most, if it is not 0.
pub async fn versions(path: &str, limit: usize, session: &mut Session) -> Result<Vec<Version>, Error> {
    let mut found: Vec<Version> = Vec::new();
    let mut before = String::new();
    loop {
        let call = Call::get(path).query(&[("history", "true"), ("before", &before)]);
        let page: Page = session.send(&call).await?.json()?;
        if page.kind != "ObjectHistory" {
            keeps_history(session).await?;
            return Err(Error::Message("the server's answer is no history".into()));
        }
        let empty = page.items.is_empty();
        found.extend(page.items);
        before = page.metadata.before;
        let enough = limit > 0 && found.len() > limit;
        if before.is_empty() || empty || enough {
            session.progress(None);
            return Ok(found);
        }
        session.progress(Some(format!("{} versions fetched", found.len())));
    }
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let form = Form::parse(arguments.output.as_deref())?;
    let discovery = session.discovery().await?;
    let selections = selection::parse(&arguments.words, &discovery)?;
    let (resource, name) = match selections.as_slice() {
        [only] if only.names.len() == 1 => (only.resource.clone(), only.names.concat()),
        _ => {
            return Err(Error::Message(
                "one object has a history: say TYPE/NAME, such as workload/web".into(),
            ));
        }
    };
    let path = resource.object_path(&session.namespace()?, &name);
    if let Some(revision) = arguments.revision {
        let object = at(&path, revision, session).await?;
        return show(object, &form, &resource.qualified_singular(), &arguments, session);
    }
    if let [first, rest @ ..] = arguments.diff.as_slice() {
        let before = at(&path, *first, session).await?;
        let (after, to) = match rest.first() {
            Some(revision) => (at(&path, *revision, session).await?, format!("revision {revision}")),
            None => (session.send(&Call::get(path.as_str())).await?.json()?, "now".to_owned()),
        };
        let title = format!("{}/{name}", resource.qualified_singular());
        let look = Look { color: session.streams.out_color, managed_fields: arguments.show_managed_fields };
        let text = difference::unified(&title, Some(before), Some(after), look);
        if text.is_empty() {
            session.note(&format!("{title} is the same at revision {first} and {to}"));
        }
        session.print(&text)?;
        return Ok(Exit::Success);
    }
    let mut versions = versions(&path, arguments.limit, session).await?;
    if form.is_table() {
        return table(&versions, &form, &arguments, session);
    }
    if arguments.limit > 0 {
        versions.truncate(arguments.limit);
    }
    list(versions, &form, &arguments, session)
}

async fn at(path: &str, revision: u64, session: &mut Session) -> Result<Value, Error> {
    keeps_history(session).await?;
    let revision = revision.to_string();
    let call = Call::get(path).query(&[("resourceVersion", &revision), ("resourceVersionMatch", "Exact")]);
    Ok(session.send(&call).await?.json()?)
}

fn show(
    mut object: Value,
    form: &Form,
    kind: &str,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<Exit, Error> {
    if !arguments.show_managed_fields {
        output::hide_managed_fields(&mut object);
    }
    let form = if form.is_table() { &Form::Yaml } else { form };
    session.print(&form.show(&object, kind)?)?;
    Ok(Exit::Success)
}

fn list(
    versions: Vec<Version>,
    form: &Form,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<Exit, Error> {
    let items: Vec<Value> = versions
        .into_iter()
        .map(|mut version| {
            if !arguments.show_managed_fields {
                output::hide_managed_fields(&mut version.object);
            }
            json!({"revision": version.revision, "time": version.time, "change": version.change, "by": version.by,
                "object": version.object})
        })
        .collect();
    if let Form::Columns(columns) = form {
        let text = columns.table(&items, arguments.no_headers, session.streams.out_width)?;
        session.print(&text)?;
        return Ok(Exit::Success);
    }
    if let Form::Name = form {
        for item in &items {
            session.say(item.get("revision").and_then(Value::as_str).unwrap_or_default())?;
        }
        return Ok(Exit::Success);
    }
    let list = json!({"apiVersion": "hypermesh.online/v1", "kind": "ObjectHistory", "items": items});
    let text = form.show(&list, "")?;
    session.print(&text)?;
    Ok(Exit::Success)
}

fn table(
    versions: &[Version],
    form: &Form,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<Exit, Error> {
    let wide = matches!(form, Form::Wide);
    let mut grid = Grid::new(2, Vec::new()).telling();
    if !arguments.no_headers {
        let mut heading =
            ["REVISION", "TIME", "CHANGE", "USER", "MANAGER", "FIELDS"].map(str::to_owned).to_vec();
        if wide {
            heading.insert(KEYS_COLUMN, "KEYS".to_owned());
        }
        grid.heading(heading);
    }
    let shown = if arguments.limit > 0 { arguments.limit.min(versions.len()) } else { versions.len() };
    for (index, version) in versions.iter().take(shown).enumerate() {
        // Newest first: what was before comes after.
        let before = versions.get(index + 1).filter(|before| before.change != "Deleted");
        let fields = match (version.change.as_str(), before) {
            ("Updated", Some(before)) => changed(&before.object, &version.object),
            _ => Vec::new(),
        };
        let most = if wide { usize::MAX } else { FIELDS_IN_A_LINE };
        let mut words = fields.iter().take(most).map(|f| escape(f)).collect::<Vec<_>>().join(", ");
        if fields.len() > most {
            words.push_str(&format!(", and {} more", fields.len() - most));
        }
        let by = version.by.clone().unwrap_or_default();
        let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { escape(&text) };
        let mut row = vec![
            escape(&version.revision),
            seconds(&version.time),
            escape(&version.change),
            or_none(by.user),
            or_none(by.manager),
            or_none(words),
        ];
        if wide {
            row.insert(KEYS_COLUMN, or_none(by.keys.join(",")));
        }
        grid.row(row);
    }
    let text = grid.print(session.streams.out_width, &session.paint());
    session.print(&text)?;
    Ok(Exit::Success)
}

/// The paths of the fields that differ; one that is new starts with `+`, one that is gone with `-`.
fn changed(before: &Value, after: &Value) -> Vec<String> {
    let mut objects = [before.clone(), after.clone()];
    for metadata in objects.iter_mut().filter_map(|object| object.get_mut("metadata")?.as_object_mut()) {
        // What every write changes, and what nobody wrote.
        metadata.retain(|key, _| !matches!(key.as_str(), "managedFields" | "resourceVersion" | "generation"));
    }
    let [before, after] = &objects;
    let sign = |change: &difference::Change| match (&change.before, &change.after) {
        (None, Some(_)) => "+",
        (Some(_), None) => "-",
        _ => "",
    };
    difference::changes(before, after)
        .iter()
        .map(|change| format!("{}{}", sign(change), change.path))
        .collect()
}

/// `2026-11-21T09:18:03.123456Z` without its fraction.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => escape(&format!("{whole}Z")),
        None if time.is_empty() => "<unknown>".to_owned(),
        None => escape(time),
    }
}
