//! Frames on a socket: bytes, and descriptors beside them. No I/O but the two calls that carry descriptors.

use super::{MAX_FDS, MAX_FRAME};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes of a frame's length.
const HEAD: usize = 4;

/// The most descriptors that wait for their frame; whoever sends more is cut off.
const MAX_WAITING: usize = 16;

/// What came was no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is longer than any frame.
    #[error("a frame of {0} bytes, and {MAX_FRAME} are the most")]
    TooLong(usize),
    /// It is not of the form.
    #[error("a frame that is not of the form")]
    Form(#[source] serde_json::Error),
    /// Descriptors came that no frame wanted, or did not come.
    #[error("a frame with {wanted} descriptors, of which {found} came")]
    Descriptors {
        /// What the frame says.
        wanted: usize,
        /// What came.
        found: usize,
    },
}

/// Encodes a frame.
///
/// # Errors
/// If it is too long.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, value).map_err(FrameError::Form)?;
    let length = frame.len() - HEAD;
    let head = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    let head = head.ok_or(FrameError::TooLong(length))?;
    for (byte, value) in frame.iter_mut().zip(head.to_be_bytes()) {
        *byte = value;
    }
    Ok(frame)
}

/// Takes bytes and descriptors as they come, and gives frames.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Up to where they have been given.
    given: usize,
    fds: VecDeque<OwnedFd>,
}

impl Decoder {
    /// Takes what was read.
    ///
    /// # Errors
    /// If more descriptors wait than frames may have.
    pub fn push(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<(), FrameError> {
        if self.given > 0 {
            self.bytes.drain(..self.given);
            self.given = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.fds.extend(fds);
        if self.fds.len() > MAX_WAITING {
            return Err(FrameError::Descriptors { wanted: MAX_FDS, found: self.fds.len() });
        }
        Ok(())
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// If it is none. The connection is of no use then.
    pub fn frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(rest) = self.bytes.get(self.given..) else { return Ok(None) };
        let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let value = serde_json::from_slice(body).map_err(FrameError::Form)?;
        self.given += HEAD + length;
        if self.given == self.bytes.len() {
            // A long frame's room is not kept for short ones.
            self.bytes.clear();
            self.bytes.shrink_to(64 << 10);
            self.given = 0;
        }
        Ok(Some(value))
    }

    /// The descriptors of the frame that was given last.
    ///
    /// # Errors
    /// If fewer came, or no frame has so many.
    pub fn take_fds(&mut self, count: u8) -> Result<Vec<OwnedFd>, FrameError> {
        let (wanted, found) = (usize::from(count), self.fds.len());
        if wanted > found || wanted > MAX_FDS {
            return Err(FrameError::Descriptors { wanted, found });
        }
        Ok(self.fds.drain(..wanted).collect())
    }
}

/// Sends bytes, and descriptors with the first of them. Gives how many were taken; never waits on a socket that does
/// not.
///
/// # Errors
/// The kernel's.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Receives bytes, and descriptors that come with them; none at the end of the connection.
///
/// # Errors
/// The kernel's.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut into = [IoSliceMut::new(buffer)];
    let got = rustix::net::recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((got.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Call, Request};
    use proptest::prelude::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_come_with_their_frames() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut read, write) = io::pipe().unwrap();
        let frame = encode(&Request { id: 7, fds: 1, call: Call::Shutdown }).unwrap();
        assert_eq!(send(here.as_fd(), &frame, &[write.as_fd()]).unwrap(), frame.len());
        drop(write);
        let mut decoder = Decoder::default();
        let mut buffer = [0; 5];
        let request: Request = loop {
            let (got, fds) = receive(&there, &mut buffer).unwrap();
            decoder.push(&buffer[..got], fds).unwrap();
            if let Some(request) = decoder.frame().unwrap() {
                break request;
            }
        };
        assert_eq!(request.id, 7);
        let fds = decoder.take_fds(request.fds).unwrap();
        assert_eq!(fds.len(), 1);
        drop(fds);
        let mut nothing = Vec::new();
        assert_eq!(read.read_to_end(&mut nothing).unwrap(), 0);
        assert!(decoder.take_fds(1).is_err());
    }

    #[test]
    fn a_length_beyond_reason_is_refused_before_its_bytes() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes(), Vec::new()).unwrap();
        assert!(matches!(decoder.frame::<Request>(), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn frames_come_whole_however_they_are_cut(ids in prop::collection::vec(any::<u64>(), 1..8), cut in 1usize..40) {
            let mut bytes = Vec::new();
            for id in &ids {
                bytes.extend(encode(&Request { id: *id, fds: 0, call: Call::Shutdown }).unwrap());
            }
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(cut) {
                decoder.push(part, Vec::new()).unwrap();
                while let Some(request) = decoder.frame::<Request>().unwrap() {
                    found.push(request.id);
                }
            }
            prop_assert_eq!(found, ids);
        }

        #[test]
        fn whatever_comes_is_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes, Vec::new()).unwrap();
            while let Ok(Some(_)) = decoder.frame::<Request>() {}
        }
    }
}
