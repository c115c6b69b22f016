//! The ConfigMaps and Secrets that instances refer to, watched one by one for as long as somebody needs them: a node
//! sees no others.

use crate::failure::chain;
use futures_util::StreamExt as _;
use hypermesh_planner::{Contents, ObjectKind, Sources};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the first news of an object may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which object.
type Key = (ObjectKind, String, String);

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq)]
enum Known {
    /// Nothing yet.
    #[default]
    Nothing,
    /// It is not there.
    Absent,
    /// It is there.
    Present { kind: Option<String>, contents: Contents },
}

struct Watched {
    users: usize,
    known: watch::Receiver<Known>,
    task: tokio::task::AbortHandle,
}

/// The objects that instances refer to.
#[derive(Clone)]
pub struct Objects {
    client: kube::Client,
    watched: Arc<Mutex<BTreeMap<Key, Watched>>>,
}

/// Some objects of a namespace, watched until this is dropped.
pub struct Subscription {
    objects: Objects,
    namespace: String,
    wanted: BTreeMap<(ObjectKind, String), watch::Receiver<Known>>,
}

impl Objects {
    /// Through a client.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        Self { client, watched: Arc::default() }
    }

    /// Watches these objects of a namespace.
    #[must_use]
    pub fn subscribe(&self, namespace: &str, wanted: &BTreeSet<(ObjectKind, String)>) -> Subscription {
        let mut watched = self.watched.lock();
        let wanted = wanted.iter().map(|(kind, name)| {
            let key = (*kind, namespace.to_owned(), name.clone());
            let found = watched.entry(key.clone()).or_insert_with(|| self.watch(&key));
            found.users += 1;
            ((*kind, name.clone()), found.known.clone())
        });
        let wanted = wanted.collect();
        Subscription { objects: self.clone(), namespace: namespace.to_owned(), wanted }
    }

    fn watch(&self, (kind, namespace, name): &Key) -> Watched {
        let (sender, known) = watch::channel(Known::Nothing);
        let task = match kind {
            ObjectKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                tokio::spawn(follow(api, name.clone(), sender, config_map))
            }
            ObjectKind::Secret => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                tokio::spawn(follow(api, name.clone(), sender, secret))
            }
        };
        Watched { users: 0, known, task: task.abort_handle() }
    }
}

async fn follow<K>(api: Api<K>, name: String, known: watch::Sender<Known>, read: fn(K) -> Known)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut seen = false;
    while let Some(event) = events.next().await {
        let now = match event {
            Ok(watcher::Event::Init) => {
                seen = false;
                continue;
            }
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                seen = true;
                read(object)
            }
            Ok(watcher::Event::InitDone) if seen => continue,
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => Known::Absent,
            Err(error) => {
                tracing::debug!(name, error = chain(&error), "an object cannot be watched for the moment");
                continue;
            }
        };
        known.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }
}

fn config_map(object: ConfigMap) -> Known {
    let text = object.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let binary = object.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    Known::Present { kind: None, contents: Contents(text.chain(binary).collect()) }
}

fn secret(object: Secret) -> Known {
    let data = object.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    Known::Present { kind: object.type_, contents: Contents(data.collect()) }
}

/// What is known of some objects, by itself: it does not keep them watched.
#[derive(Clone)]
pub struct Glance {
    namespace: String,
    wanted: BTreeMap<(ObjectKind, String), watch::Receiver<Known>>,
}

impl Glance {
    /// Waits until something is known of each of them.
    ///
    /// # Errors
    /// Of which nothing is known after a while.
    pub async fn known(&self) -> Result<(), String> {
        for ((kind, name), known) in &self.wanted {
            let mut known = known.clone();
            let told = tokio::time::timeout(PATIENCE, known.wait_for(|known| *known != Known::Nothing)).await;
            if !matches!(told, Ok(Ok(_))) {
                return Err(format!(
                    "the API server has not said yet whether there is a {kind} \"{name}\" in {}",
                    self.namespace
                ));
            }
        }
        Ok(())
    }

    /// What is there of them.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let present = self.wanted.iter().filter_map(|(key, known)| match &*known.borrow() {
            Known::Present { contents, .. } => Some((key.clone(), contents.clone())),
            _ => None,
        });
        Sources { objects: present.collect() }
    }

    /// A Secret's type and contents.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<(String, Contents)> {
        match &*self.wanted.get(&(ObjectKind::Secret, name.to_owned()))?.borrow() {
            Known::Present { kind, contents } => Some((kind.clone().unwrap_or_default(), contents.clone())),
            _ => None,
        }
    }
}

impl Subscription {
    /// What is known of them, for who works beside.
    #[must_use]
    pub fn glance(&self) -> Glance {
        Glance { namespace: self.namespace.clone(), wanted: self.wanted.clone() }
    }

    /// Waits until one of them changes; for ever where there is none.
    pub async fn changed(&mut self) {
        let changes: Vec<_> = self.wanted.values_mut().map(|known| Box::pin(known.changed())).collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
        let (result, ..) = futures_util::future::select_all(changes).await;
        if result.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watched = self.objects.watched.lock();
        for (kind, name) in self.wanted.keys() {
            let key = (*kind, self.namespace.clone(), name.clone());
            let Some(found) = watched.get_mut(&key) else { continue };
            found.users = found.users.saturating_sub(1);
            if found.users == 0 {
                found.task.abort();
                watched.remove(&key);
            }
        }
    }
}
