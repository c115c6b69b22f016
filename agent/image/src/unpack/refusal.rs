//! Why a layer is not unpacked.

use super::plain::PlainError;
use crate::digest::Digest;
use crate::tarball::TarError;
use std::io;

/// What is not made, whoever asks for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A `..` in a name.
    #[error("its name has .. in it")]
    DotDot,
    /// A NUL in a name or a link.
    #[error("its name or what it points to has a NUL character")]
    Nul,
    /// A path with too many components.
    #[error("it lies {found} folders deep, and {limit} is the most")]
    TooDeep {
        /// How deep.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A path or link that is too long.
    #[error("its name or what it points to has {found} bytes, and {limit} is the most")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// One component that is too long for any file system.
    #[error("a part of its name has {0} bytes, and 255 is the most")]
    PartTooLong(usize),
    /// A symbolic link to nothing.
    #[error("it is a symbolic link without a target")]
    EmptyLink,
    /// A device where none are allowed.
    #[error(
        "it is a device ({major}:{minor}), and devices of images are not made on this node; containers get theirs from the runtime"
    )]
    Device {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A device that overlayfs reads as a whiteout.
    #[error("it is a character device 0:0, which overlayfs reads as a deletion")]
    DisguisedWhiteout,
    /// An attribute by which overlayfs is told where to look.
    #[error("it has the attribute {0:?}, by which an image could tell overlayfs where to look")]
    OverlayAttribute(String),
    /// A type that is not known.
    #[error("it is of the type {0:?}, which no image has")]
    Type(char),
    /// An owner that Linux has no number for.
    #[error("its owner {uid}:{gid} is beyond what Linux can store")]
    Owner {
        /// User.
        uid: u64,
        /// Group.
        gid: u64,
    },
    /// A whiteout of nothing.
    #[error("it is a whiteout that names nothing that can be deleted")]
    Whiteout,
    /// A hard link to nothing.
    #[error("it is a hard link to {0:?}, which the layer does not have")]
    LinkTarget(String),
    /// The root as something else than a folder.
    #[error("it would replace the root itself")]
    Root,
    /// A parent that is no folder, or a link that leads nowhere.
    #[error("a folder on the way to it is a file, or a link that leads nowhere or in a circle")]
    Way,
    /// A parent that is a link, on an old kernel.
    #[error(
        "a folder on the way to it is a symbolic link, and this kernel has no openat2 (Linux 5.6), without which links are not followed here"
    )]
    LinkOnTheWay,
    /// More folders than are remembered.
    #[error("with it the names of the layer's folders have more than {0} bytes, which is the most")]
    Folders(usize),
    /// Files that are together larger than a layer may be.
    #[error("with it the layer's files are larger than {0} bytes, which is the most")]
    TooLarge(u64),
}

/// Why a layer was not unpacked. What was made until then is removed by who asked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The compressed form could not be opened.
    #[error("the layer cannot be decompressed")]
    Plain(#[source] PlainError),
    /// It is no archive.
    #[error("the layer is no tar archive that can be read")]
    Tar(#[source] TarError),
    /// It holds something that is not made.
    #[error("the layer's entry {path:?} is refused")]
    Refused {
        /// The entry's name.
        path: String,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The file system would not.
    #[error("{doing} {path:?} of the layer")]
    Io {
        /// What was being done, as in `writing`.
        doing: &'static str,
        /// To which entry.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The blob is not what it is called. It is dropped, and fetched again when it is needed.
    #[error("the stored layer {expected} has become {found}: it was damaged on this machine's disk")]
    Damaged {
        /// Its name.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The layer does not unpack to what the image says.
    #[error("the layer unpacks to {found}, and the image's configuration says {expected}")]
    DiffId {
        /// What the configuration says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}
