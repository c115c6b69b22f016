//! kubectl through the proxy: it shows no certificate and signs nothing, and works as if it did.

use crate::{PATIENCE, Proxy};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::skip::skip;
use hypermesh_e2e::{Cluster, Kubectl};
use std::io::{BufRead as _, BufReader};

const QUICKSTART: &str = include_str!("../../../examples/quickstart/quickstart.yaml");

/// What kubectl has: the proxy's address and nothing else.
fn kubeconfig(place: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: p\nclusters:\n- {{name: p, cluster: {{server: 'http://{place}'}}}}\n\
         contexts:\n- {{name: p, context: {{cluster: p}}}}\n"
    )
}

#[test]
fn works_through_it() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let folder = tempfile::tempdir()?;
    let proxy = Proxy::start(&cluster, &["--address", "127.0.0.1:0"])?;
    let config = folder.path().join("config");
    std::fs::write(&config, kubeconfig(&proxy.place))?;
    let kubectl = match Kubectl::find(&config, folder.path()) {
        Ok(kubectl) => kubectl,
        Err(reason) => {
            skip("proxy kubectl works_through_it", &format!("{reason:#}"));
            return proxy.end();
        }
    };
    let run = |line: &str| kubectl.run(&line.split(' ').collect::<Vec<_>>());
    run("auth whoami")?.ok()?.says("admin")?;
    // Protobuf, which nobody can sign as it was sent.
    run("create namespace team")?.ok()?.says("namespace/team created")?;
    run("create configmap c -n team --from-literal=a=1")?.ok()?;
    run("create secret generic s -n team --from-literal=password=secret")?.ok()?;
    let secret = run("get secret s -n team -o json")?.ok()?.json()?;
    ensure!(secret["data"]["password"] == "c2VjcmV0", "{secret}");
    let feed = |line: &str, text: &str| kubectl.feed(&line.split(' ').collect::<Vec<_>>(), text);
    feed("apply --server-side -f -", QUICKSTART)?.ok()?.says("serverside-applied")?;
    feed("apply --server-side -f -", QUICKSTART)?.ok()?;
    // The manager is kubectl, as if it had spoken to the server itself.
    let map = run("get configmap c -n team -o json --show-managed-fields")?.ok()?.json()?;
    let manager = &map["metadata"]["managedFields"][0]["manager"];
    ensure!(manager.as_str().is_some_and(|m| m.starts_with("kubectl")), "{map}");
    run("label configmap c -n team x=y")?.ok()?;
    run("patch configmap c -n team --type merge -p {\"data\":{\"a\":\"2\"}}")?.ok()?;
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndato: {}\n";
    feed("apply --server-side -f -", unknown)?.fails(1)?.says("dato")?;
    run("get configmap nothing -n team")?.fails(1)?.says("NotFound")?;
    watched(&kubectl)?;
    run("delete namespace team")?.ok()?;
    proxy.end()
}

/// `get -w` shows what comes while it comes.
fn watched(kubectl: &Kubectl) -> Result<()> {
    let mut watch = kubectl.command(&["get", "configmaps", "-n", "team", "-w", "-o", "name"]).spawn()?;
    let lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    let seen = |name: &str| -> Result<()> {
        let wanted = format!("configmap/{name}");
        while told.recv_timeout(PATIENCE).with_context(|| format!("{wanted} was not seen"))? != wanted {}
        Ok(())
    };
    let outcome = seen("c").and_then(|()| {
        kubectl.run(&["create", "configmap", "late", "-n", "team"])?.ok()?;
        seen("late")
    });
    watch.kill()?;
    watch.wait()?;
    outcome
}
