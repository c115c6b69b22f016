//! Workloads over a server that does what a test asks; the test is scheduler and agent.

use crate::fake::Fake;
use http::Method;
use hypermesh_controllers::runtime::decision::Decisions;
use hypermesh_controllers::runtime::metrics::{Ended, Metrics};
use hypermesh_controllers::runtime::{Context, Reconciler as _, Stopper, drive, stop};
use hypermesh_controllers::workload::Workloads;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const GROUP: &str = "/apis/hypermesh.online/v1/namespaces/n";
const WEB: &str = "/apis/hypermesh.online/v1/namespaces/n/workloads/web";
const START: &str = "2026-01-01T00:00:00Z";

struct Running {
    fake: Fake,
    context: Context,
    _stopper: Stopper,
}

fn run(fake: &Fake) -> Running {
    let (decisions, metrics) = (Arc::new(Decisions::default()), Arc::new(Metrics::default()));
    let mut context = Context::new(fake.client(), "test".into(), decisions, metrics);
    let begin = tokio::time::Instant::now();
    let base: jiff::Timestamp = START.parse().unwrap();
    context.clock =
        Arc::new(move || base.checked_add(jiff::SignedDuration::try_from(begin.elapsed()).unwrap()).unwrap());
    let (stopper, stop) = stop();
    tokio::spawn(drive(Arc::new(Workloads::default()), context.clone(), stop));
    Running { fake: fake.clone(), context, _stopper: stopper }
}

fn workload(spec: Value) -> Value {
    let mut spec = spec;
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    spec.as_object_mut().unwrap().entry("template").or_insert(template);
    json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "spec": spec,
        "metadata": {"generation": 1, "creationTimestamp": START}})
}

impl Running {
    fn all(&self, plural: &str) -> Vec<Value> {
        self.fake.list(&format!("/{plural}/"))
    }

    fn instances(&self) -> Vec<Value> {
        self.all("instances")
    }

