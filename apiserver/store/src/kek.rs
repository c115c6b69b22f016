//! The key-encryption key: its file, its age, and how another takes its place.
//!
//! Replacing it changes two files, the key's own and that of the data keys which it wraps, and no file system changes
//! two at once. So:
//!
//! 1. the new key is written beside the old one, to `FILE.next`;
//! 2. the data keys are wrapped with it, as one rename: from here on the new key is the key;
//! 3. `FILE.next` is renamed to `FILE`.
//!
//! Whoever finds `FILE.next` at opening knows which of the steps came last by trying which key unwraps the data keys,
//! and goes on from there: a process that is killed between any two loses nothing. An operator who makes keys of their
//! own replaces one in the same way: the new one goes to `FILE.next`, and the next opening does the rest.
//!
//! What the old key wrapped is gone from the file system then. Whether it is gone from the disk is the disk's business.

use crate::error::StoreError;
use crate::files::{Files, read_with_sum, sync_dir, with_sum, write_durably};
use crate::keyring::{Secret, cipher, secret};
use aws_lc_rs::aead::LessSafeKey;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use zeroize::{Zeroize, Zeroizing};

/// Of a key that knows when it was made.
const DOMAIN: &str = "hypermesh key-encryption key 2";
/// Of a key alone, as earlier versions wrote it.
const DOMAIN_1: &str = "hypermesh key-encryption key 1";

/// A key as it stands in its file.
#[derive(BorshSerialize, BorshDeserialize)]
struct Kept {
    key: [u8; 32],
    /// Seconds since the epoch.
    made: u64,
}

/// A key-encryption key.
pub(crate) struct Kek {
    pub(crate) cipher: LessSafeKey,
    /// `None` for a key of the operator's own making.
    made: Option<SystemTime>,
}

impl Kek {
    /// Reads the key at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, StoreError> {
        let bytes = Zeroizing::new(fs::read(path).map_err(|error| missing_or_io(error, path))?);
        let meta = fs::metadata(path).map_err(StoreError::io("read", path))?;
        if meta.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others can read the key-encryption key: set its mode to 0600");
        }
        // A key of the operator's own making is 32 bytes and nothing else.
        if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Self { cipher: cipher(&*Zeroizing::new(key))?, made: None });
        }
        if let Some(mut kept) = read_with_sum::<Kept>(DOMAIN, &bytes) {
            let made = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(kept.made));
            let cipher = cipher(&kept.key);
            kept.key.zeroize();
            return Ok(Self { cipher: cipher?, made: made.or(Some(SystemTime::UNIX_EPOCH)) });
        }
        let key: [u8; 32] = read_with_sum(DOMAIN_1, &bytes).ok_or_else(|| StoreError::Damaged {
            file: path.to_owned(),
            detail: "its checksum is wrong".to_owned(),
        })?;
        let key = Zeroizing::new(key);
        Ok(Self { cipher: cipher(&*key)?, made: Some(meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)) })
    }

    /// Reads the key that is to follow the one at `path`, if there is one.
    pub(crate) fn read_next(path: &Path) -> Result<Option<Self>, StoreError> {
        let next = next_of(path);
        match fs::exists(&next) {
            Ok(false) => Ok(None),
            Ok(true) => Self::read(&next).map(Some),
            Err(source) => Err(StoreError::io("read", &next)(source)),
        }
    }

    /// Makes a key and writes it, durably, to `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let now = SystemTime::now();
        let key: Secret = secret()?;
        let made = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut kept = Kept { key: *key, made };
        let bytes = with_sum(DOMAIN, &kept).map(Zeroizing::new);
        kept.key.zeroize();
        write_durably(path, &bytes?)?;
        Ok(Self { cipher: cipher(&*key)?, made: Some(now) })
    }

    /// How old the key is at `now`; `None` for one of the operator's own making. One from the future is new.
    pub(crate) fn age(&self, now: SystemTime) -> Option<Duration> {
        self.made.map(|made| now.duration_since(made).unwrap_or_default())
    }
}

/// When the key-encryption key of the store in `dir` was made, where no other file than its own holds it; `None` for one
/// of the operator's own making, which has no age.
///
/// # Errors
/// When the file is not there, or is damaged.
pub fn key_made(dir: &Path) -> Result<Option<SystemTime>, StoreError> {
    Ok(Kek::read(&Files::new(dir).keys().join("kek"))?.made)
}

/// Where the key that follows the one at `path` is put.
pub(crate) fn next_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Lets the key that follows take the place of the one at `path`.
pub(crate) fn adopt(path: &Path) -> Result<(), StoreError> {
    fs::rename(next_of(path), path).map_err(StoreError::io("replace", path))?;
    sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// A key file that is not there is damage, since a store cannot be read without it.
pub(crate) fn missing_or_io(error: std::io::Error, path: &Path) -> StoreError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return StoreError::Damaged { file: path.to_owned(), detail: "it is missing".to_owned() };
    }
    StoreError::io("read", path)(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_knows_its_age_and_one_of_the_operators_own_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        Kek::create(&path).unwrap();
        let later = SystemTime::now() + Duration::from_secs(3600);
        let age = Kek::read(&path).unwrap().age(later).unwrap();
        assert!((3599..=3601).contains(&age.as_secs()), "{age:?}");
        assert_eq!(Kek::read(&path).unwrap().age(SystemTime::UNIX_EPOCH), Some(Duration::ZERO));
        fs::write(&path, [7; 32]).unwrap();
        assert_eq!(Kek::read(&path).unwrap().age(later), None);
        // What an earlier version wrote is as old as its file.
        fs::write(&path, with_sum(DOMAIN_1, &[7_u8; 32]).unwrap()).unwrap();
        assert!(Kek::read(&path).unwrap().age(later).unwrap().as_secs() >= 3599);
    }

    #[test]
    fn a_flipped_bit_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        Kek::create(&path).unwrap();
        let sound = fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            let refused = Kek::read(&path).map(|_| ());
            assert!(matches!(refused, Err(StoreError::Damaged { file, .. }) if file == path), "bit {bit}");
        }
    }
}
