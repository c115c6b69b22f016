use super::*;
use crate::{PublicKey, Signature};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn cluster() -> ClusterId {
    ClusterId(Hash([7; 32]))
}

const BODY: &[u8] = br#"{"hello": "world"}"#;

fn message() -> Message<'static> {
    let target = "/api/v1/namespaces/default/secrets?fieldManager=me";
    Message { method: Method::Post, target, media: Media::Json, body: Hash::of(&[BODY]) }
}

fn bodiless() -> Message<'static> {
    Message {
        method: Method::Delete,
        target: "/api/v1/namespaces/lab",
        media: Media::None,
        body: Hash::of(&[]),
    }
}

fn received(headers: &SignedHeaders) -> Received<'_> {
    Received {
        signature_input: &headers.signature_input,
        signature: &headers.signature,
        content_digest: headers.content_digest.as_deref(),
        content_type: headers.content_type,
    }
}

fn seed(base64url: &str) -> [u8; 32] {
    URL_SAFE_NO_PAD.decode(base64url).unwrap().try_into().unwrap()
}

/// RFC 9421 appendix B.2.6, with the key test-key-ed25519 of B.1.4.
#[test]
fn the_rfcs_example_is_signed_as_the_rfc_does() {
    let key = SigningKey::from_seed(&seed("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"));
    assert_eq!(key.public().0, seed("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"));
    let components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT".to_owned()),
        ("@method", "POST".to_owned()),
        ("@path", "/foo".to_owned()),
        ("@authority", "example.com".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("content-length", "18".to_owned()),
    ];
    let input = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let parameters = input.strip_prefix("sig-b26=").unwrap();
    let signature = key.sign(signature_base(&components, parameters).as_bytes());
    let expected = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    assert_eq!(signature.to_string(), expected);
    // Our reader takes the RFC's header apart, though it is no request of our form.
    let lists = fields::inner_lists(input).unwrap();
    assert_eq!(lists[0].0, "sig-b26");
    assert!(lists[0].1.items.iter().eq(components.iter().map(|(name, _)| name)));
    let expected = [
        ("created", fields::Value::Integer(1_618_884_473)),
        ("keyid", fields::Value::String("test-key-ed25519")),
    ];
    assert_eq!(lists[0].1.parameters, expected);
}

