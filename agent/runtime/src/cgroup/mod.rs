//! Cgroups: which version there is, where an Instance's and a container's are, limits written and usage read.
//!
//! libcontainer makes a container's cgroups and writes its first limits; all else is here. Version 1 has a tree for each
//! controller, version 2 one for all. Both may be there; what counts is where the controllers are.

mod limits;
mod unified;
mod usage;

pub(crate) use usage::Usage;

use crate::report::CgroupVersion;
use crate::spec::Limits;
use hypermesh_shim::protocol::Freezer;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Controllers of version 1 that libcontainer puts a container into.
const CONTROLLERS: [&str; 9] =
    ["memory", "cpu", "cpuacct", "pids", "blkio", "freezer", "cpuset", "devices", "perf_event"];

/// Where cgroups are mounted.
const USUAL: &str = "/sys/fs/cgroup";

/// What a container is shown of its own.
const SHOWN: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

/// Where cgroups are on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroups {
    pub(crate) version: CgroupVersion,
    /// Trees by controller (version 1), or one by no name (version 2).
    trees: BTreeMap<String, PathBuf>,
    /// Trees without controllers, which only tell processes apart.
    others: Vec<PathBuf>,
    /// Below which cgroup all of ours are.
    parent: PathBuf,
    /// With version 2: which cgroup the top of the tree is to this process, and which controllers ours have.
    top: PathBuf,
    controllers: BTreeSet<String>,
}

