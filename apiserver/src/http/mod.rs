//! From an HTTP request to a reply.
//!
//! [`Api::answer`] is the whole way: who asks, what is asked, whether it is allowed, and then one of the files beside
//! this one. Nothing of a body is read before that is settled. Every reply carries an `Audit-ID`, every refusal is a
//! Status.

mod body;
mod context;
mod document;
mod get;
mod history;
mod incoming;
mod list;
mod list_stream;
mod lives;
mod node_lease;
mod outgoing;
mod paging;
mod reply;
mod review;
mod selection;
mod signed;
mod stream;
mod token_request;
mod warning;
mod watch;
mod who;
mod write;

pub(crate) use context::{Api, Client};
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;

use crate::budget::Caller;
use context::Asked;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version, header};
use hypermesh_api::legacy_watch;
use hypermesh_api::query::Query;
use hypermesh_api::request::{NonResource, RequestInfo, Target, Verb};
use hypermesh_api::selector::FieldSelector;
use hypermesh_api::{Status, Subject};
use hypermesh_pipeline::authz::Attributes;
use hypermesh_schemas::definition::Hook;
use std::sync::Arc;
use std::time::{Duration, Instant};
use who::Who;

/// The header with the id under which a request is audited.
const AUDIT: &str = "audit-id";
/// How long a consistent read waits for other replicas.
const CONSISTENT: Duration = Duration::from_secs(5);

/// A request on its way.
struct Exchange<'r> {
    client: &'r Client,
    head: &'r Parts,
    body: &'r mut Incoming,
    agent: &'r str,
    /// Who is charged for the reply; a stranger until more is known.
    caller: Caller,
}

impl Api {
    /// Answers one request.
    pub async fn answer(self: Arc<Self>, client: Client, request: Request<Incoming>) -> Response<Outgoing> {
        let begun = Instant::now();
        let (mut head, mut body) = request.into_parts();
        // Whoever is asked on the way is told by which id this is known.
        let audit = self.audit_id(&head);
        head.headers.insert(AUDIT, audit.clone());
        let agent = head.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let modern = match &query {
            Ok(query) => legacy_watch::modern(head.method.as_str(), head.uri.path(), query),
            Err(status) => Err(status.clone()),
        };
        let (path, query) = match modern {
            Ok(None) => (head.uri.path().to_owned(), query),
            Ok(Some((path, query))) => (path, Ok(query)),
            Err(status) => (String::new(), Err(self.to_the_known(&client, &head, status))),
        };
        let target = match &query {
            // RFC 9112, section 3.2: two hosts are two requests to whoever routes by them.
            _ if head.headers.get_all(header::HOST).iter().nth(1).is_some() => {
                Err(Box::new(Status::bad_request("the request has several Host headers")))
            }
            Ok(query) => Target::parse(head.method.as_str(), &path, query),
            Err(status) => Err(status.clone()),
        };
        let mut exchange =
            Exchange { client: &client, head: &head, body: &mut body, agent, caller: Caller::Stranger };
        let (verb, result) = match (target, &query) {
            (Ok(Target::Resource(info)), Ok(query)) => {
                (Some(info.verb), self.resource(&mut exchange, info, query.clone()).await)
            }
            (Ok(Target::NonResource(path)), _) => (None, self.path(&mut exchange, &path)),
            (Err(status), _) => (None, Err(status)),
            (_, Err(status)) => (None, Err(status.clone())),
        };
        let caller = exchange.caller;
        let result = match result {
            // What was written must not be refused: the reply to a write holds what the write did.
            Ok(reply) if !verb.is_some_and(Verb::is_write) => reply::attend(&self, caller, reply),
            other => other,
        };
        let mut response =
            result.unwrap_or_else(|status| reply::status(&status, query.as_ref().ok(), agent, &head.headers));
        self.metrics.answered(verb, response.status().as_u16(), begun.elapsed());
        let headers = response.headers_mut();
        headers.insert(AUDIT, audit);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        if let Some(alternative) = self.alternative.get().filter(|_| head.version < Version::HTTP_3) {
            headers.insert(header::ALT_SVC, alternative.clone());
        }
        if response.status().as_u16() >= 400 {
            body::linger(&head, body);
        }
        response
    }

    /// What is wrong with a request, once its sender is known; who is not is asked to say who they are.
    fn to_the_known(&self, client: &Client, head: &Parts, status: Box<Status>) -> Box<Status> {
        match self.who(client, &head.headers) {
            Ok(who) if who.user.name == "system:anonymous" => Box::new(Status::unauthorized()),
            Ok(_) => status,
            Err(refused) => refused,
        }
    }

    fn audit_id(&self, head: &Parts) -> HeaderValue {
        let given = head.headers.get(AUDIT).filter(|id| id.len() <= 64 && id.to_str().is_ok());
        given.cloned().unwrap_or_else(|| {
            HeaderValue::from_str(&self.fresh_id()).unwrap_or(HeaderValue::from_static("unknown"))
        })
    }