/// RFC 9530 appendix D, the JSON object of its examples without and RFC 9421's with spaces, by an independent sha256sum.
#[test]
fn content_digests_are_those_of_rfc_9530() {
    let digest = content_digest(&Hash::of(&[BODY]));
    assert_eq!(digest, "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
}

#[test]
fn what_is_signed_reads_so() {
    let base = message().base(&cluster(), &sign(&key(1), &cluster(), &message(), 100, Some(130), 0xab));
    insta::assert_snapshot!(base, @r#"
    "@method": POST
    "@path": /api/v1/namespaces/default/secrets
    "@query": ?fieldManager=me
    "content-digest": sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:
    "content-type": application/json
    "@signature-params": ("@method" "@path" "@query" "content-digest" "content-type");created=100;expires=130;nonce="00000000000000ab";keyid="8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";alg="ed25519";tag="hypermesh:0707070707070707070707070707070707070707070707070707070707070707"
    "#);
    let base = bodiless().base(&cluster(), &sign(&key(1), &cluster(), &bodiless(), 100, None, 1));
    insta::assert_snapshot!(base, @r#"
    "@method": DELETE
    "@path": /api/v1/namespaces/lab
    "@query": ?
    "@signature-params": ("@method" "@path" "@query");created=100;nonce="0000000000000001";keyid="8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";alg="ed25519";tag="hypermesh:0707070707070707070707070707070707070707070707070707070707070707"
    "#);
}

#[test]
fn what_is_signed_is_authenticated() {
    for message in [message(), bodiless()] {
        let mut signatures = vec![
            sign(&key(1), &cluster(), &message, 100, None, 1),
            sign(&key(2), &cluster(), &message, 101, Some(110), u64::MAX),
        ];
        let headers = headers(&cluster(), &message, &signatures);
        signatures.sort_by_key(|signature| signature.key);
        assert_eq!(authenticate(&cluster(), &message, &received(&headers)), Ok(signatures));
    }
}

#[test]
fn a_signature_is_for_one_message() {
    let signature = [sign(&key(1), &cluster(), &message(), 100, None, 1)];
    assert_eq!(verify(&cluster(), &message(), &signature), Ok(()));
    let others = [
        Message { method: Method::Put, ..message() },
        Message { target: "/api/v1/namespaces/default/secrets", ..message() },
        Message { target: "/api/v1/namespaces/default/secret?fieldManager=me", ..message() },
        Message { media: Media::ApplyPatch, ..message() },
        Message { media: Media::None, ..message() },
        Message { body: Hash::of(&[b"{}"]), ..message() },
    ];
    for other in &others {
        assert!(verify(&cluster(), other, &signature).is_err(), "{other:?}");
    }
    assert!(verify(&ClusterId(Hash([8; 32])), &message(), &signature).is_err());
    let changes: [fn(&mut RequestSignature); 5] = [
        |s| s.key = key(2).public(),
        |s| s.created += 1,
        |s| s.expires = Some(1),
        |s| s.nonce += 1,
        |s| s.signature.0[0] ^= 1,
    ];
    for change in changes {
        let mut other = signature.clone();
        change(&mut other[0]);
        assert!(verify(&cluster(), &message(), &other).is_err());
    }
}

fn refusal(change: impl FnOnce(&mut SignedHeaders)) -> String {
    let signature = sign(&key(1), &cluster(), &message(), 100, Some(130), 1);
    let mut headers = headers(&cluster(), &message(), &[signature]);
    change(&mut headers);
    let error = authenticate(&cluster(), &message(), &received(&headers)).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text.replace(&key(1).public().to_string(), "KEY").replace(&cluster().to_string(), "CLUSTER")
}

#[test]
fn refusals_say_what_is_wrong() {
    let replace = |from: &'static str, to: &'static str| {
        refusal(move |h| {
            assert!(h.signature_input.contains(from), "{from}");
            h.signature_input = h.signature_input.replace(from, to);
        })
    };
    let refusals = [
        refusal(|h| h.content_digest = None),
        refusal(|h| h.content_digest = Some("sha-512=:AA==:".into())),
        refusal(|h| h.content_type = Some("application/yaml")),
        refusal(|h| h.signature_input.clear()),
        refusal(|h| h.signature.clear()),
        refusal(|h| h.signature_input.push(',')),
        refusal(|h| h.signature_input.push_str(&" ".repeat(MAX))),
        refusal(|h| h.signature = h.signature.replace("sig1", "sig2")),
        refusal(|h| h.signature = format!("{0}, {0}", h.signature)),
        refusal(|h| h.signature_input = format!("{0}, {0}", h.signature_input)),
        refusal(|h| h.signature.push_str(", sig2=:AA==:")),
        refusal(|h| {
            h.signature_input =
                format!("{0}, {1}", h.signature_input, h.signature_input.replace("sig1", "sig2"));
            h.signature = format!("{0}, {1}", h.signature, h.signature.replace("sig1", "sig2"));
        }),
        refusal(|h| {
            let labels = (0..17).map(|i| format!("l{i}=:AA==:")).collect::<Vec<_>>();
            h.signature = labels.join(",");
        }),
        refusal(|h| h.signature = "sig1=:AA==:".into()),
        refusal(|h| h.signature = "sig1=:A:".into()),
        replace("\"@query\" ", ""),
        replace("\"@query\" \"content-digest\"", "\"content-digest\" \"@query\""),
        replace("\"content-type\"", "\"content-type\" \"@authority\""),
        replace("(\"@method\" ", "(\"@method\""),
        replace("created=100;", ""),
        replace("created=100;expires=130", "expires=130;created=100"),
        replace("created=100", "created=\"100\""),
        replace("created=100", "created=0100"),
        replace("created=100", "created=1000000000000000"),
        replace("created=100", "created=-1"),
        replace("nonce=\"0000000000000001\"", "nonce=\"1\""),
        replace("nonce=\"0000000000000001\"", "nonce=\"000000000000000A\""),
        replace("nonce=\"0000000000000001\"", "nonce=1"),
        replace("keyid=\"", "keyid=\"00"),
        replace("alg=\"ed25519\"", "alg=\"hmac-sha256\""),
        replace("tag=\"hypermesh:", "tag=\"other:"),
        replace("hypermesh:07", "hypermesh:08"),
        refusal(|h| h.signature_input.push_str(";x=1")),
        refusal(|h| h.signature_input.push_str(";x")),
        refusal(|h| h.signature_input.push_str(";tag=\"é\"")),
        replace("created=100", "created=99"),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    Content-Digest is absent, the body needs sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:
    Content-Digest is sha-512=:AA==:, the body needs sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:
    Content-Type is application/yaml, a signed request needs application/json
    Signature-Input is malformed: expected a lower-case letter at byte 0
    Signature is malformed: expected a lower-case letter at byte 0
    Signature-Input is malformed: expected a lower-case letter at byte 283
    Signature-Input has 16666 bytes, more than the limit of 16384
    label "sig1" is missing in Signature
    label "sig1" stands twice in Signature
    label "sig1" stands twice in Signature-Input
    label "sig2" is missing in Signature-Input
    key KEY signed more than once
    17 signatures, the limit is 16
    signature "sig1" has 1 bytes, Ed25519 has 64
    Signature is malformed: expected padded base64 at byte 6
    signature "sig1" covers ("@method" "@path" "content-digest" "content-type"), this request needs exactly ("@method" "@path" "@query" "content-digest" "content-type")
    signature "sig1" covers ("@method" "@path" "content-digest" "@query" "content-type"), this request needs exactly ("@method" "@path" "@query" "content-digest" "content-type")
    signature "sig1" covers ("@method" "@path" "@query" "content-digest" "content-type" "@authority"), this request needs exactly ("@method" "@path" "@query" "content-digest" "content-type")
    Signature-Input is malformed: expected ` ` or `)` at byte 15
    signature "sig1": parameter created: is missing or out of order (created, expires if any, nonce, keyid, alg, tag)
    signature "sig1": parameter created: is missing or out of order (created, expires if any, nonce, keyid, alg, tag)
    signature "sig1": parameter created: must be an integer
    Signature-Input is malformed: expected an integer of 1 to 15 digits without leading zeros at byte 74
    Signature-Input is malformed: expected an integer of 1 to 15 digits without leading zeros at byte 74
    Signature-Input is malformed: expected an integer of 1 to 15 digits without leading zeros at byte 74
    signature "sig1": parameter nonce: must be 16 lower-case hexadecimal digits
    signature "sig1": parameter nonce: must be 16 lower-case hexadecimal digits
    signature "sig1": parameter nonce: must be 16 lower-case hexadecimal digits
    signature "sig1": parameter keyid: must be a public key in 64 lower-case hexadecimal digits
    signature "sig1": parameter alg: must be "ed25519"
    signature "sig1": parameter tag: must be "hypermesh:" and the cluster's id
    signature "sig1" is for cluster 0807070707070707070707070707070707070707070707070707070707070707, this is CLUSTER
    signature "sig1": parameter x: is not accepted here
    Signature-Input is malformed: expected `=` at byte 284
    Signature-Input is malformed: expected `"` (escapes are not accepted) at byte 288
    a signature is refused: the request's signatures do not verify: signature 0 of the batch is refused: the signature by KEY does not verify
    "#);
}

const MAX: usize = 16 << 10;

#[test]
fn a_body_where_none_is_signed_is_refused() {
    let signature = sign(&key(1), &cluster(), &bodiless(), 100, None, 1);
    let made = headers(&cluster(), &bodiless(), &[signature]);
    assert_eq!((made.content_digest.as_deref(), made.content_type), (None, None));
    let digest = Received { content_digest: Some("sha-256=:AA==:"), ..received(&made) };
    assert!(matches!(authenticate(&cluster(), &bodiless(), &digest), Err(HeaderError::ContentDigest { .. })));
}

proptest! {
    #[test]
    fn signatures_survive_their_headers(
        set in prop::collection::btree_map(any::<[u8; 32]>(), (0..1_000_000_000_000_000_u64, prop::option::of(0..1_000_u64), any::<u64>(), any::<[u8; 32]>()), 1..6)
    ) {
        let signatures: Vec<_> = set.into_iter().map(|(key, (created, expires, nonce, half))| RequestSignature {
            key: PublicKey(key), created, expires, nonce,
            signature: Signature([half, key].concat().try_into().unwrap()),
        }).collect();
        let made = headers(&cluster(), &message(), &signatures);
        prop_assert_eq!(parse(&cluster(), &message(), &made.signature_input, &made.signature), Ok(signatures));
    }

    /// Signature-Input has one form: what parses is what would be written, but for spaces between members.
    #[test]
    fn changed_headers_are_refused_or_mean_the_same(at in any::<prop::sample::Index>(), byte in 0..=127_u8) {
        let signature = sign(&key(1), &cluster(), &message(), 100, Some(130), 1);
        let made = headers(&cluster(), &message(), std::slice::from_ref(&signature));
        let mut bytes = made.signature_input.clone().into_bytes();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let input = String::from_utf8(bytes).unwrap();
        if let Ok(read) = parse(&cluster(), &message(), &input, &made.signature) {
            let same = headers(&cluster(), &message(), &read).signature_input;
            prop_assert_eq!(same, input);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(input in "[ -~\t]{0,80}|(sig1=\\(|\"@method\"|\\)|;|=|:|\"|é|1|,| ){0,30}") {
        let _ = fields::inner_lists(&input);
        let _ = fields::byte_sequences(&input);
        let whole = parse(&cluster(), &message(), &input, &input);
        prop_assert!(whole.is_err());
    }
}
