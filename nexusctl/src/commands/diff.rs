//! `diff`: what applying manifests would change, as a unified diff of the objects before and after.
//!
//! The server judges: each manifest is applied in a dry run. Exits 0 without differences, 1 with, 2 if it cannot tell.

use crate::{
    client::{self, Call},
    commands::{
        apply::{FIELD_MANAGER, tell},
        files::Files,
    },
    error::{Error, Exit},
    manifest::Placed,
    output,
    session::Session,
};
use clap::Args;
use http::Method;
use serde_json::{Map, Value};
use similar::TextDiff;

/// Metadata that only says that something was written.
const UNSAID_OF_NEW: [&str; 4] = ["uid", "creationTimestamp", "resourceVersion", "generation"];

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What to compare
    #[command(flatten)]
    pub files: Files,
    /// As if fields that other managers own were taken over
    #[arg(long)]
    pub force_conflicts: bool,
    /// Name under which the applied fields would be owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    pub field_manager: String,
    /// Keep metadata.managedFields
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Taken for granted: every apply is server-side
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    pub server_side: Option<Option<bool>>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.files.filenames.is_empty() {
        return Err(Error::Message(
            "say what to compare: -f FILE, -f FOLDER, or -f - for standard input".into(),
        ));
    }
    let placed = arguments.files.read(session).await?;
    let (mut differs, mut failed) = (false, false);
    for item in &placed {
        match compare(&arguments, item, session).await {
            Ok(text) => {
                differs |= !text.is_empty();
                session.print(&text)?;
            }
            Err(error) if error.status().is_some() => {
                failed = true;
                tell(item, &error, session).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(match (failed, differs) {
        (true, _) => Exit::Trouble,
        (false, true) => Exit::Failure,
        (false, false) => Exit::Success,
    })
}

async fn compare(
    arguments: &Arguments,
    item: &Placed,
    session: &mut Session,
) -> Result<String, client::Error> {
    let live: Option<Value> = match session.send(&Call::get(item.path())).await {
        Ok(reply) => Some(reply.json()?),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let call = Call::with_body(Method::PATCH, item.path(), item.object().to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[
            ("fieldManager", &arguments.field_manager),
            ("fieldValidation", "Strict"),
            ("force", if arguments.force_conflicts { "true" } else { "" }),
            ("dryRun", "All"),
        ]);
    let merged: Value = session.send(&call).await?.json()?;
    let name = if item.resource.namespaced {
        format!("{}/{}/{}", item.resource.qualified_plural(), item.namespace, item.document.name)
    } else {
        format!("{}/{}", item.resource.qualified_plural(), item.document.name)
    };
    Ok(unified(&name, live, merged, arguments.show_managed_fields))
}

/// The unified diff of an object before and after; empty if they are equal.
pub fn unified(name: &str, live: Option<Value>, mut merged: Value, managed_fields: bool) -> String {
    let is_new = live.is_none();
    let mut live = live.unwrap_or(Value::Null);
    if !managed_fields {
        output::hide_managed_fields(&mut live);
        output::hide_managed_fields(&mut merged);
    }
    if is_new && let Some(metadata) = merged.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !UNSAID_OF_NEW.contains(&key.as_str()));
    }
    if merged.get("kind").and_then(Value::as_str) == Some("Secret")
        && merged.get("apiVersion").and_then(Value::as_str) == Some("v1")
    {
        for field in ["data", "stringData"] {
            mask(&mut live, &mut merged, field);
        }
    }
    let before = if is_new { String::new() } else { output::yaml::to_string(&live) };
    let after = output::yaml::to_string(&merged);
    if before == after {
        return String::new();
    }
    let (old, new) = if is_new {
        ("/dev/null".to_owned(), format!("b/{name}"))
    } else {
        (format!("a/{name}"), format!("b/{name}"))
    };
    TextDiff::from_lines(&before, &after).unified_diff().context_radius(3).header(&old, &new).to_string()
}

/// Hides what Secrets hold; that a value differs still shows.
fn mask(live: &mut Value, merged: &mut Value, field: &str) {
    let before = live.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    let after = merged.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    let hide = |values: &Map<String, Value>, other: &Map<String, Value>, which: &str| -> Map<String, Value> {
        let hidden = |key: &str, value: &Value| match other.get(key) {
            Some(theirs) if theirs != value => format!("*** ({which})"),
            _ => "***".to_owned(),
        };
        values.iter().map(|(key, value)| (key.clone(), hidden(key, value).into())).collect()
    };
    if let Some(values) = live.get_mut(field).and_then(Value::as_object_mut) {
        *values = hide(&before, &after, "before");
    }
    if let Some(values) = merged.get_mut(field).and_then(Value::as_object_mut) {
        *values = hide(&after, &before, "after");
    }
}
