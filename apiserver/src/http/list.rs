//! `list`: from one consistent state, streamed, at bounded memory.
//!
//! This file decides what a list is of and writes its bytes; [`super::list_stream`] sends those of a large one.

use super::context::{Api, Asked};
use super::list_stream;
use super::outgoing::Outgoing;
use super::paging::Paging;
use super::reply;
use super::selection::{Selection, Shown, Terms};
use http::{HeaderMap, HeaderValue, Response, header};
use hypermesh_api::options::{ListOptions, VersionMatch};
use hypermesh_api::{ListMeta, Status};
use hypermesh_chain::{ObjectKey, Record, Revision};
use hypermesh_machine::Reading;
use hypermesh_store::StoreError;
use hypermesh_wire::{ContinueToken, Encoding, Offer, PARTIAL_PREFIX};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of a list that are held in memory to be indented, or written as YAML.
const MOST_IN_MEMORY: usize = 8 << 20;
/// Objects looked at before a list moves to a thread of its own.
const LOOKED_AT: usize = 2_000;

/// One list, decided: what is left is to read and to write.
pub(super) struct Plan {
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
pub(super) struct Walked {
    /// After which object the list goes on, when the walk was cut.
    pub last: Option<ObjectKey>,
    /// Objects written.
    pub written: usize,
    /// Whether the walk was cut by what it wrote or looked at, and not by the client's limit.
    pub more: bool,
}

pub(super) async fn answer(
    api: &Arc<Api>,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Box<Status>> {
    if !asked.info.subresource.is_empty() {
        return super::document::unknown();
    }
    let Terms { options, accepted, selection, shown } = Terms::agree(api, asked, headers, Offer::Objects)?;
    let pretty = accepted.is_pretty(&asked.query, &asked.agent);
    let gzip = reply::takes_gzip(headers);
    let plain = accepted.encoding == Encoding::Json && !pretty;
    let budget = if plain { reply::COMPRESS_ABOVE } else { MOST_IN_MEMORY };
    // What is written in another form is there twice for a while.
    let wanted = if plain { list_stream::MEMORY } else { 2 * budget };
    let mut room = api.replies.reserve(asked.who.caller.clone(), wanted).await?;
    let plan = plan(api, asked, &options, selection, shown)?;
    let mut first = plan.prefix();
    let failed = |error: StoreError| Box::new(refusal(&error));
    let mut walked = plan.walk(plan.after.clone(), 0, budget, LOOKED_AT, &mut first).map_err(failed)?;
    let mut plan = plan;
    if walked.more && first.len() < budget {
        // Selectors that select little look at a lot: not on a thread that serves others.
        let turn = Arc::clone(&api.lists).acquire_owned().await.map_err(|e| Box::new(Status::internal(e)))?;
        let search = move || {
            let _turn = turn;
            let begun = walked.last.take();
            let result = plan.walk(begun, walked.written, budget, usize::MAX, &mut first);
            (plan, first, result)
        };
        let (back, bytes, result) =
            tokio::task::spawn_blocking(search).await.map_err(|e| Box::new(Status::internal(e)))?;
        (plan, first, walked) = (back, bytes, result.map_err(failed)?);
    }
    if !walked.more {
        first.extend_from_slice(&plan.suffix(&walked).map_err(|e| Box::new(refusal(&e)))?);
        let response = reply::document(first.into(), reply::code(200), &accepted, pretty, headers)?;
        room.set(response.body().length())?;
        return Ok(response.map(|body| body.holding(room)));
    }
    if accepted.encoding == Encoding::Yaml {
        let words =
            "the list is too large to be written as YAML at once; ask for pages with limit, or for JSON";
        return Err(Box::new(Status::failure(413, "RequestEntityTooLarge", words)));
    }
    // What is too large to be indented in memory goes out as it is.
    room.set(list_stream::MEMORY.max(first.len()))?;
    let mut response = Response::new(list_stream::begin(plan, first, walked, gzip, room, api));
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(accepted.content_type()));
    if gzip {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Ok(response)
}

fn plan(
    api: &Api,
    asked: &Asked,
    options: &ListOptions,
    selection: Selection,
    shown: Shown,
) -> Result<Plan, Box<Status>> {
    let reading = api.replica.reading();
    let newest = reading.revision;
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
        if options.resource_version.is_some_and(|version| version > 0) {
            let words = "specifying resource version is not allowed when using continue";
            return Err(Box::new(Status::bad_request(words)));
        }
        token.check_list(selection.list_id())?;
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
    if let Some(revision) = at {
        super::lives::reach(&reading, asked, revision)?;
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
    let bad = || Box::new(ContinueToken::invalid(&token.start.replace('\0', "")));
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

    pub(super) fn suffix(&self, walked: &Walked) -> Result<Vec<u8>, StoreError> {
        let mut meta = ListMeta { resource_version: self.revision.0.to_string(), ..ListMeta::default() };
        if let Some(last) = &walked.last {
            let start = match (&self.selection.range.namespace, last.namespace()) {
                (Some(_), _) | (None, "") => format!("/{}\0", last.name()),
                (None, namespace) => format!("/{namespace}/{}\0", last.name()),
            };
            let list = Some(self.selection.list_id());
            meta.continue_ = ContinueToken { revision: Some(self.revision.0), start, list }.encode();
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

    /// Writes objects after `after`, until there are `limit` of them (counting `written`), `out` holds `budget`, or
    /// `look` of them were looked at.
    pub(super) fn walk(
        &self,
        after: Option<ObjectKey>,
        written: usize,
        budget: usize,
        look: usize,
        out: &mut Vec<u8>,
    ) -> Result<Walked, StoreError> {
        let mut state = Walk { plan: self, written, budget, look, out, last: after.clone(), cut: None };
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
                // A list that ended here would look whole.
                if let Some(key) = bad {
                    let (key, detail) = (key.escape_ascii().to_string(), "it does not decode");
                    return Err(StoreError::BadRecord { family: "objects", key, detail });
                }
            }
            Some(revision) => {
                let mut after = after;
                let mut paging = Paging::default();
                loop {
                    let size = paging.size();
                    let page =
                        self.reading.view.scan_at(&self.selection.range, revision, after.as_ref(), size)?;
                    let full = page.len() == size;
                    paging.saw(page.iter().map(|(_, record)| record.body.len()).sum());
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
            Some(cut) => Walked { last, written, more: cut != Cut::Limit },
            None => Walked { last: None, written, more: false },
        })
    }
}

/// A walk in progress.
struct Walk<'p, 'o> {
    plan: &'p Plan,
    written: usize,
    budget: usize,
    /// How many more objects may be looked at.
    look: usize,
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
    /// Enough was looked at.
    Look,
}

impl Walk<'_, '_> {
    fn object(&mut self, key: ObjectKey, record: &Record) -> ControlFlow<()> {
        self.look = self.look.saturating_sub(1);
        if !self.plan.selection.takes(&key, record) {
            if self.look == 0 {
                self.last = Some(key);
                self.cut = Some(Cut::Look);
                return ControlFlow::Break(());
            }
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
        if self.out.len() >= self.budget || self.look == 0 {
            self.cut = Some(if self.look == 0 { Cut::Look } else { Cut::Size });
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
