//! This machine's clock beside the server's.

use crate::wire::span;
use http::{HeaderMap, header};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// By how many seconds the server's clock is ahead, by the `Date` of its reply. None without one.
pub(super) fn skew(headers: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let theirs = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    Some(theirs - i64::try_from(now()).ok()?)
}

/// Both clocks, and what to do.
pub(super) fn words(server: &str, skew: i64) -> String {
    let (ours, theirs) = (now(), now().saturating_add_signed(skew));
    let shown = |seconds| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    format!(
        "this machine's clock says {}, that of {server} says {}: they are {} apart, and a signed request is valid for 60 \
         seconds; set the clock that is wrong (`timedatectl` tells whether one is synchronised) and try again",
        shown(ours),
        shown(theirs),
        span(skew.unsigned_abs())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_date_of_a_reply_tells_the_skew() {
        let mut headers = HeaderMap::new();
        assert_eq!(skew(&headers), None);
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(600));
        headers.insert(header::DATE, HeaderValue::from_str(&date).unwrap());
        assert!((598..=600).contains(&skew(&headers).unwrap()));
        headers.insert(header::DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(skew(&headers), None);
        assert!(words("https://x", -600).contains("10 minutes apart"));
    }
}
