//! A moment of the past, as people say it, and how a server is asked about it.

use crate::{cli::parse_duration, client::Call, error::Error, session::Session};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{fmt, str::FromStr};

/// The server's clock may be ahead by so much: a time that it has told is none to come.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// A revision of the store, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// What had been written when the store was at this revision.
    Revision(u64),
    /// What had been written by then.
    Time(Timestamp),
}

impl Moment {
    /// `42`, `2026-11-21T09:30:00Z`, or how long before `now`: `10m`, `10m ago`.
    fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => return Err(format!("{text:?} is no revision: the first is 1")),
            Ok(revision) => return Ok(Self::Revision(revision)),
            Err(_) => {}
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            let latest = now.checked_add(AHEAD).unwrap_or(now);
            return if time <= latest {
                Ok(Self::Time(time))
            } else {
                Err(format!("{text:?} is yet to come"))
            };
        }
        let ago = parse_duration(text.strip_suffix(" ago").unwrap_or(text)).ok();
        let time = ago.and_then(|ago| now.checked_sub(SignedDuration::try_from(ago).ok()?).ok());
        time.map(Self::Time).ok_or_else(|| {
            format!(
                "{text:?} is neither a revision (42), nor a time (2026-11-21T09:30:00Z), nor how long ago (10m, 2h, 1d)"
            )
        })
    }

    /// The call, about then.
    pub(crate) fn ask(self, call: Call) -> Call {
        match self {
            Self::Revision(revision) => {
                call.query(&[("resourceVersion", &revision.to_string()), ("resourceVersionMatch", "Exact")])
            }
            Self::Time(time) => call.query(&[("asOf", &time.to_string())]),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Timestamp::now())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(f, "at revision {revision}"),
            Self::Time(time) => write!(f, "at {time}"),
        }
    }
}

/// Another API server would ignore the question and answer with the present.
pub(crate) async fn keeps_history(session: &mut Session) -> Result<(), Error> {
    let version: Value = session.send(&Call::get("/version")).await?.json()?;
    let text = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default();
    if text.contains("hypermesh") {
        return Ok(());
    }
    let text = crate::output::escape(text);
    Err(Error::Message(format!("this server ({text}) keeps no past that could be asked about")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_in_three_forms() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let parse = |text: &str| Moment::parse(text, now).ok();
        assert_eq!(parse("42"), Some(Moment::Revision(42)));
        let time = "2026-11-21T09:50:00Z".parse().unwrap();
        assert_eq!(parse("10m"), Some(Moment::Time(time)));
        assert_eq!(parse("10m ago"), Some(Moment::Time(time)));
        assert_eq!(parse("2026-11-21T11:50:00+02:00"), Some(Moment::Time(time)));
        assert_eq!(parse("1d"), Some(Moment::Time("2026-11-20T10:00:00Z".parse().unwrap())));
        assert!(parse("2026-11-21T10:09:00Z").is_some());
        for wrong in
            ["2026-11-21T10:11:00Z", "", "yesterday", "-5", "-5m", "0", "2026-11-21", "99999999999h", " ago"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let asked = Moment::Time(time).ask(Call::get("/x"));
        assert_eq!(asked.path, "/x?asOf=2026-11-21T09%3A50%3A00Z");
        assert_eq!(
            Moment::Revision(7).ask(Call::get("/x")).path,
            "/x?resourceVersion=7&resourceVersionMatch=Exact"
        );
    }
}
