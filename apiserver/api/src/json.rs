//! The one decoder of JSON that the pipeline uses: deterministic, bounded in depth, and aware of duplicate keys.
//!
//! A key that occurs twice keeps its last value, as Go's decoder does, and is reported by its path. A number without
//! fraction is an integer, however it is written: Go writes `1.0` as `1`, and typed clients read no other. Lone
//! surrogates, trailing data and numbers beyond a double are errors. Memory is bounded by the input's length, which the
//! caller bounds, and by how many values it may hold.

use crate::printed::quoted;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// Objects and arrays may be nested this deep.
pub const MAX_DEPTH: usize = 120;

/// Values and names that a document may hold. Each takes some 64 bytes: this many, and no more, take what a body of the
/// greatest length may.
pub const MAX_VALUES: usize = 400_000;

/// As many duplicates are told; what lies beyond only repeats the refusal.
const MAX_DUPLICATES: usize = 100;

/// Up to here (2^53) a double stands for one integer alone.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_992.0;

/// JSON that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {reason}", column_of(.column))]
pub struct JsonError {
    /// What is wrong.
    pub reason: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 where the input ended.
    pub column: usize,
}

/// Decodes one JSON value and tells the paths of duplicate keys (`spec.ports[0].name`), each once, in the order in
/// which they occur.
pub fn decode_json(bytes: &[u8]) -> Result<(Value, Vec<String>), JsonError> {
    let mut duplicates = Vec::new();
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let node = Node { place: None, depth: 0, left: &left, duplicates: &mut duplicates };
    let value = node.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    Ok((value.map_err(|error| JsonError::of(&error, bytes))?, duplicates))
}

fn column_of(column: &usize) -> String {
    if *column == 0 { String::new() } else { format!(", column {column}") }
}

impl JsonError {
    /// What was wrong with `bytes`, in words that name neither the decoder nor its types.
    fn of(error: &serde_json::Error, bytes: &[u8]) -> Self {
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        let (line, column) = (error.line(), error.column());
        let reason = match expected(reason) {
            Some(words) => format!("expected {words}{}", found(bytes, line, column)),
            None => plain(reason).to_owned(),
        };
        Self { reason, line, column }
    }
}

/// What should have stood there, where the decoder says so.
fn expected(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "expected value" => "a value",
        "expected ident" => "true, false or null",
        "expected `:`" => "':' after the name of a field",
        "expected `,` or `]`" => "',' or ']' after an item of a list",
        "expected `,` or `}`" => "',' or '}' after a field of an object",
        "expected `\"`" => "'\"'",
        "key must be a string" => "the name of a field in double quotes",
        "trailing comma" => "something after the comma",
        "trailing characters" => "nothing after the document",
        "invalid number" => "a digit of a number",
        _ => return None,
    })
}

/// What is wrong, where nothing in particular was expected.
fn plain(reason: &str) -> &str {
    match reason {
        "EOF while parsing a value" => "the input ends where a value should be",
        "EOF while parsing a list" => "the input ends within a list",
        "EOF while parsing an object" => "the input ends within an object",
        "EOF while parsing a string" => "the input ends within a string",
        "invalid escape" => "a string has an escape that JSON does not know",
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "a string has half of a surrogate pair, which is no character"
        }
        "invalid unicode code point" => "a string is not UTF-8",
        "number out of range" => "the number is larger than any that can be told from infinity",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "a string has a control character that is not escaped"
        }
        other => other,
    }
}

/// `, found 'x'`: the character at a line and column, unless the input ends there.
fn found(bytes: &[u8], line: usize, column: usize) -> String {
    let start = match line.checked_sub(2) {
        None => Some(0),
        Some(before) => {
            bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(before).map(|(at, _)| at + 1)
        }
    };
    let at = start.and_then(|start| start.checked_add(column.checked_sub(1)?));
    let rest = at.and_then(|at| bytes.get(at..)).unwrap_or_default();
    // A character of UTF-8 has four bytes at most.
    let next = rest.get(..rest.len().min(4)).unwrap_or_default();
    match next.utf8_chunks().next().map(|chunk| chunk.valid().chars().next()) {
        Some(Some(c)) => format!(", found {c:?}"),
        Some(None) => ", found what is not UTF-8".to_owned(),
        None => String::new(),
    }
}

