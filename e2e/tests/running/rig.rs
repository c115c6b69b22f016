//! A cluster with an agent in one process, and what is asked of it.

use crate::traces::Traces;
use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::load::binary;
use hypermesh_e2e::skip::skip;
use serde_json::Value;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A start takes a moment on a machine that runs all tests at once.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The image that all tests run.
pub const IMAGE: &str = "test.local/busybox:1";
const BUSYBOX: &str = "/usr/bin/busybox";
const APPLETS: [&str; 30] = [
    "cat", "dd", "echo", "env", "false", "grep", "head", "httpd", "id", "kill", "ls", "mkdir", "mount", "nc",
    "ps", "rm", "seq", "sh", "sleep", "stty", "tail", "tar", "test", "touch", "true", "tty", "wc", "wget",
    "nslookup", "hostname",
];

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// What was run, for messages.
    pub line: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output of what went well.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == 0, "{} exited {}: {}{}", self.line, self.code, self.out, self.err);
        Ok(self.out)
    }
}

/// A running cluster.
pub struct Rig {
    folder: tempfile::TempDir,
    api: u16,
    up: Option<Child>,
    before: Traces,
    apart: Option<Apart>,
}

/// An agent that is a process of its own.
#[derive(Default)]
pub struct Apart {
    /// Its program; none: the one that was built.
    pub program: Option<PathBuf>,
    /// Its flags, beside those of every test.
    pub flags: Vec<String>,
    running: Option<Child>,
}

/// How full the machine's disk is says nothing about what is tested here.
const ANY_DISK: [&str; 2] = ["--evict-below-disk", "0"];

/// The name of the node whose agent is a process of its own.
pub const NODE: &str = "node-1";

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
}

impl Rig {
    /// A cluster with its node ready and the image there; none where containers cannot be run, which is said.
    pub fn start(test: &str) -> Result<Option<Self>> {
        Self::begin(test, None)
    }

