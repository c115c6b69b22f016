//! A filter of system calls as the kernel takes it: compiled once for all containers that ask for the same.
//!
//! libcontainer compiles a profile anew for each container, after its first process is in its namespaces: the default one
//! has 380 calls for three architectures and takes 9 ms. So a profile is compiled beforehand, by a process of its own that
//! ends with it ([`FILTER`]), and what comes of it is handed to shims as a file in memory that nobody can write to.
//!
//! Whoever loads one has either promised to gain no privileges, or holds `CAP_SYS_ADMIN` (seccomp(2)).

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, error::SeccompError,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::thread::CapabilitySet;
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

/// What a shim is asked with to compile the profile that its standard input holds (`linux.seccomp` of a runtime
/// specification): its standard output gets the program, and its standard error why there is none.
pub const FILTER: &str = "--filter";

/// The longest profile that is read, in bytes.
const LONGEST: u64 = 1 << 20;
/// The most instructions that a program has (`BPF_MAXINSNS`), and how long each is, in bytes.
const MOST: usize = 4096;
/// See [`MOST`].
const INSTRUCTION: usize = size_of::<libc::sock_filter>();

/// Compiles, as [`FILTER`] has it.
pub(crate) fn main() -> Result<(), String> {
    let mut text = String::new();
    io::stdin()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| format!("no profile came ({error})"))?;
    let profile = serde_json::from_str(&text).map_err(|error| format!("it is no profile ({error})"))?;
    compile(&profile, io::stdout())
}

/// A file in memory for a program: written by somebody else, then [`seal`]ed.
///
/// # Errors
/// What the kernel says.
pub fn room() -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create("seccomp", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?)
}

/// Shuts a file of [`room`]: whoever is handed it reads what the agent has checked.
///
/// # Errors
/// If what it holds is no program.
pub fn seal(file: &OwnedFd) -> io::Result<()> {
    rustix::fs::fcntl_add_seals(
        file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Program::read(file.as_fd()).map(drop)
}

/// A program that is ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program(Vec<u8>);

impl Program {
    /// Reads a program from a file, wherever that stands.
    pub(crate) fn read(file: impl AsFd) -> io::Result<Self> {
        let length = usize::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(usize::MAX);
        if length == 0 || length > MOST * INSTRUCTION || !length.is_multiple_of(INSTRUCTION) {
            return Err(io::Error::other(format!("{length} bytes are no filter of system calls")));
        }
        let (mut bytes, mut done) = (vec![0; length], 0);
        while done < length {
            let rest = bytes.get_mut(done..).unwrap_or_default();
            match rustix::io::pread(&file, rest, done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self(bytes))
    }

    /// Confines this process, which has one thread, from now on.
    pub(crate) fn load(&self) -> Result<(), String> {
        let instructions: Vec<libc::sock_filter> =
            self.0.chunks_exact(INSTRUCTION).map(instruction).collect();
        let length = u16::try_from(instructions.len())
            .map_err(|_| "the filter of system calls is too long".to_owned())?;
        let program = libc::sock_fprog { len: length, filter: instructions.as_ptr().cast_mut() };
        #[expect(unsafe_code, reason = "neither rustix nor nix loads filters")]
        // SAFETY: the kernel reads `len` instructions from where `filter` points, which live until it returns, and writes
        // nothing.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0_u32,
                std::ptr::from_ref(&program),
            )
        };
        if result == 0 {
            return Ok(());
        }
        Err(format!("the filter of system calls could not be loaded ({})", io::Error::last_os_error()))
    }
}

/// As [`libc::sock_filter`] lies in memory.
fn instruction(bytes: &[u8]) -> libc::sock_filter {
    match *bytes {
        [code, code2, jt, jf, k, k2, k3, k4] => libc::sock_filter {
            code: u16::from_ne_bytes([code, code2]),
            jt,
            jf,
            k: u32::from_ne_bytes([k, k2, k3, k4]),
        },
        // `BPF_RET`: kill. Nobody cuts programs into other pieces.
        _ => libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0 },
    }
}

