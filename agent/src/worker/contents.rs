//! What the volumes of an instance hold: objects, fields of itself, and tokens, which are renewed before they end.

use super::Worker;
use crate::api::{NodeApi, Token};
use crate::failure::chain;
use crate::host::Host;
use crate::volumes::{API_ACCESS, Contents};
use hypermesh_planner::volume::{File, FileTree, Tokens, content, has_api_access, tokens};
use hypermesh_planner::{Fields, Instance, Outcome, Sources};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long the token with which an instance reaches the API server is valid, in seconds (kubelet's).
const API_TOKEN: i64 = 3607;

/// Volume and path of a token.
type Place = (String, String);

/// How long to wait before a token that could not be renewed is asked for again.
const AGAIN: Duration = Duration::from_secs(30);

/// Tokens that an instance has.
#[derive(Clone, Default)]
pub(super) struct TokenCache(Arc<Mutex<Tokened>>);

#[derive(Default)]
struct Tokened {
    tokens: BTreeMap<Place, Token>,
    /// That there are none is known, not merely so.
    none: bool,
    /// When they were last asked for.
    asked: Option<Timestamp>,
}

impl TokenCache {
    /// When the first of them is to be renewed.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let held = self.0.lock();
        if held.none {
            return None;
        }
        // Of an instance that was taken up again none is known: an agent before this one asked for what it has.
        let first = held.tokens.values().map(Token::renew_at).min().unwrap_or(Timestamp::UNIX_EPOCH);
        let least = held.asked.map(|asked| hypermesh_planner::backoff::after(asked, AGAIN));
        Some(least.map_or(first, |least| first.max(least)))
    }

    /// All tokens of an instance; those that are young enough are not asked for again.
    async fn all(&self, api: &NodeApi, instance: &Instance) -> Result<Tokens, String> {
        let mut wanted: Vec<(Place, Option<String>, i64)> = tokens(instance)
            .map(|(volume, token)| {
                let place = (volume.to_owned(), token.path.to_string());
                (place, token.audience.clone(), token.expiration_seconds)
            })
            .collect();
        if has_api_access(instance) {
            wanted.push(((API_ACCESS.to_owned(), "token".to_owned()), None, API_TOKEN));
        }
        {
            let mut held = self.0.lock();
            held.asked = Some(Timestamp::now());
            held.none = wanted.is_empty();
        }
        let mut all = Tokens::new();
        for (place, audience, seconds) in wanted {
            let known = self.0.lock().tokens.get(&place).cloned();
            let token = match known.filter(|token| token.renew_at() > Timestamp::now()) {
                Some(token) => token,
                None => api
                    .token(instance, audience.as_deref(), seconds)
                    .await
                    .map_err(|error| format!("the volume {}: {}", place.0, chain(&error)))?,
            };
            all.insert(place.clone(), token.text.clone());
            self.0.lock().tokens.insert(place, token);
        }
        Ok(all)
    }
}

/// What is needed to make an instance's contents, apart from its worker.
pub(super) struct Gathering {
    pub host: Host,
    pub instance: Arc<Instance>,
    pub sources: Sources,
    pub fields: Fields,
    pub tokens: TokenCache,
}

