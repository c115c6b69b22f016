//! A whole server in this process, on a port of its own, with a folder that goes when it goes.
//!
//! It is reached as any client reaches it: over TLS, with what `admin.kubeconfig` holds. Tests are synchronous; the
//! server runs on a runtime of its own, so a test may block.

use crate::client::Client;
use crate::kubeconfig::Kubeconfig;
use anyhow::{Context as _, Result};
use hypermesh_apiserver::{Config, Server};
use hypermesh_schemas::KindDefinition;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

/// A running cluster of one replica.
pub struct Cluster {
    runtime: Runtime,
    server: Option<Server>,
    kubeconfig: Kubeconfig,
    dir: TempDir,
}

impl Cluster {
    /// Starts a new cluster that serves `extra` kinds beside its own.
    pub fn start(extra: Vec<KindDefinition>) -> Result<Self> {
        Self::configured(|config| config.extra_kinds = extra)
    }

    /// Starts a new cluster with other settings than the usual ones.
    pub fn configured(configure: impl FnOnce(&mut Config)) -> Result<Self> {
        let dir = tempfile::tempdir().context("making a data folder")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("starting a runtime")?;
        let mut config = Config::new(dir.path().to_owned(), SocketAddr::from(([127, 0, 0, 1], 0)));
        configure(&mut config);
        let server = runtime.block_on(Server::start(config)).context("starting the server")?;
        let kubeconfig = Kubeconfig::read(server.kubeconfig())?;
        Ok(Self { runtime, server: Some(server), kubeconfig, dir })
    }

    /// Stops the server, lets `meanwhile` do something to its data folder, and starts it again where it was.
    pub fn restart(&mut self, meanwhile: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let server = self.server.take().context("the server is gone")?;
        let address = server.address();
        self.runtime.block_on(server.stop());
        meanwhile(self.dir.path())?;
        let config = Config::new(self.dir.path().to_owned(), address);
        let server = self.runtime.block_on(Server::start(config)).context("starting the server again")?;
        self.kubeconfig = Kubeconfig::read(server.kubeconfig())?;
        self.server = Some(server);
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is gone")
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.server()?.address())
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> Result<&Path> {
        Ok(self.server()?.kubeconfig())
    }

    /// Its data folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the administrator's kubeconfig holds.
    pub fn credentials(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// The newest revision of the store: it stands still as long as nothing is stored.
    pub fn revision(&self) -> Result<u64> {
        Ok(self.server()?.revision())
    }

    /// Where futures of this cluster run.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// A client with the administrator's certificate.
    pub fn admin(&self) -> Result<Client> {
        let identity = (self.kubeconfig.certificate.as_slice(), self.kubeconfig.key.as_slice());
        Client::new(
            self.runtime.handle().clone(),
            self.address()?,
            &self.kubeconfig.authority,
            Some(identity),
        )
    }

    /// A client that shows nothing.
    pub fn anonymous(&self) -> Result<Client> {
        Client::new(self.runtime.handle().clone(), self.address()?, &self.kubeconfig.authority, None)
    }

    /// A client with this certificate and key, in PEM.
    pub fn with_certificate(&self, certificate: &[u8], key: &[u8]) -> Result<Client> {
        let identity = Some((certificate, key));
        Client::new(self.runtime.handle().clone(), self.address()?, &self.kubeconfig.authority, identity)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}
