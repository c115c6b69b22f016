//! quinn's streams as h3 wants them.
//!
//! Of our own instead of h3-quinn's because requests in early data must be told apart, because frames are guarded
//! before h3 holds them, because half-done streams must be reset rather than finished when dropped, and because
//! stopping a stream while a read waits must not panic.

use crate::connection::Connection as Conn;
use crate::http3::frames::{Allowance, FrameError, FrameGuard};
use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use parking_lot::Mutex;
use quinn::{ReadError, VarInt, WriteError};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// Bytes read at a time: a body's chunk.
const READ: usize = 64 << 10;
/// Frames up to this length are written in one piece, heads included.
const GATHER: u64 = 4 << 10;

type Accepted<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>> + Send + Sync>>;
type Opening<T> = Option<Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>>;
type Pair = (quinn::SendStream, quinn::RecvStream);

/// What a stream of either end is made with.
#[derive(Clone)]
pub(crate) struct StreamRules {
    /// Bytes of an encoded header section.
    pub(crate) most_headers: u64,
    /// The code with which a half is ended that was dropped before its end.
    pub(crate) dropped: Code,
    /// The code with which the peer is told that nothing more is read.
    pub(crate) unread: Code,
    /// Whether a stream that is dropped whole, after something was written, is finished instead: so it is when h3
    /// answers by itself that a request's fields are too large.
    pub(crate) answers_itself: bool,
}

/// What h3 does not tell of the request stream it accepted last.
pub(crate) struct Arrival {
    /// It came, at least in part, before the handshake was over, and may be a replay.
    pub(crate) early: bool,
    /// Ends when the client wants no answer (more), or has all of it.
    pub(crate) stopped: BoxFuture<'static, ()>,
    /// Whether the answer's fields were sent.
    pub(crate) answering: bool,
}

/// A connection as h3 wants it.
pub(crate) struct Transport {
    opener: Opener,
    requests: Accepted<Pair>,
    one_way: Accepted<quinn::RecvStream>,
    arrival: Arc<Mutex<Option<Arrival>>>,
}

impl Transport {
    pub(crate) fn new(connection: &Conn, rules: StreamRules) -> Self {
        let conn = connection.quinn().clone();
        let (bi, uni) = (conn.clone(), conn.clone());
        let allowance = Allowance::new(rules.most_headers);
        Self {
            requests: Box::pin(stream::unfold(bi, |c| async { Some((c.accept_bi().await, c)) })),
            one_way: Box::pin(stream::unfold(uni, |c| async { Some((c.accept_uni().await, c)) })),
            arrival: Arc::default(),
            opener: Opener { conn, rules, allowance, detached: Arc::default(), bi: None, uni: None },
        }
    }

    /// Where each accepted request leaves what h3 does not tell.
    pub(crate) fn arrivals(&self) -> Arc<Mutex<Option<Arrival>>> {
        Arc::clone(&self.arrival)
    }

