//! Cutting members out of encoded JSON objects without decoding them.
//!
//! Stored objects are well-formed, so this looks only as far as it must. On anything else it finds nothing; it never
//! panics, never recurses, and reads each byte once.

/// The encoded value of the member `key` of an encoded object. Keys are compared as they are written, so `key` must
/// need no escape.
pub fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut at = skip_space(object, 0);
    if object.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(object, at + 1);
    while object.get(at) == Some(&b'"') {
        let key_end = string_end(object, at)?;
        let found = object.get(at + 1..key_end - 1)? == key.as_bytes();
        at = skip_space(object, key_end);
        if object.get(at) != Some(&b':') {
            return None;
        }
        let start = skip_space(object, at + 1);
        let end = value_end(object, start)?;
        if found {
            return object.get(start..end);
        }
        at = skip_space(object, end);
        if object.get(at) != Some(&b',') {
            return None;
        }
        at = skip_space(object, at + 1);
    }
    None
}

/// The member `key` as a string without escapes: a name, a version, a timestamp.
pub fn plain_string<'a>(object: &'a [u8], key: &str) -> Option<&'a str> {
    let value = member(object, key)?;
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if text.contains(&b'\\') { None } else { std::str::from_utf8(text).ok() }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Where the string that begins at `at` ends, past its closing quote.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let (mut at, mut depth) = (at, 0_usize);
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let length = bytes.get(at..)?.iter().position(|b| matches!(b, b',' | b'}' | b']'))?;
            let value = bytes.get(at..at + length)?.trim_ascii_end();
            (!value.is_empty()).then(|| at + value.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn finds_members_at_the_top_alone() {
        let object =
            br#" { "a" : {"metadata":1,"s":"}\"]"} , "n":-1.5e3 ,"metadata": [ {"x":"\\"} ], "t":true}"#;
        let found = |key| member(object, key).map(|b| std::str::from_utf8(b).unwrap());
        assert_eq!(found("metadata"), Some(r#"[ {"x":"\\"} ]"#));
        assert_eq!(found("n"), Some("-1.5e3"));
        assert_eq!(found("t"), Some("true"));
        assert_eq!(found("s"), None);
        assert_eq!(plain_string(br#"{"name":"x"}"#, "name"), Some("x"));
        assert_eq!(plain_string(br#"{"name":"x\n"}"#, "name"), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            r#"[a"\\{}\[\]:, é]{0,6}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-e]", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_decoder(value in json(), pretty: bool) {
            let bytes = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            for key in ["a", "b", "c", "d", "e", "f"] {
                let found = member(&bytes, key).map(|raw| serde_json::from_slice::<Value>(raw).unwrap());
                prop_assert_eq!(found.as_ref(), value.get(key));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in r#"[{}\[\]",:a\\ ]{0,40}"#) {
            let _ = member(bytes.as_bytes(), "a");
        }
    }
}
