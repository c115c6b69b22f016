//! The runtime against a server that does what a test asks: retries, conflicts, malformed objects, elections. Time is
//! tokio's, paused: what waits minutes takes milliseconds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own steps fail by panicking")]

mod driving;
mod elections;
mod fake;
mod placing;
mod silence;
mod users;
mod workloads;
