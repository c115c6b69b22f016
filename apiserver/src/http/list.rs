//! `list`: from one consistent state, streamed, at bounded memory.

use super::context::{Api, Asked};
use super::reply;
use super::selection::{Selection, Shown};
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, header};
use hypermesh_api::options::{ListOptions, VersionMatch};
use hypermesh_api::{ListMeta, Status};
use hypermesh_chain::{ObjectKey, Record, Revision};
use hypermesh_machine::Reading;
use hypermesh_store::StoreError;
use hypermesh_wire::{ContinueToken, Encoding, Offer, PARTIAL_PREFIX};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes that are gathered before a part of a list is sent.
const CHUNK: usize = 64 * 1024;
/// Parts that may wait for a slow client.
const WAITING_CHUNKS: usize = 4;
/// Bytes of a list that are held in memory to be indented, or written as YAML.
const MOST_IN_MEMORY: usize = 8 << 20;
/// Objects read at once from an older revision.
const PAGE: usize = 500;

/// One list, decided: what is left is to read and to write.
struct Plan {
    reading: Arc<Reading>,
    /// An older revision, read from history.
    at: Option<Revision>,
    revision: Revision,
    selection: Selection,
    after: Option<ObjectKey>,
    limit: usize,
    shown: Shown,
    kind: Arc<hypermesh_pipeline::Kind>,
    now: i64,
}

/// How a walk over the objects ended.
struct Walked {
    /// The last object that was looked at, when the limit or the size cut the walk.
    last: Option<ObjectKey>,
    /// Objects written.
    written: usize,
    /// Whether the size cut the walk.
    more: bool,
}

pub(super) fn answer(
    api: &Arc<Api>,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response<Body>, Box<Status>> {
    if !asked.info.subresource.is_empty() {
        return super::document::unknown();
    }
    let options = ListOptions::parse(&asked.query)?;
    let accepted = reply::accepted(headers, Offer::Objects)?;
    let plan = plan(api, asked, &options, Shown::of(api, asked, &accepted)?)?;
    let pretty = accepted.is_pretty(&asked.query, &asked.agent);
    let gzip = reply::takes_gzip(headers);
    let mut first = plan.prefix();
    let plain = accepted.encoding == Encoding::Json && !pretty;
    let budget = if plain { reply::COMPRESS_ABOVE } else { MOST_IN_MEMORY };
    let walked = plan.walk(plan.after.clone(), 0, budget, &mut first).map_err(|e| Box::new(refusal(&e)))?;
    if !walked.more {
        first.extend_from_slice(&plan.suffix(&walked).map_err(|e| Box::new(refusal(&e)))?);
        return reply::document(first.into(), reply::code(200), &accepted, pretty, headers);
    }
    if accepted.encoding == Encoding::Yaml {
        let words =
            "the list is too large to be written as YAML at once; ask for pages with limit, or for JSON";
        return Err(Box::new(Status::failure(413, "RequestEntityTooLarge", words)));
    }
    // What is too large to be indented in memory goes out as it is.
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(WAITING_CHUNKS);
    tokio::task::spawn_blocking(move || stream(&plan, first, walked, gzip, &sender));
    let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|part| (part, receiver))
    });
    let mut response = Response::new(Body::from_stream(body));
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(accepted.content_type()));
    if gzip {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Ok(response)
}

