//! Processes as the kernel tells of them: who one is, and whether it still is.

use crate::state::ProcessId;
use std::io;

/// Which life of the kernel this is.
///
/// # Errors
/// If there is no `/proc`.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Who has a pid now, zombies too; none if nobody has.
///
/// # Errors
/// If the kernel would not say.
pub fn identify(pid: i32) -> io::Result<Option<ProcessId>> {
    let Some(stat) = stat(pid)? else { return Ok(None) };
    of_stat(pid, &stat).map(Some)
}

fn of_stat(pid: i32, stat: &[u8]) -> io::Result<ProcessId> {
    let start_time = start_time(stat).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is of an unknown form"))
    })?;
    Ok(ProcessId { pid, start_time, boot_id: boot_id()? })
}

/// What the kernel tells of a process; none if there is no such process.
fn stat(pid: i32) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => Ok(Some(stat)),
        // ESRCH is what a process answers that ended between the opening and the reading.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whose child a process is, zombies too; none if there is no such process.
///
/// # Errors
/// If the kernel would not say.
pub(crate) fn parent(pid: i32) -> io::Result<Option<i32>> {
    Ok(stat(pid)?.and_then(|stat| field(&stat, 4)))
}

/// The most processes that are looked for below another.
const MOST: usize = 64;

/// What a process forked, and what those did, the deepest last; as far as the kernel tells (`CONFIG_PROC_CHILDREN`). Of
/// processes with one thread.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(of) = found.get(next).copied() {
        next += 1;
        let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        let children = text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        found.extend(children.take(MOST.saturating_sub(found.len())));
    }
    found.split_off(1)
}

/// Whether it is still the same that has this pid, and still does something: what has ended keeps its pid until its parent
/// asks for its end, which may be never.
///
/// # Errors
/// If the kernel would not say.
pub fn is_there(process: &ProcessId) -> io::Result<bool> {
    if process.pid <= 0 {
        return Ok(false);
    }
    match stat(process.pid)? {
        Some(stat) => Ok(!has_ended(&stat) && of_stat(process.pid, &stat)? == *process),
        None => Ok(false),
    }
}

/// Whether nothing is left of a process but how it ended. One whose first thread has ended alone looks alike, but for the
/// number of its threads.
fn has_ended(stat: &[u8]) -> bool {
    let dead = field::<char>(stat, 3).is_some_and(|state| matches!(state, 'Z' | 'X' | 'x'));
    dead && field::<u32>(stat, 20).is_none_or(|threads| threads <= 1)
}

fn start_time(stat: &[u8]) -> Option<u64> {
    field(stat, 22)
}

/// A field from the third on, as `proc_pid_stat(5)` counts them. The second, a name in brackets, may hold anything,
/// brackets and spaces too.
fn field<T: std::str::FromStr>(stat: &[u8], number: usize) -> Option<T> {
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_process_is_itself_and_no_other_with_its_pid() {
        let me = identify(std::process::id().cast_signed()).unwrap().unwrap();
        assert!(is_there(&me).unwrap());
        assert!(!is_there(&ProcessId { start_time: me.start_time + 1, ..me.clone() }).unwrap());
        assert!(!is_there(&ProcessId { boot_id: "another".to_owned(), ..me }).unwrap());
        assert!(!is_there(&ProcessId { pid: 0, start_time: 0, boot_id: String::new() }).unwrap());
    }

    #[test]
    fn a_process_is_its_parents_child() {
        let me = std::process::id().cast_signed();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(parent(child.id().cast_signed()).unwrap(), Some(me));
        assert_ne!(parent(1).unwrap(), Some(me));
        let below = descendants(me);
        assert!(below.is_empty() || below == [child.id().cast_signed()], "{below:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(parent(child.id().cast_signed()).unwrap(), None);
    }

    #[test]
    fn nobody_is_there_who_waits_for_their_parent_alone() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let it = identify(child.id().cast_signed()).unwrap().unwrap();
        assert!(is_there(&it).unwrap());
        child.kill().unwrap();
        assert!((0..1000).any(|_| !is_there(&it).unwrap() || {
            std::thread::sleep(std::time::Duration::from_millis(5));
            false
        }));
        // Its pid is still its own.
        assert_eq!(identify(it.pid).unwrap().as_ref(), Some(&it));
        child.wait().unwrap();
        assert_eq!(identify(it.pid).unwrap(), None);
        // Its first thread has ended, and three others have not.
        assert!(!has_ended(b"7 (a) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 4 0 12345 1 2"));
        assert!(has_ended(b"7 (a) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2"));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2";
        assert_eq!(start_time(stat), Some(12345));
        assert_eq!(field::<i32>(stat, 4), Some(1));
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds(stat in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = start_time(&stat);
        }
    }
}
