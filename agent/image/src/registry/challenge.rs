//! What a registry wants to be shown: `WWW-Authenticate` (RFC 9110, 11.6.1).

/// A way to show who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token that another server gives.
    Bearer {
        /// Where to ask for it.
        realm: String,
        /// For which service.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// Challenges in one header, those that are not understood left out. Linear in its length.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut scheme: Option<(String, Vec<(String, String)>)> = None;
    for item in items(header) {
        match item {
            Item::Scheme(name) => {
                challenges.extend(scheme.take().and_then(finish));
                scheme = Some((name.to_ascii_lowercase(), Vec::new()));
            }
            Item::Param(key, value) => {
                if let Some((_, params)) = &mut scheme {
                    params.push((key.to_ascii_lowercase(), value));
                }
            }
        }
    }
    challenges.extend(scheme.and_then(finish));
    challenges
}

enum Item {
    Scheme(String),
    Param(String, String),
}

fn items(header: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        if end == 0 {
            // An equals sign without a key: nothing sensible follows.
            return items;
        }
        let (word, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix('=') else {
            items.push(Item::Scheme(word.to_owned()));
            rest = after;
            continue;
        };
        if let Some(quoted) = value.strip_prefix('"') {
            let (text, after) = unquote(quoted);
            items.push(Item::Param(word.to_owned(), text));
            rest = after;
        } else {
            let end = value.find([' ', '\t', ',']).unwrap_or(value.len());
            items.push(Item::Param(word.to_owned(), value[..end].to_owned()));
            rest = &value[end..];
        }
    }
}

/// Text up to the closing quote, and what follows.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => text.extend(chars.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    (text, "")
}

fn finish((scheme, params): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let param = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: param("realm")?,
            service: param("service"),
            scope: param("scope"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let header = r#"Bearer realm="https://auth.example.org/token?a=b",service="r\"1",scope="repository:a/b:pull,push", Basic realm="x", Negotiate"#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.example.org/token?a=b".to_owned(),
            service: Some("r\"1".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(parse(header), [bearer, Challenge::Basic]);
        assert_eq!(parse("basic"), [Challenge::Basic]);
        assert_eq!(parse("Bearer service=x"), []);
        assert_eq!(parse("=x"), []);
        assert_eq!(parse("Bearer realm=\"https://x"), parse("Bearer realm=https://x"));
    }

    proptest! {
        #[test]
        fn no_header_makes_reading_panic(header in "\\PC{0,80}") {
            let _ = parse(&header);
        }
    }
}
