//! Discovery: the legacy documents, and all of a root at once (`apidiscovery.k8s.io/v2`).

mod aggregated;
mod legacy;

pub use aggregated::aggregated;
pub use legacy::{api_group, api_group_list, api_resource_list, api_versions};

use sha2::{Digest, Sha512};

/// Which root a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `/api`: the core group.
    Api,
    /// `/apis`: the named groups.
    Apis,
}

/// The `ETag` of a document: its SHA-512 in upper-case hexadecimal, without the quotes that the header wants.
pub fn etag(document: &[u8]) -> String {
    Sha512::digest(document).iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests;
