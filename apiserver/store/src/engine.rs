//! RocksDB as this store uses it: its options, its opening, its errors by name.
//!
//! Every setting stands here. It knows families and rows, not what they mean.
//!
//! The log is first opened strictly: any flaw refuses. A power failure may leave a torn tail of what was never
//! acknowledged, which is such a flaw; it is told from damage by the mark (mark.rs), on a read-only opening that leaves
//! the log as it is, before anything is cut off.

mod framing;
pub(crate) mod tables;

use crate::error::StoreError;
use crate::files::Files;
use crate::keyspace::{Family, HEAD};
use crate::mark::Head;
use crate::options::Options;
use crate::room;
use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    ErrorKind, InfoLogger, LogLevel, WriteBatch, WriteBufferManager, WriteOptions,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// For writing; any flaw of the log refuses. Creates the database when set.
    Strict { create: bool },
    /// For writing, up to the first flaw of the log.
    Torn,
    /// For reading, any flaw of the log refuses.
    Look,
    /// For reading, up to the first flaw of the log.
    LookTorn,
}

/// An open database.
pub(crate) struct Engine {
    pub(crate) db: DB,
    path: PathBuf,
    /// The log file of which RocksDB dropped something when it was opened.
    suspect: Option<PathBuf>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens for writing. `acknowledged` is what the mark names; the database must hold at least that.
    pub(crate) fn open(
        files: &Files,
        options: &Options,
        create: bool,
        acknowledged: Option<Head>,
    ) -> Result<Self, StoreError> {
        let engine = match Self::start(files, options, Mode::Strict { create }) {
            Ok(engine) => engine,
            Err(strict @ StoreError::Damaged { .. }) => {
                let Ok(peek) = Self::start(files, options, Mode::LookTorn) else { return Err(strict) };
                peek.holds(acknowledged)?;
                drop(peek);
                tracing::warn!(reason = %strict, "cutting off a torn tail of the log; nothing acknowledged stood in it");
                Self::start(files, options, Mode::Torn)?
            }
            Err(error) => return Err(error),
        };
        engine.holds(acknowledged)?;
        Ok(engine)
    }

    /// Opens for reading, leaving every file as it is. With `torn`, the log is read up to its first flaw.
    pub(crate) fn look(files: &Files, options: &Options, torn: bool) -> Result<Self, StoreError> {
        Self::start(files, options, if torn { Mode::LookTorn } else { Mode::Look })
    }

    /// Opens for reading what [`Self::open`] would open for writing.
    pub(crate) fn look_at(
        files: &Files,
        options: &Options,
        acknowledged: Option<Head>,
    ) -> Result<Self, StoreError> {
        let engine = match Self::look(files, options, false) {
            Err(strict @ StoreError::Damaged { .. }) => {
                Self::look(files, options, true).map_err(|_| strict)?
            }
            engine => engine?,
        };
        engine.holds(acknowledged)?;
        Ok(engine)
    }

    /// The log to blame for what is not in the database: the one that has a flaw, else the newest.
    pub(crate) fn blamed_log(&self) -> Option<PathBuf> {
        self.suspect.clone().or_else(|| newest_log(&self.path))
    }

    fn start(files: &Files, options: &Options, mode: Mode) -> Result<Self, StoreError> {
        let path = files.database();
        if let Some((file, detail)) = framing::flaw(&path) {
            return Err(StoreError::Damaged { file, detail });
        }
        let cache = Cache::new_lru_cache(options.cache_bytes);
        let families =
            Family::ALL.iter().map(|family| (family.name(), family_options(Some(*family), options, &cache)));
        let families = families.chain([("default", family_options(None, options, &cache))]);
        let families = families.map(|(name, options)| ColumnFamilyDescriptor::new(name, options));
        let suspect = Arc::new(Mutex::new(None));
        let database = database_options(options, mode, &path, &suspect)?;
        let opened = match mode {
            Mode::Strict { .. } | Mode::Torn => DB::open_cf_descriptors(&database, &path, families),
            Mode::Look | Mode::LookTorn => {
                DB::open_cf_descriptors_read_only(&database, &path, families, false)
            }
        };
        match opened {
            Ok(db) => {
                if matches!(mode, Mode::Strict { .. } | Mode::Torn) {
                    forget_options(&path);
                }
                let suspect = suspect.lock().take();
                Ok(Self { db, path, suspect })
            }
            Err(error) => Err(blame(fault(&path, "open", error), &path, suspect.lock().take())),
        }
    }

    /// The newest commit in the database.
    pub(crate) fn head(&self) -> Result<Option<Head>, StoreError> {
        let Some(bytes) = self.get(Family::Meta, HEAD)? else { return Ok(None) };
        borsh::from_slice(&bytes)
            .map(Some)
            .map_err(|_| StoreError::bad_record(Family::Meta.name(), HEAD, "it is no head"))
    }

