//! `wait`: until objects are as asked. Watches, and never polls: one watch a collection, from the revision of a list.

mod goal;

use crate::{
    client::{self, Call, Client},
    commands::{
        files::Files,
        filter::Filter,
        get::{self, Event, Placed, ended, name_of},
    },
    discovery::Resource,
    error::{Error, Exit},
    session::Session,
    waits,
};
use clap::Args;
use futures_util::future::join_all;
use goal::{Goal, Judgement};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};
use tokio::time::Instant;

/// Between a watch that ended and the next look.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a server that cannot be reached is tried again in a row.
const MOST_TRIES: u32 = 5;
/// What a negative timeout comes to, as of kubectl.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Arguments of `wait`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  nexusctl wait workload/web --for=condition=Ready --timeout=5m
  nexusctl wait workload/web --for=condition=Ready=Unknown --timeout=10s
  nexusctl wait workloads --all --for=jsonpath='{.spec.replicas}'=2
  nexusctl wait network/gone --for=delete --timeout=5s")]
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
    /// create, delete, condition=NAME[=VALUE] or jsonpath=PATH[=VALUE]
    #[arg(long = "for", value_name = "WHAT", required = true)]
    pub goal: Option<String>,
    /// Longest wait: 30s, 5m; 0 to look once, -1s for a week
    #[arg(long, value_name = "TIME", default_value = "30s", allow_hyphen_values = true, value_parser = patience)]
    pub timeout: Duration,
    /// `name` for shorter output
    #[arg(short, long, value_name = "FORM")]
    pub output: Option<String>,
}

fn patience(text: &str) -> Result<Duration, String> {
    match text.strip_prefix('-') {
        Some(rest) => crate::cli::parse_duration(rest).map(|_| WEEK),
        None => crate::cli::parse_duration(text),
    }
}

/// Objects of one collection that are waited for.
struct Group {
    resource: Resource,
    path: String,
    selector: String,
    /// By namespace and name.
    objects: RefCell<BTreeMap<(String, String), Awaited>>,
    /// What has come true and is not told yet.
    news: Rc<RefCell<Vec<String>>>,
    /// Why the server cannot be reached now; empty while it can.
    trouble: RefCell<String>,
}

/// One object that is waited for.
struct Awaited {
    /// Another object of that name is not the one.
    uid: String,
    /// How it was last seen.
    seen: Option<Value>,
    done: bool,
    /// Why not.
    reason: String,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let goal = Goal::parse(arguments.goal.as_deref().unwrap_or_default())?;
    if !matches!(arguments.output.as_deref(), None | Some("name")) {
        return Err(Error::Message("what wait has seen can be shown as name only".into()));
    }
    let deadline = Instant::now() + arguments.timeout;
    let news: Rc<RefCell<Vec<String>>> = Rc::default();
    let groups = groups(&arguments, &goal, &news, session).await?;
    if groups.iter().all(|group| group.objects.borrow().is_empty()) {
        if matches!(goal, Goal::Delete) {
            return Ok(Exit::Success);
        }
        return Err(Error::Message("no objects are there to wait for".into()));
    }
    let client = session.client()?;
    let waiting = async {
        let all = groups.iter().map(|group| group.reach(&goal, &client, arguments.timeout.is_zero()));
        join_all(all).await.into_iter().collect::<Result<Vec<()>, Error>>().map(drop)
    };
    let told = Telling { short: arguments.output.is_some(), goal: &goal, news: &news };
    let what = format!("waiting for {goal}");
    let ended = attended(waiting, &told, &what, deadline, arguments.timeout, session).await?;
    if ended && !groups.iter().any(Group::open) {
        return Ok(Exit::Success);
    }
    for group in &groups {
        for ((_, name), object) in group.objects.borrow().iter().filter(|(_, object)| !object.done) {
            let text = group.lament(name, object, &goal, arguments.timeout);
            session.note(&text);
        }
    }
    Ok(Exit::Failure)
}

/// How what comes true is told.
struct Telling<'a> {
    short: bool,
    goal: &'a Goal,
    news: &'a Rc<RefCell<Vec<String>>>,
}

