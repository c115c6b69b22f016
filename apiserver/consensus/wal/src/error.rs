//! What may go wrong with a log.

use std::io;
use thiserror::Error;

/// A log cannot be read or written.
#[derive(Debug, Error)]
pub enum WalError {
    /// The disk failed.
    #[error("cannot {action} the log's file {file}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The file's name, or that of the folder's part that was meant.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// What was flushed once is not what is there.
    #[error("the log's file {file} is damaged at byte {offset}: {detail}")]
    Damaged {
        /// The file's name.
        file: String,
        /// Where the first bad byte may be, from the beginning of the file.
        offset: u64,
        /// What was found.
        detail: &'static str,
    },
    /// A newer program wrote it.
    #[error(
        "the log's file {file} has format {found}, this program knows {known}: use a newer version of HyperMesh"
    )]
    Newer {
        /// The file's name.
        file: String,
        /// Its format.
        found: u16,
        /// The newest that is known here.
        known: u16,
    },
    /// An entry, or a frame of them, is longer than may be logged. Nothing was appended.
    #[error("an entry of {length} bytes does not fit: a frame holds {limit}")]
    TooLong {
        /// Its length, in bytes.
        length: usize,
        /// The most, in bytes.
        limit: usize,
    },
    /// A write or a flush failed before, and what the disk holds is not known. The process must begin anew.
    #[error("the log failed before: it is not known what it holds, so nothing more is written")]
    Failed,
}

impl WalError {
    pub(crate) fn disk(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, file: file.to_owned(), source }
    }
}
