//! The binary: hands the process to the library.

use nexusctl::{Environment, Streams};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    // The agent of `up` starts this program as the parent of each instance's containers: one thread, and nothing else.
    if arguments.nth(1).is_some_and(|verb| verb == "shim") {
        return hypermesh_shim::main(arguments);
    }
    // Only a daemon lives long enough to care.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "up") {
        hypermesh_apiserver::memory::settle();
    }
    ExitCode::from(nexusctl::run(std::env::args_os(), Environment::of_process(), Streams::of_process()))
}
