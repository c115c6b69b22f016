//! An operator of kube-rs that runs inside of what it operates: `examples/operator`, with its own manifest.

use crate::rig::{IMAGE, Rig, condition, free_port, name, ready};
use crate::web::ask;
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::load::binary;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const OPERATOR: &str = "test.local/site-operator:1";
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/operator/operator.yaml");

/// The libraries that a program is linked to, with the loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8(output.stdout)?;
    let place = |line: &str| {
        let place = line.split_once("=> ").map_or(line, |(_, place)| place).trim().to_owned();
        place.split(' ').next().filter(|path| path.starts_with('/')).map(PathBuf::from)
    };
    Ok(text.lines().filter_map(place).collect())
}

fn pack(rig: &Rig) -> Result<()> {
    let operator = binary()?.with_file_name("operator");
    ensure!(operator.exists(), "{} is not there: cargo build -p operator", operator.display());
    let archive = rig.folder().join("operator.tar").display().to_string();
    let mut arguments: Vec<String> =
        ["image", "pack", "-t", OPERATOR, "-o", &archive].map(str::to_owned).to_vec();
    arguments.push(format!("{}=/operator", operator.display()));
    for library in libraries(&operator)? {
        // What is a link here is a file there.
        let file = std::fs::canonicalize(&library)?;
        arguments.push(format!("{}={}", file.display(), library.display()));
    }
    arguments.extend(["--entrypoint", "/operator"].map(str::to_owned));
    rig.nexusctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    rig.nexusctl(&["image", "import", &archive])?;
    Ok(())
}

fn site(page: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "home", "namespace": "default",
            "labels": {"sites.example/site": "yes"}, "annotations": {"sites.example/port": port.to_string()},
        },
        "data": {"index.html": page},
    })
}

fn state(map: &Value) -> &str {
    map.pointer("/metadata/annotations/sites.example~1state").and_then(Value::as_str).unwrap_or_default()
}

fn restarts(instance: &Value) -> Option<u64> {
    instance.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64)
}

#[test]
fn an_operator_of_kube_rs_reconciles_from_inside() -> Result<()> {
    let Some(mut rig) = Rig::start("an_operator_of_kube_rs_reconciles_from_inside")? else { return Ok(()) };
    pack(&rig)?;
    let manifest = std::fs::read_to_string(MANIFEST)?;
    let manifest =
        manifest.replace("localhost/site-operator:1", OPERATOR).replace("localhost/busybox:1", IMAGE);
    rig.run(&binary()?, &["apply", "-f", "-"], &manifest)?.ok()?;
    rig.until_instance("site-operator", ready)?;
    let port = free_port()?;
    rig.apply(&site("first", port))?;
    rig.until("configmap/home", |map| state(map) == "Serving")?;
    let answers = |rig: &Rig, page: &str| {
        rig.wait(&format!("the page {page:?}"), || Ok((ask(port)? == page).then_some(())))
    };
    answers(&rig, "first")?;
    // A child that is taken away comes back; a page that changes is no new child.
    rig.nexusctl(&["delete", "workload", "home"])?;
    rig.until("workload/home", ready)?;
    rig.apply(&site("second", port))?;
    answers(&rig, "second")?;
    let mut empty = site("", port);
    empty["data"] = json!({"other.html": "?"});
    rig.apply(&empty)?;
    rig.until("configmap/home", |map| state(map) == "Invalid: data has no index.html")?;
    follows_its_token(&mut rig, port)?;
    // What it may not, it is not let do: its role is of this namespace, and has no Secrets.
    let who = "--as=system:serviceaccount:default:site-operator";
    let said = rig.run(Path::new("kubectl"), &["auth", "can-i", "get", "secrets", who], "")?;
    ensure!(said.out.trim() == "no", "{said:?}");
    // With the ConfigMap its child goes.
    rig.nexusctl(&["delete", "configmap", "home"])?;
    rig.wait("the child to go", || {
        let said = rig.run(&binary()?, &["get", "workload", "home"], "")?;
        Ok((said.code != 0).then_some(()))
    })?;
    rig.ends_clean(&["site-operator"])
}

/// The token that the operator began with is refused from one moment on; the one that it is given instead is taken up by
/// kube-rs, which reads the file once a minute, and no container is started again for it.
fn follows_its_token(rig: &mut Rig, port: u16) -> Result<()> {
    let before = rig.instances("site-operator")?;
    let before = before.first().context("there is no operator")?;
    let (one, restarted) = (name(before)?.to_owned(), restarts(before));
    let account = rig.get("serviceaccount/site-operator")?;
    rig.nexusctl(&["delete", "serviceaccount", "site-operator"])?;
    let again = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "site-operator", "namespace": "default"},
    });
    rig.apply(&again)?;
    let other = rig.get("serviceaccount/site-operator")?;
    ensure!(account["metadata"]["uid"] != other["metadata"]["uid"], "it is the same account");
    // An agent that begins asks for tokens anew.
    rig.kill();
    rig.up()?;
    rig.apply(&site("third", port))?;
    let serving = || rig.until("configmap/home", |map| state(map) == "Serving");
    // Up to a minute until the file is read again, and as long until the next try.
    let told = serving().or_else(|_| serving());
    let log = rig.nexusctl(&["logs", &one])?;
    told.with_context(|| format!("the operator's log:\n{log}"))?;
    ensure!(
        log.contains("401") || log.contains("Unauthorized"),
        "nobody refused the token of before:\n{log}"
    );
    let after = rig.instances("site-operator")?;
    let after = after.first().context("there is no operator")?;
    ensure!(name(after)? == one && restarts(after) == restarted, "it was started again: {after:#}");
    ensure!(condition(after, "Ready").is_some_and(|ready| ready["status"] == "True"), "{after:#}");
    Ok(())
}
