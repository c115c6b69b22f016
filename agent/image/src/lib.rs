//! Container images on a node: pulled, verified, unpacked, kept, and collected when nobody needs them.
//!
//! Stands alone: no crate of ours is imported, so that the agent and `nexusctl image` share it. Everything that comes
//! from a registry, an archive or a layer is taken for hostile until a digest vouches for it, and bounded by [`Limits`]
//! even then.

mod archive;
mod config;
mod credentials;
mod digest;
pub mod gc;
mod limits;
mod manifest;
mod pack;
mod platform;
mod pull;
mod reference;
mod registry;
mod remove;
mod snapshot;
mod store;
pub mod tarball;
mod unpack;
mod user;

pub use archive::{ArchiveError, ExportTo, ImportOptions, Imported};
pub use config::{ConfigError, Empty, Execution, History, ImageConfig, RootFsIds};
pub use credentials::{Credential, CredentialError, Keyring};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use limits::Limits;
pub use manifest::{
    Descriptor, Document, Index, Manifest, ManifestError, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD, OCI_MANIFEST,
};
pub use pack::{PackError, PackSource, PackSpec, Packed};
pub use platform::{Platform, PlatformError};
pub use pull::{
    FetchError, LayerProgress, Mirror, Progress, PullError, PullOptions, Pulled, Puller, Retry, Step,
};
pub use reference::{DEFAULT_REGISTRY, DEFAULT_TAG, Reference, ReferenceError};
pub use registry::{
    Body, Fetched, HttpOptions, HttpRegistry, Registry, RegistryError, Source, TlsError, authorities,
};
pub use remove::Usage;
pub use rustls_pki_types::CertificateDer;
pub use snapshot::{Form, Overlay, Probe, RootFs, RootFsOptions, Wanted};
pub use store::{
    Finding, Hold, Image, ImageRecord, ImageStatus, Ingest, LayerRecord, LeaseRecord, NewBlob, Store,
    StoreError, StoreOptions,
};
pub use unpack::{
    Compression, Devices, PlainError, Refusal, Report, UnpackError, UnpackOptions, Whiteouts, unpack,
};
pub use user::{User, UserError, resolve as resolve_user};
