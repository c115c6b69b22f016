//! Waiting until an object is gone, by watching it, and saying what it waits for.

use super::Going;
use crate::{
    client::{self, Call},
    commands::get::{Event, ended},
    error::Error,
    session::Session,
};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// After so long it is said what an object waits for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between looks where a watch ends without a word.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits; false if the time was up first.
pub(super) async fn gone(object: &Going, timeout: Duration, session: &mut Session) -> Result<bool, Error> {
    let deadline = (!timeout.is_zero()).then(|| Instant::now() + timeout);
    let mut told = false;
    loop {
        let now: Value = match session.send(&Call::get(object.doomed.path())).await {
            Ok(reply) => reply.json()?,
            Err(error) if error.is_not_found() => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let metadata = |key: &str| {
            now.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
        };
        // Another object of that name: ours is gone.
        if !object.uid.is_empty() && metadata("uid") != object.uid {
            return Ok(true);
        }
        let next = Instant::now() + PATIENCE;
        let until = match deadline {
            Some(deadline) if told => deadline,
            Some(deadline) => deadline.min(next),
            None if told => Instant::now() + Duration::from_secs(3600),
            None => next,
        };
        match tokio::time::timeout_at(until, watch(object, metadata("resourceVersion"), session)).await {
            Ok(Ok(true)) => return Ok(true),
            Ok(Ok(false)) => tokio::time::sleep(PAUSE).await,
            Ok(Err(error)) if error.status().is_some_and(|s| s.code == 410) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(_) if deadline.is_some_and(|d| Instant::now() >= d) => {
                let text = format!("error: {} is still there: {}", name(object), reasons(&now));
                session.note(&text);
                return Ok(false);
            }
            Err(_) => {
                told = true;
                let text = format!("{} waits: {}", name(object), reasons(&now));
                session.note(&text);
            }
        }
    }
}

fn name(object: &Going) -> String {
    format!("{}/{}", object.doomed.resource.qualified_singular(), object.doomed.name)
}

/// Whether the object's deletion was seen before the watch ended.
async fn watch(object: &Going, from: &str, session: &mut Session) -> Result<bool, client::Error> {
    let doomed = &object.doomed;
    let call = Call::get(doomed.resource.collection_path(Some(&doomed.namespace))).query(&[
        ("watch", "true"),
        ("fieldSelector", &format!("metadata.name={}", doomed.name)),
        ("resourceVersion", from),
    ]);
    let client = session.client().map_err(|e| match e {
        Error::Client(error) => error,
        other => client::Error::Setup { origin: "nexusctl".into(), message: other.to_string() },
    })?;
    let mut lines = client.stream(&call).await?;
    while let Some(event) = lines.next::<Event>().await? {
        match event.kind.as_str() {
            "DELETED" => return Ok(true),
            "ERROR" => return Err(ended(event.object)),
            _ => {}
        }
    }
    Ok(false)
}

/// What keeps an object: its finalizers, and what its conditions say.
fn reasons(object: &Value) -> String {
    let mut reasons = Vec::new();
    let list = |path: &str| object.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let finalizers: Vec<String> = ["/metadata/finalizers", "/spec/finalizers"]
        .iter()
        .flat_map(|path| list(path))
        .filter_map(|f| f.as_str().map(str::to_owned))
        .collect();
    if !finalizers.is_empty() {
        reasons.push(format!("finalizers {}", finalizers.join(", ")));
    }
    for condition in list("/status/conditions") {
        let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
        let about_deletion =
            ["Deletion", "Remaining", "Terminating"].iter().any(|w| text("type").contains(w));
        if about_deletion && text("status") == "True" {
            reasons.push(format!("{}: {}", text("type"), text("message")));
        }
    }
    if reasons.is_empty() { "the server does not say what for".to_owned() } else { reasons.join("; ") }
}
