//! A command in an instance: its input, its output and its end, over one request.

use super::frames::body;
use crate::{client::Client, error::Error};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hypermesh_api::Status;
use hypermesh_client::Body;
use hypermesh_stream::{Channel, Decoder, FRAMES, Frame, data_frames, exit_code};
use std::{io::Read, thread};
use tokio::sync::mpsc;

/// Bytes that are read of standard input at once.
const CHUNK: usize = 16 * 1024;

/// A command that runs.
pub struct Duplex {
    input: mpsc::Sender<Bytes>,
    output: Body,
    decoder: Decoder,
    server: String,
}

/// What a command said, or how it ended.
#[derive(Debug)]
pub enum Ended {
    /// With this exit code.
    Exit(i32),
    /// It could not be run, or was ended from outside.
    Failed(String),
}

impl Duplex {
    /// Begins it. A refusal is an error.
    pub async fn open(client: &Client, path: &str) -> Result<Self, Error> {
        let (input, body) = body();
        let output = client.open(path, FRAMES, body).await?;
        Ok(Self { input, output, decoder: Decoder::default(), server: client.server().to_owned() })
    }

    /// Where frames for it go. While it takes none, who sends waits.
    pub fn input(&self) -> mpsc::Sender<Bytes> {
        self.input.clone()
    }

    /// Reads `reader` in a thread of its own to its end, which the command then reads too. The thread ends with the
    /// process, or when the command does.
    pub fn feed(&self, reader: impl Read + Send + 'static) -> Result<(), Error> {
        let input = self.input();
        let feeding = thread::Builder::new().name("input".to_owned()).spawn(move || copy(reader, &input));
        feeding.map(drop).map_err(|error| Error::Message(format!("cannot read standard input: {error}")))
    }

    /// What comes next of it; `None` once it has told how it ended, or the connection has.
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            let wrong = |error: hypermesh_stream::FrameError| {
                Error::Message(format!("{} sent what is no stream: {error}", self.server))
            };
            if let Some(frame) = self.decoder.next_frame().map_err(wrong)? {
                return Ok(Some(frame));
            }
            match self.output.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(error)) => {
                    return Err(Error::Message(format!(
                        "the connection to {} broke off: {error}",
                        self.server
                    )));
                }
                None => return self.decoder.finish().map(|()| None).map_err(wrong),
            }
        }
    }
}

impl Ended {
    /// Reads the end that a command told.
    pub fn of(payload: &[u8]) -> Self {
        let Ok(status) = serde_json::from_slice::<Status>(payload) else {
            return Self::Failed(String::from_utf8_lossy(payload).into_owned());
        };
        exit_code(&status).map_or_else(|| Self::Failed(status.message.clone()), Self::Exit)
    }
}

fn copy(mut reader: impl Read, input: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
        for frame in data_frames(Channel::Stdin, bytes) {
            if input.blocking_send(frame.encode()).is_err() {
                return;
            }
        }
    }
    let _ = input.blocking_send(Frame::Close(Channel::Stdin).encode());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let of = |text: &str| format!("{:?}", Ended::of(text.as_bytes()));
        assert_eq!(of(&serde_json::to_string(&hypermesh_stream::exited(3)).unwrap()), "Exit(3)");
        assert_eq!(of(&serde_json::to_string(&hypermesh_stream::exited(0)).unwrap()), "Exit(0)");
        assert_eq!(
            of(
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no such file"}"#
            ),
            r#"Failed("no such file")"#
        );
        assert_eq!(of("gone"), r#"Failed("gone")"#);
    }

    #[tokio::test]
    async fn input_is_carried_to_its_end() {
        let (send, mut receive) = mpsc::channel(1);
        let thread = thread::spawn(move || copy(&b"hello"[..], &send));
        let mut decoder = Decoder::default();
        while let Some(bytes) = receive.recv().await {
            decoder.push(&bytes);
        }
        thread.join().unwrap();
        assert_eq!(
            decoder.next_frame().unwrap(),
            Some(Frame::Data(Channel::Stdin, Bytes::from_static(b"hello")))
        );
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame::Close(Channel::Stdin)));
    }
}
