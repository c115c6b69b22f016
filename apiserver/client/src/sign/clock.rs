//! The client's clock beside the server's.

use crate::wire::span;
use http::{HeaderMap, header};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock that signatures are dated by: the machine's, unless told otherwise.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// Another clock than the machine's.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Seconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        (self.0)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// By how many seconds the server's clock is ahead, by the `Date` of its reply. None without one.
    pub(super) fn skew(&self, headers: &HeaderMap) -> Option<i64> {
        let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
        let theirs = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
        Some(theirs - i64::try_from(self.now()).ok()?)
    }

    /// Both clocks, and what to do.
    pub(super) fn words(&self, server: &str, skew: i64) -> String {
        let (ours, theirs) = (self.now(), self.now().saturating_add_signed(skew));
        let shown = |seconds| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        format!(
            "this machine's clock says {}, that of {server} says {}: they are {} apart, and a signed request is valid for \
             60 seconds; set the clock that is wrong (`timedatectl` tells whether one is synchronised) and try again",
            shown(ours),
            shown(theirs),
            span(skew.unsigned_abs())
        )
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_date_of_a_reply_tells_the_skew() {
        let (mut headers, clock) = (HeaderMap::new(), Clock::default());
        assert_eq!(clock.skew(&headers), None);
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(600));
        headers.insert(header::DATE, HeaderValue::from_str(&date).unwrap());
        assert!((598..=600).contains(&clock.skew(&headers).unwrap()));
        headers.insert(header::DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(clock.skew(&headers), None);
        assert!(clock.words("https://x", -600).contains("10 minutes apart"));
    }
}
