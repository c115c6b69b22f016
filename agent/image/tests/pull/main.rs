//! Pulling from a registry that is slow, broken, wrong, or wants to know who asks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod registry;

use hypermesh_image::{
    Credential, Descriptor, Digest, FetchError, HttpOptions, HttpRegistry, ImageStatus, Keyring, Limits,
    Mirror, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST, Platform,
    Progress, PullError, PullOptions, Pulled, Puller, Reference, RegistryError, Retry, Step, Store,
    StoreError, StoreOptions,
};
use registry::{Auth, Fault, Registry};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const REPOSITORY: &str = "team/app";

/// A plain tar with one file of bytes that do not compress.
fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut seed = Digest::of(name.as_bytes());
    let mut bytes = Vec::new();
    while bytes.len() < size {
        seed = Digest::of(seed.hex().as_bytes());
        bytes.extend_from_slice(seed.hex().as_bytes());
    }
    bytes.truncate(size);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, &bytes[..]).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Pushes an image of these plain tars, in every form of compression, for a platform.
fn push(registry: &Registry, tag: &str, layers: &[Vec<u8>], platform: &Platform) -> Digest {
    let forms = [OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD];
    let blobs = layers.iter().enumerate().map(|(at, plain)| {
        let bytes = match at % 3 {
            0 => plain.clone(),
            1 => gzip(plain),
            _ => zstd::encode_all(&plain[..], 1).unwrap(),
        };
        let size = bytes.len() as u64;
        Descriptor::new(forms[at % 3], registry.blob(bytes), size)
    });
    let blobs: Vec<Descriptor> = blobs.collect();
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({"os": platform.os, "architecture": platform.architecture, "variant": platform.variant,
                        "config": {"Cmd": [tag]}, "rootfs": {"type": "layers", "diff_ids": ids}});
    let config = config.to_string().into_bytes();
    let size = config.len() as u64;
    let config = Descriptor::new(OCI_CONFIG, registry.blob(config), size);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": blobs});
    registry.manifest(tag, OCI_MANIFEST, manifest.to_string().into_bytes())
}

/// A registry with one image of three layers.
async fn with_image() -> (Registry, Vec<Vec<u8>>) {
    let registry = Registry::start().await;
    let layers = vec![layer("a", 300_000), layer("b", 50_000), layer("c", 20_000)];
    push(&registry, "1", &layers, &Platform::host());
    (registry, layers)
}

struct Node {
    store: Arc<Store>,
    _dir: Option<tempfile::TempDir>,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { _dir: None, ..Self::at(dir.path()) }.keeping(dir)
    }

    fn at(path: &Path) -> Self {
        let limits = Limits { silence: Duration::from_millis(500), ..Limits::default() };
        let options = StoreOptions { limits, ..StoreOptions::default() };
        Self { store: Arc::new(Store::open(path, options).unwrap().0), _dir: None }
    }

    fn keeping(mut self, dir: tempfile::TempDir) -> Self {
        self._dir = Some(dir);
        self
    }

    fn puller(&self, plain: &[&Registry], options: PullOptions) -> Puller {
        let plain_http = plain.iter().map(|registry| registry.host.clone()).collect();
        let limits = self.store.limits().clone();
        let http = HttpRegistry::new(HttpOptions { plain_http, limits, ..HttpOptions::default() }).unwrap();
        Puller::new(Arc::clone(&self.store), Arc::new(http), options)
    }

    async fn pull(&self, registry: &Registry, what: &str) -> Result<Pulled, PullError> {
        self.pull_as(registry, what, &Keyring::empty()).await
    }

    async fn pull_as(&self, registry: &Registry, what: &str, keyring: &Keyring) -> Result<Pulled, PullError> {
        let name = name(registry, what);
        self.puller(&[registry], options()).pull(&name, keyring, &watch::Sender::default()).await
    }

    fn ready(&self, pulled: &Pulled) -> bool {
        self.store.image(&pulled.manifest).unwrap().status == ImageStatus::Ready
    }
}

