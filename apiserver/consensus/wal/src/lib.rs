//! A write-ahead log: what a replica must remember of a height that is not decided yet.
//!
//! Entries are bytes; what they mean, and whether they are sealed, is for who appends them. Entries that are appended
//! before one [`Log::sync`] are one *frame*: a single write, followed by a single flush. A frame is begun only after the
//! one before it was flushed, and that is what recovery rests on:
//!
//! - The last frame may be torn: too short, or with sectors that read as zeros. It was never flushed, so nobody acted on
//!   it. It is cut off, and told.
//! - A bad frame that is all there, or has a frame after it, was flushed once and changed since. The log is damaged;
//!   nothing of it is believed, because a replica that forgets what it signed may sign the opposite.
//!
//! Sums are keyed by a salt that every file draws anew, so nobody who chooses what is logged can lay out bytes that look
//! like a frame. What cannot be seen is a file that lost whole frames at its end: a disk that lies about flushing does
//! that, and other replicas are what protects against it.
//!
//! The log does not know what a disk is ([`Disk`]): a simulator hands in one that loses what was not flushed.

pub mod disk;
mod error;
pub mod folder;
pub mod format;
mod log;

pub use disk::Disk;
pub use error::WalError;
pub use folder::Folder;
pub use log::{Log, Recovered, Torn};
