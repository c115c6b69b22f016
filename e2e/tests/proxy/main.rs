//! `nexusctl proxy`: kubectl through it, and what it refuses.

mod kubectl;
mod refusals;

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Cluster;
use nexusctl::{Environment, Streams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Nothing here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy in this process, ended as people end it.
pub struct Proxy {
    /// What it listens on.
    pub place: String,
    running: JoinHandle<u8>,
}

/// A stream whose text goes to a channel.
struct Told(Sender<String>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Nobody listens any more once the first line was read.
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `nexusctl proxy` with these words; its exit code and what it says.
pub fn run(cluster: &Cluster, words: &[&str]) -> Result<(JoinHandle<u8>, Receiver<String>)> {
    let (tell, told) = channel();
    let environment = Environment {
        kubeconfig: Some(cluster.kubeconfig()?.as_os_str().to_owned()),
        ..Environment::default()
    };
    let words: Vec<_> = ["nexusctl", "proxy"].iter().chain(words).map(Into::into).collect();
    let running = std::thread::spawn(move || {
        let streams = Streams {
            input: Box::new(std::io::empty()),
            out: Box::new(Told(tell.clone())),
            err: Box::new(Told(tell)),
            ..Streams::of_process()
        };
        nexusctl::run(words, environment, streams)
    });
    Ok((running, told))
}

impl Proxy {
    /// Starts one; it serves once this returns.
    pub fn start(cluster: &Cluster, words: &[&str]) -> Result<Self> {
        let (running, told) = run(cluster, words)?;
        let mut text = String::new();
        while !text.contains('\n') {
            text += &told.recv_timeout(PATIENCE).context("the proxy says nothing")?;
        }
        let place = text.trim().strip_prefix("Starting to serve on ").context(text.clone())?.to_owned();
        Ok(Self { place, running })
    }

    /// Ends it by SIGINT; it has to end well, and soon.
    pub fn end(self) -> Result<()> {
        kill(Pid::this(), Signal::SIGINT)?;
        let begun = std::time::Instant::now();
        while !self.running.is_finished() {
            ensure!(begun.elapsed() < PATIENCE, "the proxy does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.running.join().map_err(|_| anyhow::anyhow!("the proxy panicked"))?;
        ensure!(code == 0, "the proxy exited {code}");
        Ok(())
    }

    /// Sends bytes and reads what comes until the other side closes.
    pub fn exchange(&self, request: &str) -> Result<String> {
        let stream = std::net::TcpStream::connect(&self.place)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        exchange(stream, request)
    }
}

/// Sends bytes and reads what comes until the other side closes.
pub fn exchange(mut stream: impl Read + Write, request: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}
