//! A small server of the Kubernetes conventions: objects in memory, revisions, Tables, discovery. It stores what is
//! applied as it is; what it should refuse, a test scripts.

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::sync::broadcast;

/// A scripted code with which the server drops the connection instead of answering.
pub const HANG_UP: u16 = 599;

/// A scripted code with which the server never answers.
pub const STALL: u16 = 598;

type Body = BoxBody<Bytes, Infallible>;

/// A reply that a test has put in place of the server's own.
#[derive(Clone)]
pub struct Scripted {
    pub method: Method,
    pub path: String,
    pub code: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Used so often, then no more.
    pub times: usize,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub content_type: String,
    pub accept: String,
    pub authorization: String,
    pub body: String,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    revision: u64,
    scripted: Vec<Scripted>,
    seen: Vec<Seen>,
    legacy: bool,
}

/// A running server; it ends with the test.
pub struct Server {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Value>,
    address: SocketAddr,
}

fn kinds() -> Value {
    let verbs = json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
    let kind = |plural: &str, singular: &str, kind: &str, short: Value, categories: Value, scope: &str| {
        json!({
            "resource": plural, "singularResource": singular, "scope": scope, "verbs": verbs,
            "responseKind": {"group": "", "version": "", "kind": kind},
            "shortNames": short, "categories": categories,
            "subresources": [
                {"subresource": "status", "verbs": ["get", "patch"]}, {"subresource": "scale", "verbs": ["get", "patch"]}
            ],
        })
    };
    json!([
        {"metadata": {"creationTimestamp": null}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
            kind("configmaps", "configmap", "ConfigMap", json!(["cm"]), json!([]), "Namespaced"),
            kind("events", "event", "Event", json!(["ev"]), json!([]), "Namespaced"),
            kind("namespaces", "namespace", "Namespace", json!(["ns"]), json!([]), "Cluster"),
            kind("secrets", "secret", "Secret", json!([]), json!([]), "Namespaced"),
        ]}]},
        {"metadata": {"name": "hypermesh.online"}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
            kind("assets", "asset", "Asset", json!(["as"]), json!(["hypermesh", "all"]), "Cluster"),
            kind("networks", "network", "Network", json!(["net"]), json!(["hypermesh", "all"]), "Namespaced"),
            kind("workloads", "workload", "Workload", json!(["wl"]), json!(["hypermesh", "all"]), "Namespaced"),
        ]}]},
    ])
}

impl Server {
    /// Starts a server on a free port, over plain HTTP.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a server that speaks TLS.
    pub fn start_with(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let state = Arc::new(Mutex::new(State { revision: 100, ..State::default() }));
        let (events, _) = broadcast::channel(64);
        let (ready, address) = std::sync::mpsc::channel();
        let (for_thread, sender) = (Arc::clone(&state), events.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(connection(stream, tls.clone(), Arc::clone(&for_thread), sender.clone()));
                }
            });
        });
        Self { state, events, address: address.recv().unwrap() }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Runs `nexusctl` against this server.
    pub fn run(&self, words: &str) -> super::Ran {
        self.run_with(words, "")
    }

    /// Runs `nexusctl` against this server with something on standard input.
    pub fn run_with(&self, words: &str, input: &str) -> super::Ran {
        super::run_with(&format!("--server {} {words}", self.url()), input)
    }

    /// Serves only the legacy discovery documents from now on.
    pub fn legacy(&self) {
        self.state.lock().unwrap().legacy = true;
    }

    /// Puts a reply in place of the server's own.
    pub fn script(&self, method: Method, path: &str, code: u16, body: impl ToString) {
        self.script_full(Scripted {
            method,
            path: path.into(),
            code,
            headers: Vec::new(),
            body: body.to_string(),
            times: usize::MAX,
        });
    }

    /// Puts a reply with headers in place, for so many times.
    pub fn script_full(&self, scripted: Scripted) {
        self.state.lock().unwrap().scripted.push(scripted);
    }

    /// Stores an object.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = state.revision.to_string().into();
        object["metadata"]["uid"] = format!("uid-{}", state.revision).into();
        state.objects.insert(path.into(), object);
    }

    /// Takes an object away and tells the watchers.
    pub fn remove(&self, path: &str) {
        let object = self.state.lock().unwrap().objects.remove(path).unwrap();
        let _ = self.events.send(json!({"type": "DELETED", "object": object}));
    }

    /// The object at a path.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The requests that were not reads.
    pub fn writes(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|s| s.method != Method::GET).collect()
    }

    /// Waits until somebody watches.
    pub fn wait_for_watcher(&self) {
        while self.events.receiver_count() == 0 {
            std::thread::yield_now();
        }
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    tls: Option<tokio_rustls::TlsAcceptor>,
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Value>,
) {
    let service = service_fn(move |request| {
        let (state, events) = (Arc::clone(&state), events.clone());
        async move {
            let response = answer(request, &state, &events).await;
            if response.status().as_u16() == STALL {
                std::future::pending::<()>().await;
            }
            if response.status().as_u16() == HANG_UP {
                return Err(std::io::Error::other("the test says so"));
            }
            Ok(response)
        }
    });
    match tls {
        None => {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            if http2 {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service)
                    .await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            }
        }
    }
}

