//! SPDY/3.1, as far as port forwarding needs it: kubectl tunnels it through WebSocket, and older clients speak it alone.
//!
//! The reading half of a connection's frames, and the frames that a server writes back. There is no flow control: clients of
//! Kubernetes (`moby/spdystream`) have none, so who reads slowly slows the whole connection. A decoder holds one frame at
//! most and inflates header blocks to [`MAX_HEADERS`] at most.
//!
//! Source: the SPDY protocol, draft 3.1 (`draft-mbelshe-httpbis-spdy-00` for frames and the dictionary).

mod dictionary;
mod headers;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use headers::Inflater;
use thiserror::Error;

/// The longest control frame, in bytes.
pub const MAX_CONTROL: usize = 16 * 1024;
/// The longest data frame, in bytes.
pub const MAX_DATA: usize = 256 * 1024;
/// The most that a block of headers may be once it is inflated, in bytes.
pub const MAX_HEADERS: usize = 16 * 1024;

const HEADER: usize = 8;
const VERSION: u16 = 3;
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// The stream is refused: `RST_STREAM`'s code for a protocol error.
pub const PROTOCOL_ERROR: u32 = 1;
/// The stream was not looked at.
pub const REFUSED_STREAM: u32 = 3;

/// A frame that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// It opens a stream.
    Open {
        /// Which.
        stream: u32,
        /// Whether the client sends nothing on it.
        fin: bool,
        /// Names, in lower case, and values.
        headers: Vec<(String, String)>,
    },
    /// It sends.
    Data {
        /// On which stream.
        stream: u32,
        /// Whether that was all.
        fin: bool,
        /// What.
        bytes: Bytes,
    },
    /// It gives a stream up.
    Reset(u32),
    /// It asks whether anyone is there: to be answered with the same number.
    Ping(u32),
    /// It opens no more streams.
    GoAway,
    /// Something that asks for nothing.
    Other,
}

/// Bytes that are no SPDY.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpdyError {
    /// Another version.
    #[error("a frame is of SPDY/{0}; SPDY/3.1 is spoken here")]
    Version(u16),
    /// A frame is too long.
    #[error("a frame has {length} bytes, the limit is {most}")]
    TooLong {
        /// What it announces.
        length: usize,
        /// What is taken.
        most: usize,
    },
    /// A frame is shorter than its kind.
    #[error("a frame of type {0} is cut short")]
    Short(u16),
    /// A block of headers.
    #[error("a block of headers cannot be read: {0}")]
    Headers(&'static str),
}

/// Reads frames from bytes as they come. After an error it must not be asked again.
#[derive(Default)]
pub struct Decoder {
    held: BytesMut,
    inflater: Inflater,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Takes a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no SPDY/3.1: the connection cannot go on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, SpdyError> {
        let Some((head, _)) = self.held.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [a, b, c, d, flags, l1, l2, l3] = *head;
        let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
        let control = a & 0x80 != 0;
        let most = if control { MAX_CONTROL } else { MAX_DATA };
        if length > most {
            return Err(SpdyError::TooLong { length, most });
        }
        if self.held.len() < HEADER + length {
            return Ok(None);
        }
        self.held.advance(HEADER);
        let payload = self.held.split_to(length).freeze();
        let fin = flags & FIN != 0;
        if !control {
            let stream = u32::from_be_bytes([a, b, c, d]);
            return Ok(Some(Frame::Data { stream, fin, bytes: payload }));
        }
        let version = u16::from_be_bytes([a & 0x7f, b]);
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        self.control(u16::from_be_bytes([c, d]), fin, payload).map(Some)
    }

    fn control(&mut self, kind: u16, fin: bool, mut payload: Bytes) -> Result<Frame, SpdyError> {
        let mut id = || payload.try_get_u32().map(|id| id & 0x7fff_ffff).map_err(|_| SpdyError::Short(kind));
        match kind {
            SYN_STREAM => {
                let stream = id()?;
                let _associated = id()?;
                // Priority and slot.
                payload.try_get_u16().map_err(|_| SpdyError::Short(kind))?;
                Ok(Frame::Open { stream, fin, headers: self.inflater.block(&payload)? })
            }
            // All blocks of a connection are one compressed stream: each has to be read.
            SYN_REPLY | HEADERS => {
                id()?;
                self.inflater.block(&payload)?;
                Ok(Frame::Other)
            }
            RST_STREAM => Ok(Frame::Reset(id()?)),
            PING => Ok(Frame::Ping(payload.try_get_u32().map_err(|_| SpdyError::Short(kind))?)),
            GOAWAY => Ok(Frame::GoAway),
            _ => Ok(Frame::Other),
        }
    }
}

fn control(kind: u16, length: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER + length);
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    // A length of 24 bits below flags that are not set.
    out.put_u32(length as u32);
    out
}

/// Writes the frames of a server. Header blocks go uncompressed, in the form that a compressed stream has for that.
#[derive(Debug, Default)]
pub struct Encoder {
    begun: bool,
}

