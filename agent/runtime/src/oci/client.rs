//! The agent's end of a shim's socket.
//!
//! Two tasks own the connection, so that a caller who gives up waiting never leaves half a frame behind.

use hypermesh_shim::protocol::frame::{self, Decoder};
use hypermesh_shim::protocol::{Call, Event, Message, Refusal, Reply, Request};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait to be written; who asks more waits.
const QUEUE: usize = 64;

/// Why a call was not answered, or how.
#[derive(Debug)]
pub(super) enum CallError {
    /// The connection is gone.
    Gone,
    /// The request cannot be sent.
    TooLong(String),
    /// The shim would not.
    Refused(Refusal),
}

type Answer = (Result<Reply, Refusal>, Vec<OwnedFd>);
type Pending = Mutex<HashMap<u64, oneshot::Sender<Answer>>>;

/// A connection.
pub(super) struct Client {
    queue: mpsc::Sender<(Vec<u8>, Vec<OwnedFd>)>,
    pending: Arc<Pending>,
    next: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Connects. Events are given to `take` in their order; `end` is called once, when the connection is gone.
    pub(super) fn connect(
        socket: &Path,
        mut take: impl FnMut(Event) + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let stream = hypermesh_shim::socket::connect(socket)?;
        stream.set_nonblocking(true)?;
        let stream = Arc::new(UnixStream::from_std(stream)?);
        let pending: Arc<Pending> = Arc::default();
        let (queue, mut waiting) = mpsc::channel::<(Vec<u8>, Vec<OwnedFd>)>(QUEUE);
        let (writing, unanswered) = (stream.clone(), pending.clone());
        tokio::spawn(async move {
            while let Some((bytes, fds)) = waiting.recv().await {
                if write(&writing, &bytes, fds).await.is_err() {
                    break;
                }
            }
            // Who asks when the reader has ended already is told here: first nobody can ask any more, then all who have
            // are told by the loss of their sender.
            waiting.close();
            lock(&unanswered).clear();
            // Whoever let go of the client ends the shim's side too, and with it the reader.
            let _ = rustix::net::shutdown(&writing, rustix::net::Shutdown::Both);
        });
        let answers = pending.clone();
        tokio::spawn(async move {
            if let Err(error) = read(&stream, &answers, &mut take).await {
                tracing::warn!(%error, "a shim said what is not understood");
            }
            // Whoever waits is told by the loss of their sender.
            lock(&answers).clear();
            let _ = rustix::net::shutdown(&stream, rustix::net::Shutdown::Both);
            end();
        });
        Ok(Self { queue, pending, next: AtomicU64::new(1) })
    }

    /// Asks, and waits for the answer.
    pub(super) async fn call(
        &self,
        call: Call,
        fds: Vec<OwnedFd>,
    ) -> Result<(Reply, Vec<OwnedFd>), CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let count = u8::try_from(fds.len()).unwrap_or(u8::MAX);
        let bytes = frame::encode(&Request { id, fds: count, call })
            .map_err(|error| CallError::TooLong(error.to_string()))?;
        let (answer, told) = oneshot::channel();
        lock(&self.pending).insert(id, answer);
        let forget = Forget { pending: &self.pending, id };
        self.queue.send((bytes, fds)).await.map_err(|_| CallError::Gone)?;
        let (result, fds) = told.await.map_err(|_| CallError::Gone)?;
        drop(forget);
        result.map(|reply| (reply, fds)).map_err(CallError::Refused)
    }
}

/// Takes a request off the list, however waiting for it ends.
struct Forget<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.pending).remove(&self.id);
    }
}

async fn write(stream: &UnixStream, bytes: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
    let mut fds = fds;
    let mut sent = 0;
    while sent < bytes.len() {
        stream.writable().await?;
        let rest = bytes.get(sent..).unwrap_or_default();
        let now: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        match stream.try_io(Interest::WRITABLE, || frame::send(stream.as_fd(), rest, &now)) {
            Ok(count) => {
                sent += count;
                fds.clear();
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read(stream: &UnixStream, pending: &Pending, take: &mut impl FnMut(Event)) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if stream.readable().await.is_err() {
            return Ok(());
        }
        let (count, fds) = match stream
            .try_io(Interest::READABLE, || frame::receive(stream.as_fd(), &mut buffer))
        {
            Ok((0, _)) => return Ok(()),
            Ok(got) => got,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                continue;
            }
            // A shim that is killed resets its connection.
            Err(_) => return Ok(()),
        };
        decoder.push(buffer.get(..count).unwrap_or_default(), fds).map_err(io::Error::other)?;
        while let Some(message) = decoder.frame::<Message>().map_err(io::Error::other)? {
            match message {
                Message::Event(event) => take(event),
                Message::Answer { id, fds, result } => {
                    let fds = decoder.take_fds(fds).map_err(io::Error::other)?;
                    if let Some(waiting) = lock(pending).remove(&id) {
                        // Whoever asked may have given up.
                        drop(waiting.send((result, fds)));
                    }
                }
            }
        }
    }
}
