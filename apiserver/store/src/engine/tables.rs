//! Finds the table files that cannot be opened.
//!
//! When RocksDB opens a database and one of its tables is damaged in its footer, index or properties, it blames the
//! manifest that lists the table. Each table is therefore offered to an empty database of its own for ingestion: a sound
//! one is refused because another database made it, and only after it has been opened; a damaged one is refused with what
//! is wrong with it. Nothing is copied or changed.
//!
//! Filters are read on the way. RocksDB goes without one that it cannot read, here as anywhere, and only counts it.

use super::file_in;
use rocksdb::statistics::Ticker;
use rocksdb::{BlockBasedOptions, DB, IngestExternalFileOptions, Options};
use std::path::{Path, PathBuf};

/// How RocksDB refuses a sound table.
const SOUND: &str = "External file version not found";

/// What is wrong with a table whose rows can all be read.
pub(crate) const FILTER: &str = "the checksum of its filter is wrong; its rows can be read";

/// The tables in `path` that cannot be opened, or whose filter cannot be read, each with why. Empty when they cannot be tried.
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
    options.enable_statistics();
    // Any policy has the filter read; without a cache for it, that is when the table is opened.
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(false);
    options.set_block_based_table_factory(&table);
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
        let before = options.get_ticker_count(Ticker::BlockChecksumMismatchCount);
        let Err(error) = db.ingest_external_file_opts(&ingest, vec![&table]) else { continue };
        let words: &str = error.as_ref();
        if !words.contains(SOUND) {
            found.push((file_in(path, words).unwrap_or(table), words.to_owned()));
        } else if options.get_ticker_count(Ticker::BlockChecksumMismatchCount) > before {
            found.push((table, FILTER.to_owned()));
        }
    }
    Ok(found)
}
