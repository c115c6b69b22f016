//! Bad input: whatever comes, the answer is a Status, nothing is stored, and the server goes on.
//!
//! Every check ends in [`Server::unharmed`]: the store stands where it stood and a good request is answered. All of
//! them run against one server, whose process (the clients' too) may not grow by it.

mod bodies;
mod connections;
mod fields;
mod limits;
mod requests;

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster, Reply};
use std::cell::RefCell;
use std::fmt::Write as _;

/// Where most of it is sent.
pub const NETWORKS: &str = "/apis/hypermesh.online/v1/namespaces/default/networks";
/// A built-in kind, which takes protobuf too.
pub const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";
/// By how much the process may have grown at the end, in bytes.
const GROWTH: usize = 32 * 1024 * 1024;

/// A part of the suite.
type Check = fn(&Server) -> Result<()>;

/// The server under attack.
pub struct Server {
    /// The server.
    pub cluster: Cluster,
    /// A client that may do anything.
    pub admin: Client,
    revision: u64,
    /// What was not as it should be; told at the end, all of it.
    failures: RefCell<String>,
}

impl Server {
    fn start() -> Result<Self> {
        let cluster = Cluster::start(Vec::new())?;
        let (admin, revision) = (cluster.admin()?, cluster.revision()?);
        Ok(Self { cluster, admin, revision, failures: RefCell::default() })
    }

    /// Posts a body of this type.
    pub fn post(&self, target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Reply> {
        self.admin.send("POST", target, &[("content-type", content_type)], body.into())
    }

    /// Fails unless nothing was stored and the server answers.
    pub fn unharmed(&self, after: &str) -> Result<()> {
        let now = self.cluster.revision()?;
        ensure!(now == self.revision, "{after}: the store went from revision {} to {now}", self.revision);
        let ready = self.admin.get("/readyz").with_context(|| format!("after {after}"))?;
        ensure!(ready.code == 200, "{after}: {}", ready.text());
        Ok(())
    }

    /// Takes parts of the suite, and tells all failures at once.
    fn round(&self, parts: &[(&str, Check)]) -> Result<()> {
        for (part, check) in parts {
            if let Err(error) = check(self) {
                let _ = writeln!(self.failures.borrow_mut(), "{part}: {error:#}");
            }
        }
        let failures = self.failures.take();
        ensure!(failures.is_empty(), "{failures}");
        Ok(())
    }

    /// Notes a failure unless the reply is a Status of this code and the server is unharmed. Returns the message.
    pub fn refused(&self, what: &str, reply: Result<Reply>, code: u16) -> String {
        self.judge(what, reply, code).unwrap_or_else(|error| {
            let _ = writeln!(self.failures.borrow_mut(), "{error:#}");
            String::new()
        })
    }

    fn judge(&self, what: &str, reply: Result<Reply>, code: u16) -> Result<String> {
        let reply = reply.with_context(|| what.to_owned())?;
        let start: String = reply.text().chars().take(600).collect();
        ensure!(reply.code == code, "{what}: expected {code}, got {}: {start}", reply.code);
        let status = reply.json()?;
        let is_status = status["kind"] == "Status" && status["status"] == "Failure" && status["code"] == code;
        ensure!(is_status, "{what}: {start}");
        ensure!(reply.body.len() < 128 * 1024, "{what}: the refusal has {} bytes", reply.body.len());
        self.unharmed(what)?;
        Ok(status["message"].as_str().unwrap_or_default().to_owned())
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

#[test]
fn bad_input_is_refused_and_leaves_no_trace() -> Result<()> {
    let server = Server::start()?;
    // What is made once (schemas, documents, buffers that the allocator keeps) is there after a first round; what
    // leaks would leak again.
    server.round(&[("fields", fields::check), ("bodies", bodies::check)])?;
    let before = resident()?;
    server.round(&[
        ("fields", fields::check),
        ("bodies", bodies::check),
        ("connections", connections::check),
        ("limits", limits::check),
        ("requests", requests::check),
    ])?;
    let grown = resident()?.saturating_sub(before);
    ensure!(grown < GROWTH, "the process grew by {} KiB", grown / 1024);
    Ok(())
}
