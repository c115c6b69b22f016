//! Starting a shim, in a way that its file is safe from what it runs.

use crate::error::RuntimeError;
use hypermesh_shim::READY;
use hypermesh_shim::protocol::InstanceId;
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// The name of the program that is a shim and nothing else.
const BESIDE: &str = "hypermesh-shim";

/// How long a shim may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that a shim says when it begins.
const LONGEST: u64 = 16 << 10;

/// What is executed as a shim.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// The same file through a mount that nothing can be written through: a container that comes by the shim's file (by
    /// `/proc/self/exe`) cannot change it. None where mounts cannot be made.
    sealed: Option<OwnedFd>,
}

impl Program {
    /// What somebody named.
    pub(super) fn named(path: PathBuf, arguments: Vec<OsString>) -> Self {
        let sealed = seal(&path).ok();
        Self { path, arguments, sealed }
    }

    /// This program itself.
    pub(super) fn own() -> Self {
        Self::named(PathBuf::from("/proc/self/exe"), vec![OsString::from("shim")])
    }

    /// Where a program would lie that is a shim and nothing else.
    pub(super) fn beside() -> io::Result<PathBuf> {
        let own = std::fs::read_link("/proc/self/exe")?;
        Ok(own.with_file_name(BESIDE))
    }

    fn command(&self) -> Command {
        let path = match &self.sealed {
            Some(sealed) => PathBuf::from(format!("/proc/self/fd/{}", sealed.as_raw_fd())),
            None => self.path.clone(),
        };
        let mut command = Command::new(path);
        // A name for whoever lists processes.
        command.arg0("hypermesh-shim").args(&self.arguments);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Has the shim's program do something that ends soon: it reads `input`, and writes to a file. An error is its words.
    pub(super) async fn run(&self, argument: &str, input: &[u8], output: &OwnedFd) -> Result<(), String> {
        let told =
            |error: io::Error| format!("{} {argument} could not be run ({error})", self.path.display());
        let mut command = self.command();
        command.arg(argument).stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.stdout(Stdio::from(output.try_clone().map_err(told)?));
        let mut child = command.spawn().map_err(told)?;
        let done = async {
            if let Some(mut stdin) = child.stdin.take() {
                // Where it ends early the pipe breaks; its words say why.
                let _ = stdin.write_all(input).await;
            }
            child.wait_with_output().await
        };
        let ended = tokio::time::timeout(PATIENCE, done).await;
        let ended = ended.map_err(|_| told(io::ErrorKind::TimedOut.into()))?.map_err(told)?;
        if ended.status.success() {
            return Ok(());
        }
        let words: String = String::from_utf8_lossy(&ended.stderr).chars().take(1000).collect();
        Err(if words.is_empty() { format!("it ended with {}", ended.status) } else { words })
    }

    /// Starts a shim for an Instance's folder; done when it listens.
    pub(super) async fn start(&self, instance: &InstanceId, folder: &Path) -> Result<(), RuntimeError> {
        let failed = |why: String| RuntimeError::ShimStart { instance: instance.clone(), why };
        let said =
            self.say(&[folder.as_os_str().to_owned()]).await.map_err(|error| failed(error.to_string()))?;
        if said == READY {
            return Ok(());
        }
        let why = if said.is_empty() { "it ended without a word".to_owned() } else { said };
        Err(failed(why))
    }

    /// What a shim says with some arguments, until it lets its standard output go.
    pub(super) async fn say(&self, arguments: &[OsString]) -> io::Result<String> {
        let mut child = self.command().args(arguments).spawn()?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = out.take(LONGEST);
            let reading = out.read_to_string(&mut said);
            match tokio::time::timeout(PATIENCE, reading).await {
                Ok(read) => drop(read?),
                Err(_) => {
                    child.start_kill()?;
                    return Err(io::Error::other(format!("it said nothing for {} s", PATIENCE.as_secs())));
                }
            }
        }
        // It lives on; tokio reaps it should it end before the agent does.
        drop(child);
        Ok(said)
    }
}

fn seal(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    let attr = libc::mount_attr {
        attr_set: MountAttrFlags::MOUNT_ATTR_RDONLY.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    #[expect(unsafe_code, reason = "neither rustix nor nix has mount_setattr")]
    // SAFETY: the descriptor is open as long as its owner lives, the path is a literal, and the kernel reads no more of the
    // structure than the size that is given with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(tree);
    }
    Err(rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO))
}
