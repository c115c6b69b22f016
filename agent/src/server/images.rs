//! The node's images, told, pulled, taken in and removed for API servers.

use super::{Answer, Desk, Refusal, Sink, failed, json, not_found, streamed};
use crate::failure::chain;
use crate::images::{Images, blocking};
use crate::settings::Layout;
use crate::workers::Workers;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hypermesh_image::{
    Descriptor, ImageConfig, ImportOptions, Keyring, Manifest, Platform, Reference, StoreError,
};
use hypermesh_stream::ImageAction;
use hypermesh_stream::image::{self, Progress};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use stoq::http3::Body;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

/// The most bytes of credentials that a request may have: as many as a Secret.
const CREDENTIALS: usize = 1 << 20;
/// Digits of a digest by which an image is removed: as many as lists show.
const ENOUGH: usize = 12;
/// How often a pull tells how far it is.
const TELL: Duration = Duration::from_millis(500);

pub(super) async fn answer(desk: &Desk, action: ImageAction, body: Body) -> Result<Answer, Refusal> {
    let images = desk.host.images.clone();
    let names = desk.names();
    match action {
        ImageAction::List(None) => {
            let items = blocking(move || list(&images, &names)).await;
            Ok(json(&image::Images { items }))
        }
        ImageAction::List(Some(reference)) => {
            let found = blocking(move || one(&images, &reference, &names)).await?;
            Ok(json(&image::Images { items: vec![found] }))
        }
        ImageAction::Pull(reference) => {
            let name: Reference = reference
                .parse()
                .map_err(|error: hypermesh_image::ReferenceError| failed(400, "BadRequest", error))?;
            let keyring = credentials(body).await?;
            Ok(pull(images, names, desk.workers.clone(), name, keyring))
        }
        ImageAction::Import => {
            let folder = incoming(&desk.host.layout);
            let (sink, answer) = streamed("application/json");
            let workers = desk.workers.clone();
            tokio::spawn(async move {
                let last = import(images, names, folder, body, &sink).await;
                look_again(&last, &workers);
                say(&sink, &last).await;
            });
            Ok(answer)
        }
        ImageAction::Remove(reference) => {
            blocking(move || remove(&images, &reference, &names)).await?;
            Ok(json(&image::Images::default()))
        }
    }
}

/// Where archives lie while they come.
fn incoming(layout: &Layout) -> PathBuf {
    layout.root().join("incoming")
}

/// Removes archives that an agent before this one was killed over. To be called before any is taken.
pub(crate) fn forget_half_imported(layout: &Layout) {
    for entry in std::fs::read_dir(incoming(layout)).into_iter().flatten().flatten() {
        match std::fs::remove_file(entry.path()) {
            Ok(()) => {
                tracing::info!(path = %entry.path().display(), "an archive that did not come whole is removed")
            }
            Err(error) => {
                tracing::warn!(path = %entry.path().display(), %error, "an archive stays that did not come whole")
            }
        }
    }
}

/// Instances by their uids.
type Names = BTreeMap<String, String>;

impl Desk {
    fn names(&self) -> Names {
        let name = |view: crate::worker::View| {
            let instance = &view.instance;
            (instance.uid.to_string(), format!("{}/{}", instance.namespace, instance.name))
        };
        self.workers.views().into_iter().map(name).collect()
    }
}

fn list(images: &Images, names: &Names) -> Vec<image::Image> {
    let (found, damaged) = images.store().images();
    for (digest, error) in damaged {
        tracing::warn!(%digest, error = chain(&error), "an image is damaged");
    }
    let mut items: Vec<_> = found.into_iter().map(|found| tell(images, found, names)).collect();
    items.sort_by(|a, b| a.names.cmp(&b.names));
    items
}

fn tell(images: &Images, found: hypermesh_image::Image, names: &Names) -> image::Image {
    let holders = images.store().users(&found.manifest_digest).unwrap_or_default();
    let mut used_by: Vec<String> = holders
        .iter()
        .filter_map(|holder| names.iter().find(|(uid, _)| holder.starts_with(uid.as_str())))
        .map(|(_, name)| name.clone())
        .collect();
    used_by.sort();
    used_by.dedup();
    let last_used = i64::try_from(found.record.last_used).ok();
    let platform = built_for(&found.config, &found.platform);
    image::Image {
        digest: found.manifest_digest.to_string(),
        names: found.names,
        size_bytes: found.bytes,
        platform: platform.to_string(),
        last_used: last_used.and_then(|at| Timestamp::from_second(at).ok()).map(|at| at.to_string()),
        used_by,
        ..image::Image::default()
    }
}

/// What an image was built for, as it says itself: the platform that it was chosen for is the node's.
fn built_for(config: &ImageConfig, chosen: &Platform) -> Platform {
    let silent = config.os.is_empty() && config.architecture.is_empty();
    if silent { chosen.clone() } else { config.platform() }
}

