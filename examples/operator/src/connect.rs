//! A client of the API server that this container was told of.
//!
//! An operator of your own has kube's feature `rustls-tls` for this, and calls `kube::Client::try_default()`. Here TLS is
//! the one that the rest of this repository is built with. Where the server is, whom it is believed, which token is sent
//! and when the token's file is read again (once a minute, since it is renewed) is kube's in both cases.

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioExecutor;
use kube::client::{ClientBuilder, ConfigExt as _};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use tower::{BoxError, ServiceBuilder};

/// A client with what every container is given.
pub fn inside() -> Result<kube::Client> {
    let config = kube::Config::incluster().context("this is no container of a cluster")?;
    let mut roots = rustls::RootCertStore::empty();
    for authority in config.root_cert.iter().flatten() {
        roots
            .add(CertificateDer::from(authority.as_slice()))
            .context("the cluster's authority is no certificate")?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
