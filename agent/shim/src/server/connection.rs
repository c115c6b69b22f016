//! One agent that is connected: requests in, answers and events out, and nobody waits.

use crate::protocol::frame::{self, Decoder};
use crate::protocol::{Message, Refusal, Reply, Request};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The most that waits for an agent that does not read, in bytes. It is cut off then, and finds all in state files.
const MAX_WAITING: usize = 4 << 20;

/// Which connection, and which request of it, an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) connection: u64,
    pub(super) request: u64,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    out: VecDeque<Waiting>,
    waiting: usize,
    /// Whether it is told what happens.
    pub(super) listens: bool,
    /// Whether it is of no use any more.
    pub(super) broken: bool,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

impl Connection {
    /// Of who may ask: root, or the shim's own user.
    pub(super) fn accept(stream: UnixStream) -> io::Result<Option<Self>> {
        let peer = rustix::net::sockopt::socket_peercred(&stream)?;
        if !peer.uid.is_root() && peer.uid != rustix::process::geteuid() {
            return Ok(None);
        }
        stream.set_nonblocking(true)?;
        let (decoder, out) = (Decoder::default(), VecDeque::new());
        Ok(Some(Self { stream, decoder, out, waiting: 0, listens: false, broken: false }))
    }

    /// The mount namespace of who asks.
    pub(super) fn mounts(&self) -> Option<OwnedFd> {
        let peer = rustix::net::sockopt::socket_peercred(&self.stream).ok()?;
        let path = format!("/proc/{}/ns/mnt", peer.pid.as_raw_nonzero());
        File::open(path).ok().map(OwnedFd::from)
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// Reads what there is, and gives the requests in it with their descriptors.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Vec<(Request, Vec<OwnedFd>)> {
        let mut requests = Vec::new();
        match frame::receive(&self.stream, buffer) {
            Ok((0, _)) => self.broken = true,
            Ok((count, fds)) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                let take = || {
                    self.decoder.push(bytes, fds)?;
                    while let Some(request) = self.decoder.frame::<Request>()? {
                        let fds = self.decoder.take_fds(request.fds)?;
                        requests.push((request, fds));
                    }
                    Ok::<(), frame::FrameError>(())
                };
                if let Err(error) = take() {
                    eprintln!("an agent is cut off: {}", crate::chain(&error));
                    self.broken = true;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.broken = true,
        }
        requests
    }

    pub(super) fn answer(&mut self, request: u64, result: Result<Reply, Refusal>, fds: Vec<OwnedFd>) {
        let count = u8::try_from(fds.len()).unwrap_or_default();
        self.send(&Message::Answer { id: request, fds: count, result }, fds);
    }

    pub(super) fn send(&mut self, message: &Message, fds: Vec<OwnedFd>) {
        if self.broken {
            return;
        }
        match frame::encode(message) {
            Ok(bytes) if self.waiting + bytes.len() <= MAX_WAITING => {
                self.waiting += bytes.len();
                self.out.push_back(Waiting { bytes, sent: 0, fds });
                self.write();
            }
            _ => self.broken = true,
        }
    }

    /// Writes what it takes.
    pub(super) fn write(&mut self) {
        while let Some(waiting) = self.out.front_mut() {
            let rest = waiting.bytes.get(waiting.sent..).unwrap_or_default();
            let fds: Vec<BorrowedFd<'_>> = waiting.fds.iter().map(AsFd::as_fd).collect();
            match frame::send(self.stream.as_fd(), rest, &fds) {
                Ok(count) => {
                    waiting.sent += count;
                    if count > 0 {
                        waiting.fds.clear();
                    }
                    if waiting.sent == waiting.bytes.len() {
                        self.waiting -= waiting.bytes.len();
                        self.out.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
