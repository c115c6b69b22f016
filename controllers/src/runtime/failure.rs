//! Why a reconcile did not come to its end, and what an object has wrong with it.
//!
//! The two are apart because they are treated apart: a [`Failure`] may pass and is tried again, [`Invalid`] stays until
//! somebody changes the object, and is told once.

use std::time::Duration;
use thiserror::Error;

/// Something that may pass: the reconcile is tried again.
#[derive(Debug, Error)]
pub enum Failure {
    /// The API server refused or did not answer.
    #[error("cannot {action}")]
    Api {
        /// What was tried, as in "cannot …".
        action: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// It was given up.
    #[error("it was given up after {0:?}")]
    TookTooLong(Duration),
    /// The code of the reconciler ended by a panic.
    #[error("the reconciler ended by a panic")]
    Panicked,
}

impl Failure {
    /// For `map_err`: what was tried, as in "cannot …".
    pub fn of(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source }
    }

    /// The class, for metrics.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Api { source: kube::Error::Api(status), .. } => match status.code {
                409 => FailureClass::Conflict,
                401 | 403 => FailureClass::Forbidden,
                _ => FailureClass::Refused,
            },
            Self::Api { .. } => FailureClass::Unreachable,
            Self::TookTooLong(_) => FailureClass::TookTooLong,
            Self::Panicked => FailureClass::Panicked,
        }
    }
}

/// Classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Another writer was faster: the next try sees what it wrote.
    Conflict,
    /// The controllers may not do this.
    Forbidden,
    /// The server refused for another reason.
    Refused,
    /// There was no answer.
    Unreachable,
    /// It was given up.
    TookTooLong,
    /// A panic.
    Panicked,
}

impl FailureClass {
    /// All of them, for metrics.
    pub const ALL: [Self; 6] = [
        Self::Conflict,
        Self::Forbidden,
        Self::Refused,
        Self::Unreachable,
        Self::TookTooLong,
        Self::Panicked,
    ];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TookTooLong => "took-too-long",
            Self::Panicked => "panicked",
        }
    }
}

/// What is wrong with an object, told to whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Invalid {
    /// One CamelCase word.
    pub reason: &'static str,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// An error and its causes in one line, each once.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let said = match error.downcast_ref::<kube::Error>() {
            // The status is its own source, and the library prints it three times.
            Some(kube::Error::Api(status)) => {
                next = None;
                format!("{} ({})", status.message, status.code)
            }
            _ => error.to_string(),
        };
        // Some libraries print the source in the error that holds it.
        if text.ends_with(&said) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&said);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn api(code: u16) -> Failure {
        let status = Status { code, message: "no".to_owned(), ..Status::default() };
        Failure::of("create it")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn failures_are_classed_by_what_the_server_said() {
        assert_eq!(api(409).class(), FailureClass::Conflict);
        assert_eq!(api(403).class(), FailureClass::Forbidden);
        assert_eq!(api(500).class(), FailureClass::Refused);
        assert_eq!(Failure::Panicked.class(), FailureClass::Panicked);
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        assert_eq!(chain(&api(409)), "cannot create it: no (409)");
        assert_eq!(chain(&Failure::Panicked), "the reconciler ended by a panic");
    }
}
