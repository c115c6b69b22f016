//! Formats of names: hosts, Kubernetes names, URIs, mail addresses.

use regex::Regex;
use std::sync::LazyLock;

/// `\p{S}` and `\p{L}`: symbols and letters of any script.
static SYMBOL_OR_LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{S}\p{L}]$").ok());
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}$").ok());

fn is_in(class: &LazyLock<Option<Regex>>, c: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(c.encode_utf8(&mut [0; 4])))
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || is_in(&SYMBOL_OR_LETTER, c)
}

/// A name of labels with a top-level domain of letters, or one label. Upstream's expression allows a single label no
/// hyphen but as its second character; so does this.
pub(super) fn is_hostname(text: &str) -> bool {
    if text.len() > 255 || text.split('.').any(|label| label.len() > 63) {
        return false;
    }
    match text.rsplit_once('.') {
        None => {
            let mut characters = text.chars();
            let Some(first) = characters.next() else { return false };
            let rest = characters.as_str();
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            is_host_character(first) && rest.chars().count() <= 62 && rest.chars().all(is_host_character)
        }
        Some((labels, top)) => {
            let top_count = top.chars().count();
            (2..=63).contains(&top_count)
                && top.chars().all(|c| c.is_ascii_alphabetic() || is_in(&LETTER, c))
                && labels.split('.').all(|label| {
                    label.starts_with(is_host_character)
                        && label.ends_with(is_host_character)
                        && label.chars().all(|c| c == '-' || is_host_character(c))
                })
        }
    }
}

/// A label of RFC 1123 in lower case.
pub(super) fn is_short_name(text: &str) -> bool {
    text.len() <= 63 && is_label(text)
}

/// Labels by dots; only the whole is bounded.
pub(super) fn is_long_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(end) && text.ends_with(end) && text.chars().all(|c| c == '-' || end(c))
}

/// An absolute URI or an absolute path, as Go's `url.ParseRequestURI` takes it.
pub(super) fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = split_scheme(text) else { return false };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let Some(after) = rest.strip_prefix('/') else { return scheme };
    match after.strip_prefix('/') {
        Some(authority) if scheme => {
            let end = authority.find('/').unwrap_or(authority.len());
            let (authority, path) = authority.split_at(end);
            is_authority(authority) && has_valid_escapes(path)
        }
        _ => has_valid_escapes(rest),
    }
}

/// Whether there is a scheme, and what follows it. Nothing if a scheme should be there and is empty.
fn split_scheme(text: &str) -> Option<(bool, &str)> {
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some((true, &text[i + 1..])),
            _ => return Some((false, text)),
        }
    }
    Some((false, text))
}

fn is_authority(text: &str) -> bool {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", text),
    };
    let user_fits = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b));
    user_fits && has_valid_escapes(user) && is_url_host(host)
}

fn is_url_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        let Some((address, port)) = inner.rsplit_once(']') else { return false };
        let (address, zone) = address.split_once("%25").unwrap_or((address, ""));
        return is_optional_port(port) && address.bytes().all(is_host_byte) && has_valid_escapes(zone);
    }
    let (name, port) = match text.rfind(':') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut bytes = name.bytes();
    is_optional_port(port)
        && has_valid_escapes(name)
        && std::iter::from_fn(|| bytes.next()).all(|b| b == b'%' || is_host_byte(b))
        && !escapes_ascii(name)
}

/// Go unescapes hosts only beyond ASCII.
fn escapes_ascii(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .any(|escape| escape.bytes().next().is_some_and(|digit| matches!(digit, b'0'..=b'7')))
}

fn is_host_byte(b: u8) -> bool {
    b >= 0x80 || b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&b)
}

fn is_optional_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn has_valid_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|escape| {
        let digits = escape.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

/// An address of RFC 5322, with or without a name before it: `a@b.example`, `Ann <a@b.example>`.
pub(super) fn is_email(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => is_phrase(name) && is_address(address),
        None => is_address(text),
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_fits = is_quoted_string(local) || is_dot_atom(local);
    let domain_fits = match domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']')) {
        Some(literal) => {
            super::network::is_ipv4(literal)
                || literal.strip_prefix("IPv6:").is_some_and(super::network::is_ipv6)
        }
        None => is_dot_atom(domain),
    };
    local_fits && domain_fits
}

/// Words, quoted or not; nothing at all is fine.
fn is_phrase(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    is_quoted_string(text)
        || text.split([' ', '\t']).all(|word| word.chars().all(|c| is_atom_character(c) || c == '.'))
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_character))
}

fn is_atom_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_quoted_string(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return false };
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(c) if !c.is_control() || c == '\t' => {}
                _ => return false,
            },
            '"' => return false,
            c if c.is_control() && c != '\t' => return false,
            _ => {}
        }
    }
    !inner.is_empty()
}
