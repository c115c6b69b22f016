//! Whole invocations against a server of the same conventions, in process.

#![expect(clippy::unwrap_used, reason = "a harness that fails is a test that fails")]

mod apply;
mod auth;
mod change;
mod config;
mod convert;
mod create;
mod delete;
mod diff;
mod edit;
mod get;
mod interrupt;
mod kubeconfig;
mod look;
mod place;
mod port_forward;
mod rollout;
mod server;
mod tls;
mod verbs;

use nexusctl::{Environment, Streams};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

/// What an invocation left behind.
pub struct Ran {
    /// Exit code.
    pub code: u8,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Runs `nexusctl` with words split at spaces, `input` on standard input, and an empty environment.
pub fn run_with(words: &str, input: &str) -> Ran {
    run_in(Environment::default(), words, input)
}

/// Runs `nexusctl` in an environment.
pub fn run_in(environment: Environment, words: &str, input: &str) -> Ran {
    run_at(None, environment, words, input)
}

/// Runs `nexusctl` before a terminal of a width.
pub fn run_at(width: Option<usize>, environment: Environment, words: &str, input: &str) -> Ran {
    let (out, err) = (Shared::default(), Shared::default());
    let streams = streams(width, (out.clone(), err.clone()), input);
    let arguments = std::iter::once("nexusctl").chain(words.split_whitespace()).map(Into::into);
    let code = nexusctl::run(arguments, environment, streams);
    Ran { code, out: out.text(), err: err.text() }
}

/// Streams of an invocation, of which what it writes can be read while it runs.
fn streams(width: Option<usize>, (out, err): (Shared, Shared), input: &str) -> Streams {
    Streams {
        input: Box::new(io::Cursor::new(input.to_owned().into_bytes())),
        out: Box::new(out),
        err: Box::new(err),
        out_color: false,
        err_color: false,
        out_width: width,
        err_width: None,
        reader: None,
    }
}
