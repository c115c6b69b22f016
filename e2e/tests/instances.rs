//! An agent runs what is bound to its node: joined by a token, killed and started again, and nothing is left of what was
//! deleted. Real containers, so it needs root; without it, it is skipped and said.

use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::load::{ServerProcess, ServerSpec, binary};
use hypermesh_e2e::skip::skip;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A start takes a moment on a machine that runs all tests at once.
const PATIENCE: Duration = Duration::from_secs(90);
const NODE: &str = "node-1";

/// A cluster with an agent beside it.
struct Rig {
    folder: tempfile::TempDir,
    _server: ServerProcess,
    agent: Option<Child>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill_agent();
        // What the agent left mounted in a folder that goes.
        let memory = self.data().join("memory");
        let _ = nix::mount::umount2(&memory, nix::mount::MntFlags::MNT_DETACH);
    }
}

impl Rig {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let spec = ServerSpec::new(binary()?, folder.path().join("server"));
        let server = spec.start().await?;
        let mut rig = Self { folder, _server: server, agent: None };
        let token = rig.nexusctl(&["token", "create"])?.trim().to_owned();
        rig.start_agent(Some(&token))?;
        Ok(rig)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    fn start_agent(&mut self, token: Option<&str>) -> Result<()> {
        let agent = binary()?.with_file_name("nexus-agent");
        ensure!(agent.exists(), "{} is not built: cargo build --workspace --bins", agent.display());
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join("agent.log"))?;
        let mut command = Command::new(agent);
        command.args(["--node-name", NODE, "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.data());
        if let Some(token) = token {
            let ca = self.folder.path().join("server/pki/ca.crt");
            let server = self.kubeconfig_server()?;
            command.args(["--token", token, "--server", &server, "--ca"]).arg(ca);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.agent = Some(command.spawn()?);
        Ok(())
    }

    fn kubeconfig_server(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.kubeconfig())?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("server: "));
        Ok(line.context("the kubeconfig names no server")?.trim().to_owned())
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("server/admin.kubeconfig")
    }

    fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    /// Ends the agent as an operator does: it takes its bridge along, since nothing runs.
    fn end_agent(&mut self) -> Result<()> {
        let mut agent = self.agent.take().context("there is no agent")?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(agent.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        ensure!(agent.wait()?.success(), "the agent did not end well");
        Ok(())
    }

    fn nexusctl(&self, arguments: &[&str]) -> Result<String> {
        self.nexusctl_with(arguments, "")
    }

    fn nexusctl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let manifest = self.folder.path().join("input.json");
        std::fs::write(&manifest, input)?;
        let output = Command::new(binary()?)
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.folder.path())
            .stdin(std::fs::File::open(&manifest)?)
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("nexusctl {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(said)
    }

    fn get(&self, what: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.nexusctl(&["get", what, "-o", "json"])?)?)
    }

    /// Waits until something holds of an object.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let begin = Instant::now();
        let mut last = Value::Null;
        while begin.elapsed() < PATIENCE {
            if let Ok(found) = self.get(what) {
                if holds(&found) {
                    return Ok(found);
                }
                last = found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default();
        let end: Vec<_> = log.lines().rev().take(30).collect();
        bail!(
            "{what} does not come to it: {last:#}\n{}",
            end.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }

    /// Gives the agent an image of Debian's static busybox; the agent must not run meanwhile, since one process has its
    /// store.
    fn image(&self, busybox: &Path) -> Result<()> {
        use hypermesh_image::{ImportOptions, Store, StoreOptions};
        let archive = self.folder.path().join("busybox.tar");
        let place = format!("{}=/bin/busybox", busybox.display());
        self.nexusctl(&[
            "image",
            "pack",
            "-t",
            "test.local/busybox:1",
            "-o",
            &archive.display().to_string(),
            &place,
        ])?;
        let (store, _) = Store::open(&self.data().join("images"), StoreOptions::default())?;
        store.import(&archive, &ImportOptions { unpack: true, ..ImportOptions::default() })?;
        Ok(())
    }

    /// How many shims there are of this agent.
    fn shims(&self) -> Result<usize> {
        let data = self.data().display().to_string();
        let is_one = |process: &std::fs::DirEntry| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains("shim") && line.contains(&data)
        };
        Ok(std::fs::read_dir("/proc")?.flatten().filter(is_one).count())
    }

    /// What is there of instances on this machine, of this agent alone.
    fn traces(&self) -> Result<Vec<String>> {
        let mut traces = Vec::new();
        for folder in ["instances", "logs", "memory", "runtime", "images/snapshots"] {
            for entry in std::fs::read_dir(self.data().join(folder))? {
                traces.push(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
            }
        }
        if self.shims()? > 0 {
            traces.push(format!("{} shims", self.shims()?));
        }
        let data = self.data().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        traces.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&data) && !line.contains("/memory "))
                .map(str::to_owned),
        );
        Ok(traces)
    }
}

