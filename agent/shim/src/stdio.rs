//! Whose a process' input and output are.
//!
//! A pipe belongs to whoever made it, and opening it again asks who that is: without this, nobody in a user namespace, and
//! no user but root anywhere, could open `/dev/stdout` (as runc's `fixStdioPermissions`).

use crate::protocol::{IdMap, IdMaps};
use rustix::fs::{FileType, Uid, fchown, fstat};
use std::os::fd::OwnedFd;

/// Makes pipes a user's of the container. Nothing else is: a file, a device and a socket are somebody's already.
///
/// To be called before the user namespace is entered, whose root may change nothing that is the node's. What the kernel
/// refuses stays as it is: only opening it by name fails then.
pub(crate) fn give(stdio: &[OwnedFd], user: u32, maps: Option<&IdMaps>) {
    let Some(owner) = outside(user, maps) else { return };
    for fd in stdio {
        let is_pipe = |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
        if fstat(fd).as_ref().is_ok_and(is_pipe) {
            let _ = fchown(fd, Some(Uid::from_raw(owner)), None);
        }
    }
}

/// Who a user of the container is out here; none if it is nobody.
fn outside(user: u32, maps: Option<&IdMaps>) -> Option<u32> {
    let Some(maps) = maps else { return Some(user) };
    let found = |map: &IdMap| {
        let offset = user.checked_sub(map.inside).filter(|offset| *offset < map.count)?;
        map.outside.checked_add(offset)
    };
    // The last of all is the kernel's word for "leave it".
    maps.users.iter().find_map(found).filter(|user| *user != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_outside() {
        let map = |inside, outside, count| IdMap { inside, outside, count };
        let users = vec![map(0, 65536, 1000), map(2000, 9, 1), map(3000, u32::MAX, 2)];
        let maps = IdMaps { users, groups: Vec::new() };
        let of = |user| outside(user, Some(&maps));
        assert_eq!([of(0), of(999), of(2000)], [Some(65536), Some(66535), Some(9)]);
        assert_eq!([of(1000), of(1999), of(2001), of(3000), of(3001)], [None; 5]);
        assert_eq!(outside(7, None), Some(7));
    }

    #[test]
    fn only_pipes_are_given_away() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        let me = rustix::process::geteuid();
        if !me.is_root() {
            return give(&[read, write, file], me.as_raw(), None);
        }
        let fds = [read, write, file];
        give(&fds, 4711, None);
        let owners = fds.each_ref().map(|fd| fstat(fd).unwrap().st_uid);
        // Both ends are one.
        assert_eq!(owners, [4711, 4711, 0]);
    }
}
