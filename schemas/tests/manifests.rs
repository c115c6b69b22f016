//! What people write is taken, means what the types say, and comes back as it was written.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod checker;

use checker::{default, kind, problems};
use hypermesh_schemas::asset::{AssetSpec, AssetStatus};
use hypermesh_schemas::certificate::{CertificateSpec, CertificateStatus};
use hypermesh_schemas::definitions;
use hypermesh_schemas::domain::{DomainSpec, DomainStatus};
use hypermesh_schemas::identity::IdentitySpec;
use hypermesh_schemas::instance::{InstanceSpec, InstanceStatus};
use hypermesh_schemas::issuer::{IssuerSpec, IssuerStatus};
use hypermesh_schemas::network::{NetworkSpec, NetworkStatus};
use hypermesh_schemas::node::{NodeSpec, NodeStatus};
use hypermesh_schemas::workload::{WorkloadSpec, WorkloadStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const QUICKSTART: &str = include_str!("../../examples/quickstart/quickstart.yaml");
const EVERYTHING: &str = include_str!("manifests/everything.yaml");

/// All documents of a YAML text.
fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn round_trip<T: DeserializeOwned + Serialize>(value: &Value) -> Value {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"));
    serde_json::to_value(typed).unwrap()
}

/// Reads the spec of a kind into its type and writes it again.
fn spec_round_trip(kind: &str, spec: &Value) -> Value {
    match kind {
        "Asset" => round_trip::<AssetSpec>(spec),
        "Certificate" => round_trip::<CertificateSpec>(spec),
        "Domain" => round_trip::<DomainSpec>(spec),
        "Identity" => round_trip::<IdentitySpec>(spec),
        "Instance" => round_trip::<InstanceSpec>(spec),
        "Issuer" => round_trip::<IssuerSpec>(spec),
        "Network" => round_trip::<NetworkSpec>(spec),
        "Node" => round_trip::<NodeSpec>(spec),
        "Workload" => round_trip::<WorkloadSpec>(spec),
        other => panic!("no type for {other}"),
    }
}

fn status_round_trip(kind: &str, status: &Value) -> Value {
    match kind {
        "Asset" => round_trip::<AssetStatus>(status),
        "Certificate" => round_trip::<CertificateStatus>(status),
        "Domain" => round_trip::<DomainStatus>(status),
        "Instance" => round_trip::<InstanceStatus>(status),
        "Issuer" => round_trip::<IssuerStatus>(status),
        "Network" => round_trip::<NetworkStatus>(status),
        "Node" => round_trip::<NodeStatus>(status),
        "Workload" => round_trip::<WorkloadStatus>(status),
        other => panic!("no type for {other}"),
    }
}

/// An object with its defaults filled in.
fn defaulted(object: &Value) -> Value {
    let mut object = object.clone();
    default(&kind(object["kind"].as_str().unwrap()).schema, &mut object);
    object
}

#[test]
fn the_quickstart_is_valid_one_of_each_kind() {
    let objects = documents(QUICKSTART);
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Network", "Workload", "Certificate", "Domain", "Asset"]);
    for object in &objects {
        let definition = kind(object["kind"].as_str().unwrap());
        assert_eq!(object["apiVersion"], definition.api_version());
        assert_eq!(problems(definition, object, None), Vec::<String>::new());
    }
}

/// The types know every field that the schema knows, and the schema's defaults are the types' own.
#[test]
fn types_and_schemas_agree() {
    for object in documents(QUICKSTART).iter().chain(&documents(EVERYTHING)) {
        let name = object["kind"].as_str().unwrap();
        assert_eq!(problems(kind(name), object, None), Vec::<String>::new(), "{name}");
        let full = defaulted(object);
        assert_eq!(spec_round_trip(name, &full["spec"]), full["spec"], "{name}: as the server stores it");
        assert_eq!(spec_round_trip(name, &object["spec"]), full["spec"], "{name}: as it was written");
        if let Some(status) = object.get("status") {
            assert_eq!(status_round_trip(name, status), *status, "{name}");
        }
    }
}

/// The fields that a value uses, as schema paths.
fn used(value: &Value, schema: &Value, path: &str, paths: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, member) in map {
                if let Some(child) = schema.get("properties").and_then(|fields| fields.get(name)) {
                    let path = format!("{path}.{name}");
                    paths.insert(path.clone());
                    used(member, child, &path, paths);
                } else if let Some(child) = schema.get("additionalProperties") {
                    used(member, child, path, paths);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| used(item, &schema["items"], path, paths)),
        _ => {}
    }
}

fn known(schema: &Value, path: &str, paths: &mut std::collections::BTreeSet<String>) {
    for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        paths.insert(path.clone());
        known(child, &path, paths);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(keyword) {
            known(child, path, paths);
        }
    }
}

