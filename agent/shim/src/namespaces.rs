//! What the containers of an Instance share, held by descriptor.

use crate::child::{self, Word};
use crate::protocol::{IdMap, IdMaps, Network, RefusalKind, SandboxConfig};
use crate::subordinate::{self, Subordinate};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Namespaces of an Instance; none is the node's.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    pub(crate) user: Option<OwnedFd>,
    pub(crate) network: Option<OwnedFd>,
    pub(crate) ipc: Option<OwnedFd>,
    pub(crate) uts: Option<OwnedFd>,
    /// Whether the network is another's than the user namespace's: its root may not enter it, so that whoever makes a
    /// container enters it before it is anybody's root.
    pub(crate) foreign_network: bool,
}

impl Namespaces {
    /// All of them, for who must keep them open.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        [&self.user, &self.network, &self.ipc, &self.uts].into_iter().flatten().map(|fd| fd.as_fd()).collect()
    }

    /// A socket for streams in the network, which does not block. A child makes it, which entered the network; it asks
    /// nobody for anything, so that it is waited for.
    pub(crate) fn socket(&self, ipv6: bool) -> Result<OwnedFd, String> {
        let keep: Vec<_> = self.network.iter().map(|fd| fd.as_fd()).collect();
        let (pid, mut ear) = child::fork(&keep, |mouth| {
            let made = (|| -> Result<OwnedFd, String> {
                if let Some(network) = &self.network {
                    setns(network, CloneFlags::CLONE_NEWNET)
                        .map_err(|errno| format!("the network could not be entered ({errno})"))?;
                }
                let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                rustix::net::socket_with(family, SocketType::STREAM, flags, None)
                    .map_err(|errno| format!("a socket could not be made ({errno})"))
            })();
            match made {
                Ok(socket) => drop(mouth.hand_over(&Word::Ready, socket.as_fd())),
                Err(message) => mouth.fail(RefusalKind::Failed, message),
            }
        })
        .map_err(|error| format!("a child could not be forked ({error})"))?;
        let heard = ear.wait();
        drop(ear);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        match heard {
            Ok(Some(child::Heard { word: Word::Failed { message, .. }, .. })) => Err(message),
            Ok(Some(child::Heard { fd: Some(socket), .. })) => Ok(socket),
            Ok(_) => Err("the child that was to make a socket ended without a word".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes them. A child makes each, in the user namespace if there is one, so that it belongs to it; it ends when they
    /// are held here.
    pub(crate) fn make(config: &SandboxConfig) -> Result<Self, String> {
        let own_network = config.network == Network::Own;
        let mut flags = CloneFlags::CLONE_NEWUTS;
        if !config.host_ipc {
            flags |= CloneFlags::CLONE_NEWIPC;
        }
        if own_network {
            flags |= CloneFlags::CLONE_NEWNET;
        }
        let hostname = config.hostname.clone();
        let wants_user = config.user.is_some();
        let (pid, mut ear) = child::fork(&[], |mouth| {
            let done = (|| -> Result<(), String> {
                if wants_user {
                    unshare(CloneFlags::CLONE_NEWUSER)
                        .map_err(|errno| format!("a user namespace could not be made ({errno})"))?;
                    mouth.say(&Word::Ready);
                    // Until its parent has mapped its users.
                    mouth.wait().map_err(|error| error.to_string())?;
                    become_root()?;
                }
                unshare(flags).map_err(|errno| format!("namespaces could not be made ({errno})"))?;
                nix::unistd::sethostname(&hostname)
                    .map_err(|errno| format!("the name {hostname:?} could not be set ({errno})"))?;
                if own_network {
                    loopback_up()
                        .map_err(|error| format!("the loopback could not be brought up ({error})"))?;
                }
                Ok(())
            })();
            match done {
                Ok(()) => {
                    mouth.say(&Word::Ready);
                    // Until they are held.
                    drop(mouth.wait());
                }
                Err(message) => mouth.fail(RefusalKind::Failed, message),
            }
        })
        .map_err(|error| format!("a child could not be forked ({error})"))?;
        let made = (|| {
            if let Some(maps) = &config.user {
                hear_ready(&mut ear)?;
                write_maps(pid, maps)?;
                ear.nod().map_err(|error| error.to_string())?;
            }
            hear_ready(&mut ear)?;
            let hold = |name: &str| {
                let path = format!("/proc/{pid}/ns/{name}");
                File::open(&path)
                    .map(OwnedFd::from)
                    .map_err(|error| format!("{path} could not be opened ({error})"))
            };
            Ok(Self {
                user: if wants_user { Some(hold("user")?) } else { None },
                network: match &config.network {
                    Network::Own => Some(hold("net")?),
                    Network::Path(path) => Some(File::open(path).map(OwnedFd::from).map_err(|error| {
                        format!("the network {} could not be opened ({error})", path.display())
                    })?),
                    Network::Host => None,
                },
                ipc: if config.host_ipc { None } else { Some(hold("ipc")?) },
                uts: Some(hold("uts")?),
                foreign_network: wants_user && matches!(config.network, Network::Path(_)),
            })
        })();
        drop(ear);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        made
    }
}

fn hear_ready(ear: &mut child::Ear) -> Result<(), String> {
    match ear.wait() {
        Ok(Some(child::Heard { word: Word::Failed { message, .. }, .. })) => Err(message),
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("the child that was to make namespaces ended without a word".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// In a user namespace whose users are mapped: its root, with all groups given up.
pub(crate) fn become_root() -> Result<(), String> {
    let told = |what: &'static str| move |errno: nix::errno::Errno| format!("{what} ({errno})");
    // A mapping that was made without rights forbids this, and has none to give up.
    let _ = nix::unistd::setgroups(&[]);
    let (user, group) = (nix::unistd::Uid::from_raw(0), nix::unistd::Gid::from_raw(0));
    nix::unistd::setresgid(group, group, group).map_err(told("its root's group could not be taken"))?;
    nix::unistd::setresuid(user, user, user).map_err(told("its root could not be become"))
}

/// Makes whoever is not root the root of a user namespace of their own, in which the shim then is for good: only so may it
/// mount. Its root is who they are; its other users are those that the node gives them, if it gives any. Gives how many
/// there are, and why there are no others.
pub(crate) fn become_root_of_ones_own() -> Result<(u32, Result<(), String>), String> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if user.is_root() {
        return Ok((u32::MAX, Ok(())));
    }
    let given = Subordinate::of(user.as_raw(), group.as_raw());
    let [users, groups] = match &given {
        Ok(given) => given.enter()?,
        Err(why) => {
            unshare(CloneFlags::CLONE_NEWUSER).map_err(subordinate::no_namespace)?;
            [Err(why.clone()), Err(why.clone())]
        }
    };
    if groups.is_err() {
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/gid_map", &format!("0 {group} 1\n"))?;
    }
    if users.is_err() {
        write("/proc/self/uid_map", &format!("0 {user} 1\n"))?;
    }
    become_root()?;
    let count = given.map_or(1, |given| given.count());
    Ok(match users.and(groups) {
        Ok(()) => (count, Ok(())),
        Err(why) => (1, Err(why)),
    })
}

/// Maps the users of a child's new user namespace. The shim is root here, of the node or of a namespace of its own.
fn write_maps(pid: i32, maps: &IdMaps) -> Result<(), String> {
    write(&format!("/proc/{pid}/gid_map"), &lines(&maps.groups))?;
    write(&format!("/proc/{pid}/uid_map"), &lines(&maps.users))
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count)).collect()
}

fn write(path: &str, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{path} would not take {text:?} ({error})"))
}

/// A new network has a loopback that is down.
fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    #[expect(unsafe_code, reason = "no crate at hand has SIOCSIFFLAGS, and netlink would be a larger one")]
    // SAFETY: the request is a zeroed structure of the kernel's own form that lives through the call; its name ends with a
    // zero.
    let result = unsafe {
        use std::os::fd::AsRawFd as _;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
            *place = byte.cast_signed();
        }
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the shim mounts what its containers see: in memory, in its mount namespace alone, where everybody may pass.
///
/// The folders that lead to an Instance's own may be closed to the Instance's root, who is nobody to the node.
#[derive(Debug)]
pub(crate) struct Stage(PathBuf);

/// What is mounted over, in the shim's mount namespace: nobody else uses it.
const STAGE: &str = "/run/hypermesh-stage";

impl Stage {
    /// Gives this process a mount namespace of its own, in which what the node mounts or unmounts later is seen, and a
    /// place in it.
    pub(crate) fn make(folder: &Path) -> Result<Self, String> {
        let told = |what: &'static str| move |error: io::Error| format!("{what} ({error})");
        unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|errno| format!("a mount namespace could not be made ({errno})"))?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", slave).map_err(|errno| format!("mounts could not be kept apart ({errno})"))?;
        let preferred = PathBuf::from(STAGE);
        let place = match fs::create_dir(&preferred) {
            Ok(()) => preferred,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => preferred,
            Err(_) => {
                let own = folder.join("stage");
                fs::create_dir_all(&own).map_err(told("a folder to mount in could not be made"))?;
                own
            }
        };
        rustix::mount::mount(
            "hypermesh",
            &place,
            "tmpfs",
            rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV,
            Some(c"mode=0711,size=1m"),
        )
        .map_err(|errno| format!("{} could not be mounted over ({errno})", place.display()))?;
        mount_change(&place, MountPropagationFlags::PRIVATE)
            .map_err(|errno| format!("mounts could not be kept apart ({errno})"))?;
        let stage = Self(place);
        let shm = stage.shm();
        fs::create_dir(&shm).map_err(told("a folder for shared memory could not be made"))?;
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount("shm", &shm, "tmpfs", flags, Some(c"mode=1777,size=64m"))
            .map_err(|errno| format!("{} could not be mounted over ({errno})", shm.display()))?;
        Ok(stage)
    }

    /// Shared memory of the Instance's containers, as they share its other means of IPC. No container's name begins so.
    pub(crate) fn shm(&self) -> PathBuf {
        self.0.join("_shm")
    }

    /// Where who makes a container tells of it.
    pub(crate) fn door(&self, container: &str) -> PathBuf {
        self.0.join(format!("_door-{container}"))
    }

    /// A container's part.
    pub(crate) fn of(&self, container: &str) -> PathBuf {
        self.0.join(container)
    }
}
