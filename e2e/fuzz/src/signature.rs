//! RFC 9421 signatures in headers: what is read is written as headers that are read as the same, and nothing is
//! authenticated that was not signed. `Signature-Input`, `Signature`, `Content-Digest`; the last part damages true ones.

use crate::input::{damaged, parts, texts};
use hypermesh_chain::request::{Media, Method, RequestSignature};
use hypermesh_chain::signature::{Message, Received, authenticate, content_digest, headers, parse, sign};
use hypermesh_chain::{ClusterId, Hash, SigningKey};
use std::sync::LazyLock;

const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));

static SIGNED: LazyLock<Vec<RequestSignature>> = LazyLock::new(|| {
    let keys = [2, 3].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let mut signed: Vec<_> =
        keys.iter().map(|key| sign(key, &CLUSTER, &message(), 10, Some(20), 7)).collect();
    signed.sort_by_key(|signature| signature.key);
    signed
});

fn message() -> Message<'static> {
    let body = Hash::of(&[b"{}"]);
    Message { method: Method::Post, target: "/api/v1/namespaces?dryRun=All", media: Media::Json, body }
}

/// Reads headers.
pub fn target(data: &[u8]) {
    let message = message();
    let [first, second, third, script] = parts(data);
    let whole = [first, second, third].map(|part| std::str::from_utf8(part).ok());
    if let [Some(input), Some(signature), Some(digest)] = whole {
        if let Ok(signatures) = parse(&CLUSTER, &message, input, signature) {
            assert!(signatures.is_sorted_by(|a, b| a.key < b.key), "a set of keys");
            let written = headers(&CLUSTER, &message, &signatures);
            let again = parse(&CLUSTER, &message, &written.signature_input, &written.signature);
            assert_eq!(again.as_ref(), Ok(&signatures), "{}", written.signature_input);
        }
        let received = Received {
            signature_input: input,
            signature,
            content_digest: Some(digest),
            content_type: Some("application/json"),
        };
        if authenticate(&CLUSTER, &message, &received).is_ok() {
            assert_eq!(digest, content_digest(&message.body));
        }
    }
    forged(&message, script);
}

/// True headers, damaged: what is still taken is the set that was signed.
fn forged(message: &Message<'_>, script: &[u8]) {
    let signed = &*SIGNED;
    let written = headers(&CLUSTER, message, signed);
    let lines = [written.signature_input, written.signature].join("\0");
    let lines = damaged(lines.as_bytes(), script);
    let Some([input, signature]) = texts(&lines) else { return };
    let digest = content_digest(&message.body);
    let received = Received {
        signature_input: input,
        signature,
        content_digest: Some(&digest),
        content_type: Some("application/json"),
    };
    match authenticate(&CLUSTER, message, &received) {
        Ok(found) => assert!(found.iter().all(|one| signed.contains(one)), "{input}\n{signature}"),
        Err(error) => assert!(!script.is_empty(), "{error}"),
    }
}
