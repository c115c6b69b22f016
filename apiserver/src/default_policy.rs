//! The default roles and bindings are completed when a server starts, as newer versions need them.
//!
//! What is lacking is decided by `hypermesh_pipeline::genesis::policy`; here it is read, and written by the way of every
//! write. Nothing is ordered where nothing is lacking. Where several replicas start at once, each write names the version
//! that it was made from: one comes first, and the others find nothing left to do.

use crate::own_writes::{self, Author};
use hypermesh_api::Status;
use hypermesh_chain::ObjectKey;
use hypermesh_machine::Replica;
use hypermesh_pipeline::genesis::policy;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a start may wait for it.
const AT_START: Duration = Duration::from_secs(5);
/// When to try again what could not be written.
const AGAIN: Duration = Duration::from_secs(5);
/// How often one object is tried whose stored form changes meanwhile.
const TRIES: usize = 5;

/// Completes the defaults before anybody is answered: controllers and nodes of a newer version begin with the rights that
/// they need. False where that did not come about in time, as with a full disk or without the other replicas; then [`run`]
/// goes on with it.
pub(crate) async fn at_start(replica: &Replica, author: &Author) -> bool {
    matches!(tokio::time::timeout(AT_START, complete(replica, author)).await, Ok(Ok(_)))
}

/// Completes the defaults, and comes back once that is done or the server closes.
pub(crate) async fn run(replica: Arc<Replica>, author: Author, mut closing: watch::Receiver<bool>) {
    // What goes wrong is said once, until it goes right.
    let mut said = false;
    loop {
        match complete(&replica, &author).await {
            Ok(_) => return,
            Err(status) if !std::mem::replace(&mut said, true) => {
                tracing::warn!(why = status.message, "default roles cannot be completed yet");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

/// Writes what the defaults lack; how many were written. An error is one that may go by itself.
pub(crate) async fn complete(replica: &Replica, author: &Author) -> Result<usize, Box<Status>> {
    let mut written = 0;
    for (key, wanted) in policy::defaults() {
        for _ in 0..TRIES {
            match complete_one(replica, author, &key, &wanted).await {
                Ok(true) => {
                    written += 1;
                    tracing::info!(object = key.name(), kind = kind(&wanted), "a default was completed");
                    break;
                }
                Ok(false) => break,
                // Somebody else wrote it meanwhile: it is looked at again.
                Err(status) if status.code == 409 => {}
                Err(status) if status.code >= 500 || status.code == 429 => return Err(status),
                Err(status) => {
                    let (object, kind) = (key.name(), kind(&wanted));
                    tracing::error!(object, kind, why = status.message, "a default cannot be completed");
                    break;
                }
            }
        }
    }
    Ok(written)
}

/// Whether there was something to write.
async fn complete_one(
    replica: &Replica,
    author: &Author,
    key: &ObjectKey,
    wanted: &Value,
) -> Result<bool, Box<Status>> {
    let internal = |error: &dyn std::fmt::Display| Box::new(Status::internal(error));
    let record = replica.reading().get(key).map_err(|error| internal(&error))?;
    let stored: Option<Value> = match &record {
        Some(record) => Some(serde_json::from_slice(&record.body).map_err(|error| internal(&error))?),
        None => None,
    };
    if stored.as_ref().is_some_and(|stored| policy::gives_another_role(stored, wanted)) {
        tracing::warn!(
            binding = key.name(),
            "a default binding gives another role than it should, and is left as it is"
        );
    }
    let Some(new) = policy::completed(stored.as_ref(), wanted) else { return Ok(false) };
    let path = format!("/apis/{}", key.collection().replacen('/', "/v1/", 1));
    match stored {
        Some(_) => {
            let path = format!("{path}/{}", key.name());
            own_writes::replace(replica, author.clone(), &path, &new).await.map(drop)?;
        }
        None => own_writes::create(replica, author.clone(), &path, &new).await.map(drop)?,
    }
    Ok(true)
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Server};
    use serde_json::json;

    const ROLES: &str = "rbac.authorization.k8s.io/clusterroles";
    const BINDINGS: &str = "rbac.authorization.k8s.io/clusterrolebindings";

    fn stored(replica: &Replica, collection: &str, name: &str) -> Option<Value> {
        let key = ObjectKey::new(collection, "", name).unwrap();
        let record = replica.reading().get(&key).unwrap()?;
        Some(serde_json::from_slice(&record.body).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_older_cluster_gets_what_its_defaults_lack_and_nothing_else_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let config = || Config::new(dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
        let server = Server::start(config()).await.unwrap();
        let replica = server.replica();
        assert_eq!(complete(replica, &Author::Operator).await.unwrap(), 0, "a new cluster lacks nothing");
        let before = server.revision();
        let path = |name: &str| format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
        // As an older version would have made them.
        let mut node = stored(replica, ROLES, "system:node").unwrap();
        let own = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]});
        node["rules"] = json!([own]);
        own_writes::replace(replica, Author::Operator, &path("system:node"), &node).await.unwrap();
        let mut monitoring = stored(replica, ROLES, "system:monitoring").unwrap();
        monitoring["rules"] = json!([]);
        monitoring["metadata"]["annotations"] = json!({policy::AUTOUPDATE: "false"});
        let monitoring_path = path("system:monitoring");
        own_writes::replace(replica, Author::Operator, &monitoring_path, &monitoring).await.unwrap();
        let gone = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:node-bootstrapper";
        own_writes::delete(replica, Author::Operator, gone).await.unwrap();
        assert_eq!(stored(replica, BINDINGS, "system:node-bootstrapper"), None);
        assert!(server.revision() > before);
        server.stop().await;

        let server = Server::start(config()).await.unwrap();
        let replica = server.replica();
        // Who starts with it finds it done.
        assert!(stored(replica, BINDINGS, "system:node-bootstrapper").is_some());
        let node = stored(replica, ROLES, "system:node").unwrap();
        let rules = node["rules"].as_array().unwrap();
        assert!(rules.len() > 3 && rules[0] == own, "{rules:?}");
        let monitoring = stored(replica, ROLES, "system:monitoring").unwrap();
        assert_eq!(monitoring["rules"], json!([]), "it is to be left alone");
        assert_eq!(complete(replica, &Author::Operator).await.unwrap(), 0);
        server.stop().await;
        let server = Server::start(config()).await.unwrap();
        let revision = server.revision();
        assert_eq!(complete(server.replica(), &Author::Operator).await.unwrap(), 0);
        assert_eq!(server.revision(), revision, "what lacks nothing is not written");
        server.stop().await;
    }
}
