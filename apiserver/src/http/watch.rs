//! `watch`: the state as it is, if asked for, then everything that follows.
//!
//! A watch is a cursor into the feed. It wakes once a block, takes what has come since, and sends it in one piece.
//! When it lags behind the feed it reads the store's history, for as long as that goes back; it is never told to start
//! over while history lasts.

use super::context::{Api, Asked};
use super::outgoing::{self, Outgoing};
use super::paging::Paging;
use super::selection::{Form, Selection, Shown, Terms};
use crate::budget::Caller;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use hypermesh_api::Status;
use hypermesh_chain::{Change, ObjectKey, Record, Revision};
use hypermesh_machine::{Event, Reading};
use hypermesh_store::StoreError;
use hypermesh_wire::{EventType, Offer, bookmark, frame_parts, write_frame};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// Events taken from the feed at once.
const BATCH: usize = 256;
/// Objects looked at at once for the first state.
const PAGE: usize = 250;
/// Bytes that are sent at once, and one object more.
const PIECE: usize = 256 * 1024;
/// Pieces below this size are not charged, in bytes.
const NEGLIGIBLE: usize = 16 * 1024;
/// How often a bookmark is sent to who takes them.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts that names no time: 30 to 60 minutes, so that clients do not all come back at once.
const SHORTEST: u64 = 30 * 60;

/// What comes next.
enum Phase {
    /// The objects of a state, after a key.
    Initial { reading: Arc<Reading>, after: Option<ObjectKey> },
    /// Events after the cursor.
    Following,
    /// Nothing.
    Over,
}

struct Watch {
    api: Arc<Api>,
    kind: Arc<hypermesh_pipeline::Kind>,
    selection: Selection,
    shown: Shown,
    /// Who is charged for what is sent and not taken.
    caller: Caller,
    phase: Phase,
    cursor: Revision,
    newest: watch::Receiver<Revision>,
    closing: watch::Receiver<bool>,
    ends: Instant,
    next_bookmark: Instant,
    /// Rings at the end, or at the next bookmark if that comes first. Kept over waits: setting a timer anew for every
    /// event would cost more than the event.
    timer: Pin<Box<Sleep>>,
    /// Whether the first state ends with a marked bookmark.
    marks_end: bool,
    headers_sent: bool,
    /// How much of the store's history is read at once.
    history: Paging,
}

