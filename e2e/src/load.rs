//! A load driver for servers that speak Kubernetes' REST over HTTP/1.1, and for etcd's JSON gateway.
//!
//! It measures from outside: latencies at the client, processor time and memory of the server's process from `/proc`.
//! It imports no crate of the server, so that the programs which use it build in seconds and cannot measure a shortcut.
//! Connections are open, and whatever a request needs to know is read, before a clock starts.

mod client;
mod etcd;
mod list;
mod meter;
mod objects;
mod run;
mod samples;
mod server;
mod watch;

pub use client::{Access, Call, Connection, Target};
pub use etcd::{Etcd, EtcdWork};
pub use list::{Listed, list};
pub use meter::{Meter, Usage, memory_mib, reset_peak};
pub use objects::{ObjectWork, Objects, Verb};
pub use run::{Outcome, Work, run};
pub use samples::Samples;
pub use server::{ServerProcess, ServerSpec, binary};
pub use watch::{WatchLoad, Watched, watch};
