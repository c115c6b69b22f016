//! What a container sees of the node, mounted where libcontainer finds it.
//!
//! Binds are opened in the mount namespace of who asked, as detached mounts, and attached in the shim's. Nothing is
//! looked up twice, so that nothing can be swapped in between.

use crate::namespaces::Namespaces;
use crate::protocol::{Bind, Create, Root};
use nix::sched::{CloneFlags, setns};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsmount, fsopen, mount_change, move_mount, open_tree,
};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Where the root of a staged container is.
pub(crate) fn root(stage: &Path) -> PathBuf {
    stage.join("root")
}

/// Where a bind of a staged container is.
pub(crate) fn bind(stage: &Path, mount: usize) -> PathBuf {
    stage.join(mount.to_string())
}

/// Where a staged container is made: its completed bundle, and what libcontainer keeps meanwhile. In memory, since nothing
/// of it is of use after the shim's end.
pub(crate) fn making(stage: &Path) -> PathBuf {
    stage.join("making")
}

/// An empty file of a staged container.
pub(crate) fn decoy(stage: &Path) -> PathBuf {
    stage.join("decoy")
}

/// Mounts a container's root and binds in `stage`. Changes the mount namespace for a while, so a child does it.
pub(crate) fn set_up(
    create: &Create,
    namespaces: &Namespaces,
    stage: &Path,
    asker: Option<BorrowedFd<'_>>,
) -> Result<(), String> {
    let user = namespaces.user.as_ref().map(|fd| fd.as_fd());
    fs::create_dir(stage).map_err(|error| format!("{} could not be made ({error})", stage.display()))?;
    // All of it goes at once then, when this goes: each mount that is undone waits for every CPU.
    rustix::mount::mount(
        "hypermesh",
        stage,
        "tmpfs",
        rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV,
        // A specification may hold an environment as long as Linux takes one.
        Some(c"mode=0711,size=16m"),
    )
    .map_err(|errno| format!("{} could not be mounted over ({errno})", stage.display()))?;
    let network = namespaces.network.as_ref().map(|fd| fd.as_fd());
    let trees: Vec<OwnedFd> = in_namespace(asker, || {
        let open = |bind: &Bind| match network.filter(|_| bind.sysfs).map(sysfs) {
            Some(Ok(seen)) => Ok(seen),
            // Who is not the node's root has no other network's to hide.
            None | Some(Err(_)) => open_bind(bind, user.filter(|_| bind.mapped)),
        };
        create.binds.iter().map(open).collect()
    })?;
    mount_root(&create.root, user, &root(stage))?;
    for (bind_spec, tree) in create.binds.iter().zip(&trees) {
        let place = bind(stage, bind_spec.mount);
        attach(tree, &place).map_err(|errno| {
            format!("{} could not be mounted at {} ({errno})", bind_spec.path.display(), place.display())
        })?;
        let propagation = if bind_spec.propagate {
            MountPropagationFlags::DOWNSTREAM
        } else {
            MountPropagationFlags::PRIVATE
        };
        mount_change(&place, propagation | MountPropagationFlags::REC)
            .map_err(|errno| format!("{} could not be kept apart ({errno})", place.display()))?;
    }
    Ok(())
}

/// Makes the folder that a container works in, if its root lacks it; links lead nowhere but into the root. It belongs to
/// the root's own root. That it cannot be made is told by who enters it.
pub(crate) fn make_folder(root: &Path, folder: &Path) {
    let Ok(top) = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    else {
        return;
    };
    let Ok(owner) = rustix::fs::fstat(&top) else { return };
    let mut at = PathBuf::from(".");
    for part in folder.components() {
        let Component::Normal(part) = part else { continue };
        let parent = enter(&top, &at);
        at.push(part);
        if enter(&top, &at).is_ok() {
            continue;
        }
        let Ok(parent) = parent else { return };
        // As the one that the root belongs to: files of another user's cannot be made where owners are mapped.
        let made = as_user(owner.st_uid, owner.st_gid, || {
            rustix::fs::mkdirat(&parent, part, Mode::from_raw_mode(0o755)).is_ok()
        });
        if !made {
            return;
        }
    }
}

fn enter(top: &OwnedFd, folder: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(top, folder, flags, Mode::empty(), within)
}

/// Does something to files as another user.
fn as_user<T>(user: u32, group: u32, work: impl FnOnce() -> T) -> T {
    use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
    let (before_user, before_group) = (setfsuid(Uid::from_raw(user)), setfsgid(Gid::from_raw(group)));
    let done = work();
    setfsuid(before_user);
    setfsgid(before_group);
    done
}

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Shows libcontainer a cgroup that is none, where this user may make no other: it makes no container without. In a mount
/// namespace that ends with the child, which no container inherits the sight of.
pub(crate) fn stand_in_for_cgroups(cgroup: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("a cgroup could not be stood in for ({error})");
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| told(errno.into()))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(told)?;
    rustix::mount::mount("none", CGROUPS, "tmpfs", rustix::mount::MountFlags::empty(), None)
        .map_err(|errno| told(errno.into()))?;
    let trees = mounts.lines().filter(|line| line.contains(" - cgroup "));
    for tree in trees.filter_map(|line| line.split(' ').nth(4)).filter(|tree| tree.starts_with(CGROUPS)) {
        let mut folder = PathBuf::from(tree);
        let mut parts = cgroup.strip_prefix("/").unwrap_or(cgroup).components();
        loop {
            fs::create_dir_all(&folder).map_err(told)?;
            for (file, text) in [("cgroup.procs", ""), ("cpuset.cpus", "0"), ("cpuset.mems", "0")] {
                fs::write(folder.join(file), text).map_err(told)?;
            }
            match parts.next() {
                Some(part) => folder.push(part),
                None => break,
            }
        }
    }
    Ok(())
}