impl Telling<'_> {
    fn tell(&self, session: &mut Session) -> Result<(), Error> {
        for name in self.news.borrow_mut().drain(..) {
            match self.short {
                true => session.say(&name)?,
                false => session.say(&format!("{name} {}", self.goal.met()))?,
            }
        }
        session.flush()
    }
}

/// Drives the wait until its end or the deadline, and tells what comes true when it does.
async fn attended(
    waiting: impl Future<Output = Result<(), Error>>,
    told: &Telling<'_>,
    what: &str,
    deadline: Instant,
    timeout: Duration,
    session: &mut Session,
) -> Result<bool, Error> {
    let mut waiting = std::pin::pin!(waiting);
    loop {
        let news = std::future::poll_fn(|context| {
            let result = waiting.as_mut().poll(context).map(Some);
            if result.is_pending() && !told.news.borrow().is_empty() {
                return std::task::Poll::Ready(None);
            }
            result
        });
        let step = session.wait_for(what, async {
            if timeout.is_zero() { Ok(news.await) } else { tokio::time::timeout_at(deadline, news).await }
        });
        let step = step.await;
        told.tell(session)?;
        match step {
            Ok(None) => {}
            Ok(Some(result)) => {
                result?;
                return Ok(true);
            }
            Err(_) => return Ok(false),
        }
    }
}

/// What is waited for, by collection.
async fn groups(
    arguments: &Arguments,
    goal: &Goal,
    news: &Rc<RefCell<Vec<String>>>,
    session: &mut Session,
) -> Result<Vec<Group>, Error> {
    let chosen = get::Arguments {
        words: arguments.words.clone(),
        files: arguments.files.clone(),
        filter: arguments.filter.clone(),
        ..get::Arguments::default()
    };
    let selections = get::select(&chosen, session).await?;
    let many = arguments.all || arguments.filter.selects();
    let mut groups: Vec<Group> = Vec::new();
    for Placed { selection, namespace } in selections {
        let resource = selection.resource;
        if selection.names.is_empty() && !many {
            let words = format!("which {}? Name them, choose them with -l, or say --all", resource.plural);
            return Err(Error::Message(words));
        }
        if selection.names.is_empty() && matches!(goal, Goal::Create) {
            return Err(Error::Message("--for=create waits for objects by name".into()));
        }
        let place = if resource.namespaced { namespace.clone() } else { String::new() };
        let mut objects = BTreeMap::new();
        let path = if selection.names.is_empty() {
            let path = arguments.filter.collection(&resource, session)?;
            let items = get::list_all(&path, &arguments.filter.parameters(), 500, &resource, session).await?;
            for item in items {
                let namespace =
                    item.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
                objects.insert((namespace.to_owned(), name_of(&item).to_owned()), Awaited::new(Some(item)));
            }
            path
        } else {
            for name in &selection.names {
                objects.insert((place.clone(), name.clone()), Awaited::new(None));
            }
            resource.collection_path(Some(&namespace))
        };
        if let Some(known) = groups.iter().find(|group| group.path == path) {
            known.objects.borrow_mut().extend(objects);
            continue;
        }
        let objects = RefCell::new(objects);
        let (selector, trouble) = (String::new(), RefCell::default());
        groups.push(Group { resource, path, selector, objects, news: Rc::clone(news), trouble });
    }
    for group in &mut groups {
        // One object is watched alone.
        let objects = group.objects.borrow();
        if let (1, Some((_, name))) = (objects.len(), objects.keys().next()) {
            group.selector = format!("metadata.name={name}");
        }
    }
    Ok(groups)
}

impl Awaited {
    fn new(seen: Option<Value>) -> Self {
        let uid = seen.as_ref().and_then(|o| o.pointer("/metadata/uid")).and_then(Value::as_str);
        Self { uid: uid.unwrap_or_default().to_owned(), seen, done: false, reason: String::new() }
    }
}

impl Group {
    fn open(&self) -> bool {
        self.objects.borrow().values().any(|object| !object.done)
    }

    fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.resource.qualified_singular())
    }

    /// Watches until every object is as asked; with `once`, looks once.
    async fn reach(&self, goal: &Goal, client: &Client, once: bool) -> Result<(), Error> {
        let mut tries = 0;
        while self.open() {
            let result = self.look(goal, client, once).await;
            let lost = result.as_ref().err().filter(|error| error.is_unreachable());
            *self.trouble.borrow_mut() = lost.map(|error| crate::error::chain(error)).unwrap_or_default();
            match result {
                Ok(()) if once => return Ok(()),
                Ok(()) => tries = 0,
                // History does not go back so far: look again.
                Err(error) if error.status().is_some_and(|s| s.code == 410) => {}
                Err(error) if error.is_unreachable() && tries < MOST_TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
            if self.open() {
                tokio::time::sleep(PAUSE * (1 + tries * tries)).await;
            }
        }
        Ok(())
    }

    /// A list, and what follows it until the watch ends.
    async fn look(&self, goal: &Goal, client: &Client, once: bool) -> Result<(), client::Error> {
        let base = Call::get(self.path.as_str()).query(&[("fieldSelector", &self.selector)]);
        let list: Value = client.send(&base).await?.json()?;
        let from = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut present = std::collections::BTreeSet::new();
        for item in items {
            present.insert(key(&item));
            self.see(key(&item), Some(item), goal);
        }
        let absent: Vec<_> =
            self.objects.borrow().keys().filter(|key| !present.contains(key)).cloned().collect();
        for key in absent {
            self.see(key, None, goal);
        }
        if once || !self.open() {
            return Ok(());
        }
        let call =
            base.query(&[("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", from)]);
        let mut lines = client.stream(&call).await?;
        while let Some(event) = lines.next::<Event>().await? {
            match event.kind.as_str() {
                "ERROR" => return Err(ended(event.object)),
                "DELETED" => self.see(key(&event.object), None, goal),
                "ADDED" | "MODIFIED" => self.see(key(&event.object), Some(event.object), goal),
                _ => {}
            }
            if !self.open() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn see(&self, key: (String, String), object: Option<Value>, goal: &Goal) {
        let mut objects = self.objects.borrow_mut();
        let Some(awaited) = objects.get_mut(&key).filter(|awaited| !awaited.done) else { return };
        let uid = object.as_ref().and_then(|o| o.pointer("/metadata/uid")).and_then(Value::as_str);
        let uid = uid.unwrap_or_default().to_owned();
        if awaited.uid.is_empty() {
            awaited.uid.clone_from(&uid);
        }
        let another = !uid.is_empty() && awaited.uid != uid;
        match goal.judge(object.as_ref(), another) {
            Judgement::Met => {
                awaited.done = true;
                self.news.borrow_mut().push(self.shown(&key.1));
            }
            Judgement::NotYet(reason) => awaited.reason = reason,
        }
        if let Some(awaited) = objects.get_mut(&key) {
            awaited.seen = object;
        }
    }

    /// What is told of an object when the time is up.
    fn lament(&self, name: &str, object: &Awaited, goal: &Goal, timeout: Duration) -> String {
        let after = if timeout.is_zero() {
            "is not met".to_owned()
        } else {
            format!("was not met within {}", seconds(timeout))
        };
        let mut text = format!("error: {}: {goal} {after}", self.shown(name));
        let trouble = self.trouble.borrow();
        match (object.reason.as_str(), trouble.as_str()) {
            ("", "") => text.push_str("\n  state: it was not looked at yet"),
            ("", trouble) => text.push_str(&format!("\n  state: unknown: {trouble}")),
            (reason, "") => text.push_str(&format!("\n  state: {reason}")),
            (reason, trouble) => {
                text.push_str(&format!("\n  state, when last seen: {reason}\n  since then: {trouble}"))
            }
        }
        let said =
            |line: &String| matches!(goal, Goal::Condition { kind, .. } if line.starts_with(kind.as_str()));
        let lines = object.seen.as_ref().map(waits::reasons).unwrap_or_default();
        for line in lines.iter().filter(|line| !said(line)) {
            text.push_str(&format!("\n  waits for {line}"));
        }
        text
    }
}

fn key(object: &Value) -> (String, String) {
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    (namespace.to_owned(), name_of(object).to_owned())
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 { format!("{} s", duration.as_secs()) } else { format!("{duration:?}") }
}
