//! The engine of one replica among four, whose others do what the tests say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod barrier;
mod four;
mod half_blocks;
mod hostile;
mod lost_log;
mod nothing_to_order;
