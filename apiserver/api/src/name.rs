//! What names, label keys and label values may look like, and how a name is generated.
//!
//! Each check returns its messages, none for a valid value, worded as
//! `k8s.io/apimachinery/pkg/api/validate/content` words them.

const LABEL_LENGTH: usize = 63;
const SUBDOMAIN_LENGTH: usize = 253;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const KEY: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
    for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// Begins and ends with an alphanumeric character of the lower case, with hyphens between.
fn is_label(value: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = value.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

/// Begins and ends with an alphanumeric character, with `-`, `_` and `.` between.
fn is_key(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A lower-case RFC 1123 subdomain, at most 253 bytes.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > SUBDOMAIN_LENGTH {
        messages.push(too_long(SUBDOMAIN_LENGTH));
    }
    if !is_subdomain(value) {
        messages.push(SUBDOMAIN.to_owned());
    }
    messages
}

/// A lower-case RFC 1123 label, at most 63 bytes.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > LABEL_LENGTH {
        messages.push(too_long(LABEL_LENGTH));
    }
    if !is_label(value) {
        messages.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            LABEL.to_owned()
        });
    }
    messages
}

/// An RFC 1035 label: an RFC 1123 label that starts with a letter.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > LABEL_LENGTH {
        messages.push(too_long(LABEL_LENGTH));
    }
    if !is_label(value) || value.starts_with(|c: char| c.is_ascii_digit()) {
        messages.push(LABEL_1035.to_owned());
    }
    messages
}

/// A qualified name, which is what label and annotation keys and finalizers are: `[subdomain "/"] name`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut parts = value.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                messages.extend(dns1123_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {KEY} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LENGTH {
        messages.push(format!("name part {}", too_long(LABEL_LENGTH)));
    }
    if !is_key(name) {
        messages.push(format!("name part {KEY}"));
    }
    messages
}

/// A label's value: empty, or at most 63 bytes of `[-A-Za-z0-9_.]` between alphanumeric ends.
pub fn label_value(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > LABEL_LENGTH {
        messages.push(too_long(LABEL_LENGTH));
    }
    if !value.is_empty() && !is_key(value) {
        messages.push(VALUE.to_owned());
    }
    messages
}

/// Anything that is one segment of a path: not `.` or `..`, without `/` and `%`.
pub fn path_segment_name(value: &str) -> Vec<String> {
    match value {
        "." | ".." => vec![format!("may not be '{value}'")],
        other => path_segment_prefix(other),
    }
}

/// What may begin a path segment (a `generateName` of an RBAC kind).
pub fn path_segment_prefix(value: &str) -> Vec<String> {
    ['/', '%'].iter().filter(|c| value.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// A `generateName` as it is to be checked by the rule for names: a trailing hyphen is allowed in a prefix, since
/// the suffix follows it.
pub fn mask_trailing_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => {
            let mut masked = stem.to_owned();
            masked.pop();
            masked.push('a');
            masked
        }
        _ => prefix.to_owned(),
    }
}

const SUFFIX_LENGTH: usize = 5;
const LONGEST_BASE: usize = LABEL_LENGTH - SUFFIX_LENGTH;
/// Without vowels and look-alikes, so that no suffix spells a word or is misread.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The name made from a `generateName` prefix: the prefix, cut at 58 bytes, and five characters drawn from
/// `entropy`. Equal inputs give equal names.
pub fn generate_name(prefix: &str, entropy: [u8; 8]) -> String {
    let mut end = prefix.len().min(LONGEST_BASE);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = prefix.get(..end).unwrap_or_default().to_owned();
    let mut pool = u64::from_be_bytes(entropy);
    for _ in 0..SUFFIX_LENGTH {
        // The remainder indexes the alphabet by construction; `b` is never needed.
        let index = usize::try_from(pool % ALPHABET.len() as u64).unwrap_or_default();
        name.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'b')));
        pool /= ALPHABET.len() as u64;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subdomain_is_worded_as_the_reference_words_it() {
        insta::assert_snapshot!(dns1123_subdomain("A_bad").join("\n"), @r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
        insta::assert_snapshot!(dns1123_label("-").join("\n"), @"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
    }

    #[test]
    fn lengths() {
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(dns1123_subdomain(&"a".repeat(254)), ["must be no more than 253 bytes"]);
        assert!(dns1123_subdomain(&"a".repeat(253)).is_empty());
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(
            qualified_name(&format!("x/{}", "a".repeat(64))),
            ["name part must be no more than 63 bytes"]
        );
    }

    #[test]
    fn qualified_names() {
        for good in ["a", "A.b_c-9", "example.com/x", "kubernetes.io/metadata.name"] {
            assert!(qualified_name(good).is_empty(), "{good}");
        }
        for bad in ["", "/", "/x", "a/", "a/b/c", "Ex.com/x", "-a", "a ", "ä"] {
            assert!(!qualified_name(bad).is_empty(), "{bad}");
        }
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
    }

    #[test]
    fn path_segments() {
        assert_eq!(path_segment_name(".."), ["may not be '..'"]);
        assert_eq!(path_segment_name("a/b%"), ["may not contain '/'", "may not contain '%'"]);
        assert!(path_segment_name("system:node").is_empty());
    }

    #[test]
    fn a_prefix_may_end_in_a_hyphen() {
        assert_eq!(mask_trailing_dash("web-"), "wea");
        assert_eq!(mask_trailing_dash("-"), "-");
        assert!(dns1123_subdomain(&mask_trailing_dash("web-")).is_empty());
    }

    proptest! {
        #[test]
        fn generated_names_are_valid_and_fixed(prefix in "[a-z][a-z0-9]{0,80}", entropy: [u8; 8]) {
            let name = generate_name(&prefix, entropy);
            prop_assert!(dns1123_label(&name).is_empty());
            prop_assert_eq!(&name, &generate_name(&prefix, entropy));
            prop_assert!(name.starts_with(prefix.get(..prefix.len().min(58)).unwrap()));
        }

        #[test]
        fn any_prefix_is_survived(prefix in ".{0,80}", entropy: [u8; 8]) {
            prop_assert!(generate_name(&prefix, entropy).len() <= 63);
        }
    }
}
