//! Who runs: the image's `user`, looked up in the image's own files.
//!
//! [`resolve`] is pure. [`User::find`] reads `/etc/passwd` and `/etc/group` of a root file system with that folder as the
//! root of every link, so that an image cannot have the node's files read.

use crate::limits::{GROUPS, USER_FILE_BYTES};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Numbers for a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Further groups, in order, without the one above. None if a group was asked for, as Docker does it.
    pub groups: Vec<u32>,
    /// Its home, if the image knows it.
    pub home: Option<String>,
}

/// Why nobody is found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A name that the image does not know.
    #[error("the image has no {kind} {name:?} in {file}; name one that it has, or a number")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// Which.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// Something that is neither a name nor a number.
    #[error("{0:?} is no user; write a name or a number, and after a colon a group")]
    Form(String),
    /// The file could not be read.
    #[error("reading {file} of the image")]
    Read {
        /// Which file.
        file: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl User {
    /// Looks `user`, `uid`, `user:group` or any mixture of them up in a root file system. Empty is root.
    ///
    /// # Errors
    /// If the image does not know a name, or its files cannot be read.
    pub fn find(spec: &str, root: &Path) -> Result<Self, UserError> {
        let (passwd, group) = (read(root, "/etc/passwd")?, read(root, "/etc/group")?);
        resolve(spec, &passwd, &group)
    }
}

/// The same, with the files' contents at hand.
///
/// # Errors
/// If they do not know a name.
pub fn resolve(spec: &str, passwd: &[u8], group: &[u8]) -> Result<User, UserError> {
    let (name, wanted) = match spec.split_once(':') {
        Some((name, wanted)) => (name, Some(wanted).filter(|wanted| !wanted.is_empty())),
        None => (spec, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    for text in [Some(name), wanted].into_iter().flatten() {
        if text.contains([':', '\n', '\0']) || text.starts_with(['+', '-']) {
            return Err(UserError::Form(spec.chars().take(80).collect()));
        }
    }
    // A name wins over a number, as getpwnam goes before strtoul.
    let known = lines(passwd).find(|fields| fields.first() == Some(&name) && number(fields, 2).is_some());
    let known = known.or_else(|| {
        let uid = name.parse::<u32>().ok()?;
        lines(passwd).find(|fields| number(fields, 2) == Some(uid))
    });
    let mut user = match (&known, name.parse::<u32>()) {
        (Some(fields), _) => User {
            uid: number(fields, 2).unwrap_or_default(),
            gid: number(fields, 3).unwrap_or_default(),
            groups: Vec::new(),
            home: fields.get(5).filter(|home| home.starts_with('/')).map(|home| (*home).to_owned()),
        },
        (None, Ok(uid)) if uid != u32::MAX => User { uid, ..User::default() },
        (None, _) => return Err(unknown("user", name, "/etc/passwd")),
    };
    if let Some(wanted) = wanted {
        let found =
            lines(group).find(|fields| fields.first() == Some(&wanted)).and_then(|fields| number(&fields, 2));
        let gid = found.or_else(|| wanted.parse().ok()).filter(|gid| *gid != u32::MAX);
        user.gid = gid.ok_or_else(|| unknown("group", wanted, "/etc/group"))?;
        return Ok(user);
    }
    let login = known.as_ref().and_then(|fields| fields.first().copied()).unwrap_or(name);
    let member =
        |fields: &Vec<&str>| fields.get(3).is_some_and(|list| list.split(',').any(|who| who == login));
    let groups = lines(group).filter(member).filter_map(|fields| number(&fields, 2));
    for gid in groups.take(GROUPS) {
        if gid != user.gid {
            user.groups.push(gid);
        }
    }
    user.groups.sort_unstable();
    user.groups.dedup();
    Ok(user)
}

fn unknown(kind: &'static str, name: &str, file: &'static str) -> UserError {
    UserError::Unknown { kind, name: name.chars().take(80).collect(), file }
}

/// Lines of fields between colons; those that are no text are passed over.
fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    file.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim_end_matches('\r').split(':').collect())
}

fn number(fields: &[&str], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok().filter(|id| *id != u32::MAX)
}

/// A file of a root file system; empty if there is none.
fn read(root: &Path, file: &'static str) -> Result<Vec<u8>, UserError> {
    let told = |source: io::Error| UserError::Read { file, source };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| told(errno.into()))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = match rustix::fs::openat2(&dir, file, flags, Mode::empty(), within) {
        Err(Errno::NOSYS | Errno::PERM) => plain(&dir, file),
        other => other,
    };
    let found = match opened {
        Ok(found) => File::from(found),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(errno) => return Err(told(errno.into())),
    };
    if !found.metadata().map_err(told)?.is_file() {
        return Err(told(io::Error::other("it is no file")));
    }
    let mut bytes = Vec::new();
    found.take(USER_FILE_BYTES).read_to_end(&mut bytes).map_err(told)?;
    Ok(bytes)
}

