//! Keys, and the sealing of values with them.
//!
//! A key-encryption key (32 bytes in a file of mode 0600) wraps data keys, which seal values: AES-256-GCM (NIST SP
//! 800-38D), with the column family and the row's key as associated data, so that a value cannot be moved to another
//! row. A sealed value is
//!
//! `data key's id (4, big-endian) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`
//!
//! Nonces: 8 bytes drawn at random by each opening of the store (and again after 2^32 values), then a counter of 4
//! bytes. Within a draw no nonce repeats; two draws under one key meet with a probability of n²/2^65 for n draws:
//! below 2^-32 for the first 92,000 openings of a key. Nothing is persisted that a restored disk image could set back.
//!
//! Old data keys stay until no value is sealed with them (reseal.rs). The key-encryption key is replaced without touching
//! a value (kek.rs).

use crate::error::StoreError;
use crate::files::{Files, read_with_sum, sync_dir, with_sum, write_durably};
use crate::kek::{self, Kek, missing_or_io};
use crate::keyspace::Family;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::Hash;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

const TAG: usize = 16;
const ID: usize = 4;
/// Bytes that sealing adds.
pub(crate) const OVERHEAD: usize = ID + NONCE_LEN + TAG;
const DOMAIN: &str = "hypermesh data keys 1";

pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// A key in the key file.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
struct Wrapped {
    id: u32,
    nonce: [u8; NONCE_LEN],
    bytes: Vec<u8>,
}

/// The key file: `index` keys the hashes of unique values and never changes.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
struct KeyFile {
    index: Wrapped,
    data: Vec<Wrapped>,
}

/// The nonces of one draw.
struct Nonces {
    draw: [u8; 8],
    next: u32,
}

/// The data keys of a store. New values are sealed with the newest.
pub(crate) struct Keyring {
    path: PathBuf,
    kek_path: PathBuf,
    index: Secret,
    wrapping: Mutex<Wrapping>,
    keys: RwLock<Keys>,
    nonces: Mutex<Nonces>,
}

/// The key file as it stands on disk, and the key that it is wrapped with.
struct Wrapping {
    kek: Kek,
    file: KeyFile,
}

/// What an opening may do to the key files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Look,
    /// Finish a replacement of the key-encryption key that was cut short.
    Write,
    /// That, and make keys where there are none.
    Create,
}

type Ciphers = BTreeMap<u32, Arc<LessSafeKey>>;

struct Keys {
    newest: (u32, Arc<LessSafeKey>),
    all: Ciphers,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads the keys.
    pub(crate) fn open(files: &Files, key_file: Option<&Path>, access: Access) -> Result<Self, StoreError> {
        let dir = files.keys();
        let kek_path = key_file.map_or_else(|| dir.join("kek"), Path::to_owned);
        let path = dir.join("data");
        if access == Access::Create && !path.exists() {
            fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
            set_private(&dir)?;
            if !kek_path.exists() {
                Kek::create(&kek_path)?;
            }
            let kek = Kek::read(&kek_path)?.cipher;
            let file = KeyFile { index: wrap(&kek, 0, &secret()?)?, data: vec![wrap(&kek, 1, &secret()?)?] };
            write_durably(&path, &with_sum(DOMAIN, &file)?)?;
            sync_dir(&files.dir)?;
        }
        let bytes = fs::read(&path).map_err(|error| missing_or_io(error, &path))?;
        let file: KeyFile = read_with_sum(DOMAIN, &bytes).ok_or_else(|| StoreError::Damaged {
            file: path.clone(),
            detail: "its checksum is wrong".to_owned(),
        })?;
        let wrapping = Wrapping::find(&path, &kek_path, file, access)?;
        let (index, all) = wrapping.unwrapped(&kek_path)?;
        let (newest, key) = all.last_key_value().ok_or_else(|| StoreError::Damaged {
            file: path.clone(),
            detail: "it holds no data key".to_owned(),
        })?;
        let keys = Keys { newest: (*newest, Arc::clone(key)), all };
        let nonces = Mutex::new(Nonces { draw: draw()?, next: 0 });
        Ok(Self { path, kek_path, index, wrapping: Mutex::new(wrapping), keys: RwLock::new(keys), nonces })
    }

