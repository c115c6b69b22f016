//! What goes wrong at a registry, told apart by what helps.

use std::time::Duration;

/// Why a registry did not give something. `Display` never shows a credential.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It does not have it.
    #[error(
        "{host} has no {what}; is the name right, and was it pushed? (a registry may say so of what is private as well)"
    )]
    NotFound {
        /// Which host.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// It wants to know who asks.
    #[error("{host} wants to know who asks for {repository}: {}", advice(*.shown))]
    Unauthorized {
        /// Which host.
        host: String,
        /// For which repository.
        repository: String,
        /// How many credentials it was shown.
        shown: usize,
    },
    /// It knows who asks, and refuses.
    #[error("{host} knows who asks, and denies {repository}{}", told(.message))]
    Denied {
        /// Which host.
        host: String,
        /// Which repository.
        repository: String,
        /// What it said.
        message: String,
    },
    /// It was asked too often.
    #[error("{host} was asked too often, and wants to be left alone{}", until(.retry_after))]
    RateLimited {
        /// Which host.
        host: String,
        /// For how long, if it said.
        retry_after: Option<Duration>,
    },
    /// Something is wrong with it.
    #[error("{host} answered {status}{}", told(.message))]
    Server {
        /// Which host.
        host: String,
        /// The status.
        status: u16,
        /// What it said.
        message: String,
        /// When it wants to be asked again, if it said.
        retry_after: Option<Duration>,
    },
    /// It would not take the request.
    #[error("{host} answered {status}, which makes no sense here{}", told(.message))]
    Refused {
        /// Which host.
        host: String,
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It was not reached, or went away.
    #[error("{doing} {host}")]
    Connection {
        /// What was being done, as in `connecting to`.
        doing: &'static str,
        /// Which host.
        host: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It said nothing for too long.
    #[error("{host} said nothing for {} s", .after.as_secs_f32())]
    Silent {
        /// Which host.
        host: String,
        /// For how long.
        after: Duration,
    },
    /// It speaks otherwise than the specification says.
    #[error("{host} does not keep to the distribution specification: {what}")]
    Protocol {
        /// Which host.
        host: String,
        /// What is wrong.
        what: String,
    },
    /// It sends more than is taken.
    #[error("{host} sends more than {limit} bytes as {what}, which is the most")]
    TooLarge {
        /// Which host.
        host: String,
        /// As what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// It asks for a password to be sent in the clear, or elsewhere than is safe.
    #[error("{host} would have credentials sent to {to}, which is not done: {why}")]
    Leak {
        /// Which host.
        host: String,
        /// Where to.
        to: String,
        /// Why not.
        why: &'static str,
    },
}

impl RegistryError {
    /// Whether asking again may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. } | Self::Server { .. } | Self::Connection { .. } | Self::Silent { .. }
        )
    }

    /// When the registry wants to be asked again, if it said.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn advice(shown: usize) -> String {
    match shown {
        0 => "name a Secret of type kubernetes.io/dockerconfigjson with an entry for it".to_owned(),
        1 => "it did not take the credentials that it was shown".to_owned(),
        more => format!("it took none of the {more} credentials that it was shown"),
    }
}

fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn until(retry_after: &Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(" for {} s", after.as_secs()))
}

/// What a registry's error says, in one line without control characters.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        #[serde(default)]
        errors: Vec<One>,
        #[serde(default)]
        details: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => {
            let errors =
                envelope.errors.into_iter().take(4).map(|one| match (one.message.is_empty(), one.code) {
                    (true, code) => code,
                    (false, code) if code.is_empty() => one.message,
                    (false, code) => format!("{code}: {}", one.message),
                });
            let lines: Vec<String> = errors.chain(envelope.details).filter(|line| !line.is_empty()).collect();
            lines.join("; ")
        }
        // A page of HTML from something in between helps nobody.
        Err(_) => String::new(),
    };
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_say_is_shown_in_one_line() {
        let text =
            br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m\n access","detail":null},{"code":"X"}]}"#;
        assert_eq!(message(text), "DENIED: no[31m access; X");
        assert_eq!(message(b"<html>"), "");
        assert_eq!(
            message(br#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
    }
}
