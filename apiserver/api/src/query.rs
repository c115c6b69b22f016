//! Query strings and percent-encoding, refused where they are malformed.
//!
//! The reference drops a pair that it cannot decode. A dropped `dryRun` would turn a rehearsal into a write, so
//! here a malformed query is a 400.

use crate::printed::quoted;
use crate::status::Status;

/// The longest query string taken, in bytes.
pub const MAX_QUERY: usize = 64 * 1024;

/// The decoded pairs of a query string, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses `a=1&b=2`, without a leading `?`. A key without `=` has the empty value.
    pub fn parse(text: &str) -> Result<Self, Box<Status>> {
        if text.len() > MAX_QUERY {
            return Err(Box::new(Status::failure(
                414,
                "RequestURITooLong",
                format!("query string is too long: {} bytes, limit is {MAX_QUERY}", text.len()),
            )));
        }
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                return Err(malformed(pair, "semicolons must be percent-encoded"));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = percent_decode(key, Plus::IsSpace).map_err(|why| malformed(pair, why))?;
            let value = percent_decode(value, Plus::IsSpace).map_err(|why| malformed(pair, why))?;
            pairs.push((key, value));
        }
        Ok(Self { pairs })
    }

    /// The same query with `key` having `value` alone.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.pairs.retain(|(k, _)| k != key);
        self.pairs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The first value of `key`, which is the one that counts for a scalar.
    pub fn first(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All the values of `key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A boolean as apimachinery converts it: absent, `0` and `false` are false, everything else (the empty string
    /// too) is true.
    pub fn flag(&self, key: &str) -> bool {
        self.optional_flag(key).unwrap_or(false)
    }

    /// Like [`Query::flag`], telling absence apart.
    pub fn optional_flag(&self, key: &str) -> Option<bool> {
        self.first(key).map(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A signed integer, in Go's words where it is none.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Box<Status>> {
        self.first(key)
            .map(|text| parse_int(text).map_err(|why| Box::new(Status::bad_request(why))))
            .transpose()
    }
}

fn malformed(pair: &str, why: &str) -> Box<Status> {
    Box::new(Status::bad_request(format!("malformed query parameter {pair:?}: {why}")))
}

/// `strconv.ParseInt(text, 10, 64)`, with its error text.
fn parse_int(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.ParseInt: parsing {}: invalid syntax", quoted(text)));
    }
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {}: value out of range", quoted(text)))
}

/// What a `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A space, as in a query.
    IsSpace,
    /// Itself, as in a path.
    IsPlus,
}

/// Decodes `%XX`; the result must be UTF-8 without zero bytes.
pub(crate) fn percent_decode(text: &str, plus: Plus) -> Result<String, &'static str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+' | 0)) {
        return Ok(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or("invalid percent-escape")?;
                let low = bytes.next().and_then(hex_digit).ok_or("invalid percent-escape")?;
                out.push(high << 4 | low);
            }
            b'+' if plus == Plus::IsSpace => out.push(b' '),
            other => out.push(other),
        }
    }
    if out.contains(&0) {
        return Err("zero byte");
    }
    String::from_utf8(out).map_err(|_| "not UTF-8")
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_in_order_and_keeps_repeats() {
        let query = Query::parse("dryRun=All&a=b+c%2Cd&dryRun=x&&watch").unwrap();
        assert_eq!(query.first("a"), Some("b c,d"));
        assert_eq!(query.all("dryRun").collect::<Vec<_>>(), ["All", "x"]);
        assert!(query.flag("watch"));
        assert_eq!(query.first("none"), None);
    }

    #[test]
    fn refuses_what_it_cannot_decode() {
        for bad in ["a=%z1", "a=%4", "a=%", "a=%ff", "a=%00", "a=1;b=2"] {
            assert_eq!(Query::parse(bad).unwrap_err().code, 400, "{bad}");
        }
        assert_eq!(Query::parse(&"x".repeat(MAX_QUERY + 1)).unwrap_err().code, 414);
    }

    #[test]
    fn integers_speak_go() {
        let query = Query::parse("limit=x&big=99999999999999999999&ok=-7").unwrap();
        assert_eq!(
            query.integer("limit").unwrap_err().message,
            "strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert!(query.integer("big").unwrap_err().message.ends_with("value out of range"));
        assert_eq!(query.integer("ok").unwrap(), Some(-7));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = Query::parse(&text);
        }
    }
}
