//! Unpacked layers: one folder each, shared by every image and container that has the layer.

use super::files::{path_of, sync_parent, write_atomically};
use super::{Finding, Store, StoreError, errno_error, io_error, open_dir};
use crate::digest::Digest;
use crate::unpack::{UnpackError, UnpackOptions, Whiteouts, unpack};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// A layer that is there, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRecord {
    /// Its folder's name.
    pub number: u64,
    /// Bytes of its files, holes included.
    pub bytes: u64,
    /// Entries of its archive.
    pub entries: u64,
    /// What was left out of it: at most 32 lines.
    pub left_out: Vec<String>,
}

/// What `layer.json` says.
#[derive(Serialize, Deserialize)]
struct Note {
    diff_id: Digest,
    whiteouts: Whiteouts,
    bytes: u64,
    entries: u64,
    #[serde(default)]
    left_out: Vec<String>,
}

/// Finds the layers that are there, drops those that cannot be used, and tells which number is free.
pub(super) fn load(
    root: &Path,
    whiteouts: Whiteouts,
    findings: &mut Vec<Finding>,
) -> Result<(BTreeMap<Digest, LayerRecord>, u64), StoreError> {
    let folder = root.join("layers");
    let dir = open_dir(&folder)?;
    let (mut layers, mut next) = (BTreeMap::new(), 1);
    let mut names =
        super::files::names(dir.as_fd()).map_err(|errno| errno_error("reading", &folder, errno))?;
    names.sort();
    for name in names {
        let path = folder.join(path_of(&name));
        let number: Option<u64> = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
        let Some(number) = number else {
            findings.push(Finding::Foreign(path));
            continue;
        };
        next = next.max(number.saturating_add(1));
        let why = match note(&path) {
            Ok(note) if note.whiteouts != whiteouts => {
                format!("its deletions are kept as {}, and now they have to be {whiteouts}", note.whiteouts)
            }
            Ok(note) if layers.contains_key(&note.diff_id) => format!("{} is there twice", note.diff_id),
            Ok(Note { diff_id, bytes, entries, left_out, .. }) => {
                layers.insert(diff_id, LayerRecord { number, bytes, entries, left_out });
                continue;
            }
            Err(why) => why,
        };
        crate::remove::remove_in(&dir, &name).map_err(|errno| errno_error("removing", &path, errno))?;
        findings.push(Finding::LayerDropped(number, why));
    }
    Ok((layers, next))
}

fn note(path: &Path) -> Result<Note, String> {
    let file = path.join("layer.json");
    let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let note = serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    if !fs::symlink_metadata(path.join("fs")).is_ok_and(|meta| meta.is_dir()) {
        return Err("its folder is gone".to_owned());
    }
    Ok(note)
}

impl Store {
    /// An unpacked layer, if it is there.
    #[must_use]
    pub fn layer(&self, diff_id: &Digest) -> Option<LayerRecord> {
        self.state().layers.get(diff_id).cloned()
    }

    /// Where an unpacked layer lies.
    #[must_use]
    pub fn layer_path(&self, layer: &LayerRecord) -> PathBuf {
        self.root.join("layers").join(layer.number.to_string()).join("fs")
    }

    /// Unpacks a layer, unless it is there. A blob that turns out damaged is dropped.
    ///
    /// # Errors
    /// If the blob is missing or damaged, something in it is refused, it is not what the configuration says, or the disk
    /// would not.
    pub fn unpack_layer(&self, blob: &Digest, diff_id: &Digest) -> Result<LayerRecord, StoreError> {
        let _claim = self.claim(diff_id);
        if let Some(layer) = self.layer(diff_id) {
            return Ok(layer);
        }
        let path = self.temporary("layer");
        let made = self.make_layer(&path, blob, diff_id);
        if made.is_err() {
            // What was half made goes; the first error is the one that tells.
            drop(self.remove_temporary(&path));
        }
        if let Err(StoreError::Unpack { source: UnpackError::Damaged { .. }, .. }) = &made {
            self.drop_blob(blob)?;
            return Err(StoreError::Corrupt(blob.clone()));
        }
        let note = made?;
        let number = {
            let mut state = self.state();
            let number = state.next_layer;
            state.next_layer += 1;
            number
        };
        let place = self.root.join("layers").join(number.to_string());
        fs::rename(&path, &place).map_err(io_error("placing", &place))?;
        sync_parent(&place)?;
        let Note { bytes, entries, left_out, .. } = note;
        let layer = LayerRecord { number, bytes, entries, left_out };
        self.state().layers.insert(diff_id.clone(), layer.clone());
        Ok(layer)
    }

    fn make_layer(&self, path: &Path, blob: &Digest, diff_id: &Digest) -> Result<Note, StoreError> {
        let tree = path.join("fs");
        fs::create_dir_all(&tree).map_err(io_error("making", &tree))?;
        // What the layer says of its root is set last; until then and without, it is as roots are.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&tree, mode).map_err(io_error("making", &tree))?;
        let into = open_dir(&tree)?;
        let options = UnpackOptions { devices: self.devices, whiteouts: self.whiteouts };
        let stored = self.open_blob(blob)?;
        let report = unpack(stored, blob, diff_id, into, options, &self.limits)
            .map_err(|source| StoreError::Unpack { layer: blob.clone(), source })?;
        let note = Note {
            diff_id: diff_id.clone(),
            whiteouts: self.whiteouts,
            bytes: report.bytes,
            entries: report.entries,
            left_out: report.left_out,
        };
        let json =
            serde_json::to_vec_pretty(&note).map_err(|error| io_error("writing", path)(error.into()))?;
        write_atomically(&path.join("layer.json"), &path.join("layer.json.new"), &json)?;
        // Thousands of files: all of them at once, before the folder gets its name.
        let dir = open_dir(path)?;
        rustix::fs::syncfs(&dir).map_err(|errno| errno_error("syncing", path, errno))?;
        Ok(note)
    }

    /// All unpacked layers.
    #[must_use]
    pub fn layers(&self) -> Vec<(Digest, LayerRecord)> {
        self.state().layers.iter().map(|(diff_id, layer)| (diff_id.clone(), layer.clone())).collect()
    }

    /// Removes a layer, unless something changed since `generation`. False if so.
    pub(crate) fn drop_layer(&self, diff_id: &Digest, generation: u64) -> Result<bool, StoreError> {
        let removed = {
            let mut state = self.state();
            if state.generation != generation || state.busy.contains(diff_id) {
                return Ok(false);
            }
            state.layers.remove(diff_id)
        };
        if let Some(layer) = removed {
            self.discard(&self.root.join("layers").join(layer.number.to_string()))?;
        }
        Ok(true)
    }
}