fn options() -> PullOptions {
    let retry = Retry { tries: 3, first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    PullOptions { retry, ..PullOptions::default() }
}

fn name(registry: &Registry, what: &str) -> Reference {
    format!("{}/{REPOSITORY}{what}", registry.host).parse().unwrap()
}

fn keyring(registry: &Registry, password: &str) -> Keyring {
    let config = json!({"auths": {&registry.host: {"username": "me", "password": password}}});
    Keyring::from_docker_config(config.to_string().as_bytes()).unwrap()
}

/// The whole chain, with what differs from run to run left out.
fn told(error: &PullError, registries: &[&Registry]) -> String {
    let mut line = error.to_string();
    let mut at = error.source();
    while let Some(inner) = at {
        // `FetchError` passes on what it is of.
        if !line.ends_with(&inner.to_string()) {
            line += &format!(": {inner}");
        }
        at = inner.source();
    }
    for (at, registry) in registries.iter().enumerate() {
        line = line.replace(&registry.host, &format!("HOST{at}"));
    }
    line
}

#[tokio::test]
async fn an_image_for_this_platform_comes_with_its_progress() {
    let registry = Registry::start().await;
    let layers = [layer("a", 300_000), layer("b", 50_000), layer("c", 20_000)];
    let host = push(&registry, "host", &layers, &Platform::host());
    let other = push(&registry, "other", &[layer("x", 10)], &"linux/s390x".parse().unwrap());
    let entry = |digest: &Digest, platform: &Platform| {
        let size = registry.state.lock().unwrap().manifests[&digest.to_string()].1.len();
        json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": platform})
    };
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests":
        [entry(&other, &"linux/s390x".parse().unwrap()), entry(&host, &Platform::host())]});
    let index = registry.manifest("1", OCI_INDEX, index.to_string().into_bytes());
    let node = Node::new();
    let progress = watch::Sender::<Progress>::default();
    let mut watching = progress.subscribe();
    let puller = node.puller(&[&registry], options());
    let pulled = puller.pull(&name(&registry, ":1"), &Keyring::empty(), &progress).await.unwrap();
    assert_eq!((&pulled.manifest, &pulled.target.digest), (&host, &index));
    assert!(node.ready(&pulled));
    let last = watching.borrow_and_update().clone();
    assert_eq!(last.from, registry.host);
    assert!(
        last.layers.len() == 3
            && last.layers.iter().all(|layer| layer.step == Step::Ready && layer.done == layer.size)
    );
    let sizes: u64 = last.layers.iter().map(|layer| layer.size).sum();
    assert!(pulled.fetched > sizes);
    // Again: the tag is looked at, and nothing is fetched.
    registry.forget();
    let again = node.pull(&registry, ":1").await.unwrap();
    assert_eq!((again.fetched, registry.seen("").len()), (0, 1));
    // Pinned: asked for, so that nobody gets what somebody else had the credentials for, or not even that.
    registry.forget();
    let pinned = name(&registry, &format!("@{index}"));
    let pulled = node.pull(&registry, &format!("@{index}")).await.unwrap();
    assert_eq!((pulled.manifest, registry.seen("").len()), (host.clone(), 1));
    registry.auth(Auth::Basic);
    let refused = node.pull(&registry, &format!("@{index}")).await.unwrap_err();
    assert!(
        matches!(refused.source, FetchError::Registry(RegistryError::Unauthorized { .. })),
        "{refused:?}"
    );
    registry.forget();
    let trusting = node.puller(&[&registry], PullOptions { ask_always: false, ..options() });
    let pulled = trusting.pull(&pinned, &Keyring::empty(), &progress).await.unwrap();
    assert_eq!((pulled.manifest, registry.seen("").len()), (host, 0));
}