    fn status(&self) -> Value {
        self.fake.get(WEB).map(|object| object["status"].clone()).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> Value {
        let conditions = self.status()["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
    }

    /// What an agent would report of an instance.
    fn report(&self, instance: &Value, status: Value) {
        let place = format!("{GROUP}/instances/{}", instance["metadata"]["name"].as_str().unwrap());
        let mut object = self.fake.get(&place).unwrap();
        object["status"] = status;
        object["spec"]["nodeName"] = "node".into();
        self.fake.put(&place, object);
    }

    fn ready(&self, instance: &Value) {
        let now = self.context.now().to_string();
        let image = instance["spec"]["pod"]["containers"][0]["image"].clone();
        let digest = format!("registry/web@sha256:{}", "1".repeat(64));
        self.report(
            instance,
            json!({"phase": "Running", "containerStatuses": [{"name": "web", "ready": true, "restartCount": 0,
                "image": image, "imageID": digest}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": now}]}),
        );
    }

    fn end(&self, instance: &Value, phase: &str) {
        let now = self.context.now().to_string();
        let code = i32::from(phase == "Failed");
        self.report(
            instance,
            json!({"phase": phase, "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "finishedAt": now}}}]}),
        );
    }

    /// Makes every instance ready for as long as anything happens.
    async fn ready_all(&self) {
        for _ in 0..40 {
            for instance in self.instances() {
                if instance["status"]["phase"].is_null() {
                    self.ready(&instance);
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut object = self.fake.get(WEB).unwrap();
        change(&mut object["spec"]);
        let generation = object["metadata"]["generation"].as_i64().unwrap() + 1;
        object["metadata"]["generation"] = generation.into();
        self.fake.put(WEB, object);
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(100_000), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} never came to be");
}

fn of(instances: &[Value], image: &str) -> usize {
    instances.iter().filter(|instance| instance["spec"]["pod"]["containers"][0]["image"] == image).count()
}

#[tokio::test(start_paused = true)]
async fn replicas_are_made_and_replaced_and_the_status_tells() {
    let fake = Fake::default();
    fake.put(WEB, workload(json!({"replicas": 3})));
    let running = run(&fake);
    until("three", || running.instances().len() == 3).await;
    let first = running.instances().remove(0);
    assert_eq!(first["metadata"]["labels"]["app"], "web");
    assert_eq!(first["metadata"]["labels"]["hypermesh.online/workload"], "web");
    assert_eq!(first["metadata"]["ownerReferences"][0]["controller"], true);
    assert_eq!(first["spec"]["workload"], "web");
    until("a status", || running.condition("Available")["status"] == "False").await;
    assert_eq!(running.condition("Progressing")["reason"], "RolloutProgressing");
    assert!(
        running.condition("Ready")["message"].as_str().unwrap().contains("no node has been found"),
        "{}",
        running.status()
    );
    running.ready_all().await;
    until("ready", || running.condition("Ready")["status"] == "True").await;
    let status = running.status();
    assert_eq!((&status["replicas"], &status["availableReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(status["selector"], "hypermesh.online/workload=web");
    assert_eq!(running.condition("Progressing")["reason"], "RolloutComplete");
    assert_eq!(status["currentRevision"], first["spec"]["revision"]);
    // One is deleted, one evicted: both are replaced, under names of their own.
    let place =
        |instance: &Value| format!("{GROUP}/instances/{}", instance["metadata"]["name"].as_str().unwrap());
    fake.remove(&place(&first));
    let second = running.instances().remove(0);
    running.end(&second, "Failed");
    until("replacement", || running.instances().len() == 4).await;
    running.ready_all().await;
    assert_eq!(running.status()["availableReplicas"], 3);
    // A server at rest is left at rest.
    let before = fake.writes().len();
    tokio::time::sleep(Duration::from_secs(1_800)).await;
    assert_eq!(fake.writes().len(), before, "{:?}", &fake.writes()[before..]);
    running.change(|spec| spec["replicas"] = 1.into());
    until("one", || running.status()["replicas"] == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_template_replaces_all_step_by_step_and_comes_back() {
    let fake = Fake::default();
    fake.put(
        WEB,
        workload(json!({"replicas": 4, "rollout": {"rolling": {"maxSurge": 1, "maxUnavailable": 0}}})),
    );
    let running = run(&fake);
    running.ready_all().await;
    until("ready", || running.condition("Ready")["status"] == "True").await;
    let first = running.status()["currentRevision"].clone();
    running.change(|spec| spec["template"]["spec"]["containers"][0]["image"] = "web:2".into());
    until("a new one", || of(&running.instances(), "web:2") == 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((of(&running.instances(), "web:1"), of(&running.instances(), "web:2")), (4, 1));
    running.ready_all().await;
    until("the end", || running.condition("Progressing")["reason"] == "RolloutComplete").await;
    assert_eq!((of(&running.instances(), "web:1"), of(&running.instances(), "web:2")), (0, 4));
    let revisions = running.all("controllerrevisions");
    assert_eq!(revisions.len(), 2);
    running.change(|spec| spec["template"]["spec"]["containers"][0]["image"] = "web:1".into());
    running.ready_all().await;
    until("the way back", || running.status()["currentRevision"] == first).await;
    let numbers: Vec<i64> =
        running.all("controllerrevisions").iter().map(|r| r["revision"].as_i64().unwrap()).collect();
    assert_eq!((numbers.len(), numbers.contains(&2), numbers.contains(&3)), (2, true, true), "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_does_not_get_on_says_so_and_takes_nothing_away() {
    let fake = Fake::default();
    fake.put(WEB, workload(json!({"replicas": 4, "rollout": {"progressDeadline": "1m"}})));
    let running = run(&fake);
    running.ready_all().await;
    until("ready", || running.condition("Ready")["status"] == "True").await;
    running.change(|spec| spec["template"]["spec"]["containers"][0]["image"] = "broken:1".into());
    until("new ones", || of(&running.instances(), "broken:1") == 2).await;
    for instance in
        running.instances().iter().filter(|i| i["spec"]["pod"]["containers"][0]["image"] == "broken:1")
    {
        running.report(instance, json!({"phase": "Pending", "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]}));
    }
    until("the deadline", || running.condition("Progressing")["reason"] == "ProgressDeadlineExceeded").await;
    let message = running.condition("Progressing")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("and 1 more: ImagePullBackOff: no such tag"), "{message}");
    assert_eq!(
        (running.condition("Ready")["status"].as_str(), running.condition("Available")["status"].as_str()),
        (Some("False"), Some("True"))
    );
    assert_eq!(running.status()["availableReplicas"], 3);
    // What is paused stays as it is.
    running.change(|spec| spec["rollout"]["paused"] = true.into());
    until("the pause", || running.condition("Progressing")["reason"] == "RolloutPaused").await;
    assert_eq!(of(&running.instances(), "broken:1"), 2);
    running.change(|spec| {
        spec["rollout"]["paused"] = false.into();
        spec["template"]["spec"]["containers"][0]["image"] = "web:1".into();
    });
    running.ready_all().await;
    until("the way back", || running.condition("Ready")["status"] == "True").await;
    assert_eq!((of(&running.instances(), "web:1"), running.instances().len()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_is_told_and_names_that_are_taken_are_avoided() {
    let fake = Fake::default();
    fake.put(WEB, workload(json!({"replicas": 1})));
    fake.refuse(Method::POST, "/instances", 403);
    let running = run(&fake);
    until("the refusal", || running.condition("ReplicaFailure")["reason"] == "FailedCreate").await;
    until("the end of it", || {
        running.instances().len() == 1 && running.condition("ReplicaFailure").is_null()
    })
    .await;
    // Somebody else takes the name that the next one would have.
    let mut other = running.instances().remove(0);
    let name = other["metadata"]["name"].as_str().unwrap().to_owned();
    other["metadata"] = json!({"name": name});
    fake.remove(&format!("{GROUP}/instances/{name}"));
    fake.put(&format!("{GROUP}/instances/{name}"), other);
    until("another name", || running.instances().len() == 2).await;
    until("the count", || running.status()["collisionCount"] == 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_revision_refers_to_is_copied_once_and_goes_with_the_last_that_holds_it() {
    let fake = Fake::default();
    let map = "/api/v1/namespaces/n/configmaps/settings";
    fake.put(map, json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}));
    fake.put(
        "/api/v1/namespaces/n/secrets/keys",
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"k": "eA=="}}),
    );
    let template = |image: &str| {
        json!({"spec": {"containers": [{"name": "web", "image": image,
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "later", "optional": true}}]}]}})
    };
    fake.put(WEB, workload(json!({"replicas": 1, "template": template("web:1"), "rollout": {"history": 1}})));
    let running = run(&fake);
    running.ready_all().await;
    until("ready", || running.condition("Ready")["status"] == "True").await;
    let copies = |running: &Running, plural: &str| -> Vec<Value> {
        running
            .all(plural)
            .into_iter()
            .filter(|o| o["metadata"]["labels"]["hypermesh.online/snapshot-of"].is_string())
            .collect()
    };
    let (maps, secrets) = (copies(&running, "configmaps"), copies(&running, "secrets"));
    assert_eq!((maps.len(), secrets.len()), (1, 1));
    assert_eq!((&maps[0]["data"], &maps[0]["immutable"]), (&json!({"a": "1"}), &json!(true)));
    assert_eq!((&secrets[0]["type"], &secrets[0]["data"]), (&json!("Opaque"), &json!({"k": "eA=="})));
    let record = running.all("controllerrevisions").remove(0);
    let notes = &record["metadata"]["annotations"];
    let snapshots: Value =
        serde_json::from_str(notes["hypermesh.online/snapshots"].as_str().unwrap()).unwrap();
    assert_eq!(snapshots[0]["copy"], maps[0]["metadata"]["name"]);
    let images: Value = serde_json::from_str(notes["hypermesh.online/images"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&images[0]["image"], &images[0]["digest"]),
        (&json!("web:1"), &json!(format!("sha256:{}", "1".repeat(64))))
    );
    // Another content is another copy; what is as before is not copied again.
    fake.put(map, json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "2"}}));
    for (round, image) in ["web:2", "web:3"].iter().enumerate() {
        running.change(|spec| spec["template"] = template(image));
        running.ready_all().await;
        until("ready", || running.condition("Ready")["status"] == "True").await;
        assert_eq!(copies(&running, "secrets").len(), 1);
        assert_eq!(running.all("controllerrevisions").len(), 2, "round {round}");
    }
    let left = copies(&running, "configmaps");
    assert_eq!((left.len(), &left[0]["data"]), (1, &json!({"a": "2"})), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_to_its_end_and_goes_when_it_was_kept_long_enough() {
    let fake = Fake::default();
    fake.put(WEB, workload(json!({"job": {"completions": 3, "parallelism": 2, "keepAfterEnd": "1h"}})));
    let running = run(&fake);
    until("two", || running.instances().len() == 2).await;
    until("why it does not run", || running.condition("Ready")["reason"] == "Unschedulable").await;
    let told = running.condition("Ready")["message"].as_str().unwrap().to_owned();
    assert!(told.contains(" and 1 more: no node has been found for it yet"), "{told}");
    let first = running.instances();
    running.end(&first[0], "Succeeded");
    running.end(&first[1], "Failed");
    until("the counts", || running.status()["job"]["failed"] == 1).await;
    assert_eq!(running.condition("Ready")["reason"], "BackingOff");
    let told = running.condition("Ready")["message"].as_str().unwrap().to_owned();
    assert!(told.contains("; the next one begins at 2026-01-01T00:0"), "{told}");
    for _ in 0..60 {
        for instance in running.instances().iter().filter(|instance| instance["status"]["phase"].is_null()) {
            running.end(instance, "Succeeded");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    until("the end", || running.condition("Complete")["status"] == "True").await;
    let job = running.status()["job"].clone();
    assert_eq!((&job["succeeded"], &job["failed"], &job["active"]), (&json!(3), &json!(1), &json!(0)));
    assert_eq!(running.instances().len(), 4);
    assert!(fake.get(WEB).is_some());
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    assert!(fake.get(WEB).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_schedule_starts_its_runs_when_they_are_due() {
    let fake = Fake::default();
    fake.put(WEB, workload(json!({"job": {}, "schedule": {"cron": "@hourly", "keepSucceeded": 1}})));
    let running = run(&fake);
    until("a status", || running.status()["schedule"]["nextTime"] == "2026-01-01T01:00:00Z").await;
    let runs = |running: &Running| -> Vec<Value> {
        running.all("workloads").into_iter().filter(|o| o["metadata"]["name"] != "web").collect()
    };
    assert_eq!(runs(&running).len(), 0);
    until("a run", || runs(&running).len() == 1).await;
    let first = runs(&running).remove(0);
    assert_eq!(first["metadata"]["name"], "web-29453820");
    assert_eq!(running.status()["schedule"]["active"], json!(["web-29453820"]));
    assert!(first["spec"]["schedule"].is_null() && !first["spec"]["job"].is_null());
    // It is a job like any other.
    for _ in 0..4 * 3_600 {
        for instance in running.instances().iter().filter(|instance| instance["status"]["phase"].is_null()) {
            running.end(instance, "Succeeded");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(running.status()["schedule"]["lastTime"], "2026-01-01T05:00:00Z");
    let left = runs(&running);
    assert!(left.len() <= 2, "{left:?}");
    // What cannot be read is told once, and nothing is done.
    running.change(|spec| spec["schedule"]["cron"] = "every hour".into());
    until("the verdict", || running.condition("Ready")["reason"] == "InvalidSchedule").await;
    let invalid = running.context.metrics.of(Workloads::NAME).count(Ended::Invalid);
    tokio::time::sleep(Duration::from_secs(20_000)).await;
    assert_eq!(running.context.metrics.of(Workloads::NAME).count(Ended::Invalid), invalid);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_name_is_taken_is_told_and_starts_when_it_is_free() {
    let fake = Fake::default();
    fake.put(WEB, workload(json!({"job": {}, "schedule": {"cron": "@hourly"}})));
    let place = format!("{GROUP}/workloads/web-29453820");
    let mut other = workload(json!({"replicas": 0}));
    other["metadata"]["name"] = "web-29453820".into();
    fake.put(&place, other);
    let running = run(&fake);
    let told = |running: &Running| {
        running.fake.list("/events/").iter().any(|event| event["reason"] == "RunNameTaken")
    };
    until("the event", || told(&running)).await;
    // What somebody else made is nobody's run.
    assert_ne!(running.status()["schedule"]["active"], json!(["web-29453820"]));
    fake.remove(&place);
    until("the run", || running.status()["schedule"]["active"] == json!(["web-29453820"])).await;
    let made = fake.get(&place).unwrap();
    assert_eq!(made["metadata"]["labels"]["hypermesh.online/schedule"], "web");
}