fn plan(api: &Api, asked: &Asked, options: &ListOptions, shown: Shown) -> Result<Plan, Box<Status>> {
    let reading = api.replica.reading();
    let newest = reading.revision;
    let selection = Selection::of(asked, options)?;
    let (mut at, mut after) = (None, None);
    if options.continue_.is_empty() {
        if let Some(version) = options.resource_version {
            if Revision(version) > newest {
                return Err(Box::new(Status::revision_too_large(version, newest.0)));
            }
            if options.resource_version_match == Some(VersionMatch::Exact) {
                at = Some(Revision(version));
            }
        } else {
            at = super::history::as_of(api, &reading, &asked.query)?;
        }
    } else {
        let token = ContinueToken::decode(&options.continue_)?;
        if let Some(revision) = token.revision {
            if Revision(revision) > newest {
                return Err(Box::new(Status::revision_too_large(revision, newest.0)));
            }
            if Revision(revision) < reading.view.oldest_revision() {
                return Err(Box::new(token.expired()));
            }
            at = Some(Revision(revision));
        }
        after = Some(start(&selection, &token)?);
    }
    let at = at.filter(|revision| *revision != newest);
    if let Some(revision) = at
        && revision < reading.view.oldest_revision()
    {
        return Err(Box::new(Status::expired(format!(
            "The provided resource version is too old: {}, the oldest that is kept is {}.",
            revision.0,
            reading.view.oldest_revision().0
        ))));
    }
    let limit = usize::try_from(options.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    Ok(Plan {
        revision: at.unwrap_or(newest),
        reading,
        at,
        selection,
        after,
        limit,
        shown,
        kind: Arc::clone(&asked.kind),
        now: api.unix_now(),
    })
}

/// The key after which a continued list goes on: `/name\0`, or `/namespace/name\0` across namespaces.
fn start(selection: &Selection, token: &ContinueToken) -> Result<ObjectKey, Box<Status>> {
    let bad = || Box::new(Status::bad_request("invalid continue token: continue key is not valid"));
    let path = token.start.trim_start_matches('/').trim_end_matches('\0');
    let (namespace, name) = match (&selection.range.namespace, path.split_once('/')) {
        (Some(namespace), None) => (namespace.as_str(), path),
        (None, Some((namespace, name))) => (namespace, name),
        (None, None) => ("", path),
        (Some(_), Some(_)) => return Err(bad()),
    };
    ObjectKey::new(selection.range.collection.as_str(), namespace, name).ok_or_else(bad)
}

fn refusal(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => Status::expired(error.to_string()),
        other => Status::internal(other),
    }
}

impl Plan {
    fn prefix(&self) -> Vec<u8> {
        match &self.shown {
            Shown::Whole => hypermesh_wire::list_prefix(&self.kind.definition),
            Shown::Partial => PARTIAL_PREFIX.to_vec(),
            Shown::Table(format) => format.prefix(true),
        }
    }

    fn suffix(&self, walked: &Walked) -> Result<Vec<u8>, StoreError> {
        let mut meta = ListMeta { resource_version: self.revision.0.to_string(), ..ListMeta::default() };
        if let Some(last) = &walked.last {
            let start = match (&self.selection.range.namespace, last.namespace()) {
                (Some(_), _) | (None, "") => format!("/{}\0", last.name()),
                (None, namespace) => format!("/{namespace}/{}\0", last.name()),
            };
            meta.continue_ = ContinueToken { revision: Some(self.revision.0), start }.encode();
            // As in the reference, the rest is counted only where no selector thins it out.
            if self.selection.everything() && self.at.is_none() {
                meta.remaining_item_count =
                    Some(self.reading.view.count_after(&self.selection.range, last)? as u64);
            }
        }
        Ok(match &self.shown {
            Shown::Whole => hypermesh_wire::list_suffix(&self.kind.definition, &meta),
            Shown::Partial => hypermesh_wire::meta_suffix(&meta),
            Shown::Table(format) => format.suffix(&meta),
        })
    }