#[tokio::test]
async fn who_asks_is_shown_where_it_is_asked_for() {
    let (registry, _) = with_image().await;
    for auth in [Auth::Basic, Auth::Token] {
        registry.auth(auth);
        registry.forget();
        let node = Node::new();
        let anonymous = node.pull(&registry, ":1").await.unwrap_err();
        let wrong = node.pull_as(&registry, ":1", &keyring(&registry, "guess")).await.unwrap_err();
        for error in [&anonymous, &wrong] {
            assert!(
                matches!(error.source, FetchError::Registry(RegistryError::Unauthorized { .. })),
                "{error:?}"
            );
            assert!(!told(error, &[]).contains("guess"));
        }
        let pulled = node.pull_as(&registry, ":1", &keyring(&registry, "secret")).await.unwrap();
        assert!(node.ready(&pulled));
        let used = Credential::Basic { username: "me".into(), password: "secret".to_owned().into() };
        assert_eq!(pulled.opened, Some(used));
    }
    registry.auth(Auth::Open);
    let shown = Node::new().pull_as(&registry, ":1", &keyring(&registry, "secret")).await.unwrap();
    assert_eq!(shown.opened, Some(Credential::Anonymous), "who did not have to show anything did not");
    let tokens = registry.seen("/token");
    let last = tokens.last().unwrap();
    assert_eq!(last.query, "scope=repository%3Ateam%2Fapp%3Apull&service=test&account=me");
    // One token serves the whole pull.
    assert_eq!(
        tokens.iter().filter(|seen| seen.authorization.as_deref() == Some("Basic bWU6c2VjcmV0")).count(),
        1
    );
    registry.auth(Auth::BadToken);
    let error = Node::new().pull(&registry, ":1").await.unwrap_err();
    assert!(matches!(error.source, FetchError::Registry(RegistryError::Protocol { .. })), "{error:?}");
}

#[tokio::test]
async fn what_broke_off_goes_on_where_it_stopped() {
    let (registry, layers) = with_image().await;
    let first = Digest::of(&layers[0]);
    registry.fault(first.hex(), [Fault::Cut(100_000), Fault::Cut(100_000), Fault::Status(503, None)]);
    let node = Node::new();
    let pulled = node.pull(&registry, ":1").await.unwrap();
    assert!(node.ready(&pulled));
    let ranges: Vec<Option<String>> = registry.seen(first.hex()).into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges[0], None);
    let starts: Vec<u64> = ranges[1..]
        .iter()
        .map(|range| {
            range.as_deref().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
        })
        .collect();
    assert!(
        starts[0] > 0 && starts[0] <= 100_000 && starts[1] > starts[0] && starts[2] == starts[1],
        "{starts:?}"
    );
    // A registry that knows no parts is read from the beginning.
    registry.fault(first.hex(), [Fault::Cut(100_000), Fault::NoRange]);
    let node = Node::new();
    let pulled = node.pull(&registry, ":1").await.unwrap();
    assert!(node.ready(&pulled));
}

