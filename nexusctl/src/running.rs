//! What runs: which instances a word means, and the streams to and from them.
//!
//! The verbs that look into an instance (`logs`, `exec`, `attach`, `port-forward`, `cp`) are thin over this.

mod duplex;
mod find;
mod frames;
mod terminal;

pub use duplex::{Duplex, Ended};
pub use find::{Meant, Place, container_names, find, is_leaving, list_of, meant, one, places};
pub use frames::body;
pub use terminal::{Raw, size};
