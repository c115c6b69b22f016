//! Version 2: below which cgroup ours may be, and which controllers they get there.
//!
//! A controller is given from each cgroup to those below it, and a cgroup that gives one holds no processes itself. Root
//! of a node finds nothing in its way. Elsewhere somebody has given us a part of the tree: a container that it is the
//! root of, or, for a user, systemd (`Delegate=yes`) the cgroup of a service. Then the processes that are in it, this one
//! among them, have to go into one below it first.

use super::write;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Controllers that Instances are given.
pub(super) const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Where processes go that stand in the way, beside the cgroup of all Instances. What begins a service may begin it there
/// at once (`DelegateSubgroup=agent`).
const AGENT: &str = "agent";

/// How often processes are moved: each may have begun others meanwhile.
const ROUNDS: usize = 10;

/// What was found below a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// Controllers that cgroups there have.
    pub(super) controllers: BTreeSet<String>,
    /// Why others were not given.
    pub(super) refused: BTreeMap<String, String>,
}

/// A tree as it is mounted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree<'a> {
    /// Where.
    pub(super) point: &'a Path,
    /// Which cgroup is its top, as `/proc/self/cgroup` counts.
    pub(super) top: &'a Path,
}

impl Tree<'_> {
    fn folder(&self, path: &Path) -> PathBuf {
        self.point.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The cgroup that this process is in; none if it is not in this part of the tree.
    fn own(&self) -> Option<PathBuf> {
        own(&fs::read_to_string("/proc/self/cgroup").ok()?, self.top)
    }

    /// Finds the cgroup below which all of ours are to be: `wanted`, or one of its name in the cgroup that this process was
    /// given. A cgroup `probe` of it is left for who tries to enter it.
    ///
    /// # Errors
    /// Why there is none, and what would help.
    pub(super) fn settle(&self, wanted: &Path, probe: &str) -> Result<(PathBuf, Given), String> {
        let first = match self.try_below(wanted, probe) {
            Ok(given) => return Ok((wanted.to_owned(), given)),
            Err(why) => why,
        };
        let (Some(own), Some(name)) = (self.own(), wanted.file_name()) else { return Err(first) };
        let base = if own.ends_with(AGENT) { own.parent().unwrap_or(&own).to_owned() } else { own };
        let parent = base.join(name);
        if base == Path::new("/") || wanted.starts_with(&base) {
            return Err(first);
        }
        match self.try_below(&parent, probe) {
            Ok(given) => Ok((parent, given)),
            Err(why) => Err(format!("{first}; nor can they in its own, {}: {why}", base.display())),
        }
    }

    /// Makes `parent` and a cgroup in it, with all controllers that there are to be had.
    fn try_below(&self, parent: &Path, probe: &str) -> Result<Given, String> {
        let path = parent.join(probe);
        let folder = self.folder(&path);
        let made = fs::create_dir_all(&folder).map_err(|error| {
            format!(
                "cgroups below {} cannot be made ({error}); root can, or whom a cgroup is delegated to (systemd: Delegate=yes)",
                parent.display()
            )
        });
        let given = made.and_then(|()| {
            let refused = self.give(parent);
            let kind = fs::read_to_string(folder.join("cgroup.type"))
                .map_err(|error| format!("{} does not say its type ({error})", folder.display()))?;
            if kind.trim() != "domain" {
                return Err(format!(
                    "cgroups below {} hold threads, not processes (cgroup.type is {:?}): the agent has to be started outside of a threaded cgroup",
                    parent.display(),
                    kind.trim()
                ));
            }
            let there = fs::read_to_string(folder.join("cgroup.controllers"))
                .map_err(|error| format!("{} does not say its controllers ({error})", folder.display()))?;
            let controllers: BTreeSet<String> = there.split_whitespace().map(str::to_owned).collect();
            let refused =
                refused.into_iter().filter(|(name, _)| !controllers.contains(name)).collect();
            Ok(Given { controllers, refused })
        });
        if given.is_err() {
            // What was there before stays: it is not empty, or another's.
            drop(fs::remove_dir(&folder));
            drop(fs::remove_dir(self.folder(parent)));
        }
        given
    }

    /// Gives controllers on, from the top to a cgroup. Those that were not given at some place, and why.
    pub(super) fn give(&self, path: &Path) -> BTreeMap<String, String> {
        let mut refused = BTreeMap::new();
        let mut folder = self.point.to_owned();
        let mut parts =
            path.components().filter(|part| matches!(part, Component::Normal(_))).map(Component::as_os_str);
        loop {
            self.give_on(&folder, &mut refused);
            match parts.next() {
                Some(part) => folder.push(part),
                None => return refused,
            }
        }
    }

    fn give_on(&self, folder: &Path, refused: &mut BTreeMap<String, String>) {
        let words = |file: &str| -> BTreeSet<String> {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let (available, given) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
        let mut refuse = |name: &str, why: String| {
            refused.entry(name.to_owned()).or_insert(why);
        };
        let mut way = None;
        for name in CONTROLLERS.into_iter().filter(|name| !given.contains(*name)) {
            if !available.contains(name) {
                let place = folder.display();
                refuse(
                    name,
                    format!("{place} has no {name} controller to give: whoever is above it gives none"),
                );
                continue;
            }
            let way = way.get_or_insert_with(|| self.make_way(folder).map_err(|error| error.to_string()));
            let file = folder.join("cgroup.subtree_control");
            let done = way
                .clone()
                .and_then(|()| write(&file, &format!("+{name}")).map_err(|error| error.to_string()));
            if let Err(why) = done {
                refuse(name, format!("{} would not give the {name} controller on ({why})", folder.display()));
            }
        }
    }

    /// Sees to it that a cgroup holds no processes before it gives controllers on. The kernel would refuse most of them
    /// then; but for those that threads can have, it would make a cgroup for threads of it, below which no process can be.
    fn make_way(&self, folder: &Path) -> io::Result<()> {
        // The top of all has no type, and may hold processes.
        if !folder.join("cgroup.type").exists()
            || fs::read_to_string(folder.join("cgroup.procs"))?.trim().is_empty()
        {
            return Ok(());
        }
        // Another's processes are not ours to move.
        if self.own().is_none_or(|own| self.folder(&own) != folder) {
            return Err(io::Error::other("processes that are not the agent's are in it"));
        }
        move_below(folder)
    }
}

/// Moves all processes of a cgroup into one below it.
fn move_below(folder: &Path) -> io::Result<()> {
    let below = folder.join(AGENT);
    fs::create_dir_all(&below)?;
    let mut failed = Ok(());
    for _ in 0..ROUNDS {
        let text = fs::read_to_string(folder.join("cgroup.procs"))?;
        if text.trim().is_empty() {
            return Ok(());
        }
        for pid in text.lines() {
            match write(&below.join("cgroup.procs"), pid) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => failed = Err(error),
                Ok(()) => {}
            }
        }
    }
    failed
}

