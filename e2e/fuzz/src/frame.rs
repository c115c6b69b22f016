//! Frames of exec and attach, as an agent, an API server and a client read them: what is read is written back, however it
//! was cut, and a message of Kubernetes' own form says the same. The first byte says how long the chunks are.

use bytes::{Bytes, BytesMut};
use hypermesh_stream::frame::{HEADER, MAX_PAYLOAD};
use hypermesh_stream::{Decoder, Frame, FrameError};

fn decode(bytes: &[u8], chunk: usize) -> (Vec<Frame>, Result<(), FrameError>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for part in bytes.chunks(chunk) {
        decoder.push(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, decoder.finish())
}

/// Decodes.
pub fn target(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let (frames, ended) = decode(bytes, usize::from(first).max(1));
    let whole = decode(bytes, usize::MAX);
    assert!(frames == whole.0 && ended == whole.1, "chunks change what is read");
    let mut written = BytesMut::new();
    for frame in &frames {
        frame.write(&mut written);
        let again: Vec<Frame> = Frame::of_message(frame.message()).expect("a frame is a message").collect();
        assert!(again.is_empty() || again == [frame.clone()]);
    }
    assert!(bytes.starts_with(&written));
    assert!(ended.is_err() || written.len() == bytes.len());
    if let Ok(parts) = Frame::of_message(Bytes::copy_from_slice(bytes)) {
        for part in parts {
            assert!(part.encode().len() <= HEADER + MAX_PAYLOAD);
        }
    }
}
