//! A reply read line by line, as a watch sends it.

use crate::client::Error;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hypermesh_client::Body;
use serde::de::DeserializeOwned;

/// The longest line that is read: an object has at most 3 MiB, an event a little more.
const LONGEST: usize = 64 << 20;

/// Lines of a reply that may never end.
pub struct Lines {
    server: String,
    body: Body,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been handed out.
    read: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(server: String, body: Body) -> Self {
        Self { server, body, buffer: Vec::new(), read: 0, ended: false }
    }

    /// The next line as JSON; `None` at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(line) = self.next_line().await? else { return Ok(None) };
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|source| Error::NotJson { content_type: "a watch event".to_owned(), source })
    }

    async fn next_line(&mut self) -> Result<Option<Bytes>, Error> {
        let mut searched = self.read;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                let end = searched + at;
                let line = Bytes::copy_from_slice(&self.buffer[self.read..end]);
                self.read = end + 1;
                searched = self.read;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line));
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            searched = self.buffer.len();
            if self.ended {
                let rest = std::mem::take(&mut self.buffer);
                let blank = rest.iter().all(u8::is_ascii_whitespace);
                return Ok(if blank { None } else { Some(rest.into()) });
            }
            if self.buffer.len() > LONGEST {
                let message = format!("a line of more than {LONGEST} bytes");
                let server = self.server.clone();
                return Err(hypermesh_client::Error::Broken { server, message }.into());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Error::of_body(&self.server, error)),
                None => self.ended = true,
            }
        }
    }
}
