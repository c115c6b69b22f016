//! When each token ends.

use super::NAMESPACE;
use super::dereference::{Observed, Token};
use crate::runtime::Subject;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;

/// The tokens that end, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Whether this is the namespace in which tokens are.
    pub here: bool,
    /// The time.
    pub now: Timestamp,
    /// Tokens and their ends; those that do not end are not among them.
    pub ends: Vec<(Timestamp, Token)>,
}

pub(super) fn validate(subject: &Subject<Namespace>, observed: Observed) -> Valid {
    let Observed { now, tokens } = observed;
    let ends = tokens.into_iter().filter_map(|token| Some((end(token.expiration.as_deref()?), token)));
    Valid { here: &*subject.key.name == NAMESPACE, now, ends: ends.collect() }
}

/// A time that cannot be read has passed, as the API server has it too.
fn end(expiration: &str) -> Timestamp {
    expiration.parse().unwrap_or(Timestamp::MIN)
}