fn reply(code: u16, content_type: &str, body: String) -> Response<Body> {
    let code = StatusCode::from_u16(code).unwrap();
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)).boxed())
        .unwrap()
}

fn json_reply(code: u16, body: &Value) -> Response<Body> {
    reply(code, "application/json", body.to_string())
}

fn not_found(path: &str) -> Response<Body> {
    let mut parts: Vec<&str> = path.rsplitn(3, '/').collect();
    parts.truncate(2);
    let (name, plural) = (parts[0], parts[1]);
    let group = if path.starts_with("/apis/") { ".hypermesh.online" } else { "" };
    json_reply(
        404,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
            "message": format!("{plural}{group} {name:?} not found"), "details": {"name": name, "kind": plural}, "code": 404}),
    )
}

async fn answer(
    request: Request<Incoming>,
    state: &Mutex<State>,
    events: &broadcast::Sender<Value>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // What is carried to a port is answered before it has an end.
    let body = if parts.uri.path().ends_with("/portforward") {
        String::new()
    } else {
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let header = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let accept = header(header::ACCEPT);
    let seen = Seen {
        method: parts.method.clone(),
        path: path.clone(),
        query: query.clone(),
        content_type: header(header::CONTENT_TYPE),
        accept: accept.clone(),
        authorization: header(header::AUTHORIZATION),
        body: body.clone(),
    };
    let seen_type = seen.content_type.clone();
    let mut state = state.lock().unwrap();
    state.seen.push(seen);
    let fits = |s: &Scripted| s.times > 0 && s.method == parts.method && s.path == path;
    if let Some(scripted) = state.scripted.iter_mut().find(|s| fits(s)) {
        scripted.times -= 1;
        let mut response = reply(scripted.code, "application/json", scripted.body.clone());
        for (name, value) in &scripted.headers {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        return response;
    }
    if parts.method == Method::GET && query.contains("watch=true") {
        return watch(events.subscribe());
    }
    let dry = query.contains("dryRun=All");
    match parts.method {
        Method::GET if query.contains("includeObject=Object") => {
            read(&state, &path, &format!("{accept};include=Object"))
        }
        Method::GET => read(&state, &path, &accept),
        Method::PATCH if seen_type.starts_with("application/merge-patch") => {
            merge(&mut state, &path, &body, dry)
        }
        Method::PATCH => apply(&mut state, &path, &body, dry),
        Method::DELETE => delete(&mut state, &path),
        Method::POST if path.ends_with("/transactions") => transaction(&mut state, &body, dry),
        Method::POST => create(&mut state, &path, &body, dry),
        _ => json_reply(405, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": 405})),
    }
}

fn watch(receiver: broadcast::Receiver<Value>) -> Response<Body> {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(BodyExt::boxed(events(receiver)))
        .unwrap()
}

/// A body of one line an event.
fn events(
    mut receiver: broadcast::Receiver<Value>,
) -> impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static {
    let (sender, body) = tokio::sync::mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        while let Ok(event) = receiver.recv().await {
            if sender.send(Bytes::from(format!("{event}\n"))).await.is_err() {
                return;
            }
        }
    });
    Receiver(body)
}

struct Receiver(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Receiver {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
    }
}

fn read(state: &State, path: &str, accept: &str) -> Response<Body> {
    match path {
        "/version" => return json_reply(200, &json!({"gitVersion": "v1.36.0+hypermesh", "major": "1"})),
        "/api/v1/namespaces/default" => return json_reply(200, &json!({"metadata": {"name": "default"}})),
        "/readyz" => return reply(200, "text/plain", "ok".into()),
        "/api" | "/apis" => return discovery(state, path, accept),
        _ if legacy_path(path).is_some() => return json_reply(200, &legacy_list(path)),
        _ => {}
    }
    if let Some(object) = state.objects.get(path) {
        return json_reply(
            200,
            &if accept.contains("as=Table") { table(std::slice::from_ref(object)) } else { object.clone() },
        );
    }
    let mut segments = path.rsplit('/');
    let (last, parent) = (segments.next().unwrap(), segments.next().unwrap());
    let is_collection =
        kinds().to_string().contains(&format!("\"resource\":\"{last}\"")) && parent != "namespaces";
    if !is_collection {
        return not_found(path);
    }
    // All namespaces: the collection's path without its namespace.
    let fits = |key: &str| match key.split_once("/namespaces/") {
        Some((root, rest)) if !path.contains("/namespaces/") => {
            rest.split('/').nth(1) == Some(last) && path.starts_with(root)
        }
        _ => key.rsplit_once('/').is_some_and(|(parent, _)| parent == path),
    };
    let items: Vec<Value> = state.objects.iter().filter(|(k, _)| fits(k)).map(|(_, v)| v.clone()).collect();
    if accept.contains("as=Table") {
        let mut table = table(&items);
        if accept.contains("include=Object") {
            for (row, item) in table["rows"].as_array_mut().unwrap().iter_mut().zip(&items) {
                row["object"] = item.clone();
            }
        }
        table["metadata"] = json!({"resourceVersion": state.revision.to_string()});
        return json_reply(200, &table);
    }
    json_reply(
        200,
        &json!({"kind": "List", "apiVersion": "v1", "items": items, "metadata": {"resourceVersion": state.revision.to_string()}}),
    )
}

fn discovery(state: &State, path: &str, accept: &str) -> Response<Body> {
    let all = kinds();
    let (core, groups) = (&all[0], &all[1]);
    if !state.legacy && accept.contains("as=APIGroupDiscoveryList") {
        let items = if path == "/api" { json!([core]) } else { json!([groups]) };
        return json_reply(200, &json!({"kind": "APIGroupDiscoveryList", "items": items}));
    }
    let version = json!({"groupVersion": "hypermesh.online/v1", "version": "v1"});
    json_reply(
        200,
        &match path {
            "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
            _ => json!({"kind": "APIGroupList", "groups": [
                {"name": "hypermesh.online", "versions": [version], "preferredVersion": version}]}),
        },
    )
}

fn legacy_path(path: &str) -> Option<usize> {
    ["/api/v1", "/apis/hypermesh.online/v1"].iter().position(|p| *p == path)
}

fn legacy_list(path: &str) -> Value {
    let group = kinds()[legacy_path(path).unwrap()].clone();
    let resources: Vec<Value> = group["versions"][0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| {
            let namespaced = r["scope"] == "Namespaced";
            let kind = &r["responseKind"]["kind"];
            [
                json!({"name": r["resource"], "singularName": r["singularResource"], "namespaced": namespaced,
                    "kind": kind, "verbs": r["verbs"], "shortNames": r["shortNames"], "categories": r["categories"]}),
                json!({"name": format!("{}/status", r["resource"].as_str().unwrap()), "singularName": "",
                    "namespaced": namespaced, "kind": kind, "verbs": ["get"]}),
            ]
        })
        .collect();
    json!({"kind": "APIResourceList", "groupVersion": "x", "resources": resources})
}

/// A Table of name, replicas and, in wide output, image.
pub fn table(objects: &[Value]) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|o| {
            let image = o.pointer("/spec/image").cloned().unwrap_or(Value::Null);
            let replicas = o.pointer("/spec/replicas").cloned().unwrap_or(Value::Null);
            json!({"cells": [o["metadata"]["name"], replicas, "5m", image],
                "object": {"kind": "PartialObjectMetadata", "metadata": o["metadata"]}})
        })
        .collect();
    let column = |name: &str, priority: i32| json!({"name": name, "type": "string", "priority": priority});
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": [column("Name", 0), column("Replicas", 0), column("Age", 0), column("Image", 1)],
        "rows": rows})
}

