//! For how long a namespace wants its Events, in words that a person wrote.

use super::{ANNOTATION, BOUNDS, Observed};
use crate::runtime::{Invalid, Subject};
use hypermesh_schemas::value;
use k8s_openapi::api::core::v1::Namespace;
use std::time::Duration;

/// A namespace's Events and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// For how long.
    pub retention: Duration,
    /// Its Events.
    pub observed: Observed,
    /// The namespace is being deleted, and its Events with it.
    pub leaving: bool,
}

pub(super) fn validate(
    subject: &Subject<Namespace>,
    observed: Observed,
    retention: Duration,
) -> Result<Valid, Invalid> {
    let leaving = subject.deleting();
    let asked = subject.meta().annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
    let retention = match asked {
        Some(asked) if !leaving => parse(asked)?,
        _ => retention,
    };
    Ok(Valid { retention, observed, leaving })
}

fn parse(text: &str) -> Result<Duration, Invalid> {
    let (least, most) = BOUNDS;
    let shown: String = text.chars().take(64).collect();
    let wrong = |why: String| Invalid {
        reason: "InvalidEventRetention",
        message: format!(
            "metadata.annotations[{ANNOTATION}]: {shown:?} {why}; the namespace's events are not deleted until it is \
             mended or taken away"
        ),
    };
    let duration = value::Duration::parse(text)
        .map_err(|_| wrong("is no duration such as 90m, 24h or 72h".to_owned()))?
        .as_std();
    if duration < least || duration > most {
        let hours = most.as_secs() / 3600;
        return Err(wrong(format!("is not between {}s and {hours}h", least.as_secs())));
    }
    Ok(duration)
}
