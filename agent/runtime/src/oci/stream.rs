//! Pipes and terminals as asynchronous streams.

use crate::class::{Input, Output};
use crate::error::{RuntimeError, io_error};
use hypermesh_shim::protocol::TerminalSize;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// What a process writes into a pipe.
pub(super) fn output(pipe: OwnedFd) -> Result<Output, RuntimeError> {
    let told = io_error("reading", "a pipe");
    Ok(Box::pin(pipe::Receiver::from_owned_fd(pipe).map_err(told)?))
}

/// What a process reads from a pipe.
pub(super) fn input(pipe: OwnedFd) -> Result<Input, RuntimeError> {
    let told = io_error("writing to", "a pipe");
    Ok(Box::pin(pipe::Sender::from_owned_fd(pipe).map_err(told)?))
}

/// A terminal's master.
#[derive(Clone)]
pub(super) struct Terminal(Arc<AsyncFd<Arc<OwnedFd>>>);

impl Terminal {
    pub(super) fn new(master: Arc<OwnedFd>) -> Result<Self, RuntimeError> {
        let told = |error| io_error("opening", "a terminal")(error);
        let flags = rustix::fs::fcntl_getfl(&master).map_err(|errno| told(errno.into()))?;
        rustix::fs::fcntl_setfl(&master, flags | rustix::fs::OFlags::NONBLOCK)
            .map_err(|errno| told(errno.into()))?;
        #[expect(unsafe_code, reason = "tokio asks for a promise that the descriptor stays the same")]
        // SAFETY: an `Arc` of an `OwnedFd` always gives the same descriptor, which is open as long as it lives.
        let registered = unsafe { AsyncFd::register(master) };
        Ok(Self(Arc::new(registered.map_err(|error| told(error.into()))?)))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let read = guard.try_io(|fd| {
                match rustix::io::read(fd.get_ref(), buf.initialize_unfilled()) {
                    // The end of a terminal: nobody has its other side open.
                    Err(rustix::io::Errno::IO) => Ok(0),
                    other => Ok(other?),
                }
            });
            if let Ok(read) = read {
                buf.advance(read?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(written) = guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A terminal's input does not end; `^D` is for who types.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Tells a terminal how large it is.
pub(crate) fn resize(terminal: Option<&OwnedFd>, size: TerminalSize) -> Result<(), RuntimeError> {
    let Some(terminal) = terminal else {
        return Err(RuntimeError::Invalid {
            what: "terminal".to_owned(),
            why: "the process has none, so it has no size".to_owned(),
        });
    };
    let size =
        rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
        .map_err(|errno| io_error("resizing", "a terminal")(errno.into()))
}