/// Which cgroup of version 2 a process is in, as the tree is mounted; none if that is outside of it.
fn own(text: &str, top: &Path) -> Option<PathBuf> {
    let path = Path::new(text.lines().find_map(|line| line.strip_prefix("0::"))?);
    let below = path.strip_prefix(top).ok()?;
    let within = below.components().all(|part| matches!(part, Component::Normal(_)));
    within.then(|| Path::new("/").join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_cgroup_is_told_as_the_tree_is_mounted() {
        let of = |text: &str, top: &str| own(text, Path::new(top)).map(|path| path.display().to_string());
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service\n";
        assert_eq!(
            of(user, "/").as_deref(),
            Some("/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service")
        );
        assert_eq!(
            of(user, "/user.slice/user-1000.slice/user@1000.service").as_deref(),
            Some("/app.slice/agent.service")
        );
        assert_eq!(of("12:memory:/x\n0::/\n", "/").as_deref(), Some("/"));
        assert_eq!(of(user, "/system.slice"), None);
        assert_eq!(of("0::/../other\n", "/"), None);
        assert_eq!(of("12:memory:/x\n", "/"), None);
    }

    /// A tree of plain files, as the kernel would show it.
    fn cgroup(folder: &Path, controllers: &str, given: &str) {
        fs::create_dir_all(folder).unwrap();
        let files = [
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", given),
            ("cgroup.type", "domain\n"),
            ("cgroup.procs", ""),
        ];
        for (file, text) in files {
            fs::write(folder.join(file), text).unwrap();
        }
    }

    #[test]
    fn what_is_not_given_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        cgroup(dir.path(), "cpu io memory pids\n", "cpu pids\n");
        cgroup(&dir.path().join("h"), "cpu pids\n", "");
        let tree = Tree { point: dir.path(), top: Path::new("/") };
        let refused = tree.give(Path::new("/h"));
        let names: Vec<&str> = refused.keys().map(String::as_str).collect();
        // Writing worked for the others, as far as a plain file tells.
        assert_eq!(names, ["cpuset", "io", "memory"]);
        assert!(refused["cpuset"].contains("has no cpuset controller to give"), "{refused:?}");
        assert!(refused["memory"].contains("/h has no memory controller"), "{refused:?}");
        // Whose processes are in the way is not asked, but whether they are ours.
        cgroup(&dir.path().join("h"), "cpu io pids\n", "");
        fs::write(dir.path().join("h/cgroup.procs"), "1\n").unwrap();
        let refused = tree.give(Path::new("/h"));
        assert!(refused["io"].contains("processes that are not the agent's"), "{refused:?}");
        assert_eq!(fs::read_to_string(dir.path().join("h/cgroup.subtree_control")).unwrap(), "");
    }
}
