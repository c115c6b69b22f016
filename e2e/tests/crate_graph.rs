//! The crate graph as a snapshot, and the rules of layering it has to keep.
//!
//! Reads cargo's own metadata, so it sees what is built and not what is said. A change of the graph is a decision: it
//! is made by changing [`GRAPH`] in the same commit. The rules below it are not a snapshot, and hold for every graph.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every crate of the workspace and those of its crates it imports, tests aside.
const GRAPH: &str = "
hello:
hypermesh-agent: hypermesh-api hypermesh-chain hypermesh-client hypermesh-image hypermesh-network hypermesh-planner hypermesh-runtime hypermesh-schemas hypermesh-shim hypermesh-stream stoq
hypermesh-api:
hypermesh-apiserver: hypermesh-api hypermesh-bft hypermesh-chain hypermesh-driver hypermesh-machine hypermesh-peers hypermesh-pipeline hypermesh-pki hypermesh-schemas hypermesh-store hypermesh-stream hypermesh-wire stoq
hypermesh-bft: hypermesh-chain
hypermesh-cel:
hypermesh-chain:
hypermesh-client: hypermesh-api hypermesh-chain hypermesh-wire stoq
hypermesh-consensus: hypermesh-chain
hypermesh-controllers: hypermesh-api hypermesh-client hypermesh-pki hypermesh-schemas
hypermesh-driver: hypermesh-bft hypermesh-chain hypermesh-consensus hypermesh-wal
hypermesh-e2e: hypermesh-apiserver hypermesh-controllers hypermesh-runtime hypermesh-schemas
hypermesh-fuzz: hypermesh-api hypermesh-apiserver hypermesh-bft hypermesh-cel hypermesh-chain hypermesh-client hypermesh-merge hypermesh-peers hypermesh-pipeline hypermesh-pki hypermesh-schemas hypermesh-store hypermesh-stream hypermesh-structural hypermesh-wal hypermesh-wire nexusctl
hypermesh-image:
hypermesh-machine: hypermesh-api hypermesh-bft hypermesh-chain hypermesh-consensus hypermesh-driver hypermesh-pipeline hypermesh-schemas hypermesh-store hypermesh-wal
hypermesh-merge: hypermesh-api hypermesh-structural
hypermesh-network: hypermesh-chain
hypermesh-peers: hypermesh-bft hypermesh-chain stoq
hypermesh-pipeline: hypermesh-api hypermesh-chain hypermesh-merge hypermesh-schemas hypermesh-structural
hypermesh-pki: hypermesh-chain
hypermesh-planner: hypermesh-schemas
hypermesh-runtime: hypermesh-image hypermesh-shim
hypermesh-schemas:
hypermesh-shim: hypermesh-image
hypermesh-sim: hypermesh-bft hypermesh-chain hypermesh-wal
hypermesh-store: hypermesh-chain
hypermesh-stream: hypermesh-api hypermesh-chain
hypermesh-structural: hypermesh-api hypermesh-cel
hypermesh-wal:
hypermesh-wire: hypermesh-api hypermesh-schemas
nexusctl: hypermesh-agent hypermesh-api hypermesh-apiserver hypermesh-client hypermesh-controllers hypermesh-image hypermesh-pipeline hypermesh-schemas hypermesh-shim hypermesh-stream hypermesh-structural
operator:
stoq:
";

/// Crates that anyone may take alone: they import none of ours.
const ALONE: [&str; 3] = ["hypermesh-image", "hypermesh-schemas", "stoq"];

/// Crates that compute and do nothing else.
const PURE: [&str; 10] = [
    "hypermesh-api",
    "hypermesh-cel",
    "hypermesh-chain",
    "hypermesh-merge",
    "hypermesh-pipeline",
    "hypermesh-planner",
    "hypermesh-schemas",
    "hypermesh-stream",
    "hypermesh-structural",
    "hypermesh-wire",
];

