//! An API server of a few kinds in memory, which fails when it is told to.
//!
//! Enough of the real one for a client to notice no difference where it matters here: revisions, conflicts, streaming
//! lists, watches. It keeps what was written, so that a test can say how often.

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::client::Body;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    revision: u64,
    watchers: Vec<(String, mpsc::UnboundedSender<Bytes>)>,
    writes: Vec<String>,
    faults: VecDeque<Fault>,
}

struct Fault {
    method: Method,
    part: String,
    code: u16,
}

/// The server. Cloning shares.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// A client of it.
    pub fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { fake.answer(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// A client that can be cut off, and what cuts it off.
    pub fn fragile_client(&self) -> (kube::Client, Arc<Mutex<bool>>) {
        let (fake, cut) = (self.clone(), Arc::new(Mutex::new(false)));
        let is_cut = Arc::clone(&cut);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fake, is_cut) = (fake.clone(), Arc::clone(&is_cut));
            async move {
                if *is_cut.lock().unwrap() {
                    // A network that swallows everything: no answer, no refusal.
                    return std::future::pending().await;
                }
                fake.answer(request).await
            }
        });
        (kube::Client::new(service, "default"), cut)
    }

    /// The next request of this method whose path contains `part` is refused with `code`.
    pub fn refuse(&self, method: Method, part: &str, code: u16) {
        self.0.lock().unwrap().faults.push_back(Fault { method, part: part.to_owned(), code });
    }

    /// Stores an object as somebody else.
    pub fn put(&self, path: &str, object: Value) {
        let mut state = self.0.lock().unwrap();
        state.store(path, object);
    }

    /// Deletes an object as somebody else.
    pub fn remove(&self, path: &str) {
        self.0.lock().unwrap().delete(path);
    }

    /// An object.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// All objects whose path contains `part`.
    pub fn list(&self, part: &str) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        state
            .objects
            .iter()
            .filter(|(path, _)| path.contains(part))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// What clients have written: method and path.
    pub fn writes(&self) -> Vec<String> {
        self.0.lock().unwrap().writes.clone()
    }

    async fn answer(&self, request: Request<Body>) -> Result<Reply, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let mut state = self.0.lock().unwrap();
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
        let struck = |fault: &Fault| fault.method == parts.method && path.contains(&fault.part);
        if let Some(at) = state.faults.iter().position(struck) {
            let code = state.faults.remove(at).map_or(500, |fault| fault.code);
            return Ok(refusal(code, "as the test asked"));
        }
        Ok(match parts.method {
            Method::GET if query.contains("watch=true") => state.watch(&path, &query),
            Method::GET => state.read(&path, &query),
            method => state.write(&method, &path, &body),
        })
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.revision += 1;
        let old = self.objects.get(path).cloned();
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let namespace =
            path.split_once("/namespaces/").and_then(|(_, rest)| rest.split_once('/')).map(|(n, _)| n);
        let meta = object.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
        let meta = meta.as_object_mut().unwrap();
        meta.insert("name".into(), name.into());
        if let Some(namespace) = namespace {
            meta.insert("namespace".into(), namespace.into());
        }
        meta.insert("resourceVersion".into(), self.revision.to_string().into());
        let uid = old
            .as_ref()
            .map_or_else(|| json!(format!("uid-{}", self.revision)), |old| old["metadata"]["uid"].clone());
        meta.insert("uid".into(), uid);
        meta.entry("creationTimestamp").or_insert_with(|| "2026-01-01T00:00:00Z".into());
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        self.objects.insert(path.to_owned(), object.clone());
        self.tell(kind, path, &object);
        object
    }

    fn delete(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.remove(path)?;
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.tell("DELETED", path, &object);
        Some(object)
    }

    fn tell(&mut self, kind: &str, path: &str, object: &Value) {
        let frame = frame(kind, object);
        self.watchers.retain(|(wanted, sender)| !matches(wanted, path) || sender.send(frame.clone()).is_ok());
    }

    fn watch(&mut self, path: &str, query: &str) -> Reply {
        // Collection, and the one name that a field selector asks for.
        let name = query.split("fieldSelector=").nth(1).and_then(|rest| rest.split('&').next());
        let name = name.map(|selector| selector.replace("%3D", "=").replace("metadata.name=", ""));
        let wanted = format!("{path}|{}", name.unwrap_or_default());
        let (sender, receiver) = mpsc::unbounded_channel();
        if query.contains("sendInitialEvents=true") {
            for (at, object) in &self.objects {
                if matches(&wanted, at) {
                    let _ = sender.send(frame("ADDED", object));
                }
            }
            let mark = json!({"kind": "Any", "apiVersion": "v1", "metadata": {
                "resourceVersion": self.revision.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }});
            let _ = sender.send(frame("BOOKMARK", &mark));
        }
        self.watchers.push((wanted, sender));
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(http_body::Frame::data(bytes)), receiver))
        });
        Response::new(UnsyncBoxBody::new(StreamBody::new(stream.boxed())))
    }

    fn read(&self, path: &str, query: &str) -> Reply {
        if let Some(object) = self.objects.get(path) {
            return reply(200, object);
        }
        let collection = path.rsplit('/').next().is_some_and(|last| last.ends_with('s'));
        if !collection {
            return refusal(404, "not found");
        }
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(at, _)| matches(&format!("{path}|"), at))
            .map(|(_, object)| object)
            .filter(|object| selected(query, object))
            .collect();
        let list = json!({"kind": "List", "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": self.revision.to_string()}});
        reply(200, &list)
    }

    fn write(&mut self, method: &Method, path: &str, body: &Bytes) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let path = match *method {
            Method::POST => format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default()),
            _ => path.strip_suffix("/status").unwrap_or(path).to_owned(),
        };
        let found = self.objects.get(&path).cloned();
        let reply = match (method.as_str(), found) {
            ("POST", Some(_)) => refusal(409, "exists"),
            ("POST", None) => reply(201, &self.store(&path, body)),
            (_, None) => refusal(404, "not found"),
            ("PUT", Some(found)) => {
                let version = &body["metadata"]["resourceVersion"];
                if !version.is_null() && *version != found["metadata"]["resourceVersion"] {
                    refusal(409, "conflict")
                } else {
                    reply(200, &self.store(&path, body))
                }
            }
            ("DELETE", Some(found)) => {
                let finalizers = found.pointer("/metadata/finalizers").and_then(Value::as_array);
                if !is_met(&body["preconditions"], &found) {
                    refusal(409, "conflict")
                } else if finalizers.is_some_and(|finalizers| !finalizers.is_empty()) {
                    let mut found = found;
                    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                    reply(200, &self.store(&path, found))
                } else {
                    reply(200, &self.delete(&path).unwrap_or_default())
                }
            }
            ("PATCH", Some(found)) if !is_met(&body["metadata"], &found) => refusal(409, "conflict"),
            (_, Some(mut found)) => {
                merge(&mut found, &body);
                if let Some(conditions) = body.pointer("/status/conditions") {
                    found["status"]["conditions"] = conditions.clone();
                }
                let gone = found.pointer("/metadata/deletionTimestamp").is_some()
                    && found
                        .pointer("/metadata/finalizers")
                        .and_then(Value::as_array)
                        .is_none_or(Vec::is_empty);
                let stored =
                    if gone { self.delete(&path).unwrap_or_default() } else { self.store(&path, found) };
                reply(200, &stored)
            }
        };
        if reply.status().is_success() {
            self.writes.push(format!("{method} {path}"));
        }
        reply
    }
}

