//! Starting a shim, in a way that its file is safe from what it runs.

use super::into_cgroup::Birth;
use crate::error::RuntimeError;
use hypermesh_shim::READY;
use hypermesh_shim::protocol::InstanceId;
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::process::Command;

/// The name of the program that is a shim and nothing else.
const BESIDE: &str = "hypermesh-shim";

/// What shims are called, for whoever lists processes.
const NAME: &str = "hypermesh-shim";

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

    fn file(&self) -> PathBuf {
        match &self.sealed {
            Some(sealed) => PathBuf::from(format!("/proc/self/fd/{}", sealed.as_raw_fd())),
            None => self.path.clone(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.file());
        command.arg0(NAME).args(&self.arguments);
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

    /// Starts a shim for an Instance's folder; done when it listens. It is born in a cgroup of version 2, if there is one to
    /// be born in; which it is in otherwise it joins by itself.
    pub(super) async fn start(
        &self,
        instance: &InstanceId,
        folder: &Path,
        cgroup: Option<&Path>,
    ) -> Result<(), RuntimeError> {
        let failed = |why: String| RuntimeError::ShimStart { instance: instance.clone(), why };
        let born = cgroup.and_then(|cgroup| self.bear(folder, cgroup).ok());
        let said = match born {
            Some((process, out)) => hear(process, out).await,
            // An old kernel, or one that does not let this user: it goes the long way.
            None => self.say(&[folder.as_os_str().to_owned()]).await,
        };
        let said = said.map_err(|error| failed(error.to_string()))?;
        if said == READY {
            return Ok(());
        }
        let why = if said.is_empty() { "it ended without a word".to_owned() } else { said };
        Err(failed(why))
    }

    /// Executes a shim in a cgroup. Gives the process, and where it says what it has to say.
    fn bear(&self, folder: &Path, cgroup: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
        let words = self.arguments.iter().map(OsString::as_os_str).chain([folder.as_os_str()]);
        let words = std::iter::once(OsStr::new(NAME)).chain(words);
        let cgroup = File::open(cgroup)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (out, their_out) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let birth = Birth {
            program: text(self.file().as_os_str())?,
            arguments: words.map(text).collect::<io::Result<_>>()?,
            null: null.as_fd(),
            out: their_out.as_fd(),
            cgroup: cgroup.as_fd(),
        };
        Ok((birth.give()?, out))
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

/// What a shim says until it lets its standard output go. It lives on, and is waited for until it ends.
async fn hear(process: OwnedFd, out: OwnedFd) -> io::Result<String> {
    let out = tokio::net::unix::pipe::Receiver::from_owned_fd(out)?;
    let mut said = String::new();
    let mut out = out.take(LONGEST);
    let heard = tokio::time::timeout(PATIENCE, out.read_to_string(&mut said)).await;
    if heard.is_err() {
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
    #[expect(unsafe_code, reason = "tokio asks for a promise that the descriptor stays the same")]
    // SAFETY: an `OwnedFd` always gives the same descriptor, which is open as long as it lives.
    let process = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) }?;
    tokio::spawn(async move {
        if process.readable().await.is_ok() {
            let _ = waitid(
                WaitId::PidFd(process.get_ref().as_fd()),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            );
        }
    });
    match heard {
        Ok(read) => read.map(|_| said),
        Err(_) => Err(io::Error::other(format!("it said nothing for {} s", PATIENCE.as_secs()))),
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
