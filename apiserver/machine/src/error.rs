//! What may go wrong in a replica.

use hypermesh_chain::Height;
use hypermesh_pipeline::registry::RegistryError;
use hypermesh_pipeline::{ReadError, genesis::GenesisError};
use hypermesh_store::StoreError;
use std::path::PathBuf;
use thiserror::Error;

/// The machine cannot go on: what it would do next is not known to be right.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The state could not be read while a block was executed.
    #[error("the state could not be read")]
    Read(#[from] ReadError),
    /// The engine named a block that was never made or judged here.
    #[error("block {0} is not known here")]
    UnknownBlock(hypermesh_chain::Hash),
    /// A certificate does not certify the block that it came with.
    #[error("the certificate does not hold")]
    Certificate(#[from] hypermesh_chain::CertificateError),
    /// What is asked for does not exist in this form of the machine.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Evidence could not be kept.
    #[error("cannot keep evidence at {path}")]
    Evidence {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The machine cannot start.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The store does not open.
    #[error("opening the store failed")]
    Store(#[from] StoreError),
    /// The genesis file cannot be read or written.
    #[error("cannot {action} the genesis file {path}")]
    GenesisFile {
        /// Read or write.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The genesis file does not decode.
    #[error("the genesis file {path} is damaged: restore it from a backup, every replica has the same one")]
    GenesisDamaged {
        /// Its path.
        path: PathBuf,
    },
    /// The genesis cannot be executed.
    #[error("the first state cannot be made")]
    Genesis(#[from] GenesisError),
    /// The kinds of the state do not compile.
    #[error("the kinds in the store cannot be served by this version")]
    Kinds(#[from] RegistryError),
    /// A stored block does not decode.
    #[error("the stored block {} is damaged", .height.0)]
    Block {
        /// Its height.
        height: Height,
    },
    /// The newest block is missing.
    #[error("the store has no block at its newest height {}", .height.0)]
    NoBlock {
        /// The height.
        height: Height,
    },
    /// The stored leaves are not in order.
    #[error("the leaves of the state are out of order: the data is damaged; restore a snapshot")]
    Leaves,
    /// The state does not add up to the root that the newest block certifies.
    #[error("the state's root is {found}, but block {} certifies {certified}: the data is damaged; restore a snapshot", .height.0)]
    Root {
        /// Height of the newest block.
        height: Height,
        /// Root that the stored leaves add up to.
        found: hypermesh_chain::Hash,
        /// Root that the block certifies.
        certified: hypermesh_chain::Hash,
    },
    /// The genesis file is not the one that the store began with.
    #[error("the genesis file {path} does not belong to this data: block {} has another id under it", .height.0)]
    ForeignGenesis {
        /// Its path.
        path: PathBuf,
        /// Height of the block that was compared.
        height: Height,
    },
    /// The state wants a pipeline that this binary does not have.
    #[error(
        "the data needs pipeline version {wanted}, this binary has {has}: use a newer version of HyperMesh"
    )]
    Version {
        /// Version that the state names.
        wanted: u16,
        /// Version of this binary.
        has: u16,
    },
    /// The genesis names several replicas, and this one was started alone.
    #[error("the cluster has other replicas: this one must be started among them")]
    Others,
    /// The genesis names one replica, and it was started among others.
    #[error("the cluster has one replica: there are no others to start it among")]
    NoOthers,
    /// The folder of the replication log cannot be made or read.
    #[error("cannot open the folder of the replication log {path}")]
    Log {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the log leads to cannot be taken up.
    #[error("the replica cannot go on where it stopped")]
    GoOn(#[source] Box<hypermesh_driver::DriverError<MachineError>>),
    /// The replica's thread does not start.
    #[error("cannot start the replica's thread")]
    Thread(#[source] std::io::Error),
}