    /// Writes objects after `after`, until there are `limit` of them (counting `written`) or `out` holds `budget`.
    fn walk(
        &self,
        after: Option<ObjectKey>,
        written: usize,
        budget: usize,
        out: &mut Vec<u8>,
    ) -> Result<Walked, StoreError> {
        let mut state = Walk { plan: self, written, budget, out, last: after.clone(), cut: None };
        match self.at {
            None => {
                let mut bad = None;
                self.reading.view.for_each(&self.selection.range, after.as_ref(), |key, record| {
                    match ObjectKey::decode(key) {
                        Some(key) => state.object(key, &record),
                        None => {
                            bad = Some(key.to_vec());
                            ControlFlow::Break(())
                        }
                    }
                })?;
                if let Some(key) = bad {
                    tracing::error!(?key, "a stored key does not decode");
                }
            }
            Some(revision) => {
                let mut after = after;
                loop {
                    let page =
                        self.reading.view.scan_at(&self.selection.range, revision, after.as_ref(), PAGE)?;
                    let full = page.len() == PAGE;
                    let mut broke = false;
                    for (key, record) in page {
                        after = Some(key.clone());
                        if state.object(key, &record).is_break() {
                            broke = true;
                            break;
                        }
                    }
                    if broke || !full {
                        break;
                    }
                }
            }
        }
        let Walk { written, last, cut, .. } = state;
        Ok(match cut {
            Some(cut) => Walked { last, written, more: cut == Cut::Size },
            None => Walked { last: None, written, more: false },
        })
    }
}

/// A walk in progress.
struct Walk<'p, 'o> {
    plan: &'p Plan,
    written: usize,
    budget: usize,
    out: &'o mut Vec<u8>,
    /// The last object that was written, by this walk or the one it goes on from.
    last: Option<ObjectKey>,
    /// What cut it short.
    cut: Option<Cut>,
}

/// Why a walk ended before the objects did.
#[derive(PartialEq, Eq)]
enum Cut {
    /// The client wants no more, and there is more.
    Limit,
    /// Enough to be sent is there.
    Size,
}

impl Walk<'_, '_> {
    fn object(&mut self, key: ObjectKey, record: &Record) -> ControlFlow<()> {
        if !self.plan.selection.takes(&key, record) {
            return ControlFlow::Continue(());
        }
        // One object beyond the limit shows that there is more.
        if self.written == self.plan.limit {
            self.cut = Some(Cut::Limit);
            return ControlFlow::Break(());
        }
        if self.written > 0 {
            self.out.push(b',');
        }
        self.plan.shown.write(&record.body, self.plan.now, self.out);
        self.written += 1;
        self.last = Some(key);
        if self.out.len() >= self.budget {
            self.cut = Some(Cut::Size);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Sends a large list in parts; a client that reads slowly holds a few of them, never the list.
fn stream(
    plan: &Plan,
    first: Vec<u8>,
    mut walked: Walked,
    gzip: bool,
    sender: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) {
    let mut sink = Sink { sender, gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())) };
    let mut run = || -> std::io::Result<()> {
        sink.send(first.clone())?;
        loop {
            let mut part = Vec::with_capacity(CHUNK + 4096);
            if walked.more {
                walked = plan
                    .walk(walked.last.take(), walked.written, CHUNK, &mut part)
                    .map_err(|error| std::io::Error::other(error.to_string()))?;
                sink.send(part)?;
                continue;
            }
            let end = plan.suffix(&walked).map_err(|error| std::io::Error::other(error.to_string()))?;
            sink.send(end)?;
            return sink.finish();
        }
    };
    if let Err(error) = run() {
        // The client sees the connection break: half a list must not look like a whole one.
        let _ = sender.blocking_send(Err(error));
    }
}

struct Sink<'s> {
    sender: &'s mpsc::Sender<Result<Bytes, std::io::Error>>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl Sink<'_> {
    fn send(&mut self, part: Vec<u8>) -> std::io::Result<()> {
        let part = match &mut self.gzip {
            None => part,
            Some(encoder) => {
                encoder.write_all(&part)?;
                if encoder.get_ref().len() < CHUNK {
                    return Ok(());
                }
                std::mem::take(encoder.get_mut())
            }
        };
        self.push(part)
    }

    fn push(&self, part: Vec<u8>) -> std::io::Result<()> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(part.into())).map_err(gone)
    }

    fn finish(&mut self) -> std::io::Result<()> {
        match self.gzip.take() {
            Some(encoder) => self.push(encoder.finish()?),
            None => Ok(()),
        }
    }
}