/// A field that no manifest of the tests uses is a field that nobody has seen work.
#[test]
fn the_manifests_use_every_field() {
    let mut seen = std::collections::BTreeSet::new();
    for object in documents(EVERYTHING) {
        let name = object["kind"].as_str().unwrap();
        used(&object, &kind(name).schema, name, &mut seen);
    }
    let mut missing = Vec::new();
    for definition in definitions().iter().filter(|definition| !definition.strategy.built_in) {
        let mut all = std::collections::BTreeSet::new();
        known(&definition.schema, &definition.names.kind, &mut all);
        // An Instance runs what a Workload's template says: it is seen there.
        missing.extend(
            all.into_iter().filter(|path| !seen.contains(path) && !path.starts_with("Instance.spec.pod.")),
        );
    }
    // Init containers are containers; what tells them apart is theirs alone, and refused elsewhere.
    missing.retain(|path| !path.starts_with("Workload.spec.template.spec.initContainers."));
    missing.retain(|path| path != "Workload.spec.template.spec.containers.restartPolicy");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn an_object_starts_with_a_status_that_its_type_reads() {
    for definition in definitions()
        .iter()
        .filter(|definition| !definition.strategy.built_in && definition.subresources.status)
    {
        let mut status = definition.strategy.initial_status.clone().unwrap();
        status["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(status_round_trip(&definition.names.kind, &status), status);
        let stored = json!({"status": status});
        let found = problems(definition, &stored, None);
        assert_eq!(found, [".spec: required"], "{}", definition.names.kind);
    }
}

#[test]
fn documented_defaults() {
    let defaults = |manifest: &str| {
        let object = &documents(manifest)[0];
        assert_eq!(problems(kind(object["kind"].as_str().unwrap()), object, None), Vec::<String>::new());
        defaulted(object)["spec"].clone()
    };
    insta::assert_snapshot!(format!("{:#}", defaults("{kind: Network, spec: {interface: Private}}")), @r#"
    {
      "interface": "Private"
    }
    "#);
    insta::assert_snapshot!(format!("{:#}", defaults("{kind: Asset, spec: {class: GPU, nodeName: node1}}")), @r#"
    {
      "class": "GPU",
      "nodeName": "node1",
      "privacy": "Private",
      "sharing": {
        "maxShare": "100%",
        "noticeBeforeRevoke": "5m"
      }
    }
    "#);
    insta::assert_snapshot!(format!("{:#}", defaults("{kind: Domain, spec: {name: acme.}}")), @r#"
    {
      "dnssec": {
        "algorithm": "Ed25519",
        "enabled": true
      },
      "name": "acme.",
      "privacy": "PrivateNetwork",
      "ttl": "5m"
    }
    "#);
    insta::assert_snapshot!(
        format!("{:#}", defaults("{kind: Certificate, spec: {dnsNames: [a], issuerRef: {name: cluster}, secretName: a}}")), @r#"
    {
      "dnsNames": [
        "a"
      ],
      "duration": "24h",
      "issuerRef": {
        "name": "cluster"
      },
      "key": {
        "algorithm": "Ed25519",
        "rotation": "Always"
      },
      "secretName": "a",
      "usages": [
        "ServerAuth"
      ]
    }
    "#);
    insta::assert_snapshot!(
        format!("{:#}", defaults("{kind: Workload, spec: {template: {spec: {containers: [{name: a, image: a, readinessProbe: {tcpSocket: {port: 1}}}]}}, publish: [{port: 1}]}}")), @r#"
    {
      "publish": [
        {
          "port": 1,
          "privacy": "PrivateNetwork",
          "protocol": "TCP"
        }
      ],
      "replicas": 1,
      "rollout": {
        "history": 10,
        "minReady": "0s",
        "progressDeadline": "10m",
        "strategy": "Rolling"
      },
      "template": {
        "spec": {
          "containers": [
            {
              "image": "a",
              "name": "a",
              "readinessProbe": {
                "failureThreshold": 3,
                "initialDelaySeconds": 0,
                "periodSeconds": 10,
                "successThreshold": 1,
                "tcpSocket": {
                  "port": 1
                },
                "timeoutSeconds": 1
              }
            }
          ],
          "restartPolicy": "Always",
          "serviceAccountName": "default",
          "terminationGracePeriodSeconds": 30
        }
      }
    }
    "#);
}

/// Hostile and mistaken values, each refused at its own path.
#[test]
fn wrong_values_are_refused_where_they_stand() {
    let cases = [
        ("Network", json!({}), ".spec.interface: required"),
        ("Network", json!({"interface": "private"}), ".spec.interface: \"private\" is not allowed"),
        ("Network", json!({"interface": "Private", "privat": 1}), ".spec.privat: unknown field"),
        ("Network", json!({"interface": null}), ".spec.interface: null is not of type string"),
        (
            "Domain",
            json!({"name": "acme"}),
            ".spec.name: \"acme\" does not match ^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)+$",
        ),
        (
            "Domain",
            json!({"name": "acme.", "ttl": "1d"}),
            ".spec.ttl: \"1d\" does not match ^([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$",
        ),
        (
            "Asset",
            json!({"class": "CPU", "nodeName": "a", "sharing": {"maxShare": "101%"}}),
            ".spec.sharing.maxShare: \"101%\" does not match ^(100|[1-9]?[0-9])%$",
        ),
        (
            "Asset",
            json!({"class": "CPU", "nodeName": "a", "sharing": {"maxShare": 50}}),
            ".spec.sharing.maxShare: 50 is not of type string",
        ),
        ("Node", json!({"publicKey": "00"}), ".spec.publicKey: 2 characters"),
        (
            "Workload",
            json!({"replicas": -1, "template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}),
            ".spec.replicas: -1 is out of range",
        ),
        (
            "Workload",
            json!({"template": {"spec": {"containers": []}}}),
            ".spec.template.spec.containers: 0 items",
        ),
        (
            "Workload",
            json!({"template": {"spec": {"containers": [{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]}}}),
            ".spec.template.spec.containers[1]: duplicate",
        ),
        (
            "Workload",
            json!({"template": {"spec": {"containers": [{"name": "a", "image": "a", "resources": {"limits": {"memory": "64MB"}}}]}}}),
            ".spec.template.spec.containers[0].resources.limits.memory: \"64MB\" does not match ^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$",
        ),
        (
            "Workload",
            json!({"template": {"spec": {"containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 70000}]}]}}}),
            ".spec.template.spec.containers[0].ports[0].containerPort: 70000 is out of range",
        ),
    ];
    for (name, spec, expected) in cases {
        let found = problems(kind(name), &json!({"spec": spec}), None);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{spec}");
    }
}
