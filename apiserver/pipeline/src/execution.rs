//! The execution of one block: requests in order, then the steps that go on after them.

use crate::authz::{Attributes, Policy, UserInfo};
use crate::call::Call;
use crate::fault::Fault;
use crate::identities::{self, Identities};
use crate::nodes::Nodes;
use crate::outcome::{Outcome, Remarks, Reply};
use crate::overlay::{Overlay, Savepoint};
use crate::record::Stamp;
use crate::registry::{Kind, Registry};
use crate::state::{ReadError, StateReader};
use crate::system::ClusterConfig;
use crate::view::View;
use crate::window::Window;
use crate::{authn, clock, system, verb, work};
use hypermesh_api::request::{RequestInfo, Verb};
use hypermesh_api::selector::FieldSelector;
use hypermesh_api::{Status, Subject};
use hypermesh_chain::{Effect, Hash, Height, ObjectKey, Record, Revision, Timestamp};
use hypermesh_schemas::definition::Hook;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A block that wrote this often, or this many bytes, takes no further request. (A request, and the work after the
/// block, have limits of their own, so this is not much exceeded.)
pub const MOST_BLOCK_WRITES: usize = 8192;
/// See [`MOST_BLOCK_WRITES`].
pub const MOST_BLOCK_WEIGHT: u64 = 32 << 20;
/// One request may write this often, and this many bytes: what is more goes on after the block, or is refused.
pub const MOST_REQUEST_WRITES: usize = 4096;
/// See [`MOST_REQUEST_WRITES`].
pub const MOST_REQUEST_WEIGHT: u64 = 16 << 20;

/// What a block says of itself, and so every request of it may know.
#[derive(Clone, Debug)]
pub struct BlockFacts {
    /// The cluster's id.
    pub cluster: Hash,
    /// The block's height.
    pub height: Height,
    /// The block's time.
    pub time: Timestamp,
}

/// What is derived from the state and kept between blocks. Every part follows the effects of committed blocks.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The kinds.
    pub registry: Arc<Registry>,
    /// Roles and bindings.
    pub policy: Arc<Policy>,
    /// Registered keys.
    pub identities: Arc<Identities>,
    /// Instances by their nodes.
    pub nodes: Arc<Nodes>,
    /// The cluster's settings.
    pub config: ClusterConfig,
    /// Whether work is to be done after a block.
    pub work: bool,
    /// Whether work waits for a height.
    pub retries: bool,
}

impl Derived {
    /// Derives everything from a state.
    pub fn load(state: &(impl StateReader + ?Sized)) -> Result<Self, crate::registry::RegistryError> {
        let config = system::key(system::CLUSTER, "config")
            .map(|key| state.get(&key))
            .transpose()?
            .flatten()
            .and_then(|record| serde_json::from_slice(&record.body).ok())
            .unwrap_or_default();
        let any =
            |collection| Ok::<_, ReadError>(!state.scan(&system::range(collection), None, 1)?.is_empty());
        Ok(Self {
            registry: Arc::new(Registry::load(state)?),
            policy: Arc::new(Policy::load(state)?),
            identities: Arc::new(Identities::load(state)?),
            nodes: Arc::new(Nodes::load(state)?),
            config,
            work: any(system::WORK)?,
            retries: any(system::RETRIES)?,
        })
    }
}

impl Derived {
    /// Decides on what is asked: by RBAC, and, of a node, by what is bound to it. `fields` is what the request selects by
    /// fields, where it is one that selects; `get` reads an object of the same state.
    ///
    /// # Errors
    /// When the state cannot be read. A refusal is no error: it is the inner result.
    pub fn decide(
        &self,
        user: &UserInfo,
        asked: &Attributes<'_>,
        fields: Option<&FieldSelector>,
        get: impl Fn(&ObjectKey) -> Result<Option<Arc<Record>>, ReadError>,
    ) -> Result<Result<(), Box<Status>>, ReadError> {
        if self.policy.allows(user, asked) {
            return Ok(Ok(()));
        }
        let mut refusal = crate::authz::refusal(user, asked);
        if let Some(node) = crate::authz::node_of(user).filter(|_| asked.path.is_none()) {
            let question = crate::authz::Question { node, asked, fields, nodes: &self.nodes, get };
            match question.refusal()? {
                None => return Ok(Ok(())),
                Some(why) => refusal.message.push_str(&format!(": {why}")),
            }
        }
        Ok(Err(Box::new(refusal)))
    }
}

