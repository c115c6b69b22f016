//! A time in the past, as people say it.

use crate::cli::parse_duration;
use jiff::Timestamp;
use std::{str::FromStr, time::SystemTime};

/// A time in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(Timestamp);

impl Moment {
    /// As the server takes it.
    pub(super) fn rfc3339(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }

    fn parse(text: &str, now: SystemTime) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is neither a time such as 2026-11-21T09:30:00Z nor how long ago: 90s, 15m, 2h")
        };
        if let Ok(time) = Timestamp::from_str(text) {
            return Ok(Self(time));
        }
        let ago = parse_duration(text.strip_suffix(" ago").unwrap_or(text)).map_err(|_| wrong())?;
        let then = now.checked_sub(ago).ok_or_else(wrong)?;
        Timestamp::try_from(then).map(Self).map_err(|_| wrong())
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_read_as_people_say_them() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let of = |text: &str| Moment::parse(text, now).map(Moment::rfc3339);
        assert_eq!(of("1970-01-12T13:46:40Z").as_deref(), Ok("1970-01-12T13:46:40.000000Z"));
        assert_eq!(of("1970-01-12T14:46:40.5+01:00").as_deref(), Ok("1970-01-12T13:46:40.500000Z"));
        assert_eq!(of("10s").as_deref(), Ok("1970-01-12T13:46:30.000000Z"));
        assert_eq!(of("1h ago").as_deref(), Ok("1970-01-12T12:46:40.000000Z"));
        assert!(of("yesterday").is_err() && of("").is_err() && of("9999999999999h").is_err());
    }
}
