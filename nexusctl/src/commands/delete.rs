//! `delete`: objects by name, selector or manifest; then waits until they are gone.

mod wait;

use crate::{
    client::{self, Call},
    commands::{
        apply::DryRun,
        files::Files,
        filter::Filter,
        get::{self, list_all, name_of},
    },
    discovery::{Resource, Verb},
    error::{Error, Exit},
    output::Format,
    session::Session,
};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// Arguments of `delete`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl delete network office --dry-run
  nexusctl delete domains -l app=shop
  # A second to end in order, instead of what its manifest says
  nexusctl delete instances -l app=shop --now
  # A machine that is gone for good; what ran there is made anew elsewhere
  nexusctl delete node node2
  nexusctl delete -f examples/quickstart --ignore-not-found")]
pub struct Arguments {
    /// TYPE NAME…, TYPE/NAME…, or TYPE with -l or --all
    #[arg(value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// The objects of manifests
    #[command(flatten)]
    pub files: Files,
    /// Which objects
    #[command(flatten)]
    pub filter: Filter,
    /// All objects of the type in the namespace
    #[arg(long)]
    pub all: bool,
    /// Wait until the objects are gone
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub wait: bool,
    /// Longest wait for one object to go: 30s, 5m; 0 for ever
    #[arg(long, value_name = "TIME", default_value = "0", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub timeout: Duration,
    /// What becomes of objects that these own
    #[arg(long, value_name = "HOW", default_value = "background", default_missing_value = "background", num_args = 0..=1, require_equals = true)]
    pub cascade: Cascade,
    /// Seconds that an instance has to end in order [default: what its manifest says]; 0 is 1 without --force
    #[arg(long, value_name = "SECONDS", default_value_t = -1, hide_default_value = true, allow_negative_numbers = true, value_parser = seconds)]
    pub grace_period: i64,
    /// End it now: the same as --grace-period=1
    #[arg(long, conflicts_with = "grace_period")]
    pub now: bool,
    /// Have it gone at once, whether what runs has ended or not: what it held may still be in use
    #[arg(long)]
    pub force: bool,
    /// Do not fail over objects that do not exist
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Delete nothing: `server` lets the server judge, `client` only says what would be deleted
    #[arg(long, value_name = "WHO", default_value = "none", default_missing_value = "server", num_args = 0..=1, require_equals = true)]
    pub dry_run: DryRun,
    /// `name` for shorter output
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// `--cascade`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// They go afterwards.
    #[default]
    #[value(alias = "true")]
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    #[value(alias = "false")]
    Orphan,
}

/// Reads `--grace-period`.
fn seconds(text: &str) -> Result<i64, String> {
    let wanted = "whole seconds, 0 or more; -1 is what the manifest says";
    text.parse().ok().filter(|seconds| *seconds >= -1).ok_or_else(|| wanted.to_owned())
}

/// One object to delete.
struct Doomed {
    resource: Resource,
    namespace: String,
    name: String,
}

/// One object that is on its way out.
struct Going {
    doomed: Doomed,
    uid: String,
}

impl Doomed {
    /// Whether it has to end before it is gone, for which it has a time.
    fn runs(&self) -> bool {
        matches!(self.resource.kind.as_str(), "Instance" | "Pod")
    }

