//! The check: reads everything, changes nothing, and names what is wrong, file by file.
//!
//! The small files first, then the database's (every block of every file is read and its checksum compared), then what
//! holds no data (`check/spare.rs`), then the records (`check/records.rs`). A store that is in use cannot be checked: its
//! files change.
//!
//! Two kinds of file are not judged. `LOCK` and `db/LOCK` are held, not read: the first names its holder for as long as
//! there is one, and whoever takes it (the check too) writes it anew; the second is empty. A `db/OPTIONS-*` is there only
//! where an opening was cut short: nobody reads it, and the next opening removes it.

mod records;
mod spare;

use crate::engine::{Engine, file_in, tables};
use crate::error::StoreError;
use crate::files::Files;
use crate::keyring::{Access, Keyring};
use crate::keyspace::Family;
use crate::mark::{Head, Mark, Marked};
use crate::options::Options;
use rocksdb::ReadOptions;
use std::error::Error;
use std::path::{Path, PathBuf};

/// More findings than this are only counted.
const FINDINGS: usize = 1000;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file; the database folder where no single file is to blame.
    pub file: PathBuf,
    /// What does not agree.
    pub what: String,
    /// Whether nothing is lost: the next opening mends it, or the file holds no data.
    pub mends: bool,
}

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first thousand things that are wrong.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
    /// Rows read.
    pub rows: u64,
    /// The newest commit.
    pub head: Option<Head>,
    /// The log has a torn tail, as a power failure leaves it, in which nothing acknowledged stood. It goes at the next
    /// opening.
    pub torn: bool,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, file: &Path, what: impl Into<String>) {
        self.push(Finding { file: file.to_owned(), what: what.into(), mends: false });
    }

    /// Notes what loses nothing.
    fn find_mending(&mut self, file: &Path, what: impl Into<String>) {
        self.push(Finding { file: file.to_owned(), what: what.into(), mends: true });
    }

    fn push(&mut self, finding: Finding) {
        if self.findings.len() == FINDINGS {
            self.more += 1;
        } else {
            self.findings.push(finding);
        }
    }

    /// Notes an error that names a file, or else blames `file`.
    fn note(&mut self, file: &Path, error: &StoreError) {
        match error {
            StoreError::Damaged { file, detail } => self.find(file, detail.clone()),
            StoreError::WrongKey { file } => {
                self.find(file, "it does not open the data keys of this store: put the key file back that the store was made with");
            }
            StoreError::LostCommits { file, recovered, acknowledged } => {
                let recovered =
                    recovered.map_or_else(|| "nothing".to_owned(), |height| format!("height {}", height.0));
                let what = format!(
                    "it has lost commits: height {} was acknowledged, {recovered} can be recovered",
                    acknowledged.0
                );
                self.find(file, what);
            }
            StoreError::Io { path, source, .. } => self.find(path, format!("{error}: {source}")),
            other => {
                let source = other.source().map(|source| format!(": {source}")).unwrap_or_default();
                self.find(file, format!("{other}{source}"));
            }
        }
    }
}

