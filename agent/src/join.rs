//! Joining a cluster: a key of its own, a bootstrap token shown once, and a certificate for the key.

use crate::api::MANAGER;
use crate::failure::chain;
use crate::settings::Layout;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hypermesh_client::{Config, Identity, Material, Server, Trust};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who signs certificates of nodes.
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// How long the certificate may take, and how often it is asked for.
const PATIENCE: Duration = Duration::from_secs(120);
const ASK: Duration = Duration::from_millis(500);
/// How long to wait before a renewal that failed is tried again, and before the clock is looked at again.
const RENEW_AGAIN: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(3600);
/// Where the kubeconfig that is written here holds the certificate.
const CERTIFICATE: &str = "/users/0/user/client-certificate-data";

/// How a node joins.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The API server.
    pub server: String,
    /// The token.
    pub token: String,
    /// The authorities of the API server, in PEM.
    pub authorities: Vec<u8>,
}

/// A node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server's address.
    #[error("--server: {0}")]
    Server(String),
    /// The key or the kubeconfig.
    #[error("cannot {doing} {path}")]
    File {
        /// What was done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The key.
    #[error("the node's key {path} cannot be used")]
    Key {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// The client.
    #[error("the API server cannot be reached")]
    Client(#[source] hypermesh_client::Error),
    /// What the server said.
    #[error("the API server takes no request for a certificate with this token: {0}")]
    Refused(String),
    /// It was denied.
    #[error("the certificate was denied: {0}")]
    Denied(String),
    /// Nobody signs.
    #[error(
        "the request {0} is not signed after {PATIENCE:?}: `nexusctl certs` shows it; are the controllers running?"
    )]
    Late(String),
}

/// Joins: gives the path of a kubeconfig that holds the node's key and certificate. A node that has joined already is
/// asked nothing.
///
/// # Errors
/// Why it did not.
pub async fn join(layout: &Layout, node: &str, invitation: &Invitation) -> Result<PathBuf, JoinError> {
    let kubeconfig = layout.kubeconfig();
    if kubeconfig.exists() {
        return Ok(kubeconfig);
    }
    crate::private::root(layout.root()).map_err(file("make", layout.root()))?;
    let key = key(&layout.key())?;
    let server = Server::parse(&invitation.server).map_err(JoinError::Server)?;
    let mut config = Config::new(server).agent(concat!("nexus-agent/", env!("CARGO_PKG_VERSION")));
    let origin = "--ca".to_owned();
    config.trust = Trust::Authorities(Material { pem: invitation.authorities.clone(), origin });
    config.identity = Identity { token: Some(invitation.token.clone()), ..Identity::default() };
    let client = hypermesh_client::connect(&config).map_err(JoinError::Client)?;
    let certificate = certificate(&client, node, &key, &layout.key()).await?;
    let text = kubeconfig_of(&config, invitation, node, &key, &certificate);
    write_private(&kubeconfig, &text).map_err(file("write", &kubeconfig))?;
    Ok(kubeconfig)
}

/// Has the certificate of a node that joined renewed at two thirds of its life, for as long as the agent runs. The client
/// takes the new one up from the file.
pub async fn renew(layout: Layout, node: String, client: kube::Client) {
    loop {
        let wait = match renew_in(&layout) {
            Ok(wait) => wait,
            Err(why) => {
                tracing::warn!(why, "it is not known when the node's certificate ends");
                RENEW_AGAIN
            }
        };
        if !wait.is_zero() {
            // Clocks are set, and machines sleep.
            tokio::time::sleep(wait.min(LOOK)).await;
            continue;
        }
        match renewed(&layout, &node, &client).await {
            Ok(()) => tracing::info!("the node's certificate was renewed"),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the node's certificate is not renewed yet");
                tokio::time::sleep(RENEW_AGAIN).await;
            }
        }
    }
}

