//! What an agent keeps of each instance on its disk, so that the one after it goes on.

use crate::settings::Layout;
use hypermesh_planner::{InstanceUid, Record};
use kube::core::DynamicObject;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const OBJECT: &str = "object.json";
const RECORD: &str = "record.json";

/// What was kept of an instance.
#[derive(Debug)]
pub struct Kept {
    /// Its object as the API server had it last.
    pub object: DynamicObject,
    /// What was observed.
    pub record: Record,
}

/// Keeps an instance's object.
///
/// # Errors
/// When the disk would not.
pub fn keep_object(layout: &Layout, uid: &InstanceUid, object: &DynamicObject) -> io::Result<()> {
    let folder = layout.instance(uid);
    crate::private::folder(&folder)?;
    write(&folder.join(OBJECT), &serde_json::to_vec(object)?)
}

/// Keeps what was observed of an instance.
///
/// # Errors
/// When the disk would not.
pub fn keep_record(layout: &Layout, uid: &InstanceUid, record: &Record) -> io::Result<()> {
    write(&layout.instance(uid).join(RECORD), &serde_json::to_vec(record)?)
}

/// What was observed of an instance, as it was kept last.
///
/// # Errors
/// When nothing was, or it cannot be read.
pub fn record(layout: &Layout, uid: &InstanceUid) -> io::Result<Record> {
    Ok(serde_json::from_slice(&std::fs::read(layout.instance(uid).join(RECORD))?)?)
}

/// Forgets an instance.
///
/// # Errors
/// When the disk would not.
pub fn forget(layout: &Layout, uid: &InstanceUid) -> io::Result<()> {
    match std::fs::remove_dir_all(layout.instance(uid)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All that was kept. A folder that cannot be read as an instance is told and left out: what it was of is found as
/// left over.
///
/// # Errors
/// When the folder of all cannot be read.
pub fn all(layout: &Layout) -> io::Result<Vec<(InstanceUid, Kept)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(layout.instances())? {
        let entry = entry?;
        let Some(uid) = entry.file_name().to_str().and_then(|name| InstanceUid::parse(name).ok()) else {
            continue;
        };
        match read(&entry.path()) {
            Ok(kept) => found.push((uid, kept)),
            Err(error) => {
                tracing::warn!(instance = %uid, %error, "what was kept of an instance cannot be read, and is left out");
            }
        }
    }
    Ok(found)
}

fn read(folder: &Path) -> io::Result<Kept> {
    let object = serde_json::from_slice(&std::fs::read(folder.join(OBJECT))?)?;
    let record = match std::fs::read(folder.join(RECORD)) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
        Err(error) => return Err(error),
    };
    Ok(Kept { object, record })
}

/// Whoever reads sees all of the old or all of the new.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    std::fs::rename(&new, path)
}