fn ready(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn instance(script: &str) -> String {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance",
        "metadata": {"name": "one", "namespace": "default", "finalizers": ["node.hypermesh.online/runs"]},
        "spec": {"workload": "one", "revision": "1", "nodeName": NODE, "pod": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "main", "image": "test.local/busybox:1",
                "command": ["/bin/busybox", "sh", "-c", script],
                "env": [
                    {"name": "WHO", "value": "$(NAME) of $(SPACE)"},
                    {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                    {"name": "GREETING", "value": "$(NAME) of $(SPACE)"},
                ],
                "volumeMounts": [{"name": "config", "mountPath": "/config"}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": "settings"}}],
        }},
    })
    .to_string()
}

const BUSYBOX: &str = "/bin/busybox";

/// Why no agent can run containers here.
fn unable() -> Option<&'static str> {
    match (nix::unistd::geteuid().is_root(), Path::new(BUSYBOX).exists()) {
        (false, _) => Some("containers of an agent need root"),
        (_, false) => Some("there is no /bin/busybox (Debian's busybox-static)"),
        _ => None,
    }
}

#[tokio::test]
async fn an_instance_runs_survives_its_agent_and_leaves_nothing() -> Result<()> {
    let busybox = Path::new(BUSYBOX);
    if let Some(why) = unable() {
        skip("an_instance_runs_survives_its_agent_and_leaves_nothing", why);
        return Ok(());
    }
    let mut rig = Rig::start().await?;
    rig.until(&format!("node/{NODE}"), ready).await?;
    rig.kill_agent();
    rig.image(busybox)?;
    rig.start_agent(None)?;

    // What it needs is not there yet: that is told, and it goes on once it is.
    let script = "echo hello from $GREETING; echo I have $(/bin/busybox cat /config/color); exec /bin/busybox sleep 1000";
    rig.nexusctl_with(&["apply", "-f", "-"], &instance(script))?;
    let message =
        |object: &Value| object.pointer("/status/message").and_then(Value::as_str).map(str::to_owned);
    rig.until("instance/one", |found| {
        message(found).is_some_and(|words| words.contains("configmap \"settings\" not found"))
    })
    .await?;
    rig.nexusctl(&["create", "configmap", "settings", "--from-literal=color=blue"])?;
    rig.until("instance/one", ready).await?;
    let logs = rig.nexusctl(&["logs", "one"]);
    let logs =
        logs.or_else(|_| rig.nexusctl(&["get", "--raw", "/api/v1/namespaces/default/pods/one/log"]))?;
    ensure!(logs == "hello from one of default\nI have blue\n", "{logs:?}");

    // The agent is killed, and another one finds what runs.
    let id = |object: &Value| object.pointer("/status/containerStatuses/0").cloned();
    let before = id(&rig.get("instance/one")?);
    let pid = pid_of("sleep 1000", &rig)?;
    rig.kill_agent();
    rig.start_agent(None)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.until("instance/one", ready).await?;
    ensure!(pid_of("sleep 1000", &rig)? == pid, "the container is another one");
    ensure!(id(&rig.get("instance/one")?) == before, "its status changed");

    // It goes when it is deleted, and nothing is left.
    rig.nexusctl(&["delete", "instance", "one", "--wait=false"])?;
    let begin = Instant::now();
    loop {
        let traces = rig.traces()?;
        let there = rig.nexusctl(&["get", "instances", "-o", "name"])?;
        if traces.is_empty() && there.trim().is_empty() {
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "left: {traces:#?} {there}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rig.end_agent()
}

/// How often the agent is killed, and how many instances begin meanwhile each time.
const KILLS: usize = 10;
const EACH: usize = 10;

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_leaks_nothing() -> Result<()> {
    if let Some(why) = unable() {
        skip("an_agent_that_is_killed_at_any_moment_leaks_nothing", why);
        return Ok(());
    }
    let mut rig = Rig::start().await?;
    rig.until(&format!("node/{NODE}"), ready).await?;
    rig.kill_agent();
    rig.image(Path::new(BUSYBOX))?;
    rig.start_agent(None)?;
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos();
    println!("seed {seed}");
    let mut random = seed;
    for round in 0..KILLS {
        let all: Vec<Value> = (0..EACH).map(|n| sleeper(&format!("r{round}-{n}"))).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string();
        rig.nexusctl_with(&["apply", "-f", "-"], &list)?;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        tokio::time::sleep(Duration::from_millis(u64::from(random >> 16) % 1500)).await;
        if round % 3 == 1 {
            // What is deleted in the middle of its start goes, too.
            let gone: Vec<String> = (0..EACH / 2).map(|n| format!("instance/r{round}-{n}")).collect();
            let mut arguments = vec!["delete", "--wait=false"];
            arguments.extend(gone.iter().map(String::as_str));
            rig.nexusctl(&arguments)?;
        }
        rig.kill_agent();
        rig.start_agent(None)?;
    }
    let wanted = KILLS * EACH - (0..KILLS).filter(|round| round % 3 == 1).count() * (EACH / 2);
    let running = |list: &Value| {
        let items = list["items"].as_array().map_or(0, Vec::len);
        let ready = list["items"].as_array().into_iter().flatten().filter(|item| ready(item)).count();
        items == wanted && ready == wanted
    };
    let list = rig.until("instances", running).await?;
    let restarts =
        |item: &Value| item.pointer("/status/restarts").and_then(Value::as_u64).unwrap_or_default();
    let again: u64 = list["items"].as_array().into_iter().flatten().map(restarts).sum();
    ensure!(again == 0, "seed {seed}: {again} containers were started again");
    ensure!(rig.shims()? == wanted, "seed {seed}: {} shims of {wanted}", rig.shims()?);
    let uids: Vec<String> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned))
        .collect();
    rig.nexusctl(&["delete", "instances", "--all", "--wait=false"])?;
    let begin = Instant::now();
    loop {
        let mut traces = rig.traces()?;
        traces.extend(traces_of(&uids)?);
        if traces.is_empty() {
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "seed {seed}: left: {traces:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    rig.end_agent()
}

fn sleeper(name: &str) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance", "metadata": {"name": name, "namespace": "default"},
        "spec": {"workload": "many", "revision": "1", "nodeName": NODE, "pod": {
            "terminationGracePeriodSeconds": 0,
            "initContainers": [{"name": "init", "image": "test.local/busybox:1", "command": ["/bin/busybox", "true"]}],
            "containers": [{
                "name": "main", "image": "test.local/busybox:1", "command": ["/bin/busybox", "sleep", "3000"],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "emptyDir": {}}],
        }},
    })
}

