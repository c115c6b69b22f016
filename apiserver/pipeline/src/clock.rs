//! Block time as text.

use hypermesh_chain::Timestamp;

/// RFC 3339 in whole seconds, UTC: the form of `metav1.Time`. A time out of range reads as the epoch.
pub fn rfc3339(time: Timestamp) -> String {
    let seconds = i64::try_from(time.0 / 1_000_000).unwrap_or(0);
    let stamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an RFC 3339 time.
pub fn parse(text: &str) -> Option<Timestamp> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(stamp.as_microsecond()).ok().map(Timestamp)
}