/// How long it is until the certificate is to be renewed.
fn renew_in(layout: &Layout) -> Result<Duration, String> {
    let text = std::fs::read_to_string(layout.kubeconfig()).map_err(|error| error.to_string())?;
    let config: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let data = config.pointer(CERTIFICATE).and_then(serde_json::Value::as_str).unwrap_or_default();
    let pem = STANDARD.decode(data).map_err(|error| error.to_string())?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).map_err(|error| error.to_string())?;
    let certificate = pem.parse_x509().map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let left = from + (to - from) / 3 * 2 - jiff::Timestamp::now().as_second();
    Ok(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
}

async fn renewed(layout: &Layout, node: &str, client: &kube::Client) -> Result<(), JoinError> {
    let key = key(&layout.key())?;
    let certificate = certificate(client, node, &key, &layout.key()).await?;
    let path = layout.kubeconfig();
    let text = std::fs::read_to_string(&path).map_err(file("read", &path))?;
    let mut config: serde_json::Value =
        serde_json::from_str(&text).map_err(std::io::Error::from).map_err(file("read", &path))?;
    if let Some(data) = config.pointer_mut(CERTIFICATE) {
        *data = STANDARD.encode(certificate).into();
    }
    let text = serde_json::to_string_pretty(&config).unwrap_or_default();
    write_private(&path, &text).map_err(file("write", &path))
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JoinError {
    let path = path.to_owned();
    move |source| JoinError::File { doing, path, source }
}

/// The node's key: made once, and kept.
fn key(path: &Path) -> Result<KeyPair, JoinError> {
    let failed = |source| JoinError::Key { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(pem) => KeyPair::from_pem(&pem).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
            write_private(path, &key.serialize_pem()).map_err(file("write", path))?;
            Ok(key)
        }
        Err(error) => Err(file("read", path)(error)),
    }
}

/// Whoever else is on the host cannot read it; it is there whole or not at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    made.write_all(text.as_bytes())?;
    made.sync_all()?;
    std::fs::rename(&new, path)
}

async fn certificate(
    client: &kube::Client,
    node: &str,
    key: &KeyPair,
    path: &Path,
) -> Result<String, JoinError> {
    let failed = |source| JoinError::Key { path: path.to_owned(), source };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    let request = params.serialize_request(key).and_then(|request| request.pem()).map_err(failed)?;
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let object = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some(format!("node-{node}-")), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: SIGNER.to_owned(),
            usages: Some(["digital signature", "client auth"].map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        ..CertificateSigningRequest::default()
    };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let refused = |error: kube::Error| JoinError::Refused(chain(&error));
    let made = api.create(&params, &object).await.map_err(refused)?;
    let name = made.metadata.name.unwrap_or_default();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        let status = api.get(&name).await.map_err(refused)?.status.unwrap_or_default();
        if let Some(ByteString(pem)) = status.certificate {
            return Ok(String::from_utf8_lossy(&pem).into_owned());
        }
        let conditions = status.conditions.unwrap_or_default();
        if let Some(no) =
            conditions.iter().find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"))
        {
            return Err(JoinError::Denied(no.message.clone().unwrap_or_default()));
        }
        tokio::time::sleep(ASK).await;
    }
    Err(JoinError::Late(name))
}

fn kubeconfig_of(
    config: &Config,
    invitation: &Invitation,
    node: &str,
    key: &KeyPair,
    certificate: &str,
) -> String {
    let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
    let object = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "node",
        "clusters": [{"name": "cluster", "cluster": {
            "server": config.server.url(),
            "certificate-authority-data": encoded(&invitation.authorities),
        }}],
        "users": [{"name": format!("system:node:{node}"), "user": {
            "client-certificate-data": encoded(certificate.as_bytes()),
            "client-key-data": encoded(key.serialize_pem().as_bytes()),
        }}],
        "contexts": [{"name": "node", "context": {"cluster": "cluster", "user": format!("system:node:{node}")}}],
    });
    serde_json::to_string_pretty(&object).unwrap_or_default()
}