/// What the kernel has of instances: cgroups, mounts, network namespaces.
fn traces_of(uids: &[String]) -> Result<Vec<String>> {
    let of_them = |text: &str| uids.iter().any(|uid| text.contains(uid.as_str()));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut traces: Vec<String> = mounts.lines().filter(|line| of_them(line)).map(str::to_owned).collect();
    let mut folders = vec![(PathBuf::from("/sys/fs/cgroup"), 0), (PathBuf::from("/run"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if of_them(&name) {
                traces.push(entry.path().display().to_string());
            } else if depth < 4
                && (depth == 0 || entry.path().to_string_lossy().contains("hypermesh"))
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    Ok(traces)
}

/// The pid of a process that only the rig's container runs.
fn pid_of(command: &str, rig: &Rig) -> Result<u32> {
    let data = rig.data().display().to_string();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let read = |name: &str| std::fs::read_to_string(process.path().join(name)).unwrap_or_default();
        if !read("cmdline").replace('\0', " ").contains(command) {
            continue;
        }
        // Its parent is the shim of this rig's instance.
        let status = read("status");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
        let shim = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).unwrap_or_default();
        if shim.replace('\0', " ").contains(&data) {
            return process.file_name().to_string_lossy().parse().context("a pid");
        }
    }
    bail!("nobody runs {command}")
}
