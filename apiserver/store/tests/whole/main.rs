//! The store as a whole, through its public face, on real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crash;
mod damage;
mod disk_full;
mod keys;
mod model;
mod reads;
mod support;