impl Gathering {
    /// What each volume holds.
    ///
    /// # Errors
    /// What is missing, by name.
    pub async fn contents(&self) -> Result<Contents, String> {
        // What is missing of objects is told before tokens are asked for.
        let placeholders = tokens(&self.instance)
            .map(|(volume, token)| ((volume.to_owned(), token.path.to_string()), String::new()));
        self.of_volumes(&placeholders.collect())?;
        let tokens = self.tokens.all(&self.host.api, &self.instance).await?;
        let mut contents = self.of_volumes(&tokens)?;
        if !has_api_access(&self.instance) {
            return Ok(contents);
        }
        let text = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o644 };
        let token = tokens.get(&(API_ACCESS.to_owned(), "token".to_owned()));
        let access = [
            ("ca.crt".to_owned(), text(&self.host.authorities)),
            ("namespace".to_owned(), text(&self.instance.namespace)),
            ("token".to_owned(), text(token.map_or("", String::as_str))),
        ];
        contents.insert(API_ACCESS.to_owned(), FileTree(access.into()));
        Ok(contents)
    }

    fn of_volumes(&self, tokens: &Tokens) -> Result<Contents, String> {
        let mut contents = Contents::new();
        for volume in &self.instance.pod().volumes {
            let tree = content(&self.instance, volume, &self.sources, &self.fields, tokens);
            let tree = tree.map_err(|error| format!("the volume {}: {error}", volume.name))?;
            if let Some(tree) = tree {
                contents.insert(volume.name.to_string(), tree);
            }
        }
        Ok(contents)
    }
}

impl Worker {
    pub(super) fn fields(&self) -> Fields {
        Fields { host_ip: *self.host.address.borrow(), pod_ip: self.record.addresses().first().copied() }
    }

    pub(super) fn gathering(&self) -> Gathering {
        Gathering {
            host: self.host.clone(),
            instance: Arc::clone(&self.instance),
            sources: self.objects.glance().sources(),
            fields: self.fields(),
            tokens: self.tokens.clone(),
        }
    }

    /// Gives volumes their new contents. What cannot be had now keeps what it has, and is tried again with the next
    /// change.
    pub(super) fn refresh(&self) {
        if !self.record.volumes.ready || self.instance.ending.is_some() {
            return;
        }
        let gathering = self.gathering();
        // What fails before a token is asked for is not tried again at once either.
        gathering.tokens.0.lock().asked = Some(Timestamp::now());
        self.beside(async move {
            let refreshed = async {
                let contents = gathering.contents().await?;
                gathering.host.volumes.refresh(&gathering.instance, contents).await
            };
            if let Err(why) = refreshed.await {
                tracing::warn!(instance = %gathering.instance.name, why, "volumes keep what they hold");
            }
        });
    }

