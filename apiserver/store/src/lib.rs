//! The replica's store: MVCC on RocksDB, encrypted at rest, with history, compaction and snapshots.
