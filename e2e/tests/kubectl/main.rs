//! What people do with kubectl, against a server in this process.
//!
//! kubectl is the user's own (`$KUBECTL`, or that of the path). Where there is none, the tests are skipped and say so.

mod certificates;
mod change;
mod look;
mod make;

use anyhow::{Result, ensure};
use hypermesh_e2e::kubectl::Ran;
use hypermesh_e2e::skip::skip;
use hypermesh_e2e::{Cluster, Kubectl};
use std::fmt::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// What the quickstart applies.
pub const QUICKSTART: &str = include_str!("../../../examples/quickstart/quickstart.yaml");

/// A cluster, a kubectl, and a folder for its files.
pub struct Bench {
    /// kubectl with the administrator's kubeconfig.
    pub kubectl: Kubectl,
    folder: TempDir,
    _cluster: Cluster,
}

impl Bench {
    /// `None` where there is no kubectl, which has then been said.
    pub fn start(test: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let cluster = Cluster::start(Vec::new())?;
        match Kubectl::find(cluster.kubeconfig()?, folder.path()) {
            Ok(kubectl) => Ok(Some(Self { kubectl, folder, _cluster: cluster })),
            Err(reason) => {
                skip(&format!("kubectl {test}"), &format!("{reason:#}"));
                Ok(None)
            }
        }
    }

    /// Runs kubectl with the words of a line, which has to succeed.
    pub fn ok(&self, line: &str) -> Result<Ran> {
        self.run(line)?.ok()
    }

    /// Runs kubectl with the words of a line.
    pub fn run(&self, line: &str) -> Result<Ran> {
        self.kubectl.run(&line.split(' ').collect::<Vec<_>>())
    }

    /// Runs kubectl with a manifest on its standard input.
    pub fn feed(&self, line: &str, manifest: &str) -> Result<Ran> {
        self.kubectl.feed(&line.split(' ').collect::<Vec<_>>(), manifest)
    }

    /// Writes a file for kubectl to read.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// Steps of which each says by itself that it failed.
#[derive(Default)]
pub struct Steps(String);

impl Steps {
    /// Takes one step.
    pub fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        if let Err(error) = step() {
            let _ = writeln!(self.0, "--- {name}: {error:#}");
        }
    }

    /// The end: fails if a step has failed.
    pub fn end(self) -> Result<()> {
        ensure!(self.0.is_empty(), "{}", self.0);
        Ok(())
    }
}
