//! What cannot run says why, in a condition of the instance and in an Event, and is tried again.

use crate::rig::{Rig, condition, container, name};
use crate::web::{main_of, workload};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

fn waiting(instance: &Value, reason: &str) -> bool {
    container(instance)["state"]["waiting"]["reason"] == reason
}

fn not_ready(instance: &Value) -> bool {
    condition(instance, "Ready").is_some_and(|ready| ready["status"] == "False")
}

fn restarted(instance: &Value) -> bool {
    container(instance)["restartCount"].as_u64().is_some_and(|count| count > 0)
}

fn last_end(instance: &Value) -> &Value {
    &container(instance)["lastState"]["terminated"]
}

#[test]
fn an_image_that_does_not_exist_is_named_and_tried_again() -> Result<()> {
    let Some(rig) = Rig::start("an_image_that_does_not_exist_is_named_and_tried_again")? else {
        return Ok(());
    };
    let mut absent = workload("absent", "true");
    // Nobody listens on this port: no registry is asked beyond this machine.
    let image = format!("127.0.0.1:{}/nothing:1", crate::rig::free_port()?);
    main_of(&mut absent)["image"] = json!(image);
    rig.apply(&absent)?;
    let instance = rig.until_instance("absent", |one| waiting(one, "ImagePullBackOff"))?;
    let message = container(&instance)["state"]["waiting"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains(&image), "it does not name the image: {message}");
    ensure!(not_ready(&instance), "{instance:#}");
    rig.event(name(&instance)?, "Failed", &image)?;
    rig.event(name(&instance)?, "BackOff", &image)?;
    rig.ends_clean(&["absent"])
}

#[test]
fn a_command_that_fails_is_started_again_with_backoff() -> Result<()> {
    let Some(rig) = Rig::start("a_command_that_fails_is_started_again_with_backoff")? else { return Ok(()) };
    rig.apply(&workload("crashing", "echo I fail; exit 42"))?;
    let instance =
        rig.until_instance("crashing", |one| waiting(one, "CrashLoopBackOff") && restarted(one))?;
    let end = last_end(&instance);
    let end = if end.is_null() { &container(&instance)["state"]["terminated"] } else { end };
    ensure!(end["exitCode"] == 42 && end["reason"] == "Error", "{instance:#}");
    ensure!(not_ready(&instance), "{instance:#}");
    rig.event(name(&instance)?, "BackOff", "restarting failed container main in pod crashing")?;
    let waits = container(&instance)["state"]["waiting"]["message"].as_str().unwrap_or_default();
    ensure!(waits.starts_with("back-off ") && waits.contains("failed container=main"), "{waits}");
    let seen = rig.kubectl(&["get", "pod", name(&instance)?, "--no-headers"])?;
    ensure!(seen.contains("CrashLoopBackOff") || seen.contains("Error"), "{seen}");
    // The pauses grow: each is twice the one before.
    let pause = |one: &Value| -> Option<u64> {
        let words = container(one)["state"]["waiting"]["message"].as_str()?;
        words.split(' ').nth(1)?.strip_suffix('s')?.parse().ok()
    };
    let first = pause(&instance).context("no pause is told")?;
    let longer = rig.wait("a longer pause", || {
        let there = rig.instances("crashing")?;
        Ok(there.first().and_then(pause).filter(|longer| *longer > first))
    })?;
    ensure!(longer == 2 * first, "after {first} s, it waits {longer} s");
    let log = rig.nexusctl(&["logs", name(&instance)?])?;
    ensure!(log == "I fail\n", "{log:?}");
    let mut missing = workload("missing", "true");
    main_of(&mut missing)["command"] = json!(["/bin/no-such-program"]);
    rig.apply(&missing)?;
    let instance =
        rig.until_instance("missing", |one| !container(one)["state"]["waiting"].is_null() && restarted(one))?;
    ensure!(instance.to_string().contains("no-such-program"), "{instance:#}");
    rig.ends_clean(&["crashing", "missing"])
}