fn apply(state: &mut State, path: &str, body: &str, dry: bool) -> Response<Body> {
    let (code, object) = applied(state, path, serde_json::from_str(body).unwrap(), dry);
    json_reply(code, &object)
}

/// Stores an object unless it is the same already.
fn applied(state: &mut State, path: &str, mut object: Value, dry: bool) -> (u16, Value) {
    let before = state.objects.get(path).cloned();
    let code = if before.is_some() { 200 } else { 201 };
    object["metadata"]["managedFields"] = json!([{"manager": "nexusctl"}]);
    if let Some(before) = &before {
        object["metadata"]["uid"] = before["metadata"]["uid"].clone();
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object == *before {
            return (code, object);
        }
    } else {
        object["metadata"]["uid"] = format!("uid-{}", state.revision + 1).into();
    }
    state.revision += 1;
    object["metadata"]["resourceVersion"] = state.revision.to_string().into();
    if !dry {
        state.objects.insert(path.into(), object.clone());
    }
    (code, object)
}

/// A merge patch of an object that is there (RFC 7386).
fn merge(state: &mut State, path: &str, body: &str, dry: bool) -> Response<Body> {
    fn into(target: &mut Value, patch: Value) {
        let Value::Object(patch) = patch else {
            *target = patch;
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (key, value) in patch {
            if value.is_null() {
                target.as_object_mut().unwrap().remove(&key);
            } else {
                into(&mut target[&key], value);
            }
        }
    }
    let Some(mut object) = state.objects.get(path).cloned() else { return not_found(path) };
    let before = object.clone();
    into(&mut object, serde_json::from_str(body).unwrap());
    if object["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
        return json_reply(
            409,
            &json!({"kind": "Status", "reason": "Conflict", "code": 409, "message": "modified"}),
        );
    }
    if object != before {
        state.revision += 1;
        object["metadata"]["resourceVersion"] = state.revision.to_string().into();
        if !dry {
            state.objects.insert(path.into(), object.clone());
        }
    }
    json_reply(200, &object)
}

fn create(state: &mut State, path: &str, body: &str, dry: bool) -> Response<Body> {
    let mut object: Value = serde_json::from_str(body).unwrap();
    if let Some(base) = object["metadata"]["generateName"].as_str() {
        object["metadata"]["name"] = format!("{base}{}", state.revision).into();
    }
    let place = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
    if state.objects.contains_key(&place) {
        let message = format!("{place} already exists");
        return json_reply(
            409,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "AlreadyExists", "code": 409, "message": message}),
        );
    }
    let (_, object) = applied(state, &place, object, dry);
    json_reply(201, &object)
}

fn transaction(state: &mut State, body: &str, dry: bool) -> Response<Body> {
    let list: Value = serde_json::from_str(body).unwrap();
    let results: Vec<Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let plural = format!("{}s", item["kind"].as_str().unwrap().to_lowercase());
            let name = item["metadata"]["name"].as_str().unwrap();
            let path = match item["metadata"]["namespace"].as_str() {
                Some(namespace) => {
                    format!("/apis/hypermesh.online/v1/namespaces/{namespace}/{plural}/{name}")
                }
                None => format!("/apis/hypermesh.online/v1/{plural}/{name}"),
            };
            applied(state, &path, item.clone(), dry).1
        })
        .collect();
    json_reply(200, &json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": results}))
}

fn delete(state: &mut State, path: &str) -> Response<Body> {
    let Some(object) = state.objects.get_mut(path) else { return not_found(path) };
    let finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    if finalizers {
        object["metadata"]["deletionTimestamp"] = "2026-11-21T09:18:09Z".into();
        return json_reply(200, object);
    }
    let uid = object["metadata"]["uid"].clone();
    state.objects.remove(path);
    json_reply(
        200,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"uid": uid}}),
    )
}
