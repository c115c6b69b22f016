//! A node of a test's own: folders, cgroups and a root of Debian's busybox, and a look at what is left behind.

use hypermesh_runtime::oci::{self, OciOptions};
use hypermesh_runtime::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Tells that a test was not run, as the workspace's other tests do.
pub fn skip(why: &str) {
    println!("SKIPPED: {why}");
    let Some(path) = std::env::var_os("HYPERMESH_SKIPS") else { return };
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let file = fs::File::options().append(true).create(true).open(path);
    drop(
        file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{name}: {why}\n").as_bytes())),
    );
}

/// The programs that tests use in a container.
const APPLETS: [&str; 30] = [
    "sh", "true", "false", "cat", "echo", "sleep", "id", "ls", "mount", "umount", "mknod", "mkdir", "grep",
    "head", "dd", "touch", "tty", "stty", "hostname", "kill", "readlink", "chroot", "unshare", "ps", "wc",
    "env", "pwd", "ip", "yes", "nproc",
];

pub struct Node {
    pub class: Arc<dyn RuntimeClass>,
    pub dir: tempfile::TempDir,
    pub cgroup: String,
}

/// Mounts of the node that are of this test's, or of what shims mount: nobody but them sees theirs.
fn mounts_of(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = |line: &&str| line.contains(&needle) || line.contains("/run/hypermesh-stage");
    mounts.lines().filter(ours).map(str::to_owned).collect()
}

/// Processes whose command line or root names this folder.
pub fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&needle) {
            found.push(format!("{} {line}", entry.file_name().display()));
        }
    }
    found
}

/// Folders of a name in any cgroup tree.
pub fn cgroups_of(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let trees = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
    for tree in trees.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]) {
        let path = tree.join(name);
        if path.is_dir() {
            found.push(path);
        }
    }
    found
}

impl Node {
    /// None, and said, where this user cannot run containers.
    pub async fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = format!(
            "/hypermesh-test-{}",
            dir.path().file_name().unwrap().display().to_string().replace('.', "")
        );
        let class = Self::open(dir.path(), &cgroup).await;
        if !class.report().has(Ability::Containers) {
            skip(&format!("{:?}", class.report().missing));
            return None;
        }
        if !Path::new("/bin/busybox").exists() {
            skip("there is no /bin/busybox");
            return None;
        }
        let root = dir.path().join("root");
        for folder in ["bin", "etc", "tmp", "proc", "dev", "sys", "srv"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n")
            .unwrap();
        Some(Self { class, dir, cgroup })
    }

    pub async fn open(dir: &Path, cgroup: &str) -> Arc<dyn RuntimeClass> {
        Self::open_patient(dir, cgroup, hypermesh_shim::protocol::PATIENCE).await
    }

    pub async fn open_patient(dir: &Path, cgroup: &str, patience: Duration) -> Arc<dyn RuntimeClass> {
        let mut options = OciOptions::new(dir.join("instances"));
        options.shim = Some((PathBuf::from(env!("CARGO_BIN_EXE_hypermesh-shim")), Vec::new()));
        options.cgroup = PathBuf::from(cgroup);
        options.patience = patience;
        oci::open(options).await.unwrap()
    }

    pub fn sandbox_spec(&self, name: &str) -> SandboxSpec {
        sandbox_spec(name)
    }

    pub async fn sandbox(&self, name: &str) -> Arc<dyn Sandbox> {
        self.class.create(self.sandbox_spec(name)).await.unwrap()
    }

    /// A container of the root that runs a script.
    pub fn spec(&self, script: &str) -> ContainerSpec {
        ContainerSpec {
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            root: Root::Folder { path: self.dir.path().join("root"), read_only: false },
            log: Some(Log { path: self.dir.path().join("0.log"), ..Log::default() }),
            ..ContainerSpec::default()
        }
    }

    /// What a log holds, without times.
    pub fn log(&self) -> String {
        log_at(&self.dir.path().join("0.log"))
    }

    /// Runs a script to its end; its exit and output.
    pub async fn run(&self, sandbox: &Arc<dyn Sandbox>, spec: ContainerSpec) -> (Exit, String) {
        drop(fs::remove_file(self.dir.path().join("0.log")));
        let container = sandbox
            .create(ContainerId::new("c").unwrap(), spec)
            .await
            .unwrap_or_else(|error| panic!("{}", told(&error)));
        container.start().await.unwrap_or_else(|error| panic!("{}", told(&error)));
        let exit =
            tokio::time::timeout(Duration::from_secs(20), container.wait()).await.expect("it ends").unwrap();
        container.delete().await.unwrap();
        (exit, self.log())
    }

    /// Ends everything, and looks whether anything is left.
    pub async fn finish(self) {
        let swept = self.class.sweep(&BTreeSet::new()).await.unwrap();
        assert!(swept.left.is_empty(), "{swept:?}");
        self.class.close();
        assert_eq!(cgroups_of(self.cgroup.trim_start_matches('/')), Vec::<PathBuf>::new());
        assert_eq!(processes_of(self.dir.path()), Vec::<String>::new());
        assert_eq!(fs::read_dir(self.dir.path().join("instances")).unwrap().count(), 0);
        assert_eq!(mounts_of(self.dir.path()), Vec::<String>::new());
    }
}

impl Drop for Node {
    /// A test that failed leaves nothing to others either.
    fn drop(&mut self) {
        let instances =
            fs::read_dir(self.dir.path().join("instances")).into_iter().flatten().filter_map(Result::ok);
        for instance in instances {
            // Its shim ends all that it runs, and itself.
            drop(fs::remove_file(instance.path().join("shim.json")));
        }
        for _ in 0..200 {
            if processes_of(self.dir.path()).is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for tree in cgroups_of(self.cgroup.trim_start_matches('/')) {
            let mut folders = vec![tree];
            let mut next = 0;
            while let Some(folder) = folders.get(next).cloned() {
                next += 1;
                let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
                folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
            }
            for folder in folders.iter().rev() {
                drop(fs::remove_dir(folder));
            }
        }
    }
}

/// A sandbox as most tests have it.
pub fn sandbox_spec(name: &str) -> SandboxSpec {
    SandboxSpec {
        instance: InstanceId::new(name).unwrap(),
        hostname: name.to_owned(),
        network: Network::Own,
        user: UserNamespace::Auto,
        host_ipc: false,
        limits: Default::default(),
        sysctls: Default::default(),
        annotations: Default::default(),
    }
}

pub fn log_at(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned() + "\n")).collect()
}

/// An error with its causes.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Waits until something is so.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

pub fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}
