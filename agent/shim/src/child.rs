//! Children that the shim forks for what may block or change a process.
//!
//! The shim has one thread, so that a child may do anything: no lock is held by anybody else.

use crate::protocol::RefusalKind;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What a child may say at once, in bytes.
const LONGEST: usize = 16 << 10;

/// What a child tells the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// A process was made, and will be the shim's child.
    Process { pid: i32 },
    /// A terminal was made; its descriptor comes with it.
    Terminal,
    /// Something is as far as was asked.
    Ready,
    /// It was not done.
    Failed { kind: RefusalKind, message: String },
}

/// The child's side.
pub(crate) struct Mouth(OwnedFd);

impl Mouth {
    /// Says something. The shim may be gone, which is nobody's fault here.
    pub(crate) fn say(&self, word: &Word) {
        drop(self.try_say(word, &[]));
    }

    /// Says something with a descriptor.
    pub(crate) fn hand_over(&self, word: &Word, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.try_say(word, &[fd])
    }

    /// Says that it failed.
    pub(crate) fn fail(&self, kind: RefusalKind, message: impl Into<String>) {
        let mut message: String = message.into();
        let mut end = LONGEST / 2;
        if message.len() > end {
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        self.say(&Word::Failed { kind, message });
    }

    fn try_say(&self, word: &Word, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(word)?;
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(fds));
        }
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a byte of the shim's, or its end.
    pub(crate) fn wait(&self) -> io::Result<bool> {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.0, &mut byte) {
                Ok(count) => return Ok(count > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Itself once more, for a process of the child's.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 3)?))
    }

    /// Its number, for what is told of descriptors by number.
    pub(crate) fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Where a child that has no [`Mouth`] gets one. What it makes meanwhile inherits none.
pub(crate) struct Door(PathBuf);

impl Door {
    /// Gets one; none if the shim is gone, which is nobody's fault here.
    pub(crate) fn open(&self) -> io::Result<Mouth> {
        crate::socket::connect_packets(&self.0).map(Mouth)
    }
}

/// Something that was said.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) word: Word,
    pub(crate) fd: Option<OwnedFd>,
    /// Who said it, by the kernel's word: whoever inherits a mouth can speak, but not as another.
    pub(crate) by: i32,
}

/// The shim's side.
#[derive(Debug)]
pub(crate) struct Ear {
    socket: OwnedFd,
    speaker: Speaker,
}

/// Who is heard.
#[derive(Clone, Copy, Debug)]
enum Speaker {
    /// Whoever has a mouth; each word comes with who said it.
    Anybody,
    /// A child that has not come to its door yet.
    Expected(i32),
    /// A child that has.
    Known(i32),
}

impl Ear {
    /// What was said, if anything was; `Ok(None)` is the end. Never waits: `WouldBlock`.
    pub(crate) fn hear(&mut self) -> io::Result<Option<Heard>> {
        if let Speaker::Expected(child) = self.speaker {
            let came = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC)?;
            // Nobody else is let in, however they found the door.
            if rustix::net::sockopt::socket_peercred(&came)?.pid.as_raw_nonzero().get() != child {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            (self.socket, self.speaker) = (came, Speaker::Known(child));
        }
        self.receive()
    }

    fn receive(&self) -> io::Result<Option<Heard>> {
        let mut bytes = vec![0; LONGEST];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1), ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = rustix::net::recvmsg(&self.socket, &mut into, &mut ancillary, flags)?;
        let (mut fd, mut by) = (None, None);
        for message in ancillary.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(rights) => fd = rights.last(),
                RecvAncillaryMessage::ScmCredentials(who) => by = Some(who.pid.as_raw_nonzero().get()),
                _ => {}
            }
        }
        if got.bytes == 0 {
            return Ok(None);
        }
        let word = serde_json::from_slice(bytes.get(..got.bytes).unwrap_or_default())?;
        let by = match self.speaker {
            Speaker::Known(child) | Speaker::Expected(child) => child,
            Speaker::Anybody => by.ok_or(io::ErrorKind::PermissionDenied)?,
        };
        Ok(Some(Heard { word, fd, by }))
    }

    /// Lets it go on.
    pub(crate) fn nod(&self) -> io::Result<()> {
        rustix::net::send(&self.socket, b"!", SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for what is said next, with its descriptor.
    pub(crate) fn wait(&mut self) -> io::Result<Option<Heard>> {
        loop {
            let mut fds = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            match self.hear() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Two ends by which a child speaks to the shim.
pub(crate) fn channel() -> io::Result<(Ear, Mouth)> {
    let (ear, mouth) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_passcred(&ear, true)?;
    Ok((Ear { socket: ear, speaker: Speaker::Anybody }, Mouth(mouth)))
}

/// Forks a child for some work. It begins as a process usually does: no signal is blocked or ignored, and of the shim's
/// descriptors it has those that it is to `keep`, beside standard ones. It ends with its work.
pub(crate) fn fork(keep: &[BorrowedFd<'_>], work: impl FnOnce(&Mouth)) -> io::Result<(i32, Ear)> {
    let (ear, mouth) = channel()?;
    let pid = fork_raw(|| {
        let mut keep: Vec<i32> = keep.iter().map(|fd| fd.as_raw_fd()).collect();
        keep.push(mouth.raw());
        close_all_but(&mut keep);
        work(&mouth);
    })?;
    Ok((pid, ear))
}

/// Forks a child as [`fork`] does, but without a mouth: it gets one at a [`Door`], which is a socket at a path that is made
/// for it and goes when it is heard. So of what it forks nobody has one.
pub(crate) fn fork_behind(
    keep: &[BorrowedFd<'_>],
    place: &Path,
    work: impl FnOnce(&Door),
) -> io::Result<(i32, Ear)> {
    let socket = crate::socket::listen_packets(place)?;
    let door = Door(place.to_owned());
    let pid = fork_raw(|| {
        let mut keep: Vec<i32> = keep.iter().map(|fd| fd.as_raw_fd()).collect();
        close_all_but(&mut keep);
        work(&door);
    })?;
    Ok((pid, Ear { socket, speaker: Speaker::Expected(pid) }))
}

/// In a child: lets go of every descriptor beyond standard ones but some, before anything runs that needs no more.
pub(crate) fn hold_only(keep: &[BorrowedFd<'_>]) {
    close_all_but(&mut keep.iter().map(|fd| fd.as_raw_fd()).collect::<Vec<_>>());
}

/// Forks, and runs something in the child alone, which ends with it.
pub(crate) fn fork_raw(work: impl FnOnce()) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "fork is unsafe where there may be threads")]
    // SAFETY: the shim has one thread, so the child finds every lock free and all memory as it should be.
    let forked = unsafe { nix::unistd::fork() }?;
    match forked {
        nix::unistd::ForkResult::Parent { child } => Ok(child.as_raw()),
        nix::unistd::ForkResult::Child => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                default_signals();
                work();
            }));
            leave(i32::from(done.is_err()))
        }
    }
}

