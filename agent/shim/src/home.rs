//! A user's folder, by what a container's own files say of users.
//!
//! A C library's `getpwuid` is not asked: it loads modules that `/etc/nsswitch.conf` names, which here is the container's,
//! and it waits for whatever lies in the place of `/etc/passwd`. So nothing is executed or waited for, links lead nowhere
//! but into the root, and no more than a megabyte is read.

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How much of a list of users is read, in bytes.
const MOST: u64 = 1 << 20;

/// Where a user is at home if nobody says it.
const NOWHERE: &str = "/";

/// The folder of a user of the file system below `root`.
pub(crate) fn home(root: &Path, uid: u32) -> String {
    open(root).ok().and_then(|file| find(file, uid)).unwrap_or_else(|| NOWHERE.to_owned())
}

/// Puts a user's folder into an environment that lacks it, or has it empty.
pub(crate) fn complete(env: &mut Vec<String>, root: &Path, uid: u32) {
    let value = |entry: &String| entry.strip_prefix("HOME=").map(str::to_owned);
    let told = env.iter().filter_map(value).next_back().filter(|home| !home.is_empty());
    env.retain(|entry| !entry.starts_with("HOME=") && entry != "HOME");
    env.push(format!("HOME={}", told.unwrap_or_else(|| home(root, uid))));
}

fn open(root: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let top = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::openat(CWD, root, top, Mode::empty())?;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let look = |flags| rustix::fs::openat2(&top, "etc/passwd", flags, Mode::empty(), within);
    let regular = |file: &OwnedFd| {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
        if kind == FileType::RegularFile { Ok(()) } else { Err(rustix::io::Errno::INVAL) }
    };
    // Opening a device does something, so it is looked at before.
    regular(&look(OFlags::PATH | OFlags::CLOEXEC)?)?;
    let file = look(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC)?;
    regular(&file)?;
    Ok(file)
}

fn find(file: OwnedFd, uid: u32) -> Option<String> {
    let mut bytes = Vec::new();
    File::from(file).take(MOST).read_to_end(&mut bytes).ok()?;
    bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').map(std::str::from_utf8);
        let id: u32 = fields.nth(2)?.ok()?.parse().ok()?;
        let home = fields.nth(2)?.ok()?;
        (id == uid && home.starts_with('/') && !home.contains('\0')).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, Instant};

    fn root(passwd: impl AsRef<[u8]>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/passwd"), passwd).unwrap();
        dir
    }

    #[test]
    fn a_user_is_at_home_where_the_containers_own_list_says() {
        let dir = root(
            "root:x:0:0::/root:/bin/sh\nbad\n\u{0}:x:7:7::/a\u{0}b:\napp:x:1000:1000::/srv:\nn:x:5:5:::\n",
        );
        let of = |uid| home(dir.path(), uid);
        assert_eq!(
            (of(0), of(1000), of(7), of(5), of(9)),
            ("/root".into(), "/srv".into(), "/".into(), "/".into(), "/".into())
        );
        assert_eq!(home(Path::new("/nowhere"), 0), "/");
        let mut env = vec!["A=b".to_owned(), "HOME=".to_owned()];
        complete(&mut env, dir.path(), 1000);
        assert_eq!(env, ["A=b", "HOME=/srv"]);
        let mut env = vec!["HOME=/x".to_owned(), "HOME=/own".to_owned()];
        complete(&mut env, dir.path(), 1000);
        assert_eq!(env, ["HOME=/own"]);
    }

    #[test]
    fn a_list_that_is_no_file_of_the_root_is_not_waited_for_nor_followed() {
        let began = Instant::now();
        let dir = root("");
        let passwd = dir.path().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(home(dir.path(), 0), "/");
        fs::remove_file(&passwd).unwrap();
        let outside = root("root:x:0:0::/outside:\n");
        symlink(outside.path().join("etc/passwd"), &passwd).unwrap();
        assert_eq!(home(dir.path(), 0), "/");
        fs::remove_file(&passwd).unwrap();
        symlink("/proc/self/root/etc/passwd", &passwd).unwrap();
        assert_eq!(home(dir.path(), 0), "/");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn whatever_the_list_holds(list in prop::collection::vec(any::<u8>(), 0..300), uid in 0_u32..20) {
            prop_assert!(home(root(list).path(), uid).starts_with('/'));
        }
    }
}
