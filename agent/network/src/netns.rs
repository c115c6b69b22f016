//! Network namespaces that outlive processes: each is mounted at a path (network_namespaces(7), ip-netns(8)).
//!
//! A thread is the unit that is in a namespace. Everything here happens in a thread that was started for it and ends
//! with it, so that no other work is ever done in the wrong namespace.

use crate::links;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
pub use socket2::{Domain, Socket, Type};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What the kernel calls the file system of namespaces (statfs(2)).
const NSFS: i64 = 0x6e73_6673;

/// Makes a namespace and mounts it at `path`, whose folder must be there.
///
/// # Errors
/// When something is there already, or the kernel refuses: without `CAP_SYS_ADMIN` it does.
pub fn create(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    let made = in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    });
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made
}

/// Makes a namespace with a loopback link that is up and no other, and mounts it at `path`. One that is there stays.
///
/// # Errors
/// When the kernel refuses.
pub fn create_alone(path: &Path) -> io::Result<()> {
    if is_namespace(path) {
        return Ok(());
    }
    // A boot or a crash leaves the file without a namespace.
    remove(path)?;
    create(path)?;
    within(path, links::start_loopback).inspect_err(|_| drop(remove(path)))
}

/// A socket that lives in the namespace at `path`, wherever it is used from. It does not block.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn socket(path: &Path, domain: Domain, kind: Type) -> io::Result<Socket> {
    within(path, || {
        let socket = Socket::new(domain, kind, None)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
}

/// Unmounts a namespace and removes its file. It goes once no process is in it. What is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    while is_namespace(path) {
        umount2(path, MntFlags::MNT_DETACH)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a namespace is mounted there. After a boot the file may be there without one.
pub fn is_namespace(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 == NSFS)
}

/// Runs `work` in a thread inside the namespace at `path`.
///
/// # Errors
/// When the namespace cannot be entered, or `work` fails.
pub fn within<T: Send>(path: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(path)?;
    in_thread(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

/// Connects to a TCP port from inside the namespace: `127.0.0.1` is the instance's own. The caller's thread waits.
///
/// # Errors
/// When nobody answers in time, or the namespace cannot be entered.
pub fn dial(path: &Path, addresses: &[SocketAddr], patience: Duration) -> io::Result<TcpStream> {
    within(path, || {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect_timeout(address, patience) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    })
}

fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}