/// Checks the store in `dir`. The sizes of `options` do not matter, its key file does.
///
/// # Errors
/// [`StoreError::Locked`] when it is in use, [`StoreError::NotAStore`], [`StoreError::NewerFormat`] and
/// [`StoreError::OlderFormat`] when there is nothing that this program can check. What is wrong with the store is in the report.
pub fn check(dir: &Path, options: &Options) -> Result<Report, StoreError> {
    let files = Files::new(dir);
    let _lock = files.take()?;
    let mut report = Report::default();
    match files.check_format(false) {
        Ok(()) => {}
        Err(
            error @ (StoreError::NewerFormat { .. }
            | StoreError::OlderFormat { .. }
            | StoreError::NotAStore { .. }),
        ) => return Err(error),
        Err(error) => report.note(&files.format(), &error),
    }
    if files.restoring().exists() {
        report.find(&files.restoring(), "a restore was cut short");
    }
    let acknowledged = check_mark(&files, &mut report)?;
    let keys = match Keyring::open(&files, options.key_file.as_deref(), Access::Look) {
        Ok(keys) => Some(keys),
        Err(error) => {
            report.note(&files.keys(), &error);
            None
        }
    };
    spare::reserve(&files, options, &mut report)?;
    let Some(engine) = look(&files, options, &mut report) else { return Ok(report) };
    spare::identity(&files, &engine, &mut report)?;
    match engine.head() {
        Ok(head) => report.head = head,
        Err(error) => report.note(&files.database(), &error),
    }
    if let Err(error) = engine.holds(acknowledged) {
        report.note(&files.database(), &error);
    } else if report.torn {
        report.findings.retain(|finding| finding.file.extension().is_none_or(|extension| extension != "log"));
    }
    // RocksDB goes without a table's properties or filter when it cannot read them; the check does not.
    let parts = engine.db.live_files().map_err(|error| engine.fault("list", error))?;
    for (file, what) in tables::unreadable(&files.database()) {
        let name = file.file_name().unwrap_or_default();
        if parts.iter().any(|part| name == part.name.trim_start_matches('/')) {
            report.find(&file, what);
        }
    }
    for family in Family::ALL {
        check_files(&files, &engine, family, &mut report)?;
    }
    if let Some(keys) = keys.filter(|_| report.is_sound() || readable(&report)) {
        records::check(&files, &engine, &keys, &mut report)?;
    }
    Ok(report)
}

/// Records can be compared with each other only when all of them can be read.
fn readable(report: &Report) -> bool {
    report.findings.iter().all(|finding| finding.file.extension().is_none_or(|extension| extension != "sst"))
}

fn check_mark(files: &Files, report: &mut Report) -> Result<Option<Head>, StoreError> {
    Ok(match Mark::read(&files.head())? {
        Marked::Missing => {
            report.find(&files.head(), "it is missing");
            None
        }
        Marked::Damaged => {
            report.find(&files.head(), "neither of its two marks can be read");
            None
        }
        Marked::Known { head, torn } => {
            if torn {
                report.find_mending(
                    &files.head(),
                    "one of its two marks cannot be read; the next start writes it anew",
                );
            }
            head
        }
    })
}

/// Opens the database for reading, past a flaw of the log if there is one.
fn look(files: &Files, options: &Options, report: &mut Report) -> Option<Engine> {
    // Every file is opened at once, so that none is found damaged only when it is needed.
    let options = Options { open_files: u32::MAX, ..options.clone() };
    let strict = match Engine::look(files, &options, false) {
        Ok(engine) => return Some(engine),
        Err(error) => error,
    };
    let engine = Engine::look(files, &options, true).ok();
    report.torn = engine.is_some();
    let log = engine.as_ref().and_then(Engine::blamed_log);
    match (&strict, log) {
        (StoreError::Damaged { file, detail }, Some(log)) if *file == files.database() => {
            report.find(&log, detail)
        }
        _ => report.note(&files.database(), &strict),
    }
    engine
}

/// Reads every row of a family; RocksDB compares the checksum of every block on the way.
fn check_files(
    files: &Files,
    engine: &Engine,
    family: Family,
    report: &mut Report,
) -> Result<(), StoreError> {
    let handle = match engine.family(family) {
        Ok(handle) => handle,
        Err(error) => {
            report.note(&files.database(), &error);
            return Ok(());
        }
    };
    let parts = engine.db.live_files().map_err(|error| engine.fault("list", error))?;
    let mut start = Vec::new();
    loop {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_verify_checksums(true);
        let mut cursor = engine.db.raw_iterator_cf_opt(handle, options);
        cursor.seek(&start);
        while cursor.valid() {
            report.rows += 1;
            cursor.next();
        }
        let Err(error) = cursor.status() else { return Ok(()) };
        let words: &str = error.as_ref();
        let file = file_in(&files.database(), words);
        report.find(file.as_deref().unwrap_or(&files.database()), words);
        // On after the damaged file: others may be damaged too.
        let part = parts.iter().find(|part| {
            file.as_ref().and_then(|file| file.file_name())
                == Some(part.name.trim_start_matches('/').as_ref())
        });
        match part.and_then(|part| part.end_key.clone()).map(|end| crate::keyspace::just_after(&end)) {
            Some(next) if next > start => start = next,
            _ => return Ok(()),
        }
    }
}