/// Unmounts all of it. What is not there is no error.
pub(crate) fn take_down(stage: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::mount::unmount(stage, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    // Were anything still mounted there, this would fail and remove nothing of it.
    match fs::remove_dir(stage) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does something in another mount namespace, and comes back.
fn in_namespace<T>(
    namespace: Option<BorrowedFd<'_>>,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let Some(namespace) = namespace else { return work() };
    let own = fs::File::open("/proc/self/ns/mnt").map_err(|error| error.to_string())?;
    setns(namespace, CloneFlags::CLONE_NEWNS)
        .map_err(|errno| format!("the agent's mounts could not be looked at ({errno})"))?;
    let done = work();
    setns(&own, CloneFlags::CLONE_NEWNS)
        .map_err(|errno| format!("the shim's own mounts could not be come back to ({errno})"))?;
    done
}

/// What the kernel shows of itself and of the devices of one network, mounted nowhere yet: of whichever network its mounter
/// is in.
fn sysfs(network: BorrowedFd<'_>) -> Result<OwnedFd, String> {
    let told = |errno: rustix::io::Errno| format!("sysfs could not be mounted ({errno})");
    let own = fs::File::open("/proc/self/ns/net").map_err(|error| error.to_string())?;
    setns(network, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("the network could not be entered ({errno})"))?;
    let made = (|| {
        let context = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    })();
    setns(&own, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("the shim's own network could not be come back to ({errno})"))?;
    made.map_err(told)
}

fn open_bind(bind: &Bind, user: Option<BorrowedFd<'_>>) -> Result<OwnedFd, String> {
    let name = || match &bind.sub_path {
        Some(sub) => format!("{} of {}", sub.display(), bind.path.display()),
        None => bind.path.display().to_string(),
    };
    let told = |errno: rustix::io::Errno| format!("{} could not be opened ({errno})", name());
    let folder = rustix::fs::open(&bind.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(told)?;
    let source = match &bind.sub_path {
        None => folder,
        Some(sub) => {
            let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let sub = sub.strip_prefix("/").unwrap_or(sub);
            rustix::fs::openat2(&folder, sub, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within)
                .map_err(told)?
        }
    };
    clone_tree(&source, user, MountAttrFlags::empty(), !bind.alone).map_err(|errno| {
        let hint = if user.is_some() && errno == rustix::io::Errno::INVAL {
            ": its file system cannot show files as another user's"
        } else {
            ""
        };
        format!("{} could not be bound ({errno}{hint})", name())
    })
}

/// Whether what lies in a folder can be shown as another user's.
pub(crate) fn try_mapped(folder: &Path, user: Option<&OwnedFd>) -> Result<(), String> {
    let told = |errno: rustix::io::Errno| {
        format!("the file system of {} does not show files as another user's ({errno})", folder.display())
    };
    let opened = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(told)?;
    clone_tree(&opened, user.map(|fd| fd.as_fd()), MountAttrFlags::empty(), true).map(drop).map_err(told)
}

fn mount_root(root: &Root, user: Option<BorrowedFd<'_>>, place: &Path) -> Result<(), String> {
    fs::create_dir(place).map_err(|error| format!("{} could not be made ({error})", place.display()))?;
    let (path, read_only) = match root {
        Root::Image(image) => {
            return match user {
                Some(user) => image.mount_mapped(place, user),
                None => image.mount(place),
            }
            .map_err(|error| crate::chain(&error));
        }
        Root::Folder { path, read_only } => (path, *read_only),
    };
    let told =
        |errno: rustix::io::Errno| format!("the root {} could not be mounted ({errno})", path.display());
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(told)?;
    let attributes = if read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    let tree = clone_tree(&folder, user, attributes, true).map_err(told)?;
    rustix::fs::unlinkat(CWD, place, AtFlags::REMOVEDIR).map_err(told)?;
    attach(&tree, place).map_err(told)
}

/// Attaches a detached mount at a place that is made for it.
fn attach(tree: &OwnedFd, place: &Path) -> Result<(), rustix::io::Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode);
    if kind == FileType::Directory {
        rustix::fs::mkdirat(CWD, place, Mode::from_raw_mode(0o755))?;
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::open(place, flags, Mode::from_raw_mode(0o644))?;
    }
    move_mount(tree, c"", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// What is mounted at a file or folder, and below it if `all` is wanted, once more and nowhere yet.
fn clone_tree(
    source: &OwnedFd,
    user: Option<BorrowedFd<'_>>,
    attributes: MountAttrFlags,
    all: bool,
) -> Result<OwnedFd, rustix::io::Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags |= OpenTreeFlags::AT_EMPTY_PATH;
    if all {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(source, c"", flags)?;
    let mut set = attributes;
    if user.is_some() {
        set |= MountAttrFlags::MOUNT_ATTR_IDMAP;
    }
    if set.is_empty() {
        return Ok(tree);
    }
    let attr = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: user.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    #[expect(unsafe_code, reason = "neither rustix nor nix has mount_setattr")]
    // SAFETY: both descriptors are open as long as their owners live, the path is a literal, and the kernel reads no more
    // of the structure than the size that is given with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(tree);
    }
    Err(rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO))
}
