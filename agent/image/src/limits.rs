//! Every limit of this crate, in one place.
//!
//! What comes from a registry, an archive or a layer is a stranger's. Each limit is far above what real images have, and
//! far below what hurts a node. All of them are checked while streaming: nothing is read whole before it is bounded.

use std::time::Duration;

/// What one image may cost. [`Limits::default`] says what real images look like beside each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest or an index. Registries take 4 MiB at most.
    pub manifest_bytes: u64,
    /// Bytes of an image's configuration; real ones have some ten KiB.
    pub config_bytes: u64,
    /// Bytes of one blob as it is stored.
    pub blob_bytes: u64,
    /// Manifests that one index may name.
    pub index_entries: usize,
    /// Layers of an image. Docker makes 127 at most, overlayfs takes 500.
    pub layers: usize,
    /// Bytes of one layer once it is decompressed.
    pub layer_bytes: u64,
    /// How many times its compressed size a layer may unpack to, once it is beyond [`Limits::expansion_floor`].
    pub expansion: u64,
    /// Up to here no ratio is looked at: small layers of zeros are harmless.
    pub expansion_floor: u64,
    /// Memory that a zstd frame may ask for, as a power of two; 27 is what every decoder has to allow.
    pub zstd_window_log: u32,
    /// Entries of a layer or of an archive.
    pub entries: u64,
    /// Bytes of folders' names that are remembered until a layer is whole.
    pub folder_bytes: usize,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of a path, and of what a link points to. Linux takes 4,095.
    pub path_bytes: usize,
    /// Bytes of one extended header (GNU long names, PAX records).
    pub header_bytes: u64,
    /// Extended attributes of one entry.
    pub xattrs: usize,
    /// Bytes of one extended attribute's value. Linux takes 64 KiB.
    pub xattr_bytes: usize,
    /// Pieces of a sparse file.
    pub sparse_pieces: usize,
    /// Bytes of `index.json`, `manifest.json` and the like in an archive.
    pub archive_json_bytes: u64,
    /// Bytes of an archive that had to be decompressed before it could be read.
    pub archive_bytes: u64,
    /// Bytes of a registry's answer that tells of an error or carries a token.
    pub answer_bytes: usize,
    /// Redirections followed for one request.
    pub redirects: usize,
    /// A registry that sends nothing for this long is given up, and asked again.
    pub silence: Duration,
    /// No registry is waited for longer than this, whatever its `Retry-After` says.
    pub retry_after: Duration,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

// What needs no setting: no real image, archive or registry comes near.

/// However many bytes come each time, a blob is not asked for more often than this.
pub(crate) const REQUESTS: u32 = 64;
/// How deep indexes may lie in indexes.
pub(crate) const NESTING: usize = 3;
/// Bytes of `/etc/passwd` or `/etc/group` that are read.
pub(crate) const USER_FILE_BYTES: u64 = 4 << 20;
/// Groups that a process can have.
pub(crate) const GROUPS: usize = 65_536;
/// Bytes of one configuration of credentials: as many as a Secret may have.
pub(crate) const CREDENTIALS_BYTES: usize = 1 << 20;
/// Bytes of the store's own index; a million images' is smaller.
pub(crate) const STORE_INDEX_BYTES: u64 = 1 << 30;
/// Images of one archive that `docker save` wrote.
pub(crate) const ARCHIVE_IMAGES: usize = 256;
/// Names of an image in it.
pub(crate) const ARCHIVE_NAMES: usize = 256;
/// Files of an archive. A real one has some hundred.
pub(crate) const ARCHIVE_ENTRIES: u64 = 100_000;
/// Links that are followed to a file of an archive.
pub(crate) const ARCHIVE_LINKS: usize = 8;
/// Entries of a packed image.
pub(crate) const PACK_ENTRIES: usize = 1_000_000;
/// Folders in folders that a copied root may have: each has two descriptors open while it is copied.
pub(crate) const COPY_DEPTH: usize = 300;
/// Tokens of registries that are kept; beyond, the one that expires first goes.
pub(crate) const TOKENS: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 4 * MIB,
            config_bytes: 8 * MIB,
            blob_bytes: 64 * GIB,
            index_entries: 1024,
            layers: 256,
            layer_bytes: 128 * GIB,
            expansion: 250,
            expansion_floor: 256 * MIB,
            zstd_window_log: 27,
            entries: 4_000_000,
            folder_bytes: (128 * MIB) as usize,
            depth: 255,
            path_bytes: 4095,
            header_bytes: MIB,
            xattrs: 64,
            xattr_bytes: (64 * KIB) as usize,
            sparse_pieces: 1 << 16,
            archive_json_bytes: 16 * MIB,
            archive_bytes: 128 * GIB,
            answer_bytes: (256 * KIB) as usize,
            redirects: 5,
            silence: Duration::from_secs(60),
            retry_after: Duration::from_secs(120),
        }
    }
}
