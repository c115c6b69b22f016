//! Network namespaces as files: made, entered for a moment, removed.
//!
//! A thread that has entered a namespace is in it until it ends, so each operation has a thread of its own and no
//! thread of the runtime ever leaves the node's namespace.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::netlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// Something about a namespace did not work.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the network namespace {path}")]
pub struct NamespaceError {
    /// What was tried.
    action: &'static str,
    /// Which namespace.
    path: PathBuf,
    /// Why not.
    #[source]
    source: io::Error,
}

impl NamespaceError {
    fn of<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source: source.into() }
    }
}

/// Makes a namespace whose loopback interface is up, and keeps it at `path`. One that is there already stays.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`, or when the file cannot be made.
pub fn make_namespace(path: &Path) -> Result<(), NamespaceError> {
    if is_namespace(path) {
        return Ok(());
    }
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(NamespaceError::of("keep", path))?;
    let made = on_a_thread(|| {
        #[expect(unsafe_code, reason = "the call is only unsafe for threads that share descriptors")]
        // SAFETY: NEWNET does not unshare the table of descriptors, so no descriptor of another thread is affected.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
        bring_loopback_up()?;
        Ok(rustix::mount::mount("/proc/thread-self/ns/net", path, c"none", MountFlags::BIND, None)?)
    });
    made.map_err(|source| {
        let _ = std::fs::remove_file(path);
        NamespaceError::of("make", path)(source)
    })
}

/// Whether a namespace is kept there.
fn is_namespace(path: &Path) -> bool {
    const NSFS: i64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS)
}

/// Lets go of a namespace. It ends with the last process and socket in it.
///
/// # Errors
/// When the file cannot be removed.
pub fn remove_namespace(path: &Path) -> Result<(), NamespaceError> {
    // Several mounts may lie upon each other after a crash between two of them.
    while is_namespace(path) {
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(NamespaceError::of("let go of", path))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NamespaceError::of("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A socket that lives in the namespace at `path`, wherever it is used from.
///
/// # Errors
/// When there is no such namespace or it may not be entered.
pub fn socket_in(path: &Path, family: AddressFamily, kind: SocketType) -> Result<OwnedFd, NamespaceError> {
    let namespace = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(NamespaceError::of("open", path))?;
    on_a_thread(|| {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socket_with(family, kind, flags, None)?)
    })
    .map_err(NamespaceError::of("enter", path))
}

/// Runs something on a thread that ends with it.
fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}

/// Brings the loopback interface of the calling thread's namespace up (rtnetlink(7): RTM_NEWLINK, IFF_UP).
///
/// # Errors
/// What the kernel says.
pub fn bring_loopback_up() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    // The loopback interface is the first of every namespace; protocol 0 is NETLINK_ROUTE.
    const LOOPBACK: i32 = 1;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, type
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut reply = [0_u8; 512];
    let (read, _) = rustix::net::recv(&socket, &mut reply[..], RecvFlags::empty())?;
    // The reply is an error message whose code stands behind the header; 0 is well done.
    let code = reply.get(..read).and_then(|reply| reply.get(16..20)).and_then(|code| code.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is too short")),
    }
}
