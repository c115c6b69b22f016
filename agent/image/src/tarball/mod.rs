//! Tar archives as strangers write them, read as a stream.
//!
//! Ustar, GNU (long names, base-256 numbers, old sparse files) and PAX (all of its sparse forms), by one loop over
//! blocks. Every length is bounded before it is believed: nothing is buffered beyond `Limits::header_bytes`. Reading
//! says what an archive holds; whether that may be made is for others to judge.

mod header;
mod pax;
mod reader;
mod sparse;

pub use reader::{Archive, Entry, Kind};
pub use sparse::Piece;

/// Tar's unit.
pub(crate) const BLOCK: usize = 512;

/// Why an archive is not read on.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// What lies below could not be read.
    #[error("reading the archive at byte {at}")]
    Read {
        /// Where, in the plain tar.
        at: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A header that is none.
    #[error("at byte {at} of the archive is no tar header: {what}")]
    Header {
        /// Where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It ends within something.
    #[error("the archive ends at byte {at}, within {within}")]
    Truncated {
        /// Where.
        at: u64,
        /// Within what.
        within: &'static str,
    },
    /// More of something than is taken.
    #[error("at byte {at} the archive has {what} beyond the limit of {limit}")]
    Limit {
        /// Where.
        at: u64,
        /// Too much of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Bytes follow the end.
    #[error("the archive ended, and at byte {at} there is more than padding")]
    Trailing {
        /// Where.
        at: u64,
    },
}