/// Before Linux 5.6: step by step, following no link.
fn plain(dir: &std::os::fd::OwnedFd, file: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    let name = file.strip_prefix("/etc/").unwrap_or(file);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let etc = rustix::fs::openat(dir, "etc", flags, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&etc, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n# c\nwww:x:33:34::/var/www:/x\n1000:x:7:8::/seven:\nbad:x:y:z::\n";
    const GROUP: &[u8] = b"root:x:0:\nwww:x:34:www\nlogs:x:99:a,www\nroots:x:50:root,www\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: Option<&str>) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.map(str::to_owned) }
    }

    #[test]
    fn names_and_numbers_are_looked_up_as_docker_does() {
        let of = |spec: &str| resolve(spec, PASSWD, GROUP).unwrap();
        assert_eq!(of(""), user(0, 0, &[50], Some("/root")));
        assert_eq!(of("www"), user(33, 34, &[50, 99], Some("/var/www")));
        assert_eq!(of("33"), of("www"));
        assert_eq!(of("www:logs"), user(33, 99, &[], Some("/var/www")));
        assert_eq!(of("www:12"), user(33, 12, &[], Some("/var/www")));
        assert_eq!(of("4242"), user(4242, 0, &[], None));
        assert_eq!(of("1000"), user(7, 8, &[], Some("/seven")));
        assert_eq!(of(":logs"), user(0, 99, &[], Some("/root")));
        for spec in ["nobody", "www:none", "bad", "4294967295", "www:4294967295", "-1", "a:b:c", "www:-1"] {
            assert!(resolve(spec, PASSWD, GROUP).is_err(), "{spec}");
        }
        let error = resolve("nobody", PASSWD, GROUP).unwrap_err().to_string();
        assert_eq!(
            error,
            "the image has no user \"nobody\" in /etc/passwd; name one that it has, or a number"
        );
    }

    #[test]
    fn an_image_does_not_have_the_nodes_files_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(dir.path().join("passwd"), "www:x:1:1::/:\n").unwrap();
        std::os::unix::fs::symlink("../../passwd", root.join("etc/passwd")).unwrap();
        assert!(matches!(User::find("www", &root), Err(UserError::Unknown { .. })));
        std::fs::write(root.join("passwd"), "www:x:2:2::/:\n").unwrap();
        assert_eq!(User::find("www", &root).unwrap().uid, 2);
        std::fs::remove_file(root.join("etc/passwd")).unwrap();
        std::fs::create_dir(root.join("etc/passwd")).unwrap();
        assert!(matches!(User::find("www", &root), Err(UserError::Read { .. })));
    }

    proptest! {
        #[test]
        fn no_files_make_looking_up_panic(spec in "\\PC{0,20}", passwd in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = resolve(&spec, &passwd, &passwd);
        }
    }
}