    /// Seals `plain` for the row `key` of `family`.
    pub(crate) fn seal(&self, family: Family, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (id, cipher) = self.keys.read().newest.clone();
        let nonce = self.nonce()?;
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&id.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(ID + NONCE_LEN..).unwrap_or_default();
        let tag = with_aad(family, key, |aad| {
            cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
        })
        .map_err(|_| StoreError::Crypto { doing: "seal a value" })?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made for the same row.
    pub(crate) fn open_value(
        &self,
        family: Family,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut plain = Vec::new();
        self.open_into(family, key, sealed, &mut plain)?;
        Ok(plain)
    }

    /// [`Self::open_value`] into `plain`, in place of what it held.
    pub(crate) fn open_into(
        &self,
        family: Family,
        key: &[u8],
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let bad = |detail| StoreError::bad_record(family.name(), key, detail);
        let (id, rest) = sealed.split_first_chunk::<ID>().ok_or_else(|| bad("it is too short"))?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| bad("it is too short"))?;
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or_else(|| bad("it is too short"))?;
        let id = u32::from_be_bytes(*id);
        let cipher = {
            let keys = self.keys.read();
            if keys.newest.0 == id { Some(Arc::clone(&keys.newest.1)) } else { keys.all.get(&id).cloned() }
        };
        let cipher = cipher.ok_or_else(|| bad("it names a data key that is not there"))?;
        plain.clear();
        plain.resize(body.len(), 0);
        let opened = with_aad(family, key, |aad| {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            cipher.open_separate_gather(nonce, Aad::from(aad), body, tag, plain)
        });
        if opened.is_err() {
            // What did not pass is no plain text.
            plain.clear();
            return Err(bad("its authentication tag does not match"));
        }
        Ok(())
    }

    /// The id of the data key that new values are sealed with.
    pub(crate) fn newest(&self) -> u32 {
        self.keys.read().newest.0
    }

    /// The ids of the data keys in the key file that are older than the newest.
    pub(crate) fn old(&self) -> Vec<u32> {
        let newest = self.newest();
        self.wrapping.lock().file.data.iter().map(|key| key.id).filter(|id| *id != newest).collect()
    }

    /// Adds a data key, durably, and seals with it from now on.
    pub(crate) fn rotate(&self) -> Result<u32, StoreError> {
        let mut wrapping = self.wrapping.lock();
        let id = self.newest() + 1;
        let fresh = secret()?;
        let mut next = wrapping.file.clone();
        next.data.push(wrap(&wrapping.kek.cipher, id, &fresh)?);
        write_durably(&self.path, &with_sum(DOMAIN, &next)?)?;
        wrapping.file = next;
        let cipher = Arc::new(cipher(&*fresh)?);
        let mut keys = self.keys.write();
        keys.all.insert(id, Arc::clone(&cipher));
        keys.newest = (id, cipher);
        Ok(id)
    }

    /// Forgets data keys on disk. In memory they stay until the store closes: views from before may need them.
    pub(crate) fn forget(&self, ids: &[u32]) -> Result<(), StoreError> {
        let mut wrapping = self.wrapping.lock();
        let mut next = wrapping.file.clone();
        next.data.retain(|key| !ids.contains(&key.id));
        write_durably(&self.path, &with_sum(DOMAIN, &next)?)?;
        wrapping.file = next;
        Ok(())
    }

    /// Makes a new key-encryption key and wraps the data keys with it, durably. No value is sealed anew.
    pub(crate) fn rotate_kek(&self) -> Result<(), StoreError> {
        let mut wrapping = self.wrapping.lock();
        let next = kek::next_of(&self.kek_path);
        // Left there by an earlier call whose last step failed, it is the key in use.
        if next.exists() {
            kek::adopt(&self.kek_path)?;
        }
        let fresh = Kek::create(&next)?;
        match wrapping.rewrapped(&self.path, fresh) {
            Ok(rewrapped) => *wrapping = rewrapped,
            Err(error) => {
                // Nothing is wrapped with it; what stays behind, the next opening wraps the data keys with.
                drop(fs::remove_file(&next));
                return Err(error);
            }
        }
        kek::adopt(&self.kek_path)
    }

    /// How old the key-encryption key is at `now`; `None` for one of the operator's own making.
    pub(crate) fn kek_age(&self, now: SystemTime) -> Option<Duration> {
        self.wrapping.lock().kek.age(now)
    }

