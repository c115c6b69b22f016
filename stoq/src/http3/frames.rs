//! A guard over the bytes of a stream, before h3 reads them.
//!
//! h3 holds a frame of any announced length until it is whole, adds up the lengths of all its pieces at each one that
//! comes, takes a stream that ends within a frame for one that is complete, and takes an empty DATA frame for the end
//! of a body. It reads on before it looks at what it has, so that what begins with the piece before piles up. The
//! guard bounds the length of all frames but DATA, and of all that are not whole on a connection together; it hands
//! such a frame on in one piece once it is whole, and the head of a DATA frame apart from what is in it. It tells a
//! truncated stream, and leaves empty DATA frames out. What is in DATA frames is never copied.

use bytes::{Buf, Bytes};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// DATA (RFC 9114 §7.2.1).
const DATA: u64 = 0x0;
/// HEADERS (RFC 9114 §7.2.2).
const HEADERS: u64 = 0x1;
/// The longest frame that is neither: settings and what extensions may send.
const MOST_OTHER: u64 = 16 << 10;
/// The type of a control stream (RFC 9114 §6.2.1).
const CONTROL_STREAM: u64 = 0x0;
/// A head is at most two varints of eight bytes.
const LONGEST_HEAD: usize = 16;

/// What a peer may not send.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum FrameError {
    #[error("a frame of type {kind:#x} announces {length} bytes, and at most {most} are taken")]
    TooLong { kind: u64, length: u64, most: u64 },
    #[error("frames that are not whole take more than {most} bytes on this connection")]
    TooMuch { most: u64 },
    #[error("the stream ends within a frame")]
    Truncated,
}

/// What the frames of a connection may take, shared by the guards of its streams.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    /// Bytes of an encoded header section.
    most_headers: u64,
    /// Bytes of all frames, other than DATA, that are not whole.
    unfinished: Arc<AtomicU64>,
}

impl Allowance {
    /// Header sections of `most_headers` bytes, encoded.
    pub(crate) fn new(most_headers: u64) -> Self {
        Self { most_headers, unfinished: Arc::default() }
    }

    fn most_unfinished(&self) -> u64 {
        // Beside the longest header section, the settings have a place.
        self.most_headers.saturating_add(MOST_OTHER)
    }
}

/// What the bytes to come are.
#[derive(Clone, Copy, Debug)]
enum At {
    /// The type of a stream of one direction.
    StreamKind,
    Head,
    /// So much more of a DATA frame.
    Data(u64),
    /// So much more of another.
    Frame(u64),
    /// Not frames: passed as they are.
    Opaque,
}

#[derive(Debug)]
pub(crate) struct FrameGuard {
    at: At,
    /// `split[..split_length]` is the beginning of a head that the chunk before ended with.
    split: [u8; LONGEST_HEAD],
    split_length: usize,
    frame: Unfinished,
    most_headers: u64,
}

impl FrameGuard {
    /// Of a request stream.
    pub(crate) fn request(allowance: &Allowance) -> Self {
        Self::at(At::Head, allowance)
    }

    /// Of a stream of one direction, whose type comes first.
    pub(crate) fn one_way(allowance: &Allowance) -> Self {
        Self::at(At::StreamKind, allowance)
    }

    fn at(at: At, allowance: &Allowance) -> Self {
        let frame = Unfinished { bytes: Vec::new(), allowance: allowance.clone() };
        let most_headers = allowance.most_headers;
        Self { at, split: [0; LONGEST_HEAD], split_length: 0, frame, most_headers }
    }

    /// Takes of `chunk` what may be read next; nothing once all of it is taken.
    pub(crate) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        while !chunk.is_empty() {
            let piece = match self.at {
                At::Opaque => Some(std::mem::take(chunk)),
                At::Data(left) => {
                    let data = take(chunk, left);
                    self.at = match left - data.len() as u64 {
                        0 => At::Head,
                        left => At::Data(left),
                    };
                    Some(data)
                }
                At::Frame(left) => {
                    let more = take(chunk, left);
                    self.frame.extend(&more)?;
                    self.grown(left - more.len() as u64)
                }
                At::StreamKind | At::Head => self.begin(chunk)?,
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// The stream ended.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        match self.at {
            At::Data(_) | At::Frame(_) => Err(FrameError::Truncated),
            At::Head if self.split_length > 0 => Err(FrameError::Truncated),
            At::Head | At::StreamKind | At::Opaque => Ok(()),
        }
    }

