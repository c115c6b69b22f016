//! Tells builds of the shim apart by their sources: an agent executes a shim that lies beside it only if it is its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let mut files = Vec::new();
    gather(Path::new("src"), &mut files)?;
    files.sort();
    // FNV-1a: the same on every machine.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let name = file.as_os_str().as_encoded_bytes();
        for byte in name.iter().chain(&[0]).chain(&fs::read(&file)?).chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    println!("cargo::rustc-env=HYPERMESH_SHIM_SOURCES={hash:016x}");
    Ok(())
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
