//! What an Instance is as a Pod, whole, and the words for every state that people know.

use super::super::PODS;
use super::*;
use crate::table::{IncludeObject, TableFormat};

const NOW: i64 = 1_795_252_683 + 300;

fn instance() -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1",
        "kind": "Instance",
        "metadata": {
            "name": "web-1a2b3", "namespace": "shop", "uid": "0d7a7b0e-5f7c-4c58-9a0e-8c9a4a1f5a11",
            "resourceVersion": "812", "generation": 2, "creationTimestamp": "2026-11-21T09:18:03Z",
            "labels": {"app": "web"},
            "ownerReferences": [{
                "apiVersion": "hypermesh.online/v1", "kind": "Workload", "name": "web",
                "uid": "7f0d6e80-61b5-4c3c-9a53-2f1f6f6a2c44", "controller": true,
            }],
            "managedFields": [{"manager": "nexus-controllers"}],
        },
        "spec": {
            "workload": "web", "revision": "6f8c", "nodeName": "node-1", "weight": 100,
            "pod": {
                "containers": [{
                    "name": "web", "image": "registry.test/web:1",
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
                }],
                "initContainers": [{"name": "migrate", "image": "registry.test/web:1"}],
                "serviceAccountName": "default", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            },
        },
        "status": {
            "observedGeneration": 2, "phase": "Running", "podIP": "fd00::7", "podIPs": ["fd00::7", "10.1.0.7"],
            "hostIP": "192.0.2.4", "startTime": "2026-11-21T09:18:04Z", "restarts": 2,
            "initContainerStatuses": [{
                "name": "migrate", "ready": true, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-21T09:18:05Z"}},
            }],
            "containerStatuses": [{
                "name": "web", "ready": true, "restartCount": 2, "started": true, "containerID": "oci://9c1f",
                "imageID": "sha256:77aa", "state": {"running": {"startedAt": "2026-11-21T09:20:03Z"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-21T09:19:43Z"}},
            }],
        },
    })
}

#[test]
fn an_instance_as_a_pod() {
    let shown = PODS.project(instance().to_string().as_bytes());
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    insta::assert_json_snapshot!("pod", shown);
}

#[test]
fn a_token_is_shown_where_there_is_one() {
    let shown = |instance: &Value| {
        let pod = pod(instance);
        let mounts = |key: &str| list(&pod, &["spec", key])[0]["volumeMounts"].clone();
        let volumes: Vec<Value> =
            list(&pod, &["spec", "volumes"]).iter().map(|volume| volume["name"].clone()).collect();
        (mounts("containers"), mounts("initContainers"), volumes)
    };
    let access = json!([{"name": API_ACCESS, "mountPath": API_ACCESS_PATHS[0], "readOnly": true}]);
    let mut instance = instance();
    assert_eq!(shown(&instance), (access.clone(), access.clone(), vec![json!(API_ACCESS)]));
    let own = json!([{"name": "own", "mountPath": API_ACCESS_PATHS[1]}]);
    instance["spec"]["pod"]["volumes"] = json!([{"name": "own", "emptyDir": {}}]);
    instance["spec"]["pod"]["containers"][0]["volumeMounts"] = own.clone();
    assert_eq!(shown(&instance), (own.clone(), access, vec![json!("own"), json!(API_ACCESS)]));
    instance["spec"]["pod"]["automountServiceAccountToken"] = false.into();
    assert_eq!(shown(&instance), (own, Value::Null, vec![json!("own")]));
}

#[test]
fn one_that_waits_for_a_node_is_pending() {
    let mut waiting = instance();
    waiting["status"] = Value::Null;
    waiting["spec"].as_object_mut().unwrap().remove("nodeName");
    insta::assert_json_snapshot!("pod_waiting", pod(&waiting)["status"]);
    assert_eq!(
        cells(&waiting),
        ["web-1a2b3", "0/1", "Pending", "0", "5m", "<none>", "<none>", "<none>", "<none>"]
    );
}

#[test]
fn what_is_no_instance_is_survived() {
    for object in ["", "null", "[]", "{}", r#"{"spec":1,"status":{"conditions":{}},"metadata":[]}"#] {
        let shown: Value = serde_json::from_slice(&PODS.project(object.as_bytes())).unwrap();
        assert_eq!(shown["kind"], "Pod");
    }
}

