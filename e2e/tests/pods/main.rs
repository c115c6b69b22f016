//! Pods and Nodes as kubectl sees them, with an agent that speaks the protocol and runs nothing.
//!
//! kubectl is the user's own (`$KUBECTL`, or that of the path). Where there is none, the tests are skipped and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent;
mod direct;
mod looks;
mod streams;
mod writes;

use agent::Agent;
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::kubectl::Ran;
use hypermesh_e2e::skip::skip;
use hypermesh_e2e::{Cluster, Kubectl};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A cluster with a node, its agent, and an instance that runs there; and a kubectl.
pub struct Bench {
    /// kubectl with the administrator's kubeconfig.
    pub kubectl: Kubectl,
    /// The cluster.
    pub cluster: Cluster,
    /// The agent of its node.
    pub agent: Agent,
    /// The uid of the instance `web-1`.
    pub uid: String,
    _folder: TempDir,
}

const NODES: &str = "/apis/hypermesh.online/v1/nodes";
const INSTANCES: &str = "/apis/hypermesh.online/v1/namespaces/default/instances";

impl Bench {
    /// `None` where there is no kubectl, which has then been said.
    pub fn start(test: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let cluster = Cluster::start(Vec::new())?;
        let kubectl = match Kubectl::find(cluster.kubeconfig()?, folder.path()) {
            Ok(kubectl) => kubectl,
            Err(reason) => {
                skip(&format!("pods {test}"), &format!("{reason:#}"));
                return Ok(None);
            }
        };
        let entered = cluster.runtime().enter();
        let agent = Agent::start(&cluster.credentials().authority, 7)?;
        drop(entered);
        let admin = cluster.admin()?;
        let node = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": "node-1"},
            "spec": {"publicKey": agent.key},
        });
        admin.post(NODES, &node)?.expect(201)?;
        let status = json!({"status": {
            "agentEndpoint": agent.address.to_string(),
            "addresses": [{"type": "InternalIP", "address": "192.0.2.4"}],
            "capacity": {"cpu": "4", "memory": "8Gi"}, "allocatable": {"cpu": "4", "memory": "8Gi"},
            "nodeInfo": {
                "agentVersion": "0.1.0", "architecture": "amd64", "bootID": "b", "kernelVersion": "6.1.0",
                "osImage": "Debian GNU/Linux 12", "containerRuntimeVersion": "libcontainer://0.7.0",
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "AgentReady", "message": "it runs what it should",
                "lastTransitionTime": "2026-11-21T09:18:03Z",
            }],
        }});
        admin.merge(&format!("{NODES}/node-1/status"), &status)?.expect(200)?;
        let mut bench = Self { kubectl, cluster, agent, uid: String::new(), _folder: folder };
        bench.uid = bench.instance("web-1", "web")?;
        Ok(Some(bench))
    }

    /// An instance that runs on the node; its uid.
    pub fn instance(&self, name: &str, workload: &str) -> Result<String> {
        self.instance_on(name, workload, "node-1")
    }

    /// An instance that runs on this node; its uid.
    pub fn instance_on(&self, name: &str, workload: &str, node: &str) -> Result<String> {
        let admin = self.cluster.admin()?;
        let owner =
            admin.get(&format!("/apis/hypermesh.online/v1/namespaces/default/workloads/{workload}"))?;
        let owners: Vec<Value> = match owner.json() {
            Ok(owner) if owner["kind"] == "Workload" => vec![json!({
                "apiVersion": "hypermesh.online/v1", "kind": "Workload", "name": workload,
                "uid": owner["metadata"]["uid"], "controller": true,
            })],
            _ => Vec::new(),
        };
        let object = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Instance",
            "metadata": {"name": name, "labels": {"app": workload}, "ownerReferences": owners},
            "spec": {
                "workload": workload, "revision": "r1", "nodeName": node,
                "pod": {"containers": [{"name": "web", "image": "registry.test/web:1"}]},
            },
        });
        let made = admin.post(INSTANCES, &object)?.expect(201)?;
        let status = json!({"status": {
            "phase": "Running", "podIP": "10.1.0.7", "podIPs": ["10.1.0.7"], "startTime": "2026-11-21T09:18:03Z",
            "containerStatuses": [{
                "name": "web", "ready": true, "restartCount": 0, "started": true,
                "state": {"running": {"startedAt": "2026-11-21T09:18:03Z"}},
            }],
        }});
        admin.merge(&format!("{INSTANCES}/{name}/status"), &status)?.expect(200)?;
        Ok(made["metadata"]["uid"].as_str().context("a uid")?.to_owned())
    }

    /// Changes the status of an instance.
    pub fn report(&self, name: &str, status: &Value) -> Result<()> {
        let admin = self.cluster.admin()?;
        admin.merge(&format!("{INSTANCES}/{name}/status"), &json!({"status": status}))?.expect(200)?;
        Ok(())
    }

    /// Runs kubectl with the words of a line, which has to succeed.
    pub fn ok(&self, line: &str) -> Result<Ran> {
        self.run(line)?.ok()
    }

    /// Runs kubectl with the words of a line.
    pub fn run(&self, line: &str) -> Result<Ran> {
        self.kubectl.run(&line.split(' ').collect::<Vec<_>>())
    }
}

/// The words of each line of a table.
pub fn rows(table: &str) -> Vec<Vec<String>> {
    table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Fails unless the second line of a table begins with these words.
pub fn first_row(ran: &Ran, words: &[&str]) -> Result<()> {
    let rows = rows(&ran.out);
    let row = rows.get(1).with_context(|| format!("{} shows no row: {}", ran.line, ran.out))?;
    let begins = row.iter().zip(words).filter(|(found, wanted)| found == wanted).count() == words.len();
    ensure!(begins, "{} shows {row:?}, not {words:?}", ran.line);
    Ok(())
}
