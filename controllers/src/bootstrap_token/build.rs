//! Which tokens go now, and when to look again.

use super::BATCH;
use super::dereference::Token;
use super::validate::Valid;
use std::fmt;
use std::time::Duration;

/// How soon the rest is looked at when more than a batch has expired, or the next expires at once.
const SOON: Duration = Duration::from_secs(1);

/// What is done about the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Those that go.
    pub delete: Vec<Token>,
    /// When to look again; `None` for a namespace that holds no tokens.
    pub again: Option<Duration>,
}

pub(super) fn build(valid: Valid, look: Duration) -> Plan {
    let Valid { here, now, ends } = valid;
    if !here {
        return Plan { delete: Vec::new(), again: None };
    }
    let (expired, left): (Vec<_>, Vec<_>) = ends.into_iter().partition(|(end, _)| *end <= now);
    let more = expired.len() > BATCH;
    let next = left.into_iter().map(|(end, _)| end).min();
    let until = next.and_then(|end| Duration::try_from(end.duration_since(now)).ok()).unwrap_or(look);
    Plan {
        delete: expired.into_iter().take(BATCH).map(|(_, token)| token).collect(),
        again: Some(if more { SOON } else { until.clamp(SOON, look.max(SOON)) }),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.again, self.delete.as_slice()) {
            (None, _) => f.write_str("bootstrap tokens are in kube-system alone"),
            (_, []) => f.write_str("no bootstrap token has expired"),
            (_, tokens) => {
                let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
                write!(f, "delete bootstrap tokens that have expired: {}", names.join(", "))
            }
        }
    }
}
