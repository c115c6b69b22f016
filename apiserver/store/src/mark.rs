//! The mark of the newest acknowledged commit, kept outside the database.
//!
//! A log that lost its tail looks, to the database, like a log whose tail was never written. The mark tells the two
//! apart: it is written after a commit has been synced, so what it names must be there when the store opens. It is not
//! synced itself: losing it in a power failure makes it older, which is safe; it is never ahead of the database.
//!
//! Two slots take turns, so that one torn write leaves the mark before it.

use crate::error::StoreError;
use crate::files::{read_with_sum, with_sum, write_durably};
use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::{Hash, Height, Revision, Timestamp};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The newest commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// Its height.
    pub height: Height,
    /// The store's revision after it.
    pub revision: Revision,
    /// The block's id.
    pub block_id: Hash,
    /// The block's time.
    pub time: Timestamp,
}

const DOMAIN: &str = "hypermesh head mark 1";
/// Slots stand in sectors of their own.
const SLOT: u64 = 4096;
/// Borsh of `Option<Head>` and its sum, at most.
const LENGTH: usize = 1 + 56 + 8;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// There is no such file.
    Missing,
    /// Neither slot can be read.
    Damaged,
    /// The newest commit acknowledged, if any; `torn` when one slot cannot be read.
    Known { head: Option<Head>, torn: bool },
}

/// The mark file, open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// Writes a mark that names `head` in both slots, durably.
    pub(crate) fn create(path: &Path, head: Option<Head>) -> Result<(), StoreError> {
        let mut bytes = vec![0; SLOT as usize + LENGTH];
        let slot = slot(head)?;
        for start in [0, SLOT as usize] {
            bytes[start..start + LENGTH].copy_from_slice(&slot);
        }
        write_durably(path, &bytes)
    }

    /// Reads what `path` marks.
    pub(crate) fn read(path: &Path) -> Result<Marked, StoreError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Marked::Missing),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    /// What a mark file that holds `bytes` says.
    pub(crate) fn parse(bytes: &[u8]) -> Marked {
        let read = |start: usize| -> Option<Option<Head>> {
            // Nothing stands behind a slot: what does is damage.
            let end = if start == 0 { SLOT as usize } else { SLOT as usize + LENGTH };
            let slot = bytes.get(start..end).filter(|_| bytes.len() == SLOT as usize + LENGTH)?;
            let length = if slot.first() == Some(&0) { 1 + 8 } else { LENGTH };
            let (slot, rest) = slot.split_at_checked(length)?;
            read_with_sum(DOMAIN, slot).filter(|_| rest.iter().all(|byte| *byte == 0))
        };
        match (read(0), read(SLOT as usize)) {
            (None, None) => Marked::Damaged,
            (Some(head), None) | (None, Some(head)) => Marked::Known { head, torn: true },
            (Some(a), Some(b)) => {
                let newest = if a.map(|h| h.height) >= b.map(|h| h.height) { a } else { b };
                Marked::Known { head: newest, torn: false }
            }
        }
    }

    /// Opens an existing mark for writing.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().write(true).open(path).map_err(StoreError::io("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Marks `head` as acknowledged. Call it after the commit has been synced.
    pub(crate) fn set(&self, head: Head) -> Result<(), StoreError> {
        self.file
            .write_all_at(&slot(Some(head))?, (head.height.0 % 2) * SLOT)
            .map_err(StoreError::io("write", &self.path))
    }
}

fn slot(head: Option<Head>) -> Result<[u8; LENGTH], StoreError> {
    let bytes = with_sum(DOMAIN, &head)?;
    let mut slot = [0; LENGTH];
    slot[..bytes.len()].copy_from_slice(&bytes);
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(height: u64) -> Head {
        Head {
            height: Height(height),
            revision: Revision(height * 3),
            block_id: Hash([height as u8; 32]),
            time: Timestamp(height),
        }
    }

    #[test]
    fn the_newest_slot_counts_and_a_torn_one_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HEAD");
        assert_eq!(Mark::read(&path).unwrap(), Marked::Missing);
        Mark::create(&path, None).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Marked::Known { head: None, torn: false });
        let mark = Mark::open(&path).unwrap();
        for height in 1..5 {
            mark.set(head(height)).unwrap();
            assert_eq!(Mark::read(&path).unwrap(), Marked::Known { head: Some(head(height)), torn: false });
        }
        let sound = std::fs::read(&path).unwrap();
        for behind in [LENGTH, 1000, SLOT as usize - 1] {
            let mut bytes = sound.clone();
            bytes[behind] ^= 8;
            assert_eq!(
                Mark::parse(&bytes),
                Marked::Known { head: Some(head(3)), torn: true },
                "what stands behind a slot"
            );
        }
        assert_eq!(Mark::parse(&[sound.as_slice(), &[0]].concat()), Marked::Damaged);
        assert_eq!(Mark::parse(&sound[..sound.len() - 1]), Marked::Damaged);
        for bit in (0..LENGTH * 8).step_by(5) {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                Mark::read(&path).unwrap(),
                Marked::Known { head: Some(head(3)), torn: true },
                "bit {bit}"
            );
            bytes[SLOT as usize + 9] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Mark::read(&path).unwrap(), Marked::Damaged, "bit {bit}");
        }
    }
}
