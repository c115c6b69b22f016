//! `port-forward` to instances that do not run yet, that have ended, and that go while ports are forwarded.

use super::server::{Scripted, Server};
use super::{Shared, streams};
use http::Method;
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

const INSTANCES: &str = "/apis/hypermesh.online/v1/namespaces/default/instances";
const WORKLOAD: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";

fn instance(name: &str, phase: &str, port: u16) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance",
        "metadata": {"name": name, "namespace": "default", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"workload": "web", "nodeName": "n1", "pod": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": port}]}]}},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": if phase == "Running" { "True" } else { "False" }}]},
    })
}

fn unbound(name: &str) -> Value {
    let mut instance = instance(name, "Pending", 80);
    instance["spec"].as_object_mut().unwrap().remove("nodeName");
    instance["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/2 nodes fit: 1 is cordoned, 1 has too little memory (needs 2Gi, has 1Gi left)"}]);
    instance
}

fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "items": items, "metadata": {"resourceVersion": "7"}})
}

fn at(name: &str) -> String {
    format!("{INSTANCES}/{name}")
}

/// Answers once with this, and then as it did before.
fn once(server: &Server, method: Method, path: &str, code: u16, body: impl ToString) {
    server.script_full(Scripted {
        method,
        path: path.to_owned(),
        code,
        headers: Vec::new(),
        body: body.to_string(),
        times: 1,
    });
}

fn not_found(what: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", "code": 404,
        "message": format!("instances.hypermesh.online {what:?} not found")})
}

#[test]
fn an_instance_without_a_node_is_waited_for_so_long_and_no_longer() {
    let server = Server::start();
    server.put(&at("web-1"), unbound("web-1"));
    let begun = Instant::now();
    let ran = server.run("port-forward web-1 8080 --pod-running-timeout 1s");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_snapshot!(ran.err);
    // Of a workload, likewise.
    server.put(WORKLOAD, json!({"kind": "Workload", "metadata": {"name": "web"}, "spec": {"replicas": 2}}));
    server.script(Method::GET, INSTANCES, 200, list(&[unbound("web-1"), unbound("web-2")]));
    let ran = server.run("port-forward workload/web 8080 --pod-running-timeout 0s");
    assert_snapshot!(ran.err, @"error: none of the 2 instances of workload/web runs; web-1 is Pending and has no node: 0/2 nodes fit: 1 is cordoned, 1 has too little memory (needs 2Gi, has 1Gi left); `nexusctl why workload/web` says more");
}

#[test]
fn what_never_runs_is_told_at_once() {
    let server = Server::start();
    server.put(&at("done"), instance("done", "Succeeded", 80));
    server.put(WORKLOAD, json!({"kind": "Workload", "metadata": {"name": "web"}, "spec": {"replicas": 0}}));
    server.script(Method::GET, INSTANCES, 200, list(&[]));
    let told: Vec<String> = [
        "done 80",
        "nowhere 80",
        "workload/web 80",
        "workload/none 80",
        "secret/x 80",
        "done 99999",
        "done :",
    ]
    .iter()
    .map(|words| server.run(&format!("port-forward {words}")).err)
    .collect();
    assert_snapshot!(told.join(""));
}

/// A `port-forward` that goes on.
struct Going {
    port: u16,
    err: Shared,
    ended: JoinHandle<u8>,
}

impl Going {
    /// Starts it, and waits until it listens.
    fn start(server: &Server, words: &str) -> Self {
        let (out, err) = (Shared::default(), Shared::default());
        let line = format!("nexusctl --server {} port-forward {words}", server.url());
        let handles = (out.clone(), err.clone());
        let ended = std::thread::spawn(move || {
            let arguments = line.split_whitespace().map(Into::into).collect::<Vec<std::ffi::OsString>>();
            nexusctl::run(arguments, Environment::default(), streams(None, handles, ""))
        });
        let begun = Instant::now();
        let port = loop {
            let said = out.text();
            if let Some((_, rest)) = said.split_once("Forwarding from 127.0.0.1:") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
            assert!(
                !ended.is_finished() && begun.elapsed() < Duration::from_secs(60),
                "{said}{}",
                err.text()
            );
            sleep(Duration::from_millis(5));
        };
        Self { port, err, ended }
    }

