//! What a replica reads off a stream of another: however it arrives, the same frames come out, none is longer than may be, and
//! no more is held than has come; and a hello has one form.

use hypermesh_bft::Message;
use hypermesh_peers::Class;
use hypermesh_peers::frame::{Decoder, FrameError, HEAD};
use hypermesh_peers::hello::Hello;

/// The longest frame that is taken here, in bytes without its head.
const LIMIT: usize = 1000;

/// Reads the input as a hello; then as a stream, all at once and in pieces as its first bytes say.
pub fn target(data: &[u8]) {
    if let Ok(hello) = Hello::decode(data) {
        assert!(data.starts_with(&hello.encode()), "a hello has two forms");
    }
    let Some((cuts, stream)) = data.split_first_chunk::<4>() else { return };
    let whole = read(stream, &[u8::MAX]);
    assert_eq!(read(stream, cuts), whole, "it matters how a stream arrives");
    let (frames, ended) = whole;
    let mut rest = stream;
    for frame in &frames {
        assert!((1..=LIMIT).contains(&frame.len()));
        let (head, behind) = rest.split_at(HEAD);
        assert_eq!(head, u32::try_from(frame.len()).expect("a length").to_le_bytes());
        rest = behind.strip_prefix(frame.as_slice()).expect("a frame is what came");
        if let Ok(message) = Message::decode(frame) {
            let class = Class::of(&message);
            assert!(frame.len() <= hypermesh_peers::frame::limit(class) || class == Class::Requests);
        }
    }
    match ended {
        None => assert!(rest.len() < HEAD + LIMIT, "a frame that is there did not come out"),
        Some(FrameError::Empty) => assert!(rest.starts_with(&[0; HEAD])),
        Some(FrameError::TooLong { length, limit }) => assert!(length > limit && limit == LIMIT),
    }
}

/// The frames of a stream that comes in pieces of these sizes, over and over.
fn read(mut stream: &[u8], cuts: &[u8]) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut decoder, mut frames) = (Decoder::new(LIMIT), Vec::new());
    for cut in cuts.iter().cycle() {
        let (piece, later) = stream.split_at(usize::from(*cut).max(1).min(stream.len()));
        if piece.is_empty() {
            break;
        }
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(decoder.held() < HEAD + LIMIT, "it holds {}", decoder.held());
        assert_eq!(decoder.missing().is_none(), decoder.held() == 0 && decoder.announced() == Ok(None));
        stream = later;
    }
    (frames, None)
}
