//! A guard over the bytes of a stream, before h3 reads them.
//!
//! h3 holds a frame of any announced length until it is whole, takes a stream that ends within a frame for one that
//! is complete, and takes an empty DATA frame for the end of a body. The guard bounds the length of all frames but
//! DATA, tells a truncated stream, and leaves empty DATA frames out. It changes nothing else and copies nothing but
//! frame heads that are split between two chunks.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use thiserror::Error;

/// DATA (RFC 9114 §7.2.1).
const DATA: u64 = 0x0;
/// HEADERS (RFC 9114 §7.2.2).
const HEADERS: u64 = 0x1;
/// The longest frame that is neither: settings and what extensions may send.
const MOST_OTHER: u64 = 16 << 10;
/// The type of a control stream (RFC 9114 §6.2.1).
const CONTROL_STREAM: u64 = 0x0;

/// What a peer may not send.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum FrameError {
    #[error("a frame of type {kind:#x} announces {length} bytes, and at most {most} are taken")]
    TooLong { kind: u64, length: u64, most: u64 },
    #[error("the stream ends within a frame")]
    Truncated,
}

/// What the bytes to come are.
#[derive(Clone, Copy, Debug)]
enum At {
    /// The type of a stream of one direction.
    StreamKind,
    Head,
    Payload(u64),
    /// Not frames: passed as they are.
    Opaque,
}

#[derive(Debug)]
pub(crate) struct FrameGuard {
    at: At,
    /// The beginning of a head that the chunk before ended with.
    split: BytesMut,
    most_headers: u64,
}

impl FrameGuard {
    /// Of a request stream. `most_headers`: bytes of an encoded header section.
    pub(crate) fn request(most_headers: u64) -> Self {
        Self { at: At::Head, split: BytesMut::new(), most_headers }
    }

    /// Of a stream of one direction, whose type comes first.
    pub(crate) fn one_way(most_headers: u64) -> Self {
        Self { at: At::StreamKind, ..Self::request(most_headers) }
    }

    /// Takes a chunk; what may be read of it is added to `out`.
    pub(crate) fn feed(&mut self, mut chunk: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), FrameError> {
        // `chunk[..passed]` is let through and not yet in `out`.
        let mut passed = 0;
        while passed < chunk.len() {
            match self.at {
                At::Opaque => passed = chunk.len(),
                At::Payload(left) => {
                    let taken = left.min((chunk.len() - passed) as u64);
                    passed += taken as usize;
                    self.at = if taken == left { At::Head } else { At::Payload(left - taken) };
                }
                At::StreamKind | At::Head => {
                    push(out, chunk.split_to(passed));
                    passed = 0;
                    // A head is at most two varints of eight bytes.
                    let before = self.split.len();
                    self.split.extend_from_slice(&chunk[..chunk.len().min(16 - before.min(16))]);
                    let Some((length, at, empty)) = self.head()? else {
                        return Ok(());
                    };
                    let head = self.split.split_to(length);
                    self.split.clear();
                    self.at = at;
                    if before == 0 && !empty {
                        passed = length;
                        continue;
                    }
                    chunk.advance(length - before);
                    if !empty {
                        push(out, head.freeze());
                    }
                }
            }
        }
        push(out, chunk);
        Ok(())
    }

    /// The stream ended.
    pub(crate) fn finish(&self) -> Result<(), FrameError> {
        match self.at {
            At::Payload(_) => Err(FrameError::Truncated),
            At::Head if !self.split.is_empty() => Err(FrameError::Truncated),
            At::Head | At::StreamKind | At::Opaque => Ok(()),
        }
    }

    /// The head in `split`, once it is whole: its length, what follows, and whether it is an empty DATA frame.
    fn head(&self) -> Result<Option<(usize, At, bool)>, FrameError> {
        let Some((kind, first)) = varint(&self.split) else { return Ok(None) };
        if matches!(self.at, At::StreamKind) {
            return Ok(Some((first, if kind == CONTROL_STREAM { At::Head } else { At::Opaque }, false)));
        }
        let Some((length, second)) = varint(&self.split[first..]) else { return Ok(None) };
        let most = match kind {
            DATA => u64::MAX,
            HEADERS => self.most_headers,
            _ => MOST_OTHER,
        };
        if length > most {
            return Err(FrameError::TooLong { kind, length, most });
        }
        let at = if length == 0 { At::Head } else { At::Payload(length) };
        Ok(Some((first + second, at, kind == DATA && length == 0)))
    }
}

fn push(out: &mut VecDeque<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() {
        out.push_back(bytes);
    }
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
        let mut out = VecDeque::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        for cut in cuts {
            let chunk = rest.split_to((*cut).min(rest.len()));
            guard.feed(chunk, &mut out)?;
        }
        guard.feed(rest, &mut out)?;
        Ok(out.into_iter().flatten().collect())
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
            let mut guard = FrameGuard::request(1 << 14);
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
            let mut guard = FrameGuard::request(1 << 14);
            pass(&mut guard, &bytes[..keep.min(bytes.len() - 1)], &[]).unwrap();
            let whole = keep == bytes.len();
            prop_assert_eq!(guard.finish().is_ok(), whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let _ = pass(&mut FrameGuard::request(100), &bytes, &[cut]);
            let _ = pass(&mut FrameGuard::one_way(100), &bytes, &[cut]);
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_at_its_head() {
        let mut head = Vec::new();
        put_varint(HEADERS, 0, &mut head);
        put_varint(1 << 40, 3, &mut head);
        assert_eq!(
            pass(&mut FrameGuard::request(1000), &head, &[1, 1, 1]),
            Err(FrameError::TooLong { kind: HEADERS, length: 1 << 40, most: 1000 })
        );
        let mut head = Vec::new();
        put_varint(DATA, 0, &mut head);
        put_varint(1 << 40, 3, &mut head);
        assert_eq!(pass(&mut FrameGuard::request(1000), &head, &[]).unwrap(), head);
    }

    #[test]
    fn streams_of_extensions_are_not_frames() {
        let mut bytes = Vec::new();
        put_varint(0x21, 0, &mut bytes);
        bytes.extend_from_slice(&[0xff; 64]);
        let mut guard = FrameGuard::one_way(10);
        assert_eq!(pass(&mut guard, &bytes, &[1]).unwrap(), bytes);
        assert_eq!(guard.finish(), Ok(()));
    }
}
