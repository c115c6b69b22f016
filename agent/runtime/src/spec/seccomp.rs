//! Which system calls a container has by default.
//!
//! Source of the facts: Docker's default profile (moby/profiles, `seccomp/default.json`, Apache-2.0), which containerd's
//! follows. Written as a table of our own for what Linux offers on the machines we run on; calls that only hold with a
//! capability are given with it.

use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Those that everybody has.
const ALWAYS: &str = "
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd
getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername
getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr
getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents
io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat
_newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll
ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6
pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg
recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir
rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid
setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid
setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn
socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee
tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64
ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid
waitpid write writev
";

/// Those that come with a capability.
const WITH: [(&str, &str); 10] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module finit_module init_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "ioperm iopl"),
    ("SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
];

/// Those that come with one of two newer capabilities, beside the older one above.
const WITH_NEWER: [(&str, &str); 4] =
    [("SYSLOG", "syslog"), ("BPF", "bpf"), ("PERFMON", "perf_event_open"), ("SYS_TTY_CONFIG", "vhangup")];

/// Flags of `clone` that make namespaces: all but time's, which is `clone3`'s alone.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;

/// Execution domains that change nothing of consequence.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The family of sockets to the host of a virtual machine, which no namespace confines.
const AF_VSOCK: u64 = 40;

/// The default profile for a container with some capabilities, as `linux.seccomp` of a runtime specification.
pub(super) fn default_profile(capabilities: &BTreeSet<String>) -> Value {
    let has = |name: &str| capabilities.contains(name);
    let mut names: BTreeSet<&str> = ALWAYS.split_ascii_whitespace().collect();
    for (_, calls) in WITH.iter().chain(&WITH_NEWER).filter(|(capability, _)| has(capability)) {
        names.extend(calls.split_ascii_whitespace());
    }
    let mut calls = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    for value in PERSONALITIES {
        calls.push(only("personality", 0, value, None, "SCMP_CMP_EQ"));
    }
    calls.push(only("socket", 0, AF_VSOCK, None, "SCMP_CMP_NE"));
    if !has("SYS_ADMIN") {
        calls.push(only("clone", 0, CLONE_NAMESPACES, Some(0), "SCMP_CMP_MASKED_EQ"));
        // Its flags lie in memory, where no filter sees them: libraries fall back to `clone`.
        calls.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": architectures(),
        "syscalls": calls,
    })
}

fn only(name: &str, index: usize, value: u64, second: Option<u64>, op: &str) -> Value {
    let mut arg = json!({ "index": index, "value": value, "op": op });
    if let (Some(second), Some(arg)) = (second, arg.as_object_mut()) {
        arg.insert("valueTwo".to_owned(), json!(second));
    }
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [arg] })
}

/// All that a processor executes: a call by another architecture's number is filtered as well.
fn architectures() -> &'static [&'static str] {
    if cfg!(target_arch = "aarch64") {
        &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    } else {
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    }
}

/// A profile that somebody wrote: the OCI's form, or Docker's with `archMap`, `includes` and `excludes`.
pub(super) fn parse(text: &str, capabilities: &BTreeSet<String>) -> Result<Value, String> {
    let mut profile: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let Some(object) = profile.as_object_mut() else { return Err("it is no JSON object".to_owned()) };
    if !object.contains_key("defaultAction") {
        return Err("it has no defaultAction".to_owned());
    }
    if object.remove("archMap").is_some() {
        object.insert("architectures".to_owned(), json!(architectures()));
    }
    if let Some(calls) = object.get_mut("syscalls").and_then(Value::as_array_mut) {
        calls.retain_mut(|call| applies(call, capabilities));
    }
    // libcontainer takes no filter that says nothing.
    serde_json::from_value::<oci_spec::runtime::LinuxSeccomp>(profile.clone())
        .map_err(|error| error.to_string())?;
    Ok(profile)
}

/// Whether an entry of Docker's form applies here; its conditions are taken off.
fn applies(call: &mut Value, capabilities: &BTreeSet<String>) -> bool {
    let Some(object) = call.as_object_mut() else { return false };
    object.remove("comment");
    if let Some(name) = object.remove("name") {
        object.insert("names".to_owned(), json!([name]));
    }
    let (includes, excludes) = (object.remove("includes"), object.remove("excludes"));
    let words = |condition: &Option<Value>, key: &str| -> Vec<String> {
        let list = condition.as_ref().and_then(|value| value.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let has = |name: &String| capabilities.contains(name.strip_prefix("CAP_").unwrap_or(name));
    let here = |arch: &String| ARCH_NAMES.contains(&arch.as_str());
    let (caps, arches) = (words(&includes, "caps"), words(&includes, "arches"));
    caps.iter().all(has)
        && (arches.is_empty() || arches.iter().any(here))
        && !words(&excludes, "caps").iter().any(has)
        && !words(&excludes, "arches").iter().any(here)
}

/// Go's names of this machine's architectures.
const ARCH_NAMES: &[&str] =
    if cfg!(target_arch = "aarch64") { &["arm64", "arm"] } else { &["amd64", "x86", "x32"] };

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &Value) -> BTreeSet<String> {
        let calls = profile["syscalls"].as_array().unwrap();
        let allowed = calls.iter().filter(|call| call["action"] == "SCMP_ACT_ALLOW");
        allowed
            .flat_map(|call| call["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_leaves_a_container_is_not_among_them() {
        let names = names(&default_profile(&BTreeSet::new()));
        for call in [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "bpf",
            "keyctl",
            "add_key",
            "request_key",
            "kexec_load",
            "init_module",
            "open_by_handle_at",
            "perf_event_open",
            "userfaultfd",
            "io_uring_setup",
            "pivot_root",
            "swapon",
            "reboot",
            "clone3",
            "move_mount",
            "fsopen",
            "open_tree",
            "ptrace_me",
            "chroot",
            "iopl",
        ] {
            assert!(!names.contains(call), "{call}");
        }
        for call in ["read", "execve", "clone", "socket", "personality", "futex", "openat2"] {
            assert!(names.contains(call), "{call}");
        }
    }

    #[test]
    fn capabilities_bring_their_calls() {
        let names = names(&default_profile(&BTreeSet::from(["SYS_ADMIN".to_owned(), "SYS_TIME".to_owned()])));
        for call in ["mount", "clone", "clone3", "settimeofday"] {
            assert!(names.contains(call), "{call}");
        }
    }

    #[test]
    fn both_forms_of_files_are_read() {
        let docker = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[],"syscalls":[
            {"names":["read"],"action":"SCMP_ACT_ALLOW","args":[],"comment":"","includes":{},"excludes":{}},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]},"excludes":{}},
            {"names":["s390_thing"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390"]},"excludes":{}}]}"#;
        let profile = parse(docker, &BTreeSet::new()).unwrap();
        assert_eq!(names(&profile), BTreeSet::from(["read".to_owned()]));
        let with = parse(docker, &BTreeSet::from(["SYS_ADMIN".to_owned()])).unwrap();
        assert!(names(&with).contains("mount"));
        assert!(parse("[]", &BTreeSet::new()).is_err());
        assert!(parse("{}", &BTreeSet::new()).unwrap_err().contains("defaultAction"));
        assert!(parse(r#"{"defaultAction":"ALLOW"}"#, &BTreeSet::new()).is_err());
    }
}