/// Whether an object is the very one, at the very revision, that is asked for.
fn is_met(wanted: &Value, found: &Value) -> bool {
    ["uid", "resourceVersion"].iter().all(|field| {
        wanted.get(field).is_none_or(|wanted| wanted.is_null() || *wanted == found["metadata"][field])
    })
}

/// RFC 7396.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (field, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(field);
        } else {
            merge(&mut into[field], value);
        }
    }
}

/// Whether an object has the one field that a selector asks for.
fn selected(query: &str, object: &Value) -> bool {
    let selector = query.split("fieldSelector=").nth(1).and_then(|rest| rest.split('&').next());
    let selector = selector.map(|selector| selector.replace("%3D", "="));
    selector.as_deref().and_then(|selector| selector.split_once('=')).is_none_or(|(field, value)| {
        object.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str) == Some(value)
    })
}

/// `wanted` is a collection and, behind a bar, a name or nothing.
fn matches(wanted: &str, path: &str) -> bool {
    let (collection, name) = wanted.split_once('|').unwrap_or((wanted, ""));
    let (plural, of_all) =
        (collection.rsplit('/').next().unwrap_or_default(), !collection.contains("/namespaces/"));
    let mut tail = path.rsplit('/');
    let (last, kind) = (tail.next().unwrap_or_default(), tail.next().unwrap_or_default());
    let placed =
        if of_all { kind == plural } else { path.strip_suffix(&format!("/{last}")) == Some(collection) };
    placed && (name.is_empty() || name == last)
}

fn frame(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    text.into()
}

fn reply(code: u16, body: &Value) -> Reply {
    let full = Full::new(Bytes::from(body.to_string()));
    let mut response = Response::new(UnsyncBoxBody::new(full));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn refusal(code: u16, message: &str) -> Reply {
    let reason = match code {
        404 => "NotFound",
        409 if message == "exists" => "AlreadyExists",
        409 => "Conflict",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": message, "metadata": Map::new()});
    reply(code, &status)
}