    pub(super) async fn prepare_volumes(gathering: Gathering) -> Outcome {
        let prepared = async {
            let contents = gathering.contents().await?;
            gathering.host.volumes.prepare(&gathering.instance, contents).await
        };
        match prepared.await {
            Ok(()) => Outcome::VolumesReady,
            Err(why) => Outcome::VolumesRefused(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::read_instance;
    use crate::settings::{Layout, Policy};
    use crate::volumes::Volumes;
    use hypermesh_runtime::spec::MountSource;
    use serde_json::json;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// An API server whose tokens live so long; each is another.
    fn server(life: Duration) -> NodeApi {
        let asked = AtomicU32::new(0);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            assert_eq!(request.uri().path(), "/api/v1/namespaces/shop/serviceaccounts/default/token");
            let number = asked.fetch_add(1, Ordering::Relaxed);
            let expires = hypermesh_planner::backoff::after(Timestamp::now(), life);
            let answer = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "metadata": {}, "spec": {"audiences": []},
                "status": {"token": format!("token {number}"), "expirationTimestamp": expires.to_string()},
            });
            let body = kube::client::Body::from(answer.to_string().into_bytes());
            std::future::ready(Ok::<_, Infallible>(http::Response::new(body)))
        });
        NodeApi::new(kube::Client::new(service, "default"), "node-1")
    }

    fn instance() -> Instance {
        let object = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Instance",
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "0a"},
            "spec": {"workload": "web", "revision": "1", "pod": {
                "serviceAccountName": "default",
                "containers": [{"name": "a", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "v", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
                ]}}],
            }},
        });
        read_instance(&serde_json::from_value(object).unwrap()).unwrap()
    }

    #[test]
    fn tokens_of_an_instance_that_is_taken_up_again_are_due() {
        let cache = TokenCache::default();
        assert_eq!(cache.renew_at(), Some(Timestamp::UNIX_EPOCH));
        let now = Timestamp::now();
        cache.0.lock().asked = Some(now);
        assert_eq!(cache.renew_at(), Some(hypermesh_planner::backoff::after(now, AGAIN)));
    }

    #[tokio::test]
    async fn who_is_to_have_no_token_gets_none_and_is_not_looked_at_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let (volumes, _) = Volumes::open(&Layout::new(folder.path()), &Policy::default()).unwrap();
        let mut object = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Instance",
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "0a"},
            "spec": {"workload": "web", "revision": "1", "pod": {"containers": [{"name": "a", "image": "a"}]}},
        });
        let targets = |instance: &Instance| {
            let mounts = volumes.mounts(instance, &instance.pod().containers[0]).unwrap();
            mounts.into_iter().map(|mount| mount.target).collect::<Vec<_>>()
        };
        let usual = read_instance(&serde_json::from_value(object.clone()).unwrap()).unwrap();
        assert_eq!(targets(&usual), [std::path::Path::new(crate::volumes::API_ACCESS_PATH)]);
        object["spec"]["pod"]["automountServiceAccountToken"] = json!(false);
        let without = read_instance(&serde_json::from_value(object).unwrap()).unwrap();
        assert_eq!(targets(&without), Vec::<std::path::PathBuf>::new());
        let (api, cache) = (server(Duration::from_secs(60)), TokenCache::default());
        assert!(cache.all(&api, &without).await.unwrap().is_empty());
        assert_eq!(cache.renew_at(), None, "there is nothing to renew");
        assert_eq!(cache.all(&api, &usual).await.unwrap().len(), 1);
        assert!(cache.renew_at().is_some());
        volumes.close();
    }

    #[tokio::test]
    async fn a_token_is_another_before_it_ends_and_its_file_follows() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let (volumes, _) = Volumes::open(&layout, &Policy::default()).unwrap();
        let (api, instance, cache) = (server(Duration::from_millis(500)), instance(), TokenCache::default());
        let contents = |tokens: &Tokens| {
            let volume = &instance.pod().volumes[0];
            let tree = content(&instance, volume, &Sources::default(), &Fields::default(), tokens).unwrap();
            Contents::from([("v".to_owned(), tree.unwrap())])
        };
        let first = cache.all(&api, &instance).await.unwrap();
        assert_eq!(first.len(), 2, "its own and that of every instance");
        volumes.prepare(&instance, contents(&first)).await.unwrap();
        let mounts = volumes.mounts(&instance, &instance.pod().containers[0]).unwrap();
        let sources = mounts.iter().find(|mount| mount.target == std::path::Path::new("/v")).unwrap();
        let MountSource::Bind { path, .. } = &sources.source else { panic!("{sources:?}") };
        let read = || std::fs::read_to_string(path.join("token")).unwrap();
        assert_eq!(read(), "token 0");
        assert_eq!(cache.all(&api, &instance).await.unwrap(), first, "what is young is kept");
        // After four fifths of its life it is time; but one that cannot be had is not asked for again at once.
        let asked = cache.0.lock().asked.unwrap();
        assert_eq!(cache.renew_at(), Some(hypermesh_planner::backoff::after(asked, AGAIN)));
        cache.0.lock().asked = None;
        let (at, ends) = (cache.renew_at().unwrap(), asked.as_millisecond() + 500);
        assert!(at.as_millisecond() < ends, "{at} is too late");
        tokio::time::sleep(hypermesh_planner::backoff::between(Timestamp::now(), at)).await;
        let second = cache.all(&api, &instance).await.unwrap();
        let place = ("v".to_owned(), "token".to_owned());
        assert_ne!(second[&place], first[&place]);
        volumes.refresh(&instance, contents(&second)).await.unwrap();
        assert_eq!(read(), "token 2");
        volumes.remove(&instance.uid).await.unwrap();
        volumes.close();
    }
}