    /// Refuses a database that lacks what has been acknowledged.
    pub(crate) fn holds(&self, acknowledged: Option<Head>) -> Result<(), StoreError> {
        let recovered = self.head()?;
        match (acknowledged, recovered) {
            (Some(acknowledged), recovered)
                if recovered.is_none_or(|head| head.height < acknowledged.height) =>
            {
                Err(StoreError::LostCommits {
                    file: self.blamed_log().unwrap_or_else(|| self.path.clone()),
                    recovered: recovered.map(|head| head.height),
                    acknowledged: acknowledged.height,
                })
            }
            _ => Ok(()),
        }
    }

    /// A family's handle.
    pub(crate) fn family(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(family.name()).ok_or_else(|| StoreError::Damaged {
            file: self.path.clone(),
            detail: format!("it has no column family {}", family.name()),
        })
    }

    /// A row as it is now.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family)?, key).map_err(|error| self.fault("read", error))
    }

    /// Writes `batch`; `synced` waits until it survives a power failure.
    pub(crate) fn write(&self, batch: WriteBatch, synced: bool) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(synced);
        options.set_memtable_insert_hint_per_batch(true);
        self.db.write_opt(batch, &options).map_err(|error| self.fault("write", error))
    }

    /// RocksDB's error by its best name.
    pub(crate) fn fault(&self, doing: &'static str, error: rocksdb::Error) -> StoreError {
        fault(&self.path, doing, error)
    }
}

/// Finds the file to blame where RocksDB names none, or names the manifest for what another file says.
fn blame(error: StoreError, path: &Path, suspect: Option<PathBuf>) -> StoreError {
    let StoreError::Damaged { file, detail } = error else { return error };
    let manifest = is_manifest(&file);
    if manifest && !file.exists() {
        // A manifest that is gone is missing; if there is another one, it is its name that is wrong.
        let others = std::fs::read_dir(path).into_iter().flatten().flatten();
        let named = if others.into_iter().any(|entry| is_manifest(&entry.path())) {
            path.join("CURRENT")
        } else {
            file
        };
        return StoreError::Damaged { file: named, detail };
    }
    if file != path && !manifest {
        return StoreError::Damaged { file, detail };
    }
    // RocksDB itself names a table that is cut short; such ones that nobody names were left behind by a crash. It goes
    // without a filter.
    let whole = |(_, detail): &(PathBuf, String)| {
        !["too short", "magic number", tables::FILTER].iter().any(|other| detail.contains(other))
    };
    if let Some((file, detail)) = tables::unreadable(path).into_iter().find(whole) {
        return StoreError::Damaged { file, detail };
    }
    let file = suspect.filter(|_| file == path).unwrap_or(file);
    StoreError::Damaged { file, detail }
}

fn is_manifest(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"))
}

fn fault(path: &Path, doing: &'static str, error: rocksdb::Error) -> StoreError {
    let words: &str = error.as_ref();
    if words.contains("No space left on device") {
        let dir = path.parent().unwrap_or(path);
        return StoreError::DiskFull {
            dir: dir.to_owned(),
            available: room::free(dir).unwrap_or(0),
            wanted: 0,
        };
    }
    let missing = words.contains("No such file or directory");
    if error.kind() == ErrorKind::Corruption || missing || words.contains("does not exist") {
        let file = file_in(path, words).unwrap_or_else(|| path.to_owned());
        return StoreError::Damaged { file, detail: words.to_owned() };
    }
    StoreError::engine(doing)(error)
}

/// The database file that RocksDB's words name.
pub(crate) fn file_in(path: &Path, words: &str) -> Option<PathBuf> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let names = words.split(|c| !is_part(c)).map(|name| name.trim_end_matches('.'));
    let is_file = |name: &&str| {
        let numbered = |stem: &str| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit());
        name.strip_suffix(".sst").or_else(|| name.strip_suffix(".log")).is_some_and(numbered)
            || name.strip_prefix("MANIFEST-").is_some_and(numbered)
            || name.strip_prefix("OPTIONS-").is_some_and(numbered)
            || matches!(*name, "CURRENT" | "IDENTITY")
    };
    names.into_iter().find(is_file).map(|name| path.join(name)).or_else(|| {
        let number = words.split("log #").nth(1).or_else(|| words.split("log number ").nth(1))?;
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok().map(|number| path.join(format!("{number:06}.log")))
    })
}

/// Whether the database folder holds rows, so that making a new database there would lose them.
pub(crate) fn holds_rows(path: &Path) -> bool {
    let mut entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.any(|entry| {
        let path = entry.path();
        let is = |extension| path.extension().is_some_and(|found| found == extension);
        is("sst") || (is("log") && entry.metadata().is_ok_and(|file| file.len() > 0))
    })
}

/// Removes RocksDB's note of the options that it was opened with. Nobody reads it, since they stand here; and a file that
/// carries no checksum and is not there cannot be damaged.
fn forget_options(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("OPTIONS-")
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "cannot remove what nobody reads");
        }
    }
}