/// Gives up the right to load filters, which was kept for that alone.
pub(crate) fn give_up_right() -> Result<(), String> {
    let told = |errno: rustix::io::Errno| format!("its capabilities could not be set ({errno})");
    let mut sets = rustix::thread::capabilities(None).map_err(told)?;
    sets.effective.remove(CapabilitySet::SYS_ADMIN);
    sets.permitted.remove(CapabilitySet::SYS_ADMIN);
    rustix::thread::set_capabilities(None, sets).map_err(told)
}

/// The program of a profile, in the way of libcontainer and runc: calls that this libseccomp does not know are left out,
/// and so is what says the same as the default.
fn compile(profile: &LinuxSeccomp, into: impl AsFd) -> Result<(), String> {
    let told = |what: &str, error: SeccompError| format!("the filter of system calls: {what} ({error})");
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut filter = ScmpFilterContext::new(default).map_err(|error| told("it cannot be begun", error))?;
    // What is loaded by other means than libseccomp's is loaded as it stands: such flags would be lost.
    if let Some(flag) = profile.flags().iter().flatten().find(|flag| !is_harmless(**flag)) {
        return Err(format!("the filter of system calls: the flag {flag:?} is not supported"));
    }
    for arch in profile.architectures().iter().flatten() {
        filter.add_arch(architecture(*arch)).map_err(|error| told(&format!("no {arch:?}"), error))?;
    }
    // A tree of the calls instead of a list: a handful of comparisons each instead of hundreds (libseccomp 2.5).
    let _ = filter.set_ctl_optimize(2);
    for rule in profile.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        if action == default {
            continue;
        }
        for (name, call) in
            rule.names().iter().filter_map(|name| Some((name, ScmpSyscall::from_name(name).ok()?)))
        {
            for comparisons in comparisons(rule.args().as_deref().unwrap_or_default()) {
                let added = match comparisons.as_slice() {
                    [] => filter.add_rule(action, call).map(drop),
                    some => filter.add_rule_conditional(action, call, some).map(drop),
                };
                added.map_err(|error| told(&format!("the call {name} is refused"), error))?;
            }
        }
    }
    filter.export_bpf(into).map_err(|error| told("it cannot be compiled", error))
}

/// Flags that change nothing for a process of one thread.
fn is_harmless(flag: LinuxSeccompFilterFlag) -> bool {
    matches!(flag, LinuxSeccompFilterFlag::SeccompFilterFlagTsync)
}

/// What has to hold of arguments, as rules of which one has to fit: libseccomp compares an argument once in a rule, so that
/// those that are to be compared twice have a rule for each comparison, as runc has it.
fn comparisons(args: &[LinuxSeccompArg]) -> Vec<Vec<ScmpArgCompare>> {
    let compare = |arg: &LinuxSeccompArg| {
        let operator = match arg.op() {
            LinuxSeccompOperator::ScmpCmpNe => ScmpCompareOp::NotEqual,
            LinuxSeccompOperator::ScmpCmpLt => ScmpCompareOp::Less,
            LinuxSeccompOperator::ScmpCmpLe => ScmpCompareOp::LessOrEqual,
            LinuxSeccompOperator::ScmpCmpEq => ScmpCompareOp::Equal,
            LinuxSeccompOperator::ScmpCmpGe => ScmpCompareOp::GreaterEqual,
            LinuxSeccompOperator::ScmpCmpGt => ScmpCompareOp::Greater,
            // The mask is the value, and what it has to come to the second one.
            LinuxSeccompOperator::ScmpCmpMaskedEq => ScmpCompareOp::MaskedEqual(arg.value()),
        };
        let datum = match arg.op() {
            LinuxSeccompOperator::ScmpCmpMaskedEq => arg.value_two().unwrap_or_default(),
            _ => arg.value(),
        };
        ScmpArgCompare::new(u32::try_from(arg.index()).unwrap_or(u32::MAX), operator, datum)
    };
    let indexes: BTreeSet<usize> = args.iter().map(LinuxSeccompArg::index).collect();
    if indexes.len() < args.len() {
        return args.iter().map(|arg| vec![compare(arg)]).collect();
    }
    vec![args.iter().map(compare).collect()]
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<ScmpAction, String> {
    let errno = || errno.map_or(libc::EPERM, |errno| i32::try_from(errno).unwrap_or(libc::EPERM));
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => ScmpAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActErrno => ScmpAction::Errno(errno()),
        LinuxSeccompAction::ScmpActTrace => ScmpAction::Trace(u16::try_from(errno()).unwrap_or_default()),
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActNotify => {
            return Err("the filter of system calls: nobody listens here for SCMP_ACT_NOTIFY".to_owned());
        }
    })
}