    /// What is answered to who says this.
    fn ask(&self, words: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(words.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// How it ended, and what it said.
    fn end(self) -> (u8, String) {
        (self.ended.join().unwrap(), self.err.text())
    }
}

fn forwarded(name: &str) -> String {
    format!("{}/portforward", at(name))
}

#[test]
fn a_connection_moves_to_another_instance_of_the_workload_and_its_port_with_it() {
    let server = Server::start();
    let (first, second) = (instance("web-1", "Running", 80), instance("web-2", "Running", 8080));
    let mut leaving = instance("web-0", "Running", 80);
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    // It begins with the one that runs and stays; when that is gone there is another, after a while.
    once(&server, Method::GET, INSTANCES, 200, list(&[leaving, first.clone()]));
    once(&server, Method::GET, INSTANCES, 200, list(&[unbound("web-2")]));
    once(
        &server,
        Method::GET,
        INSTANCES,
        200,
        format!("{}\n", json!({"type": "MODIFIED", "object": second})),
    );
    server.script(Method::GET, INSTANCES, 200, list(std::slice::from_ref(&second)));
    server.script(Method::POST, &forwarded("web-2"), 200, "from the second");
    once(&server, Method::POST, &forwarded("web-1"), 200, "from the first");
    server.script(Method::POST, &forwarded("web-1"), 404, not_found("web-1"));
    let going = Going::start(&server, "workload/web :http");
    assert_eq!(going.ask("hello").unwrap(), "from the first");
    // Nothing of this connection is lost: who asks notices nothing but the time that it takes.
    assert_eq!(going.ask("hello").unwrap(), "from the second");
    assert_eq!(going.ask("again").unwrap(), "from the second");
    assert_snapshot!(going.err.text(), @"
    web-1 is gone
    waiting: none of the 1 instances of workload/web runs; web-2 is Pending and has no node: 0/2 nodes fit: 1 is cordoned, 1 has too little memory (needs 2Gi, has 1Gi left)
    forwarding to web-2 from now on
    ");
    let ports: Vec<String> = server
        .seen()
        .into_iter()
        .filter(|seen| seen.method == Method::POST)
        .map(|seen| format!("{} {}", seen.path.rsplit('/').nth(1).unwrap(), seen.query))
        .collect();
    assert_eq!(ports, ["web-1 port=80", "web-1 port=80", "web-2 port=8080", "web-2 port=8080"]);
}

#[test]
fn an_instance_that_was_named_itself_has_no_other() {
    let server = Server::start();
    once(&server, Method::GET, &at("web-1"), 200, instance("web-1", "Running", 80));
    server.script(Method::GET, &at("web-1"), 404, not_found("web-1"));
    server.script(Method::POST, &forwarded("web-1"), 404, not_found("web-1"));
    let going = Going::start(&server, "web-1 :80");
    // Reset, or closed before it answered: nothing was.
    assert_eq!(going.ask("hello").unwrap_or_default(), "");
    assert_eq!(going.end(), (1, "error: web-1 is gone, and so is what was forwarded\n".to_owned()));
}

#[test]
fn a_refusal_of_an_instance_that_is_there_is_told_and_nothing_moves() {
    let server = Server::start();
    server.put(&at("web-1"), instance("web-1", "Running", 80));
    let refused = |code: u16, message: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "ServiceUnavailable",
            "code": code, "message": message})
    };
    let closed = refused(502, "port 80 of the instance cannot be reached: Connection refused (os error 111)");
    once(&server, Method::POST, &forwarded("web-1"), 502, closed);
    once(&server, Method::POST, &forwarded("web-1"), 503, refused(503, "the node does not answer"));
    once(&server, Method::POST, &forwarded("web-1"), 200, "there");
    let going = Going::start(&server, "web-1 :80");
    assert_eq!(going.ask("one").unwrap_or_default(), "");
    assert_eq!(going.ask("two").unwrap_or_default(), "");
    assert_eq!(going.ask("three").unwrap(), "there");
    assert_snapshot!(going.err.text(), @"
    error: connection refused by port 80 in web-1: nothing listens there
    error: port 80 in web-1: Error from server (ServiceUnavailable): the node does not answer
    ");
}
