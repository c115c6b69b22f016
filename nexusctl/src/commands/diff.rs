//! `diff`: what applying manifests would change: a unified diff of each object before and after, or its changed fields.
//!
//! The server judges: each manifest is applied in a dry run. Exits 0 without differences, 1 with, 2 if it cannot tell.

mod external;

use crate::{
    client::{self, Call, Client},
    commands::{
        apply::{FIELD_MANAGER, tell},
        files::Files,
    },
    difference::{self, Look},
    error::{Error, Exit},
    manifest::Placed,
    session::Session,
};
use clap::Args;
use external::External;
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;

/// Requests that are under way at once.
const WIDTH: usize = 32;

const EXAMPLES: &str = "Examples:
  nexusctl diff -f examples/quickstart
  nexusctl diff -f examples/quickstart --fields --color=never
Exits 0 if nothing would change, 1 if something would, 2 if that cannot be told.";

/// Arguments of `diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What to compare
    #[command(flatten)]
    pub files: Files,
    /// Show one line a changed field
    #[arg(long)]
    pub fields: bool,
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

/// An object before and after.
struct Pair {
    before: Option<Value>,
    after: Value,
    warnings: Vec<String>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.files.filenames.is_empty() {
        return Err(Error::Message(
            "say what to compare: -f FILE, -f FOLDER, or -f - for standard input".into(),
        ));
    }
    let placed = arguments.files.read(session).await?;
    let look = Look { color: session.streams.out_color, managed_fields: arguments.show_managed_fields };
    let mut external = match &session.environment.external_diff {
        Some(program) if !arguments.fields => Some(External::new(program, &session.environment)?),
        _ => None,
    };
    let client = session.client()?;
    let made: BTreeSet<&str> =
        placed.iter().filter(|i| i.resource.kind == "Namespace").map(|i| i.document.name.as_str()).collect();
    let pairs = stream::iter(&placed).map(|item| compare(&client, &arguments, item, &made)).buffered(WIDTH);
    let mut pairs = std::pin::pin!(pairs.zip(stream::iter(&placed)));
    let (mut differs, mut failed) = (false, false);
    while let Some((pair, item)) = pairs.next().await {
        let pair = match pair {
            Ok(pair) => pair,
            Err(error) if error.status().is_some() => {
                failed = true;
                tell(item, &error, &call(&arguments, item), session).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        session.warn(&pair.warnings);
        let name = name(item);
        if let Some(external) = &mut external {
            external.add(&name, pair.before, pair.after, look)?;
            continue;
        }
        let text = if arguments.fields {
            let [before, after] = difference::presentable(pair.before, Some(pair.after), look.managed_fields);
            difference::by_field(&item.name(), before.as_ref(), after.as_ref(), look.color)
        } else {
            difference::unified(&name, pair.before, Some(pair.after), look)
        };
        differs |= !text.is_empty();
        session.print(&text)?;
    }
    if let Some(external) = external {
        session.flush()?;
        match external.run()? {
            0 => {}
            1 => differs = true,
            code => {
                failed = true;
                session.note(&format!("error: the program of KUBECTL_EXTERNAL_DIFF ended with {code}"));
            }
        }
    }
    Ok(match (failed, differs) {
        (true, _) => Exit::Trouble,
        (false, true) => Exit::Failure,
        (false, false) => Exit::Success,
    })
}

/// `workloads.hypermesh.online/default/web`
fn name(item: &Placed) -> String {
    let plural = item.resource.qualified_plural();
    if item.resource.namespaced {
        format!("{plural}/{}/{}", item.namespace, item.document.name)
    } else {
        format!("{plural}/{}", item.document.name)
    }
}

/// The apply that is not stored.
fn call(arguments: &Arguments, item: &Placed) -> Call {
    Call::with_body(Method::PATCH, item.path(), item.object().to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[
            ("fieldManager", &arguments.field_manager),
            ("fieldValidation", "Strict"),
            ("force", if arguments.force_conflicts { "true" } else { "" }),
            ("dryRun", "All"),
        ])
}

async fn compare(
    client: &Client,
    arguments: &Arguments,
    item: &Placed,
    made: &BTreeSet<&str>,
) -> Result<Pair, client::Error> {
    let before: Option<Value> = match client.send(&Call::get(item.path())).await {
        Ok(reply) => Some(reply.json()?),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    match client.send(&call(arguments, item)).await {
        Ok(reply) => Ok(Pair { before, after: reply.json()?, warnings: reply.warnings }),
        // What lives in a namespace that is yet to be made cannot be judged; all of it would be new.
        Err(error) if error.is_not_found() && before.is_none() && made.contains(item.namespace.as_str()) => {
            Ok(Pair { before, after: item.object(), warnings: Vec::new() })
        }
        Err(error) => Err(error),
    }
}
