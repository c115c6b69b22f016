//! Which file a command means, and executing it, within a container's root.

use nix::unistd::{AccessFlags, access};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What every message about a program that cannot be executed begins with, so that it is known wherever it has passed
/// through.
pub(crate) const CANNOT: &str = "cannot execute ";

/// A file, whatever its path.
pub(crate) type FileId = (u64, u64);

/// Which file this process executes.
pub(crate) fn own() -> Option<FileId> {
    std::fs::metadata("/proc/self/exe").ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Looks for a program as `execvp` does, with the rights of this process.
///
/// The shim itself is not executed: in a container it would be a way to the node's file.
pub(crate) fn find(program: &str, path: &str, never: Option<FileId>) -> Result<PathBuf, String> {
    if program.is_empty() {
        return Err(format!("{CANNOT}a program without a name"));
    }
    if program.contains('/') {
        return usable(Path::new(program), never).map_err(|why| format!("{CANNOT}{program:?}: {why}"));
    }
    let mut found = None;
    for folder in path.split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        match usable(&Path::new(folder).join(program), never) {
            Ok(path) => return Ok(path),
            Err(why) if why == NOT_THERE => {}
            Err(why) => found = Some(why),
        }
    }
    Err(match found {
        Some(why) => format!("{CANNOT}{program:?}: {why}"),
        None => format!("{CANNOT}{program:?}: it is in no folder of PATH ({path})"),
    })
}

const NOT_THERE: &str = "no such file";

fn usable(path: &Path, never: Option<FileId>) -> Result<PathBuf, String> {
    use nix::errno::Errno;
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Err(match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT | Errno::ENOTDIR) => NOT_THERE.to_owned(),
                _ => error.to_string(),
            });
        }
    };
    if metadata.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if never == Some((metadata.dev(), metadata.ino())) {
        return Err("it is the node's agent".to_owned());
    }
    access(path, AccessFlags::X_OK).map_err(|errno| match errno {
        Errno::EACCES => "its permissions do not let this user execute it".to_owned(),
        errno => errno.to_string(),
    })?;
    Ok(path.to_owned())
}

/// Becomes a program, with this process' environment.
pub(crate) fn become_program(path: &Path, args: &[String]) -> Result<Infallible, String> {
    let nul = |_| format!("{CANNOT}{:?}: an argument has a NUL character", path.display());
    let file = CString::new(path.as_os_str().as_bytes()).map_err(nul)?;
    let args =
        args.iter().map(|arg| CString::new(arg.as_bytes())).collect::<Result<Vec<_>, _>>().map_err(nul)?;
    nix::unistd::execv(&file, &args).map_err(|errno| match errno {
        nix::errno::Errno::ENOEXEC => {
            format!(
                "{CANNOT}{path:?}: it is no program of this machine, nor a script that names its interpreter"
            )
        }
        nix::errno::Errno::ENOENT => format!("{CANNOT}{path:?}: its interpreter is not there"),
        errno => format!("{CANNOT}{path:?}: {}", errno.desc()),
    })
}

/// `PATH` of an environment, the last if it is there twice.
pub(crate) fn path_of(env: &[String]) -> &str {
    env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH)
}

/// Where programs are looked for if nothing else is said.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_program_is_looked_for_as_execvp_does() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        for folder in [&first, &second] {
            fs::create_dir(folder).unwrap();
        }
        let path = format!("{}:{}:/nowhere", first.display(), second.display());
        let program = second.join("run");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(find("run", &path, None).unwrap(), program);
        assert_eq!(find(program.to_str().unwrap(), "", None).unwrap(), program);
        fs::create_dir(first.join("run")).unwrap();
        assert_eq!(find("run", &path, None).unwrap(), program);
        assert!(find("walk", &path, None).unwrap_err().contains("in no folder of PATH"));
        assert!(find("/nowhere/run", &path, None).unwrap_err().contains("no such file"));
        assert!(find(first.to_str().unwrap(), "", None).unwrap_err().contains("folder"));
        assert!(find("", &path, None).is_err());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            find("run", &path, None).unwrap_err().contains("permissions"),
            "the last that was found tells why"
        );
    }

    #[test]
    fn the_shim_itself_is_not_executed() {
        assert!(find("/proc/self/exe", "", own()).unwrap_err().contains("agent"));
        assert!(find("/proc/self/exe", "", None).is_ok());
    }
}