/// What has no place below a pure crate, however indirectly: runtimes, sockets, files, the kernel, randomness.
const IMPURE: [&str; 16] = [
    "aws-lc-rs",
    "axum",
    "getrandom",
    "hyper",
    "hyper-util",
    "librocksdb-sys",
    "mio",
    "nix",
    "rand",
    "rocksdb",
    "rustls",
    "socket2",
    "tempfile",
    "tokio",
    "tower",
    "tracing-subscriber",
];

/// Who may import a crate, where that is a rule and not a coincidence. Dev-dependencies count here.
const IMPORTERS: [(&str, &[&str]); 8] = [
    // Only the server puts a state machine behind a wire.
    ("hypermesh-machine", &["hypermesh-apiserver", "hypermesh-e2e"]),
    ("hypermesh-store", &["hypermesh-machine", "hypermesh-apiserver", "hypermesh-e2e", "hypermesh-fuzz"]),
    // The seam of replication: the machine implements it, engines drive it, nobody else speaks it.
    (
        "hypermesh-consensus",
        &["hypermesh-driver", "hypermesh-machine", "hypermesh-apiserver", "hypermesh-e2e"],
    ),
    // A process that runs everything holds the server; every other client reaches it through its API.
    ("hypermesh-apiserver", &["nexusctl", "hypermesh-e2e", "hypermesh-fuzz"]),
    ("nexusctl", &["hypermesh-e2e", "hypermesh-fuzz"]),
    ("hypermesh-controllers", &["nexusctl", "hypermesh-e2e"]),
    ("hypermesh-e2e", &[]),
    ("hypermesh-fuzz", &[]),
];

/// Crates with binaries, which wire others together.
const WIRING: [&str; 6] = [
    "hypermesh-agent",
    "hypermesh-apiserver",
    "hypermesh-controllers",
    "hypermesh-e2e",
    "nexusctl",
    "operator",
];

#[test]
fn the_graph_is_the_one_that_was_decided() -> Result<()> {
    let mut graph = String::from("\n");
    for krate in Workspace::read()?.crates.values() {
        let imports: Vec<&str> = krate.ours(false).collect();
        graph += format!("{}: {}", krate.name, imports.join(" ")).trim_end();
        graph.push('\n');
    }
    assert!(graph == GRAPH, "the crate graph changed; if that is meant, GRAPH should be:\n{graph}");
    Ok(())
}

#[test]
fn crates_that_stand_alone_import_none_of_ours() -> Result<()> {
    for krate in Workspace::read()?.crates.values().filter(|krate| ALONE.contains(&krate.name.as_str())) {
        assert_eq!(krate.ours(true).next(), None, "{} imports a crate of ours", krate.name);
    }
    Ok(())
}

#[test]
fn pure_crates_reach_no_io() -> Result<()> {
    let workspace = Workspace::read()?;
    for pure in PURE {
        for impure in IMPURE {
            if let Some(chain) = workspace.chain(pure, impure)? {
                panic!("{pure} is pure, and reaches {impure}: {}", chain.join(" → "));
            }
        }
    }
    Ok(())
}

/// The test above would pass if it saw nothing.
#[test]
fn crates_that_do_io_are_seen_to_do_it() -> Result<()> {
    let workspace = Workspace::read()?;
    assert!(workspace.chain("hypermesh-store", "librocksdb-sys")?.is_some());
    assert!(workspace.chain("hypermesh-apiserver", "mio")?.is_some());
    Ok(())
}

#[test]
fn crates_are_imported_by_whom_they_are_for() -> Result<()> {
    let workspace = Workspace::read()?;
    for (imported, importers) in IMPORTERS {
        for krate in workspace.crates.values().filter(|krate| krate.ours(true).any(|name| name == imported)) {
            assert!(importers.contains(&krate.name.as_str()), "{} imports {imported}", krate.name);
        }
    }
    Ok(())
}

#[test]
fn only_binaries_use_anyhow_and_command_lines() -> Result<()> {
    for krate in Workspace::read()?.crates.values() {
        for dependency in ["anyhow", "clap"] {
            let uses = krate.imports.contains(dependency);
            assert!(!uses || WIRING.contains(&krate.name.as_str()), "{} uses {dependency}", krate.name);
        }
    }
    Ok(())
}

