//! `node drain`: empties nodes, as fast as the workloads allow whose instances run there.
//!
//! An eviction is refused by the server while a workload has no instance to spare (`rollout.rolling.maxUnavailable`):
//! the server counts where it deletes, so that two drains at once never both take the last one. What is refused is asked
//! for again, until replacements are ready elsewhere. A drain that is interrupted leaves the node cordoned, and says so;
//! run again, it goes on.

mod residents;

use super::cordon;
use crate::{
    cli::parse_duration,
    client::{Call, path_segment},
    commands::{
        get::list_all,
        why::{instances, meta, nodes},
    },
    error::{Error, Exit},
    output::escape_line,
    session::Session,
};
use clap::Args;
use http::Method;
use residents::{Resident, Residents};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How often what was refused is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// Arguments of `node drain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl node drain rack-1
  nexusctl node drain rack-1 rack-2 --timeout=10m
  nexusctl node drain rack-1 --dry-run")]
pub struct Drain {
    /// Names of nodes, emptied one after another
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
    /// How long to try: 30s, 10m; 0 for ever
    #[arg(long, value_name = "TIME", default_value = "0", allow_hyphen_values = true, value_parser = parse_duration)]
    pub timeout: Duration,
    /// How many seconds instances have to end by themselves; left out: as they say
    #[arg(long, value_name = "SECONDS")]
    pub grace_period: Option<u32>,
    /// Also end instances that no workload replaces
    #[arg(long)]
    pub force: bool,
    /// Change nothing, and say what would be
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the verb.
pub(super) async fn run(arguments: Drain, session: &mut Session) -> Result<Exit, Error> {
    let listen = |kind| {
        signal(kind).map_err(|error| Error::Message(format!("cannot listen for interruptions: {error}")))
    };
    let (mut interrupt, mut end) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    for name in &arguments.nodes {
        let mut drained = Drained { node: name.clone(), ..Drained::default() };
        let exit = tokio::select! {
            biased;
            _ = interrupt.recv() => None,
            _ = end.recv() => None,
            exit = drained.empty(&arguments, session) => Some(exit?),
        };
        match exit {
            Some(Exit::Success) => {}
            Some(exit) => return Ok(exit),
            None => {
                session.progress(None);
                session.note(&drained.interrupted());
                return Ok(Exit::Interrupted);
            }
        }
    }
    Ok(Exit::Success)
}

/// A node that is being emptied.
#[derive(Debug, Default)]
struct Drained {
    node: String,
    cordoned: bool,
    residents: Residents,
}

/// What an eviction came to.
enum Evicted {
    /// It is on its way.
    Goes,
    /// It was gone.
    Gone,
    /// Not now, and why.
    NotNow(String),
}

impl Drained {
    async fn empty(&mut self, arguments: &Drain, session: &mut Session) -> Result<Exit, Error> {
        let node = escape_line(&self.node);
        // A node that does not exist has no instances either: that it does not exist is said first.
        session.send(&Call::get(nodes().object_path("", &self.node))).await?;
        self.residents.see(self.list(session).await?);
        let unowned = self.residents.unowned();
        if !unowned.is_empty() && !arguments.force {
            return Err(Error::Message(format!(
                "nothing was done to node {node}: no workload would replace {} (--force ends them for good)",
                names(&unowned)
            )));
        }
        let already = cordon::set(&self.node, true, arguments.dry_run, session).await?;
        self.cordoned = true;
        let dry = if arguments.dry_run { " (dry run)" } else { "" };
        let word = if already { "already cordoned" } else { "cordoned" };
        session.say(&format!("node/{node} {word}{dry}"))?;
        if arguments.dry_run {
            for resident in self.residents.left() {
                session.say(&format!("instance {} would be evicted (dry run)", resident.place()))?;
            }
            return Ok(Exit::Success);
        }
        let begin = Instant::now();
        loop {
            self.round(arguments, session).await?;
            for gone in self.residents.see(self.list(session).await?) {
                session.say(&format!("instance {} is gone", gone.place()))?;
            }
            if self.residents.left().next().is_none() {
                session.say(&format!("node/{node} drained"))?;
                return Ok(Exit::Success);
            }
            session.flush()?;
            if !arguments.timeout.is_zero() && begin.elapsed() >= arguments.timeout {
                session.note(&self.too_long(arguments.timeout));
                return Ok(Exit::Failure);
            }
            let waits = self.residents.waits();
            session.wait_for(&waits, tokio::time::sleep(AGAIN)).await;
        }
    }

