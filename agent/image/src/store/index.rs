//! Names and leases: one file, replaced whole.
//!
//! Its first line has the form's version and the checksum of the rest, which is JSON. The one before is kept: a damaged
//! index costs the last change, and never the store.
//!
//! What only tells who uses an image, leases and times, is not synced ([`Index::note`]): after a crash of the machine
//! nothing runs that would use one, and every start of a container would wait for the disk. It is a crash of the machine
//! alone that may lose it; names are as they were, for what they said last stays synced beside it.

use super::files::{sync_parent, write_atomically};
use super::{Finding, StoreError, io_error};
use crate::digest::Digest;
use crate::limits::STORE_INDEX_BYTES;
use crate::manifest::Descriptor;
use crate::platform::Platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// What this program writes.
const VERSION: u32 = 1;
/// What the first line begins with.
const MAGIC: &str = "hypermesh-image-index";

/// All that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// By reference, in full.
    pub images: BTreeMap<String, ImageRecord>,
    /// By who holds it, usually a container's id.
    pub leases: BTreeMap<String, LeaseRecord>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    /// What the registry or archive had under this name: a manifest, or an index.
    pub target: Descriptor,
    /// The manifest for this node's platform.
    pub manifest: Digest,
    /// Which platform that is.
    pub platform: Platform,
    /// When it came, in seconds since 1970.
    pub since: u64,
    /// When it was last leased, or came.
    pub last_used: u64,
    /// Never collected, however full the disk is.
    #[serde(default)]
    pub pinned: bool,
}

/// Who needs an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The manifest.
    pub manifest: Digest,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

enum Trouble {
    Missing,
    Damaged(String),
    Fatal(StoreError),
}

impl Index {
    /// Reads the index, or the one before, or begins anew; tells what it had to do.
    pub(super) fn load(root: &Path, findings: &mut Vec<Finding>) -> Result<Self, StoreError> {
        let (path, before) = (root.join("index"), root.join("index.before"));
        let why = match read(&path) {
            Ok(index) => {
                sync(&path)?;
                return Ok(index);
            }
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Missing) => None,
            Err(Trouble::Damaged(why)) => Some(why),
        };
        let older = match read(&before) {
            Ok(index) => Some(index),
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Missing) => {
                let Some(why) = why.clone() else { return Ok(Self::default()) };
                findings.push(Finding::IndexLost(why));
                None
            }
            Err(Trouble::Damaged(older)) => {
                findings.push(Finding::IndexLost(why.clone().unwrap_or(older)));
                None
            }
        };
        for (file, aside) in [(&path, "index.damaged"), (&before, "index.before.damaged")] {
            if older.is_none() || file == &path {
                match fs::rename(file, root.join(aside)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error("setting aside", file)(error));
                    }
                    _ => {}
                }
            }
        }
        let index = match older {
            Some(index) => {
                findings.push(Finding::IndexBefore(why.unwrap_or_else(|| "it was missing".to_owned())));
                index
            }
            None => Self::default(),
        };
        index.save(root, true)?;
        Ok(index)
    }

    /// Whether another index says the same but for who uses what, and when.
    pub(super) fn names_the_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&ImageRecord, &ImageRecord)| {
            ImageRecord { last_used: other.last_used, ..one.clone() } == *other
        };
        self.images.keys().eq(other.images.keys())
            && self.images.values().zip(other.images.values()).all(same)
    }

    fn text(&self, path: &Path) -> Result<Vec<u8>, StoreError> {
        let body =
            serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(io_error("writing", path))?;
        let mut bytes = format!("{MAGIC} {VERSION} {}\n", Digest::of(&body)).into_bytes();
        bytes.extend(body);
        Ok(bytes)
    }

    /// Replaces the index; the one that was stays as `index.before`, if that is to be.
    pub(super) fn save(&self, root: &Path, keeps: bool) -> Result<(), StoreError> {
        let path = root.join("index");
        let bytes = self.text(&path)?;
        if keeps {
            Self::keep(root)?;
        }
        write_atomically(&path, &root.join("tmp/index"), &bytes)
    }

    /// Replaces the index without waiting for the disk. With `keeps`, the one that was is synced, and stays as
    /// `index.before`: it is what a crash of the machine leaves at the least.
    pub(super) fn note(&self, root: &Path, keeps: bool) -> Result<(), StoreError> {
        let path = root.join("index");
        let bytes = self.text(&path)?;
        if keeps {
            Self::keep(root)?;
        }
        let new = root.join("tmp/index");
        fs::write(&new, bytes).map_err(io_error("writing", &new))?;
        fs::rename(&new, &path).map_err(io_error("replacing", &path))
    }

    /// Has the index that is there stay as `index.before`.
    fn keep(root: &Path) -> Result<(), StoreError> {
        let path = root.join("index");
        // A second name first, so that at every moment one of both is whole.
        let before = root.join("index.before");
        let link = root.join("tmp/index.before");
        for (from, result) in [(&link, fs::remove_file(&link)), (&path, fs::hard_link(&path, &link))] {
            match result {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("keeping", from)(error));
                }
                _ => {}
            }
        }
        match fs::rename(&link, &before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("keeping", &before)(error)),
            _ => Ok(()),
        }
    }
}

/// Has the disk hold what was noted by a process before this one.
fn sync(path: &Path) -> Result<(), StoreError> {
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(io_error("syncing", path))?;
    sync_parent(path)
}

fn read(path: &Path) -> Result<Index, Trouble> {
    let fatal = |error| Trouble::Fatal(io_error("reading", path)(error));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::Missing),
        Err(error) => return Err(fatal(error)),
    };
    let mut bytes = Vec::new();
    file.take(STORE_INDEX_BYTES).read_to_end(&mut bytes).map_err(fatal)?;
    let damaged = |what: &str| Trouble::Damaged(format!("{}: {what}", path.display()));
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it has no first line"))?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| damaged("its first line is no text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [MAGIC, version, sum] = words[..] else { return Err(damaged("its first line is not of the form")) };
    let version: u32 = version.parse().map_err(|_| damaged("its version is no number"))?;
    if version != VERSION {
        return Err(Trouble::Fatal(StoreError::Version { found: version, known: VERSION }));
    }
    if Digest::of(body).to_string() != sum {
        return Err(damaged("its checksum is wrong"));
    }
    serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))
}
