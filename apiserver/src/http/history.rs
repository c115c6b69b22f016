//! The past: one object as it was, and all of its versions that are kept.
//!
//! Three parameters beyond those of the reference, all of them on reads that its own rights cover: who may get an
//! object may get its past, as far back as [`super::lives`] lets them.
//! - `asOf=TIME` (RFC 3339) on get and list: the state after the last block that is not later;
//! - `resourceVersion=N&resourceVersionMatch=Exact` on get too, as it is on list;
//! - `history=true` on get: every version, newest first, with its time and by whom, `limit` at most and, with
//!   `before=N`, older than revision N only.

use super::context::{Api, Asked};
use super::outgoing::Outgoing;
use super::paging::Paging;
use super::reply;
use http::{HeaderMap, Response, StatusCode};
use hypermesh_api::Status;
use hypermesh_api::query::Query;
use hypermesh_api::request::{Target, Verb};
use hypermesh_chain::request::{Authority, Method};
use hypermesh_chain::{
    Block, Canonical as _, Change, Effect, Height, ObjectKey, Record, Request, Revision, Timestamp,
};
use hypermesh_machine::Reading;
use hypermesh_pipeline::authn::hex_of;
use hypermesh_pipeline::clock;
use hypermesh_store::StoreError;
use hypermesh_wire::Offer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Versions in one reply, unless fewer are asked for.
const MOST_VERSIONS: usize = 100;
/// Bytes of the versions in one reply, and one version more.
const MOST_BYTES: usize = 4 << 20;

/// The revision that a get asks for, if it asks for a past one.
pub(super) fn moment(api: &Api, reading: &Reading, query: &Query) -> Result<Option<Revision>, Box<Status>> {
    if query.first("resourceVersionMatch") != Some("Exact") {
        return as_of(api, reading, query);
    }
    match hypermesh_api::options::GetOptions::parse(query)?.resource_version {
        None | Some(0) => {
            let words = "resourceVersionMatch=Exact needs a resourceVersion other than 0";
            Err(Box::new(Status::bad_request(words)))
        }
        Some(version) => Ok(Some(Revision(version))),
    }
}

/// The revision at the time that `asOf` names, if it is there.
pub(super) fn as_of(api: &Api, reading: &Reading, query: &Query) -> Result<Option<Revision>, Box<Status>> {
    let Some(text) = query.first("asOf").filter(|text| !text.is_empty()) else { return Ok(None) };
    if query.first("resourceVersion").is_some_and(|version| !version.is_empty()) {
        return Err(Box::new(Status::bad_request("asOf and resourceVersion both name a revision: give one")));
    }
    let time = clock::parse(text).ok_or_else(|| {
        let example = "2026-11-21T09:30:00Z";
        Box::new(Status::bad_request(format!(
            "asOf: {text:?} is not a time in RFC 3339 form such as {example}"
        )))
    })?;
    let oldest = reading.view.oldest_revision();
    let internal = |error: StoreError| Box::new(Status::internal(error));
    match api.replica.store().revision_at(time).map_err(internal)? {
        Some(revision) if revision >= oldest => Ok(Some(revision.min(reading.revision))),
        _ => {
            let blocks = api.replica.store().block(reading.view.oldest_height()).map_err(internal)?;
            let since = blocks.map_or_else(String::new, |block| format!(" of {}", precise(block.time)));
            let words = format!(
                "{text} is too long ago: the oldest state that is kept is revision {}{since}",
                oldest.0
            );
            Err(Box::new(Status::expired(words)))
        }
    }
}

/// An object as it was.
pub(super) fn record(
    reading: &Reading,
    key: &ObjectKey,
    at: Revision,
) -> Result<Option<Arc<Record>>, Box<Status>> {
    match reading.view.get_at(key, at) {
        Ok(record) => Ok(record.map(Arc::new)),
        Err(StoreError::Future { asked, newest }) => {
            Err(Box::new(Status::revision_too_large(asked.0, newest.0)))
        }
        Err(StoreError::Compacted { oldest }) => Err(Box::new(Status::expired(format!(
            "The provided resource version is too old: {}, the oldest that is kept is {}.",
            at.0, oldest.0
        )))),
        Err(error) => Err(Box::new(Status::internal(error))),
    }
}