/// The log file written last.
fn newest_log(path: &Path) -> Option<PathBuf> {
    let logs = std::fs::read_dir(path).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    logs.filter(|file| file.extension().is_some_and(|extension| extension == "log")).max()
}

/// `suspect` receives the log file of which RocksDB drops something: its errors do not name it, its messages do.
fn database_options(
    options: &Options,
    mode: Mode,
    path: &Path,
    suspect: &Arc<Mutex<Option<PathBuf>>>,
) -> Result<rocksdb::Options, StoreError> {
    // What the crate has no setter for. A torn log is flushed and dropped at once; a sound one is only read. The
    // database's id stands in the manifest, which has checksums, and in no file of its own.
    let words = format!(
        "avoid_flush_during_recovery={};avoid_flush_during_shutdown=true;max_bgerror_resume_count=2147483647;\
         write_dbid_to_manifest=true;write_identity_file=false",
        mode != Mode::Torn
    );
    let mut o = rocksdb::Options::default()
        .get_options_from_string(words)
        .map_err(StoreError::engine("configure"))?;
    let create = mode == Mode::Strict { create: true };
    o.create_if_missing(create);
    o.create_missing_column_families(create);
    o.set_paranoid_checks(true);
    o.set_wal_recovery_mode(match mode {
        Mode::Strict { .. } | Mode::Look => DBRecoveryMode::AbsoluteConsistency,
        Mode::Torn | Mode::LookTorn => DBRecoveryMode::PointInTime,
    });
    o.set_track_and_verify_wals_in_manifest(true);
    o.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(options.memtable_bytes, false));
    o.set_max_total_wal_size(options.memtable_bytes as u64 * 2);
    o.set_max_open_files(i32::try_from(options.open_files).unwrap_or(-1));
    o.set_max_file_opening_threads(1);
    o.set_max_background_jobs(2);
    o.set_max_subcompactions(1);
    o.set_bytes_per_sync(1 << 20);
    // One writer: nothing to gain from concurrent inserts or from spinning for a group.
    o.set_allow_concurrent_memtable_write(false);
    o.set_enable_write_thread_adaptive_yield(false);
    o.set_manifest_preallocation_size(64 << 10);
    o.set_max_manifest_file_size(4 << 20);
    o.set_skip_stats_update_on_db_open(true);
    o.set_stats_dump_period_sec(0);
    o.set_stats_persist_period_sec(0);
    o.set_table_cache_num_shard_bits(2);
    let (path, suspect) = (path.to_owned(), Arc::clone(suspect));
    o.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, move |level, words| {
        let words = words.trim_end();
        // It drops the logs after the damaged one, too, and says the same of them.
        if words.contains(": dropping ") {
            let mut suspect = suspect.lock();
            *suspect = suspect.take().or_else(|| file_in(&path, words));
        }
        match level {
            LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{words}"),
            LogLevel::Warn => tracing::warn!(target: "rocksdb", "{words}"),
            // The options and statistics that every opening writes, whatever the level.
            _ => {}
        }
    }));
    Ok(o)
}

fn family_options(family: Option<Family>, options: &Options, cache: &Cache) -> rocksdb::Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(match family {
        Some(Family::Objects | Family::Versions) => 8 << 10,
        _ => 16 << 10,
    });
    // Filters pay where rows are asked for that are not there: new objects, new requests.
    if matches!(family, Some(Family::Objects | Family::Outcomes | Family::Past)) {
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);
    }
    let mut o = rocksdb::Options::default();
    o.set_block_based_table_factory(&table);
    // Sealed bytes do not compress.
    o.set_compression_type(DBCompressionType::None);
    o.set_write_buffer_size(options.memtable_bytes);
    o.set_arena_block_size(64 << 10);
    o.set_target_file_size_base(16 << 20);
    o.set_max_bytes_for_level_base(64 << 20);
    o.set_level_compaction_dynamic_level_bytes(true);
    // What compaction of history deletes shall not linger.
    if matches!(
        family,
        Some(Family::History | Family::Past | Family::Versions | Family::Outcomes | Family::Indexes)
    ) {
        o.add_compact_on_deletion_collector_factory(4096, 2048, 0.5);
    }
    o
}

#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_in_the_words() {
        let name = |words: &str| file_in(Path::new("/d"), words).map(|file| file.display().to_string());
        assert_eq!(
            name(
                "Corruption: block checksum mismatch: stored = 1, computed = 2 in /x/db/000031.sst offset 0 size 4"
            ),
            Some("/d/000031.sst".to_owned())
        );
        assert_eq!(
            name("IO error: No such file: /x/db/MANIFEST-000005: gone"),
            Some("/d/MANIFEST-000005".to_owned())
        );
        assert_eq!(name("Corruption: CURRENT file does not end with newline"), Some("/d/CURRENT".to_owned()));
        assert_eq!(name("Corruption: something else"), None);
    }
}
