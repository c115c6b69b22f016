//! `apply`: server-side apply of manifests, one by one or as one transaction.
//!
//! Nothing is sent unless every manifest can be read and every kind is known, and nothing is applied unless the server
//! takes all of it in a dry run (`--keep-going` leaves that out). Objects are sent many at a time; the end says exactly
//! what was applied and what was not. With `--atomic` the server takes all or none. With `--prune` what was applied
//! before and is in no manifest any more goes.

mod order;
mod outcome;
mod preflight;
mod prune;
mod report;
mod send;
mod set;
mod stop;
mod transaction;
mod wait;

use crate::{
    client::{self, Call},
    commands::{files::Files, results::ResultFormat},
    error::{Error, Exit},
    manifest::{Diagnostic, Placed, refusal},
    schema::Schema,
    session::Session,
};
use clap::{Args, ValueEnum};
use http::Method;
use hypermesh_api::Status;
pub use outcome::{Before, Outcome};
use send::Fate;
use serde_json::Value;
use set::ApplySet;
use std::{cell::Cell, pin::pin, time::Duration};
use stop::Stop;

pub(crate) const METADATA: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
pub(crate) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

/// The manager that owns what this program applies.
pub const FIELD_MANAGER: &str = "nexusctl";

const EXAMPLES: &str = "Examples:
  # What the manifests of a folder say
  nexusctl apply -f examples/quickstart
  # All of it or nothing, judged by the server but not stored
  nexusctl apply -f examples/quickstart --atomic --dry-run
  # Also delete what earlier applies of this set had and the manifests have no more
  nexusctl apply -f examples/quickstart --prune --applyset=quickstart
  # What would go if the set were to hold nothing any more
  nexusctl apply --empty --prune --applyset=quickstart --dry-run";

/// Arguments of `apply`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
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
    /// Apply what the server takes, even if it refuses some of it
    #[arg(long, conflicts_with = "atomic")]
    pub keep_going: bool,
    /// Delete what was applied as part of the set before, and is in no manifest any more
    #[arg(long, conflicts_with = "atomic")]
    pub prune: bool,
    /// Set that the objects belong to: NAME of a Secret that is made for it, or TYPE/NAME [default: $KUBECTL_APPLYSET]
    #[arg(long, value_name = "SET", requires = "prune")]
    pub applyset: Option<String>,
    /// Apply nothing, so that --prune deletes all that the set holds; the set itself stays
    #[arg(long, requires = "prune", requires = "applyset", conflicts_with_all = ["filenames", "atomic", "output"])]
    pub empty: bool,
    /// Wait until the objects are as their manifests ask, and those pruned are gone
    #[arg(long)]
    pub wait: bool,
    /// Longest wait: 30s, 5m; 0 for ever
    #[arg(long, value_name = "TIME", default_value = "5m", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub timeout: Duration,
    /// Name under which the applied fields are owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    pub field_manager: String,
    /// What the server does about unknown fields
    #[arg(long, value_name = "HOW", default_value = "strict", default_missing_value = "strict", num_args = 0..=1, require_equals = true)]
    pub validate: Validation,
    /// Show the results as json, yaml or name instead
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ResultFormat>,
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
    pub(crate) fn suffix(self) -> &'static str {
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
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
        }
    }
}

/// Runs the verb.
pub async fn run(mut arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    check(&mut arguments, session)?;
    let placed = match arguments.empty {
        true => Vec::new(),
        false => arguments.files.read(session).await.map_err(|error| emptied(error, &arguments, session))?,
    };
    let placed = order::unique(placed).map_err(Error::Manifests)?;
    let mut objects: Vec<Value> = placed.iter().map(Placed::object).collect();
    let mut set = match &arguments.applyset {
        Some(word) => Some(ApplySet::open(word, &placed, session).await?),
        None => None,
    };
    if let Some(set) = &set {
        set.check(&placed, session).await?;
        set.mark(&mut objects);
    }
    let applied = match arguments.empty {
        true => Vec::new(),
        false => match all(&arguments, &placed, &objects, set.as_ref(), session).await? {
            Ok(applied) => applied,
            Err(exit) => return Ok(exit),
        },
    };
    // Sending has taken the signals over: from here on they would end nothing.
    let mut stop = Stop::listen()?;
    let waits = Cell::new(false);
    let ended = {
        let rest = pin!(afterwards(&arguments, set.as_mut(), (&placed, &applied), &waits, session));
        tokio::select! {
            ended = rest => Some(ended),
            () = stop.asked() => None,
        }
    };
    match ended {
        Some(well) => Ok(if well? { Exit::Success } else { Exit::Failure }),
        None => Ok(report::stopped(&arguments, waits.get(), session)),
    }
}

