//! Why the store does not do something, and what it mended.

use crate::digest::Digest;
use crate::unpack::UnpackError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the kernel would not.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, as in `writing`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The machine crashed before the disk had it.
    #[error("{} is not whole: the machine crashed when it had just been written", .0.display())]
    Damaged(PathBuf),
    /// Another process has it.
    #[error("the image store {} is in use by another process; one at a time can have it", .0.display())]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("{} has files in it and is no image store; name an empty folder, or one that does not exist yet", .0.display())]
    NotAStore(PathBuf),
    /// It was made by a newer program.
    #[error(
        "the image store's index is of version {found}, and this program knows {known}: it was written by a newer one"
    )]
    Version {
        /// What is there.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// There is no such blob.
    #[error("the store does not have {0}")]
    Missing(Digest),
    /// A blob was not what it is called. It was dropped.
    #[error(
        "the blob {0} was damaged on this machine's disk; it was dropped, and has to be pulled or imported again"
    )]
    Corrupt(Digest),
    /// What came was not what was announced.
    #[error("{expected} was announced, and what came is {found}")]
    WrongDigest {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More or less came than was announced.
    #[error("{digest} was announced with {expected} bytes, and {found} came")]
    WrongSize {
        /// Of which blob.
        digest: Digest,
        /// What was announced.
        expected: u64,
        /// What came, as far as it was read.
        found: u64,
    },
    /// A blob is larger than is taken.
    #[error("the blob {digest} is larger than {limit} bytes, which is the most")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// The limit.
        limit: u64,
    },
    /// A layer was not unpacked.
    #[error("unpacking the layer {layer}")]
    Unpack {
        /// Which blob.
        layer: Digest,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// There is no such image.
    #[error("there is no image {0:?} on this node; pull or import it first")]
    NoImage(String),
    /// Several images begin so.
    #[error("{0:?} is the beginning of several images' ids; write more of it")]
    Several(String),
    /// A manifest in the store cannot be used.
    #[error("the manifest {0}")]
    Manifest(Digest, #[source] crate::manifest::ManifestError),
    /// A configuration in the store cannot be used.
    #[error("the configuration {0}")]
    Config(Digest, #[source] crate::config::ConfigError),
    /// An id that is no name for a folder.
    #[error(
        "{0:?} is no id of a container: it has up to 128 letters, digits, dots, dashes and underscores, and begins with a letter or digit"
    )]
    Id(String),
    /// There is such a snapshot already, of something else.
    #[error("the container {0:?} has a root file system already, and it is of another image or form")]
    SnapshotExists(String),
    /// There is no such snapshot.
    #[error("the container {0:?} has no root file system here")]
    NoSnapshot(String),
    /// What was asked for cannot be made here.
    #[error("an overlayfs root was asked for, and {0}")]
    NoOverlay(String),
    /// A mount failed.
    #[error("mounting {what} at {}", target.display())]
    Mount {
        /// What, as options.
        what: String,
        /// Where.
        target: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// What was found and mended when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Something half made or half removed was cleared away.
    Cleared(PathBuf),
    /// The index was damaged; the one before it was taken.
    IndexBefore(String),
    /// Both were damaged and were set aside: names have to be pulled or imported again, blobs stay.
    IndexLost(String),
    /// An unpacked layer could not be used and was dropped; it is unpacked again when needed.
    LayerDropped(u64, String),
    /// Something that is none of the store's; it was left alone.
    Foreign(PathBuf),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleared(path) => write!(f, "cleared away {}, left by a crash", path.display()),
            Self::IndexBefore(why) => write!(f, "the index was damaged ({why}); the one before it was taken"),
            Self::IndexLost(why) => write!(
                f,
                "the index and the one before it were damaged ({why}) and set aside; images have to be named again by pulling or importing them, which fetches only what is missing"
            ),
            Self::LayerDropped(number, why) => {
                write!(
                    f,
                    "dropped the unpacked layer {number} ({why}); it is unpacked again when it is needed"
                )
            }
            Self::Foreign(path) => write!(f, "{} is none of the store's, and was left alone", path.display()),
        }
    }
}