/// The reply to `history=true`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    kind: &'static str,
    api_version: &'static str,
    metadata: Meta,
    items: Vec<Version>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    /// The store's revision.
    resource_version: String,
    /// The oldest that can be read.
    oldest_revision: String,
    /// What to give as `before` for the versions that follow; empty at the end.
    before: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    revision: String,
    /// Block time, in RFC 3339 with microseconds; absent where the block is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// Created, Updated or Deleted.
    change: &'static str,
    /// Absent of what the state machine did by itself, and where the block is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<By>,
    object: Value,
}

#[derive(Serialize)]
struct By {
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    manager: String,
    method: &'static str,
    /// The keys that signed the request; none for one that a replica vouched for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
}

/// Answers `history=true`.
pub(super) async fn answer(
    api: &Arc<Api>,
    asked: Asked,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Box<Status>> {
    if !asked.info.subresource.is_empty() {
        return super::document::unknown();
    }
    if let Some(view) = &asked.view {
        let (group, _, plural) = view.projection.source;
        let words = format!("history is kept of what is stored: ask for that of {plural}.{group}");
        return Err(Box::new(Status::bad_request(words)));
    }
    let accepted = reply::accepted(headers, Offer::Document)?;
    let positive = |key: &str| asked.query.integer(key).map(|n| n.and_then(|n| u64::try_from(n).ok()));
    let limit = positive("limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let limit = limit.unwrap_or(MOST_VERSIONS).min(MOST_VERSIONS);
    let upto = Revision(positive("before")?.filter(|n| *n > 0).map_or(u64::MAX, |before| before - 1));
    let pretty = accepted.is_pretty(&asked.query, &asked.agent);
    let api = Arc::clone(api);
    // Versions are read as values, which are several times their bytes.
    let mut room = api.replies.reserve(asked.who.caller.clone(), 2 * MOST_BYTES).await?;
    // A version's block has to be found and read: not on a thread that serves others.
    let history = tokio::task::spawn_blocking(move || collect(&api, &asked, upto, limit)).await;
    let history = history.map_err(|error| Box::new(Status::internal(error)))??;
    let json = serde_json::to_vec(&history).map_err(|error| Box::new(Status::internal(error)))?;
    drop(history);
    room.set(json.len())?;
    let response = reply::document(json.into(), StatusCode::OK, &accepted, pretty, headers)?;
    Ok(response.map(|body| body.holding(room)))
}

fn collect(api: &Api, asked: &Asked, upto: Revision, limit: usize) -> Result<History, Box<Status>> {
    let (kind, info) = (&asked.kind, &asked.info);
    let missing = || Box::new(Status::not_found(kind.subject(&info.name)));
    let internal = |error: StoreError| Box::new(Status::internal(error));
    let namespace = if kind.namespaced() { info.namespace.as_str() } else { "" };
    let key = ObjectKey::new(kind.collection.as_str(), namespace, info.name.as_str()).ok_or_else(missing)?;
    let reading = api.replica.reading();
    let begun = super::lives::begun(&reading, asked, Revision(0))?;
    if upto < begun {
        return Err(super::lives::before(asked, begun));
    }
    let (mut effects, mut more) = versions(&reading, &key, upto, limit).map_err(internal)?;
    if effects.last().is_some_and(|last| last.revision < begun) {
        effects.retain(|effect| effect.revision >= begun);
        more = false;
    }
    if effects.is_empty() && upto == Revision(u64::MAX) {
        return Err(missing());
    }
    let before = effects.last().filter(|_| more).map(|last| last.revision.0.to_string());
    let mut blocks = Blocks::new(api, &reading, kind, &key);
    let mut items = Vec::with_capacity(effects.len());
    for effect in effects {
        let (time, by) = match blocks.of(effect.revision).map_err(internal)? {
            Some(found) => {
                let by = author(&reading, &key, found, effect.revision).map_err(internal)?;
                (Some(precise(found.block.header.time)), by)
            }
            None => (None, None),
        };
        let (change, record) = match effect.change {
            Change::Created(record) => ("Created", record),
            Change::Updated(record) => ("Updated", record),
            Change::Deleted(record) => ("Deleted", record),
        };
        let object = serde_json::from_slice(&record.body).map_err(|e| Box::new(Status::internal(e)))?;
        items.push(Version { revision: effect.revision.0.to_string(), time, change, by, object });
    }
    Ok(History {
        kind: "ObjectHistory",
        api_version: "hypermesh.online/v1",
        metadata: Meta {
            resource_version: reading.revision.0.to_string(),
            oldest_revision: reading.view.oldest_revision().max(begun).0.to_string(),
            before: before.unwrap_or_default(),
        },
        items,
    })
}

/// The newest versions up to a revision: `limit` of them, or fewer large ones, and whether there are more.
fn versions(
    reading: &Reading,
    key: &ObjectKey,
    upto: Revision,
    limit: usize,
) -> Result<(Vec<Effect>, bool), StoreError> {
    let (mut found, mut bytes, mut upto) = (Vec::new(), 0, upto);
    let mut paging = Paging::default();
    loop {
        let size = paging.size();
        let page = reading.view.versions(key, upto, size)?;
        let (full, page_bytes) = (page.len() == size, page.iter().map(weight).sum());
        paging.saw(page_bytes);
        for effect in page {
            // One more than there is room for shows that there are more.
            if found.len() == limit || (bytes > 0 && bytes + weight(&effect) > MOST_BYTES) {
                return Ok((found, true));
            }
            bytes += weight(&effect);
            upto = Revision(effect.revision.0.saturating_sub(1));
            found.push(effect);
        }
        if !full {
            return Ok((found, false));
        }
    }
}

fn weight(effect: &Effect) -> usize {
    effect.change.record().body.len()
}

/// Who asked for the write `revision` of an object. A block holds only requests that wrote, and runs them in order, so
/// the object's first write in it is that of the first request about the object, and so on; what is beyond them the
/// state machine did by itself.
fn author(
    reading: &Reading,
    key: &ObjectKey,
    found: &Found,
    revision: Revision,
) -> Result<Option<By>, StoreError> {
    let header = &found.block.header;
    let rank = match found.about.len() {
        0 => return Ok(None),
        1 if header.first_revision == header.last_revision => 0,
        // What compaction has removed of the block's writes does not count: whose the rest are is not known.
        _ if header.first_revision <= reading.view.oldest_revision() => return Ok(None),
        _ => reading.view.count_versions(key, header.first_revision, revision)?.saturating_sub(1),
    };
    let request = found.about.get(rank).and_then(|index| found.block.requests.get(*index));
    let Some(request) = request else { return Ok(None) };
    let named = Query::parse(request.query().unwrap_or_default()).ok();
    let named = named.and_then(|query| query.first("fieldManager").map(str::to_owned)).unwrap_or_default();
    let (user, manager) = match &request.authority {
        Authority::Endorsed(endorsement) => (endorsement.user.name.clone(), endorsement.manager.clone()),
        Authority::Signed { signatures } => {
            let users: Vec<String> = signatures.iter().map(|s| registered(reading, &s.key.0)).collect();
            (users.join(", "), String::new())
        }
    };
    let manager = if named.is_empty() { manager } else { named };
    let keys = request.authority.signatures().iter().map(|signature| signature.key.to_string()).collect();
    Ok(Some(By { user, manager, method: method(request), keys }))
}

/// Whether a request that wrote was about an object: by its path, or by what its body names.
fn concerns(request: &Request, kind: &hypermesh_pipeline::Kind, key: &ObjectKey) -> bool {
    let Ok(query) = Query::parse(request.query().unwrap_or_default()) else { return false };
    let Ok(Target::Resource(info)) = Target::parse(method(request), request.path(), &query) else {
        return false;
    };
    let definition = &kind.definition;
    if info.resource == "transactions" && info.group == "hypermesh.online" {
        let Ok(list) = serde_json::from_slice::<NamedList<'_>>(&request.body) else { return false };
        return list.items.iter().any(|item| {
            item.kind == definition.names.kind
                && item.metadata.names(key)
                && (key.namespace().is_empty() || item.metadata.namespace == key.namespace())
        });
    }
    let same = info.group == definition.group && info.resource == definition.names.plural;
    let within = !kind.namespaced() || info.namespace == key.namespace();
    same && match info.verb {
        Verb::Create if info.name.is_empty() => {
            let named = |body| serde_json::from_slice::<Named<'_>>(body).is_ok_and(|n| n.metadata.names(key));
            within && named(&request.body)
        }
        Verb::DeleteCollection => within || info.namespace.is_empty(),
        _ => within && info.name == key.name(),
    }
}

/// A transaction's body, as far as it says what it is about.
#[derive(Deserialize)]
struct NamedList<'a> {
    #[serde(borrow, default)]
    items: Vec<Named<'a>>,
}

/// An object's kind and name; the rest is read over.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: NameParts<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NameParts<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    generate_name: Cow<'a, str>,
}