/// Whether `bytes` are JSON that [`decode_json`] takes, without building the value.
pub fn check_json(bytes: &[u8]) -> Result<(), JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(MAX_VALUES);
    let checked = Check { depth: 0, left: &left }.deserialize(&mut deserializer);
    checked.and_then(|()| deserializer.end()).map_err(|error| JsonError::of(&error, bytes))
}

/// `duplicate field "spec.x"`: how strict decoding words one of the paths of [`decode_json`].
pub fn duplicate_field(path: &str) -> String {
    format!("duplicate field {}", quoted(path))
}

/// Where a value stands. Chained through the stack, so that a path costs nothing until it is asked for.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Place<'_> {
    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.step {
            Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
}

/// Decodes the value at one place.
struct Node<'a, 'd> {
    place: Option<&'a Place<'a>>,
    depth: usize,
    left: &'d Cell<usize>,
    duplicates: &'d mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        take_one(self.left).map_err(D::Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        let integral = value.fract() == 0.0 && value.abs() <= LARGEST_INTEGER;
        Ok(if integral { Value::from(value as i64) } else { Value::from(value) })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth).map_err(A::Error::custom)?;
        let mut items = Vec::new();
        loop {
            let place = Place { parent: self.place, step: Step::Index(items.len()) };
            let node = Node { place: Some(&place), depth, left: self.left, duplicates: self.duplicates };
            match access.next_element_seed(node)? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth).map_err(A::Error::custom)?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            take_one(self.left).map_err(A::Error::custom)?;
            let place = Place { parent: self.place, step: Step::Key(&key) };
            let node = Node { place: Some(&place), depth, left: self.left, duplicates: self.duplicates };
            let value = access.next_value_seed(node)?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    let place = Place { parent: self.place, step: Step::Key(entry.key()) };
                    note_duplicate(&place, self.duplicates);
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

/// Walks a value without keeping it.
struct Check<'l> {
    depth: usize,
    left: &'l Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        take_one(self.left).map_err(D::Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let depth = deeper(self.depth).map_err(A::Error::custom)?;
        while access.next_element_seed(Check { depth, left: self.left })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let depth = deeper(self.depth).map_err(A::Error::custom)?;
        while access.next_key_seed(Check { depth, left: self.left })?.is_some() {
            access.next_value_seed(Check { depth, left: self.left })?;
        }
        Ok(())
    }
}

fn note_duplicate(place: &Place<'_>, duplicates: &mut Vec<String>) {
    if duplicates.len() < MAX_DUPLICATES {
        let mut path = String::new();
        place.write(&mut path);
        if !duplicates.contains(&path) {
            duplicates.push(path);
        }
    }
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(format!("nested deeper than {MAX_DEPTH} levels")) }
}

