//! `--wait`: until what was applied is as it should be, and what was pruned is gone.
//!
//! One watch a collection, from the revision of a list, so that no change is missed; what ends is taken up again. When
//! the time is up, each object that is not ready says what it waits for.

mod verdict;

use super::prune::Pruned;
use crate::{
    client::{self, Call, Client},
    commands::get::{Event, ended},
    error::Error,
    manifest::Placed,
    session::Session,
};
use futures_util::future::join_all;
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap, time::Duration};
use tokio::time::Instant;
pub(super) use verdict::{Verdict, verdict};

/// Between looks where a watch ends.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is told what is waited for.
const TELL: Duration = Duration::from_secs(10);

/// What an object is waited for to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Ready,
    Gone,
}

/// One object that is waited for.
#[derive(Debug)]
struct Awaited {
    shown: String,
    goal: Goal,
    uid: String,
    /// Why it is not there yet; `None` once it is.
    reason: Option<String>,
    /// It cannot get there any more.
    failed: bool,
}

/// The objects of one collection, by name.
type Awaiting = BTreeMap<String, Awaited>;

impl Awaited {
    fn open(&self) -> bool {
        self.reason.is_some() && !self.failed
    }

    fn see(&mut self, object: Option<&Value>) {
        let uid = object.and_then(|o| o.pointer("/metadata/uid")).and_then(Value::as_str);
        let same = self.uid.is_empty() || uid.is_none_or(|uid| uid == self.uid);
        match (self.goal, object) {
            (Goal::Gone, None) => self.reason = None,
            (Goal::Gone, Some(_)) if !same => self.reason = None,
            (Goal::Gone, Some(object)) => self.reason = Some(verdict::held(object)),
            (Goal::Ready, None) => self.fail("it was deleted"),
            (Goal::Ready, Some(_)) if !same => self.fail("it was deleted, and made anew by somebody else"),
            (Goal::Ready, Some(object)) => match verdict(object) {
                Verdict::Ready => self.reason = None,
                Verdict::Waiting(why) => self.reason = Some(why),
                Verdict::Failed(why) => self.fail(&why),
            },
        }
    }

    fn fail(&mut self, why: &str) {
        self.reason = Some(why.to_owned());
        self.failed = true;
    }
}

/// Waits for everything; false if it did not come to that, which has then been told.
pub(super) async fn run(
    placed: &[Placed],
    applied: &[Value],
    pruned: Vec<Pruned>,
    timeout: Duration,
    session: &mut Session,
) -> Result<bool, Error> {
    let mut collections: BTreeMap<String, Awaiting> = BTreeMap::new();
    for (item, object) in placed.iter().zip(applied) {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut awaited = Awaited { shown: item.name(), goal: Goal::Ready, uid, reason: None, failed: false };
        awaited.see(Some(object));
        let path = item.resource.collection_path(Some(&item.namespace));
        collections.entry(path).or_default().insert(item.document.name.clone(), awaited);
    }
    for Pruned { resource, namespace, name, uid } in pruned {
        let shown = format!("{}/{name}", resource.qualified_singular());
        let reason = Some("it is being deleted".to_owned());
        let awaited = Awaited { shown, goal: Goal::Gone, uid, reason, failed: false };
        collections.entry(resource.collection_path(Some(&namespace))).or_default().insert(name, awaited);
    }
    let collections: Vec<(String, RefCell<Awaiting>)> =
        collections.into_iter().map(|(path, awaiting)| (path, RefCell::new(awaiting))).collect();
    let finished = within(&collections, timeout, session).await?;
    let late = collections.iter().flat_map(|(_, awaiting)| {
        let lines =
            |awaited: &Awaited| awaited.reason.as_ref().map(|why| format!("\n  {}: {why}", awaited.shown));
        awaiting.borrow().values().filter_map(lines).collect::<Vec<_>>()
    });
    let late: Vec<String> = late.collect();
    if late.is_empty() {
        return Ok(true);
    }
    let head = if finished {
        "error: everything is applied, but this cannot become ready:".to_owned()
    } else {
        format!("error: everything is applied, but after {timeout:?} this is still waited for:")
    };
    session.note(&(head + &late.concat()));
    Ok(false)
}

/// Waits until nothing is open any more; false if the time was up first.
async fn within(
    collections: &[(String, RefCell<Awaiting>)],
    timeout: Duration,
    session: &mut Session,
) -> Result<bool, Error> {
    let client = session.client()?;
    let mut all =
        std::pin::pin!(join_all(collections.iter().map(|(path, awaiting)| watch(&client, path, awaiting))));
    let deadline = (!timeout.is_zero()).then(|| Instant::now() + timeout);
    let mut told = Vec::new();
    loop {
        let next = Instant::now() + TELL;
        let until = deadline.map_or(next, |deadline| deadline.min(next));
        if let Ok(results) = tokio::time::timeout_at(until, &mut all).await {
            for result in results {
                result?;
            }
            return Ok(true);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(false);
        }
        let open: Vec<String> =
            collections.iter().flat_map(|(_, awaiting)| waits(&awaiting.borrow())).collect();
        if open != told {
            session.note(&format!("waiting for:{}", open.concat()));
            told = open;
        }
    }
}

fn waits(awaiting: &Awaiting) -> Vec<String> {
    let line = |awaited: &Awaited| {
        format!("\n  {}: {}", awaited.shown, awaited.reason.as_deref().unwrap_or_default())
    };
    awaiting.values().filter(|awaited| awaited.open()).map(line).collect()
}

/// Follows a collection until nothing of it is open.
async fn watch(client: &Client, path: &str, awaiting: &RefCell<Awaiting>) -> Result<(), client::Error> {
    let open = || awaiting.borrow().values().any(Awaited::open);
    let names: Vec<String> = awaiting.borrow().keys().cloned().collect();
    let only = match names.as_slice() {
        [name] => format!("metadata.name={name}"),
        _ => String::new(),
    };
    while open() {
        let list = Call::get(path).query(&[("fieldSelector", &only)]);
        let list: Value = client.send(&list).await?.json()?;
        let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (name, awaited) in awaiting.borrow_mut().iter_mut().filter(|(_, awaited)| awaited.open()) {
            awaited.see(items.iter().find(|item| crate::commands::get::name_of(item) == name));
        }
        if !open() {
            break;
        }
        let from = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let watch =
            Call::get(path).query(&[("watch", "true"), ("fieldSelector", &only), ("resourceVersion", from)]);
        match follow(client, &watch, awaiting).await {
            Err(error) if error.status().is_none_or(|status| status.code != 410) => return Err(error),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    Ok(())
}

/// Takes events until nothing is open or the server ends the watch.
async fn follow(client: &Client, call: &Call, awaiting: &RefCell<Awaiting>) -> Result<(), client::Error> {
    let mut lines = client.stream(call).await?;
    while let Some(event) = lines.next::<Event>().await? {
        if event.kind == "ERROR" {
            return Err(ended(event.object));
        }
        let mut awaiting = awaiting.borrow_mut();
        if let Some(awaited) = awaiting.get_mut(crate::commands::get::name_of(&event.object))
            && awaited.open()
        {
            awaited.see((event.kind != "DELETED").then_some(&event.object));
        }
        if !awaiting.values().any(Awaited::open) {
            break;
        }
    }
    Ok(())
}
