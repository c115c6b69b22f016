//! The state machine of a replica: the pipeline over the store, behind the replication trait.
