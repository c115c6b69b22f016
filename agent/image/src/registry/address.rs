//! Addresses and headers of HTTP, as far as pulling has to do with them.

use super::error::RegistryError;
use http::Uri;
use http::header::{self, HeaderMap};
use http::uri::{Authority, PathAndQuery, Scheme};
use std::time::{Duration, SystemTime};

/// Where a `Content-Range` begins.
pub(super) fn content_range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

/// Scheme, host and port: what credentials belong to.
pub(super) fn origin(url: &Uri) -> (Option<Scheme>, Option<String>, u16) {
    let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
    (url.scheme().cloned(), url.host().map(str::to_ascii_lowercase), port)
}

/// Host and port, without anything that could be a password.
pub(super) fn authority(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Where a `Location` leads.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme_str()?).parse().ok();
    }
    if location.starts_with('/') {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(location.parse::<PathAndQuery>().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let url: Uri = location.parse().ok()?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    // What stands before an @ would be sent as a password by some.
    let plain = url.authority().map(Authority::as_str).is_some_and(|text| !text.contains('@'));
    (known && plain).then_some(url)
}

/// Percent-encoding of all but unreserved characters (RFC 3986).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

pub(super) fn protocol(host: &str, what: &str) -> RegistryError {
    RegistryError::Protocol { host: host.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn redirections_lead_where_the_standard_says() {
        let base = uri("https://r.example.org/v2/a/blobs/x");
        let to = |location: &str| resolve(&base, location).map(|url| url.to_string());
        assert_eq!(to("/y?z=1").unwrap(), "https://r.example.org/y?z=1");
        assert_eq!(to("//cdn.example.org/y").unwrap(), "https://cdn.example.org/y");
        assert_eq!(to("http://cdn.example.org/y").unwrap(), "http://cdn.example.org/y");
        assert_eq!(to("https://me:pw@cdn.example.org/y"), None);
        assert_eq!(to("file:///etc/passwd"), None);
        assert_eq!(to("y"), None);
    }

    #[test]
    fn waiting_is_told_in_seconds_or_by_a_date() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
            let now = httpdate::parse_http_date("Sat, 21 Nov 2026 00:00:00 GMT").unwrap();
            retry_after(&headers, now)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sat, 21 Nov 2026 00:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(of("soon"), None);
        assert_eq!(encoded("a b/é"), "a%20b%2F%C3%A9");
    }
}