impl Cgroups {
    /// Finds them.
    pub(crate) fn find(parent: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::read_to_string("/proc/self/mountinfo")?, parent))
    }

    /// Pure. Where a tree is mounted twice, the first is taken.
    fn of(mounts: &str, parent: &Path) -> Self {
        let (mut v1, mut v2, mut others) = (BTreeMap::new(), None, Vec::new());
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let mut before = before.split(' ').skip(3).map(PathBuf::from);
            let (Some(top), Some(point)) = (before.next(), before.next()) else { continue };
            let mut after = after.splitn(3, ' ');
            match (after.next(), after.nth(1)) {
                // libcontainer looks at the usual place alone.
                (Some("cgroup2"), _) if v2.is_none() || point == Path::new(USUAL) => v2 = Some((point, top)),
                (Some("cgroup"), Some(options)) => {
                    let mut known = false;
                    for name in options.split(',').filter(|name| CONTROLLERS.contains(name)) {
                        known = true;
                        v1.entry(name.to_owned()).or_insert_with(|| point.clone());
                    }
                    if !known && options.contains("name=") {
                        others.push(point);
                    }
                }
                _ => {}
            }
        }
        let mut found = Self {
            version: CgroupVersion::None,
            trees: v1,
            others,
            parent: parent.to_owned(),
            top: PathBuf::from("/"),
            controllers: BTreeSet::new(),
        };
        if !found.trees.is_empty() {
            found.version = CgroupVersion::V1;
            found.others.extend(v2.map(|(point, _)| point));
        } else if let Some((point, top)) = v2 {
            found.version = CgroupVersion::V2;
            found.trees.insert(String::new(), point);
            (found.others, found.top) = (Vec::new(), top);
        }
        found
    }

    /// Finds out by trying where ours may be, and which controllers they have there. A cgroup `probe` is left for who
    /// tries to enter it. Gives why controllers are missing, by their names.
    ///
    /// # Errors
    /// Why there can be none, and what would help.
    pub(crate) fn settle(&mut self, probe: &str) -> Result<BTreeMap<String, String>, String> {
        let tree = match self.version {
            CgroupVersion::None => return Err("no cgroup file system is mounted".to_owned()),
            CgroupVersion::V1 => {
                let made = self.make(&self.path(&[probe]));
                let told = |error| {
                    let parent = self.parent.display();
                    format!(
                        "cgroups below {parent} cannot be made ({error}); root can, or whom root delegates one to"
                    )
                };
                return made.map(|()| BTreeMap::new()).map_err(told);
            }
            CgroupVersion::V2 => self.tree(),
        };
        let Some(tree) = tree else { return Ok(BTreeMap::new()) };
        if tree.point != Path::new(USUAL) {
            return Err(format!("cgroups are mounted at {}, not at {USUAL}", tree.point.display()));
        }
        let (parent, given) = tree.settle(&self.parent, probe)?;
        (self.parent, self.controllers) = (parent, given.controllers);
        Ok(given.refused)
    }

    /// The one tree of version 2.
    fn tree(&self) -> Option<unified::Tree<'_>> {
        let point = self.trees.get("").filter(|_| self.version == CgroupVersion::V2)?;
        Some(unified::Tree { point, top: &self.top })
    }

    /// No cgroups at all, where this user may write to none.
    pub(crate) fn without(&self) -> Self {
        Self {
            version: CgroupVersion::None,
            trees: BTreeMap::new(),
            others: Vec::new(),
            parent: self.parent.clone(),
            top: PathBuf::from("/"),
            controllers: BTreeSet::new(),
        }
    }

    /// Whether a controller can be used.
    pub(crate) fn has(&self, controller: &str) -> bool {
        match self.version {
            CgroupVersion::V1 => self.trees.contains_key(controller),
            // Freezing is no controller there, and CPU time is always counted.
            CgroupVersion::V2 => {
                matches!(controller, "freezer" | "cpuacct") || self.controllers.contains(controller)
            }
            CgroupVersion::None => false,
        }
    }

    /// A cgroup by names below the parent, absolute within each tree.
    pub(crate) fn path(&self, names: &[&str]) -> PathBuf {
        names.iter().fold(self.parent.clone(), |path, name| path.join(name))
    }

    /// Its folder in the tree of a controller.
    pub(crate) fn folder(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        let key = if self.version == CgroupVersion::V2 { "" } else { controller };
        Some(self.trees.get(key)?.join(path.strip_prefix("/").unwrap_or(path)))
    }

    /// Its folders, one for each tree that has controllers; the freezer's or memory's first.
    pub(crate) fn folders(&self, path: &Path) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = Vec::new();
        let first = ["", "freezer", "memory", "pids"];
        let rest = self.trees.keys().map(String::as_str).filter(|name| !first.contains(name));
        for folder in first.into_iter().chain(rest).filter_map(|name| self.tree_folder(name, path)) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    fn tree_folder(&self, key: &str, path: &Path) -> Option<PathBuf> {
        Some(self.trees.get(key)?.join(path.strip_prefix("/").unwrap_or(path)))
    }

    /// Its folders in every tree, those without controllers too: whoever is in them has left all other cgroups.
    pub(crate) fn all_folders(&self, path: &Path) -> Vec<PathBuf> {
        let mut folders = self.folders(path);
        let relative = path.strip_prefix("/").unwrap_or(path);
        folders.extend(self.others.iter().map(|tree| tree.join(relative)));
        folders
    }

    /// Its folder of version 2, whether that has controllers or only tells processes apart.
    pub(crate) fn unified(&self, path: &Path) -> Option<PathBuf> {
        self.all_folders(path).into_iter().find(|folder| folder.is_dir() && !folder.join("tasks").exists())
    }

    /// What a container sees of its own cgroup, by controller (version 1).
    pub(crate) fn views(&self, path: &Path) -> Vec<(String, PathBuf)> {
        if self.version != CgroupVersion::V1 {
            return Vec::new();
        }
        let view = |name: &&str| Some(((*name).to_owned(), self.tree_folder(name, path)?));
        SHOWN.iter().filter_map(view).collect()
    }

    /// Makes a cgroup in every tree. With version 2, those above it let it have controllers.
    pub(crate) fn make(&self, path: &Path) -> io::Result<()> {
        for folder in self.all_folders(path) {
            fs::create_dir_all(&folder)?;
        }
        match self.version {
            CgroupVersion::V1 => self.fill_cpusets(path),
            CgroupVersion::V2 => {
                // What was not given is told by the limit that needs it.
                self.tree().map(|tree| tree.give(path.parent().unwrap_or(path)));
                Ok(())
            }
            CgroupVersion::None => Ok(()),
        }
    }

    /// A cpuset of version 1 holds nobody until it has CPUs and memory, which it does not get by itself.
    fn fill_cpusets(&self, path: &Path) -> io::Result<()> {
        let Some(tree) = self.trees.get("cpuset") else { return Ok(()) };
        let mut folder = tree.clone();
        for part in path.strip_prefix("/").unwrap_or(path).components() {
            let below = folder.join(part);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if fs::read_to_string(below.join(file))?.trim().is_empty() {
                    write(&below.join(file), fs::read_to_string(folder.join(file))?.trim())?;
                }
            }
            folder = below;
        }
        Ok(())
    }

    /// Writes limits. What has no controller here is left out: the node's report tells.
    pub(crate) fn limit(&self, path: &Path, limits: &Limits) -> io::Result<()> {
        for wanted in limits::writes(limits, self.version) {
            if !self.has(wanted.controller) {
                continue;
            }
            let Some(folder) = self.folder(wanted.controller, path) else { continue };
            let file = folder.join(wanted.file);
            match write(&file, &wanted.value) {
                Err(error) if wanted.optional && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("{} would not take {} ({error})", file.display(), wanted.value),
                    ));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Makes a container's cgroup, with its limits where libcontainer is not the one to write them: of version 2 it knows
    /// less than we do. Its limit of processes waits until it is made. When its memory is used up all of it ends: half a
    /// container that goes on is nobody's wish.
    pub(crate) fn make_container(&self, path: &Path, limits: &Limits) -> io::Result<()> {
        self.make(path)?;
        if self.version != CgroupVersion::V2 {
            return Ok(());
        }
        self.limit(path, &Limits { pids: None, ..limits.clone() })?;
        if limits.memory.is_none() || !self.has("memory") {
            return Ok(());
        }
        let file = self.folder("memory", path).map(|folder| folder.join("memory.oom.group"));
        match file.map_or(Ok(()), |file| write(&file, "1")) {
            // Linux before 4.19.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Whether weights of I/O can be set: a controller alone is not enough, there has to be who weighs.
    pub(crate) fn weighs_io(&self, path: &Path) -> bool {
        let (controller, files) = match self.version {
            CgroupVersion::V2 => ("io", ["io.weight", "io.bfq.weight"]),
            _ => ("blkio", ["blkio.weight", "blkio.bfq.weight"]),
        };
        let folder = self.folder(controller, path).filter(|_| self.has(controller));
        folder.is_some_and(|folder| files.iter().any(|file| folder.join(file).exists()))
    }

    /// Where kills for memory are counted.
    pub(crate) fn oom_counter(&self, path: &Path) -> Option<PathBuf> {
        let file = if self.version == CgroupVersion::V2 { "memory.events" } else { "memory.oom_control" };
        Some(self.folder("memory", path)?.join(file))
    }

    /// Where refused processes are counted.
    pub(crate) fn pids_counter(&self, path: &Path) -> Option<PathBuf> {
        Some(self.folder("pids", path)?.join("pids.events"))
    }

    /// How it is made to stand still.
    pub(crate) fn freezer(&self, path: &Path) -> Option<Freezer> {
        let (file, freeze, thaw) = match self.version {
            CgroupVersion::V2 => ("cgroup.freeze", "1", "0"),
            _ => ("freezer.state", "FROZEN", "THAWED"),
        };
        let path = self.folder("freezer", path)?.join(file);
        Some(Freezer { path, freeze: freeze.to_owned(), thaw: thaw.to_owned() })
    }

    /// The names of all cgroups below ours, in whatever tree.
    pub(crate) fn instances(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in self.all_folders(&self.parent) {
            let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            names.extend(folders.filter_map(|entry| entry.file_name().into_string().ok()));
        }
        names.sort();
        names.dedup();
        names
    }
}

/// Writes to a file that the kernel made; never makes one.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::File::options().write(true).open(path)?, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 20 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
34 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn controllers_decide_which_version_it_is() {
        let hybrid = Cgroups::of(HYBRID, Path::new("/hypermesh"));
        assert_eq!(hybrid.version, CgroupVersion::V1);
        let path = hybrid.path(&["i", "web-0"]);
        assert_eq!(path, Path::new("/hypermesh/i/web-0"));
        assert_eq!(
            hybrid.folders(&path),
            ["memory", "cpu,cpuacct"]
                .map(|tree| Path::new("/sys/fs/cgroup").join(tree).join("hypermesh/i/web-0"))
        );
        assert_eq!(hybrid.all_folders(&path).len(), 4);
        assert_eq!(hybrid.views(&path).len(), 3);
        let unified =
            Cgroups::of("30 20 0:25 / /sys/fs/cgroup rw shared:1 - cgroup2 cgroup2 rw\n", Path::new("/h"));
        assert_eq!(unified.version, CgroupVersion::V2);
        let memory = unified.oom_counter(&unified.path(&["i"])).unwrap();
        assert_eq!(memory, Path::new("/sys/fs/cgroup/h/i/memory.events"));
        assert_eq!(unified.folders(Path::new("/h/i")), [PathBuf::from("/sys/fs/cgroup/h/i")]);
        assert_eq!(Cgroups::of("", Path::new("/h")).version, CgroupVersion::None);
    }
}
