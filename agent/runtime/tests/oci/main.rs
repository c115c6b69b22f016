//! Containers that really run: as root, on a root of Debian's busybox. Without rights each test says that it was skipped.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "what a test cannot do ends it")]

mod enter;
mod escape;
mod harness;
mod hostile;
mod kills;
mod life;
mod limits;
mod machine;
mod restart;
mod rootless;
mod unified;
mod volumes;
