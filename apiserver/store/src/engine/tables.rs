//! Finds the table files that cannot be opened.
//!
//! When RocksDB opens a database and one of its tables is damaged in its footer, index or properties, it blames the
//! manifest that lists the table. Each table is therefore offered to an empty database of its own for ingestion: a sound
//! one is refused because another database made it, and only after it has been opened; a damaged one is refused with what
//! is wrong with it. Nothing is copied or changed.

use super::file_in;
use rocksdb::{DB, IngestExternalFileOptions, Options};
use std::path::{Path, PathBuf};

/// How RocksDB refuses a sound table.
const SOUND: &str = "External file version not found";

/// The tables in `path` that cannot be opened, each with why. Empty when they cannot be tried.
pub(crate) fn unreadable(path: &Path) -> Vec<(PathBuf, String)> {
    let scratch = std::env::temp_dir().join(format!("hypermesh-tables-{}", std::process::id()));
    let found = offer(path, &scratch);
    // What is left behind is empty and small.
    drop(DB::destroy(&Options::default(), &scratch));
    drop(std::fs::remove_dir_all(&scratch));
    found.unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot try the tables one by one");
        Vec::new()
    })
}

fn offer(path: &Path, scratch: &Path) -> Result<Vec<(PathBuf, String)>, rocksdb::Error> {
    let mut options = Options::default();
    options.create_if_missing(true);
    let db = DB::open(&options, scratch)?;
    let mut ingest = IngestExternalFileOptions::default();
    ingest.set_move_files(false);
    let mut tables: Vec<PathBuf> = std::fs::read_dir(path)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    tables.retain(|file| file.extension().is_some_and(|extension| extension == "sst"));
    tables.sort();
    let mut found = Vec::new();
    for table in tables {
        let Err(error) = db.ingest_external_file_opts(&ingest, vec![&table]) else { continue };
        let words: &str = error.as_ref();
        if !words.contains(SOUND) {
            found.push((file_in(path, words).unwrap_or(table), words.to_owned()));
        }
    }
    Ok(found)
}
