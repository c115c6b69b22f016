//! kubectl as its users have it: found, asked for its version, run.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The oldest minor version of 1.x that the server is for.
const OLDEST: u32 = 31;

/// A kubectl and the cluster it talks to.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: OsString,
    kubeconfig: PathBuf,
    /// kubectl caches discovery and OpenAPI below its home.
    home: PathBuf,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What was run, for messages.
    pub line: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// The run, if it succeeded.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.code == 0, "{} exited {}\n{}\n{}", self.line, self.code, self.out, self.err);
        Ok(self)
    }

    /// The run, if it failed with this code.
    pub fn fails(self, code: i32) -> Result<Self> {
        let Self { line, out, err, .. } = &self;
        ensure!(self.code == code, "{line} exited {} instead of {code}\n{out}\n{err}", self.code);
        Ok(self)
    }

    /// The run, if its output holds `text`.
    pub fn says(self, text: &str) -> Result<Self> {
        let Self { line, out, err, .. } = &self;
        ensure!(out.contains(text) || err.contains(text), "{line} does not say {text:?}:\n{out}\n{err}");
        Ok(self)
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out)
            .with_context(|| format!("{} printed no JSON: {}", self.line, self.out))
    }
}

impl Kubectl {
    /// kubectl of `$KUBECTL` or the path; an error says why there is none that can be used.
    pub fn find(kubeconfig: &Path, home: &Path) -> Result<Self> {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| OsString::from("kubectl"));
        let kubectl = Self { program, kubeconfig: kubeconfig.to_owned(), home: home.to_owned() };
        let version = kubectl.run(&["version", "--client", "-o", "json"]).context("there is no kubectl")?;
        let version = version.ok()?.json()?;
        let minor = version.pointer("/clientVersion/minor").and_then(Value::as_str).unwrap_or_default();
        let number = minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
        match number {
            Ok(number) if number >= OLDEST => Ok(kubectl),
            _ => bail!("kubectl is 1.{minor}, and 1.{OLDEST} or newer is needed"),
        }
    }

    /// A command that is ready to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran> {
        Self::finish(self.command(arguments).spawn().context("running kubectl")?, arguments)
    }

    /// Runs it to its end, with text on its standard input.
    pub fn feed(&self, arguments: &[&str], input: &str) -> Result<Ran> {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().context("running kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        let input = input.to_owned();
        // A kubectl that ends before it has read all of it is judged by what it says.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let ran = Self::finish(child, arguments);
        drop(writer.join());
        ran
    }

    /// Waits for a run's end.
    pub fn finish(child: Child, arguments: &[&str]) -> Result<Ran> {
        let output = child.wait_with_output().context("waiting for kubectl")?;
        Ok(Ran {
            line: format!("kubectl {}", arguments.join(" ")),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
