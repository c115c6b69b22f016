//! How far a pull is, and what came of it.

use crate::credentials::Credential;
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::reference::Reference;

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Which host it comes from, once one is asked.
    pub from: String,
    /// Its layers, lowest first, once they are known.
    pub layers: Vec<LayerProgress>,
    /// Why it waits, if it does: the last error, in one line.
    pub waiting: Option<String>,
}

/// How far a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Which blob.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// How many are here.
    pub done: u64,
    /// What is being done.
    pub step: Step,
}

/// What is being done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It waits for its turn.
    Waiting,
    /// It comes.
    Downloading,
    /// It is here, and waits to be unpacked.
    Here,
    /// It is being unpacked.
    Unpacking,
    /// It can be used.
    Ready,
}

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Under which name.
    pub name: Reference,
    /// What the name stands for: a manifest or an index.
    pub target: Descriptor,
    /// The manifest for this platform, by which the image is leased.
    pub manifest: Digest,
    /// Docker's id of it.
    pub id: Digest,
    /// Which host gave it.
    pub from: String,
    /// Bytes that came over the network.
    pub fetched: u64,
    /// What was shown for its manifest when it was given; none where nobody was asked for it.
    pub opened: Option<Credential>,
}
