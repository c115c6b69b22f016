//! The one place where a client of the API server is made: as any client, by a kubeconfig, over the transport of
//! `hypermesh-client`, which signs what it sends.

use crate::rights::USER;
use crate::root_bundle::{RootBundle, RootBundleError};
use crate::runtime::Failure;
use hypermesh_client::{Config, Metrics, Trust};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The API server cannot be reached by this kubeconfig.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The file, or what it says.
    #[error("the kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hypermesh_client::Error,
    },
    /// It names no authorities that namespaces could be given.
    #[error(
        "the kubeconfig {0} names no certificate authority: programs in namespaces would not know the API server"
    )]
    NoAuthorities(PathBuf),
    /// The authorities are no certificates.
    #[error("the certificate authority of the kubeconfig {path} cannot be given to namespaces")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RootBundleError,
    },
}

/// A client, and the authorities by which it knows the server.
pub fn connect(kubeconfig: &Path) -> Result<(kube::Client, RootBundle), ConnectError> {
    connect_counted(kubeconfig, Arc::default())
}

/// A client that counts into these metrics, and the authorities by which it knows the server.
pub(crate) fn connect_counted(
    kubeconfig: &Path,
    metrics: Arc<Metrics>,
) -> Result<(kube::Client, RootBundle), ConnectError> {
    let failed = |source| ConnectError::Kubeconfig { path: kubeconfig.to_owned(), source };
    let mut config = Config::from_kubeconfig(kubeconfig)
        .map_err(failed)?
        .agent(concat!("nexus-controllers/", env!("CARGO_PKG_VERSION")));
    config.metrics = metrics;
    let bundle = bundle(&config, kubeconfig)?;
    let client = hypermesh_client::connect(&config).map_err(failed)?;
    Ok((client, bundle))
}

/// Whether what is written goes out signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// By this key, for this user.
    By {
        /// In hexadecimal.
        key: String,
        /// Whom it is registered to.
        user: String,
    },
    /// It does not: what is missing, and what to do.
    Missing(String),
}

/// Asks the API server who signs.
///
/// # Errors
/// When it cannot be asked.
pub async fn signature(kubeconfig: &Path, client: &kube::Client) -> Result<Signature, Failure> {
    let path = kubeconfig.display();
    let key = match Config::from_kubeconfig(kubeconfig).and_then(|config| config.public_key()) {
        Ok(Some(key)) => key,
        Ok(None) => {
            return Ok(Signature::Missing(format!(
                "the user of {path} has no Ed25519 key; a client certificate with one, instead of a token, would sign"
            )));
        }
        Err(error) => return Ok(Signature::Missing(format!("{path}: {error}"))),
    };
    let review = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let failed = || Failure::of("ask who signs");
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|error| failed()(kube::Error::HttpError(error)))?;
    let reply: serde_json::Value = client.request(request).await.map_err(failed())?;
    let user = reply.pointer("/status/userInfo/username").and_then(serde_json::Value::as_str).unwrap_or("");
    let signed = reply.pointer("/status/userInfo/extra/hypermesh.online~1signed-by").is_some();
    if signed {
        return Ok(Signature::By { key, user: user.to_owned() });
    }
    Ok(Signature::Missing(format!(
        "the key {key} of {path} is not registered in this cluster; an administrator registers it by `nexusctl auth \
         register {USER} --key {key}`, and the controllers take it up when they start again"
    )))
}

/// The authorities that a kubeconfig names now.
pub fn authorities(kubeconfig: &Path) -> Result<RootBundle, ConnectError> {
    let config = Config::from_kubeconfig(kubeconfig)
        .map_err(|source| ConnectError::Kubeconfig { path: kubeconfig.to_owned(), source })?;
    bundle(&config, kubeconfig)
}

fn bundle(config: &Config, path: &Path) -> Result<RootBundle, ConnectError> {
    let Trust::Authorities(material) = &config.trust else {
        return Err(ConnectError::NoAuthorities(path.to_owned()));
    };
    RootBundle::parse(&String::from_utf8_lossy(&material.pem))
        .map_err(|source| ConnectError::Authorities { path: path.to_owned(), source })
}
