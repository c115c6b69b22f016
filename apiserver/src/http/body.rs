//! Bodies of requests: bounded in size, in time, and in what all of them hold together.
//!
//! Nothing is read before it is known who sends it, and before there is room for all of it. What was read is held
//! until the request is answered, and weighs what its decoded form does.

use super::context::Api;
use super::incoming::{BrokenOff, Incoming};
use crate::budget::{Caller, Reservation};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_wire::MAX_BODY;
use std::time::Duration;

/// A body must be here within this time: who sends slower holds a connection, and nothing else.
const LONGEST: Duration = Duration::from_secs(60);
/// The next part of a body must be here within this time.
const SILENCE: Duration = Duration::from_secs(10);

/// A body whose request was refused is read on for so long, and no further than [`MOST_DISCARDED`]: a client that
/// writes before it reads would find its connection reset in place of the refusal.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of a body that is refused that are read and thrown away.
const MOST_DISCARDED: usize = 2 * MAX_BODY;

/// A body that was read, and the room that it takes.
pub(super) struct Received {
    /// The bytes.
    pub bytes: Bytes,
    /// What is reserved for them; `None` when there are none.
    pub room: Option<Reservation>,
}

impl Received {
    /// Replaces the bytes by what they were transcoded to, and reserves what that takes until it is executed.
    pub fn transcoded(self, json: Bytes) -> Result<Self, Box<Status>> {
        let mut room = self.room;
        if let Some(room) = &mut room {
            room.set(weight(&json))?;
        }
        Ok(Self { bytes: json, room })
    }
}

/// What JSON takes as text and as values, in bytes; an estimate, never far below. Every value but the first has a
/// comma, colon or bracket before it.
fn weight(json: &[u8]) -> usize {
    /// A value, and its place in a list or map.
    const VALUE: usize = 64;
    let values = json.iter().filter(|byte| matches!(byte, b',' | b':' | b'{' | b'[')).count();
    json.len() + values * VALUE
}

/// The Content-Type of a body, empty for none. Nothing that was encoded for its way is taken: what a compressed body
/// becomes is not known before it is there.
pub(super) fn content_type(headers: &HeaderMap) -> Result<&str, Box<Status>> {
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity") {
        let words = "the body of the request has a Content-Encoding; send it as it is";
        return Err(Box::new(Status::failure(415, "UnsupportedMediaType", words)));
    }
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(""),
        (Some(line), None) => Ok(line.to_str().unwrap_or("?")),
        (Some(_), Some(_)) => {
            Err(Box::new(Status::bad_request("the request has several Content-Type headers")))
        }
    }
}

/// Reads a body that `caller` sends, up to the limit.
pub(super) async fn read(api: &Api, caller: &Caller, body: &mut Incoming) -> Result<Received, Box<Status>> {
    let hint = body.size_hint();
    if hint.lower() > MAX_BODY as u64 {
        return Err(Box::new(Status::too_large(MAX_BODY)));
    }
    let announced = hint.exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(MAX_BODY);
    if announced == 0 {
        return Ok(Received { bytes: Bytes::new(), room: None });
    }
    let mut room = api.bodies.reserve(caller.clone(), announced).await?;
    let silent = || {
        let words =
            format!("the body of the request did not arrive: nothing came for {} s", SILENCE.as_secs());
        Box::new(Status::failure(408, "Timeout", words))
    };
    let collected = tokio::time::timeout(LONGEST, collect(body, hint.exact().is_some(), announced)).await;
    let bytes = match collected {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Ok(None)) => return Err(Box::new(Status::too_large(MAX_BODY))),
        Ok(Err(Broken::Silent)) => return Err(silent()),
        Ok(Err(Broken::Off(error))) => {
            let words = format!("the body of the request broke off: {error}");
            return Err(Box::new(Status::bad_request(words)));
        }
        Err(_) => {
            let words = format!("the body of the request did not arrive within {} s", LONGEST.as_secs());
            return Err(Box::new(Status::failure(408, "Timeout", words)));
        }
    };
    room.set(bytes.len())?;
    Ok(Received { bytes, room: Some(room) })
}

/// Reads on, and throws away, what is left of a body whose request was refused. Who asks before sending a body is told
/// at once.
///
/// The refusal goes out meanwhile, and who looks for it stops sending. A body that is let go of resets its stream on
/// HTTP/2, which RFC 9113 allows after a whole reply (section 8.1) and curl before 8.0 takes for an error all the same; on
/// HTTP/1.1 it ends the connection, and what is on its way then meets a reset that may overtake the reply.
pub(super) fn linger(head: &Parts, mut body: Incoming) {
    if body.is_end_stream() || head.version > Version::HTTP_2 || head.headers.contains_key(header::EXPECT) {
        return;
    }
    let discarding = async move {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > MOST_DISCARDED {
                return;
            }
        }
    };
    // Whoever is slower than this has been told long enough. There are as many at once as there are requests.
    tokio::spawn(tokio::time::timeout(LINGER, discarding));
}

/// Why a body is not all there.
enum Broken {
    Silent,
    Off(BrokenOff),
}

/// The whole body; `None` for one over the limit.
async fn collect(body: &mut Incoming, exact: bool, announced: usize) -> Result<Option<Bytes>, Broken> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    loop {
        let next = tokio::time::timeout(SILENCE, body.frame()).await.map_err(|_| Broken::Silent)?;
        let Some(frame) = next else { break };
        let Ok(data) = frame.map_err(Broken::Off)?.into_data() else { continue };
        match first.take() {
            None if all.is_empty() => first = Some(data),
            before => {
                if let Some(before) = before {
                    // What is reserved is all there will be: grown by doubling it would take more.
                    all.reserve(if exact { announced } else { before.len() + data.len() });
                    all.extend_from_slice(&before);
                }
                all.extend_from_slice(&data);
            }
        }
        if all.len().max(first.as_ref().map_or(0, Bytes::len)) > MAX_BODY {
            return Ok(None);
        }
    }
    Ok(Some(first.unwrap_or_else(|| all.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_and_becomes_large_weighs_what_it_becomes() {
        let manifest = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"b"}}"#;
        assert!(weight(manifest) < 12 * manifest.len());
        let zeros = [b"[".as_slice(), &b"0,".repeat(1000), b"0]"].concat();
        assert!(weight(&zeros) >= 1000 * size_of::<serde_json::Value>());
        assert_eq!(weight(b"\"text\""), 6);
    }
}
