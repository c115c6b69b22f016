//! Frames: the streams of an exec or attach on one request.
//!
//! A frame is a channel (one byte), a length (four bytes, big-endian) and so many bytes. Channels and what they carry
//! are those of Kubernetes' `v5.channel.k8s.io`, of which a WebSocket message is a frame without its length: 0 stdin,
//! 1 stdout, 2 stderr, 3 error (once, at the end: a `v1` Status in JSON), 4 resize (`{"Width":80,"Height":24}`), 255
//! close of the channel that its one byte names.
//!
//! A decoder holds one frame at most, and refuses a length before it waits for the bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest payload of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Channel and length, in bytes.
pub const HEADER: usize = 5;
/// The byte of a frame that closes a channel.
pub const CLOSE: u8 = 255;

/// What a frame's bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// To the process.
    Stdin,
    /// From the process; with a terminal, all that it shows.
    Stdout,
    /// From the process; never with a terminal.
    Stderr,
    /// How it ended: a `v1` Status. See [`crate::exited`].
    Error,
    /// The size of the terminal: a [`Resize`].
    Resize,
}

impl Channel {
    /// All of them, by their bytes.
    pub const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    /// The byte that stands for it.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Error => 3,
            Self::Resize => 4,
        }
    }

    /// The channel that a byte stands for.
    #[must_use]
    pub fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.byte() == byte)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a channel; at most [`MAX_PAYLOAD`].
    Data(Channel, Bytes),
    /// The channel ends. Of stdin: the process reads the end of its input.
    Close(Channel),
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The channel is none of those that there are.
    #[error("a frame is of channel {0}: there are channels 0 to 4, and 255 to close one")]
    Channel(u8),
    /// It is too long.
    #[error("a frame of channel {channel} announces {length} bytes, the limit is {MAX_PAYLOAD}")]
    TooLong {
        /// The channel's byte.
        channel: u8,
        /// What it announces.
        length: u32,
    },
    /// A close does not name one channel.
    #[error("a frame that closes a channel has {0} bytes: it names one channel in one byte")]
    Close(u32),
    /// An empty message, which names no channel.
    #[error("an empty message names no channel")]
    Empty,
    /// The bytes end within a frame.
    #[error("the stream ended within a frame, {missing} bytes before its end")]
    Truncated {
        /// How many bytes are missing, of the header or of the payload.
        missing: usize,
    },
}

impl Frame {
    /// Appends the frame. A payload over [`MAX_PAYLOAD`] is cut there: use [`data_frames`] for what may be longer.
    pub fn write(&self, out: &mut BytesMut) {
        let one;
        let (byte, payload) = match self {
            Self::Data(channel, payload) => (channel.byte(), payload.as_ref()),
            Self::Close(channel) => {
                one = [channel.byte()];
                (CLOSE, one.as_slice())
            }
        };
        let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
        out.reserve(HEADER + payload.len());
        out.put_u8(byte);
        out.put_u32(payload.len() as u32);
        out.extend_from_slice(payload);
    }

    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out);
        out.freeze()
    }

    /// The message that it is in `v5.channel.k8s.io`.
    #[must_use]
    pub fn message(&self) -> Bytes {
        match self {
            Self::Data(channel, payload) => {
                let mut out = BytesMut::with_capacity(1 + payload.len());
                out.put_u8(channel.byte());
                out.extend_from_slice(payload);
                out.freeze()
            }
            Self::Close(channel) => Bytes::copy_from_slice(&[CLOSE, channel.byte()]),
        }
    }

    /// The frames that a message of `v5.channel.k8s.io` is: one, or several where it is longer than a frame may be.
    ///
    /// # Errors
    /// The message names no channel, or closes none.
    pub fn of_message(mut message: Bytes) -> Result<impl Iterator<Item = Self>, FrameError> {
        if message.is_empty() {
            return Err(FrameError::Empty);
        }
        let byte = message.get_u8();
        let (close, data) = if byte == CLOSE {
            (Some(closed(&message)?), None)
        } else {
            let channel = Channel::of_byte(byte).ok_or(FrameError::Channel(byte))?;
            // What is one document cannot go in pieces.
            if matches!(channel, Channel::Error | Channel::Resize) && message.len() > MAX_PAYLOAD {
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                return Err(FrameError::TooLong { channel: byte, length });
            }
            (None, Some(data_frames(channel, message)))
        };
        Ok(close.map(Self::Close).into_iter().chain(data.into_iter().flatten()))
    }
}

/// The channel that the payload of a close names.
fn closed(payload: &[u8]) -> Result<Channel, FrameError> {
    match payload {
        [byte] => Channel::of_byte(*byte).ok_or(FrameError::Channel(*byte)),
        other => Err(FrameError::Close(u32::try_from(other.len()).unwrap_or(u32::MAX))),
    }
}

/// Bytes of a channel as frames, none longer than a frame may be; none for no bytes. Nothing is copied.
pub fn data_frames(channel: Channel, mut bytes: Bytes) -> impl Iterator<Item = Frame> {
    std::iter::from_fn(move || {
        let next = bytes.split_to(bytes.len().min(MAX_PAYLOAD));
        (!next.is_empty()).then_some(Frame::Data(channel, next))
    })
}

/// Reads frames from bytes as they come.
///
/// Give it one chunk, take frames until there are none, give it the next: it then never holds more than that chunk and
/// one frame. After an error it must not be asked again.
#[derive(Debug, Default)]
pub struct Decoder {
    held: BytesMut,
}

