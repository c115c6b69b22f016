//! The server under test as a process of its own: `nexusctl up --no-agent` on a data folder.

use super::client::Call;
use super::client::{Access, Target};
use anyhow::{Context as _, Result, bail, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take before it counts as failed: a store is read through after a kill.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is started.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// The `nexusctl` that is run.
    pub binary: PathBuf,
    /// The data folder.
    pub dir: PathBuf,
    /// Files of kinds that a new cluster gets beside its own.
    pub genesis_kinds: Vec<PathBuf>,
    /// Where the log goes; appended to.
    pub log: PathBuf,
}

impl ServerSpec {
    /// A server on `dir`, with the kind of the load's objects, which logs beside that folder.
    pub fn new(binary: PathBuf, dir: PathBuf) -> Self {
        let log = dir.with_extension("log");
        let widget = Path::new(env!("CARGO_MANIFEST_DIR")).join("widget-crd.yaml");
        Self { binary, dir, genesis_kinds: vec![widget], log }
    }

    fn command(&self) -> Result<Command> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.args(["up", "--no-agent", "--api", "127.0.0.1:0", "--data-dir"]).arg(&self.dir);
        for kind in &self.genesis_kinds {
            command.arg("--genesis-kind").arg(kind);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    /// Starts the server, and calls `end` and kills it after a while, ready or not.
    pub async fn start_and_kill(&self, after: Duration, end: impl FnOnce()) -> Result<()> {
        let child = self.command()?.spawn();
        let mut child = child.with_context(|| format!("starting {}", self.binary.display()))?;
        tokio::time::sleep(after).await;
        end();
        // It may have ended by itself, over a disk that is gone.
        let _ = child.kill().await;
        Ok(())
    }

    /// Starts the server and waits until `/readyz` answers.
    pub async fn start(&self) -> Result<ServerProcess> {
        let begin = Instant::now();
        let child = self.command()?.spawn();
        let mut child = child.with_context(|| format!("starting {}", self.binary.display()))?;
        let pid = child.id().context("the server has no process id")?;
        let address = match tokio::time::timeout(PATIENCE, said_ready(&mut child)).await {
            Ok(Ok(address)) => address,
            Ok(Err(error)) => return Err(error.context(format!("its log is {}", self.log.display()))),
            Err(_) => bail!("the server is not ready after {PATIENCE:?}; its log is {}", self.log.display()),
        };
        let kubeconfig = std::fs::read_to_string(self.dir.join("admin.kubeconfig"))?;
        let target = Arc::new(Target::secure(address, &Access::from_kubeconfig(&kubeconfig)?)?);
        target.connect().await?.expect(Call::get("/readyz")).await?;
        Ok(ServerProcess { child, pid, target, ready: begin.elapsed() })
    }

    /// Runs `up --check` on the data folder: what it said, and whether it found it sound.
    pub async fn check(&self) -> Result<(String, bool)> {
        let output = Command::new(&self.binary)
            .args(["up", "--check", "--data-dir"])
            .arg(&self.dir)
            .output()
            .await
            .with_context(|| format!("running {}", self.binary.display()))?;
        let said = [output.stdout, output.stderr].concat();
        Ok((String::from_utf8_lossy(&said).into_owned(), output.status.success()))
    }
}

/// Reads what the server says until it is ready, and gives its address.
async fn said_ready(child: &mut Child) -> Result<SocketAddr> {
    let stdout = child.stdout.take().context("the server's output is not piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut address = None;
    while let Some(line) = lines.next_line().await? {
        if let Some(rest) = line.strip_prefix("api ") {
            let url = rest.trim().strip_prefix("https://").context("the server's address is no https URL")?;
            address = Some(url.parse().with_context(|| format!("the server's address {url:?}"))?);
        }
        if line == "ready" {
            // Whoever closes the pipe would break the server's last words.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return address.context("the server is ready and has not said where");
        }
    }
    bail!("the server ended before it was ready: {}", child.wait().await?)
}

/// A server that runs; killed when dropped.
pub struct ServerProcess {
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// Where and as whom it is reached: its administrator.
    pub target: Arc<Target>,
    /// From the start of the process to the first good answer of `/readyz`.
    pub ready: Duration,
}

impl ServerProcess {
    /// Ends it as an operator does, and waits for it.
    pub async fn stop(mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid)?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status =
            tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not stop")??;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Ends it at once (SIGKILL) and waits for it.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// The `nexusctl` of this build: `NEXUSCTL`, else the one beside this executable.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("NEXUSCTL") {
        return Ok(named.into());
    }
    let own = std::env::current_exe().context("finding this executable")?;
    // Tests lie one folder below the programs.
    let candidates = own.ancestors().skip(1).take(2).map(|folder| folder.join("nexusctl"));
    candidates.clone().find(|path| path.is_file()).with_context(|| {
        let tried: Vec<String> = candidates.map(|path| path.display().to_string()).collect();
        format!("there is no {}: build nexusctl first, or set NEXUSCTL", tried.join(" or "))
    })
}
