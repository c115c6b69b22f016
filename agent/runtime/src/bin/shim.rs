//! A shim and nothing else: what `nexus-agent shim` is, for tests, for measuring, and for who wants less in each process.

use std::process::ExitCode;

fn main() -> ExitCode {
    hypermesh_shim::main(std::env::args_os().skip(1))
}
