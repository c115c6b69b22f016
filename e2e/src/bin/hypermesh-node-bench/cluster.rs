//! A cluster whose node has an image, as processes of the programs that are measured, and what is asked of it.

use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::load::{Access, Call, Target};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The image that everything runs.
const IMAGE: &str = "bench.local/busybox:1";
const BUSYBOX: &str = "/bin/busybox";

/// Which agent there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// In the server's process, as `nexusctl up` has it.
    Within,
    /// A process of its own.
    Apart,
}

/// A running cluster. What it runs is ended with it.
pub struct Cluster {
    nexusctl: PathBuf,
    dir: PathBuf,
    server: Child,
    agent: Option<Child>,
    target: Arc<Target>,
}

impl Cluster {
    /// Starts it in a folder; ready with its node and the image.
    pub async fn start(nexusctl: &Path, dir: &Path, agent: Agent) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let api = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = quiet(nexusctl, &dir.join("up.log"))?;
        command.args(["up", "--api", &api.to_string(), "--data-dir"]).arg(dir.join("data"));
        if agent == Agent::Apart {
            command.arg("--no-agent");
        }
        let said = dir.join("up.out");
        let server = command.stdout(File::create(&said)?).spawn()?;
        until("the server", || Ok(std::fs::read_to_string(&said)?.lines().any(|line| line == "ready")))
            .await?;
        let kubeconfig = std::fs::read_to_string(dir.join("data/admin.kubeconfig"))?;
        let target = Arc::new(Target::secure(api, &Access::from_kubeconfig(&kubeconfig)?)?);
        let mut cluster =
            Self { nexusctl: nexusctl.to_owned(), dir: dir.to_owned(), server, agent: None, target };
        if agent == Agent::Apart {
            cluster.join(api).await?;
        }
        let begin = Instant::now();
        while !cluster.has_ready_node().await? {
            ensure!(begin.elapsed() < PATIENCE, "no node is ready; see {}", dir.display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cluster.import().await?;
        Ok(cluster)
    }

    async fn join(&mut self, api: SocketAddr) -> Result<()> {
        let token = self.nexusctl(&["token", "create"], "").await?;
        let agent = self.nexusctl.with_file_name("nexus-agent");
        let mut command = quiet(&agent, &self.dir.join("agent.log"))?;
        command.args(["--server", &api.to_string(), "--token", token.trim(), "--listen", "127.0.0.1:0"]);
        command.arg("--ca").arg(self.dir.join("data/pki/ca.crt"));
        command.arg("--data-dir").arg(self.agent_folder());
        let child = command.spawn().with_context(|| format!("starting {}", agent.display()))?;
        self.agent = Some(child);
        Ok(())
    }

    async fn has_ready_node(&self) -> Result<bool> {
        let nodes = self.get("/apis/hypermesh.online/v1/nodes").await?;
        let conditions = nodes.pointer("/items/0/status/conditions").and_then(Value::as_array);
        Ok(conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    }

    /// Packs Debian's static busybox, and gives it to the node.
    async fn import(&self) -> Result<()> {
        let bin = self.dir.join("bin");
        std::fs::create_dir_all(&bin)?;
        std::fs::copy(BUSYBOX, bin.join("busybox")).context("copying busybox")?;
        for applet in ["sh", "sleep", "true"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet))?;
        }
        let archive = self.dir.join("busybox.tar").display().to_string();
        let folder = format!("{}=/bin", bin.display());
        let pack = ["image", "pack", "-t", IMAGE, "-o", &archive, &folder, "--env", "PATH=/bin"];
        self.nexusctl(&pack, "").await?;
        self.nexusctl(&["image", "import", &archive], "").await?;
        Ok(())
    }

    /// Where the agent keeps its files.
    pub fn agent_folder(&self) -> PathBuf {
        self.dir.join("data/agent")
    }

    /// The agent's process, if it has one of its own.
    pub fn agent(&self) -> Result<u32> {
        self.agent.as_ref().and_then(Child::id).context("there is no agent of its own")
    }

    /// Where the server is, and as whom: its administrator.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// An object or a list.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let body = self.target.connect().await?.expect(Call::get(path)).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Runs `nexusctl` as a person does, and gives what it printed.
    pub async fn nexusctl(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.nexusctl);
        command
            .args(arguments)
            .env("KUBECONFIG", self.dir.join("data/admin.kubeconfig"))
            .env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("its input is not piped")?;
        // So little that the pipe holds all of it.
        let mut stdin = File::from(stdin.into_owned_fd()?);
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nexusctl {}: {error}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it, and all that it runs.
    pub async fn stop(mut self) -> Result<()> {
        for child in self.agent.iter_mut().chain([&mut self.server]) {
            let Some(pid) = child.id() else { continue };
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid.cast_signed()),
                nix::sys::signal::Signal::SIGTERM,
            )?;
            tokio::time::timeout(PATIENCE, child.wait()).await.context("it does not stop")??;
        }
        Ok(())
    }
}

/// A workload of so many instances that do nothing, and end when they are told to.
pub fn workload(name: &str, replicas: usize) -> String {
    let run = "trap 'exit 0' TERM; sleep 86400 & wait";
    json!({
        "apiVersion": "hypermesh.online/v1",
        "kind": "Workload",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "template": {"spec": {
                "terminationGracePeriodSeconds": 5,
                "containers": [{"name": "main", "image": IMAGE, "command": ["/bin/sh", "-c", run]}],
            }},
        },
    })
    .to_string()
}

fn quiet(program: &Path, log: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?).kill_on_drop(true);
    Ok(command)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !holds()? {
        if begin.elapsed() > PATIENCE {
            bail!("{what} is not ready after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