const fn architecture(arch: Arch) -> ScmpArch {
    match arch {
        Arch::ScmpArchNative => ScmpArch::Native,
        Arch::ScmpArchX86 => ScmpArch::X86,
        Arch::ScmpArchX86_64 => ScmpArch::X8664,
        Arch::ScmpArchX32 => ScmpArch::X32,
        Arch::ScmpArchArm => ScmpArch::Arm,
        Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
        Arch::ScmpArchMips => ScmpArch::Mips,
        Arch::ScmpArchMips64 => ScmpArch::Mips64,
        Arch::ScmpArchMips64n32 => ScmpArch::Mips64N32,
        Arch::ScmpArchMipsel => ScmpArch::Mipsel,
        Arch::ScmpArchMipsel64 => ScmpArch::Mipsel64,
        Arch::ScmpArchMipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::ScmpArchPpc => ScmpArch::Ppc,
        Arch::ScmpArchPpc64 => ScmpArch::Ppc64,
        Arch::ScmpArchPpc64le => ScmpArch::Ppc64Le,
        Arch::ScmpArchS390 => ScmpArch::S390,
        Arch::ScmpArchS390x => ScmpArch::S390X,
        Arch::ScmpArchRiscv64 => ScmpArch::Riscv64,
        Arch::ScmpArchParisc => ScmpArch::Parisc,
        Arch::ScmpArchParisc64 => ScmpArch::Parisc64,
        Arch::ScmpArchLoongarch64 => ScmpArch::Loongarch64,
        Arch::ScmpArchM68k => ScmpArch::M68k,
        Arch::ScmpArchSh => ScmpArch::Sh,
        Arch::ScmpArchSheb => ScmpArch::Sheb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child;
    use serde_json::json;

    fn program(profile: &serde_json::Value) -> Result<Program, String> {
        let file = room().unwrap();
        compile(&serde_json::from_value(profile.clone()).unwrap(), &file)?;
        seal(&file).unwrap();
        assert!(rustix::io::write(&file, b"x").is_err(), "it is shut");
        Ok(Program::read(&file).unwrap())
    }

    /// What a process has to say that is confined by a program.
    fn confined(program: &Program, work: impl FnOnce() -> u8) -> i32 {
        let pid = child::fork_raw(|| {
            let code = rustix::thread::set_no_new_privs(true)
                .map_err(|errno| errno.to_string())
                .and_then(|()| program.load())
                .map_or(99, |()| work());
            child::leave(code.into());
        })
        .unwrap();
        match nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap() {
            nix::sys::wait::WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_compiled_filter_refuses_what_its_profile_does_and_nothing_else() {
        let program = program(&json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_NATIVE"],
            "syscalls": [
                {"names": ["getppid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42},
                {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 43,
                 "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
                {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 44,
                 "args": [{"index": 0, "value": 0xf0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"}]},
            ],
        }))
        .unwrap();
        #[expect(unsafe_code, reason = "system calls by number")]
        // SAFETY: these calls take numbers.
        let errno = |call, first: i64| unsafe {
            if libc::syscall(call, first, 0_i64) < 0 { *libc::__errno_location() } else { 0 }
        };
        let said = confined(&program, || {
            let all = [
                errno(libc::SYS_getppid, 0) == 42,
                errno(libc::SYS_getpriority, 1) == 43,
                errno(libc::SYS_getpriority, 0) == 0,
                errno(libc::SYS_getpgid, 0x1f) == 44,
                errno(libc::SYS_getpgid, 0) == 0,
            ];
            all.iter().fold(0, |sum, one| sum * 2 + u8::from(*one))
        });
        assert_eq!(said, 0b11111);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let notify = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]});
        assert!(program(&notify).unwrap_err().contains("NOTIFY"));
        let flag = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]});
        assert!(program(&flag).unwrap_err().contains("not supported"));
        let file = room().unwrap();
        assert!(seal(&file).is_err(), "nothing is no program");
        let file = room().unwrap();
        rustix::io::write(&file, b"12345").unwrap();
        assert!(Program::read(&file).is_err());
    }
}
