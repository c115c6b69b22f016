//! The binary: hands the process to the library.

use nexusctl::{Environment, Streams};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(nexusctl::run(std::env::args_os(), Environment::of_process(), Streams::of_process()))
}
