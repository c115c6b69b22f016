//! Workloads on a server as an operator runs it, with its controllers in a process of their own. The test is the agent:
//! it tells how instances are, and nothing runs.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::controllers::{Controllers, grant, until};
use hypermesh_e2e::load::binary;
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};

const GROUP: &str = "/apis/hypermesh.online/v1/namespaces/default";
const WEB: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// A moment before anything here happens: what is ready since then has been so for long.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

fn create(client: &Client, plural: &str, name: &str, spec: &Value) -> Result<()> {
    let object = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": name}, "spec": spec});
    client.post(&format!("{GROUP}/{plural}"), &object)?.expect(201)?;
    Ok(())
}

fn instances(client: &Client, workload: &str) -> Result<Vec<Value>> {
    let path = format!("{GROUP}/instances?fieldSelector=spec.workload%3D{workload}");
    Ok(client.get(&path)?.expect(200)?["items"].as_array().cloned().unwrap_or_default())
}

fn report(client: &Client, instance: &Value, status: &Value) -> Result<()> {
    let name = instance["metadata"]["name"].as_str().context("a name")?;
    // One that has gone meanwhile has nothing to tell.
    client.merge(&format!("{GROUP}/instances/{name}/status"), &json!({"status": status}))?;
    Ok(())
}

/// What an agent tells of an instance that serves; `digest` is what its image's tag means today.
fn serves(instance: &Value, digest: char) -> Value {
    let image = &instance["spec"]["pod"]["containers"][0]["image"];
    let digest: String = std::iter::repeat_n(digest, 64).collect();
    json!({
        "phase": "Running",
        "containerStatuses": [{"name": "web", "ready": true, "restartCount": 0, "image": image, "imageID": format!("sha256:{digest}")}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": LONG_AGO}],
    })
}

fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// Has all instances serve until the Workload is rolled out; at every moment enough of them do.
fn rolls_out(client: &Client, digest: char, least: usize) -> Result<Value> {
    until("the end of a rollout", || {
        let all = instances(client, "web")?;
        let ready = |instance: &&Value| {
            condition(instance, "Ready")["status"] == "True"
                && instance["metadata"]["deletionTimestamp"].is_null()
        };
        ensure!(all.iter().filter(ready).count() >= least, "too few serve: {all:?}");
        for instance in all.iter().filter(|instance| instance["status"]["phase"] == "Pending") {
            report(client, instance, &serves(instance, digest))?;
        }
        let web = client.get(WEB)?.expect(200)?;
        let seen = web["status"]["observedGeneration"] == web["metadata"]["generation"];
        let done = seen && condition(&web, "Progressing")["reason"] == "RolloutComplete";
        Ok((done && condition(&web, "Ready")["status"] == "True").then_some(web))
    })
}

fn nexusctl(cluster: &Cluster, words: &str) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.args(words.split(' ')).env("KUBECONFIG", cluster.kubeconfig()?).stdin(Stdio::null());
    Ok(command.output()?)
}

#[test]
fn a_rollout_and_the_way_back_restore_what_was_referred_to() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    let admin = cluster.admin()?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}});
    admin.post(MAPS, &map)?.expect(201)?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "one"}});
    admin.post("/api/v1/namespaces/default/secrets", &secret)?.expect(201)?;
    let container = json!({"name": "web", "image": "web:1", "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]});
    let spec = json!({"replicas": 4, "template": {"spec": {"containers": [container]}}});
    create(&admin, "workloads", "web", &spec)?;
    let web = rolls_out(&admin, '1', 0)?;
    ensure!(web["status"]["availableReplicas"] == 4, "{web}");

    // Another template, another configuration, and a tag that has moved.
    admin.merge(&format!("{MAPS}/settings"), &json!({"data": {"colour": "red"}}))?.expect(200)?;
    let mut changed = container.clone();
    changed["args"] = json!(["--fast"]);
    admin.merge(WEB, &json!({"spec": {"template": {"spec": {"containers": [changed]}}}}))?.expect(200)?;
    rolls_out(&admin, '2', 3)?;
    let history = nexusctl(&cluster, "rollout history workload/web")?;
    let text = String::from_utf8_lossy(&history.stdout).into_owned();
    ensure!(history.status.success() && text.lines().count() == 3, "{text}");

    // Back: what the template refers to is what it was.
    let undo = nexusctl(&cluster, "rollout undo workload/web")?;
    let text = format!("{}{}", String::from_utf8_lossy(&undo.stdout), String::from_utf8_lossy(&undo.stderr));
    ensure!(
        undo.status.success() && text.contains("ConfigMap settings holds something else today"),
        "{text}"
    );
    ensure!(!text.contains("Secret keys"), "the Secret is as it was: {text}");
    let web = rolls_out(&admin, '2', 3)?;
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    let digest = "1".repeat(64);
    ensure!(
        container["image"] == format!("web:1@sha256:{digest}") && container["args"].is_null(),
        "{container}"
    );
    let copy = container["envFrom"][0]["configMapRef"]["name"].as_str().context("a name")?;
    let copy = admin.get(&format!("{MAPS}/{copy}"))?.expect(200)?;
    ensure!(copy["data"] == json!({"colour": "blue"}) && copy["immutable"] == true, "{copy}");
    ensure!(container["envFrom"][1]["secretRef"]["name"] == "keys", "{container}");
    let status = nexusctl(&cluster, "rollout status workload/web --timeout=10s")?;
    ensure!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));

    // What is kept never changes, and goes with the Workload.
    let revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let kept = admin.get(revisions)?.expect(200)?["items"].as_array().cloned().unwrap_or_default();
    ensure!(kept.len() == 3, "{kept:?}");
    let name = kept[0]["metadata"]["name"].as_str().context("a name")?;
    let refused =
        admin.merge(&format!("{revisions}/{name}"), &json!({"data": {"spec": {"containers": []}}}))?;
    ensure!(refused.code == 422, "{}", refused.text());
    admin.delete(WEB)?.expect(200)?;
    until("the end of all that it owned", || {
        let left = admin.get(revisions)?.expect(200)?["items"].as_array().map_or(0, Vec::len);
        let maps = admin.get(MAPS)?.expect(200)?["items"].as_array().map_or(0, Vec::len);
        Ok((left == 0 && maps == 2 && instances(&admin, "web")?.is_empty()).then_some(()))
    })?;
    controllers.stop()
}

