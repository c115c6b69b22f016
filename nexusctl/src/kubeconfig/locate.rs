//! Which files are read.

use crate::{environment::Environment, kubeconfig::Error};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The files that exist, and those that were looked for in vain.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Files to merge, the first of them winning.
    pub files: Vec<PathBuf>,
    /// Files that do not exist.
    pub looked_at: Vec<PathBuf>,
}

/// In this order: the flag's file; the files of `KUBECONFIG`, those that exist; the file that `nexusctl up` writes;
/// `~/.kube/config`.
pub fn locate(environment: &Environment, flag: Option<&Path>) -> Result<Located, Error> {
    if let Some(path) = flag {
        return match path.try_exists() {
            Ok(true) => Ok(Located { files: vec![path.to_owned()], looked_at: Vec::new() }),
            Ok(false) => Err(unreadable(path, io::Error::from(rustix::io::Errno::NOENT))),
            Err(source) => Err(unreadable(path, source)),
        };
    }
    let mut located = Located::default();
    if let Some(list) = &environment.kubeconfig {
        let paths = std::env::split_paths(list).filter(|p| !p.as_os_str().is_empty());
        for path in paths {
            look(path, &mut located)?;
        }
        return Ok(located);
    }
    let by_up = environment.data_dir().map(|dir| dir.join("admin.kubeconfig"));
    let by_kubectl = environment.home.as_ref().map(|home| home.join(".kube/config"));
    for path in [by_up, by_kubectl].into_iter().flatten() {
        if look(path, &mut located)? {
            break;
        }
    }
    Ok(located)
}

/// The files that a change may go to, whether they exist or not: the flag's; those of `KUBECONFIG`; else the one that is
/// used now. A file that a server writes anew is none.
pub fn changeable(environment: &Environment, flag: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    let by_up = environment.data_dir().map(|dir| dir.join("admin.kubeconfig"));
    let paths = match (flag, &environment.kubeconfig) {
        (Some(path), _) => vec![path.to_owned()],
        (None, Some(list)) => {
            std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect()
        }
        (None, None) => {
            let found = locate(environment, None)?.files;
            let usual = environment.home.as_ref().map(|home| home.join(".kube/config"));
            if found.is_empty() { usual.into_iter().collect() } else { found }
        }
    };
    // Beside what a cluster of `nexusctl up` begins with lies the file that it writes.
    let written = |path: &PathBuf| {
        by_up.as_ref() == Some(path)
            || (path.ends_with("admin.kubeconfig") && path.with_file_name("genesis").exists())
    };
    match paths.iter().find(|path| written(path)).cloned() {
        Some(path) => Err(Error::NotOurs { path }),
        None if paths.is_empty() => Err(Error::NoConfiguration { looked_at: Vec::new() }),
        None => Ok(paths),
    }
}

fn look(path: PathBuf, located: &mut Located) -> Result<bool, Error> {
    match path.try_exists() {
        Ok(true) => located.files.push(path),
        Ok(false) => located.looked_at.push(path),
        // A folder above it may be closed to us: then the file is not ours to use.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => located.looked_at.push(path),
        Err(source) => return Err(unreadable(&path, source)),
    }
    Ok(!located.files.is_empty())
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Unreadable { path: path.to_owned(), source }
}