/// What an image says of itself.
fn describe(manifest: &Manifest, config: &ImageConfig) -> (image::Config, Vec<image::Layer>) {
    let run = config.config.clone();
    let told = image::Config {
        digest: manifest.config.digest.to_string(),
        created: config.created.clone(),
        entrypoint: run.entrypoint,
        cmd: run.cmd,
        env: run.env,
        ports: run.exposed_ports.into_keys().collect(),
        volumes: run.volumes.into_keys().collect(),
        user: run.user,
        working_dir: run.working_dir,
        stop_signal: run.stop_signal,
        labels: run.labels,
    };
    let layer = |layer: &Descriptor| image::Layer {
        digest: layer.digest.to_string(),
        media_type: layer.media_type.clone(),
        size_bytes: layer.size,
    };
    (told, manifest.layers.iter().map(layer).collect())
}

fn one(images: &Images, reference: &str, names: &Names) -> Result<image::Image, Refusal> {
    match images.store().find(reference) {
        Ok(found) => {
            let (config, layers) = describe(&found.manifest, &found.config);
            Ok(image::Image { config: Some(config), layers, ..tell(images, found, names) })
        }
        Err(StoreError::NoImage(_)) => {
            Err(not_found(format!("image \"{reference}\" not found on this node")))
        }
        Err(error @ StoreError::Several(_)) => Err(failed(409, "Conflict", chain(&error))),
        Err(error) => Err(failed(500, "InternalError", chain(&error))),
    }
}

/// The names that go: the one that was said, or all of an image that was called by its digest. A few digits find an image,
/// and are too little to take one away by: who mistypes a name has typed some.
fn going(reference: &str, names: Vec<String>) -> Result<Vec<String>, Refusal> {
    let said = reference.parse::<Reference>().map(|name| name.to_string());
    if let Ok(name) = said
        && names.contains(&name)
    {
        return Ok(vec![name]);
    }
    let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(vec![reference.to_owned()]);
    }
    if digits.len() < ENOUGH {
        let words = format!(
            "{reference} is the beginning of a digest: say {ENOUGH} digits of it, or which name is meant: {}",
            names.join(", ")
        );
        return Err(failed(400, "BadRequest", words));
    }
    Ok(names)
}

fn remove(images: &Images, reference: &str, names: &Names) -> Result<(), Refusal> {
    let found = one(images, reference, names)?;
    if !found.used_by.is_empty() {
        let words = format!("image \"{reference}\" is used by {}", found.used_by.join(", "));
        return Err(failed(409, "Conflict", words));
    }
    let gone = going(reference, found.names)?;
    for name in gone {
        let name: Reference = name
            .parse()
            .map_err(|error: hypermesh_image::ReferenceError| failed(400, "BadRequest", error))?;
        images.store().unname(&name).map_err(|error| failed(500, "InternalError", chain(&error)))?;
    }
    Ok(())
}

/// The credentials that came with a request; what is wrong with them is told without them.
async fn credentials(body: Body) -> Result<Keyring, Refusal> {
    let refused = |why: String| failed(400, "BadRequest", format!("the credentials of the request: {why}"));
    let body = http_body_util::Limited::new(body, CREDENTIALS);
    let bytes = body.collect().await.map_err(|error| refused(chain(error.as_ref())))?.to_bytes();
    if bytes.is_empty() {
        return Ok(Keyring::empty());
    }
    Keyring::from_docker_config(&bytes).map_err(|error| refused(chain(&error)))
}

fn pull(images: Images, names: Names, workers: Workers, name: Reference, keyring: Keyring) -> Answer {
    let (sink, answer) = streamed("application/json");
    tokio::spawn(async move {
        let (progress, mut told) = watch::channel(hypermesh_image::Progress::default());
        let pulling = images.pull_telling(&name, &keyring, &progress);
        let mut pulling = std::pin::pin!(pulling);
        let result = loop {
            tokio::select! {
                result = &mut pulling => break result,
                () = sink.closed() => return,
                () = tokio::time::sleep(TELL) => {
                    let now = told.borrow_and_update().clone();
                    for layer in &now.layers {
                        let line = Progress {
                            layer: Some(layer.digest.to_string()),
                            done_bytes: layer.done,
                            total_bytes: Some(layer.size),
                            ..Progress::default()
                        };
                        say(&sink, &line).await;
                    }
                }
            }
        };
        let last = match result {
            Ok((digest, _)) => {
                let (images, reference) = (images.clone(), digest.to_string());
                settle(blocking(move || one(&images, &reference, &names)).await)
            }
            Err(not) => Progress { error: Some(not.message), ..Progress::default() },
        };
        look_again(&last, &workers);
        say(&sink, &last).await;
    });
    answer
}

fn settle(found: Result<image::Image, Refusal>) -> Progress {
    match found {
        Ok(image) => Progress { image: Some(image), ..Progress::default() },
        Err(status) => Progress { error: Some(status.message), ..Progress::default() },
    }
}

async fn say(sink: &Sink, line: &Progress) {
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    let _ = sink.send(Ok(Bytes::from(bytes))).await;
}

