//! Warnings beside a reply: `Warning: 299 - "text"` for each (RFC 7234, section 5.5).
//!
//! A head of any size would be refused by clients and proxies, and the reply with it. So each warning is told once, and
//! what is too much is cut as in the reference (`k8s.io/apiserver/pkg/endpoints/filters/warning.go`): when all of them
//! have more than [`MOST`] characters, each is cut to [`MOST_EACH`], and those that still do not fit are left out. So are
//! those beyond [`MOST_LINES`], of which the reference has no bound: hyper's clients take a hundred headers.

use http::{HeaderMap, HeaderValue, header};
use std::collections::BTreeSet;

/// Characters of all warnings of a reply.
const MOST: usize = 4 * 1024;
/// Characters of one, once there are too many.
const MOST_EACH: usize = 256;
/// Warnings of a reply.
const MOST_LINES: usize = 50;

pub(super) fn write(headers: &mut HeaderMap, warnings: &[String]) {
    let mut told = BTreeSet::new();
    let texts: Vec<&str> =
        warnings.iter().map(String::as_str).filter(|text| !text.is_empty() && told.insert(*text)).collect();
    let all: usize = texts.iter().map(|text| text.chars().count()).sum();
    let each = if all > MOST { MOST_EACH } else { MOST };
    let mut add = |text: &str| {
        if let Ok(value) = HeaderValue::from_bytes(quoted(text.chars().take(each)).as_bytes()) {
            headers.append(header::WARNING, value);
        }
    };
    let mut written = 0;
    for (lines, text) in texts.iter().enumerate() {
        if written >= MOST || lines == MOST_LINES {
            add(&format!("{} further warnings are left out", texts.len() - lines));
            return;
        }
        written += text.chars().take(each).count();
        add(text);
    }
}

fn quoted(text: impl Iterator<Item = char>) -> String {
    let mut quoted = "299 - \"".to_owned();
    for c in text {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = "299 - ''".len();

    fn told(warnings: &[String]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(&mut headers, warnings);
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.get_all(header::WARNING).iter().map(text).collect()
    }

    #[test]
    fn each_is_told_once_and_quoted() {
        let warnings = ["a \"b\" \\".to_owned(), "c\nd".to_owned(), String::new(), "c\nd".to_owned()];
        assert_eq!(told(&warnings), [r#"299 - "a \"b\" \\""#, r#"299 - "c d""#]);
    }

    #[test]
    fn too_many_are_cut() {
        let long = "é".repeat(MOST);
        assert_eq!(told(std::slice::from_ref(&long))[0].chars().count(), MOST + FRAME);
        let many: Vec<String> = (0..1_000).map(|n| format!("{n} {long}")).collect();
        let long = told(&many);
        let (last, cut) = long.split_last().unwrap();
        assert_eq!(cut.len(), MOST / MOST_EACH);
        assert!(cut.iter().all(|text| text.chars().count() == MOST_EACH + FRAME));
        assert_eq!(last, "299 - \"984 further warnings are left out\"");
        let short: Vec<String> = (0..MOST_LINES + 2).map(|n| n.to_string()).collect();
        let short = told(&short);
        assert_eq!(
            (short.len(), short[MOST_LINES].as_str()),
            (MOST_LINES + 1, "299 - \"2 further warnings are left out\"")
        );
    }
}
