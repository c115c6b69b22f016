//! Having an image here, and beginning a run.

use super::act::{root_id, started};
use super::run_id;
use crate::connectivity::Attached;
use crate::containers::{Making, NotMade};
use crate::failure::chain;
use crate::host::Host;
use crate::images::{Ready, keyring};
use crate::objects::Glance;
use hypermesh_image::Digest;
use hypermesh_planner::{Exit, ExitReason, Fields, Gravity, Instance, Notice, Outcome, Refusal, Sources};
use hypermesh_runtime::{Container as Running, RuntimeError, Sandbox};
use hypermesh_schemas::workload::container::{Container, ImagePullPolicy};
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// An image on its way.
pub(super) struct Fetching {
    pub host: Host,
    pub container: Container,
    pub policy: ImagePullPolicy,
    pub attempt: u32,
    pub secrets: Vec<String>,
    pub pulls: bool,
    pub objects: Glance,
    pub holder: String,
    pub instance: Arc<Instance>,
    /// The root file system that it is fetched for.
    pub root: String,
    /// Whether the instance is to go.
    pub ending: watch::Receiver<bool>,
}

impl Fetching {
    pub async fn fetch(self) -> Outcome {
        let (container, attempt) = (self.container.name.to_string(), self.attempt);
        if self.pulls
            && !self.secrets.is_empty()
            && let Err(message) = self.objects.known().await
        {
            return Outcome::ImageRefused { container, attempt, refusal: Refusal::ErrImagePull, message };
        }
        let missing: Vec<String> =
            self.secrets.iter().filter(|name| self.objects.secret(name).is_none()).cloned().collect();
        if self.pulls && !missing.is_empty() {
            // kubelet's word and words: it goes on, and may not get far.
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            let (gravity, reason) = (Gravity::Warning, "FailedToRetrieveImagePullSecret");
            self.host
                .announcer
                .instance(&self.instance, Notice { gravity, container: None, reason, message });
        }
        let keys = match keyring(&self.objects, self.secrets) {
            Ok(keys) => keys,
            Err(message) => {
                return Outcome::ImageRefused { container, attempt, refusal: Refusal::ErrImagePull, message };
            }
        };
        match self.host.images.fetch(&self.container.image, self.policy, &keys, &self.holder).await {
            Ok(fetched) => {
                // Made beside the sandbox, and not after it. Why it cannot be made is told when it is asked for.
                let _ = self.host.images.root(&self.root, &fetched.digest).await;
                if *self.ending.borrow() {
                    // Who clears away may have been here already.
                    self.host.images.let_go(&self.holder, &self.root).await;
                }
                let (id, pulled) = (fetched.digest.to_string(), fetched.pulled);
                Outcome::ImageReady { container, attempt, id, pulled }
            }
            Err(not) => {
                let message = with_missing(not.message, not.refusal, &missing);
                Outcome::ImageRefused { container, attempt, refusal: not.refusal, message }
            }
        }
    }
}

/// Why an image is not pulled, with the pull secrets that might have helped and are not there. That one is missing is no
/// reason by itself, as for kubelet.
fn with_missing(message: String, refusal: Refusal, missing: &[String]) -> String {
    match (refusal, missing) {
        (Refusal::ErrImagePull, [one]) => {
            format!("{message}; the Secret \"{one}\" of imagePullSecrets is not there")
        }
        (Refusal::ErrImagePull, [_, ..]) => {
            format!("{message}; the Secrets \"{}\" of imagePullSecrets are not there", missing.join("\", \""))
        }
        _ => message,
    }
}

/// A start under way.
pub(super) struct Starting {
    pub host: Host,
    pub instance: Arc<Instance>,
    pub container: Container,
    pub attempt: u32,
    pub sandbox: Arc<dyn Sandbox>,
    pub digest: Option<Digest>,
    pub sources: Sources,
    pub fields: Fields,
    pub attached: Attached,
    /// Whether the instance is to go.
    pub ending: watch::Receiver<bool>,
}

