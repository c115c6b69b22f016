//! Giving back memory that beginning and forking took: a shim is one of many, and waits most of the time, as its agent does.

use std::fs;

/// Lets go of pages of files that this process only ever read: code and constants, which the kernel finds again in its
/// cache when they are next needed. What is the process' own stays.
pub fn let_go() {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (start, length) in clean(&smaps) {
        #[expect(
            unsafe_code,
            reason = "nix and rustix have it as unsafe too, since it may throw changes away"
        )]
        // SAFETY: by the kernel's own account there are no changes in this range: no page of it is dirty or anonymous, and
        // without write permission none can have become so since.
        let result =
            unsafe { libc::madvise(std::ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED) };
        // At worst memory is kept.
        let _ = result;
    }
}

/// Where files are mapped that cannot be written to through this mapping, and have not been. Pure.
fn clean(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at: Option<(usize, usize)> = None;
    let (mut dirty, mut ended) = (false, false);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let range = usize::from_str_radix(start, 16).ok().zip(usize::from_str_radix(end, 16).ok());
            let readable = words.next().is_some_and(|flags| matches!(flags, "r--p" | "r-xp"));
            let of_file = words.nth(2).is_some_and(|inode| inode != "0");
            at = range
                .filter(|_| readable && of_file)
                .and_then(|(start, end)| Some((start, end.checked_sub(start)?)));
            (dirty, ended) = (false, false);
            continue;
        }
        match first {
            "Private_Dirty:" | "Shared_Dirty:" | "Anonymous:" => dirty |= words.next() != Some("0"),
            // The last line of each.
            "VmFlags:" => ended = true,
            _ => {}
        }
        if let Some(range) = at.filter(|_| ended && !dirty) {
            found.push(range);
            at = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_was_never_changed_is_let_go() {
        let entry = |head: &str, dirty: u32| {
            format!(
                "{head}\nRss: 8 kB\nShared_Dirty: 0 kB\nPrivate_Dirty: {dirty} kB\nAnonymous: {dirty} kB\nVmFlags: rd\n"
            )
        };
        let smaps = [
            entry("1000-3000 r-xp 00000000 fe:00 12 /bin/a", 0),
            entry("3000-4000 r--p 00002000 fe:00 12 /bin/a", 4),
            entry("4000-5000 rw-p 00003000 fe:00 12 /bin/a", 0),
            entry("5000-6000 r--p 00000000 00:00 0", 0),
            entry("6000-8000 r--p 00004000 fe:00 13 /bin/a b (deleted)", 0),
        ]
        .concat();
        assert_eq!(clean(&smaps), [(0x1000, 0x2000), (0x6000, 0x2000)]);
        // Half an account is none.
        assert!(clean("1000-3000 r-xp 00000000 fe:00 12 /bin/a\nRss: 8 kB\n").is_empty());
    }

    #[test]
    fn a_process_goes_on_without() {
        let before = clean(&fs::read_to_string("/proc/self/smaps").unwrap());
        assert!(!before.is_empty());
        let_go();
        assert_eq!(format!("{}", 6 * 7), "42");
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds(smaps in "([0-9a-f]{1,20}-[0-9a-f]{1,20} r-xp 0 0 1\n|VmFlags: \n|.{0,10}\n){0,10}") {
            let _ = clean(&smaps);
        }
    }
}