/// A path gives a namespace exactly where the kind has one. Otherwise rights within a namespace would reach an object
/// that lies in none.
fn check_scope(kind: &Kind, info: &RequestInfo) -> Result<(), Status> {
    let itself = kind.has(Hook::Namespace) && info.namespace == info.name;
    if kind.namespaced() == info.namespace.is_empty() && !itself {
        return Err(Status::unknown_path());
    }
    Ok(())
}

/// One block in the making.
pub struct Execution<'a, R: ?Sized> {
    pub(crate) overlay: Overlay<'a, R>,
    pub(crate) derived: Derived,
    pub(crate) block: BlockFacts,
    pub(crate) time: String,
    window: &'a Window,
    seen: Window,
    grant: authn::KnownGrant,
    /// Where the request began that is executed.
    began: Savepoint,
    /// The revision before the request, if it is a dry run.
    rehearses: Option<Revision>,
    refused: Vec<Refused>,
}

/// Something that work after a block could not do. It is tried again later; an operator wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The object, or the job's own record.
    pub key: ObjectKey,
    /// Why.
    pub reason: String,
}

/// What came of a block.
#[derive(Debug)]
pub struct Executed {
    /// All writes, in order.
    pub effects: Vec<Effect>,
    /// What each write replaced, in the same order.
    pub before: Vec<Option<Arc<Record>>>,
    /// What is derived from the state after the block.
    pub derived: Derived,
    /// The block's requests, to be absorbed into the window when it is committed.
    pub seen: Window,
    /// Revision after the block.
    pub revision: Revision,
    /// What work after the block could not do.
    pub refused: Vec<Refused>,
}

impl<'a, R: StateReader + ?Sized> Execution<'a, R> {
    /// Begins a block over a state whose newest write has the revision `last`.
    pub fn begin(
        base: &'a R,
        last: Revision,
        derived: Derived,
        window: &'a Window,
        block: BlockFacts,
    ) -> Self {
        let time = clock::rfc3339(block.time);
        let overlay = Overlay::new(base, last);
        let (began, seen, refused) = (overlay.savepoint(), Window::default(), Vec::new());
        let grant = authn::KnownGrant::default();
        Self { overlay, derived, block, time, window, seen, grant, began, rehearses: None, refused }
    }

    /// Whether the block has written as much as a block may: it takes no further request.
    pub fn is_full(&self) -> bool {
        self.overlay.effects().len() >= MOST_BLOCK_WRITES || self.overlay.weight() >= MOST_BLOCK_WEIGHT
    }

    /// Whether the request that is executed may write more.
    pub(crate) fn has_room(&self) -> bool {
        self.overlay.effects_since(self.began).len() < MOST_REQUEST_WRITES
            && self.overlay.weight_since(self.began) < MOST_REQUEST_WEIGHT
    }

    /// How the next write is told.
    pub(crate) fn stamp(&self) -> Stamp {
        let next = self.overlay.next_revision();
        if self.rehearses.is_some() { Stamp::Rehearsed(next) } else { Stamp::Written(next) }
    }

    /// The revision that a list of what was written says it is of.
    pub(crate) fn told_revision(&self) -> Revision {
        self.rehearses.unwrap_or_else(|| self.overlay.revision())
    }

    /// Notes what work after the block could not do.
    pub(crate) fn refused(&mut self, key: &ObjectKey, why: &Status) {
        self.refused.push(Refused { key: key.clone(), reason: why.message.clone() });
    }

    /// Executes one request. A refusal leaves no trace in the state; a panic is a refusal (500) too.
    ///
    /// # Errors
    /// [`ReadError`] when the state could not be read: the block cannot be executed here.
    pub fn execute(&mut self, call: Call) -> Result<Outcome, ReadError> {
        let savepoint = self.overlay.savepoint();
        self.began = savepoint;
        let mut remarks = Remarks::default();
        let dry_run = call.options.dry_run;
        let authority = call.authority.without_user();
        self.rehearses = dry_run.then(|| self.overlay.revision());
        let run = catch_unwind(AssertUnwindSafe(|| self.run(call, &mut remarks)));
        self.rehearses = None;
        let result = match run {
            Ok(result) => result,
            Err(_) => Err(Status::internal("the request made the server fail; it changed nothing").into()),
        };
        let Remarks { warnings, audit } = remarks;
        let reply = match result {
            Ok(reply) => reply,
            Err(Fault::Read(error)) => return Err(error),
            Err(Fault::Refused(status)) => {
                self.overlay.rollback(savepoint);
                return Ok(Outcome { warnings, audit, ..Outcome::refused(&status) });
            }
        };
        if dry_run {
            self.overlay.rollback(savepoint);
        }
        let effects = self.overlay.effects_since(savepoint);
        let (writes, revision) = (effects.len() as u32, effects.last().map_or(Revision(0), |e| e.revision));
        self.follow(savepoint);
        if writes > 0 {
            self.seen.insert(&authority, self.block.time);
        }
        Ok(Outcome { code: reply.code, body: reply.body, warnings, audit, revision, writes })
    }

