//! The users that somebody who is not root may map: their own, and those that `/etc/subuid` and `/etc/subgid` give them.
//!
//! Only a program that root lets do it writes such a mapping (newuidmap(1), newgidmap(1)), and only from outside of the
//! namespace: a process that is forked before runs it.

use crate::child;
use crate::protocol::IdMap;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;

/// The most of them that are mapped: all that a container's files and users may name.
const MOST: u32 = 65_536;

/// How much of a file is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Whom a user may map, as newuidmap(1) and newgidmap(1) take it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subordinate {
    pub(crate) users: Vec<IdMap>,
    pub(crate) groups: Vec<IdMap>,
}

impl Subordinate {
    /// What the node's files give a user, beside themselves.
    ///
    /// # Errors
    /// Why it is nothing, and what would help.
    pub(crate) fn of(user: u32, group: u32) -> Result<Self, String> {
        let name = name_of(&text("/etc/passwd"), user);
        let range = |file: &str, own: u32| {
            let (first, count) = range(&text(file), name.as_deref(), user).ok_or_else(|| {
                format!("{file} gives user {user} no others (usermod --add-subuids, --add-subgids)")
            })?;
            let rest = IdMap { inside: 1, outside: first, count: count.min(MOST - 1) };
            Ok::<_, String>(vec![IdMap { inside: 0, outside: own, count: 1 }, rest])
        };
        Ok(Self { users: range("/etc/subuid", user)?, groups: range("/etc/subgid", group)? })
    }

    /// How many users a namespace has with it.
    pub(crate) fn count(&self) -> u32 {
        self.users.iter().map(|map| map.count).sum()
    }

    /// Puts this process, which has one thread, into a new user namespace with these users. Gives what went wrong with the
    /// mapping of users, and of groups; each is unmapped then.
    ///
    /// # Errors
    /// If there is no namespace.
    pub(crate) fn enter(&self) -> Result<[Result<(), String>; 2], String> {
        let told = |error: rustix::io::Errno| format!("a pipe could not be made ({error})");
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).map_err(told)?;
        let (hear, say) = pipe_with(PipeFlags::CLOEXEC).map_err(told)?;
        let me = std::process::id();
        let helper = child::fork_raw(|| {
            if rustix::io::read(&wait, &mut [0; 1]) == Ok(1) {
                for (program, maps) in [("newuidmap", &self.users), ("newgidmap", &self.groups)] {
                    let said = run(program, me, maps).err().unwrap_or_default().replace('\n', " ");
                    let _ = rustix::io::write(&say, format!("{said}\n").as_bytes());
                }
            }
        })
        .map_err(|error| format!("a child could not be forked ({error})"))?;
        drop(say);
        let entered = unshare(CloneFlags::CLONE_NEWUSER).map_err(no_namespace);
        if entered.is_ok() {
            let _ = rustix::io::write(&go, b"!");
        }
        drop(go);
        let said = hear_all(hear);
        let _ = waitpid(Pid::from_raw(helper), None);
        entered?;
        let mut lines = said.lines();
        Ok([(); 2].map(|()| match lines.next() {
            Some("") => Ok(()),
            Some(why) => Err(why.to_owned()),
            None => Err("who was to map users ended without a word".to_owned()),
        }))
    }
}

/// What forbids user namespaces, most often.
pub(crate) fn no_namespace(errno: nix::errno::Errno) -> String {
    format!(
        "a user namespace could not be made ({errno}); kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns or user.max_user_namespaces may forbid it"
    )
}

fn hear_all(from: OwnedFd) -> String {
    let mut said = String::new();
    drop(fs::File::from(from).take(LONGEST).read_to_string(&mut said));
    said
}

fn run(program: &str, pid: u32, maps: &[IdMap]) -> Result<(), String> {
    let mut command = std::process::Command::new(program);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").arg(pid.to_string());
    for map in maps {
        command.args([map.inside, map.outside, map.count].map(|number| number.to_string()));
    }
    let output = command
        .output()
        .map_err(|error| format!("{program} could not be run ({error}): Debian's uidmap has it"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} refused: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn text(path: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        drop(file.take(LONGEST).read_to_end(&mut text));
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A user's name, by passwd(5).
fn name_of(passwd: &str, user: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    })
}

/// The first range of a user's, by name or number (subuid(5)), and how many it holds.
fn range(text: &str, name: Option<&str>, user: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let whose = fields.next()?;
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        let theirs = Some(whose) == name || whose.parse() == Ok(user);
        (theirs && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let text = "# comment\nroot:1:5\nann:100000:65536\n1001:200000:1000\nbad:x:1\nempty:1:0\nend:4294967295:10\n";
        assert_eq!(range(text, Some("ann"), 1000), Some((100_000, 65_536)));
        assert_eq!(range(text, None, 1001), Some((200_000, 1000)));
        assert_eq!(range(text, Some("bob"), 1002), None);
        assert_eq!(
            (range(text, Some("empty"), 7), range(text, Some("end"), 8), range(text, Some("bad"), 9)),
            (None, None, None)
        );
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbroken\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 1), None);
    }

    proptest! {
        #[test]
        fn whatever_the_files_hold(text in "(.{0,20}\n){0,5}", user in any::<u32>()) {
            let _ = (range(&text, Some("a"), user), name_of(&text, user));
        }
    }
}
