//! To whom something may be of use: one scale, the same for hardware, names and services.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// To whom something is open, from nobody but its owner to everybody.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Privacy {
    /// Its owner alone.
    #[default]
    Private,
    /// Members of the owner's networks.
    PrivateNetwork,
    /// Peers that the owner has accepted one by one.
    P2P,
    /// Every member of the mesh.
    PublicNetwork,
    /// Everybody, also from outside the mesh.
    FullPublic,
}