impl NameParts<'_> {
    fn names(&self, key: &ObjectKey) -> bool {
        let generated = self.generate_name.as_ref();
        let fits = self.name.is_empty() && !generated.is_empty() && key.name().starts_with(generated);
        self.name == key.name() || fits
    }
}

/// Whom a key is registered to now; the key itself if nobody.
fn registered(reading: &Reading, key: &[u8; 32]) -> String {
    let name = reading.derived.identities.name(key);
    name.map_or_else(|| format!("key {}", hex_of(key)), str::to_owned)
}

fn method(request: &Request) -> &'static str {
    match request.method {
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// A block, and which of its requests are about the object.
struct Found {
    block: Block,
    /// Places in the block, ascending.
    about: Vec<usize>,
}

/// Finds the blocks of revisions that are asked for in descending order; what was looked at on the way is remembered,
/// for the ways have their beginnings in common.
struct Blocks<'a> {
    api: &'a Api,
    kind: &'a hypermesh_pipeline::Kind,
    key: &'a ObjectKey,
    oldest: Height,
    newest: Option<Height>,
    /// The last revision after each block that was looked at.
    seen: BTreeMap<Height, Revision>,
    found: Option<Found>,
}

impl<'a> Blocks<'a> {
    fn new(api: &'a Api, reading: &Reading, kind: &'a hypermesh_pipeline::Kind, key: &'a ObjectKey) -> Self {
        let newest = reading.view.head().map(|head| head.height);
        let oldest = reading.view.oldest_height();
        Self { api, kind, key, oldest, newest, seen: BTreeMap::new(), found: None }
    }