/// A file that goes with its name.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn import(images: Images, names: Names, folder: PathBuf, body: Body, sink: &Sink) -> Progress {
    let taken = take(&folder, body, sink).await;
    match taken {
        Ok(file) => {
            blocking(move || {
                let options = ImportOptions { unpack: true, ..ImportOptions::default() };
                let imported = images.store().import(&file.0, &options);
                let brought = imported.iter().flatten().map(|image| &image.manifest);
                if let Err(error) = images.brought(brought) {
                    let error = Some(format!(
                        "the images are here, and that they are everybody's cannot be kept: {error}"
                    ));
                    return Progress { error, ..Progress::default() };
                }
                // Where it lies meanwhile says nothing to who has sent it.
                let place = file.0.display().to_string();
                let imported = imported.map_err(|error| chain(&error).replace(&place, "what was sent"));
                match imported.as_deref() {
                    Ok([first, ..]) => settle(one(&images, &first.manifest.to_string(), &names)),
                    Ok([]) => {
                        Progress { error: Some("the archive has no image".to_owned()), ..Progress::default() }
                    }
                    Err(why) => Progress { error: Some(why.clone()), ..Progress::default() },
                }
            })
            .await
        }
        Err(why) => Progress { error: Some(why), ..Progress::default() },
    }
}

/// Whoever waits for an image looks again.
fn look_again(last: &Progress, workers: &Workers) {
    if last.image.is_some() {
        workers.image_came();
    }
}

async fn take(folder: &std::path::Path, mut body: Body, sink: &Sink) -> Result<Incoming, String> {
    let told = |error: std::io::Error| format!("the archive cannot be kept: {error}");
    tokio::fs::create_dir_all(folder).await.map_err(told)?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    let file = Incoming(folder.join(format!("{:016x}.tar", u64::from_le_bytes(random))));
    let mut out = tokio::fs::File::create_new(&file.0).await.map_err(told)?;
    let (mut done, mut said) = (0_u64, tokio::time::Instant::now());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the archive broke off after {done} bytes: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        out.write_all(&data).await.map_err(told)?;
        done = done.saturating_add(u64::try_from(data.len()).unwrap_or_default());
        if said.elapsed() >= TELL {
            said = tokio::time::Instant::now();
            say(sink, &Progress { done_bytes: done, ..Progress::default() }).await;
        }
    }
    out.flush().await.map_err(told)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_image::{Digest, Empty, Execution, OCI_LAYER_GZIP};

    #[test]
    fn a_few_digits_remove_nothing() {
        let going = |reference: &str| {
            let names = ["docker.io/library/app:1", "docker.io/library/app:2"].map(str::to_owned).to_vec();
            going(reference, names).map_err(|refused| (refused.code, refused.message))
        };
        assert_eq!(going("app:1"), Ok(vec!["docker.io/library/app:1".to_owned()]));
        let (code, words) = going("sha256:0123abcd").unwrap_err();
        assert_eq!(code, 400);
        assert!(words.contains("12 digits") && words.contains("app:2"), "{words}");
        assert!(going("beef").is_err());
        assert_eq!(going("sha256:0123456789ab").unwrap().len(), 2);
        let digest = format!("app@sha256:{}", "0".repeat(64));
        assert_eq!(going(&digest), Ok(vec![digest.clone()]), "no more than was said");
    }

    #[test]
    fn an_image_says_how_it_runs_and_what_it_was_built_for() {
        let blob = |text: &str| Descriptor::new(OCI_LAYER_GZIP, Digest::of(text.as_bytes()), 7);
        let node: Platform = "linux/amd64/v3".parse().unwrap();
        let config = ImageConfig {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            config: Execution {
                user: "1000".to_owned(),
                exposed_ports: [("8080/tcp".to_owned(), Empty {})].into(),
                env: vec!["A=b".to_owned()],
                entrypoint: vec!["/bin/httpd".to_owned()],
                cmd: vec!["-f".to_owned()],
                ..Execution::default()
            },
            ..ImageConfig::default()
        };
        assert_eq!(built_for(&config, &node).to_string(), "linux/amd64");
        assert_eq!(
            built_for(&ImageConfig::default(), &node),
            node,
            "what says nothing is what it was taken for"
        );
        let manifest = Manifest { config: blob("config"), layers: vec![blob("one"), blob("two")] };
        let (told, layers) = describe(&manifest, &config);
        assert_eq!(told.digest, Digest::of(b"config").to_string());
        assert_eq!(
            (&told.entrypoint[..], &told.cmd[..]),
            (&["/bin/httpd".to_owned()][..], &["-f".to_owned()][..])
        );
        assert_eq!((told.ports, told.user.as_str()), (vec!["8080/tcp".to_owned()], "1000"));
        assert_eq!(layers.len(), 2);
        assert_eq!((layers[1].digest.clone(), layers[1].size_bytes), (Digest::of(b"two").to_string(), 7));
    }

    #[test]
    fn archives_that_did_not_come_whole_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        forget_half_imported(&layout);
        std::fs::create_dir(incoming(&layout)).unwrap();
        std::fs::write(incoming(&layout).join("00ff.tar"), "half").unwrap();
        forget_half_imported(&layout);
        assert_eq!(std::fs::read_dir(incoming(&layout)).unwrap().count(), 0);
    }
}
