//! What runs: which instances a word means, and the streams to and from them.
//!
//! The verbs that look into an instance (`logs`, `exec`, `attach`, `port-forward`, `cp`) are thin over this.

mod duplex;
mod find;
mod frames;
mod terminal;

pub use duplex::{Duplex, Ended};
pub use find::{Place, container_names, find, one};
pub use frames::body;
pub use terminal::{Raw, size};
