//! `apply`: server-side apply of manifests, one by one or as one transaction.
//!
//! Nothing is sent unless every manifest can be read and every kind is known. One by one, a refusal does not stop the
//! rest, and the end says exactly what was applied and what was not. With `--atomic` the server takes all or none.

mod outcome;
mod transaction;

use crate::{
    client::{self, Call},
    commands::files::Files,
    error::{Error, Exit},
    manifest::{Diagnostic, Placed, refusal},
    output::{self, Format},
    schema::Schema,
    session::Session,
};
use clap::{Args, ValueEnum};
use http::Method;
pub use outcome::{Before, Outcome};
use serde_json::Value;

/// The manager that owns what this program applies.
pub const FIELD_MANAGER: &str = "nexusctl";

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What to apply
    #[command(flatten)]
    pub files: Files,
    /// Change nothing: `server` lets the server judge, `client` only reads the manifests
    #[arg(long, value_name = "WHO", default_value = "none", default_missing_value = "server", num_args = 0..=1, require_equals = true)]
    pub dry_run: DryRun,
    /// Take over fields that other managers own
    #[arg(long)]
    pub force_conflicts: bool,
    /// All objects or none, as one transaction
    #[arg(long)]
    pub atomic: bool,
    /// Name under which the applied fields are owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    pub field_manager: String,
    /// What the server does about unknown fields
    #[arg(long, value_name = "HOW", default_value = "strict", default_missing_value = "strict", num_args = 0..=1, require_equals = true)]
    pub validate: Validation,
    /// Show the results as json, yaml or name instead
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Taken for granted: every apply is server-side
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    pub server_side: Option<Option<bool>>,
}

/// `--dry-run`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Not dry.
    #[default]
    None,
    /// Read the manifests, ask for nothing to be judged.
    Client,
    /// Everything but the storing.
    Server,
}

impl DryRun {
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }

    /// The value of the `dryRun` parameter.
    pub fn parameter(self) -> &'static str {
        if self == Self::Server { "All" } else { "" }
    }
}

/// `--validate`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Validation {
    /// An unknown field is an error.
    #[default]
    #[value(alias = "true")]
    Strict,
    /// An unknown field is a warning.
    Warn,
    /// Unknown fields are dropped.
    #[value(alias = "false")]
    Ignore,
}

impl Validation {
    fn parameter(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
        }
    }
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.files.filenames.is_empty() {
        return Err(Error::Message(
            "say what to apply: -f FILE, -f FOLDER, or -f - for standard input".into(),
        ));
    }
    if matches!(arguments.output, Some(Format::Table | Format::Wide)) {
        return Err(Error::Message("the results of apply can be shown as json, yaml or name".into()));
    }
    let placed = arguments.files.read(session).await?;
    if arguments.atomic && arguments.dry_run != DryRun::Client {
        return transaction::run(&arguments, &placed, session).await;
    }
    one_by_one(&arguments, &placed, session).await
}

async fn one_by_one(arguments: &Arguments, placed: &[Placed], session: &mut Session) -> Result<Exit, Error> {
    let mut results = Vec::new();
    let mut failed: Vec<(usize, &str)> = Vec::new();
    let mut unreachable = false;
    for (index, item) in placed.iter().enumerate() {
        if unreachable {
            failed.push((index, "not sent"));
            continue;
        }
        match apply(arguments, item, session).await {
            Ok((outcome, object)) => {
                if arguments.output.is_none() {
                    session.say(&format!("{} {outcome}{}", item.name(), arguments.dry_run.suffix()))?;
                }
                results.push((item, object));
            }
            Err(error) => {
                unreachable = error.is_unreachable();
                let unsure = unreachable && !matches!(error, client::Error::Connect { .. });
                failed.push((index, if unsure { "sent, its outcome unknown" } else { "refused" }));
                tell(item, &error, session).await;
            }
        }
    }
    show(arguments.output, &results, session)?;
    if failed.is_empty() {
        return Ok(Exit::Success);
    }
    if placed.len() > 1 || unreachable {
        let (count, all) = (failed.len(), placed.len());
        let mut text = format!(
            "\nerror: {count} of {all} objects {} not applied:",
            if count == 1 { "was" } else { "were" }
        );
        for (index, why) in &failed {
            let document = &placed[*index].document;
            text.push_str(&format!("\n  {}: {} ({why})", document.place(), document.reference()));
        }
        text.push_str("\napplying again is safe: what is in place stays as it is");
        session.note(&text);
    }
    Ok(Exit::Failure)
}

async fn apply(
    arguments: &Arguments,
    item: &Placed,
    session: &mut Session,
) -> Result<(Outcome, Value), client::Error> {
    let before = Before::look(item, session).await?;
    if arguments.dry_run == DryRun::Client {
        let outcome = if before == Before::Absent { Outcome::Created } else { Outcome::Configured };
        return Ok((outcome, item.object()));
    }
    let call = patch(arguments, item, arguments.dry_run.parameter());
    let reply = session.send(&call).await?;
    let object: Value = reply.json()?;
    Ok((before.compare(reply.code == 201, &object), object))
}

fn patch(arguments: &Arguments, item: &Placed, dry_run: &str) -> Call {
    Call::with_body(Method::PATCH, item.path(), item.object().to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[
            ("fieldManager", &arguments.field_manager),
            ("fieldValidation", arguments.validate.parameter()),
            ("force", if arguments.force_conflicts { "true" } else { "" }),
            ("dryRun", dry_run),
        ])
}

/// Tells of a failure, at the lines of the manifest that caused it where there are such.
pub(crate) async fn tell(item: &Placed, error: &client::Error, session: &mut Session) {
    let color = session.streams.err_color;
    let text = match error.status() {
        Some(status) if status.code != 401 => {
            let faults = explain(item, status, session).await;
            faults.iter().map(|f| f.render(color)).collect::<Vec<_>>().join("\n\n")
        }
        _ => {
            let words = crate::error::chain(error);
            format!("error: {}: {}: {words}", item.document.place(), item.document.reference())
        }
    };
    session.note(&text);
}

pub(crate) async fn explain(
    item: &Placed,
    status: &hypermesh_api::Status,
    session: &mut Session,
) -> Vec<Diagnostic> {
    let schema = match session.client() {
        Ok(client) if refusal::wants_names(status) => Schema::find(&client, &item.resource).await,
        _ => None,
    };
    match schema {
        Some(schema) => refusal::explain(&item.document, status, &schema),
        None => refusal::explain(&item.document, status, &()),
    }
}

fn show(format: Option<Format>, results: &[(&Placed, Value)], session: &mut Session) -> Result<(), Error> {
    let Some(format) = format.filter(|_| !results.is_empty()) else { return Ok(()) };
    if format == Format::Name {
        return results.iter().try_for_each(|(item, _)| session.say(&item.name()));
    }
    let mut objects: Vec<Value> = results.iter().map(|(_, object)| object.clone()).collect();
    let mut value = if objects.len() == 1 {
        objects.remove(0)
    } else {
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects, "metadata": {}})
    };
    output::hide_managed_fields(&mut value);
    let text = if format == Format::Json { output::json(&value) } else { output::yaml::to_string(&value) };
    session.print(&text)
}