    /// Asks for the eviction of everything that is not on its way yet.
    async fn round(&mut self, arguments: &Drain, session: &mut Session) -> Result<(), Error> {
        let asked: Vec<Resident> = self.residents.to_ask().cloned().collect();
        for resident in asked {
            match evict(&resident, arguments, session).await? {
                Evicted::Goes => {
                    session.say(&format!("instance {} evicted", resident.place()))?;
                    self.residents.goes(&resident.uid);
                }
                Evicted::Gone => self.residents.goes(&resident.uid),
                Evicted::NotNow(why) => {
                    if self.residents.refused(&resident.uid, &why) {
                        session.note(&format!("instance {} has to wait: {why}", resident.place()));
                    }
                }
            }
        }
        Ok(())
    }

    async fn list(&self, session: &mut Session) -> Result<Vec<Resident>, Error> {
        let kind = instances();
        let selector = format!("spec.nodeName={}", self.node);
        let path = kind.collection_path(None);
        let list = list_all(&path, &[("fieldSelector", &selector)], 500, &kind, session).await?;
        Ok(list.iter().filter_map(|object| Resident::read(object, &self.node)).collect())
    }

    fn too_long(&self, timeout: Duration) -> String {
        let left: Vec<String> = self.residents.left().map(Resident::place).collect();
        let node = escape_line(&self.node);
        format!(
            "error: node {node} is not empty after {timeout:?}: {} left\n  {}\nit stays cordoned: `nexusctl node drain {node}` \
             goes on, `nexusctl node uncordon {node}` takes it back",
            left.len(),
            left.join("\n  ")
        )
    }

    fn interrupted(&self) -> String {
        let node = escape_line(&self.node);
        if !self.cordoned {
            return format!("interrupted: nothing was done to node {node}");
        }
        let (gone, left) = (self.residents.gone(), self.residents.left().count());
        format!(
            "interrupted: node {node} stays cordoned; {gone} instances have left it, {left} are still there\n\
             `nexusctl node drain {node}` goes on, `nexusctl node uncordon {node}` takes it back"
        )
    }
}

/// Asks the server to let an instance go.
async fn evict(resident: &Resident, arguments: &Drain, session: &mut Session) -> Result<Evicted, Error> {
    let mut options = json!({"preconditions": {"uid": resident.uid}});
    if let Some(grace) = arguments.grace_period {
        options["gracePeriodSeconds"] = grace.into();
    }
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": resident.name, "namespace": resident.namespace},
        "deleteOptions": options,
    });
    let (namespace, name) = (path_segment(&resident.namespace), path_segment(&resident.name));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    match session.send(&Call::with_body(Method::POST, path, eviction.to_string())).await {
        Ok(_) => Ok(Evicted::Goes),
        Err(error) if error.is_not_found() => Ok(Evicted::Gone),
        Err(error) => match error.status() {
            Some(status) if status.code == 429 => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let why = causes.map(|cause| cause.message.as_str()).find(|why| !why.is_empty());
                Ok(Evicted::NotNow(escape_line(why.unwrap_or(&status.message))))
            }
            // Another one of its name has come meanwhile: the next look shows it.
            Some(status) if status.code == 409 => Ok(Evicted::NotNow("it has changed meanwhile".to_owned())),
            _ => Err(error.into()),
        },
    }
}

fn names(residents: &[&Resident]) -> String {
    const TOLD: usize = 5;
    let told: Vec<String> = residents.iter().take(TOLD).map(|one| one.place()).collect();
    match residents.len() {
        many if many > TOLD => format!("{} and {} more", told.join(", "), many - TOLD),
        _ => told.join(", "),
    }
}

/// Whether an object is owned by a workload, which replaces it.
fn is_owned(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| meta_of(owner, "kind") == "Workload")
}

fn meta_of<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an object has ended.
fn has_ended(object: &Value) -> bool {
    matches!(object.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

impl Resident {
    /// Reads an instance; `None` for one that has ended, or is not here.
    fn read(object: &Value, node: &str) -> Option<Self> {
        let here = object.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node);
        if !here || has_ended(object) {
            return None;
        }
        Some(Self {
            namespace: meta(object, "namespace").to_owned(),
            name: meta(object, "name").to_owned(),
            uid: meta(object, "uid").to_owned(),
            owned: is_owned(object),
            leaving: !meta(object, "deletionTimestamp").is_empty(),
        })
    }
}
