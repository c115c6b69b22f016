//! Containers that really run: as root, on a root of Debian's busybox. Without rights each test says that it was skipped.

mod harness;
mod life;

use hypermesh_runtime as _;