impl Decoder {
    /// Takes a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no frame: the stream cannot go on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((&[byte, a, b, c, d], _)) = self.held.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        if byte == CLOSE {
            if length != 1 {
                return Err(FrameError::Close(length));
            }
        } else if Channel::of_byte(byte).is_none() {
            return Err(FrameError::Channel(byte));
        }
        let size = usize::try_from(length).ok().filter(|size| *size <= MAX_PAYLOAD);
        let size = size.ok_or(FrameError::TooLong { channel: byte, length })?;
        if self.held.len() < HEADER + size {
            return Ok(None);
        }
        self.held.advance(HEADER);
        let payload = self.held.split_to(size).freeze();
        if byte == CLOSE {
            return Ok(Some(Frame::Close(closed(&payload)?)));
        }
        let channel = Channel::of_byte(byte).ok_or(FrameError::Channel(byte))?;
        Ok(Some(Frame::Data(channel, payload)))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// They end within a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let length = self.held.split_first_chunk::<HEADER>().map(|(&[_, a, b, c, d], _)| [a, b, c, d]);
        let whole = HEADER + length.map_or(0, |length| u32::from_be_bytes(length) as usize);
        Err(FrameError::Truncated { missing: whole.saturating_sub(self.held.len()) })
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// Columns.
    #[serde(rename = "Width")]
    pub width: u16,
    /// Rows.
    #[serde(rename = "Height")]
    pub height: u16,
}

impl Resize {
    /// Reads the payload of a resize; `None` for what is none, which is to be ignored as the kubelet does.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// The frame that tells it.
    #[must_use]
    pub fn frame(self) -> Frame {
        let payload = format!("{{\"Width\":{},\"Height\":{}}}", self.width, self.height);
        Frame::Data(Channel::Resize, payload.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn channel() -> impl Strategy<Value = Channel> {
        (0..5_u8).prop_map(|byte| Channel::of_byte(byte).unwrap())
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let payload = prop_oneof![
            8 => proptest::collection::vec(any::<u8>(), 0..40),
            1 => Just(vec![7; MAX_PAYLOAD]),
        ];
        prop_oneof![
            (channel(), payload).prop_map(|(channel, payload)| Frame::Data(channel, payload.into())),
            channel().prop_map(Frame::Close),
        ]
    }

    fn decode(bytes: &[u8], chunk: usize) -> Result<Vec<Frame>, FrameError> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for part in bytes.chunks(chunk) {
            decoder.push(part);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
            assert!(decoder.held.len() < HEADER + MAX_PAYLOAD);
        }
        decoder.finish()?;
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(frames in proptest::collection::vec(frame(), 0..6), chunk in 1..70_000_usize) {
            let mut bytes = BytesMut::new();
            frames.iter().for_each(|frame| frame.write(&mut bytes));
            prop_assert_eq!(decode(&bytes, chunk).unwrap(), frames);
        }

        #[test]
        fn a_frame_is_a_message(frame in frame()) {
            let back: Vec<Frame> = Frame::of_message(frame.message()).unwrap().collect();
            // A message without bytes says nothing.
            let empty = matches!(&frame, Frame::Data(_, payload) if payload.is_empty());
            prop_assert_eq!(back, if empty { vec![] } else { vec![frame] });
        }

        #[test]
        fn what_is_read_is_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(frames) = decode(&bytes, 7) {
                let mut again = BytesMut::new();
                frames.iter().for_each(|frame| frame.write(&mut again));
                prop_assert_eq!(&again[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn golden_bytes() {
        let frame = Frame::Data(Channel::Stdout, Bytes::from_static(b"hi"));
        assert_eq!(&frame.encode()[..], b"\x01\0\0\0\x02hi");
        assert_eq!(&frame.message()[..], b"\x01hi");
        assert_eq!(&Frame::Close(Channel::Stdin).encode()[..], b"\xff\0\0\0\x01\0");
        assert_eq!(&Frame::Close(Channel::Stdin).message()[..], b"\xff\0");
        let resize = Resize { width: 80, height: 24 };
        assert_eq!(&resize.frame().message()[..], b"\x04{\"Width\":80,\"Height\":24}");
        assert_eq!(Resize::parse(br#"{"Width":80,"Height":24}"#), Some(resize));
        assert_eq!(Resize::parse(br#"{"Width":-1,"Height":24}"#), None);
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_waited_for() {
        assert_eq!(decode(b"\x05\0\0\0\0", 9), Err(FrameError::Channel(5)));
        let long = FrameError::TooLong { channel: 0, length: u32::MAX };
        assert_eq!(decode(b"\0\xff\xff\xff\xff", 9), Err(long));
        assert_eq!(decode(b"\xff\0\0\0\x02", 9), Err(FrameError::Close(2)));
        assert_eq!(decode(b"\xff\0\0\0\x01\x09", 9), Err(FrameError::Channel(9)));
        assert_eq!(decode(b"\x01\0\0\0\x02h", 9), Err(FrameError::Truncated { missing: 1 }));
        assert_eq!(decode(b"\x01\0", 9), Err(FrameError::Truncated { missing: 3 }));
        assert_eq!(Frame::of_message(Bytes::new()).err(), Some(FrameError::Empty));
        let document = Bytes::from([&[3][..], &[b' '; MAX_PAYLOAD + 1]].concat());
        assert!(matches!(Frame::of_message(document).err(), Some(FrameError::TooLong { channel: 3, .. })));
    }

    #[test]
    fn a_long_message_is_several_frames() {
        let message = Bytes::from([&[0][..], &[1; MAX_PAYLOAD * 2 + 3]].concat());
        let lengths: Vec<usize> = Frame::of_message(message)
            .unwrap()
            .map(|frame| if let Frame::Data(Channel::Stdin, payload) = frame { payload.len() } else { 0 })
            .collect();
        assert_eq!(lengths, [MAX_PAYLOAD, MAX_PAYLOAD, 3]);
    }
}
