//! Images that a registry has: pulled with a password, over a line that breaks, from a mirror; and what is refused.

use crate::registry::{Registry, USER};
use crate::rig::{Rig, container, name, ready};
use crate::web::{main_of, workload};
use anyhow::{Context as _, Result, ensure};
use hypermesh_image::Digest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes that do not compress: a layer that takes a while.
const LARGE: usize = 6 << 20;

/// A Secret with a password for a registry.
fn secret(name: &str, host: &str, password: &str) -> Value {
    let (user, _) = USER.split_once(':').unwrap_or((USER, ""));
    let config = json!({"auths": {host: {"username": user, "password": password}}}).to_string();
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config},
    })
}

fn of_image(name: &str, image: &str, secret: Option<&str>) -> Value {
    let mut made = workload(name, "ls -l /large; exec sleep 1000");
    main_of(&mut made)["image"] = json!(image);
    let secrets = secret.map(|secret| json!({"name": secret}));
    made["spec"]["template"]["spec"]["imagePullSecrets"] = secrets.into_iter().collect();
    made
}

/// Why a workload's image is not there, once it is told.
fn refusal(rig: &Rig, workload: &str) -> Result<(String, String)> {
    let refused = rig.until_instance(workload, |one| {
        let reason = container(one)["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        reason == "ErrImagePull" || reason == "ImagePullBackOff"
    })?;
    let message = container(&refused)["state"]["waiting"]["message"].as_str().context("no message")?;
    Ok((name(&refused)?.to_owned(), message.to_owned()))
}

/// Expects why a workload's image is not there, in its status and in an event.
fn is_refused(rig: &Rig, workload: &Value, words: &[&str]) -> Result<()> {
    rig.apply(workload)?;
    let (instance, message) = refusal(rig, name(workload)?)?;
    for words in words {
        ensure!(message.contains(words), "no {words:?} in {message:?}");
    }
    rig.event(&instance, "Failed", words.first().context("no words")?)?;
    rig.nexusctl(&["delete", "workload", name(workload)?])?;
    Ok(())
}

/// An OCI layout with one image for this machine and another's, as build tools make them; gives it, and what pins both.
fn layout(rig: &Rig) -> Result<(PathBuf, Digest, Digest)> {
    let large = rig.folder().join("large");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(LARGE);
    while bytes.len() < LARGE {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend(seed.to_le_bytes());
    }
    std::fs::write(&large, bytes)?;
    let large = format!("{}=/large", large.display());
    let other = if cfg!(target_arch = "aarch64") { "linux/amd64" } else { "linux/arm64" };
    let own = rig.pack("example.org/team/app:1", "own", &[&large])?;
    let others = rig.pack("example.org/team/app:1", "others", &["--platform", other])?;
    let folder = rig.folder().join("layout");
    std::fs::create_dir(&folder)?;
    let mut manifests = Vec::new();
    for archive in [own, others] {
        let unpacked = Command::new("tar").args(["-xf", &archive, "-C"]).arg(&folder).status()?;
        ensure!(unpacked.success(), "tar does not unpack {archive}");
        let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
        manifests.push(index["manifests"][0].clone());
    }
    let pins: Vec<Digest> = manifests
        .iter()
        .map(|manifest| Ok(manifest["digest"].as_str().context("no digest")?.parse()?))
        .collect::<Result<_>>()?;
    // One is for this machine, the other says for which it is.
    let (os, architecture) = other.split_once('/').context("no platform")?;
    manifests[1]["platform"] = json!({"os": os, "architecture": architecture});
    let own = if other.ends_with("arm64") { "amd64" } else { "arm64" };
    manifests[0]["platform"] = json!({"os": "linux", "architecture": own});
    for manifest in &mut manifests {
        manifest.as_object_mut().context("no descriptor")?.remove("annotations");
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).to_string();
    let digest = Digest::of(index.as_bytes());
    std::fs::write(folder.join("blobs/sha256").join(digest.hex()), &index)?;
    let entry = json!({
        "mediaType": kind, "digest": digest, "size": index.len(),
        "annotations": {"org.opencontainers.image.ref.name": "1"},
    });
    let top = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    std::fs::write(folder.join("index.json"), top)?;
    let [own, others] = <[Digest; 2]>::try_from(pins).ok().context("not two")?;
    Ok((folder, own, others))
}

/// That an image lies here is of no use to who could not have it; and the next agent knows that too.
fn of_whoever_opened_it(rig: &mut Rig, image: &str, unknown: &str) -> Result<()> {
    for again in [false, true] {
        if again {
            rig.end_agent()?;
            rig.begin_agent()?;
        }
        is_refused(rig, &of_image("without", image, None), &[unknown])?;
        is_refused(rig, &of_image("guessed", image, Some("guess")), &[unknown])?;
        let mut never = of_image("never", image, None);
        main_of(&mut never)["imagePullPolicy"] = json!("Never");
        rig.apply(&never)?;
        let waits = |one: &Value| container(one)["state"]["waiting"].clone();
        let refused = rig.until_instance("never", |one| waits(one)["reason"] == "ErrImageNeverPull")?;
        let message = waits(&refused)["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("was pulled with other credentials"), "{message}");
        rig.nexusctl(&["delete", "workload", "never"])?;
        // Who shows the same is not even asked for it.
        rig.apply(&of_image("same", image, Some("late")))?;
        let same = rig.until_instance("same", ready)?;
        rig.event(name(&same)?, "Pulled", "already present on machine")?;
        rig.nexusctl(&["delete", "workload", "same"])?;
    }
    Ok(())
}

#[test]
fn a_registry_is_pulled_from_with_a_password_over_a_line_that_breaks() -> Result<()> {
    let test = "a_registry_is_pulled_from_with_a_password_over_a_line_that_breaks";
    let Some(registry) = Registry::start(test)? else { return Ok(()) };
    let host = registry.host.clone();
    let mirror = format!("registry.test={host}/team");
    let Some(mut rig) = Rig::start_apart(test, &["--plain-http", &host, "--mirror", &mirror])? else {
        return Ok(());
    };
    let (folder, own, others) = layout(&rig)?;
    registry.push(&format!("oci:{}:1", folder.display()), "team/app:1")?;
    let image = format!("{host}/team/app:1");

    // Without a password, with a wrong one, with one that is not there yet.
    let unknown = "wants to know who asks for team/app";
    let advice = "name a Secret of type kubernetes.io/dockerconfigjson";
    is_refused(&rig, &of_image("open", &image, None), &[unknown, advice, &image])?;
    rig.apply(&secret("guess", &host, "guess"))?;
    let wrong = "it did not take the credentials that it was shown";
    is_refused(&rig, &of_image("guessed", &image, Some("guess")), &[unknown, wrong])?;
    rig.apply(&of_image("late", &image, Some("late")))?;
    let (_, message) = refusal(&rig, "late")?;
    let missing = "the Secret \"late\" of imagePullSecrets is not there";
    ensure!(message.contains(missing) && message.contains(unknown), "{message}");
    ensure!(!message.contains("guess"), "the password is told: {message}");

    // It comes, and the line breaks in the middle of the layer: what came is not fetched again.
    registry.cut_after(2 << 20);
    rig.apply(&secret("late", &host, "secret"))?;
    let instance = rig.until_instance("late", ready)?;
    let (cut, came) = registry.came();
    ensure!(cut, "the line did not break");
    let most = u64::try_from(LARGE)? * 5 / 4;
    ensure!(came < most, "{came} bytes came of a layer of {LARGE}: it was begun anew");
    let id = container(&instance)["imageID"].as_str().unwrap_or_default();
    ensure!(id.contains(own.hex()), "{id} runs, and {own} is for this machine");
    rig.event(name(&instance)?, "Pulled", &format!("Successfully pulled image \"{image}\""))?;

    of_whoever_opened_it(&mut rig, &image, unknown)?;
    asked_for_by_people(&rig, &registry, &image, &own)?;

    // What the name says is not what is there.
    let nothing = format!("{host}/team/nothing:1");
    is_refused(&rig, &of_image("nothing", &nothing, Some("late")), &["is the name right", &nothing])?;
    let pinned = format!("{host}/team/app@sha256:{}", "1".repeat(64));
    is_refused(&rig, &of_image("pinned", &pinned, Some("late")), &[&pinned, "is the name right"])?;
    let foreign = format!("{host}/team/app@{others}");
    is_refused(&rig, &of_image("foreign", &foreign, Some("late")), &[&foreign, "linux/"])?;
    registry.lie(Some(&std::fs::read_to_string(folder.join("blobs/sha256").join(own.hex()))?));
    let expected = format!("a manifest was asked for by sha256:{}, and what came is {own}", "1".repeat(64));
    is_refused(&rig, &of_image("lied", &pinned, Some("late")), &[&expected])?;
    registry.lie(None);
    rig.ends_clean(&["late"])
}

/// `nexusctl image pull`: without a password, with a Secret's, with a file's, and from the registry's mirror.
fn asked_for_by_people(rig: &Rig, registry: &Registry, image: &str, own: &Digest) -> Result<()> {
    let pull =
        |more: &[&str]| rig.run(&hypermesh_e2e::load::binary()?, &[&["image", "pull"], more].concat(), "");
    let refused = pull(&[image])?;
    ensure!(refused.code != 0 && refused.err.contains("wants to know who asks"), "{refused:?}");
    let pulled = pull(&[image, "--secret", "late"])?.ok()?;
    ensure!(pulled.contains(own.hex()), "{pulled}");
    let none = pull(&[image, "--secret", "none"])?;
    ensure!(none.code != 0 && none.err.contains("secrets \"none\" not found"), "{none:?}");
    let file = rig.folder().join("auth.json");
    let wrong = "{\n \"auths\": []}";
    std::fs::write(&file, wrong)?;
    let path = file.display().to_string();
    let told = pull(&[image, "--auth-file", &path])?;
    ensure!(told.code != 0 && told.err.contains(&path) && told.err.contains("line 2"), "{told:?}");
    let auths = json!({"auths": {&registry.host: {"username": "me", "password": "secret"}}});
    std::fs::write(&file, auths.to_string())?;
    // The name's own registry is nowhere: its mirror has it.
    let mirrored = pull(&["registry.test/app:1", "--auth-file", &path])?.ok()?;
    ensure!(mirrored.contains("registry.test/app:1") && mirrored.contains(own.hex()), "{mirrored}");
    let listed = rig.run(Path::new("kubectl"), &["get", "nodes", "-o", "yaml"], "")?;
    ensure!(!listed.out.contains("secret"), "a node tells a password");
    Ok(())
}
