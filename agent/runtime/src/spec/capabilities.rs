//! Capabilities by name: what containers have, and what may be added and taken away.

use super::Invalid;
use std::collections::BTreeSet;

/// All that Linux knows, without `CAP_` (`capability.h` of Linux 6.18).
pub(crate) const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What containers have if nothing else is said: containerd's and Docker's fourteen.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A capability by any of its names (`CAP_NET_ADMIN`, `net_admin`), as it is called here: without `CAP_`.
#[must_use]
pub fn capability(name: &str) -> Option<&'static str> {
    match known(name, "") {
        Ok(Known::One(name)) => Some(name),
        _ => None,
    }
}

/// Whether containers have a capability if nothing else is said.
#[must_use]
pub fn is_usual(name: &str) -> bool {
    capability(name).is_some_and(|name| DEFAULT.contains(&name))
}

/// Those of a bit mask, as `/proc/<pid>/status` has it.
pub(crate) fn of_mask(mask: u64) -> BTreeSet<String> {
    let set = ALL.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
    set.map(|(_, name)| (*name).to_owned()).collect()
}

/// What a container has. Taking away comes first, as `drop: [ALL]` with a few added means.
pub(super) fn resolve(
    add: &BTreeSet<String>,
    drop: &BTreeSet<String>,
    privileged: bool,
    available: &BTreeSet<String>,
    withheld: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, Invalid> {
    if privileged {
        return Ok(available.clone());
    }
    let default = DEFAULT.iter().filter(|name| !withheld.contains(*name)).map(|name| (*name).to_owned());
    let mut set: BTreeSet<String> = default.filter(|name| available.contains(name)).collect();
    for name in drop {
        match known(name, "capabilities.drop")? {
            Known::All => set.clear(),
            Known::One(name) => drop_one(&mut set, name),
        }
    }
    for name in add {
        match known(name, "capabilities.add")? {
            Known::All => set.extend(available.iter().cloned()),
            Known::One(name) if withheld.contains(name) => {
                return Err(Invalid::new(
                    "capabilities.add",
                    format!(
                        "{name} is not given here: without a user namespace, and where nothing filters devices, it opens the node's disks"
                    ),
                ));
            }
            Known::One(name) if available.contains(name) => {
                set.insert(name.to_owned());
            }
            Known::One(name) => {
                return Err(Invalid::new(
                    "capabilities.add",
                    format!("{name} is not the node's to give: the agent was started without it"),
                ));
            }
        }
    }
    Ok(set)
}

fn drop_one(set: &mut BTreeSet<String>, name: &str) {
    set.remove(name);
}

enum Known {
    All,
    One(&'static str),
}

fn known(name: &str, field: &'static str) -> Result<Known, Invalid> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if bare == "ALL" {
        return Ok(Known::All);
    }
    let found = ALL.iter().find(|known| **known == bare);
    found.map(|name| Known::One(name)).ok_or_else(|| {
        Invalid::new(field, format!("{name:?} is no capability of Linux; NET_ADMIN or ALL would be"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn resolved(add: &[&str], drop: &[&str]) -> BTreeSet<String> {
        resolve(&set(add), &set(drop), false, &set(&ALL), &BTreeSet::new()).unwrap()
    }

    #[test]
    fn dropping_comes_before_adding() {
        assert_eq!(resolved(&["NET_BIND_SERVICE"], &["ALL"]), set(&["NET_BIND_SERVICE"]));
        assert_eq!(resolved(&["CAP_net_admin"], &[]).len(), 15);
        assert!(!resolved(&[], &["MKNOD"]).contains("MKNOD"));
        assert_eq!(resolved(&["ALL"], &["MKNOD"]), set(&ALL));
    }

    #[test]
    fn what_nobody_has_is_not_given() {
        let some = set(&["CHOWN", "KILL"]);
        assert_eq!(resolve(&set(&[]), &set(&[]), false, &some, &BTreeSet::new()).unwrap(), some);
        assert_eq!(resolve(&set(&[]), &set(&[]), true, &some, &BTreeSet::new()).unwrap(), some);
        assert!(resolve(&set(&["BPF"]), &set(&[]), false, &some, &BTreeSet::new()).is_err());
        assert!(resolve(&set(&["FLY"]), &set(&[]), false, &some, &BTreeSet::new()).is_err());
        let withheld = BTreeSet::from(["MKNOD"]);
        assert!(resolve(&set(&["MKNOD"]), &set(&["ALL"]), false, &set(&ALL), &withheld).is_err());
        assert!(!resolve(&set(&[]), &set(&[]), false, &set(&ALL), &withheld).unwrap().contains("MKNOD"));
    }

    #[test]
    fn names_are_known_in_any_form() {
        assert!(["CHOWN", "cap_chown", "CAP_NET_RAW"].iter().all(|name| is_usual(name)));
        assert!(!["ALL", "NET_ADMIN", "FLY", ""].iter().any(|name| is_usual(name)));
        assert_eq!(capability("cap_net_admin"), Some("NET_ADMIN"));
    }

    #[test]
    fn masks_count_from_chown() {
        assert_eq!(of_mask(0b1_0001), set(&["CHOWN", "FSETID"]));
        assert_eq!(of_mask(u64::MAX), set(&ALL));
    }
}