/// Ends this process without running what the shim would run at its end.
pub(crate) fn leave(code: i32) -> ! {
    #[expect(unsafe_code, reason = "neither std nor nix has _exit")]
    // SAFETY: it takes a number and does not return.
    unsafe {
        libc::_exit(code)
    }
}

/// What the shim blocks, ignores or hides, its children do not.
fn default_signals() {
    use nix::sys::signal::{
        SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
    };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGHUP] {
        #[expect(unsafe_code, reason = "sigaction is unsafe for handlers that run code")]
        // SAFETY: the default action runs no code of ours.
        let set = unsafe { sigaction(signal, &default) };
        let _ = set;
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
}

/// Closes every descriptor from 3 on but some.
fn close_all_but(keep: &mut [i32]) {
    keep.sort_unstable();
    let mut from: u32 = 3;
    for fd in keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).chain([u32::MAX]) {
        if fd > from {
            close_range(from, fd - 1, 0);
        }
        from = from.max(fd.saturating_add(1));
    }
}

/// Lets every descriptor from 3 on vanish when another program is executed.
pub(crate) fn close_on_exec() {
    close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
}

fn close_range(first: u32, last: u32, flags: u32) {
    #[expect(unsafe_code, reason = "neither std, nix nor rustix has close_range")]
    // SAFETY: it takes numbers. Who owned the descriptors is gone: this is a child that never returns to its parent's
    // code.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    // A kernel before 5.9 knows no such call; then what the child inherits is closed when it executes its program.
    let _ = result;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for a word, within bounds.
    fn next(ear: &mut Ear) -> Option<Heard> {
        for _ in 0..2000 {
            match ear.hear() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                other => return other.unwrap(),
            }
        }
        panic!("nothing was said")
    }

    #[test]
    fn who_inherits_a_mouth_speaks_for_nobody_else() {
        let (child, mut ear) = fork(&[], |mouth| {
            let heir = fork_raw(|| mouth.say(&Word::Process { pid: 1 })).unwrap_or_default();
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(heir), None);
            mouth.say(&Word::Process { pid: heir });
        })
        .unwrap();
        let forged = next(&mut ear).unwrap();
        assert_eq!(forged.word, Word::Process { pid: 1 });
        let own = next(&mut ear).unwrap();
        assert_eq!((own.by, own.word), (child, Word::Process { pid: forged.by }));
        assert_ne!(forged.by, child);
        assert!(next(&mut ear).is_none());
    }

    #[test]
    fn a_door_is_its_childs_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("door");
        let (read, write) = io::pipe().unwrap();
        let (child, mut ear) = fork_behind(&[read.as_fd()], &place, |door| {
            // Until somebody else has been there, and what it forked has been too.
            let mut byte = [0];
            let _ = rustix::io::read(&read, &mut byte);
            let _ = fork_raw(|| drop(door.open().map(|mouth| mouth.say(&Word::Process { pid: 1 }))));
            let _ = nix::sys::wait::waitpid(None, None);
            drop(door.open().map(|mouth| mouth.say(&Word::Ready)));
        })
        .unwrap();
        let stranger = Mouth(crate::socket::connect_packets(&place).unwrap());
        stranger.say(&Word::Process { pid: 1 });
        rustix::io::write(&write, b"!").unwrap();
        let heard = next(&mut ear).unwrap();
        assert_eq!((heard.by, heard.word), (child, Word::Ready));
    }

    #[test]
    fn a_child_has_what_it_is_to_keep_and_no_mouth_behind_a_door() {
        let dir = tempfile::tempdir().unwrap();
        let (_read, write) = io::pipe().unwrap();
        let (_, mut ear) = fork_behind(&[write.as_fd()], &dir.path().join("door"), |door| {
            hold_only(&[]);
            let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
            let names: Vec<_> = open.map(|entry| entry.file_name().display().to_string()).collect();
            drop(door.open().map(|mouth| mouth.fail(RefusalKind::Failed, names.join(" "))));
        })
        .unwrap();
        // The fourth is the folder that is being read.
        let said = Word::Failed { kind: RefusalKind::Failed, message: "0 1 2 3".to_owned() };
        assert_eq!(next(&mut ear).unwrap().word, said);
    }
}