/// Does something unless the instance is to go before it is done: its end waits for no start, however long that takes.
pub(super) async fn unless<T>(
    mut ending: watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Result<T, Refused> {
    tokio::select! {
        done = work => Ok(done),
        _ = ending.wait_for(|ends| *ends) => {
            Err((Refusal::CreateContainerError, "the instance is to go, and its start was given up".to_owned()))
        }
    }
}

/// Why a run did not begin: what kind of refusal, and in words.
pub(super) type Refused = (Refusal, String);

impl Starting {
    pub async fn start(self) -> Result<(Option<Arc<dyn Running>>, Outcome), Refused> {
        let create = |why: String| (Refusal::CreateContainerError, why);
        let name = self.container.name.as_str();
        let id =
            run_id(name, self.attempt).ok_or_else(|| create(format!("{name} is no name of a container")))?;
        self.clear().await.map_err(create)?;
        let digest = self.digest.as_ref().ok_or_else(|| create("its image is not here".to_owned()))?;
        let images = &self.host.images;
        let snapshot = root_id(&self.instance, name, self.attempt);
        let Ready { image, user: image_user, root } =
            images.ready(&snapshot, digest).await.map_err(create)?;
        let making = Making {
            instance: &self.instance,
            container: &self.container,
            attempt: self.attempt,
            image: &image,
            image_user: &image_user,
            root,
            sources: &self.sources,
            fields: &self.fields,
            base: &self.base(),
            volumes: &self.host.volumes,
            layout: &self.host.layout,
            policy: &self.host.policy,
            node_memory: self.host.memory,
            least_oom_score: self.host.least_oom_score,
        };
        let spec = making.spec().map_err(|error| match error {
            NotMade::Config(_) | NotMade::Refused(_) => {
                (Refusal::CreateContainerConfigError, error.to_string())
            }
        })?;
        if let Some(folder) = spec.log.as_ref().and_then(|log| log.path.parent()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| create(format!("cannot make its log: {error}")))?;
            forget_old_logs(folder, self.attempt);
        }
        let began = Timestamp::now();
        let running = match unless(self.ending.clone(), self.sandbox.create(id, spec)).await? {
            Ok(running) => running,
            Err(error) => return self.not_begun(&error, began),
        };
        if let Err(error) = unless(self.ending.clone(), running.start()).await? {
            let told = self.not_begun(&error, began);
            let _ = running.delete().await;
            return told;
        }
        let outcome = started(name, self.attempt, &running, &self.instance);
        Ok((Some(running), outcome))
    }

    /// What cannot be executed counts as a run that failed; everything else as none.
    fn not_begun(
        &self,
        error: &RuntimeError,
        began: Timestamp,
    ) -> Result<(Option<Arc<dyn Running>>, Outcome), Refused> {
        use hypermesh_shim::protocol::RefusalKind;
        let message = chain(error);
        let cannot_run = matches!(
            error,
            RuntimeError::Refused { source, .. } if source.kind == RefusalKind::CannotExecute
        );
        if !cannot_run {
            return Err((Refusal::CreateContainerError, message));
        }
        let exit = Exit {
            id: String::new(),
            code: 128,
            signal: None,
            reason: ExitReason::CannotRun,
            message: Some(message),
            started: began,
            finished: Timestamp::now(),
        };
        let container = self.container.name.to_string();
        Ok((None, Outcome::Exited { container, attempt: self.attempt, exit }))
    }

    /// Removes what is left of the runs before, and of this one if an agent died while it began it.
    async fn clear(&self) -> Result<(), String> {
        let name = self.container.name.as_str();
        for attempt in [self.attempt.checked_sub(1), Some(self.attempt)].into_iter().flatten() {
            let Some(id) = run_id(name, attempt) else { continue };
            if let Some(old) = self.sandbox.container(&id) {
                old.delete().await.map_err(|error| chain(&error))?;
            }
            let snapshot = root_id(&self.instance, name, attempt);
            if attempt < self.attempt {
                self.host.images.remove_root(&snapshot).await.map_err(|error| chain(&error))?;
            }
        }
        Ok(())
    }

    fn base(&self) -> Vec<(String, String)> {
        let mut base = vec![("HOSTNAME".to_owned(), self.instance.name.clone())];
        if let Some(server) = self.attached.api_server {
            base.push(("KUBERNETES_SERVICE_HOST".to_owned(), server.ip().to_string()));
            base.push(("KUBERNETES_SERVICE_PORT".to_owned(), server.port().to_string()));
            base.push(("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), server.port().to_string()));
        }
        base
    }
}

/// Of a container's logs, those of its last two runs are kept.
fn forget_old_logs(folder: &Path, attempt: u32) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.split('.').next()).and_then(|of| of.parse::<u32>().ok());
        if of.is_some_and(|of| of.saturating_add(1) < attempt) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn the_end_waits_for_no_start() {
        let (ends, ending) = watch::channel(false);
        assert_eq!(unless(ending.clone(), std::future::ready(7)).await.unwrap(), 7);
        let hanging = tokio::spawn(unless(ending.clone(), pending::<()>()));
        ends.send_replace(true);
        assert!(hanging.await.unwrap().unwrap_err().1.contains("to go"));
        // Nor does it if the worker is gone.
        let (gone, ending) = watch::channel(false);
        drop(gone);
        unless(ending, pending::<()>()).await.unwrap_err();
    }
}