    /// Takes a head, or as much of it as there is.
    fn begin(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        let before = self.split_length;
        let more = chunk.len().min(LONGEST_HEAD - before);
        self.split[before..before + more].copy_from_slice(&chunk[..more]);
        let split = self.split;
        let Some(head) = self.head(&split[..before + more])? else {
            chunk.advance(more);
            self.split_length += more;
            return Ok(None);
        };
        self.split_length = 0;
        // What is whole in this chunk is handed on as it lies there.
        let whole = match head.of {
            Of::Stream(_) | Of::Data => head.bytes as u64,
            Of::Other => (head.bytes as u64).saturating_add(head.length),
        };
        let piece = (before == 0 && whole <= chunk.len() as u64).then(|| take(chunk, whole));
        if piece.is_none() {
            chunk.advance(head.bytes - before);
        }
        let copied = || Bytes::copy_from_slice(&split[..head.bytes]);
        Ok(match head.of {
            Of::Stream(at) => {
                self.at = at;
                Some(piece.unwrap_or_else(copied))
            }
            Of::Data if head.length == 0 => {
                self.at = At::Head;
                None
            }
            Of::Data => {
                self.at = At::Data(head.length);
                Some(piece.unwrap_or_else(copied))
            }
            Of::Other if piece.is_some() => {
                self.at = At::Head;
                piece
            }
            Of::Other => {
                self.frame.extend(&split[..head.bytes])?;
                self.grown(head.length)
            }
        })
    }

    /// `left` bytes are to come of the frame that is assembled.
    fn grown(&mut self, left: u64) -> Option<Bytes> {
        self.at = if left == 0 { At::Head } else { At::Frame(left) };
        (left == 0).then(|| self.frame.take())
    }

    /// The head that `bytes` begin with, once it is whole.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, FrameError> {
        let Some((kind, first)) = varint(bytes) else { return Ok(None) };
        if matches!(self.at, At::StreamKind) {
            let at = if kind == CONTROL_STREAM { At::Head } else { At::Opaque };
            return Ok(Some(Head { bytes: first, length: 0, of: Of::Stream(at) }));
        }
        let Some((length, second)) = varint(&bytes[first..]) else { return Ok(None) };
        let (of, most) = match kind {
            DATA => (Of::Data, u64::MAX),
            HEADERS => (Of::Other, self.most_headers),
            _ => (Of::Other, MOST_OTHER),
        };
        if length > most {
            return Err(FrameError::TooLong { kind, length, most });
        }
        Ok(Some(Head { bytes: first + second, length, of }))
    }
}

struct Head {
    /// How long it is itself.
    bytes: usize,
    /// How long the payload is.
    length: u64,
    of: Of,
}

enum Of {
    /// A stream of one direction, with what comes next.
    Stream(At),
    Data,
    Other,
}

/// A frame that is assembled. It is a copy, for slices would keep alive the datagrams that they came in.
#[derive(Debug)]
struct Unfinished {
    bytes: Vec<u8>,
    allowance: Allowance,
}