impl Encoder {
    /// A stream is accepted. Nothing is said of it.
    pub fn reply(&mut self, stream: u32) -> Bytes {
        // No pairs.
        let block = headers::stored(&[0; 4], !std::mem::replace(&mut self.begun, true));
        let mut out = control(SYN_REPLY, 4 + block.len());
        out.put_u32(stream);
        out.extend_from_slice(&block);
        out.freeze()
    }
}

/// Bytes on a stream, and whether that was all. What is longer than a frame may be is several.
#[must_use]
pub fn data(stream: u32, bytes: &[u8], fin: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER + bytes.len());
    let mut chunks = bytes.chunks(MAX_DATA).peekable();
    let mut put = |chunk: &[u8], last: bool| {
        out.put_u32(stream & 0x7fff_ffff);
        let flags = if last && fin { u32::from(FIN) << 24 } else { 0 };
        out.put_u32(flags | chunk.len() as u32);
        out.extend_from_slice(chunk);
    };
    if chunks.peek().is_none() {
        put(&[], true);
    }
    while let Some(chunk) = chunks.next() {
        put(chunk, chunks.peek().is_none());
    }
    out.freeze()
}

/// A stream is given up.
#[must_use]
pub fn reset(stream: u32, code: u32) -> Bytes {
    let mut out = control(RST_STREAM, 8);
    out.put_u32(stream);
    out.put_u32(code);
    out.freeze()
}

/// The answer to a ping.
#[must_use]
pub fn ping(number: u32) -> Bytes {
    let mut out = control(PING, 4);
    out.put_u32(number);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8], chunk: usize) -> Result<Vec<Frame>, SpdyError> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for part in bytes.chunks(chunk) {
            decoder.push(part);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn open(stream: u32, pairs: &[(&str, &str)], first: bool) -> Bytes {
        let mut block = BytesMut::new();
        block.put_u32(pairs.len() as u32);
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(text.len() as u32);
            block.extend_from_slice(text.as_bytes());
        }
        let block = headers::stored(&block, first);
        let mut out = control(SYN_STREAM, 10 + block.len());
        out.put_u32(stream);
        out.put_u32(0);
        out.put_u16(0);
        out.extend_from_slice(&block);
        out.freeze()
    }

    #[test]
    fn streams_open_and_carry_bytes_however_they_are_cut() {
        let bytes = [
            open(1, &[("streamtype", "error"), ("port", "80")], true),
            open(3, &[("streamtype", "data")], false),
            data(3, b"GET /", false),
            data(3, b"", true),
            ping(1),
            reset(1, PROTOCOL_ERROR),
        ]
        .concat();
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let golden = vec![
            Frame::Open { stream: 1, fin: false, headers: pairs(&[("streamtype", "error"), ("port", "80")]) },
            Frame::Open { stream: 3, fin: false, headers: pairs(&[("streamtype", "data")]) },
            Frame::Data { stream: 3, fin: false, bytes: "GET /".into() },
            Frame::Data { stream: 3, fin: true, bytes: Bytes::new() },
            Frame::Ping(1),
            Frame::Reset(1),
        ];
        for chunk in [1, 7, 1000] {
            assert_eq!(frames(&bytes, chunk).unwrap(), golden);
        }
    }

    #[test]
    fn what_a_server_writes_reads_back() {
        let mut encoder = Encoder::default();
        let bytes = [encoder.reply(1), encoder.reply(3)].concat();
        assert_eq!(frames(&bytes, 5).unwrap(), [Frame::Other, Frame::Other]);
        let long = vec![7; MAX_DATA + 1];
        let sent = frames(&data(5, &long, true), 4096).unwrap();
        let ends: Vec<bool> = sent.iter().map(|f| matches!(f, Frame::Data { fin: true, .. })).collect();
        assert_eq!(ends, [false, true]);
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let long = [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff];
        assert!(matches!(frames(&long, 8), Err(SpdyError::TooLong { most: MAX_CONTROL, .. })));
        assert!(matches!(
            frames(&[0, 0, 0, 1, 0, 0xff, 0, 0], 8),
            Err(SpdyError::TooLong { most: MAX_DATA, .. })
        ));
        assert_eq!(frames(&[0x80, 2, 0, 1, 0, 0, 0, 0], 8), Err(SpdyError::Version(2)));
        assert_eq!(frames(&[0x80, 3, 0, 1, 0, 0, 0, 0], 8), Err(SpdyError::Short(SYN_STREAM)));
        // A bomb: ten thousand names of which each is as short as can be.
        let bomb = vec![("", ""); 10_000];
        assert!(matches!(frames(&open(1, &bomb, true), 99_999), Err(SpdyError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), chunk in 1..9_usize) {
            let _ = frames(&bytes, chunk);
            let whole = [&[0x80, 3, 0, 1, 0, 0, 0, bytes.len() as u8], &bytes[..]].concat();
            let _ = frames(&whole, chunk);
        }
    }
}
