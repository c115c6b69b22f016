//! The one place where a client of the API server is made: as any client, by a kubeconfig, over the transport of
//! `hypermesh-client`, which signs what it sends.

use crate::root_bundle::{RootBundle, RootBundleError};
use hypermesh_client::{Config, Trust};
use std::path::{Path, PathBuf};
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
    let failed = |source| ConnectError::Kubeconfig { path: kubeconfig.to_owned(), source };
    let config = Config::from_kubeconfig(kubeconfig)
        .map_err(failed)?
        .agent(concat!("nexus-controllers/", env!("CARGO_PKG_VERSION")));
    let bundle = bundle(&config, kubeconfig)?;
    let client = hypermesh_client::connect(&config).map_err(failed)?;
    Ok((client, bundle))
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
