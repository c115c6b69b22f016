//! Sends the objects, many at a time, and tells of each in the order of the manifests.
//!
//! What was asked of the server is never forgotten: each object ends as applied, refused, not sent, or sent without an
//! answer. After an interruption nothing more is sent, and what is under way is waited for, but not for long; after a
//! second one not at all. That standard output takes no more lines stops nothing: the objects are what was asked for.

use super::{Arguments, Before, DryRun, Outcome, order, patch, stop::Stop, tell};
use crate::{
    client::{self, Client},
    error::Error,
    manifest::Placed,
    session::Session,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Requests that are under way at once: enough to keep one server busy, few enough for it to serve others.
pub(super) const WIDTH: usize = 32;
/// How long what is under way is waited for after an interruption.
const GRACE: Duration = Duration::from_secs(5);
/// No deadline.
const LONG: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What became of an object.
#[derive(Debug)]
pub(super) enum Fate {
    /// Nothing was asked of the server.
    Unsent,
    /// It was sent, and no answer came.
    Unknown,
    /// It is as the manifest says: what that changed, and the object as the server has it.
    Applied(Outcome, Value),
    /// The server said no, or was never reached.
    Refused,
}

/// What became of all objects, in their order.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) fates: Vec<Fate>,
    /// Whether somebody stopped it.
    pub(super) interrupted: bool,
    /// Whether the server could not be reached any more.
    pub(super) unreachable: bool,
    /// Why standard output does not say what was applied.
    pub(super) unsaid: Option<Error>,
}

impl Sent {
    /// Whether all objects are as their manifests say.
    pub(super) fn is_complete(&self) -> bool {
        self.fates.iter().all(|fate| matches!(fate, Fate::Applied(..)))
    }
}

struct Answer {
    outcome: Outcome,
    object: Value,
    warnings: Vec<String>,
}

/// Applies `objects`, which are those of `placed` as they are to be sent.
pub(super) async fn all(
    arguments: &Arguments,
    placed: &[Placed],
    objects: &[Value],
    session: &mut Session,
) -> Result<Sent, Error> {
    let client = session.client()?;
    let mut told = Told::new(arguments, placed, objects);
    let mut interrupted: Option<Instant> = None;
    let mut stop = Stop::listen()?;
    for wave in order::waves(placed) {
        let mut queue = wave.into_iter();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < WIDTH && interrupted.is_none() && !told.unreachable {
                let Some(index) = queue.next() else { break };
                told.fates[index] = Some(Fate::Unknown);
                let (client, item, object) = (&*client, &placed[index], &objects[index]);
                running.push(async move { (index, one(client, arguments, item, object).await) });
            }
            let deadline = interrupted.unwrap_or_else(|| Instant::now() + LONG);
            tokio::select! {
                answer = running.next() => match answer {
                    Some((index, answer)) => told.take(index, answer, session).await,
                    None => break,
                },
                () = stop.asked() => {
                    if interrupted.is_some() {
                        break;
                    }
                    interrupted = Some(Instant::now() + GRACE);
                    session.note("interrupted: nothing more is sent; waiting for what is under way");
                }
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
    }
    told.finish(session);
    Ok(Sent {
        unreachable: told.unreachable,
        unsaid: told.unsaid,
        fates: told.fates.into_iter().map(|fate| fate.unwrap_or(Fate::Unsent)).collect(),
        interrupted: interrupted.is_some(),
    })
}

async fn one(
    client: &Client,
    arguments: &Arguments,
    item: &Placed,
    object: &Value,
) -> Result<Answer, client::Error> {
    let before = Before::look(item, client).await?;
    if arguments.dry_run == DryRun::Client {
        let outcome = if before == Before::Absent { Outcome::Created } else { Outcome::Configured };
        return Ok(Answer { outcome, object: object.clone(), warnings: Vec::new() });
    }
    let reply = client.send(&patch(arguments, item, object, arguments.dry_run.parameter())).await?;
    let object: Value = reply.json()?;
    Ok(Answer { outcome: before.compare(reply.code == 201, &object), object, warnings: reply.warnings })
}

/// What is known of each object, and how far people have been told.
struct Told<'a> {
    arguments: &'a Arguments,
    placed: &'a [Placed],
    /// The objects as they are sent.
    objects: &'a [Value],
    /// `None` before an object is sent.
    fates: Vec<Option<Fate>>,
    /// Refusals that have not been told yet.
    refusals: Vec<Option<client::Error>>,
    /// The first object that nothing has been said of.
    next: usize,
    unreachable: bool,
    /// The first line that standard output did not take.
    unsaid: Option<Error>,
}

impl<'a> Told<'a> {
    fn new(arguments: &'a Arguments, placed: &'a [Placed], objects: &'a [Value]) -> Self {
        let (fates, refusals) = (Vec::new(), Vec::new());
        let (next, unreachable, unsaid) = (0, false, None);
        let mut told = Self { arguments, placed, objects, fates, refusals, next, unreachable, unsaid };
        told.fates.resize_with(placed.len(), || None);
        told.refusals.resize_with(placed.len(), || None);
        told
    }

    async fn take(&mut self, index: usize, answer: Result<Answer, client::Error>, session: &mut Session) {
        match answer {
            Ok(Answer { outcome, object, warnings }) => {
                session.warn(&warnings);
                self.fates[index] = Some(Fate::Applied(outcome, object));
            }
            Err(error) if error.is_unreachable() => {
                // One such error stands for all.
                if !self.unreachable {
                    self.refused(index, &error, session).await;
                }
                self.unreachable = true;
                let unsure = !matches!(error, client::Error::Connect { .. });
                self.fates[index] = Some(if unsure { Fate::Unknown } else { Fate::Unsent });
            }
            Err(error) => {
                self.fates[index] = Some(Fate::Refused);
                self.refusals[index] = Some(error);
            }
        }
        while self.next < self.fates.len() && self.say(self.next, session).await {
            self.next += 1;
        }
    }

    /// Tells of one object; false if it is not known yet what became of it.
    async fn say(&mut self, index: usize, session: &mut Session) -> bool {
        if let Some(error) = self.refusals[index].take() {
            self.refused(index, &error, session).await;
            return true;
        }
        match self.fates[index] {
            Some(Fate::Applied(outcome, _)) => {
                self.applied(index, outcome, session);
                true
            }
            Some(Fate::Refused) => true,
            Some(Fate::Unknown | Fate::Unsent) | None => false,
        }
    }

    async fn refused(&self, index: usize, error: &client::Error, session: &mut Session) {
        let item = &self.placed[index];
        let asked = patch(self.arguments, item, &self.objects[index], self.arguments.dry_run.parameter());
        tell(item, error, &asked, session).await;
    }

    fn applied(&mut self, index: usize, outcome: Outcome, session: &mut Session) {
        if self.arguments.output.is_some() || self.unsaid.is_some() {
            return;
        }
        let suffix = self.arguments.dry_run.suffix();
        self.unsaid = session.say(&format!("{} {outcome}{suffix}", self.placed[index].name())).err();
    }

    /// Tells of what came after an object that stayed unknown.
    fn finish(&mut self, session: &mut Session) {
        for index in self.next..self.fates.len() {
            if let Some(error) = self.refusals[index].take() {
                let document = &self.placed[index].document;
                let words = crate::error::chain(&error);
                session.note(&format!("error: {}: {}: {words}", document.place(), document.reference()));
            } else if let Some(Fate::Applied(outcome, _)) = self.fates[index] {
                self.applied(index, outcome, session);
            }
        }
    }
}
