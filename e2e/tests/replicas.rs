//! Four replicas, a process each, over real disks and loopback: what any of them acknowledged is on all of them, whoever is
//! killed.

use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::load::binary;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REPLICAS: usize = 4;
/// A start takes a moment on a machine that runs all tests at once.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    folder: tempfile::TempDir,
    running: Vec<Option<Child>>,
}

impl Cluster {
    fn found() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Held together, so that no two are the same.
        let sockets: Vec<UdpSocket> = (0..REPLICAS)
            .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<std::io::Result<_>>()?;
        let mut init = Command::new(binary()?);
        init.args(["cluster", "init", "--dir"]).arg(folder.path());
        for socket in &sockets {
            init.arg("--peer").arg(socket.local_addr()?.to_string());
        }
        drop(sockets);
        let said = init.output()?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let mut cluster = Self { folder, running: Vec::new() };
        for replica in 0..REPLICAS {
            cluster.running.push(None);
            cluster.start(replica)?;
        }
        Ok(cluster)
    }

    fn dir(&self, replica: usize) -> PathBuf {
        self.folder.path().join((replica + 1).to_string())
    }

    /// Starts a replica's process, and waits until it serves.
    fn start(&mut self, replica: usize) -> Result<()> {
        let program = binary()?.with_file_name("nexus-apiserver");
        ensure!(program.exists(), "{} is not built: cargo build --workspace --bins", program.display());
        let log = self.log(replica);
        let seen = std::fs::read_to_string(&log).map_or(0, |text| text.len());
        let file = std::fs::File::options().create(true).append(true).open(&log)?;
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(self.dir(replica))
            .args(["--api", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()?;
        if let Some(place) = self.running.get_mut(replica) {
            *place = Some(child);
        }
        until("a replica serves", || {
            let text = std::fs::read_to_string(&log)?;
            Ok(text.get(seen..).is_some_and(|new| new.contains(" ready ")))
        })
        .with_context(|| std::fs::read_to_string(self.log(replica)).unwrap_or_default())
    }

    fn log(&self, replica: usize) -> PathBuf {
        self.folder.path().join(format!("{}.log", replica + 1))
    }

    fn kill(&mut self, replica: usize) -> Result<()> {
        let mut child = self.running.get_mut(replica).and_then(Option::take).context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// What nexusctl says when it asks this replica: whether it went well, and all of it.
    fn ask(&self, replica: usize, arguments: &[&str]) -> Result<(bool, String)> {
        let output = Command::new(binary()?)
            .args(arguments)
            .env("KUBECONFIG", self.dir(replica).join("admin.kubeconfig"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    fn write(&self, replica: usize, name: &str) -> Result<()> {
        let (ok, text) = self.ask(replica, &["create", "configmap", name, "--from-literal=a=b"])?;
        ensure!(ok, "replica {replica} does not create {name}: {text}");
        Ok(())
    }

    /// The names that this replica has, as of now anywhere.
    fn names(&self, replica: usize) -> Result<Vec<String>> {
        let (ok, text) = self.ask(replica, &["get", "configmaps", "-o", "name"])?;
        ensure!(ok, "{text}");
        Ok(text.lines().map(|line| line.trim_start_matches("configmap/").to_owned()).collect())
    }

    /// All that run have all of these, read after one another without a wait in between.
    fn all_have(&self, names: &[String]) -> Result<()> {
        for replica in (0..REPLICAS).filter(|replica| self.running.get(*replica).is_some_and(Option::is_some))
        {
            let there = self.names(replica)?;
            for name in names {
                ensure!(there.contains(name), "replica {replica} lacks {name}: {there:?}");
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds()? {
        if begun.elapsed() > PATIENCE {
            bail!("it does not come about: {what}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn what_any_replica_acknowledged_is_on_all_whoever_is_killed() -> Result<()> {
    let mut cluster = Cluster::found()?;
    let mut acknowledged = Vec::new();
    for replica in 0..REPLICAS {
        let name = format!("of-{replica}");
        cluster.write(replica, &name)?;
        acknowledged.push(name);
    }
    cluster.all_have(&acknowledged)?;

    // One after another is killed, whoever proposes among them; the others go on.
    for dead in 0..REPLICAS {
        cluster.kill(dead)?;
        for round in 0..3 {
            let name = format!("without-{dead}-{round}");
            cluster.write((dead + 1 + round) % REPLICAS, &name)?;
            acknowledged.push(name);
        }
        cluster.all_have(&acknowledged)?;
        cluster.start(dead)?;
        // What it missed is there before it answers.
        cluster.all_have(&acknowledged)?;
    }
    let (ok, text) = cluster.ask(1, &["cluster", "status", "-o", "json"])?;
    let status: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let replicas = status["replicas"].as_array().context("no replicas")?;
    ensure!(ok && replicas.len() == REPLICAS, "{text}");
    ensure!(replicas.iter().filter(|replica| replica["self"] == true).count() == 1, "{text}");
    Ok(())
}

#[test]
fn who_forgot_what_it_voted_for_does_not_vote_again() -> Result<()> {
    let mut cluster = Cluster::found()?;
    cluster.write(0, "before")?;
    cluster.kill(1)?;
    std::fs::remove_dir_all(cluster.dir(1).join("store"))?;
    std::fs::remove_dir_all(cluster.dir(1).join("log"))?;
    let program = binary()?.with_file_name("nexus-apiserver");
    let said = Command::new(program)
        .arg("--data-dir")
        .arg(cluster.dir(1))
        .args(["--api", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&said.stderr);
    ensure!(!said.status.success() && text.contains("must not vote again with its key"), "{text}");
    cluster.write(2, "after")
}

#[test]
fn without_a_quorum_nothing_is_decided_and_nothing_stale_is_told() -> Result<()> {
    let mut cluster = Cluster::found()?;
    cluster.write(0, "before")?;
    cluster.kill(2)?;
    cluster.kill(3)?;
    until("it is noticed", || Ok(!cluster.ask(0, &["get", "--raw", "/readyz"])?.0))?;
    let (_, text) = cluster.ask(0, &["get", "--raw", "/readyz"])?;
    ensure!(text.contains("too few replicas can be reached"), "{text}");
    let (ok, text) = cluster.ask(0, &["get", "--raw", "/api/v1/namespaces/default/configmaps/before"])?;
    ensure!(!ok && text.contains("too few of the other replicas answer"), "{text}");
    // Who asks for any state gets it.
    let any = "/api/v1/namespaces/default/configmaps/before?resourceVersion=0";
    let (ok, text) = cluster.ask(0, &["get", "--raw", any])?;
    ensure!(ok && text.contains("before"), "{text}");
    cluster.start(2)?;
    cluster.write(0, "after")?;
    cluster.all_have(&["before".to_owned(), "after".to_owned()])
}

#[test]
fn no_replica_may_vouch_for_a_secret_and_who_signs_needs_none() -> Result<()> {
    let cluster = Cluster::found()?;
    let (ok, text) = cluster.ask(3, &["create", "secret", "generic", "signed", "--from-literal=a=b"])?;
    ensure!(ok, "{text}");
    let kubectl = Command::new("kubectl")
        .args(["create", "secret", "generic", "endorsed", "--from-literal=a=b"])
        .env("KUBECONFIG", cluster.dir(0).join("admin.kubeconfig"))
        .env("HOME", cluster.folder.path())
        .output();
    let Ok(kubectl) = kubectl else {
        hypermesh_e2e::skip::skip(
            "no_replica_may_vouch_for_a_secret_and_who_signs_needs_none",
            "there is no kubectl",
        );
        return Ok(());
    };
    let text = String::from_utf8_lossy(&kubectl.stderr);
    ensure!(!kubectl.status.success() && text.contains("no replica may vouch for this request"), "{text}");
    let (ok, text) = cluster.ask(0, &["get", "secrets", "-o", "name"])?;
    ensure!(ok && text.contains("secret/signed") && !text.contains("endorsed"), "{text}");
    Ok(())
}
