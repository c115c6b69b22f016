//! `nexus-controllers` as processes of their own, beside a server in this process.

use crate::cluster::Cluster;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Nothing that is waited for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running process; killed when dropped.
pub struct Controllers {
    child: Child,
    metrics: SocketAddr,
}

impl Controllers {
    /// Starts one with these flags beside `--kubeconfig` and `--metrics`, and waits until it serves its metrics.
    pub fn start(cluster: &Cluster, flags: &[&str]) -> Result<Self> {
        let program = program()?;
        let mut child = Command::new(&program)
            .arg("--kubeconfig")
            .arg(cluster.dir().join("controllers.kubeconfig"))
            .args(["--metrics", "127.0.0.1:0"])
            .args(flags)
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let log = child.stderr.take().context("its log is not piped")?;
        let (sender, receiver) = mpsc::channel();
        // The log is read to its end: whoever closes it would end the process.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                eprintln!("controllers: {line}");
                if let Some((_, rest)) = line.split_once("metrics=\"") {
                    let _ = sender.send(rest.split('"').next().unwrap_or_default().to_owned());
                }
            }
        });
        let Ok(address) = receiver.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            bail!("{} did not say where its metrics are: {:?}", program.display(), child.wait()?);
        };
        Ok(Self { child, metrics: address.parse().with_context(|| format!("the address {address:?}"))? })
    }

    /// What it serves at `path`: status code and body.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.metrics).context("connecting to the metrics")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.metrics)?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no reply")?;
        let code = head.split(' ').nth(1).context("no code")?.parse()?;
        Ok((code, body.to_owned()))
    }

    /// One figure of its metrics.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("{name} is not in\n{text}"))?.parse().context("no number")
    }

    /// Whether it leads.
    pub fn leads(&self) -> Result<bool> {
        Ok(self.metric("hypermesh_controllers_leading")? == 1.0)
    }

    /// The decisions it tells of a namespace.
    pub fn decisions(&self, name: &str) -> Result<Vec<Value>> {
        let (code, body) = self.get(&format!("/decisions?kind=namespace&name={name}"))?;
        ensure!(code == 200, "{code}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as an operator does, and waits for it.
    pub fn stop(mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = until("the end of the process", || Ok(self.child.try_wait()?))?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives the controllers of a cluster their rights, as `nexusctl up` does.
pub fn grant(cluster: &Cluster) -> Result<()> {
    let output = Command::new(program()?).arg("--rights").output().context("asking for the rights")?;
    let list: Value = serde_json::from_slice(&output.stdout).context("the rights are no JSON")?;
    let admin = cluster.admin()?;
    for object in list["items"].as_array().context("no list of rights")? {
        let plural = match object["kind"].as_str().unwrap_or_default() {
            "ClusterRole" => "clusterroles".to_owned(),
            "ClusterRoleBinding" => "clusterrolebindings".to_owned(),
            "Role" => "namespaces/kube-system/roles".to_owned(),
            _ => "namespaces/kube-system/rolebindings".to_owned(),
        };
        admin.post(&format!("/apis/rbac.authorization.k8s.io/v1/{plural}"), object)?.expect(201)?;
    }
    Ok(())
}

/// Asks again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        ensure!(begin.elapsed() < PATIENCE, "{what}: nothing after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The `nexus-controllers` of this build, beside `nexusctl`.
fn program() -> Result<PathBuf> {
    let nexusctl = crate::load::binary()?;
    let program = nexusctl.with_file_name("nexus-controllers");
    ensure!(program.is_file(), "there is no {}: build hypermesh-controllers first", program.display());
    Ok(program)
}