#[test]
fn every_crate_inherits_the_lints_and_every_dependency_its_version() -> Result<()> {
    for krate in Workspace::read()?.crates.values() {
        let manifest = std::fs::read_to_string(&krate.manifest)
            .with_context(|| format!("reading the manifest of {}", krate.name))?;
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", krate.name);
        let version = manifest.lines().find(|line| line.contains("version = \""));
        assert_eq!(version, None, "{}: the workspace table holds versions", krate.name);
    }
    Ok(())
}

/// A crate of the workspace.
struct Crate {
    name: String,
    manifest: String,
    /// Names of all that it imports, tests aside.
    imports: BTreeSet<String>,
    /// Names of what its tests import beside that.
    test_imports: BTreeSet<String>,
    /// Names of the workspace's crates.
    members: BTreeSet<String>,
}

impl Crate {
    /// The workspace's crates it imports.
    fn ours(&self, with_tests: bool) -> impl Iterator<Item = &str> {
        let tests = self.test_imports.iter().filter(move |_| with_tests);
        self.imports.iter().chain(tests).filter(|name| self.members.contains(*name)).map(String::as_str)
    }
}

/// What cargo knows of the workspace on this machine's platform.
struct Workspace {
    crates: BTreeMap<String, Crate>,
    /// Package ids to names.
    names: BTreeMap<String, String>,
    /// Package ids to the ids of what they import, tests aside.
    edges: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    fn read() -> Result<Self> {
        let metadata = metadata()?;
        let (mut names, mut edges, mut crates) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let members: BTreeSet<&str> =
            list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
        for package in list(&metadata["packages"]) {
            names.insert(text(&package["id"])?, text(&package["name"])?);
        }
        let member_names: BTreeSet<String> = names
            .iter()
            .filter(|(id, _)| members.contains(id.as_str()))
            .map(|(_, name)| name.clone())
            .collect();
        for node in list(&metadata["resolve"]["nodes"]) {
            let in_program =
                |dependency: &&Value| list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
            let imports = list(&node["deps"]).filter(in_program).map(|dependency| text(&dependency["pkg"]));
            edges.insert(text(&node["id"])?, imports.collect::<Result<Vec<_>>>()?);
        }
        for package in list(&metadata["packages"]) {
            if !package["id"].as_str().is_some_and(|id| members.contains(id)) {
                continue;
            }
            let of_kind = |tests: bool| -> Result<BTreeSet<String>> {
                list(&package["dependencies"])
                    .filter(|dependency| (dependency["kind"] == "dev") == tests)
                    .map(|dependency| text(&dependency["name"]))
                    .collect()
            };
            let name = text(&package["name"])?;
            let krate = Crate {
                name: name.clone(),
                manifest: text(&package["manifest_path"])?,
                imports: of_kind(false)?,
                test_imports: of_kind(true)?,
                members: member_names.clone(),
            };
            crates.insert(name, krate);
        }
        ensure!(!edges.is_empty(), "cargo metadata resolved nothing");
        Ok(Self { crates, names, edges })
    }

    /// The way from one crate to another, by imports, if there is one.
    fn chain<'a>(&'a self, from: &str, to: &'a str) -> Result<Option<Vec<&'a str>>> {
        let member = |id: &&String| self.names[*id] == from && self.crates.contains_key(from);
        let start = self.names.keys().find(member).with_context(|| format!("{from} is no crate of ours"))?;
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut waiting = vec![start.as_str()];
        while let Some(id) = waiting.pop() {
            if self.names[id] == to {
                let mut chain = vec![to];
                let mut at = id;
                while let Some(before) = came_from.get(at) {
                    at = before;
                    chain.push(&self.names[at]);
                }
                chain.reverse();
                return Ok(Some(chain));
            }
            for next in self.edges.get(id).into_iter().flatten() {
                if next != start && !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, id);
                    waiting.push(next);
                }
            }
        }
        Ok(None)
    }
}

/// `cargo metadata` for this platform: crates of others are not on a machine that has only built.
fn metadata() -> Result<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().context("running rustc")?;
    let version = String::from_utf8(rustc.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", host])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} is no string"))?.to_owned())
}