    /// Once set, h3 can no longer close the connection.
    pub(crate) fn detach(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.opener.detached)
    }
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = RecvHalf;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvHalf, ConnectionErrorIncoming>> {
        let recv = ended(ready!(self.one_way.as_mut().poll_next(cx)))?;
        Poll::Ready(Ok(RecvHalf::new(recv, FrameGuard::one_way(&self.opener.allowance), &self.opener.rules)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bidi, ConnectionErrorIncoming>> {
        let (send, recv) = ended(ready!(self.requests.as_mut().poll_next(cx)))?;
        let stopped = send.stopped();
        *self.arrival.lock() = Some(Arrival {
            early: recv.is_0rtt(),
            stopped: Box::pin(async {
                let _ = stopped.await;
            }),
            answering: false,
        });
        Poll::Ready(Ok(Bidi::new(send, recv, &self.opener)))
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = Bidi;
    type SendStream = SendHalf;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bidi, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens streams on a connection.
pub(crate) struct Opener {
    conn: quinn::Connection,
    rules: StreamRules,
    allowance: Allowance,
    detached: Arc<AtomicBool>,
    bi: Opening<Pair>,
    uni: Opening<quinn::SendStream>,
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self {
            conn: self.conn.clone(),
            rules: self.rules.clone(),
            allowance: self.allowance.clone(),
            detached: Arc::clone(&self.detached),
            bi: None,
            uni: None,
        }
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Bidi;
    type SendStream = SendHalf;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bidi, StreamErrorIncoming>> {
        let conn = &self.conn;
        let opening = self.bi.get_or_insert_with(|| {
            let conn = conn.clone();
            Box::pin(async move { conn.open_bi().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.bi = None;
        let (send, recv) = opened.map_err(lost)?;
        Poll::Ready(Ok(Bidi::new(send, recv, self)))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        let conn = &self.conn;
        let opening = self.uni.get_or_insert_with(|| {
            let conn = conn.clone();
            Box::pin(async move { conn.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.uni = None;
        Poll::Ready(Ok(SendHalf::new(opened.map_err(lost)?, &self.rules)))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        if !self.detached.load(Ordering::Acquire) && self.conn.close_reason().is_none() {
            self.conn.close(varint(code.value()), reason);
        }
    }
}

/// A stream of both directions.
pub(crate) struct Bidi {
    send: SendHalf,
    recv: RecvHalf,
}

impl Bidi {
    fn new(send: quinn::SendStream, recv: quinn::RecvStream, opener: &Opener) -> Self {
        let mut send = SendHalf::new(send, &opener.rules);
        send.finishes = opener.rules.answers_itself;
        Self { send, recv: RecvHalf::new(recv, FrameGuard::request(&opener.allowance), &opener.rules) }
    }
}

impl quic::BidiStream<Bytes> for Bidi {
    type SendStream = SendHalf;
    type RecvStream = RecvHalf;

    fn split(mut self) -> (SendHalf, RecvHalf) {
        self.send.finishes = false;
        (self.send, self.recv)
    }
}

impl quic::SendStream<Bytes> for Bidi {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl quic::RecvStream for Bidi {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let read = ready!(self.recv.poll_data(cx));
        if let Err(StreamErrorIncoming::Unknown(error)) = &read
            && error.is::<FrameError>()
        {
            quic::SendStream::reset(&mut self.send, Code::H3_EXCESSIVE_LOAD.value());
        }
        Poll::Ready(read)
    }

    fn stop_sending(&mut self, code: u64) {
        self.recv.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

/// Half of a stream, to read from.
pub(crate) struct RecvHalf {
    stream: quinn::RecvStream,
    guard: FrameGuard,
    /// What was read and not yet handed on.
    rest: Bytes,
    over: bool,
    unread: u64,
}

impl RecvHalf {
    fn new(stream: quinn::RecvStream, guard: FrameGuard, rules: &StreamRules) -> Self {
        Self { stream, guard, rest: Bytes::new(), over: false, unread: rules.unread.value() }
    }
}

impl quic::RecvStream for RecvHalf {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            if let Some(piece) = self.guard.next(&mut self.rest).map_err(broken)? {
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.over {
                return Poll::Ready(Ok(None));
            }
            // The future keeps nothing of its own between polls.
            let read = ready!(pin!(self.stream.read_chunk(READ, true)).poll(cx));
            match read {
                Ok(Some(chunk)) => self.rest = chunk.bytes,
                Ok(None) => {
                    self.over = true;
                    self.guard.finish().map_err(broken)?;
                }
                Err(error) => {
                    self.over = true;
                    return Poll::Ready(Err(match error {
                        ReadError::Reset(code) => {
                            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
                        }
                        ReadError::ConnectionLost(error) => lost(error),
                        other => StreamErrorIncoming::Unknown(Box::new(other)),
                    }));
                }
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        self.over = true;
        self.rest.clear();
        // Already stopped or read: nothing is left to stop.
        let _ = self.stream.stop(varint(code));
    }

    fn recv_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.stream.stop(varint(self.unread));
        }
    }
}

/// Half of a stream, to write to.
pub(crate) struct SendHalf {
    stream: quinn::SendStream,
    writing: Option<Writing>,
    over: bool,
    wrote: bool,
    finishes: bool,
    dropped: u64,
}

enum Writing {
    Whole(Bytes),
    Parts(Box<WriteBuf<Bytes>>),
}

impl SendHalf {
    fn new(stream: quinn::SendStream, rules: &StreamRules) -> Self {
        let dropped = rules.dropped.value();
        Self { stream, writing: None, over: false, wrote: false, finishes: false, dropped }
    }
}

impl quic::SendStream<Bytes> for SendHalf {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(writing) = &mut self.writing {
            let writing: &mut dyn Buf = match writing {
                Writing::Whole(bytes) => bytes,
                Writing::Parts(parts) => parts.as_mut(),
            };
            if writing.has_remaining() {
                let written =
                    ready!(Pin::new(&mut self.stream).poll_write(cx, writing.chunk())).map_err(unwritten)?;
                writing.advance(written);
                self.wrote = true;
            } else {
                self.writing = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::Unknown("a frame is still being written".into()));
        }
        let mut data: WriteBuf<Bytes> = data.into();
        let length = data.remaining();
        self.writing = Some(if length as u64 <= GATHER {
            Writing::Whole(data.copy_to_bytes(length))
        } else {
            Writing::Parts(Box::new(data))
        });
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        if !std::mem::replace(&mut self.over, true) {
            // The peer may have stopped the stream meanwhile; then nobody waits for its end.
            let _ = self.stream.finish();
        }
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        self.over = true;
        let _ = self.stream.reset(varint(code));
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let _ = if self.finishes && self.wrote && self.writing.is_none() {
            self.stream.finish()
        } else {
            self.stream.reset(varint(self.dropped))
        };
    }
}

fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[expect(clippy::expect_used, reason = "both are the 62-bit integer of RFC 9000 §2.1")]
fn id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).expect("a stream's id has 62 bits")
}

/// The stream of accepted streams has no end.
fn ended<T>(next: Option<Result<T, quinn::ConnectionError>>) -> Result<T, ConnectionErrorIncoming> {
    match next {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(connection_lost(error)),
        None => Err(ConnectionErrorIncoming::Timeout),
    }
}

fn connection_lost(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn lost(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_lost(error) }
}

fn unwritten(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        WriteError::ConnectionLost(error) => lost(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

fn broken(error: FrameError) -> StreamErrorIncoming {
    StreamErrorIncoming::Unknown(Box::new(error))
}
