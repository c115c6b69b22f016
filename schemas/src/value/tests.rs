//! What the schema of a scalar lets through is what its reader takes.

use super::*;
use crate::structural::schema_of;
use proptest::prelude::*;
use regex::Regex;
use schemars::JsonSchema;
use std::sync::LazyLock;

static DURATION: LazyLock<(Regex, usize)> = LazyLock::new(pattern::<Duration>);
static PERCENT: LazyLock<(Regex, usize)> = LazyLock::new(pattern::<Percent>);
static QUANTITY: LazyLock<(Regex, usize)> = LazyLock::new(pattern::<Quantity>);

fn pattern<T: JsonSchema>() -> (Regex, usize) {
    let schema = schema_of::<T>();
    let longest = schema["maxLength"].as_u64().unwrap();
    (Regex::new(schema["pattern"].as_str().unwrap()).unwrap(), usize::try_from(longest).unwrap())
}

fn text_of(alphabet: &'static str) -> impl Strategy<Value = String> {
    let letters: Vec<char> = alphabet.chars().collect();
    prop::collection::vec(prop::sample::select(letters), 0..14)
        .prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #[test]
    fn durations_read_what_their_pattern_matches(text in text_of("0159hms ")) {
        let (pattern, longest) = &*DURATION;
        let allowed = pattern.is_match(&text) && (2..=*longest).contains(&text.len());
        prop_assert_eq!(Duration::parse(&text).is_ok(), allowed, "{}", text);
    }

    #[test]
    fn percentages_read_what_their_pattern_matches(text in text_of("0159%-+")) {
        let (pattern, longest) = &*PERCENT;
        let allowed = pattern.is_match(&text) && text.len() <= *longest;
        prop_assert_eq!(Percent::parse(&text).is_ok(), allowed, "{}", text);
    }

    #[test]
    fn quantities_read_what_their_pattern_matches(text in text_of("0159.+-emMKik")) {
        let (pattern, longest) = &*QUANTITY;
        let allowed = pattern.is_match(&text) && text.len() <= *longest;
        match Quantity::parse(&text) {
            Ok(quantity) => {
                prop_assert!(allowed, "{} is read", text);
                prop_assert!(quantity.millis() >= 0 && quantity.units() * 1_000 >= quantity.millis());
            }
            // A reader refuses, in addition, what is too large to count with.
            Err(_) => prop_assert!(!allowed || text.contains(['e', 'E', 'M', 'k']), "{} is refused", text),
        }
    }

    #[test]
    fn no_text_makes_a_reader_fail_otherwise_than_by_refusing(text in any::<String>()) {
        let _ = (Duration::parse(&text), Percent::parse(&text), Quantity::parse(&text), RecordName::parse(&text));
        let _ = (ZoneName::parse(&text), LabelKey::parse(&text), RelativePath::parse(&text), FieldPath::parse(&text), Cidr::parse(&text));
    }
}

#[test]
fn defaults_are_values() {
    for text in ["0s", "5m", "10m", "24h", "720h"] {
        assert_eq!(Duration::parse(text), Ok(Duration::known(text)));
    }
    assert_eq!(DnsSubdomain::parse("default"), Ok(DnsSubdomain::known("default")));
    assert_eq!(LabelKey::parse("kubernetes.io/hostname"), Ok(LabelKey::known("kubernetes.io/hostname")));
}

#[test]
fn ports_are_numbers_or_names() {
    let read = |text: &str| serde_json::from_str::<PortRef>(text);
    assert_eq!(read("8080").unwrap(), PortRef::Number(8080));
    assert_eq!(read("\"http\"").unwrap(), PortRef::Name(PortName::parse("http").unwrap()));
    for text in ["0", "65536", "-1", "\"\"", "\"HTTP\"", "1.5", "null", "\"sixteen-letters-\""] {
        assert!(read(text).is_err(), "{text}");
    }
}
