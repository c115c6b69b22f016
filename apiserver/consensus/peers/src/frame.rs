//! Frames: a length of four bytes, little-endian, then so many bytes of one message.
//!
//! A stream begins with one byte that says what is on it. A frame's announced length is judged before memory is taken for
//! it, and memory grows with what has arrived, never with what was announced.

use crate::class::{About, Class};
use bytes::{Buf, Bytes, BytesMut};
use hypermesh_bft::Message;
use thiserror::Error;

/// Bytes of a frame before its message.
pub const HEAD: usize = 4;
/// The most bytes that are read at once.
pub const CHUNK: usize = 64 << 10;
/// The longest frame of requests, in bytes without its head: each request alone fits.
pub const MOST_REQUESTS: usize = 8 << 20;

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Hellos, then statements, each way.
    Control,
    /// Requests one way, the number of those taken the other.
    Requests,
    /// One block.
    Block,
}

impl Stream {
    /// The byte.
    #[must_use]
    pub fn tag(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Requests => 1,
            Self::Block => 2,
        }
    }

    /// What a byte says; nothing if this version has no such stream.
    #[must_use]
    pub fn of_tag(tag: u8) -> Option<Self> {
        [Self::Control, Self::Requests, Self::Block].into_iter().find(|stream| stream.tag() == tag)
    }
}

/// The longest frame of a class, in bytes without its head.
#[must_use]
pub fn limit(class: Class) -> usize {
    match class {
        Class::Statements => Message::MOST_SHORT,
        Class::Blocks => Message::MOST_LONG,
        Class::Requests => MOST_REQUESTS,
    }
}

/// A frame announces what it may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It is longer than its stream allows.
    #[error("a frame of {length} bytes is announced where at most {limit} are taken")]
    TooLong {
        /// What was announced.
        length: usize,
        /// What is taken.
        limit: usize,
    },
    /// It is empty.
    #[error("an empty frame is announced")]
    Empty,
}

/// A message as it is sent, to however many peers. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
    pub(crate) about: About,
}

impl Frame {
    pub(crate) fn new(message: &Message) -> Self {
        let body = Bytes::from(message.encode());
        // Longer than 2^32 is no message: every limit is below.
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self { head: Bytes::copy_from_slice(&length.to_le_bytes()), body, about: About::of(message) }
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Cuts what arrives into frames.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: BytesMut,
    /// The length of the frame that is being read, once its head is there.
    announced: Option<usize>,
}

impl Decoder {
    /// For frames of at most `limit` bytes without their head.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: BytesMut::new(), announced: None }
    }

    /// The same stream, with another limit from the next frame on.
    #[must_use]
    pub(crate) fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Takes bytes of the stream. Take the frames that are there before giving it more: it holds what it is given.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The length of the next frame, as soon as its head is there, and whether or not the rest is.
    ///
    /// # Errors
    /// It announces what it may not be. The stream is of no more use.
    pub fn announced(&mut self) -> Result<Option<usize>, FrameError> {
        if let Some(length) = self.announced {
            return Ok(Some(length));
        }
        let Some(head) = self.buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        if length == 0 {
            return Err(FrameError::Empty);
        }
        self.buffer.advance(HEAD);
        self.announced = Some(length);
        Ok(Some(length))
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// As [`Decoder::announced`].
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced()? else { return Ok(None) };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.announced = None;
        let frame = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            // A large frame leaves no large buffer behind.
            self.buffer = BytesMut::new();
        }
        Ok(Some(frame))
    }

    /// How many bytes of a frame that has begun are missing: at least so many. None between frames.
    #[must_use]
    pub fn missing(&self) -> Option<usize> {
        match self.announced {
            Some(length) => Some(length.saturating_sub(self.buffer.len())),
            None if self.buffer.is_empty() => None,
            None => Some(HEAD.saturating_sub(self.buffer.len())),
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
        let frame = |body: &Vec<u8>| [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], body].concat();
        bodies.iter().flat_map(frame).collect()
    }

    proptest! {
        #[test]
        fn frames_come_out_however_they_arrive(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
            cuts in prop::collection::vec(1_usize..90, 1..40),
        ) {
            let stream = framed(&bodies);
            let (mut decoder, mut frames, mut rest) = (Decoder::new(200), Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                decoder.push(now);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame.to_vec());
                }
                prop_assert!(decoder.held() <= 200 + 90);
                rest = later;
            }
            prop_assert_eq!(frames, bodies);
            prop_assert_eq!(decoder.missing(), None);
        }
    }

    #[test]
    fn what_is_announced_is_judged_before_it_is_there() {
        let mut decoder = Decoder::new(10);
        decoder.push(&11_u32.to_le_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { length: 11, limit: 10 }));
        let mut decoder = Decoder::new(10);
        decoder.push(&[0; 4]);
        assert_eq!(decoder.next_frame(), Err(FrameError::Empty));
    }

    #[test]
    fn what_is_missing_is_known_within_a_frame_and_within_its_head() {
        let mut decoder = Decoder::new(10);
        assert_eq!(decoder.missing(), None);
        decoder.push(&[5, 0]);
        assert_eq!((decoder.announced(), decoder.missing()), (Ok(None), Some(2)));
        decoder.push(&[0, 0, 1]);
        assert_eq!((decoder.announced(), decoder.missing()), (Ok(Some(5)), Some(4)));
        decoder.push(&[1; 4]);
        assert_eq!(decoder.next_frame().unwrap().unwrap(), [1; 5][..]);
        assert_eq!(decoder.missing(), None);
    }

    #[test]
    fn every_stream_has_a_byte_of_its_own() {
        for stream in [Stream::Control, Stream::Requests, Stream::Block] {
            assert_eq!(Stream::of_tag(stream.tag()), Some(stream));
        }
        assert_eq!(Stream::of_tag(3), None);
    }
}