    /// The same with the agent as a process of its own, with these flags.
    pub fn start_apart(test: &str, flags: &[&str]) -> Result<Option<Self>> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::begin(test, Some(Apart { flags, ..Apart::default() }))
    }

    fn begin(test: &str, apart: Option<Apart>) -> Result<Option<Self>> {
        let on_path = |program: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .chain([PathBuf::from("/usr/sbin")])
                .any(|folder| folder.join(program).exists())
        };
        let why = if !nix::unistd::geteuid().is_root() {
            Some("containers on a bridge need root")
        } else if !Path::new(BUSYBOX).exists() {
            Some("there is no /usr/bin/busybox (Debian's busybox-static)")
        } else if !on_path("nft") {
            Some("there is no nft (Debian's nftables)")
        } else {
            None
        };
        if let Some(why) = why {
            skip(test, why);
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let before = Traces::default();
        let mut rig = Self { folder, api: free_port()?, up: None, before, apart };
        rig.up()?;
        rig.import()?;
        rig.before = rig.traces()?;
        Ok(Some(rig))
    }

    /// Starts the process, and waits until its node is ready.
    pub fn up(&mut self) -> Result<()> {
        let log = self.folder.path().join("up.log");
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let said = self.folder.path().join("up.out");
        let child = Command::new(binary()?)
            .args(["up", "--api", &format!("127.0.0.1:{}", self.api)])
            .args(if self.apart.is_some() { &["--no-agent"][..] } else { &ANY_DISK })
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&said)?)
            .stderr(log)
            .spawn()?;
        self.up = Some(child);
        self.wait("the start", || {
            let said = std::fs::read_to_string(&said)?;
            Ok(said.lines().any(|line| line == "ready").then_some(()))
        })?;
        if self.apart.is_some() {
            self.begin_agent()?;
        }
        self.until_node_is_ready()
    }

    fn until_node_is_ready(&self) -> Result<()> {
        self.until("nodes", |nodes| nodes.pointer("/items/0").is_some_and(ready))?;
        Ok(())
    }

    /// The agent that is a process of its own.
    pub fn apart(&mut self) -> Result<&mut Apart> {
        self.apart.as_mut().context("the agent is no process of its own")
    }

    /// Starts the agent's own process, which joins the cluster when it never has.
    pub fn begin_agent(&mut self) -> Result<()> {
        let built = binary()?.with_file_name("nexus-agent");
        ensure!(built.exists(), "{} is not built: cargo build --workspace --bins", built.display());
        let joined = self.agent().join("agent.kubeconfig").exists();
        let mut command = Command::new(self.apart()?.program.clone().unwrap_or(built));
        command.args(ANY_DISK).args(["--node-name", NODE, "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(self.agent());
        if !joined {
            let token = self.nexusctl(&["token", "create"])?;
            command.args(["--server", &format!("127.0.0.1:{}", self.api), "--token", token.trim(), "--ca"]);
            command.arg(self.data().join("pki/ca.crt"));
        }
        let log = self.folder.path().join("up.log");
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let apart = self.apart()?;
        command.args(&apart.flags).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        apart.running = Some(command.spawn()?);
        Ok(())
    }

    /// Ends the agent's own process as its service's manager does.
    pub fn end_agent(&mut self) -> Result<()> {
        let mut agent = self.apart()?.running.take().context("there is no agent")?;
        end(&mut agent).context("the agent")
    }

    /// Kills the process, as nothing would that means well.
    pub fn kill(&mut self) {
        let agent = self.apart.as_mut().and_then(|apart| apart.running.take());
        for mut process in self.up.take().into_iter().chain(agent) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn import(&self) -> Result<()> {
        let bin = self.folder.path().join("bin");
        std::fs::create_dir(&bin)?;
        std::fs::copy(BUSYBOX, bin.join("busybox"))?;
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet))?;
        }
        let archive = self.pack(IMAGE, "busybox", &[])?;
        self.nexusctl(&["image", "import", &archive])?;
        Ok(())
    }

    /// Packs busybox into an archive below the test's folder, with what the arguments say beside it; gives its path.
    pub fn pack(&self, image: &str, file: &str, more: &[&str]) -> Result<String> {
        let archive = self.folder.path().join(format!("{file}.tar")).display().to_string();
        let bin = format!("{}=/bin", self.folder.path().join("bin").display());
        let usual = ["image", "pack", "-t", image, "-o", &archive, &bin];
        let runs = ["--entrypoint", "/bin/sh", "--env", "PATH=/bin"];
        self.nexusctl(&[&usual[..], &runs, more].concat())?;
        Ok(archive)
    }

    /// The folder of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The cluster's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The agent's data folder.
    pub fn agent(&self) -> PathBuf {
        self.data().join("agent")
    }

    /// A program that talks to the cluster.
    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.data().join("admin.kubeconfig"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a program with text on its standard input.
    pub fn run(&self, program: &Path, arguments: &[&str], input: &str) -> Result<Said> {
        let mut command = self.command(program, arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let input = input.to_owned();
        // A program that ends before it has read all of it is judged by what it says.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output()?;
        drop(writer.join());
        let line = format!("{} {}", program.display(), arguments.join(" "));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Ok(Said { line, code: output.status.code().unwrap_or(-1), out, err })
    }

    /// What nexusctl prints, when it goes well.
    pub fn nexusctl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&binary()?, arguments, "")?.ok()
    }

    /// What kubectl prints, when it goes well.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(Path::new("kubectl"), arguments, "")?.ok()
    }

    /// Applies an object.
    pub fn apply(&self, object: &Value) -> Result<()> {
        self.run(&binary()?, &["apply", "-f", "-"], &object.to_string())?.ok()?;
        Ok(())
    }

    /// An object, or a list.
    pub fn get(&self, what: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.nexusctl(&["get", what, "-o", "json"])?)?)
    }

    /// The instances of a workload that are not about to go.
    pub fn instances(&self, workload: &str) -> Result<Vec<Value>> {
        let label = format!("hypermesh.online/workload={workload}");
        let list: Value =
            serde_json::from_str(&self.nexusctl(&["get", "instances", "-l", &label, "-o", "json"])?)?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().filter(|item| item["metadata"]["deletionTimestamp"].is_null()).collect())
    }

    /// Waits until something comes about.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let begin = Instant::now();
        let mut last = None;
        while begin.elapsed() < PATIENCE {
            match look() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => last = None,
                Err(error) => last = Some(error),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        bail!("{what} does not come about: {last:?}\n{end}")
    }

    /// Waits until something holds of an object.
    pub fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = self.wait(what, || {
            last = self.get(what)?;
            Ok(holds(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("{what} is {last:#}"))
    }

    /// Waits until something holds of an instance of a workload.
    pub fn until_instance(&self, workload: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Vec::new();
        let found = self.wait(&format!("what is expected of an instance of {workload}"), || {
            last = self.instances(workload)?;
            Ok(last.iter().find(|instance| holds(instance)).cloned())
        });
        found.with_context(|| format!("the instances: {:#}", Value::from(last)))
    }

    /// Waits for an Event about an object whose name begins with `about`, with this in its message.
    pub fn event(&self, about: &str, reason: &str, words: &str) -> Result<()> {
        let mut seen = Vec::new();
        let found = self.wait(&format!("an event {reason} about {about} with {words:?}"), || {
            let events = self.get("events")?;
            seen.clear();
            for event in events["items"].as_array().into_iter().flatten() {
                let object = ["/involvedObject/name", "/regarding/name"]
                    .iter()
                    .find_map(|at| event.pointer(at)?.as_str());
                if !object.is_some_and(|name| name.starts_with(about)) {
                    continue;
                }
                let message =
                    ["message", "note"].iter().find_map(|key| event[*key].as_str()).unwrap_or_default();
                if event["reason"] == reason && message.contains(words) {
                    return Ok(Some(()));
                }
                seen.push(format!("{}: {message}", event["reason"]));
            }
            Ok(None)
        });
        found.with_context(|| format!("seen instead: {seen:#?}"))
    }

    /// What there is of instances on this machine.
    pub fn traces(&self) -> Result<Traces> {
        Traces::of(&self.agent())
    }

    /// Deletes workloads, and waits until nothing is left of them on this machine; ends the cluster.
    pub fn ends_clean(mut self, workloads: &[&str]) -> Result<()> {
        for workload in workloads {
            self.nexusctl(&["delete", "workload", workload])?;
        }
        let mut left = Vec::new();
        let gone = self.wait("that nothing is left", || {
            let there = self.nexusctl(&["get", "instances", "-o", "name"])?;
            left = self.traces()?.beyond(&self.before);
            left.extend(there.lines().map(str::to_owned));
            Ok(left.is_empty().then_some(()))
        });
        gone.with_context(|| format!("left: {left:#?}"))?;
        if self.apart.is_some() {
            self.end_agent()?;
        }
        let mut up = self.up.take().context("it does not run")?;
        end(&mut up).context("up")
    }
}

/// Has a process end, which it has to do well.
fn end(process: &mut Child) -> Result<()> {
    let pid = nix::unistd::Pid::from_raw(process.id().try_into()?);
    nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM)?;
    let ended = process.wait()?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill();
        Traces::clear(&self.agent());
    }
}

/// Whether an object is ready.
pub fn ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|condition| condition["status"] == "True")
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// The status of an instance's first container.
pub fn container(instance: &Value) -> &Value {
    instance.pointer("/status/containerStatuses/0").unwrap_or(&Value::Null)
}

/// An object's name.
pub fn name(object: &Value) -> Result<&str> {
    object["metadata"]["name"].as_str().context("it has no name")
}