impl Unfinished {
    fn extend(&mut self, more: &[u8]) -> Result<(), FrameError> {
        let most = self.allowance.most_unfinished();
        let held = self.allowance.unfinished.fetch_add(more.len() as u64, Ordering::Relaxed);
        if held.saturating_add(more.len() as u64) > most {
            self.allowance.unfinished.fetch_sub(more.len() as u64, Ordering::Relaxed);
            return Err(FrameError::TooMuch { most });
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        self.allowance.unfinished.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.take();
    }
}

/// At most `most` bytes of `chunk`.
fn take(chunk: &mut Bytes, most: u64) -> Bytes {
    chunk.split_to(usize::try_from(most).unwrap_or(usize::MAX).min(chunk.len()))
}

/// A variable-length integer (RFC 9000 §16) and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| (value << 8) | u64::from(*byte));
    Some((value, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put_varint(value: u64, width: u8, to: &mut Vec<u8>) {
        let width = match value {
            0..64 => width,
            64..16_384 => width.max(1),
            16_384..1_073_741_824 => width.max(2),
            _ => 3,
        };
        let bytes = (value | (u64::from(width) << (8 * (1 << width) - 2))).to_be_bytes();
        to.extend_from_slice(&bytes[8 - (1 << width)..]);
    }

    fn frame(kind: u64, payload: &[u8], width: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(kind, width, &mut bytes);
        put_varint(payload.len() as u64, width, &mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn pass(guard: &mut FrameGuard, bytes: &[u8], cuts: &[usize]) -> Result<Vec<u8>, FrameError> {
        Ok(pieces(guard, bytes, cuts)?.into_iter().flatten().collect())
    }

    fn pieces(guard: &mut FrameGuard, bytes: &[u8], cuts: &[usize]) -> Result<Vec<Bytes>, FrameError> {
        let mut out = Vec::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            let mut chunk = rest.split_to(cut.min(rest.len()));
            while let Some(piece) = guard.next(&mut chunk)? {
                out.push(piece);
            }
        }
        Ok(out)
    }

    fn request(most_headers: u64) -> FrameGuard {
        FrameGuard::request(&Allowance::new(most_headers))
    }

    fn one_way(most_headers: u64) -> FrameGuard {
        FrameGuard::one_way(&Allowance::new(most_headers))
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_all_but_empty_data_passes(
            frames in prop::collection::vec((0u64..9, prop::collection::vec(any::<u8>(), 0..70), 0u8..4), 0..12),
            cuts in prop::collection::vec(0usize..40, 0..40),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(k, p, w)| frame(*k, p, *w)).collect();
            let kept: Vec<u8> = frames
                .iter()
                .filter(|(k, p, _)| *k != DATA || !p.is_empty())
                .flat_map(|(k, p, w)| frame(*k, p, *w))
                .collect();
            let mut guard = request(1 << 14);
            prop_assert_eq!(pass(&mut guard, &bytes, &cuts).unwrap(), kept);
            prop_assert_eq!(guard.finish(), Ok(()));
        }

        #[test]
        fn a_stream_cut_off_is_told(
            payload in prop::collection::vec(any::<u8>(), 1..70),
            kind in 0u64..2,
            width in 0u8..4,
            keep in any::<prop::sample::Index>(),
        ) {
            let bytes = frame(kind, &payload, width);
            let keep = keep.index(bytes.len() - 1) + 1;
            let mut guard = request(1 << 14);
            pass(&mut guard, &bytes[..keep.min(bytes.len() - 1)], &[]).unwrap();
            let whole = keep == bytes.len();
            prop_assert_eq!(guard.finish().is_ok(), whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let _ = pass(&mut request(100), &bytes, &[cut]);
            let _ = pass(&mut one_way(100), &bytes, &[cut]);
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_at_its_head() {
        let mut head = Vec::new();
        put_varint(HEADERS, 0, &mut head);
        put_varint(1 << 40, 3, &mut head);
        assert_eq!(
            pass(&mut request(1000), &head, &[1, 1, 1]),
            Err(FrameError::TooLong { kind: HEADERS, length: 1 << 40, most: 1000 })
        );
        let mut head = Vec::new();
        put_varint(DATA, 0, &mut head);
        put_varint(1 << 40, 3, &mut head);
        assert_eq!(pass(&mut request(1000), &head, &[]).unwrap(), head);
    }

    #[test]
    fn a_frame_that_comes_byte_by_byte_is_handed_on_once() {
        let each = vec![1; 40_000];
        for (mut guard, kind, before) in [(request(20_000), HEADERS, vec![]), (one_way(0), 0x4, vec![0])] {
            let payload = vec![7; 16_000];
            let bytes = [before.clone(), frame(kind, &payload, 0), frame(kind, &payload, 0)].concat();
            let pieces = pieces(&mut guard, &bytes, &each).unwrap();
            assert_eq!(pieces.len(), before.len() + 2);
            assert_eq!(pieces.concat(), bytes);
        }
        // h3 reads twice for a DATA frame: of its head, and of what is in it.
        let bytes = frame(DATA, &[7], 0).repeat(1_000);
        for cuts in [&each[..], &[]] {
            assert_eq!(pieces(&mut request(10), &bytes, cuts).unwrap().len(), 2_000);
        }
    }

    #[test]
    fn what_is_begun_on_a_connection_is_counted_together_until_it_is_whole_or_given_up() {
        let allowance = Allowance::new(10_000);
        let most = allowance.most_unfinished();
        let bytes = frame(HEADERS, &[7; 10_000], 0);
        let begun = &bytes[..9_000];
        let mut guards: Vec<_> = (0..4).map(|_| FrameGuard::request(&allowance)).collect();
        for guard in &mut guards[..2] {
            assert_eq!(pieces(guard, begun, &[]), Ok(vec![]));
        }
        assert_eq!(pieces(&mut guards[2], begun, &[]), Err(FrameError::TooMuch { most }));
        // One is whole, another is given up: there is room for two.
        assert_eq!(pieces(&mut guards[0], &bytes[9_000..], &[]).unwrap().concat(), bytes);
        drop(guards.remove(1));
        drop(guards.remove(1));
        for guard in &mut guards {
            assert_eq!(pieces(guard, begun, &[]), Ok(vec![]));
        }
        assert_eq!(allowance.unfinished.load(Ordering::Relaxed), 18_000);
        drop(guards);
        assert_eq!(allowance.unfinished.load(Ordering::Relaxed), 0);
        // What comes whole takes nothing.
        let mut guard = FrameGuard::request(&allowance);
        assert_eq!(pieces(&mut guard, &bytes, &[]).unwrap().len(), 1);
    }

    #[test]
    fn streams_of_extensions_are_not_frames() {
        let mut bytes = Vec::new();
        put_varint(0x21, 0, &mut bytes);
        bytes.extend_from_slice(&[0xff; 64]);
        let mut guard = one_way(10);
        assert_eq!(pass(&mut guard, &bytes, &[1]).unwrap(), bytes);
        assert_eq!(guard.finish(), Ok(()));
    }
}
