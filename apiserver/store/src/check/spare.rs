//! The files that hold no data: what is wrong with them says something of the disk, and loses nothing.

use super::Report;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::files::Files;
use crate::options::Options;
use crate::room::Reserve;
use std::fs::File;
use std::io::{ErrorKind, Read};

/// The reserve is set aside where there is room for it, and all zeros.
pub(super) fn reserve(files: &Files, options: &Options, report: &mut Report) -> Result<(), StoreError> {
    let path = files.reserve();
    let failed = |source| StoreError::io("read", &path)(source);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if Reserve::as_it_is(&files.dir, path.clone(), options).is_due()? {
                report.find_mending(
                    &path,
                    "it is missing, and the disk has room for it; the next start sets it aside",
                );
            }
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut part = vec![0; 1 << 20];
    let mut before = 0;
    loop {
        let length = match file.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if let Some(place) = part.iter().take(length).position(|byte| *byte != 0) {
            let what = format!(
                "its byte {} is not zero, as it was set aside; it holds no data: remove it, and the next start sets aside \
                 another",
                before + place
            );
            report.find_mending(&path, what);
            return Ok(());
        }
        before += length;
    }
}

/// The database's id stands in the manifest; the file of it is there until a first opening by this version.
pub(super) fn identity(files: &Files, engine: &Engine, report: &mut Report) -> Result<(), StoreError> {
    let path = files.database().join("IDENTITY");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    if engine.db.get_db_identity().map_err(|error| engine.fault("read", error))? != bytes {
        report.find_mending(
            &path,
            "it is not the id that the manifest names; nobody reads it, and the next start removes it",
        );
    }
    Ok(())
}
