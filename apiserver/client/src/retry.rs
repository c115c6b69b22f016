//! Sending again: what is safe to repeat is repeated, everything else is told.
//!
//! - A read is sent again a few times when its connection breaks before the reply begins.
//! - A signed write carries its own identity: the server runs it once and answers a repetition as it answered the first
//!   try. So it is sent again, byte for byte, for as long as it is not known what became of it and it is still valid.
//! - Any other write is sent once. When its fate is unknown the error says so.
//! - 429 and 503 with `Retry-After` say that nothing was done: anything is sent again after that time.

use crate::body::Body;
use crate::error::Error;
use crate::layer::{Below, Layer, Policy};
use crate::metrics::Metrics;
use crate::wire::{Bound, ConnectError};
use http::{Method, Request, Response, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a read is sent when its connections break.
const MOST_READS: u32 = 3;
/// How often a server may ask for another try.
const MOST_ASKED: u32 = 4;
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(10);
/// How long one try of a signed write may wait for its reply: the next one gets the receipt.
const ONE_TRY: Duration = Duration::from_secs(20);
/// The last try has this much time, whatever is left.
const LAST_TRY: Duration = Duration::from_secs(1);
/// How often a signed write is sent to a server that closes each connection without a word.
const MOST_DROPPED: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An extension of a request: it runs once however often it is sent, if that is within this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable {
    /// How long it may be sent again.
    pub within: Duration,
}

/// The layer.
pub(crate) type Retry<S> = Layer<Again, S>;

/// What is sent again, and to whom.
pub(crate) struct Again {
    server: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Again {
    pub fn new(server: &str, metrics: Arc<Metrics>) -> Self {
        Self { server: server.into(), metrics }
    }
}

impl Policy for Again {
    async fn run(
        self: Arc<Self>,
        below: impl Below,
        request: Request<Body>,
    ) -> Result<Response<Body>, Error> {
        Tries::new(&request, Arc::clone(&self.server), Arc::clone(&self.metrics)).run(below, request).await
    }
}

/// The tries of one request.
struct Tries {
    server: Arc<str>,
    metrics: Arc<Metrics>,
    method: Method,
    path: String,
    /// When it was first sent.
    begun: Instant,
    /// How long a signed write may be sent again.
    repeatable: Option<Duration>,
    sent: u32,
    asked: u32,
    pause: Duration,
    /// Whether an earlier try may have been carried out.
    unknown: bool,
}

impl Tries {
    fn new(request: &Request<Body>, server: Arc<str>, metrics: Arc<Metrics>) -> Self {
        Self {
            server,
            metrics,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            begun: Instant::now(),
            repeatable: request.extensions().get::<Repeatable>().map(|r| r.within),
            sent: 0,
            asked: 0,
            pause: FIRST_PAUSE,
            unknown: false,
        }
    }

    async fn run(mut self, below: impl Below, request: Request<Body>) -> Result<Response<Body>, Error> {
        let (mut parts, mut body) = request.into_parts();
        loop {
            if let Some(within) = self.repeatable {
                let left = within.saturating_sub(self.begun.elapsed()).max(LAST_TRY);
                parts.extensions.insert(Bound(ONE_TRY.min(left)));
            }
            let again = body.try_clone();
            let once = again.is_none();
            let request = Request::from_parts(parts.clone(), body);
            self.sent += 1;
            let outcome = below.send(request).await;
            let verdict = match &outcome {
                Ok(reply) => self.judge_reply(reply),
                Err(error) => self.judge_error(error),
            };
            let wait = match verdict {
                Verdict::Again(wait) if !once => wait,
                Verdict::Again(_) | Verdict::Final => return outcome.map_err(|error| self.told(error)),
                Verdict::Unknown => {
                    let words = |reply: Response<Body>| Error::Broken {
                        server: self.server.to_string(),
                        message: format!("HTTP status {}", reply.status().as_u16()),
                    };
                    return Err(self.given_up(outcome.map_or_else(|error| error, words)));
                }
            };
            self.metrics.repeated();
            tracing::debug!(method = %self.method, path = self.path, tries = self.sent, ?wait, "a request is sent again");
            tokio::time::sleep(wait).await;
            // A stream was sent once and never comes here.
            body = again.unwrap_or_default();
        }
    }

    fn judge_reply(&mut self, reply: &Response<Body>) -> Verdict {
        let code = reply.status();
        let busy = matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(wait) = asked(reply).filter(|_| busy && self.asked < MOST_ASKED) {
            self.asked += 1;
            return if self.has_time(wait) { Verdict::Again(wait) } else { self.out_of_time() };
        }
        // A member that is going, or a proxy before it, does not know what became of the first try.
        let vague = busy || matches!(code, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
        if self.unknown && vague { self.after_a_pause() } else { Verdict::Final }
    }

    fn judge_error(&mut self, error: &Error) -> Verdict {
        if !error.is_unreachable() {
            return Verdict::Final;
        }
        if self.repeatable.is_some() {
            self.unknown |= !error.is_unsent();
            let dropped = matches!(error, Error::Connect { cause: ConnectError::Dropped, .. });
            return match self.unknown {
                false => Verdict::Final,
                true if dropped && self.sent >= MOST_DROPPED => Verdict::Unknown,
                true => self.after_a_pause(),
            };
        }
        let read = matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if read && matches!(error, Error::Broken { .. }) && self.sent < MOST_READS {
            return self.after_a_pause();
        }
        Verdict::Final
    }

    fn after_a_pause(&mut self) -> Verdict {
        let wait = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.has_time(wait) { Verdict::Again(wait) } else { self.out_of_time() }
    }

    fn has_time(&self, wait: Duration) -> bool {
        self.repeatable.is_none_or(|within| self.begun.elapsed() + wait < within)
    }

    fn out_of_time(&self) -> Verdict {
        if self.unknown { Verdict::Unknown } else { Verdict::Final }
    }

    /// A write that went out once and got no answer may have been carried out.
    fn told(&self, error: Error) -> Error {
        let read = matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if read || error.is_unsent() || !error.is_unreachable() { error } else { self.given_up(error) }
    }

    fn given_up(&self, last: Error) -> Error {
        Error::Unknown {
            server: self.server.to_string(),
            method: self.method.clone(),
            path: self.path.clone(),
            tries: self.sent,
            within: Duration::from_secs(self.begun.elapsed().as_secs().max(1)),
            last: Box::new(last),
        }
    }
}

/// What follows from an outcome.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It stands.
    Final,
    /// Another try, after this time.
    Again(Duration),
    /// No more tries, and no knowledge.
    Unknown,
}

/// `Retry-After` in seconds, bounded.
fn asked(reply: &Response<Body>) -> Option<Duration> {
    let text = reply.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(text.trim().parse().ok()?).min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests;
