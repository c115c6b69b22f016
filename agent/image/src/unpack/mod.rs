//! Layers into folders.
//!
//! A layer is unpacked alone, into a folder of its own, in the form that overlayfs reads: what it deletes becomes
//! whiteouts. Nothing in a layer reaches outside of its folder: every name is resolved by the kernel with that folder as
//! the root, and files are made by `*at` calls that follow no last link. Bytes, ratio, entries, depth and lengths are
//! bounded while streaming, and the digests of the compressed and of the plain form are checked before the folder may
//! be used.

mod entry_path;
mod layer;
mod meta;
mod plain;
mod refusal;
mod tree;
mod whiteout;

#[cfg(test)]
mod tests;

pub(crate) use plain::Plain;
pub(crate) use tree::{file_type, is_whiteout, stat_in};
pub(crate) use whiteout::OPAQUE_FILE;

pub use layer::{Report, UnpackOptions, unpack};
pub use meta::Devices;
pub use plain::{Compression, PlainError};
pub use refusal::{Refusal, UnpackError};
pub use whiteout::Whiteouts;
