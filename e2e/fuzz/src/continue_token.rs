//! Continue tokens: what is read is written as it is read, and never leads out of its collection.

use hypermesh_wire::ContinueToken;

/// Reads a token; and one whose content is the input.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(text);
    // Base64 would keep the fuzzer from the content.
    let encoded = ContinueToken { revision: Some(7), start: text.to_owned(), list: Some(7) }.encode();
    check(&encoded);
    let (revision, start) = text.split_once(' ').unwrap_or(("", text));
    let json = format!(r#"{{"v":"meta.k8s.io/v1","rv":{revision},"start":"{start}"}}"#);
    check(&base64(json.as_bytes()));
}

fn check(text: &str) {
    let Ok(token) = ContinueToken::decode(text) else { return };
    assert!(!token.start.is_empty() && token.revision != Some(0));
    let inside = token.start.strip_prefix('/').unwrap_or(&token.start);
    assert!(inside.split('/').all(|part| !matches!(part, "" | "." | "..")), "{:?}", token.start);
    assert_eq!(ContinueToken::decode(&token.encode()).ok().as_ref(), Some(&token));
    let inconsistent = token.expired().metadata.continue_;
    let inconsistent = ContinueToken::decode(&inconsistent).expect("a token to go on with");
    assert_eq!(inconsistent, ContinueToken { revision: None, ..token });
}

/// URL-safe, without padding (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0_u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}