#[tokio::test]
async fn a_pull_that_was_stopped_goes_on_after_a_restart() {
    let (registry, layers) = with_image().await;
    let dir = tempfile::tempdir().unwrap();
    let first = Digest::of(&layers[0]);
    registry.fault(
        first.hex(),
        [Fault::Cut(150_000), Fault::Status(500, None), Fault::Status(500, None), Fault::Status(500, None)],
    );
    {
        let node = Node::at(dir.path());
        let error = node.pull(&registry, ":1").await.unwrap_err();
        assert!(
            matches!(error.source, FetchError::Registry(RegistryError::Server { status: 500, .. })),
            "{error:?}"
        );
    }
    registry.forget();
    let node = loop {
        // A writer on another thread may still hold the store for a moment.
        match Store::open(dir.path(), StoreOptions::default()) {
            Ok((store, _)) => break Node { store: Arc::new(store), _dir: None },
            Err(StoreError::InUse(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let pulled = node.pull(&registry, ":1").await.unwrap();
    assert!(node.ready(&pulled));
    let range = registry.seen(first.hex())[0].range.clone().unwrap();
    assert!(range != "bytes=0-", "{range}");
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_does_not_is_told() {
    let (registry, layers) = with_image().await;
    registry.fault("/manifests/1", [Fault::Status(429, Some("0")), Fault::Status(502, None)]);
    let node = Node::new();
    assert!(node.ready(&node.pull(&registry, ":1").await.unwrap()));
    let first = Digest::of(&layers[0]);
    let mut lines = Vec::new();
    let cases: [(&str, Vec<Fault>); 6] = [
        ("/manifests/1", vec![Fault::Status(429, Some("0")); 3]),
        ("/manifests/1", vec![Fault::Status(403, None)]),
        ("/manifests/1", vec![Fault::Endless]),
        (first.hex(), vec![Fault::Lie; 2]),
        (first.hex(), vec![Fault::Status(404, None)]),
        ("/manifests/1", vec![Fault::Redirect("/v2/x".to_owned()); 10]),
    ];
    for (path, faults) in cases {
        let (registry, _) = with_image().await;
        registry.fault(path, faults.clone());
        // A circle needs its faults wherever it leads.
        registry.fault("/v2/x", vec![Fault::Redirect("/v2/x".to_owned()); 10]);
        let error = Node::new().pull(&registry, ":1").await.unwrap_err();
        lines.push(told(&error, &[&registry]));
    }
    lines.push(told(&Node::new().pull(&registry, ":none").await.unwrap_err(), &[&registry]));
    insta::assert_snapshot!(lines.join("\n"));
    let node = Node::new();
    registry.fault(first.hex(), vec![Fault::Stall; 3]);
    let error = node.pull(&registry, ":1").await.unwrap_err();
    assert!(matches!(error.source, FetchError::Registry(RegistryError::Silent { .. })), "{error:?}");
}

#[tokio::test]
async fn a_manifest_that_is_not_what_was_asked_for_is_refused() {
    let (registry, _) = with_image().await;
    let other = push(&registry, "2", &[layer("z", 10)], &Platform::host());
    let bytes = registry.state.lock().unwrap().manifests["1"].clone();
    registry.state.lock().unwrap().manifests.insert(other.to_string(), bytes);
    let error = Node::new().pull(&registry, &format!("@{other}")).await.unwrap_err();
    assert!(matches!(error.source, FetchError::WrongManifest { .. }), "{error:?}");
    push(&registry, "3", &[layer("z", 10)], &"linux/s390x".parse().unwrap());
    let node = Node::new();
    let error = node.pull(&registry, ":3").await.unwrap_err();
    assert!(matches!(error.source, FetchError::Config(_)), "{error:?}");
    assert_eq!(node.store.names().len(), 0);
}

#[tokio::test]
async fn mirrors_come_first_and_may_lie_or_fail() {
    let (registry, layers) = with_image().await;
    let (liar, _) = with_image().await;
    liar.fault(Digest::of(&layers[0]).hex(), vec![Fault::Lie; 4]);
    let empty = Registry::start().await;
    let mirrors = vec![
        Mirror { host: empty.host.clone(), prefix: "cache".to_owned() },
        Mirror { host: liar.host.clone(), prefix: String::new() },
    ];
    let options = |mirrors: &[Mirror]| PullOptions {
        mirrors: BTreeMap::from([(registry.host.clone(), mirrors.to_vec())]),
        ..options()
    };
    let node = Node::new();
    let puller = node.puller(&[&registry, &liar, &empty], options(&mirrors));
    let image = name(&registry, ":1");
    // Credentials of the registry are not shown to its mirrors.
    let ring = keyring(&registry, "secret");
    let pulled = puller.pull(&image, &ring, &watch::Sender::default()).await.unwrap();
    assert_eq!(pulled.from, registry.host);
    assert!(node.ready(&pulled));
    let asked = &empty.seen("")[0];
    assert_eq!(asked.path, "/v2/cache/team/app/manifests/1");
    assert_eq!(asked.query, format!("ns={}", registry.host.replace(':', "%3A")));
    assert!(liar.seen("").iter().all(|seen| seen.authorization.is_none()));
    // What did come from the mirror is used.
    assert_eq!(registry.seen(Digest::of(&layers[1]).hex()).len(), 0);
    registry.fault("/manifests/", vec![Fault::Status(403, None)]);
    let fresh = Node::new();
    let puller = fresh.puller(&[&registry, &empty], options(&mirrors[..1]));
    let error = puller.pull(&image, &ring, &watch::Sender::default()).await.unwrap_err();
    assert_eq!(
        told(&error, &[&registry, &empty]),
        "pulling HOST0/team/app:1 from HOST0 (before that, HOST1: HOST1 has no image cache/team/app:1; is the name right, and was it pushed? (a registry may say so of what is private as well)): HOST0 knows who asks, and denies team/app: X: told to"
    );
}

#[tokio::test]
async fn credentials_follow_no_redirection_to_another_host() {
    let (registry, layers) = with_image().await;
    let (store, _) = with_image().await;
    registry.auth(Auth::Token);
    let first = Digest::of(&layers[0]);
    registry.fault(first.hex(), [Fault::Redirect(format!("http://{}/v2/x/blobs/{first}", store.host))]);
    let node = Node::new();
    let pulled = node.pull_as(&registry, ":1", &keyring(&registry, "secret")).await.unwrap();
    assert!(node.ready(&pulled));
    let there = store.seen(first.hex());
    assert!(there.len() == 1 && there[0].authorization.is_none(), "{there:?}");
}

#[tokio::test]
async fn tls_is_spoken_with_all_that_are_not_named_for_plain_http() {
    let (registry, _) = with_image().await;
    let node = Node::new();
    let puller = node.puller(&[], options());
    let error =
        puller.pull(&name(&registry, ":1"), &Keyring::empty(), &watch::Sender::default()).await.unwrap_err();
    assert!(matches!(error.source, FetchError::Registry(RegistryError::Connection { .. })), "{error:?}");
    assert_eq!(registry.seen("").len(), 0);

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let secure = Registry::start_tls(config).await;
    let layers = vec![layer("a", 300_000)];
    push(&secure, "1", &layers, &Platform::host());
    let with = |extra_roots| {
        let http = HttpRegistry::new(HttpOptions { extra_roots, ..HttpOptions::default() }).unwrap();
        Puller::new(Arc::clone(&node.store), Arc::new(http), options())
    };
    let image = name(&secure, ":1");
    let stranger =
        with(Vec::new()).pull(&image, &Keyring::empty(), &watch::Sender::default()).await.unwrap_err();
    assert!(
        matches!(stranger.source, FetchError::Registry(RegistryError::Connection { .. })),
        "{stranger:?}"
    );
    let known = with(vec![made.cert.der().clone()]);
    // Nothing leads from TLS into the open.
    let first = Digest::of(&layers[0]);
    secure.fault(first.hex(), [Fault::Redirect(format!("http://{}/v2/x/blobs/{first}", registry.host))]);
    let error = known.pull(&image, &Keyring::empty(), &watch::Sender::default()).await.unwrap_err();
    assert!(matches!(error.source, FetchError::Registry(RegistryError::Protocol { .. })), "{error:?}");
    let pulled = known.pull(&image, &Keyring::empty(), &watch::Sender::default()).await.unwrap();
    assert!(node.ready(&pulled));
}

#[tokio::test]
async fn a_blob_that_was_damaged_on_disk_is_fetched_again() {
    let (registry, layers) = with_image().await;
    let node = Node::new();
    let first = Digest::of(&layers[0]);
    let place = node.store.root().join("blobs/sha256").join(first.hex());
    let mut damaged = layers[0].clone();
    damaged[1000] ^= 1;
    std::fs::write(&place, damaged).unwrap();
    let pulled = node.pull(&registry, ":1").await.unwrap();
    assert!(node.ready(&pulled));
    assert_eq!(registry.seen(first.hex()).len(), 1);
    assert_eq!(std::fs::read(&place).unwrap(), layers[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_pulls_share_comes_once() {
    let (registry, mut layers) = with_image().await;
    layers.truncate(1);
    layers.push(layer("other", 1000));
    push(&registry, "2", &layers, &Platform::host());
    let node = Node::new();
    let puller = node.puller(&[&registry], options());
    let (one, two) = (name(&registry, ":1"), name(&registry, ":2"));
    let (ring, progress) = (Keyring::empty(), watch::Sender::default());
    let (a, b) = tokio::join!(puller.pull(&one, &ring, &progress), puller.pull(&two, &ring, &progress));
    assert!(node.ready(&a.unwrap()) && node.ready(&b.unwrap()));
    assert_eq!(registry.seen(Digest::of(&layers[0]).hex()).len(), 1);
    assert_eq!(node.store.layers().len(), 4);
}
