//! SPDY/3.1 as a client that forwards ports sends it: however it is cut, the same frames; none longer than is taken, no block
//! of headers larger than is inflated. The first byte says how long the chunks are.

use hypermesh_wire::spdy::{Decoder, Frame, MAX_CONTROL, MAX_DATA, MAX_HEADERS, SpdyError};

fn decode(bytes: &[u8], chunk: usize) -> (Vec<Frame>, Option<SpdyError>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for part in bytes.chunks(chunk) {
        decoder.push(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Decodes.
pub fn target(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let cut = decode(bytes, usize::from(first).max(1));
    assert!(cut == decode(bytes, usize::MAX), "chunks change what is read");
    for frame in cut.0 {
        match frame {
            Frame::Data { bytes, .. } => assert!(bytes.len() <= MAX_DATA),
            Frame::Open { headers, .. } => {
                let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                assert!(size <= MAX_HEADERS);
            }
            _ => {}
        }
    }
    if let Some(SpdyError::TooLong { length, most }) = cut.1 {
        assert!(length > most && [MAX_CONTROL, MAX_DATA, MAX_HEADERS].contains(&most));
    }
}