#[test]
fn a_rollout_that_gets_stuck_ends_with_its_reason() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    let admin = cluster.admin()?;
    let template = json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    create(
        &admin,
        "workloads",
        "web",
        &json!({"replicas": 2, "template": template, "rollout": {"progressDeadline": "3s"}}),
    )?;
    until("instances", || Ok((instances(&admin, "web")?.len() == 2).then_some(())))?;
    for instance in instances(&admin, "web")? {
        let waits = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}});
        let status = json!({"phase": "Pending", "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0, "state": waits}]});
        report(&admin, &instance, &status)?;
    }
    let status = nexusctl(&cluster, "rollout status workload/web")?;
    let text = String::from_utf8_lossy(&status.stderr).into_owned();
    ensure!(status.status.code() == Some(1), "{text}");
    ensure!(
        text.contains("exceeded its progress deadline")
            && text.contains("and 1 more: ImagePullBackOff: no such tag"),
        "{text}"
    );
    controllers.stop()
}

#[test]
fn a_job_ends_and_a_schedule_that_cannot_be_read_says_so() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    let admin = cluster.admin()?;
    let template =
        json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": "web:1"}]}});
    create(
        &admin,
        "workloads",
        "once",
        &json!({"job": {"completions": 3, "parallelism": 2}, "template": template}),
    )?;
    let path = format!("{GROUP}/workloads/once");
    let job = until("the end of the job", || {
        let all = instances(&admin, "once")?;
        ensure!(
            all.iter().filter(|instance| instance["status"]["phase"] == "Pending").count() <= 2,
            "{all:?}"
        );
        for instance in all.iter().filter(|instance| instance["status"]["phase"] == "Pending") {
            report(&admin, instance, &json!({"phase": "Succeeded"}))?;
        }
        let job = admin.get(&path)?.expect(200)?;
        Ok((condition(&job, "Complete")["status"] == "True").then_some(job))
    })?;
    ensure!(job["status"]["job"]["succeeded"] == 3 && job["status"]["job"]["counted"] == "0-2", "{job}");
    ensure!(instances(&admin, "once")?.len() == 3, "they are kept for their logs");
    let status = nexusctl(&cluster, "rollout status workload/once")?;
    ensure!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));

    let schedule = json!({"cron": "0 0 30 2 *"});
    create(&admin, "workloads", "never", &json!({"job": {}, "schedule": schedule, "template": template}))?;
    let path = format!("{GROUP}/workloads/never");
    let told = until("the verdict", || {
        let ready = condition(&admin.get(&path)?.expect(200)?, "Ready");
        Ok((ready["reason"] == "InvalidSchedule").then_some(ready))
    })?;
    ensure!(told["message"].as_str().is_some_and(|message| message.contains("no such day")), "{told}");
    admin
        .merge(&path, &json!({"spec": {"schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Zurich"}}}))?
        .expect(200)?;
    until("the next run", || {
        let status = admin.get(&path)?.expect(200)?["status"].clone();
        Ok(status["schedule"]["nextTime"].as_str().map(str::to_owned))
    })?;
    controllers.stop()
}
