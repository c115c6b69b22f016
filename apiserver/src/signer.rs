//! The signer of certificates: what was approved gets its certificate.
//!
//! It stands beside the state machine and not in it: it holds the key of the client authority, reads
//! CertificateSigningRequests as they are committed, and writes what it made by the way of every write, for a user whose
//! rights are those of a default role. What it does not sign it says so of, once, by the condition Failed. A node's key is
//! registered before its certificate is given out, so that whoever has the certificate is known.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/certificates/signer`.

use crate::own_writes::{self, Author};
use crate::server::unix_now;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hypermesh_api::Status;
use hypermesh_chain::{Change, KeyRange, ObjectKey, PublicKey, Revision, Timestamp};
use hypermesh_machine::Replica;
use hypermesh_pipeline::{StateReader as _, clock};
use hypermesh_pki::request::CertificateRequest;
use hypermesh_pki::signer::{self, Refusal, Signer};
use hypermesh_pki::{NODES, Pki, node_user};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where the requests are stored.
const REQUESTS: &str = "certificates.k8s.io/certificatesigningrequests";
/// Where they are served.
const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// Events that are looked at at a time.
const PAGE: usize = 1024;
/// When to try again what could not be written.
const AGAIN: Duration = Duration::from_secs(2);

/// Signs until the server closes.
pub(crate) async fn run(replica: Arc<Replica>, pki: Arc<Mutex<Pki>>, mut closing: watch::Receiver<bool>) {
    let mut news = replica.feed().subscribe();
    let mut cursor = None;
    let mut left = BTreeSet::new();
    // What goes wrong is said once, until it goes right.
    let mut said = BTreeSet::new();
    loop {
        cursor = Some(look(&replica, cursor, &mut left));
        for name in std::mem::take(&mut left) {
            match serve(&replica, &pki, &name).await {
                Ok(()) => drop(said.remove(&name)),
                Err(status) => {
                    if said.insert(name.clone()) {
                        tracing::warn!(request = name, why = status.message, "a certificate request waits");
                    }
                    left.insert(name);
                }
            }
        }
        let again = async {
            if left.is_empty() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(AGAIN).await;
        };
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = again => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

/// Adds the names of requests that were written after `cursor` (of all, where there is none, or it is too old), and says
/// how far that goes.
fn look(replica: &Replica, cursor: Option<Revision>, names: &mut BTreeSet<String>) -> Revision {
    if let Some(mut cursor) = cursor {
        let mut events = Vec::new();
        while let Ok(next) = replica.feed().after(cursor, PAGE, &mut events) {
            let full = events.len() == PAGE;
            for event in events.drain(..).filter(|event| event.key.collection() == REQUESTS) {
                if !matches!(event.change, Change::Deleted(_)) {
                    names.insert(event.key.name().to_owned());
                }
            }
            cursor = next;
            if !full {
                return cursor;
            }
        }
    }
    let reading = replica.reading();
    let range = KeyRange { collection: REQUESTS.to_owned(), namespace: None };
    let mut after: Option<ObjectKey> = None;
    loop {
        match reading.state().scan(&range, after.as_ref(), PAGE) {
            Ok(page) => {
                names.extend(page.iter().map(|(key, _)| key.name().to_owned()));
                match page.into_iter().last() {
                    Some((key, _)) => after = Some(key),
                    None => return reading.revision,
                }
            }
            Err(error) => {
                tracing::error!(%error, "certificate requests cannot be read");
                return reading.revision;
            }
        }
    }
}

/// Signs a request, or says why not; nothing is done about one that is not approved, or done.
async fn serve(replica: &Arc<Replica>, pki: &Arc<Mutex<Pki>>, name: &str) -> Result<(), Box<Status>> {
    let Some(key) = ObjectKey::new(REQUESTS, "", name) else { return Ok(()) };
    let record = replica.reading().get(&key).map_err(|error| Box::new(Status::internal(error)))?;
    let Some(record) = record.filter(|record| !record.facts.deleting) else { return Ok(()) };
    let object: Value = serde_json::from_slice(&record.body).map_err(|e| Box::new(Status::internal(e)))?;
    let Some(signer) = waits_for(&object) else { return Ok(()) };
    let made = match certificate(replica, pki, &object, signer).await? {
        Ok(pem) => {
            tracing::info!(request = name, signer = signer.name(), "a certificate was signed");
            set(object, |status| {
                status.insert("certificate".into(), STANDARD.encode(pem).into());
            })
        }
        Err(refusal) => {
            tracing::info!(request = name, why = refusal.message, "a certificate was not signed");
            set(object, |status| fail(status, &refusal))
        }
    };
    match own_writes::replace(replica, Author::Signer, &format!("{PATH}/{name}/status"), &made).await {
        Ok(_) => Ok(()),
        // It was changed or deleted meanwhile: what it is now is looked at when that is seen.
        Err(status) if matches!(status.code, 404 | 409) => Ok(()),
        // Neither this server's to decide nor going to change by itself.
        Err(status) if status.code < 500 && status.code != 429 => {
            tracing::error!(request = name, why = status.message, "a certificate could not be given out");
            Ok(())
        }
        Err(status) => Err(status),
    }
}

/// The signer of ours that a request waits for: one that is approved and has come to no end.
fn waits_for(object: &Value) -> Option<Signer> {
    let has = |kind: &str| {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|one| one.get("type").and_then(Value::as_str) == Some(kind))
    };
    let issued =
        object.pointer("/status/certificate").and_then(Value::as_str).is_some_and(|pem| !pem.is_empty());
    if !has("Approved") || has("Denied") || has("Failed") || issued {
        return None;
    }
    Signer::of(object.pointer("/spec/signerName").and_then(Value::as_str)?)
}

/// The certificate, or why there is none. An error is neither: it is tried again.
async fn certificate(
    replica: &Arc<Replica>,
    pki: &Arc<Mutex<Pki>>,
    object: &Value,
    signer: Signer,
) -> Result<Result<String, Refusal>, Box<Status>> {
    let request = match asked(object, signer) {
        Ok(request) => request,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if signer == Signer::Node {
        let (node, key) = match signer::node(&request) {
            Ok(node) => node,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match register(replica, node, PublicKey(key)).await {
            Ok(()) => {}
            Err(status) if matches!(status.code, 403 | 404 | 422) => {
                return Ok(Err(Refusal { reason: "NotRegistered", message: status.message }));
            }
            Err(status) => return Err(status),
        }
    }
    let life = object.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    let pki = Arc::clone(pki);
    // What is signed costs little; what waits for the lock may wait for a disk.
    let signed =
        tokio::task::spawn_blocking(move || pki.lock().sign_client(&request, life, unix_now())).await;
    let pem = signed
        .map_err(|error| Box::new(Status::internal(error)))?
        .map_err(|error| Box::new(Status::internal(error)))?;
    Ok(Ok(pem))
}

/// What a request asks for, if its signer signs that.
fn asked(object: &Value, signer: Signer) -> Result<CertificateRequest, Refusal> {
    let malformed = |message: String| Refusal { reason: "MalformedRequest", message };
    let text = object.pointer("/spec/request").and_then(Value::as_str).unwrap_or_default();
    let pem = STANDARD.decode(text).map_err(|error| malformed(error.to_string()))?;
    let request = CertificateRequest::parse(&pem).map_err(|error| malformed(error.to_string()))?;
    let usages: Vec<String> = object
        .pointer("/spec/usages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    signer.check(&request, &usages)?;
    Ok(request)
}

/// Has the cluster know a node's key.
async fn register(replica: &Replica, node: &str, key: PublicKey) -> Result<(), Box<Status>> {
    if replica.reading().derived.identities.name(&key.0) == Some(node_user(node).as_str()) {
        return Ok(());
    }
    let identity = json!({
        "apiVersion": "hypermesh.online/v1",
        "kind": "Identity",
        "metadata": {"name": key.to_string()},
        "spec": {"user": node_user(node), "groups": [NODES]},
    });
    let path = format!("/apis/hypermesh.online/v1/identities/{key}");
    own_writes::apply(replica, Author::Signer, &path, &identity).await.map(drop)
}

fn set(mut object: Value, change: impl FnOnce(&mut Map<String, Value>)) -> Value {
    if let Some(status) = object
        .as_object_mut()
        .map(|map| map.entry("status").or_insert_with(|| json!({})))
        .and_then(Value::as_object_mut)
    {
        change(status);
    }
    object
}

fn fail(status: &mut Map<String, Value>, refusal: &Refusal) {
    let now = u64::try_from(unix_now()).unwrap_or_default().saturating_mul(1_000_000);
    let now = clock::rfc3339(Timestamp(now));
    let condition = json!({
        "type": "Failed",
        "status": "True",
        "reason": refusal.reason,
        "message": refusal.message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    });
    if let Some(list) = status.entry("conditions").or_insert_with(|| json!([])).as_array_mut() {
        list.push(condition);
    }
}

#[cfg(test)]
mod tests;
