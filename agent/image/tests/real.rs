//! Debian's registry and skopeo, where they are installed: what others write is read, and what is written here is read
//! by others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use hypermesh_image::{
    ExportTo, FetchError, HttpOptions, HttpRegistry, ImageStatus, ImportOptions, Keyring, PackSource,
    PackSpec, PullError, PullOptions, Pulled, Puller, Reference, RegistryError, Store, StoreOptions,
};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// `secret`, by bcrypt.
const HTPASSWD: &str = "me:$2b$05$eFceaLcnVEfQHPmod9Sug.O7hfR7seNEqSJWsOVbBCZs64QADGM8.\n";

fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Tells that a test was not run, as the workspace's other tests do.
fn skip(test: &str, why: &str) {
    println!("SKIPPED: {why}");
    let Some(path) = std::env::var_os("HYPERMESH_SKIPS") else { return };
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    writeln!(file, "{test}: {why}").unwrap();
}

/// Debian's registry on a socket of its own, reached by a port that nobody else can have taken.
struct Registry {
    process: Child,
    host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn registry(binary: &Path, dir: &Path) -> Registry {
    let (socket, password) = (dir.join("socket"), dir.join("htpasswd"));
    std::fs::write(&password, HTPASSWD).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\nhttp: {{net: unix, addr: {0}/socket}}\nauth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
        dir.display()
    );
    std::fs::write(dir.join("config.yml"), config).unwrap();
    let process = Command::new(binary)
        .arg("serve")
        .arg(dir.join("config.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while UnixStream::connect(&socket).await.is_err() {
        tokio::task::yield_now().await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut inside = UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    Registry { process, host }
}

async fn pull(store: &Arc<Store>, name: &Reference, password: &str) -> Result<Pulled, PullError> {
    let host = name.registry().to_owned();
    let config = format!(r#"{{"auths":{{"{host}":{{"username":"me","password":"{password}"}}}}}}"#);
    let keyring = Keyring::from_docker_config(config.as_bytes()).unwrap();
    let http = HttpOptions { plain_http: [host].into(), ..HttpOptions::default() };
    let puller =
        Puller::new(Arc::clone(store), Arc::new(HttpRegistry::new(http).unwrap()), PullOptions::default());
    puller.pull(name, &keyring, &watch::Sender::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_go_to_and_fro_between_this_store_a_registry_and_skopeo() {
    let (Some(skopeo), Some(binary)) = (program("skopeo"), program("docker-registry")) else {
        return skip("real", "skopeo and docker-registry are not installed");
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let open = |name: &str| Arc::new(Store::open(&at(name), StoreOptions::default()).unwrap().0);
    let store = open("one");
    std::fs::create_dir(at("site")).unwrap();
    std::fs::write(at("site/index.html"), "hello".repeat(100_000)).unwrap();
    let name: Reference = "example.org/team/site:1".parse().unwrap();
    let source = PackSource { from: at("site"), to: "srv".to_owned() };
    let packed = store.pack(&name, &PackSpec { sources: vec![source], ..PackSpec::default() }).unwrap();
    store.export(std::slice::from_ref(&name), &ExportTo::Folder(at("layout"))).unwrap();

    let registry = registry(&binary, dir.path()).await;
    let layout = format!("oci:{}:1", at("layout").display());
    let copy = |from: String, to: String| {
        let skopeo = skopeo.clone();
        async move {
            let run = move || {
                Command::new(skopeo)
                    .args(["--insecure-policy", "copy", "--dest-tls-verify=false", "--src-tls-verify=false"])
                    .args(if to.starts_with("docker://") { &["--dest-creds", "me:secret"][..] } else { &[] })
                    .args([from, to])
                    .output()
                    .unwrap()
            };
            let output = tokio::task::spawn_blocking(run).await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    copy(layout.clone(), format!("docker://{}/team/site:1", registry.host)).await;
    copy(layout.clone(), format!("docker-archive:{}:example.org/team/saved:2", at("saved.tar").display()))
        .await;
    copy(layout, format!("oci-archive:{}:3", at("archive.tar").display())).await;

    let other = open("two");
    let there: Reference = format!("{}/team/site:1", registry.host).parse().unwrap();
    let refused = pull(&other, &there, "guess").await.unwrap_err();
    assert!(
        matches!(refused.source, FetchError::Registry(RegistryError::Unauthorized { .. })),
        "{refused:?}"
    );
    let pulled = pull(&other, &there, "secret").await.unwrap();
    assert_eq!((&pulled.manifest, &pulled.id), (&packed.manifest, &packed.id));
    assert_eq!(other.image(&pulled.manifest).unwrap().status, ImageStatus::Ready);
    let missing: Reference = format!("{}/team/site:2", registry.host).parse().unwrap();
    let missing = pull(&other, &missing, "secret").await.unwrap_err();
    assert!(matches!(missing.source, FetchError::Registry(RegistryError::NotFound { .. })), "{missing:?}");

    let unpack = ImportOptions { unpack: true, ..ImportOptions::default() };
    let saved = other.import(&at("saved.tar"), &unpack).unwrap();
    assert_eq!(saved[0].names[0].familiar(), "example.org/team/saved:2");
    // Another manifest, since the layer is plain there; the same configuration, and so the same id.
    assert_eq!(saved[0].id, packed.id);
    let named = ImportOptions { name: Some("example.org/team/archive:3".parse().unwrap()), ..unpack };
    assert_eq!(other.import(&at("archive.tar"), &named).unwrap()[0].manifest, packed.manifest);
    assert_eq!(other.layers().len(), 1);
}