/// Prunes and waits, as asked; whether all is well. `waits` says which of the two it is at.
async fn afterwards(
    arguments: &Arguments,
    set: Option<&mut ApplySet>,
    (placed, applied): (&[Placed], &[Value]),
    waits: &Cell<bool>,
    session: &mut Session,
) -> Result<bool, Error> {
    let (mut pruned, mut well) = (Vec::new(), true);
    if let Some(set) = set {
        if arguments.empty && !set.exists() {
            return Err(Error::Message(format!("there is no {}, so there is nothing to empty", set.shown())));
        }
        let left;
        (pruned, well, left) = prune::run(arguments, set, (placed, applied), session).await?;
        if arguments.empty && well && pruned.is_empty() {
            let shown = set.shown();
            session.note(&match left {
                0 => format!(
                    "nothing was pruned: {shown} is empty already; what is left is the set itself, which `nexusctl delete \
                     {shown}` takes away"
                ),
                left => format!("nothing was pruned: none of the {left} objects of {shown} may go"),
            });
        }
    }
    if arguments.wait && arguments.dry_run == DryRun::None {
        session.flush()?;
        waits.set(true);
        well &= wait::run(placed, applied, pruned, arguments.timeout, session).await?;
    }
    Ok(well)
}

/// Where there is nothing left to apply, what was applied before stays, unless a set is emptied on purpose.
fn emptied(error: Error, arguments: &Arguments, session: &Session) -> Error {
    let Error::NoObjects(what) = error else { return error };
    let set = arguments.applyset.as_deref();
    let mut command =
        vec!["nexusctl", "apply", "--empty", "--prune"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    command.push(format!("--applyset={}", set.unwrap_or("NAME")));
    if let Some(namespace) = &session.options.namespace {
        command.extend(["-n".to_owned(), namespace.clone()]);
    }
    let command = crate::shell::join(&command);
    Error::NoObjects(match set {
        Some(set) => format!(
            "{what}\nThe set {set} is as it was. If it is to hold nothing any more, `{command}` deletes what it holds \
             (--dry-run says what that is)"
        ),
        None => format!(
            "{what}\nWhat was applied before stays: `nexusctl delete` deletes it, or `{command}`, if it was applied as \
             part of a set"
        ),
    })
}

/// Refuses what makes no sense, and fills in what the environment says.
fn check(arguments: &mut Arguments, session: &Session) -> Result<(), Error> {
    if arguments.files.filenames.is_empty() && !arguments.empty {
        return Err(Error::Message(
            "say what to apply: -f FILE, -f FOLDER, or -f - for standard input".into(),
        ));
    }
    if arguments.prune && arguments.applyset.is_none() {
        let named = session.environment.applyset.as_ref().and_then(|set| set.to_str());
        let named = named.ok_or_else(|| {
            Error::Message(
                "--prune deletes what a set held before and holds no more: name the set with --applyset=NAME"
                    .into(),
            )
        })?;
        arguments.applyset = Some(named.to_owned());
    }
    Ok(())
}

/// Applies everything. The objects as the server has them; or how to exit, where something was not applied, which has
/// then been told.
async fn all(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    set: Option<&ApplySet>,
    session: &mut Session,
) -> Result<Result<Vec<Value>, Exit>, Error> {
    if arguments.atomic && arguments.dry_run != DryRun::Client {
        let told = atomic(arguments, placed, objects, session).await;
        if let Err(error @ Error::Output(_)) = &told
            && !error.is_broken_pipe()
        {
            report::unsaid(arguments, (placed.len(), placed.len()), session);
        }
        return told;
    }
    if !preflight::passes(arguments, placed, objects, session).await? {
        return Ok(Err(Exit::Failure));
    }
    if let Some(set) = set.filter(|_| arguments.dry_run == DryRun::None) {
        set.write(session).await?;
    }
    let sent = send::all(arguments, placed, objects, session).await?;
    let done = placed.iter().zip(&sent.fates).filter_map(|(item, fate)| match fate {
        Fate::Applied(_, object) => Some((item, object)),
        _ => None,
    });
    let shown = report::show(arguments.output, &done.collect::<Vec<_>>(), session);
    // Written through now: a line that is lost later could no longer be told of together with what was applied.
    let shown = shown.and_then(|()| session.flush());
    let exit = report::tell(arguments, placed, &sent, session);
    // Who has stopped reading has read enough; what is to be done is done all the same.
    if let Some(error) = sent.unsaid.or(shown.err()).filter(|error| !error.is_broken_pipe()) {
        let applied = sent.fates.iter().filter(|fate| matches!(fate, Fate::Applied(..))).count();
        report::unsaid(arguments, (applied, placed.len()), session);
        return Err(error);
    }
    match exit {
        Exit::Success => {
            let objects = sent.fates.into_iter().filter_map(|fate| match fate {
                Fate::Applied(_, object) => Some(object),
                _ => None,
            });
            Ok(Ok(objects.collect()))
        }
        other => Ok(Err(other)),
    }
}

/// Applies everything at once. An error of the output comes after that.
async fn atomic(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    session: &mut Session,
) -> Result<Result<Vec<Value>, Exit>, Error> {
    let Some(done) = transaction::run(arguments, placed, objects, session).await? else {
        return Ok(Err(Exit::Failure));
    };
    let applied: Vec<Value> = done.into_iter().map(|(_, object)| object).collect();
    report::show(arguments.output, &placed.iter().zip(&applied).collect::<Vec<_>>(), session)?;
    session.flush()?;
    Ok(Ok(applied))
}

fn patch(arguments: &Arguments, item: &Placed, object: &Value, dry_run: &str) -> Call {
    Call::with_body(Method::PATCH, item.path(), object.to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[
            ("fieldManager", &arguments.field_manager),
            ("fieldValidation", arguments.validate.parameter()),
            ("force", if arguments.force_conflicts { "true" } else { "" }),
            ("dryRun", dry_run),
        ])
}

/// Tells of a failure of a call about an object, at the lines of the manifest that caused it where there are such.
pub(crate) async fn tell(item: &Placed, error: &client::Error, asked: &Call, session: &mut Session) {
    let color = session.streams.err_color;
    let text = match error.status() {
        Some(status) if status.code != 401 => {
            let faults = explain(item, status, asked, session).await;
            faults.iter().map(|f| f.render(color)).collect::<Vec<_>>().join("\n\n")
        }
        _ => {
            let words = crate::error::chain(error);
            format!("error: {}: {}: {words}", item.document.place(), item.document.reference())
        }
    };
    session.note(&text);
}

/// All that is wrong with an object whose call was refused. A server that meets an unknown field looks no further, so
/// it is asked once more about the rest: one mistake must not hide another.
pub(crate) async fn explain(
    item: &Placed,
    status: &Status,
    asked: &Call,
    session: &mut Session,
) -> Vec<Diagnostic> {
    let client = session.client().ok();
    let schema = match &client {
        Some(client) if refusal::wants_names(status) => Schema::find(client, &item.resource).await,
        _ => None,
    };
    let rest = match &client {
        Some(client) if refusal::hides_others(status) => client.send(&asked.overlooking_fields()).await.err(),
        _ => None,
    };
    // What else it may say (that it is gone, or not allowed) is not about the manifest.
    let rest = rest.as_ref().and_then(client::Error::status).filter(|rest| matches!(rest.code, 409 | 422));
    let mut faults: Vec<Diagnostic> = Vec::new();
    for status in [Some(status), rest].into_iter().flatten() {
        let found = match &schema {
            Some(schema) => refusal::explain(&item.document, status, schema),
            None => refusal::explain(&item.document, status, &()),
        };
        for fault in found {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    faults
}
