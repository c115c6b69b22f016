//! `list`: from one consistent state, streamed, at bounded memory.
//!
//! This file decides what a list is of and writes its bytes; [`super::list_stream`] sends those of a large one.

use super::context::{Api, Asked};
use super::list_stream;
use super::outgoing::Outgoing;
use super::paging::Paging;
use super::reply;
use super::selection::{Form, Selection, Shown, Terms};
use bytes::Bytes;
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
            // A first page that names a version is of that version, as in the reference: the pages after it are.
            let paged = options.resource_version_match.is_none() && options.limit > 0 && version > 0;
            if paged || options.resource_version_match == Some(VersionMatch::Exact) {
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
        match &self.shown.form {
            Form::Whole => hypermesh_wire::list_prefix(&self.kind.definition),
            Form::Partial => PARTIAL_PREFIX.to_vec(),
            Form::Table(format) => format.prefix(true),
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
        Ok(match &self.shown.form {
            Form::Whole => hypermesh_wire::list_suffix(&self.kind.definition, &meta),
            Form::Partial => hypermesh_wire::meta_suffix(&meta),
            Form::Table(format) => format.suffix(&meta),
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
        self.walk_on(after, written, budget, look, out, &mut |_| ControlFlow::Break(()))
    }

    /// [`Self::walk`], where `enough` is given `out` whenever it holds `budget`, and may go on by emptying it.
    pub(super) fn walk_on(
        &self,
        after: Option<ObjectKey>,
        written: usize,
        budget: usize,
        look: usize,
        out: &mut Vec<u8>,
        enough: &mut dyn FnMut(&mut Vec<u8>) -> ControlFlow<()>,
    ) -> Result<Walked, StoreError> {
        let last = after.as_ref().map(ObjectKey::encode).unwrap_or_default();
        let mut state = Walk { plan: self, written, budget, look, most: look, out, enough, last, cut: None };
        match self.at {
            None => state.newest(after.as_ref())?,
            Some(revision) => state.past(after, revision)?,
        }
        let Walk { written, last, cut, .. } = state;
        let Some(cut) = cut else { return Ok(Walked { last: None, written, more: false }) };
        // A list that went on from nowhere would begin anew.
        let last = if last.is_empty() { None } else { Some(read_key(&last)?) };
        Ok(Walked { last, written, more: cut != Cut::Limit })
    }
}

fn read_key(key: &[u8]) -> Result<ObjectKey, StoreError> {
    ObjectKey::decode(key).ok_or_else(|| StoreError::BadRecord {
        family: "objects",
        key: key.escape_ascii().to_string(),
        detail: "it does not decode",
    })
}

/// A walk in progress.
struct Walk<'p, 'o> {
    plan: &'p Plan,
    written: usize,
    budget: usize,
    /// How many more objects may be looked at.
    look: usize,
    /// How many may be looked at between two calls of `enough`.
    most: usize,
    out: &'o mut Vec<u8>,
    /// Takes `out` over when it is full, and says whether to go on.
    enough: &'o mut dyn FnMut(&mut Vec<u8>) -> ControlFlow<()>,
    /// The last object that was written, by this walk or the one it goes on from, as the store knows it; empty before
    /// the first.
    last: Vec<u8>,
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
    /// Walks over the newest state. Where everything is wanted, nothing but the bodies is read of the records.
    fn newest(&mut self, after: Option<&ObjectKey>) -> Result<(), StoreError> {
        let plan = self.plan;
        let (range, view) = (&plan.selection.range, &plan.reading.view);
        let mut bad = None;
        view.pass(range, after, |key, record| {
            let seen = if plan.selection.everything() {
                Record::body_of(record).map(|body| self.object(key, body)).map_err(|_| "it is no record")
            } else {
                self.chosen(key, record)
            };
            seen.unwrap_or_else(|detail| {
                bad = Some((key.escape_ascii().to_string(), detail));
                ControlFlow::Break(())
            })
        })?;
        // A list that ended here would look whole.
        match bad {
            Some((key, detail)) => Err(StoreError::BadRecord { family: "objects", key, detail }),
            None => Ok(()),
        }
    }

    /// Walks over the state as it was at `revision`.
    fn past(&mut self, mut after: Option<ObjectKey>, revision: Revision) -> Result<(), StoreError> {
        let plan = self.plan;
        let mut paging = Paging::default();
        loop {
            let size = paging.size();
            let page = plan.reading.view.scan_at(&plan.selection.range, revision, after.as_ref(), size)?;
            let full = page.len() == size;
            paging.saw(page.iter().map(|(_, record)| record.body.len()).sum());
            for (key, record) in page {
                let flow = if plan.selection.takes(&key, &record) {
                    self.object(&key.encode(), &record.body)
                } else {
                    self.passed(&key.encode())
                };
                if flow.is_break() {
                    return Ok(());
                }
                after = Some(key);
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Writes an object if the selectors take it.
    fn chosen(&mut self, key: &[u8], record: &[u8]) -> Result<ControlFlow<()>, &'static str> {
        let object = ObjectKey::decode(key).ok_or("it does not decode")?;
        let record = Record::decode_shared(&Bytes::copy_from_slice(record)).map_err(|_| "it is no record")?;
        if self.plan.selection.takes(&object, &record) {
            return Ok(self.object(key, &record.body));
        }
        Ok(self.passed(key))
    }

    /// Counts an object that is not selected.
    fn passed(&mut self, key: &[u8]) -> ControlFlow<()> {
        self.look = self.look.saturating_sub(1);
        if self.look > 0 {
            return ControlFlow::Continue(());
        }
        self.at(key);
        self.cut = Some(Cut::Look);
        ControlFlow::Break(())
    }

    /// Writes an object.
    fn object(&mut self, key: &[u8], body: &[u8]) -> ControlFlow<()> {
        self.look = self.look.saturating_sub(1);
        // One object beyond the limit shows that there is more.
        if self.written == self.plan.limit {
            self.cut = Some(Cut::Limit);
            return ControlFlow::Break(());
        }
        if self.written > 0 {
            self.out.push(b',');
        }
        self.plan.shown.write(body, self.plan.now, self.out);
        self.written += 1;
        self.at(key);
        if self.out.len() >= self.budget {
            if (self.enough)(self.out).is_continue() {
                self.look = self.most;
                return ControlFlow::Continue(());
            }
            self.cut = Some(Cut::Size);
            return ControlFlow::Break(());
        }
        if self.look == 0 {
            self.cut = Some(Cut::Look);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn at(&mut self, key: &[u8]) {
        self.last.clear();
        self.last.extend_from_slice(key);
    }
}
