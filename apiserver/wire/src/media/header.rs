//! The syntax of media types in headers (RFC 9110, sections 5.6, 8.3 and 12.5.1).

/// A media type with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaType {
    /// `application`, in lower case.
    pub kind: String,
    /// `json`, in lower case.
    pub subtype: String,
    /// Names in lower case, values as they are.
    parameters: Vec<(String, String)>,
}

/// Clauses of a longer header are dropped; a sane client sends five.
const MAX_CLAUSES: usize = 64;

impl MediaType {
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = split_outside_quotes(text, ';').into_iter();
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let (kind, subtype) = (kind.trim().to_ascii_lowercase(), subtype.trim().to_ascii_lowercase());
        // The name by which clients ask for OpenAPI v2 has an `@`.
        if !is_token(&kind) || !is_token(&subtype.replace('@', "")) {
            return None;
        }
        let mut parameters = Vec::new();
        for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            if !is_token(name) {
                return None;
            }
            parameters.push((name.to_ascii_lowercase(), unquote(value.trim())?));
        }
        Some(Self { kind, subtype, parameters })
    }

    /// The first parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The weight in thousandths; what is no weight is full.
    fn weight(&self) -> u32 {
        let weight = self.parameter("q").and_then(|q| q.parse::<f64>().ok()).unwrap_or(1.0);
        // Between 0 and 1000 after the clamp; NaN becomes 0.
        (weight.clamp(0.0, 1.0) * 1000.0) as u32
    }

    /// Exact types go before `type/*`, and that before `*/*`.
    fn generality(&self) -> u8 {
        u8::from(self.kind == "*") + u8::from(self.subtype == "*")
    }
}

/// The acceptable clauses of an `Accept` header, best first; among equals, as they are written.
pub(crate) fn accept_clauses(header: &str) -> Vec<MediaType> {
    let mut clauses: Vec<MediaType> = split_outside_quotes(header, ',')
        .into_iter()
        .take(MAX_CLAUSES)
        .filter_map(MediaType::parse)
        .filter(|clause| clause.weight() > 0)
        .collect();
    clauses.sort_by_key(|clause| (1000 - clause.weight(), clause.generality()));
    clauses
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A token, or a quoted string with its escapes undone.
fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return (text.is_empty() || is_token(text)).then(|| text.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(out)
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c => return c == separator && !quoted,
        }
        false
    })
    .collect()
}
