//! Cgroups of agents that are no more: found by name, and removed where nobody is in them.

use super::node::tree;
use crate::cgroup::Cgroups;
use std::fs;
use std::io;
use std::path::Path;

/// The names of the cgroups at the top of this node's trees that begin so.
///
/// # Errors
/// If the kernel does not say what is mounted.
pub fn cgroups(prefix: &str) -> io::Result<Vec<String>> {
    let mut names = Cgroups::find(Path::new("/"))?.instances();
    names.retain(|name| name.starts_with(prefix));
    Ok(names)
}

/// Removes a cgroup from every tree, and those below it if `deep`. False: somebody is in it, or it cannot go for another
/// reason; nobody is ever killed.
///
/// # Errors
/// If the kernel does not say what is mounted.
pub fn clear_cgroup(parent: &Path, deep: bool) -> io::Result<bool> {
    let cgroups = Cgroups::find(parent)?;
    let folders: Vec<_> = cgroups.all_folders(&cgroups.path(&[])).iter().map(|folder| tree(folder)).collect();
    let holds = |folder: &Path| {
        fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|text| !text.trim().is_empty())
    };
    if folders.iter().flatten().any(|folder| holds(folder))
        || (!deep && folders.iter().any(|all| all.len() > 1))
    {
        return Ok(false);
    }
    // The kernel refuses to remove one that somebody has entered since.
    let left =
        folders.iter().flat_map(|all| all.iter().rev()).filter(|folder| fs::remove_dir(folder).is_err());
    Ok(left.count() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_driven_out() {
        let name = format!("hypermesh-leftover-{}", std::process::id());
        let parent = Path::new("/").join(&name);
        let Ok(found) = Cgroups::find(&parent) else { return };
        if found.make(&found.path(&["i", "c"])).is_err() || found.all_folders(&parent).is_empty() {
            println!("SKIPPED: cgroups cannot be made");
            return;
        }
        assert_eq!(cgroups(&name).unwrap(), [name]);
        assert!(!clear_cgroup(&parent, false).unwrap(), "there are others below it");
        let mut sleeper = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let folder = found.all_folders(&found.path(&["i", "c"])).remove(0);
        fs::write(folder.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
        assert!(!clear_cgroup(&parent, true).unwrap(), "somebody is there");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        // Until it has left the CPU.
        let gone = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            clear_cgroup(&parent, true).unwrap()
        });
        assert!(gone && found.all_folders(&parent).iter().all(|folder| !folder.exists()));
    }
}
