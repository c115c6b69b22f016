//! Containers that really run: as root, on a root of Debian's busybox. Without rights each test says that it was skipped.

mod enter;
mod escape;
mod harness;
mod life;
mod limits;
mod restart;
mod volumes;
