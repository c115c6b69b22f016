//! What containers are given: files that follow their ConfigMap, Secrets, and a way to the API.

use crate::rig::{Rig, name, ready};
use crate::traces::{children, shims};
use crate::web::{main_of, workload};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::path::Path;

#[test]
fn what_a_container_is_given_reaches_it_and_follows() -> Result<()> {
    let Some(rig) = Rig::start("what_a_container_is_given_reaches_it_and_follows")? else { return Ok(()) };
    rig.nexusctl(&["create", "configmap", "settings", "--from-literal=color=blue"])?;
    rig.nexusctl(&["create", "secret", "generic", "words", "--from-literal=first=sesame"])?;
    let mut reads = workload("reads", "exec sleep 1000");
    reads["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    let main = main_of(&mut reads);
    main["volumeMounts"] = json!([{"name": "settings", "mountPath": "/settings"}]);
    main["env"] = json!([{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "first"}}}]);
    rig.apply(&reads)?;
    let instance = rig.until_instance("reads", ready)?;
    let one = name(&instance)?;
    let inside = |script: &str| rig.nexusctl(&["exec", one, "--", "sh", "-c", script]);
    ensure!(inside("cat /settings/color; echo; echo $WORD")? == "blue\nsesame\n", "other contents");
    let patch = json!({"data": {"color": "green"}}).to_string();
    rig.nexusctl(&["patch", "configmap", "settings", "--type", "merge", "-p", &patch])?;
    rig.wait(
        "the ConfigMap's new content",
        || Ok((inside("cat /settings/color")? == "green").then_some(())),
    )?;
    rig.ends_clean(&["reads"])
}

/// busybox knows no TLS 1.3, and looks at no certificate: the host's curl asks, in the instance's network, with the
/// token, the authority and the address that the container is given.
#[test]
fn the_api_answers_from_inside() -> Result<()> {
    let Some(rig) = Rig::start("the_api_answers_from_inside")? else { return Ok(()) };
    rig.apply(&workload("asks", "exec sleep 1000"))?;
    let instance = rig.until_instance("asks", ready)?;
    let one = name(&instance)?;
    let inside = |script: &str| rig.nexusctl(&["exec", one, "--", "sh", "-c", script]);
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    let authority = rig.folder().join("inside.crt");
    std::fs::write(&authority, inside(&format!("cat {folder}/ca.crt"))?)?;
    let token = inside(&format!("cat {folder}/token"))?;
    ensure!(inside(&format!("cat {folder}/namespace"))? == "default", "another namespace");
    let place = inside("echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT")?;
    let (host, port) = place.trim().split_once(' ').context("no address of the API")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let shim = shims(&rig.agent()).first().context("there is no shim")?.0;
    let process = children(shim).first().context("the shim has no child")?.to_string();
    let ask = |token: &str| {
        let (authority, url) = (authority.display().to_string(), format!("https://{host}:{port}/apis"));
        let bearer = format!("Authorization: Bearer {token}");
        let curl =
            ["curl", "-sS", "-m", "20", "--cacert", &authority, "-H", &bearer, "-w", "%{http_code}", &url];
        let arguments: Vec<&str> = ["--net", "--target", &process].into_iter().chain(curl).collect();
        rig.run(Path::new("nsenter"), &arguments, "")
    };
    let answer = ask(&token)?.ok()?;
    ensure!(answer.contains("hypermesh.online") && answer.ends_with("200"), "{answer}");
    let answer = ask("nonsense")?.ok()?;
    ensure!(answer.ends_with("401"), "{answer}");
    rig.ends_clean(&["asks"])
}

/// No image has the places of what is mounted in it, and the container is to write to none but what it is given.
#[test]
fn a_root_that_is_only_read_has_all_that_others_have() -> Result<()> {
    let Some(rig) = Rig::start("a_root_that_is_only_read_has_all_that_others_have")? else { return Ok(()) };
    let script = "echo to the log > /dev/stdout; exec sleep 1000";
    let mut reads = workload("reads", script);
    reads["spec"]["template"]["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
    let main = main_of(&mut reads);
    main["securityContext"] = json!({"readOnlyRootFilesystem": true});
    main["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp/deep"}]);
    rig.apply(&reads)?;
    let instance = rig.until_instance("reads", ready)?;
    let one = name(&instance)?;
    let inside = |script: &str| rig.nexusctl(&["exec", one, "--", "sh", "-c", script]);
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let seen = inside(&format!(
        "cat /etc/hosts /etc/resolv.conf >/dev/null && cat {token} >/dev/null && echo x >/tmp/deep/x && echo seen"
    ))?;
    ensure!(seen == "seen\n", "{seen}");
    for place in ["/x", "/etc/hosts", "/etc/x", "/tmp/x", "/bin/x"] {
        let wrote = inside(&format!("echo x 2>/dev/null >{place} && echo wrote || echo refused"))?;
        ensure!(wrote.ends_with("refused\n"), "{place}: {wrote}");
    }
    let log = rig.nexusctl(&["logs", one])?;
    ensure!(log == "to the log\n", "{log}");
    rig.ends_clean(&["reads"])
}