fn cells(instance: &Value) -> Vec<String> {
    let cells = pod_words::row(&pod(instance), NOW);
    cells.into_iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_row_has_the_columns_of_kubectl() {
    let definitions = hypermesh_schemas::definitions();
    let source = definitions.iter().find(|kind| kind.names.plural == "instances").unwrap();
    let definition = PODS.definition(source);
    let format = TableFormat::projected(&definition, &PODS, IncludeObject::None);
    let table = format.single(&PODS.project(instance().to_string().as_bytes()), NOW, true);
    let table: Value = serde_json::from_slice(&table).unwrap();
    let names: Vec<_> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    let golden =
        ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"];
    assert_eq!(names, golden);
    assert_eq!(
        table["rows"][0]["cells"],
        json!([
            "web-1a2b3",
            "1/1",
            "Running",
            "2 (3m20s ago)",
            "5m",
            "fd00::7",
            "node-1",
            "<none>",
            "<none>"
        ])
    );
}

#[test]
fn the_schema_explains_what_is_shown() {
    let definitions = hypermesh_schemas::definitions();
    let source = definitions.iter().find(|kind| kind.names.plural == "instances").unwrap();
    let schema = PODS.schema(source);
    for path in [
        "/properties/spec/properties/containers/items/properties/image",
        "/properties/spec/properties/nodeName",
        "/properties/status/properties/containerStatuses",
        "/properties/status/properties/qosClass",
    ] {
        assert!(schema.pointer(path).is_some(), "{path}");
    }
    assert!(schema.pointer("/properties/spec/properties/workload").is_none());
}

/// Ready and status of the instance with other statuses of containers.
fn words(change: impl FnOnce(&mut Value)) -> (String, String) {
    let mut instance = instance();
    change(&mut instance);
    let cells = cells(&instance);
    (cells[1].clone(), cells[2].clone())
}

fn told(ready: &str, status: &str) -> (String, String) {
    (ready.to_owned(), status.to_owned())
}

#[test]
fn words_of_containers() {
    let state = |state: Value| {
        move |instance: &mut Value| {
            instance["status"]["containerStatuses"][0]["ready"] = false.into();
            instance["status"]["containerStatuses"][0]["state"] = state;
        }
    };
    let waiting = state(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    assert_eq!(words(waiting), told("0/1", "CrashLoopBackOff"));
    let pulling = state(json!({"waiting": {"reason": "ImagePullBackOff"}}));
    assert_eq!(words(pulling), told("0/1", "ImagePullBackOff"));
    let killed = state(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
    assert_eq!(words(killed), told("0/1", "OOMKilled"));
    let ended = state(json!({"terminated": {"exitCode": 3}}));
    assert_eq!(words(ended), told("0/1", "ExitCode:3"));
    let signalled = state(json!({"terminated": {"exitCode": 139, "signal": 11}}));
    assert_eq!(words(signalled), told("0/1", "Signal:11"));
    let done = state(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    assert_eq!(words(done), told("0/1", "Completed"));
    let evicted = |instance: &mut Value| {
        instance["status"] = json!({"phase": "Failed", "reason": "Evicted"});
    };
    assert_eq!(words(evicted), told("0/1", "Evicted"));
}

#[test]
fn words_of_init_containers() {
    let init = |state: Value| {
        move |instance: &mut Value| {
            instance["status"]["phase"] = "Pending".into();
            instance["status"]["containerStatuses"] = json!([]);
            instance["status"]["initContainerStatuses"][0]["state"] = state;
        }
    };
    assert_eq!(words(init(json!({"running": {}}))), told("0/1", "Init:0/1"));
    let failing = init(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    assert_eq!(words(failing), told("0/1", "Init:CrashLoopBackOff"));
    assert_eq!(words(init(json!({"terminated": {"exitCode": 2}}))), told("0/1", "Init:ExitCode:2"));
    let failed = init(json!({"terminated": {"exitCode": 1, "reason": "Error"}}));
    assert_eq!(words(failed), told("0/1", "Init:Error"));
    let initializing = init(json!({"waiting": {"reason": "PodInitializing"}}));
    assert_eq!(words(initializing), told("0/1", "Init:0/1"));
    // A sidecar counts as a container, and does not hold the others up once it has started.
    let sidecar = |instance: &mut Value| {
        instance["spec"]["pod"]["initContainers"][0]["restartPolicy"] = "Always".into();
        let status = &mut instance["status"]["initContainerStatuses"][0];
        status["state"] = json!({"running": {}});
        status["started"] = true.into();
    };
    assert_eq!(words(sidecar), told("2/2", "Running"));
}

#[test]
fn words_of_an_end() {
    let deleted = |instance: &mut Value| {
        instance["metadata"]["deletionTimestamp"] = "2026-11-21T09:22:00Z".into();
    };
    assert_eq!(words(deleted), told("1/1", "Terminating"));
    let done = |instance: &mut Value| {
        deleted(instance);
        instance["status"]["phase"] = "Succeeded".into();
    };
    assert_eq!(words(done).1, "Succeeded");
    let lost = |instance: &mut Value| {
        deleted(instance);
        instance["status"]["reason"] = "NodeLost".into();
    };
    assert_eq!(words(lost).1, "Unknown");
    // One of two has ended, the other goes on.
    let half = |ready: bool| {
        move |instance: &mut Value| {
            let other = json!({"name": "other", "image": "x"});
            instance["spec"]["pod"]["containers"].as_array_mut().unwrap().push(other);
            let ended = json!({
                "name": "other", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
            });
            let statuses = instance["status"]["containerStatuses"].as_array_mut().unwrap();
            statuses.insert(0, ended);
            if ready {
                instance["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            }
        }
    };
    assert_eq!(words(half(false)), told("1/2", "NotReady"));
    assert_eq!(words(half(true)), told("1/2", "Running"));
}

#[test]
fn quality_of_service() {
    let of = |resources: Value| {
        let mut instance = instance();
        instance["spec"]["pod"]["containers"][0]["resources"] = resources.clone();
        instance["spec"]["pod"]["initContainers"][0]["resources"] = resources;
        quality(&instance)
    };
    assert_eq!(of(json!({})), "BestEffort");
    assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
    assert_eq!(of(json!({"limits": {"memory": "1Gi"}})), "Burstable");
    let less = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}});
    assert_eq!(of(less), "Burstable");
}

#[test]
fn a_list_of_instances_is_a_list_of_pods() {
    let list = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "InstanceList", "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 4}}],
    });
    let shown: Value = serde_json::from_slice(&PROJECTION.project_list(list.to_string().as_bytes())).unwrap();
    assert_eq!((&shown["apiVersion"], &shown["kind"]), (&json!("v1"), &json!("PodList")));
    assert_eq!(shown["metadata"]["resourceVersion"], "7");
    assert_eq!(
        (&shown["items"][0]["kind"], &shown["items"][0]["metadata"]["name"]),
        (&json!("Pod"), &json!("a"))
    );
    assert_eq!(shown["items"][0]["metadata"]["deletionGracePeriodSeconds"], 4);
}