fn take_one(left: &Cell<usize>) -> Result<(), String> {
    let less = left.get().checked_sub(1).ok_or_else(|| format!("more than {MAX_VALUES} values and names"))?;
    left.set(less);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_and_names_are_counted() {
        let list = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
        let map = |fields: usize| format!("{{{}\"a\":0}}", "\"a\":0,".repeat(fields - 1));
        for (text, fits) in [
            (list(MAX_VALUES - 1), true),
            (list(MAX_VALUES), false),
            (map(MAX_VALUES / 2 - 1), true),
            (map(MAX_VALUES / 2), false),
        ] {
            let (decoded, checked) = (decode_json(text.as_bytes()), check_json(text.as_bytes()));
            assert_eq!((decoded.is_ok(), checked.is_ok()), (fits, fits), "{} bytes", text.len());
            for refused in [decoded.err(), checked.err()].into_iter().flatten() {
                assert_eq!(refused.reason, "more than 400000 values and names");
            }
        }
    }

    #[test]
    fn the_last_duplicate_wins_and_is_told_by_path() {
        let (value, duplicates) =
            decode_json(br#"{"spec":{"x":1,"x":2,"l":[{"a":1},{"a":1,"a":2,"a":3}]},"spec":{"x":3}}"#)
                .unwrap();
        assert_eq!(value, serde_json::json!({"spec": {"x": 3}}));
        assert_eq!(duplicates, ["spec.x", "spec.l[1].a", "spec"]);
        assert_eq!(duplicate_field("spec.x"), "duplicate field \"spec.x\"");
    }

    #[test]
    fn a_number_is_read_back_as_it_is_written() {
        let mut text =
            "[1.300000000000000048623156e308,0.1,5e-324,33333333333333333333433333333334]".to_owned();
        let (first, _) = decode_json(text.as_bytes()).unwrap();
        for _ in 0..3 {
            text = first.to_string();
            assert_eq!(decode_json(text.as_bytes()).unwrap().0, first, "{text}");
        }
    }

    #[test]
    fn a_number_without_fraction_is_an_integer() {
        let (value, _) = decode_json(b"[-0,-0.0,1.0,1e3,-2.50e1,9007199254740992.0,1e16,0.5]").unwrap();
        assert_eq!(value.to_string(), "[0,0,1,1000,-25,9007199254740992,1e+16,0.5]");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(decode_json(nested(MAX_DEPTH).as_bytes()).is_ok());
        let error = decode_json(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!(error.reason, "nested deeper than 120 levels");
        assert!(decode_json("[".repeat(1 << 20).as_bytes()).is_err());
        assert!(decode_json("{\"a\":".repeat(1 << 20).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        let error = decode_json(b"{\"a\":\n tru}").unwrap_err();
        assert_eq!((error.reason.as_str(), error.line), ("expected true, false or null, found '}'", 2));
        for bad in
            [&b""[..], b"{} {}", b"{\"a\":1,}", b"\xff", b"\"\xff\"", b"\"\\ud800\"", b"1e999", b"01", b"NaN"]
        {
            assert!(decode_json(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refusals_say_what_was_expected_and_what_is_there() {
        let told = |text: &[u8]| decode_json(text).unwrap_err().to_string();
        let texts: Vec<String> = [
            &b""[..],
            b"{\"a\":1,\n \"b\" 2}",
            b"{\"a\":1\n\"b\":2}",
            b"{\n  a: 1}",
            b"{\"a\":1,}",
            b"[1,\n2,]",
            b"[1 2]",
            b"[1,",
            b"{\"a\": \"x",
            b"{\"a\": nul}",
            b"{\"a\": 01}",
            b"{\"a\": -}",
            b"{\"a\": +1}",
            b"{\"a\": 1e999}",
            b"{} {}",
            b"\"\\x\"",
            b"\"\\ud800\"",
            b"\"a\nb\"",
            b"\"\xff\"",
            b"\xff",
            "é".as_bytes(),
            b"{\"a\":\n\n",
            b"apiVersion: v1\nkind: ConfigMap\n",
        ]
        .map(told)
        .into();
        insta::assert_snapshot!(texts.join("\n"), @r#"
line 1: the input ends where a value should be
line 2, column 6: expected ':' after the name of a field, found '2'
line 2, column 1: expected ',' or '}' after a field of an object, found '"'
line 2, column 3: expected the name of a field in double quotes, found 'a'
line 1, column 8: expected something after the comma, found '}'
line 2, column 3: expected something after the comma, found ']'
line 1, column 4: expected ',' or ']' after an item of a list, found '2'
line 1, column 3: the input ends where a value should be
line 1, column 8: the input ends within a string
line 1, column 10: expected true, false or null, found '}'
line 1, column 8: expected a digit of a number, found '1'
line 1, column 8: expected a digit of a number, found '}'
line 1, column 7: expected a value, found '+'
line 1, column 11: the number is larger than any that can be told from infinity
line 1, column 4: expected nothing after the document, found '{'
line 1, column 3: a string has an escape that JSON does not know
line 1, column 8: a string has half of a surrogate pair, which is no character
line 2: a string has a control character that is not escaped
line 1, column 2: a string is not UTF-8
line 1, column 1: expected a value, found what is not UTF-8
line 1, column 1: expected a value, found 'é'
line 3: the input ends where a value should be
line 1, column 1: expected a value, found 'a'
"#);
    }

    #[test]
    fn told_duplicates_are_bounded() {
        let many: String = (0..500).map(|n| format!("\"k{n}\":0,\"k{n}\":0,")).collect();
        let (_, duplicates) = decode_json(format!("{{{}\"z\":0}}", many).as_bytes()).unwrap();
        assert_eq!(duplicates.len(), MAX_DUPLICATES);
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"ab\\u0-9e. tnrlfs-]{0,40}"#) {
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => prop_assert_eq!(decode_json(text.as_bytes()).unwrap().0, value),
                Err(_) => prop_assert!(decode_json(text.as_bytes()).is_err()),
            }
            prop_assert_eq!(check_json(text.as_bytes()), decode_json(text.as_bytes()).map(|_| ()));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(check_json(&bytes), decode_json(&bytes).map(|_| ()));
        }
    }
}
