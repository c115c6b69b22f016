//! Executing a program in a cgroup of version 2 from its beginning.
//!
//! Whoever is moved into one later waits for a grace period of the kernel's RCU, some ten milliseconds; who is born there
//! waits for nothing (`CLONE_INTO_CGROUP`, Linux 5.7). The standard library knows no such way.
//!
//! Invariant: between its birth and its program the child makes system calls alone. Other threads of this process may hold
//! any lock, which nobody in the child would ever let go of.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

/// What the kernel is told of a child: `struct clone_args`, as Linux 5.7 has it (clone(2)).
#[repr(C, align(8))]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_PIDFD` and `CLONE_INTO_CGROUP` of the kernel's `sched.h`.
const FLAGS: u64 = 0x1000 | 0x2_0000_0000;

/// What is executed: with nothing in its environment, and nothing open but these.
pub(super) struct Birth<'a> {
    /// The file.
    pub(super) program: CString,
    /// Its arguments, its own name first.
    pub(super) arguments: Vec<CString>,
    /// What it reads, and where its errors go.
    pub(super) null: BorrowedFd<'a>,
    /// What it writes to.
    pub(super) out: BorrowedFd<'a>,
    /// The folder of the cgroup.
    pub(super) cgroup: BorrowedFd<'a>,
}

impl Birth<'_> {
    /// Executes it. What comes back can be read from once the process has ended, and waited for by this process.
    ///
    /// # Errors
    /// If the kernel knows no such way, or would not let this user go it. That the program could not be executed is told by
    /// its end.
    pub(super) fn give(&self) -> io::Result<OwnedFd> {
        let mut argv: Vec<*const libc::c_char> = self.arguments.iter().map(|one| one.as_ptr()).collect();
        argv.push(ptr::null());
        let environment = [ptr::null::<libc::c_char>()];
        let mut pidfd: RawFd = -1;
        let arguments = Arguments {
            flags: FLAGS,
            pidfd: ptr::from_mut(&mut pidfd).addr() as u64,
            exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
            cgroup: u64::from(self.cgroup.as_raw_fd().unsigned_abs()),
            ..Arguments::default()
        };
        let (program, null, out) = (self.program.as_ptr(), self.null.as_raw_fd(), self.out.as_raw_fd());
        #[expect(unsafe_code, reason = "nothing safe clones into a cgroup")]
        // SAFETY: the arguments are of the size that is told. The child has a copy of all memory, on its own stack, and only
        // calls what signal handlers may call as well, with what was made before it was born; it never returns.
        let child = unsafe {
            let child = libc::syscall(libc::SYS_clone3, ptr::from_ref(&arguments), size_of::<Arguments>());
            if child == 0 {
                become_program(program, argv.as_ptr(), environment.as_ptr(), null, out);
            }
            child
        };
        if child < 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "the kernel gives a number")]
        // SAFETY: the kernel made this descriptor for this process, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
    }
}

/// The child's whole life before its program.
///
/// # Safety
/// To be called in a process that was just born; the pointers are those of lists that end with null.
#[expect(unsafe_code, reason = "it takes pointers, since making anything else of them might wait for a lock")]
unsafe fn become_program(
    program: *const libc::c_char,
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    null: RawFd,
    out: RawFd,
) -> ! {
    // SAFETY: each of these calls is one that signal handlers may make (signal-safety(7)), and the set is initialised by
    // `sigemptyset` before it is read.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if libc::dup2(null, 0) == 0 && libc::dup2(out, 1) == 1 && libc::dup2(null, 2) == 2 {
            libc::execve(program, arguments, environment);
        }
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    #[test]
    fn who_is_born_in_a_cgroup_is_there() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let tree = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let Some(tree) = tree.and_then(|line| line.split(' ').nth(4)) else {
            println!("SKIPPED: there is no version 2 of cgroups");
            return;
        };
        let folder = std::path::Path::new(tree).join(format!("hypermesh-birth-{}", std::process::id()));
        if fs::create_dir(&folder).is_err() {
            println!("SKIPPED: cgroups cannot be made");
            return;
        }
        let (read, write) = io::pipe().unwrap();
        let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let cgroup = fs::File::open(&folder).unwrap();
        let text = |text: &str| CString::new(text).unwrap();
        let born = Birth {
            program: text("/bin/sh"),
            arguments: vec![text("a-name"), text("-c"), text("cat /proc/self/cgroup; echo $0 $#; env")],
            null: null.as_fd(),
            out: write.as_fd(),
            cgroup: cgroup.as_fd(),
        }
        .give()
        .unwrap();
        drop(write);
        let mut said = String::new();
        io::BufReader::new(read).read_to_string(&mut said).unwrap();
        rustix::process::waitid(
            rustix::process::WaitId::PidFd(born.as_fd()),
            rustix::process::WaitIdOptions::EXITED,
        )
        .unwrap();
        // Until its last process has left the CPU.
        assert!((0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            fs::remove_dir(&folder).is_ok()
        }));
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(said.lines().any(|line| line.starts_with("0::") && line.ends_with(name)), "{said}");
        assert!(said.contains("a-name 0"), "{said}");
    }
}