#[test]
fn probes_that_fail_keep_an_instance_unready_or_start_it_again() -> Result<()> {
    let Some(rig) = Rig::start("probes_that_fail_keep_an_instance_unready_or_start_it_again")? else {
        return Ok(());
    };
    let mut unready = workload("unready", "exec sleep 1000");
    main_of(&mut unready)["readinessProbe"] =
        json!({"exec": {"command": ["sh", "-c", "echo not yet; exit 1"]}, "periodSeconds": 1});
    rig.apply(&unready)?;
    let mut dying = workload("dying", "trap 'exit 0' TERM; touch /fine; sleep 1000 & wait");
    main_of(&mut dying)["livenessProbe"] =
        json!({"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 2});
    rig.apply(&dying)?;
    let mut stuck = workload("stuck", "trap 'exit 0' TERM; sleep 1000 & wait");
    let main = main_of(&mut stuck);
    main["startupProbe"] = json!({"exec": {"command": ["sh", "-c", "echo still starting; exit 1"]}, "periodSeconds": 1, "failureThreshold": 3});
    // Until it has started, nothing else is asked.
    main["livenessProbe"] = json!({"exec": {"command": ["touch", "/asked"]}, "periodSeconds": 1});
    rig.apply(&stuck)?;
    let instance =
        rig.until_instance("unready", |one| !container(one)["state"]["running"].is_null() && not_ready(one))?;
    rig.event(name(&instance)?, "Unhealthy", "not yet")?;
    let web = rig.get("workload/unready")?;
    ensure!(condition(&web, "Available").is_some_and(|available| available["status"] == "False"), "{web:#}");
    let instance = rig.until_instance("dying", restarted)?;
    rig.event(name(&instance)?, "Unhealthy", "Liveness")?;
    rig.event(name(&instance)?, "Killing", "")?;
    let instance = rig.until_instance("stuck", restarted)?;
    rig.event(name(&instance)?, "Unhealthy", "Startup probe failed: still starting")?;
    rig.event(name(&instance)?, "Killing", "failed startup probe")?;
    ensure!(not_ready(&instance), "{instance:#}");
    let asked = rig.nexusctl(&["exec", name(&instance)?, "--", "test", "-e", "/asked"]);
    ensure!(asked.is_err(), "its liveness was asked for before it had started");
    rig.ends_clean(&["unready", "dying", "stuck"])
}

#[test]
fn a_missing_secret_is_named_and_waited_for() -> Result<()> {
    let Some(rig) = Rig::start("a_missing_secret_is_named_and_waited_for")? else { return Ok(()) };
    let mut needy = workload("needy", "echo the word is $WORD; exec sleep 1000");
    main_of(&mut needy)["env"] =
        json!([{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "first"}}}]);
    rig.apply(&needy)?;
    let instance = rig.until_instance("needy", |one| {
        one["status"].to_string().contains("secret \\\"words\\\" not found")
    })?;
    ensure!(not_ready(&instance) || condition(&instance, "Ready").is_none(), "{instance:#}");
    rig.event(name(&instance)?, "Failed", "words")?;
    rig.nexusctl(&["create", "secret", "generic", "words", "--from-literal=first=sesame"])?;
    let instance = rig.until_instance("needy", crate::rig::ready)?;
    let log = rig.nexusctl(&["logs", name(&instance)?])?;
    ensure!(log == "the word is sesame\n", "{log:?}");
    // What a volume lacks is told of the volume, and waited for as well.
    let mut reads = workload("reads", "cat /settings/color; exec sleep 1000");
    reads["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    main_of(&mut reads)["volumeMounts"] = json!([{"name": "settings", "mountPath": "/settings"}]);
    rig.apply(&reads)?;
    let words = "configmap \"settings\" not found";
    let instance =
        rig.until_instance("reads", |one| one["status"].to_string().contains(&words.replace('"', "\\\"")))?;
    rig.event(name(&instance)?, "FailedMount", words)?;
    rig.nexusctl(&["create", "configmap", "settings", "--from-literal=color=blue"])?;
    rig.until_instance("reads", crate::rig::ready)?;
    rig.ends_clean(&["needy", "reads"])
}

#[test]
fn what_no_node_can_hold_is_told_in_numbers() -> Result<()> {
    let Some(rig) = Rig::start("what_no_node_can_hold_is_told_in_numbers")? else { return Ok(()) };
    let mut huge = workload("huge", "exec sleep 1000");
    main_of(&mut huge)["resources"] = json!({"requests": {"cpu": "1000", "memory": "100Ti"}});
    rig.apply(&huge)?;
    let unschedulable = |one: &Value| {
        condition(one, "PodScheduled")
            .is_some_and(|bound| bound["status"] == "False" && bound["reason"] == "Unschedulable")
    };
    let instance = rig.until_instance("huge", unschedulable)?;
    let words =
        condition(&instance, "PodScheduled").map(|bound| bound["message"].to_string()).unwrap_or_default();
    ensure!(words.contains("needs 1000") && words.contains("has "), "no numbers: {words}");
    rig.event(name(&instance)?, "FailedScheduling", "needs 1000")?;
    let why = rig.nexusctl(&["why", "workload", "huge"])?;
    ensure!(why.contains("needs 1000"), "{why}");
    rig.ends_clean(&["huge"])
}

#[test]
fn limits_bite_and_say_so() -> Result<()> {
    let Some(rig) = Rig::start("limits_bite_and_say_so")? else { return Ok(()) };
    let mut eats = workload("eats", "echo I eat; exec tail -c 200000000 /dev/zero");
    main_of(&mut eats)["resources"] = json!({"limits": {"memory": "16Mi"}});
    rig.apply(&eats)?;
    let instance =
        rig.until_instance("eats", |one| restarted(one) && last_end(one)["reason"] == "OOMKilled")?;
    ensure!(last_end(&instance)["exitCode"] == 137, "{instance:#}");
    rig.event(name(&instance)?, "OOMKilled", "its limit is 16Mi")?;
    let told = rig.kubectl(&["describe", "pod", name(&instance)?])?;
    ensure!(told.contains("OOMKilled") && told.contains("137"), "{told}");
    // The shell ends when it cannot fork.
    let mut forks = workload("forks", "while true; do sleep 1000 & done");
    main_of(&mut forks)["resources"] = json!({"limits": {"pids": 20}});
    rig.apply(&forks)?;
    let instance = rig.until_instance("forks", restarted)?;
    let message = last_end(&instance)["message"].as_str().unwrap_or_default();
    ensure!(message.contains("its limit of pids (20) allows"), "{instance:#}");
    rig.event(name(&instance)?, "PidsLimitReached", "its limit of pids (20) allows")?;
    let told = rig.kubectl(&["describe", "pod", name(&instance)?])?;
    ensure!(told.contains("PidsLimitReached") && told.contains("pids"), "{told}");
    let log = rig
        .nexusctl(&["logs", "-p", name(&instance)?])
        .or_else(|_| rig.nexusctl(&["logs", name(&instance)?]))?;
    ensure!(log.contains("fork"), "the shell does not say that it cannot fork: {log:?}");
    rig.ends_clean(&["eats", "forks"])
}

#[test]
fn an_image_of_another_digest_and_a_name_that_is_none_are_told() -> Result<()> {
    let test = "an_image_of_another_digest_and_a_name_that_is_none_are_told";
    let Some(rig) = Rig::start(test)? else { return Ok(()) };
    let mut other = workload("other", "true");
    let digest = format!("sha256:{}", "0".repeat(64));
    main_of(&mut other)["image"] = json!(format!("{}@{digest}", crate::rig::IMAGE));
    main_of(&mut other)["imagePullPolicy"] = json!("Never");
    rig.apply(&other)?;
    let instance = rig.until_instance("other", |one| waiting(one, "ErrImageNeverPull"))?;
    ensure!(container(&instance)["state"].to_string().contains(&digest), "{instance:#}");
    rig.event(name(&instance)?, "ErrImageNeverPull", &digest)?;
    let mut none = workload("none", "true");
    main_of(&mut none)["image"] = json!("UPPER/Case:::1");
    match rig.apply(&none) {
        // The server may know already that it is none.
        Err(error) => ensure!(format!("{error:#}").contains("UPPER/Case"), "{error:#}"),
        Ok(()) => {
            let instance = rig.until_instance("none", |one| waiting(one, "InvalidImageName"))?;
            let words = "couldn't parse image name \"UPPER/Case:::1\": the repository \"Case\" has capitals";
            rig.event(name(&instance)?, "InspectFailed", words)?;
            let message = container(&instance)["state"]["waiting"]["message"].as_str();
            ensure!(message.is_some_and(|message| message.contains(words)), "{instance:#}");
            rig.nexusctl(&["delete", "workload", "none"])?;
        }
    }
    rig.ends_clean(&["other"])
}
