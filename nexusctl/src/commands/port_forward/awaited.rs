//! The instance whose ports are forwarded, once it runs. One that does not yet is waited for, for so long, and what it
//! waits for is told; one that has ended will not run again, and is not.

use crate::{
    client::{Call, path_segment},
    commands::why,
    error::Error,
    output::escape_line,
    running::{self, Meant, Place},
    session::Session,
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// When to look again where nothing can be watched.
const AGAIN: Duration = Duration::from_millis(500);

/// What was found of what a word means.
#[derive(Debug, PartialEq)]
enum Found {
    /// It runs.
    Runs(Place),
    /// It does not yet, for this reason.
    Waits(String),
    /// It never will, for this reason.
    Over(String),
}

/// What was found, and how to hear of a change.
struct Look {
    found: Found,
    watch: Call,
}

/// The instance that a word means, or the first that runs of a workload's.
pub async fn running(word: &str, patience: Duration, session: &mut Session) -> Result<Place, Error> {
    let meant = running::meant(word, session).await?;
    let until = Instant::now() + patience;
    let mut told = String::new();
    loop {
        let Look { found, watch } = look(&meant, session).await?;
        let words = match found {
            Found::Runs(place) => return Ok(place),
            Found::Over(words) => return Err(Error::Message(words)),
            Found::Waits(words) => words,
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let (what, waited) = (what(&meant), format!("after {patience:?} (--pod-running-timeout): "));
            let waited = if patience.is_zero() { "" } else { &waited };
            return Err(Error::Message(format!("{waited}{words}; `nexusctl why {what}` says more")));
        }
        if words != told {
            session.note(&format!("waiting: {words}"));
            told = words;
        }
        let heard = changed(&watch, session);
        let _ = tokio::time::timeout(left, heard).await;
    }
}

/// Whether an instance can be forwarded to still; if not, in words what became of it.
pub async fn gone(place: &Place, session: &mut Session) -> Result<Option<String>, Error> {
    let name = escape_line(&place.name);
    match session.send(&Call::get(place.path(""))).await {
        Ok(reply) => {
            let object: Value = reply.json()?;
            let other = uid(&object) != place.object.as_ref().and_then(uid);
            if other {
                return Ok(Some(format!("{name} is gone, and another has its name")));
            }
            Ok(match of_one(&place.clone().with(object)) {
                Found::Runs(_) => None,
                Found::Waits(words) | Found::Over(words) => Some(words),
            })
        }
        Err(error) if error.is_not_found() => Ok(Some(format!("{name} is gone"))),
        Err(error) => Err(error.into()),
    }
}

fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

/// What is said of it on a command line.
fn what(meant: &Meant) -> String {
    match meant {
        Meant::One(place) => format!("instance/{}", escape_line(&place.name)),
        Meant::Of { workload, .. } => format!("workload/{}", escape_line(workload)),
    }
}

async fn look(meant: &Meant, session: &mut Session) -> Result<Look, Error> {
    let version = |object: &Value| {
        object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let watched = |call: Call, from: &str| call.query(&[("watch", "true"), ("resourceVersion", from)]);
    match meant {
        Meant::One(place) => {
            let object: Value = session.send(&Call::get(place.path(""))).await?.json()?;
            let list =
                format!("/apis/hypermesh.online/v1/namespaces/{}/instances", path_segment(&place.namespace));
            let only = Call::get(list).query(&[("fieldSelector", &format!("metadata.name={}", place.name))]);
            let watch = watched(only, &version(&object));
            Ok(Look { found: of_one(&place.clone().with(object)), watch })
        }
        Meant::Of { namespace, workload, path } => {
            let call = running::list_of(namespace, workload);
            let list: Value = session.send(&call).await?.json()?;
            let watch = watched(call, &version(&list));
            let places = running::places(&list, namespace);
            let found = match places.is_empty() {
                false => of_several(workload, &places),
                true => of_none(workload, &session.send(&Call::get(path.as_str())).await?.json()?),
            };
            Ok(Look { found, watch })
        }
    }
}

/// Waits until something happens to what is watched. Who may not watch, or is cut off, looks again a little later.
async fn changed(watch: &Call, session: &mut Session) {
    let Ok(client) = session.client() else { return };
    let heard = async {
        let mut lines = client.stream(watch).await.ok()?;
        lines.next::<Value>().await.ok()?
    };
    if heard.await.is_none() {
        tokio::time::sleep(AGAIN).await;
    }
}

/// `Pending` where nobody has said anything.
fn phase(instance: &Value) -> &str {
    instance.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending")
}

/// What became of one instance. One that is about to go serves to its end.
fn of_one(place: &Place) -> Found {
    let nothing = Value::Null;
    let object = place.object.as_ref().unwrap_or(&nothing);
    let (name, phase) = (escape_line(&place.name), phase(object));
    let why = why::in_short(object).map(|why| format!(": {}", escape_line(&why))).unwrap_or_default();
    match phase {
        "Running" => Found::Runs(place.clone()),
        "Succeeded" | "Failed" => Found::Over(format!("{name} has ended ({phase}){why}")),
        "Pending" if object.pointer("/spec/nodeName").is_none() => {
            Found::Waits(format!("{name} is Pending and has no node{why}"))
        }
        phase => Found::Waits(format!("{name} is {}{why}", escape_line(phase))),
    }
}

/// The first of several that runs and is to go on.
fn of_several(workload: &str, places: &[Place]) -> Found {
    let leaving = |place: &&Place| place.object.as_ref().is_some_and(running::is_leaving);
    let judged: Vec<Found> = places.iter().filter(|place| !leaving(place)).map(of_one).collect();
    let mut waits = Vec::new();
    for found in judged {
        match found {
            Found::Runs(place) => return Found::Runs(place),
            Found::Waits(words) => waits.push(words),
            Found::Over(_) => {}
        }
    }
    let (all, workload) = (places.len(), escape_line(workload));
    let first = waits.first().map(|words| format!("; {words}")).unwrap_or_default();
    Found::Waits(format!("none of the {all} instances of workload/{workload} runs{first}"))
}

/// A workload without instances: it may want none.
fn of_none(workload: &str, object: &Value) -> Found {
    let workload = escape_line(workload);
    if object.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0) {
        return Found::Over(format!(
            "workload/{workload} wants no instances: `nexusctl scale workload/{workload} --replicas=1` has it want one"
        ));
    }
    Found::Waits(format!("workload/{workload} has no instances yet"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(object: Value) -> Place {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        Place { namespace: "default".to_owned(), name, object: Some(object) }
    }

    fn instance(name: &str, phase: &str, node: Option<&str>) -> Value {
        let mut instance =
            json!({"metadata": {"name": name, "uid": name}, "spec": {}, "status": {"phase": phase}});
        if let Some(node) = node {
            instance["spec"]["nodeName"] = node.into();
        }
        instance
    }

    fn words(found: Found) -> String {
        match found {
            Found::Runs(place) => format!("runs: {}", place.name),
            Found::Waits(words) => format!("waits: {words}"),
            Found::Over(words) => format!("over: {words}"),
        }
    }

    #[test]
    fn what_an_instance_that_does_not_run_waits_for() {
        let mut unbound = instance("a", "Pending", None);
        unbound["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes fit: 1 is cordoned"}]);
        let mut pulling = instance("b", "Pending", Some("n"));
        pulling["status"]["containerStatuses"] = json!([{"name": "app", "image": "app:1", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}]);
        let mut going = instance("d", "Running", Some("n"));
        going["metadata"]["deletionTimestamp"] = "now".into();
        let told: Vec<String> = [
            unbound,
            pulling,
            instance("c", "Running", Some("n")),
            going,
            instance("e", "Succeeded", Some("n")),
            instance("f\u{1b}", "Unknown", Some("n")),
            json!({"metadata": {"name": "g"}, "spec": {}}),
        ]
        .into_iter()
        .map(|one| words(of_one(&place(one))))
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn of_a_workload_the_first_that_runs_and_stays() {
        let mut going = instance("a", "Running", Some("n"));
        going["metadata"]["deletionTimestamp"] = "now".into();
        let (waiting, running) = (instance("b", "Pending", None), instance("c", "Running", Some("n")));
        let of =
            |all: &[Value]| words(of_several("web", &all.iter().cloned().map(place).collect::<Vec<_>>()));
        assert_eq!(of(&[going.clone(), waiting.clone(), running]), "runs: c");
        assert_eq!(
            of(&[going.clone(), waiting]),
            "waits: none of the 2 instances of workload/web runs; b is Pending and has no node"
        );
        assert_eq!(of(&[going]), "waits: none of the 1 instances of workload/web runs");
        assert!(
            words(of_none("web", &json!({"spec": {"replicas": 0}})))
                .starts_with("over: workload/web wants no")
        );
        assert!(
            words(of_none("web", &json!({"spec": {"replicas": 1}})))
                .starts_with("waits: workload/web has no")
        );
    }
}