    /// The block that made a write; `None` if it is no longer kept.
    fn of(&mut self, revision: Revision) -> Result<Option<&Found>, StoreError> {
        let holds =
            |block: &Block| (block.header.first_revision..=block.header.last_revision).contains(&revision);
        if !self.found.as_ref().is_some_and(|found| holds(&found.block)) {
            let (kind, key) = (self.kind, self.key);
            self.found = self.search(revision)?.filter(holds).map(|block| {
                let requests = block.requests.iter().enumerate();
                let about =
                    requests.filter(|(_, r)| concerns(r, kind, key)).map(|(index, _)| index).collect();
                Found { block, about }
            });
        }
        Ok(self.found.as_ref())
    }

    fn search(&mut self, revision: Revision) -> Result<Option<Block>, StoreError> {
        let Some(newest) = self.newest else { return Ok(None) };
        let (mut low, mut high) = (self.oldest.0, newest.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.last_revision(Height(middle))? {
                Some(last) if last >= revision => high = middle,
                _ => low = middle + 1,
            }
        }
        let stored = match self.api.replica.store().block(Height(low)) {
            Ok(stored) => stored,
            Err(StoreError::BlockCompacted { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(stored.and_then(|stored| Block::decode(&stored.block).ok()))
    }

    fn last_revision(&mut self, height: Height) -> Result<Option<Revision>, StoreError> {
        if let Some(known) = self.seen.get(&height) {
            return Ok(Some(*known));
        }
        let last = match self.api.replica.store().block(height) {
            Ok(block) => block.map(|block| block.revision),
            // Compaction has passed by meanwhile.
            Err(StoreError::BlockCompacted { .. }) => None,
            Err(error) => return Err(error),
        };
        self.seen.extend(last.map(|last| (height, last)));
        Ok(last)
    }
}

/// RFC 3339 with microseconds, which `asOf` takes without loss: `metav1.MicroTime`.
fn precise(time: Timestamp) -> String {
    let seconds = clock::rfc3339(time);
    format!("{}.{:06}Z", seconds.trim_end_matches('Z'), time.0 % 1_000_000)
}
