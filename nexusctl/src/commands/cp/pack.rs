//! Files of this machine as an archive for a container.

use std::{
    io::{self, Write},
    path::Path,
};

/// Writes what is at `from`, called `name`, to `out`. Links go as links; where they lead to is the container's affair.
pub fn write(from: &Path, name: &str, out: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    archive.mode(tar::HeaderMode::Complete);
    if from.is_dir() {
        archive.append_dir_all(name, from)?;
    } else {
        archive.append_path_with_name(from, name)?;
    }
    archive.into_inner()?.flush()
}
