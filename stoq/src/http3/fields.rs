//! Fields that HTTP/3 treats otherwise than HTTP/1.1 does (RFC 9114 §4.2).

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use std::time::{Duration, SystemTime};

const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes out what speaks of a connection: the same service answers over HTTP/1.1 too.
pub(crate) fn strip(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTIONS.iter().chain(&named) {
        fields.remove(name);
    }
    if fields.get_all(TE).iter().any(|value| value != "trailers") {
        fields.remove(TE);
    }
}

/// Whether a message that was received is malformed by its fields.
pub(crate) fn malformed(fields: &HeaderMap) -> bool {
    OF_CONNECTIONS.iter().any(|name| fields.contains_key(name))
        || fields.get_all(TE).iter().any(|value| value != "trailers")
}

/// The length that is announced; an error if it is no number or several.
pub(crate) fn content_length(fields: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut announced = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        let text = value.as_bytes();
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(());
        }
        let length = value.to_str().map_err(drop)?.parse().map_err(drop)?;
        if announced.replace(length).is_some_and(|before| before != length) {
            return Err(());
        }
    }
    Ok(announced)
}

/// Whether an answer has content at all (RFC 9110 §6.4.1).
pub(crate) fn has_content(method: &Method, status: StatusCode) -> bool {
    method != Method::HEAD
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
        && !status.is_informational()
}

/// The Date field (RFC 9110 §6.6.1), made once a second.
pub(crate) fn date(fields: &mut HeaderMap) {
    static NOW: Mutex<Option<(Duration, HeaderValue)>> = Mutex::new(None);
    if fields.contains_key(DATE) {
        return;
    }
    let now = SystemTime::now();
    let second =
        Duration::from_secs(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
    let mut held = NOW.lock();
    if let Some((_, value)) = held.as_ref().filter(|(at, _)| *at == second) {
        fields.insert(DATE, value.clone());
    } else if let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(now)) {
        fields.insert(DATE, value.clone());
        *held = Some((second, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn what_speaks_of_a_connection_does_not_pass() {
        let mut given = fields(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("etag", "\"1\""),
        ]);
        assert!(malformed(&given));
        strip(&mut given);
        assert_eq!(given, fields(&[("etag", "\"1\"")]));
        assert!(!malformed(&fields(&[("te", "trailers")])));
    }

    #[test]
    fn a_length_is_one_number() {
        assert_eq!(content_length(&fields(&[])), Ok(None));
        assert_eq!(content_length(&fields(&[("content-length", "7")])), Ok(Some(7)));
        for bad in ["+7", "", "7,7", "0x7", "99999999999999999999"] {
            let mut map = HeaderMap::new();
            map.insert(CONTENT_LENGTH, HeaderValue::from_static(bad));
            assert_eq!(content_length(&map), Err(()), "{bad}");
        }
        let mut twice = fields(&[("content-length", "7")]);
        twice.append(CONTENT_LENGTH, HeaderValue::from_static("7"));
        assert_eq!(content_length(&twice), Ok(Some(7)));
        twice.append(CONTENT_LENGTH, HeaderValue::from_static("8"));
        assert_eq!(content_length(&twice), Err(()));
    }
}
