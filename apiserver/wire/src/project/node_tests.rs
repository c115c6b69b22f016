//! What our Node is as a Node of `core/v1`, whole, and its words.

use super::super::NODES;
use super::*;

const NOW: i64 = 1_795_252_683 + 300;

fn ours() -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1",
        "kind": "Node",
        "metadata": {
            "name": "node-1", "uid": "5b6b1f4e-93cc-4c9a-8c0b-2a0a9d0a4c11", "resourceVersion": "77",
            "creationTimestamp": "2026-11-21T09:18:03Z", "labels": {"node-role.kubernetes.io/edge": ""},
            "managedFields": [{"manager": "nexus-agent"}],
        },
        "spec": {
            "publicKey": "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "unschedulable": true,
            "taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}],
        },
        "status": {
            "address": "fd00::1", "agentEndpoint": "192.0.2.4:7444",
            "addresses": [{"type": "ExternalIP", "address": "192.0.2.4"}],
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "3900m", "memory": "7Gi", "pods": "110"},
            "conditions": [{
                "type": "Ready", "status": "True", "observedGeneration": 1, "reason": "AgentReady",
                "message": "the agent runs what it should", "lastTransitionTime": "2026-11-21T09:18:09Z",
            }],
            "nodeInfo": {
                "agentVersion": "0.1.0", "architecture": "amd64", "bootID": "b-1", "kernelVersion": "6.1.0",
                "containerRuntimeVersion": "libcontainer://0.7.0", "osImage": "Debian GNU/Linux 12",
            },
        },
    })
}

#[test]
fn our_node_as_a_node_of_core() {
    let shown: Value = serde_json::from_slice(&NODES.project(ours().to_string().as_bytes())).unwrap();
    insta::assert_json_snapshot!("node", shown);
}

#[test]
fn the_row_has_the_words_of_kubectl() {
    let golden = [
        "node-1",
        "Ready,SchedulingDisabled",
        "edge",
        "5m",
        "0.1.0",
        "fd00::1",
        "192.0.2.4",
        "Debian GNU/Linux 12",
        "6.1.0",
        "libcontainer://0.7.0",
    ];
    assert_eq!(row(&node(&ours()), NOW), golden);
    let mut silent = ours();
    silent["status"] = Value::Null;
    silent["spec"] = json!({"unschedulable": false});
    silent["metadata"]["labels"] = json!({});
    let golden =
        ["node-1", "Unknown", "<none>", "5m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"];
    assert_eq!(row(&node(&silent), NOW), golden);
    let mut lost = ours();
    lost["status"]["conditions"][0]["status"] = "Unknown".into();
    assert_eq!(row(&node(&lost), NOW)[1], "NotReady,SchedulingDisabled");
}

#[test]
fn the_schema_explains_what_is_shown() {
    let definitions = hypermesh_schemas::definitions();
    let source = definitions.iter().find(|kind| kind.names.kind == "Node").unwrap();
    let schema = NODES.schema(source);
    let has = |path: &str| schema.pointer(path).is_some();
    assert!(has("/properties/spec/properties/taints/items/properties/effect"));
    assert!(has("/properties/status/properties/nodeInfo/properties/kubeletVersion"));
    assert!(!has("/properties/spec/properties/publicKey"));
}
