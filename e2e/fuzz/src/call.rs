//! Requests as replicas hand them to each other, decoded into calls without the state. Also the reader of requests that
//! other targets use: `METHOD TARGET CONTENT-TYPE` on the first line, the body behind it.

use bytes::Bytes;
use hypermesh_chain::request::{Authority, Endorsement, Media, Method, Request, User};
use hypermesh_chain::{Canonical, PublicKey, Timestamp};
use hypermesh_pipeline::Call;

/// Decodes a request: as its byte form, and as text.
pub fn target(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        decode(&request);
    }
    if let Some(request) = read(data, PublicKey([1; 32]), Timestamp(1), 1) {
        let again = Request::decode(&request.encode());
        match request.check() {
            Ok(()) => assert_eq!(again.ok().as_ref(), Some(&request)),
            Err(_) => assert!(again.is_err(), "what breaks a rule is not read"),
        }
        decode(&request);
    }
}

fn decode(request: &Request) {
    let call = Call::decode(request);
    match call {
        Err(status) => assert!((400..500).contains(&status.code), "{}: {}", status.code, status.message),
        Ok(call) => {
            assert_eq!(call.digest, request.digest());
            assert!(call.info.verb.is_write() && !call.options.field_manager.is_empty());
            let again = Call::decode(request).expect("decoded a second time");
            assert_eq!((again.body, again.info, again.options), (call.body, call.info, call.options));
        }
    }
}

/// A request of the administrator, vouched for by `replica`.
pub(crate) fn read(data: &[u8], replica: PublicKey, received: Timestamp, nonce: u64) -> Option<Request> {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, body) = (data.get(..end)?, data.get(end + 1..).unwrap_or_default());
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, media) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let groups = if words.next() == Some("nobody") { Vec::new() } else { vec!["system:masters".to_owned()] };
    let user = User { name: "someone".into(), groups, ..User::default() };
    let media = if body.is_empty() { Media::None } else { Media::parse(media).unwrap_or(Media::Json) };
    Some(Request {
        method: Method::parse(method)?,
        target: target.to_owned(),
        media,
        body: Bytes::copy_from_slice(body),
        authority: Authority::Endorsed(Endorsement {
            replica,
            user,
            received,
            nonce,
            manager: "fuzz".into(),
        }),
    })
}