    /// The id by which a request is known, here and to the agent that it reaches.
    fn audit(&self, head: &Parts) -> String {
        head.headers.get(AUDIT).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// A path that is no resource: documents, health, metrics.
    fn path(
        &self,
        exchange: &mut Exchange<'_>,
        target: &NonResource,
    ) -> Result<Response<Outgoing>, Box<Status>> {
        let who = self.who(exchange.client, &exchange.head.headers)?;
        let asked = Attributes {
            verb: &target.verb,
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: Some(&target.path),
        };
        self.allow(&who.user, &asked, None)?;
        exchange.caller = who.caller;
        document::answer(self, exchange.head, &target.path)
    }

    async fn resource(
        self: &Arc<Self>,
        exchange: &mut Exchange<'_>,
        info: RequestInfo,
        query: Query,
    ) -> Result<Response<Outgoing>, Box<Status>> {
        let head = exchange.head;
        let stored = {
            let reading = self.replica.reading();
            reading.derived.registry.resource(&info.group, &info.version, &info.resource).cloned()
        };
        let view = if stored.is_none() { self.documents().view(&info) } else { None };
        let kind = stored.or_else(|| view.as_ref().map(|view| Arc::clone(&view.kind)));
        // Only what is ordered is signed, and the question who signs.
        let orders = info.verb.is_write()
            && info.subresource != "token"
            && (kind.is_some() || matches!(info.resource.as_str(), "transactions" | "selfsubjectreviews"));
        let who = if orders && signed::claims(&head.headers) {
            let who = self.author(head)?;
            self.former.signed(who.signed.iter().flat_map(|signed| signed.keys()));
            who
        } else {
            self.who(exchange.client, &head.headers)?
        };
        let asked = Attributes {
            verb: stream::verb(&info).as_str(),
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: None,
        };
        let fields = match info.verb {
            Verb::List | Verb::Watch => {
                FieldSelector::parse(query.first("fieldSelector").unwrap_or_default()).ok()
            }
            _ => None,
        };
        self.allow(&who.user, &asked, fields.as_ref())?;
        exchange.caller = who.caller.clone();
        let Some(kind) = kind else {
            return self.unstored(who, exchange, info, query).await;
        };
        if info.resource == "serviceaccounts" && info.subresource == "token" && info.group.is_empty() {
            return token_request::answer(self, &kind, &who, exchange, &info).await;
        }
        if kind.namespaced() && info.namespace.is_empty() && !matches!(info.verb, Verb::List | Verb::Watch) {
            return Err(Box::new(Status::unknown_path()));
        }
        // The Namespace object itself is read with rights within it; nothing else of the cluster is.
        let itself = info.resource == "namespaces"
            && info.name == info.namespace
            && !matches!(info.verb, Verb::List | Verb::Watch);
        if !kind.namespaced() && !info.namespace.is_empty() && !itself {
            return Err(Box::new(Status::unknown_path()));
        }
        if stream::is_asked(&info) {
            return stream::answer(self, who, exchange, &info, &query).await;
        }
        // Finalizers are replaced and nothing else: no media type and no body changes that.
        if info.subresource == "finalize" && kind.has(Hook::Namespace) && info.verb != Verb::Update {
            return Err(Box::new(kind.refuse_verb(&info.subresource, info.verb)));
        }
        if !info.verb.is_write() {
            self.consistent(&query).await?;
        }
        let asked = Asked { kind, view, who, info, query, agent: exchange.agent.to_owned() };
        match asked.info.verb {
            Verb::Get if asked.query.flag("history") => history::answer(self, asked, &head.headers).await,
            Verb::Get => get::answer(self, &asked, &head.headers),
            Verb::List => list::answer(self, &asked, &head.headers).await,
            Verb::Watch => {
                let events = watch::answer(self, &asked, &head.headers)?;
                if stream::is_websocket(head) && events.status().is_success() {
                    let place = self.room.enter(asked.who.caller.clone())?;
                    return stream::watch_over_websocket(events, head, self.closing.clone(), place);
                }
                Ok(events)
            }
            _ => write::answer(self, asked, head, exchange.body).await,
        }
    }

    /// Waits until what is read holds every write that any replica has acknowledged, or the revision that is asked for.
    /// Who asks for any revision (`resourceVersion=0`), or one that is here, does not wait, nor does a replica that is alone.
    async fn consistent(&self, query: &Query) -> Result<(), Box<Status>> {
        let wanted = query.first("resourceVersion").and_then(|version| version.parse::<u64>().ok());
        if self.replica.is_alone() || wanted.is_some_and(|it| it <= self.replica.reading().revision.0) {
            return Ok(());
        }
        match tokio::time::timeout(CONSISTENT, self.replica.barrier()).await {
            Ok(passed) => passed.map_err(|unavailable| unavailable.0),
            Err(_) => {
                let why = "too few of the other replicas answer to know the newest state; resourceVersion=0 reads what is here";
                Err(Box::new(Status::unavailable(why, 1)))
            }
        }
    }

    /// What is served but not stored.
    async fn unstored(
        self: &Arc<Self>,
        who: Who,
        exchange: &mut Exchange<'_>,
        info: RequestInfo,
        query: Query,
    ) -> Result<Response<Outgoing>, Box<Status>> {
        let documents = self.documents();
        let served = documents.virtuals().iter().any(|v| {
            v.group == info.group
                && v.version == info.version
                && v.plural == info.resource
                && v.subresource.is_none()
        });
        if !served {
            return document::unknown();
        }
        if info.group == "metrics.k8s.io" {
            return stream::usage(self, who, exchange, &info, &query).await;
        }
        if info.verb != Verb::Create || !info.name.is_empty() {
            let subject = Subject { group: &info.group, resource: &info.resource, name: "" };
            return Err(Box::new(Status::method_not_allowed(subject, info.verb.as_str())));
        }
        if info.resource == "transactions" {
            return write::transaction(self, who, exchange, &query).await;
        }
        review::answer(self, who, exchange, &info).await
    }
}
