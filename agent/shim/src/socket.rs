//! Sockets with paths as long as they like: the kernel takes 107 bytes, and folders of Instances are deeper.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The same file by a short path, while the folder is held.
fn short(path: &Path) -> io::Result<(File, PathBuf)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let folder = path.parent().ok_or_else(invalid)?;
    let name = path.file_name().ok_or_else(invalid)?;
    let folder = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH).open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((folder, short))
}

/// Listens at a path.
///
/// # Errors
/// The kernel's.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (_folder, short) = short(path)?;
    UnixListener::bind(short)
}

/// Connects to who listens at a path.
///
/// # Errors
/// The kernel's.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_folder, short) = short(path)?;
    UnixStream::connect(short)
}

fn packets() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Listens for one who speaks in packets; never waits for them.
pub(crate) fn listen_packets(path: &Path) -> io::Result<OwnedFd> {
    let socket = packets()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    let (_folder, short) = short(path)?;
    match std::fs::remove_file(&short) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rustix::net::bind(&socket, &SocketAddrUnix::new(short.as_path())?)?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

/// Connects to who listens for packets.
pub(crate) fn connect_packets(path: &Path) -> io::Result<OwnedFd> {
    let socket = packets()?;
    let (_folder, short) = short(path)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(short.as_path())?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_be_long() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a".repeat(120)).join("b".repeat(120));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("s.sock");
        let listener = listen(&path).unwrap();
        let _stream = connect(&path).unwrap();
        listener.accept().unwrap();
    }
}