    fn path(&self) -> String {
        self.resource.object_path(&self.namespace, &self.name)
    }
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if matches!(arguments.output, Some(format) if format != Format::Name) {
        return Err(Error::Message("the results of delete can be shown as name only".into()));
    }
    let grace = grace(&arguments)?;
    let doomed = choose(&arguments, session).await?;
    if doomed.is_empty() {
        session.note("No resources found");
        return Ok(Exit::Success);
    }
    doubt_grace(&arguments, &doomed, session);
    let (mut going, mut failed) = (Vec::new(), false);
    for object in doomed {
        match delete(&arguments, grace, &object, session).await {
            Ok(reply) => {
                told(&arguments, &object, session)?;
                let metadata =
                    |key: &str| reply.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str);
                let details = reply.get("details").and_then(|d| d.get("uid")).and_then(Value::as_str);
                let uid = metadata("uid").or(details).unwrap_or_default().to_owned();
                if metadata("deletionTimestamp").is_some() {
                    going.push(Going { doomed: object, uid });
                }
            }
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) if error.status().is_some() => {
                failed = true;
                session.note(&error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    session.flush()?;
    if arguments.wait && arguments.dry_run == DryRun::None {
        for object in going {
            if !wait::gone(&object, arguments.timeout, session).await? {
                failed = true;
            }
        }
    }
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

async fn choose(arguments: &Arguments, session: &mut Session) -> Result<Vec<Doomed>, Error> {
    let chosen = get::Arguments {
        words: arguments.words.clone(),
        files: arguments.files.clone(),
        filter: arguments.filter.clone(),
        ..get::Arguments::default()
    };
    let selections = get::select(&chosen, session).await?;
    let many = arguments.all || arguments.filter.selects();
    let mut doomed = Vec::new();
    for placed in selections {
        let (mut resource, names) = (placed.selection.resource, placed.selection.names);
        if !names.is_empty() && arguments.all {
            return Err(Error::Message("objects are deleted by name or all at once, not both".into()));
        }
        if names.is_empty() && !many {
            return Err(Error::Message(format!(
                "which {}? Name them, choose them with -l, or say --all",
                resource.plural
            )));
        }
        if !resource.allows(Verb::Delete) {
            // A category may hold kinds that are shown only.
            if arguments.words.first().is_some_and(|w| w.contains(',') || *w != resource.plural)
                && names.is_empty()
            {
                continue;
            }
            resource = instead(&resource, &names, &arguments.words, session).await?;
        }
        let (namespace, place) = (placed.namespace, |name: String, namespace: String| Doomed {
            resource: resource.clone(),
            namespace,
            name,
        });
        doomed.extend(names.iter().map(|name| place(name.clone(), namespace.clone())));
        if names.is_empty() {
            let path = arguments.filter.collection(&resource, session)?;
            let items = list_all(&path, &arguments.filter.parameters(), 500, &resource, session).await?;
            doomed.extend(items.iter().map(|item| {
                let of_item = item.get("metadata").and_then(|m| m.get("namespace")).and_then(Value::as_str);
                place(name_of(item).to_owned(), of_item.unwrap_or(&namespace).to_owned())
            }));
        }
    }
    Ok(doomed)
}

/// The kind to delete instead of one that is only shown: a node is `nodes.hypermesh.online`, however it is called for
/// short. Who wrote out which is meant is told, not corrected.
async fn instead(
    shown: &Resource,
    names: &[String],
    words: &[String],
    session: &mut Session,
) -> Result<Resource, Error> {
    let discovery = session.discovery().await?;
    let refused = format!("{} cannot be deleted", shown.qualified_plural());
    let Some(twin) = discovery.twin(shown, Verb::Delete) else { return Err(Error::Message(refused)) };
    let is_qualified = |word: &String| word.split('/').next().is_some_and(|kind| kind.contains('.'));
    if words.first().is_some_and(|word| !is_qualified(word)) {
        return Ok(twin.clone());
    }
    let name = names.first().map(|name| format!("/{name}")).unwrap_or_default();
    Err(Error::Message(format!("{refused}: they only show {}{name}, which can be", twin.qualified_plural())))
}

/// The seconds that are asked for, as kubectl reads its flags; `None` for an object's own setting.
fn grace(arguments: &Arguments) -> Result<Option<i64>, Error> {
    match (arguments.grace_period, arguments.now, arguments.force) {
        (0, _, false) => Ok(Some(1)),
        (seconds, now, true) if seconds > 0 || now => Err(Error::Message(
            "--force leaves no time to end in order: leave out --grace-period and --now, or --force".into(),
        )),
        (_, _, true) => Ok(Some(0)),
        (_, true, false) => Ok(Some(1)),
        (seconds, false, false) => Ok(Some(seconds).filter(|seconds| *seconds >= 0)),
    }
}

/// Tells what force means, and where a time to end in means nothing.
fn doubt_grace(arguments: &Arguments, doomed: &[Doomed], session: &mut Session) {
    if arguments.force && arguments.dry_run == DryRun::None && doomed.iter().any(Doomed::runs) {
        session.note(
            "Warning: what is deleted by force is gone at once, and nobody waits for what runs to end: it may go on running",
        );
    }
    let flag = match arguments {
        Arguments { force: true, .. } => "--force",
        Arguments { now: true, .. } => "--now",
        Arguments { grace_period: 0.., .. } => "--grace-period",
        _ => return,
    };
    let others: BTreeSet<&str> =
        doomed.iter().filter(|object| !object.runs()).map(|object| &*object.resource.plural).collect();
    if !others.is_empty() {
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        session.note(&format!(
            "Warning: {flag} changes nothing for {others}: only instances and pods have a time to end in"
        ));
    }
}

async fn delete(
    arguments: &Arguments,
    grace: Option<i64>,
    object: &Doomed,
    session: &mut Session,
) -> Result<Value, client::Error> {
    if arguments.dry_run == DryRun::Client {
        return session.send(&Call::get(object.path())).await?.json().map(|_: Value| Value::Null);
    }
    let policy = match arguments.cascade {
        Cascade::Background => "Background",
        Cascade::Foreground => "Foreground",
        Cascade::Orphan => "Orphan",
    };
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    if let Some(seconds) = grace {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if arguments.dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    let call = Call::with_body(Method::DELETE, object.path(), options.to_string());
    session.send(&call).await?.json()
}

fn told(arguments: &Arguments, object: &Doomed, session: &mut Session) -> Result<(), Error> {
    let kind = object.resource.qualified_singular();
    if arguments.output == Some(Format::Name) {
        return session.say(&format!("{kind}/{}", object.name));
    }
    let suffix = match arguments.dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    };
    let force = if arguments.force && object.runs() { "force " } else { "" };
    session.say(&format!("{kind} {:?} {force}deleted{suffix}", object.name))
}