    fn follow(&mut self, savepoint: Savepoint) {
        for effect in self.overlay.effects_since(savepoint) {
            let collection = effect.key.collection();
            if crate::authz::concerns(collection) {
                Arc::make_mut(&mut self.derived.policy).follow(effect);
            }
            if identities::concerns(collection) {
                Arc::make_mut(&mut self.derived.identities).follow(effect);
            }
            if self.derived.nodes.is_changed_by(effect) {
                Arc::make_mut(&mut self.derived.nodes).follow(effect);
            }
            self.derived.work |= collection == system::WORK;
            self.derived.retries |= collection == system::RETRIES;
        }
    }

    fn run(&mut self, call: Call, remarks: &mut Remarks) -> Result<Reply, Fault> {
        authn::check_validity(&call, &self.derived.config, self.block.time)?;
        if self.window.contains(&call.authority) || self.seen.contains(&call.authority) {
            return Err(Status::failure(409, "Conflict", "this request was executed before").into());
        }
        let user = authn::authenticate(&self.overlay, &self.derived.identities, &call)?;
        if verb::transaction::is(&call.info) {
            return verb::transaction::run(self, &user, call, remarks);
        }
        let RequestInfo { group, version, resource, .. } = &call.info;
        let stored = self.derived.registry.resource(group, version, resource).cloned();
        let view = if stored.is_none() { View::of(&call.info) } else { None };
        let source = || {
            let (group, version, plural) = view?.source();
            self.derived.registry.resource(group, version, plural).cloned()
        };
        let Some(kind) = stored.or_else(source) else {
            return Err(Status::unknown_path().into());
        };
        check_scope(&kind, &call.info)?;
        self.authorize(&user, &call, call.info.verb)?;
        let mut request = verb::Request::new(kind, user, call, &self.block, remarks);
        match view {
            Some(view) => verb::view::run(self, &mut request, view),
            None => verb::dispatch(self, &mut request),
        }
    }

    /// Refuses unless `user` may do `verb` on what the call names, and its replica may vouch for that.
    pub(crate) fn authorize(&self, user: &UserInfo, call: &Call, verb: Verb) -> Result<(), Fault> {
        self.authorize_as(user, call, &Attributes { verb: verb.as_str(), ..call.attributes() })
    }

    /// Refuses unless `user` may do what is asked for, which is not what the call names, and its replica may vouch for that.
    pub(crate) fn authorize_as(
        &self,
        user: &UserInfo,
        call: &Call,
        asked: &Attributes<'_>,
    ) -> Result<(), Fault> {
        self.derived.decide(user, asked, None, |key| self.overlay.get(key))??;
        authn::check_grant(&self.overlay, &self.grant, call, asked)
    }

    /// Refuses unless a new object may be made in `namespace`.
    pub(crate) fn check_namespace(&self, kind: &Kind, namespace: &str, name: &str) -> Result<(), Fault> {
        if !kind.namespaced() {
            return Ok(());
        }
        let missing = || Status::not_found(Subject { group: "", resource: "namespaces", name: namespace });
        let key = ObjectKey::new("/namespaces", "", namespace).ok_or_else(missing)?;
        let Some(record) = self.overlay.get(&key)? else { return Err(missing().into()) };
        if record.facts.deleting {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let mut status = Status::forbidden(kind.subject(name), why);
            if let Some(details) = &mut status.details {
                details.causes.push(hypermesh_api::Cause {
                    reason: "NamespaceTerminating".into(),
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".into(),
                });
            }
            return Err(status.into());
        }
        Ok(())
    }

    /// Does some of the work that goes on after a block.
    pub fn finish(mut self) -> Result<Executed, ReadError> {
        let stale = self.derived.policy.stale(None).is_some();
        if stale || self.derived.work || self.derived.retries {
            let savepoint = self.overlay.savepoint();
            if stale {
                work::aggregate(&mut self)?;
            }
            let left = work::step(&mut self)?;
            self.follow(savepoint);
            (self.derived.work, self.derived.retries) = (left.work, left.retries);
        }
        let revision = self.overlay.revision();
        let (effects, before) = self.overlay.into_effects();
        Ok(Executed {
            effects,
            before,
            derived: self.derived,
            seen: self.seen,
            revision,
            refused: self.refused,
        })
    }
}
