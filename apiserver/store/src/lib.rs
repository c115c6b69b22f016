//! The replica's store: MVCC on RocksDB, encrypted at rest, with history, compaction and snapshots.
//!
//! It keeps what consensus has decided: one [`Commit`] a block, written as one synced batch. It knows bytes, keys and
//! the types of `hypermesh_chain`; it must know no kind and no HTTP, and decides nothing: whoever commits has already
//! executed, voted and agreed.
//!
//! Invariants:
//! - What [`Store::commit`] has answered survives a crash of the process and of the machine. At open, a store whose
//!   newest acknowledged commit cannot be recovered is refused by name, never opened shorter.
//! - A value that fails its checksum or its authentication tag is an error, never an answer.
//! - Reads go through a [`View`]: one consistent state, whatever is written meanwhile.
//! - Content is sealed at rest. Names are not: object keys, uids of owners, revisions, heights and due times stand in
//!   plain text in the keys of the database, as do the hashes in the leaves.

mod check;
mod commit;
mod compact;
#[doc(hidden)]
pub mod decode;
mod engine;
mod error;
mod export;
mod files;
mod history;
mod kek;
mod keyring;
mod keyspace;
mod mark;
mod options;
mod records;
mod reseal;
mod restore;
mod room;
mod sealer;
mod store;
mod view;

pub use check::{Finding, Report, check};
pub use commit::Commit;
pub use compact::Compaction;
pub use error::StoreError;
pub use export::{Manifest, Scope};
pub use kek::key_made;
pub use mark::Head;
pub use options::{KeyRotation, Options};
pub use reseal::Reseal;
pub use room::Room;
pub use sealer::Sealer;
pub use store::{Block, Blocks, Store, Usage};
pub use view::View;
