//! A shim and nothing else: what an agent executes for each instance where this lies beside it, since it takes less memory
//! than `nexus-agent shim`, which is the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    hypermesh_shim::main(std::env::args_os().skip(1))
}
