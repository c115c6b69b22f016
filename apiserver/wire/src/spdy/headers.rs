//! Blocks of headers: pairs of names and values in one compressed stream a connection (section 2.6.10).
//!
//! The stream is zlib's (RFC 1950) with a preset dictionary, flushed after each block. What was inflated last stays in a
//! window of 32 KiB, which later blocks refer to; the dictionary is what lies there first.

use super::dictionary::{adler32, dictionary};
use super::{MAX_HEADERS, SpdyError};
use bytes::{BufMut, Bytes, BytesMut};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// As far back as a block may refer (RFC 1951).
const WINDOW: usize = 32 * 1024;
/// Pairs of a block, at most.
const MOST_PAIRS: usize = 64;
const BAD: SpdyError = SpdyError::Headers("it does not inflate");
const CUT: SpdyError = SpdyError::Headers("its pairs are cut short");

/// Inflates the blocks of one connection.
#[derive(Default)]
pub(super) struct Inflater(Option<Box<State>>);

struct State {
    inflater: DecompressorOxide,
    /// The window, and room for one block.
    buffer: Vec<u8>,
    /// How far it is filled.
    filled: usize,
}

impl Inflater {
    /// The pairs of a block. Names are lower-case.
    pub fn block(&mut self, bytes: &[u8]) -> Result<Vec<(String, String)>, SpdyError> {
        let (state, rest) = match &mut self.0 {
            Some(state) => (state, bytes),
            empty => {
                let (state, rest) = State::begin(bytes)?;
                (empty.insert(Box::new(state)), rest)
            }
        };
        let inflated = state.inflate(rest)?;
        pairs(inflated)
    }
}

impl State {
    /// Reads what a stream begins with.
    fn begin(bytes: &[u8]) -> Result<(Self, &[u8]), SpdyError> {
        let Some((&[method, flags], rest)) = bytes.split_first_chunk::<2>() else { return Err(CUT) };
        if method & 0xf != 8 || u16::from_be_bytes([method, flags]) % 31 != 0 {
            return Err(BAD);
        }
        let mut buffer = vec![0; WINDOW + MAX_HEADERS];
        if flags & 0x20 == 0 {
            return Ok((Self { inflater: DecompressorOxide::new(), buffer, filled: 0 }, rest));
        }
        let Some((id, rest)) = rest.split_first_chunk::<4>() else { return Err(CUT) };
        let dictionary = dictionary();
        if u32::from_be_bytes(*id) != adler32(&dictionary) {
            return Err(SpdyError::Headers("it is compressed with another dictionary than that of SPDY/3"));
        }
        let filled = dictionary.len();
        if let Some(place) = buffer.get_mut(..filled) {
            place.copy_from_slice(&dictionary);
        }
        Ok((Self { inflater: DecompressorOxide::new(), buffer, filled }, rest))
    }

    /// What a block is once it is inflated.
    fn inflate(&mut self, bytes: &[u8]) -> Result<&[u8], SpdyError> {
        if self.filled > WINDOW {
            self.buffer.copy_within(self.filled - WINDOW..self.filled, 0);
            self.filled = WINDOW;
        }
        let begin = self.filled;
        let most = (begin + MAX_HEADERS).min(self.buffer.len());
        let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let room = self.buffer.get_mut(..most).ok_or(BAD)?;
        let (status, read, written) = decompress(&mut self.inflater, bytes, room, begin, flags);
        match status {
            TINFLStatus::NeedsMoreInput if read == bytes.len() => {}
            TINFLStatus::HasMoreOutput => {
                return Err(SpdyError::TooLong { length: MAX_HEADERS + 1, most: MAX_HEADERS });
            }
            _ => return Err(BAD),
        }
        self.filled = begin + written;
        self.buffer.get(begin..self.filled).ok_or(BAD)
    }
}

fn pairs(mut bytes: &[u8]) -> Result<Vec<(String, String)>, SpdyError> {
    let count = number(&mut bytes)?;
    if count > MOST_PAIRS {
        return Err(SpdyError::Headers("it has more than 64 pairs"));
    }
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (text(&mut bytes)?, text(&mut bytes)?);
        found.push((name.to_ascii_lowercase(), value));
    }
    Ok(found)
}

fn number(bytes: &mut &[u8]) -> Result<usize, SpdyError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(CUT)?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn text(bytes: &mut &[u8]) -> Result<String, SpdyError> {
    let length = number(bytes)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(CUT)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(|_| SpdyError::Headers("it is not UTF-8"))
}

/// A block that is not compressed: a stored block of deflate (RFC 1951, section 3.2.4), after what the stream begins with
/// where it is the first, and before an empty one, which is a flush: Go's reader hands over what it has at that, and fails
/// for good where it looks for another block in vain. At most 64 KiB.
pub(super) fn stored(block: &[u8], first: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(block.len() + 12);
    if first {
        out.put_slice(&[0x78, 0x01]);
    }
    let length = block.len() as u16;
    out.put_u8(0);
    out.put_u16_le(length);
    out.put_u16_le(!length);
    out.extend_from_slice(block);
    out.put_slice(&[0, 0, 0, 0xff, 0xff]);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_begins_with_the_dictionary_and_goes_on() {
        let all = dictionary();
        let mut inflater = Inflater::default();
        let id = adler32(&all).to_be_bytes();
        let mut block = vec![0, 0, 0, 1, 0, 0, 0, 1];
        block.extend_from_slice(b"A\0\0\0\x02ok");
        let bytes = [&[0x78, 0xbb][..], &id, &stored(&block, false)].concat();
        assert_eq!(inflater.block(&bytes).unwrap(), [("a".to_owned(), "ok".to_owned())]);
        // The next block goes on in the same stream.
        assert_eq!(inflater.block(&stored(&block, false)).unwrap().len(), 1);
        let other = [&[0x78, 0xbb][..], &[0; 4], &stored(&block, false)].concat();
        assert!(matches!(Inflater::default().block(&other), Err(SpdyError::Headers(_))));
    }

    #[test]
    fn the_window_slides() {
        let mut inflater = Inflater::default();
        let value = vec![b'x'; 9_000];
        let mut block = vec![0, 0, 0, 1, 0, 0, 0, 1, b'a'];
        block.extend_from_slice(&(value.len() as u32).to_be_bytes());
        block.extend_from_slice(&value);
        for i in 0..20 {
            let read = inflater.block(&stored(&block, i == 0)).unwrap();
            assert_eq!(read[0].1.len(), 9_000, "{i}");
        }
    }
}