pub(super) fn answer(
    api: &Arc<Api>,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Box<Status>> {
    if !asked.info.subresource.is_empty() {
        return super::document::unknown();
    }
    let Terms { options, selection, shown, .. } = Terms::agree(api, asked, headers, Offer::Watch)?;
    let newest = api.replica.feed().subscribe();
    let reading = api.replica.reading();
    let version = options.resource_version.unwrap_or(0);
    if Revision(version) > reading.revision {
        return Err(Box::new(Status::revision_too_large(version, reading.revision.0)));
    }
    let initial = options.send_initial_events == Some(true);
    if !initial && version != 0 {
        // What follows is read, and the version itself is not.
        super::lives::reach(&reading, asked, Revision(version.saturating_add(1)))?;
    }
    let (phase, cursor) = if initial {
        (Phase::Initial { after: None, reading: Arc::clone(&reading) }, reading.revision)
    } else if version == 0 {
        (Phase::Following, reading.revision)
    } else {
        (Phase::Following, Revision(version))
    };
    let now = Instant::now();
    let spread = reading.revision.0 % SHORTEST;
    let seconds = options.timeout_seconds.filter(|s| *s > 0).unwrap_or(SHORTEST + spread);
    let ends = now + Duration::from_secs(seconds.min(24 * 3600));
    let next_bookmark = now + BOOKMARK_EVERY;
    let rings = if options.allow_watch_bookmarks { ends.min(next_bookmark) } else { ends };
    let watch = Watch {
        timer: Box::pin(tokio::time::sleep_until(rings)),
        kind: Arc::clone(&asked.kind),
        selection,
        shown,
        caller: asked.who.caller.clone(),
        history: Paging::default(),
        phase,
        cursor,
        newest,
        closing: api.closing.clone(),
        ends,
        next_bookmark,
        marks_end: initial && options.allow_watch_bookmarks && options.resource_version_match.is_some(),
        headers_sent: false,
        api: Arc::clone(api),
    };
    api.metrics.watches.fetch_add(1, Ordering::Relaxed);
    let body = futures_util::stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|part| (part, watch))
    });
    let mut response = Response::new(Outgoing::events(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.api.metrics.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// The next piece of the stream; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let piece = match &mut self.phase {
                Phase::Over => return None,
                Phase::Initial { .. } => self.initial(),
                Phase::Following => match self.follow() {
                    Some(piece) => piece,
                    None => self.wait().await?,
                },
            };
            if !piece.is_empty() {
                return Some(self.charged(piece).await);
            }
            // A watch that selects nothing must not hold its thread while it reads.
            tokio::task::yield_now().await;
        }
    }

    /// A piece that waits for its client counts among the replies that its client has not taken.
    async fn charged(&mut self, piece: Bytes) -> Bytes {
        if piece.len() < NEGLIGIBLE {
            return piece;
        }
        match self.api.replies.reserve(self.caller.clone(), piece.len()).await {
            Ok(room) => outgoing::held(piece, room),
            Err(status) => self.fail(&status),
        }
    }

    /// A page of the first state, and its end.
    fn initial(&mut self) -> Bytes {
        let Phase::Initial { reading, after } = &mut self.phase else { return Bytes::new() };
        let (reading, after) = (Arc::clone(reading), after.take());
        let range = self.selection.range.clone();
        let mut out = Vec::new();
        let (mut looked_at, mut last, mut bad) = (0, None, false);
        let scanned = reading.view.for_each(&range, after.as_ref(), |key, record| {
            let Some(key) = ObjectKey::decode(key) else {
                bad = true;
                return ControlFlow::Break(());
            };
            if self.selection.takes(&key, &record) {
                self.write(EventType::Added, &record.body, &mut out);
            }
            last = Some(key);
            looked_at += 1;
            if looked_at == PAGE || out.len() >= PIECE {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Err(error) => return self.fail(&Status::internal(error)),
            Ok(()) if bad => return self.fail(&Status::internal("a stored key does not decode")),
            Ok(()) => {}
        }
        let done = looked_at < PAGE && out.len() < PIECE;
        if let Phase::Initial { after, .. } = &mut self.phase {
            *after = last;
        }
        if done {
            if self.marks_end {
                let mark = bookmark(&self.kind.definition, self.cursor.0, true);
                self.write_bookmark(&mark, &mut out);
            }
            self.phase = Phase::Following;
        }
        out.into()
    }

    /// What has come since the cursor; `None` when nothing has.
    fn follow(&mut self) -> Option<Bytes> {
        let mut events = Vec::new();
        match self.api.replica.feed().after(self.cursor, BATCH, &mut events) {
            Ok(cursor) if cursor == self.cursor => None,
            Ok(cursor) => {
                let (piece, cut) = self.encode(&events);
                self.cursor = cut.unwrap_or(cursor);
                Some(piece)
            }
            Err(hypermesh_machine::Lag) => Some(self.catch_up()),
        }
    }

    /// The frames of events, and after which revision they were cut because they became too many bytes.
    fn encode(&mut self, events: &[Arc<Event>]) -> (Bytes, Option<Revision>) {
        let mut cut = None;
        let mut out = Vec::new();
        let mut single: Option<Bytes> = None;
        let mut count = 0_u64;
        for event in events {
            if !self.selection.range.contains(&event.key) {
                continue;
            }
            let Some((kind, record)) = self.seen(&event.key, &event.change, event.before.as_deref()) else {
                continue;
            };
            count += 1;
            let own = kind == own_type(&event.change);
            if own && self.shown.as_stored() {
                let frame = event.frame(|| {
                    let mut bytes = Vec::with_capacity(record.body.len() + 40);
                    write_frame(kind, &record.body, &mut bytes);
                    bytes.into()
                });
                if count == 1 {
                    single = Some(frame.clone());
                    continue;
                }
                if let Some(first) = single.take() {
                    out.extend_from_slice(&first);
                }
                out.extend_from_slice(frame);
            } else {
                if let Some(first) = single.take() {
                    out.extend_from_slice(&first);
                }
                let body = at_revision(record, event.revision());
                self.write(kind, &body, &mut out);
            }
            if out.len() >= PIECE {
                cut = Some(event.revision());
                break;
            }
        }
        self.api.metrics.events.fetch_add(count, Ordering::Relaxed);
        (single.unwrap_or_else(|| out.into()), cut)
    }

    /// What a change looks like through the selectors: an object may come into view, or leave it.
    fn seen<'r>(
        &self,
        key: &ObjectKey,
        change: &'r Change,
        before: Option<&'r Record>,
    ) -> Option<(EventType, &'r Record)> {
        let record = change.record();
        if self.selection.everything() {
            return Some((own_type(change), record));
        }
        let was = before.is_some_and(|before| self.selection.takes(key, before));
        let is = !matches!(change, Change::Deleted(_)) && self.selection.takes(key, record);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some((EventType::Added, record)),
            (true, true) => Some((EventType::Modified, record)),
            // Who leaves the view is shown as it was last seen.
            (true, false) => Some((EventType::Deleted, before.unwrap_or(record))),
        }
    }

    /// Reads history until the feed takes over.
    fn catch_up(&mut self) -> Bytes {
        let reading = self.api.replica.reading();
        let size = self.history.size();
        let events = match reading.view.events(self.cursor, size) {
            Ok(events) => events,
            Err(StoreError::Compacted { .. }) => {
                let oldest = reading.view.oldest_revision().0;
                let text = format!("too old resource version: {} ({oldest})", self.cursor.0);
                return self.fail(&Status::expired(text));
            }
            Err(error) => return self.fail(&Status::internal(error)),
        };
        let full = events.len() == size;
        self.history.saw(events.iter().map(|effect| effect.change.record().body.len()).sum());
        let end = match events.last() {
            Some(last) if full => last.revision,
            _ => reading.revision.max(self.cursor),
        };
        let mut shared = Vec::with_capacity(events.len());
        for effect in events.into_iter().filter(|effect| self.selection.range.contains(&effect.key)) {
            let before = if self.selection.everything() {
                None
            } else {
                match reading.view.get_at(&effect.key, Revision(effect.revision.0.saturating_sub(1))) {
                    Ok(before) => before.map(Arc::new),
                    // At the very edge of history the state before is gone: nothing is known to have been in view.
                    Err(StoreError::Compacted { .. }) => None,
                    Err(error) => return self.fail(&Status::internal(error)),
                }
            };
            shared.push(Arc::new(Event::new(effect.key, effect.change, before)));
        }
        let (piece, cut) = self.encode(&shared);
        self.cursor = cut.unwrap_or(end);
        piece
    }

    /// Waits for news, a bookmark's time, or the end.
    async fn wait(&mut self) -> Option<Bytes> {
        // The feed wakes everyone once more when the server closes.
        if *self.closing.borrow() {
            return None;
        }
        tokio::select! {
            changed = self.newest.changed() => return changed.ok().map(|()| Bytes::new()),
            () = &mut self.timer => {}
        }
        if Instant::now() >= self.ends {
            return None;
        }
        self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
        let rings = self.ends.min(self.next_bookmark);
        self.timer.as_mut().reset(rings);
        let mut out = Vec::new();
        let mark = bookmark(&self.kind.definition, self.cursor.0, false);
        self.write_bookmark(&mark, &mut out);
        Some(out.into())
    }

    fn write(&mut self, kind: EventType, body: &[u8], out: &mut Vec<u8>) {
        let body = if kind == EventType::Bookmark { body.into() } else { self.shown.project(body) };
        let body = body.as_ref();
        match &self.shown.form {
            Form::Whole => write_frame(kind, body, out),
            Form::Partial => write_frame(kind, &hypermesh_wire::partial(body), out),
            Form::Table(format) => {
                let table = format.single(body, self.api.unix_now(), !self.headers_sent);
                self.headers_sent = true;
                write_frame(kind, &table, out);
            }
        }
    }

    fn write_bookmark(&mut self, mark: &Bytes, out: &mut Vec<u8>) {
        match &self.shown.form {
            Form::Whole => {
                for part in frame_parts(EventType::Bookmark, mark.clone()) {
                    out.extend_from_slice(&part);
                }
            }
            _ => self.write(EventType::Bookmark, mark, out),
        }
    }

    /// The last event of a watch that cannot go on. The reply's code was 200 long ago.
    fn fail(&mut self, status: &Status) -> Bytes {
        self.phase = Phase::Over;
        let mut out = Vec::new();
        write_frame(EventType::Error, &hypermesh_wire::error(status), &mut out);
        out.into()
    }
}

fn own_type(change: &Change) -> EventType {
    match change {
        Change::Created(_) => EventType::Added,
        Change::Updated(_) => EventType::Modified,
        Change::Deleted(_) => EventType::Deleted,
    }
}

/// The body with `resourceVersion` set to the event's revision: what left the view is an older state, but a watcher
/// goes on from the event.
fn at_revision(record: &Record, revision: Revision) -> Bytes {
    if record.revision == revision {
        return record.body.clone();
    }
    let Ok(mut object) = serde_json::from_slice::<serde_json::Value>(&record.body) else {
        return record.body.clone();
    };
    if let Some(meta) = object.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        meta.insert("resourceVersion".into(), revision.0.to_string().into());
    }
    serde_json::to_vec(&object).map_or_else(|_| record.body.clone(), Bytes::from)
}