    /// The keyed hash under which a unique value is indexed.
    pub(crate) fn unique(&self, index: &str, value: &str) -> Hash {
        let length = (index.len() as u64).to_be_bytes();
        let inner = Hash::of(&[
            b"hypermesh unique value 1",
            &*self.index,
            &length,
            index.as_bytes(),
            value.as_bytes(),
        ]);
        Hash::of(&[&*self.index, &inner.0])
    }

    /// A cipher for what is kept beside the store. Its key follows from that of the index, which never changes: no
    /// rotation of data keys has to know of it.
    pub(crate) fn beside(&self, domain: &str) -> Result<LessSafeKey, StoreError> {
        let length = (domain.len() as u64).to_be_bytes();
        let inner = Hash::of(&[b"hypermesh beside the store 1", &*self.index, &length, domain.as_bytes()]);
        let key = Zeroizing::new(Hash::of(&[&*self.index, &inner.0]).0);
        cipher(&*key)
    }

    /// A nonce that was not used in this opening of the store.
    pub(crate) fn nonce(&self) -> Result<[u8; NONCE_LEN], StoreError> {
        let mut nonces = self.nonces.lock();
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&nonces.draw);
        nonce[8..].copy_from_slice(&nonces.next.to_be_bytes());
        match nonces.next.checked_add(1) {
            Some(next) => nonces.next = next,
            None => *nonces = Nonces { draw: draw()?, next: 0 },
        }
        Ok(nonce)
    }
}

impl Wrapping {
    /// Finds the key that `file` is wrapped with, and finishes replacing it if that was cut short.
    fn find(path: &Path, kek_path: &Path, file: KeyFile, access: Access) -> Result<Self, StoreError> {
        let Some(next) = Kek::read_next(kek_path)? else {
            return Ok(Self { kek: Kek::read(kek_path)?, file });
        };
        if unwrap(&next.cipher, &file.index)?.is_some() {
            if access != Access::Look {
                kek::adopt(kek_path)?;
            }
            return Ok(Self { kek: next, file });
        }
        let current = Self { kek: Kek::read(kek_path)?, file };
        if access == Access::Look || unwrap(&current.kek.cipher, &current.file.index)?.is_none() {
            return Ok(current);
        }
        tracing::info!(file = %kek_path.display(), "going on replacing the key-encryption key");
        let rewrapped = current.rewrapped(path, next)?;
        kek::adopt(kek_path)?;
        Ok(rewrapped)
    }

    /// The keys in the file: that of the index, and the data keys by their ids.
    fn unwrapped(&self, kek_path: &Path) -> Result<(Secret, Ciphers), StoreError> {
        let unwrap = |key: &Wrapped| {
            unwrap(&self.kek.cipher, key)?.ok_or_else(|| StoreError::WrongKey { file: kek_path.to_owned() })
        };
        let mut all = BTreeMap::new();
        for key in &self.file.data {
            all.insert(key.id, Arc::new(cipher(&*unwrap(key)?)?));
        }
        Ok((unwrap(&self.file.index)?, all))
    }

    /// The same keys wrapped with `kek`, durably at `path`.
    fn rewrapped(&self, path: &Path, kek: Kek) -> Result<Self, StoreError> {
        let rewrap = |key: &Wrapped| {
            let plain =
                unwrap(&self.kek.cipher, key)?.ok_or(StoreError::Crypto { doing: "unwrap a data key" })?;
            wrap(&kek.cipher, key.id, &plain)
        };
        let data = self.file.data.iter().map(rewrap).collect::<Result<_, _>>()?;
        let file = KeyFile { index: rewrap(&self.file.index)?, data };
        write_durably(path, &with_sum(DOMAIN, &file)?)?;
        Ok(Self { kek, file })
    }
}

/// How many data keys a key file that holds `bytes` has; `None` where it is damaged.
pub(crate) fn parse_key_file(bytes: &[u8]) -> Option<usize> {
    read_with_sum::<KeyFile>(DOMAIN, bytes).map(|file| file.data.len())
}

/// The id of the data key that sealed a value.
pub(crate) fn key_id(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk::<ID>().map(|id| u32::from_be_bytes(*id))
}

