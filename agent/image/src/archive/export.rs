//! Images out of the store, as an OCI layout.

use super::ArchiveError;
use super::layout::{FULL_NAME, REF_NAME};
use crate::digest::{Digest, Hasher};
use crate::manifest::{Descriptor, OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Where an image is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTo {
    /// A folder, which must not be there yet.
    Folder(PathBuf),
    /// A tar, which replaces what is there.
    Tar(PathBuf),
}

/// What a layout is written into.
enum Sink {
    Folder(PathBuf),
    Tar(Box<tar::Builder<File>>),
}

impl Store {
    /// Writes images as an OCI layout, each for the platform that it is here for. The same images give the same bytes.
    ///
    /// # Errors
    /// If an image is not here or damaged, or the disk would not. What was half written is removed.
    pub fn export(&self, names: &[Reference], to: &ExportTo) -> Result<(), ArchiveError> {
        let (ExportTo::Folder(path) | ExportTo::Tar(path)) = to;
        let io = |doing| move |source| ArchiveError::Io { doing, path: path.clone(), source };
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut sink = match to {
            ExportTo::Folder(_) => {
                if path.symlink_metadata().is_ok() {
                    return Err(io("making")(io::ErrorKind::AlreadyExists.into()));
                }
                fs::create_dir(&partial).map_err(io("making"))?;
                Sink::Folder(partial.clone())
            }
            ExportTo::Tar(_) => {
                Sink::Tar(Box::new(tar::Builder::new(File::create(&partial).map_err(io("making"))?)))
            }
        };
        let written = self.write_layout(names, &mut sink, path).and_then(|()| {
            if let Sink::Tar(builder) = sink {
                let file = builder.into_inner().map_err(io("writing"))?;
                file.sync_all().map_err(io("syncing"))?;
            }
            fs::rename(&partial, path).map_err(io("placing"))
        });
        if written.is_err() {
            // The first error is the one that tells.
            drop(if partial.is_dir() { fs::remove_dir_all(&partial) } else { fs::remove_file(&partial) });
        }
        written
    }

    fn write_layout(&self, names: &[Reference], sink: &mut Sink, path: &Path) -> Result<(), ArchiveError> {
        let mut hold = self.hold();
        let mut entries = Vec::new();
        let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
        for name in names {
            let record = self.named(name).ok_or_else(|| StoreError::NoImage(name.familiar()))?;
            hold.add(&record.manifest);
            let image = self.image(&record.manifest)?;
            let size = self.blob_size(&record.manifest).unwrap_or(0);
            blobs.insert(record.manifest.clone(), size);
            blobs.extend(
                image
                    .manifest
                    .layers
                    .iter()
                    .chain([&image.manifest.config])
                    .map(|blob| (blob.digest.clone(), blob.size)),
            );
            let mut entry = Descriptor::new(OCI_MANIFEST, record.manifest, size);
            entry.platform = Some(image.platform);
            entry.annotations.insert(FULL_NAME.to_owned(), name.to_string());
            entry.annotations.insert(REF_NAME.to_owned(), name.tag().unwrap_or("latest").to_owned());
            entries.push(entry);
        }
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        sink.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, path)?;
        sink.write("index.json", index.to_string().as_bytes(), path)?;
        for (digest, size) in blobs {
            let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
            let mut reader =
                Verified { file: self.open_blob(&digest)?, hasher: Hasher::new(digest.algorithm()), read: 0 };
            sink.copy(&name, &mut reader, size, path)?;
            if reader.read != size || reader.hasher.finish() != digest {
                self.verify(&digest)?;
                return Err(StoreError::Corrupt(digest).into());
            }
        }
        Ok(())
    }
}

struct Verified {
    file: File,
    hasher: Hasher,
    read: u64,
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

impl Sink {
    fn write(&mut self, name: &str, bytes: &[u8], path: &Path) -> Result<(), ArchiveError> {
        self.copy(name, &mut &bytes[..], bytes.len() as u64, path)
    }

    fn copy(&mut self, name: &str, from: &mut impl Read, size: u64, path: &Path) -> Result<(), ArchiveError> {
        let io = |source| ArchiveError::Io { doing: "writing", path: path.to_owned(), source };
        match self {
            Self::Folder(root) => {
                let file = root.join(name);
                if let Some(parent) = file.parent() {
                    fs::create_dir_all(parent).map_err(io)?;
                }
                let mut file = File::create_new(file).map_err(io)?;
                io::copy(from, &mut file).map_err(io)?;
                file.flush().and_then(|()| file.sync_all()).map_err(io)
            }
            Self::Tar(builder) => {
                let mut header = tar::Header::new_ustar();
                header.set_size(size);
                header.set_mode(0o644);
                header.set_mtime(0);
                header.set_uid(0);
                header.set_gid(0);
                builder.append_data(&mut header, name, from.take(size)).map_err(io)
            }
        }
    }
}