/// Calls `with` with what a row's value is bound to: the family's name, a zero byte, the row's key.
fn with_aad<T>(family: Family, key: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    let mut short = [0; 256];
    let parts = [family.name().as_bytes(), &[0], key];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    match short.get_mut(..length) {
        Some(room) => {
            let mut rest = &mut *room;
            for part in parts {
                let (here, after) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = after;
            }
            with(room)
        }
        None => with(&parts.concat()),
    }
}

fn draw() -> Result<[u8; 8], StoreError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError::Crypto { doing: "draw a nonce" })?;
    Ok(bytes)
}

pub(crate) fn secret() -> Result<Secret, StoreError> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| StoreError::Crypto { doing: "draw a key" })?;
    Ok(bytes)
}

pub(crate) fn cipher(key: &[u8]) -> Result<LessSafeKey, StoreError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| StoreError::Crypto { doing: "use a key" })?;
    Ok(LessSafeKey::new(key))
}

fn wrap(kek: &LessSafeKey, id: u32, key: &Secret) -> Result<Wrapped, StoreError> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| StoreError::Crypto { doing: "draw a nonce" })?;
    let mut bytes = key.to_vec();
    kek.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(id.to_be_bytes()),
        &mut bytes,
    )
    .map_err(|_| StoreError::Crypto { doing: "wrap a data key" })?;
    Ok(Wrapped { id, nonce, bytes })
}

/// `None` if the key-encryption key is another one.
fn unwrap(kek: &LessSafeKey, key: &Wrapped) -> Result<Option<Secret>, StoreError> {
    let mut bytes = Zeroizing::new(key.bytes.clone());
    let nonce = Nonce::assume_unique_for_key(key.nonce);
    let Ok(plain) = kek.open_in_place(nonce, Aad::from(key.id.to_be_bytes()), &mut bytes) else {
        return Ok(None);
    };
    let secret =
        <[u8; 32]>::try_from(&*plain).map_err(|_| StoreError::Crypto { doing: "unwrap a data key" })?;
    Ok(Some(Zeroizing::new(secret)))
}

fn set_private(dir: &Path) -> Result<(), StoreError> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(StoreError::io("protect", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(dir: &Path) -> Keyring {
        Keyring::open(&Files::new(dir), None, Access::Create).unwrap()
    }

    #[test]
    fn a_value_opens_only_in_its_own_row_and_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ring(dir.path());
        let sealed = keys.seal(Family::Objects, b"a", b"content").unwrap();
        assert_eq!(sealed.len(), b"content".len() + OVERHEAD);
        assert_eq!(keys.open_value(Family::Objects, b"a", &sealed).unwrap(), b"content");
        assert!(keys.open_value(Family::Objects, b"b", &sealed).is_err());
        assert!(keys.open_value(Family::History, b"a", &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open_value(Family::Objects, b"a", &bad).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open_value(Family::Objects, b"a", &sealed[..length]).is_err());
        }
    }

    #[test]
    fn nonces_do_not_repeat_past_the_end_of_a_draw() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ring(dir.path());
        keys.nonces.lock().next = u32::MAX - 1;
        let drawn: Vec<_> = (0..4).map(|_| keys.nonce().unwrap()).collect();
        assert_eq!(drawn[0][..8], drawn[1][..8]);
        assert_ne!(drawn[1][..8], drawn[2][..8]);
        assert_eq!(drawn.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn keys_survive_reopening_and_rotation_and_another_kek_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ring(dir.path());
        let old = keys.seal(Family::Objects, b"a", b"old").unwrap();
        assert_eq!(keys.rotate().unwrap(), 2);
        let new = keys.seal(Family::Objects, b"a", b"new").unwrap();
        assert_eq!((key_id(&old), key_id(&new)), (Some(1), Some(2)));
        drop(keys);
        let keys = ring(dir.path());
        assert_eq!(keys.open_value(Family::Objects, b"a", &old).unwrap(), b"old");
        assert_eq!(keys.open_value(Family::Objects, b"a", &new).unwrap(), b"new");
        assert_eq!(keys.old(), [1]);
        keys.forget(&[1]).unwrap();
        drop(keys);
        assert!(ring(dir.path()).open_value(Family::Objects, b"a", &old).is_err());

        let other = tempfile::tempdir().unwrap();
        drop(ring(other.path()));
        fs::copy(other.path().join("keys/kek"), dir.path().join("keys/kek")).unwrap();
        let error = Keyring::open(&Files::new(dir.path()), None, Access::Create).unwrap_err();
        assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
    }
}
