//! From an HTTP request to a reply.
//!
//! [`Api::answer`] is the whole way: who asks, what is asked, whether it is allowed, and then one of the files beside
//! this one. Every reply carries an `Audit-ID`, every refusal is a Status.

mod body;
mod context;
mod document;
mod get;
mod history;
mod list;
mod reply;
mod review;
mod selection;
mod signed;
mod token_request;
mod watch;
mod write;

pub(crate) use context::{Api, Client};

use crate::access;
use crate::tokens::Bearer;
use axum::body::Body;
use context::Asked;
use http::{HeaderValue, Request, Response, header};
use hypermesh_api::query::Query;
use hypermesh_api::request::{NonResource, RequestInfo, Target, Verb};
use hypermesh_api::{Status, Subject};
use hypermesh_pipeline::authz::{Attributes, UserInfo, refusal};
use std::sync::Arc;
use std::time::Instant;

impl Api {
    /// Answers one request.
    pub async fn answer(self: Arc<Self>, client: Client, request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let audit = self.audit_id(&request);
        let agent =
            request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let method = request.method().clone();
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let pretty = |status: &Status| reply::status(status, query.as_ref().ok(), &agent);
        let target = match &query {
            Ok(query) => Target::parse(method.as_str(), request.uri().path(), query),
            Err(status) => Err(status.clone()),
        };
        let (verb, result) = match target {
            Ok(Target::Resource(info)) => {
                let verb = info.verb;
                let query = query.clone().unwrap_or_default();
                (Some(verb), self.resource(&client, request, info, query, &agent).await)
            }
            Ok(Target::NonResource(path)) => (None, self.path(&client, &request, &path)),
            Err(status) => (None, Err(status)),
        };
        let mut response = result.unwrap_or_else(|status| pretty(&status));
        self.metrics.answered(verb, response.status().as_u16(), begun.elapsed());
        let headers = response.headers_mut();
        headers.insert("audit-id", audit);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        response
    }

    fn audit_id(&self, request: &Request<Body>) -> HeaderValue {
        let given = request.headers().get("audit-id").filter(|id| id.len() <= 64 && id.to_str().is_ok());
        given.cloned().unwrap_or_else(|| {
            HeaderValue::from_str(&self.fresh_id()).unwrap_or(HeaderValue::from_static("unknown"))
        })
    }

    /// Who asks: the token if there is one, else the certificate, and then whom they stand for.
    fn user(&self, client: &Client, headers: &http::HeaderMap) -> Result<UserInfo, Box<Status>> {
        let reading = self.replica.reading();
        let bearer = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        let user = match bearer {
            Some(text) => {
                let token = text
                    .split_once(' ')
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .map(|(_, token)| token.trim())
                    .filter(|token| !token.is_empty());
                let found = match token {
                    Some(token) => self.tokens.user(&reading, &self.token_key, token, self.unix_now())?,
                    None => None,
                };
                let Some(Bearer { user, audiences }) = found else {
                    return Err(Box::new(Status::unauthorized()));
                };
                if !audiences.is_empty() && !audiences.contains(&self.issuer) {
                    return Err(Box::new(Status::unauthorized()));
                }
                UserInfo::clone(&user)
            }
            None => match &client.user {
                Some(user) => {
                    if client.expires.is_some_and(|at| at <= self.unix_now()) {
                        return Err(Box::new(Status::unauthorized()));
                    }
                    UserInfo::clone(user)
                }
                None => access::anonymous(),
            },
        };
        let wants = access::wants_impersonation(headers);
        if wants { Ok(access::impersonated(&reading, user, headers)?) } else { Ok(user) }
    }

    fn allow(&self, user: &UserInfo, asked: &Attributes<'_>) -> Result<(), Box<Status>> {
        if self.replica.reading().derived.policy.allows(user, asked) {
            return Ok(());
        }
        // Who is unknown is asked to say who they are.
        if user.name == "system:anonymous" && asked.path.is_none() {
            return Err(Box::new(Status::unauthorized()));
        }
        Err(Box::new(refusal(user, asked)))
    }

    /// A path that is no resource: documents, health, metrics.
    fn path(
        &self,
        client: &Client,
        request: &Request<Body>,
        target: &NonResource,
    ) -> Result<Response<Body>, Box<Status>> {
        let user = self.user(client, request.headers())?;
        let asked = Attributes {
            verb: &target.verb,
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: Some(&target.path),
        };
        self.allow(&user, &asked)?;
        document::answer(self, request, &target.path)
    }

    async fn resource(
        self: &Arc<Self>,
        client: &Client,
        request: Request<Body>,
        info: RequestInfo,
        query: Query,
        agent: &str,
    ) -> Result<Response<Body>, Box<Status>> {
        let writes = info.verb.is_write();
        let stored = self
            .replica
            .reading()
            .derived
            .registry
            .resource(&info.group, &info.version, &info.resource)
            .is_some();
        // Only what is ordered is signed: everything else is answered to whom the connection or token names.
        let orders = writes && info.subresource != "token" && (stored || info.resource == "transactions");
        let user = if orders && signed::claims(request.headers()) {
            if access::wants_impersonation(request.headers()) {
                let words = "a signed request runs as whom its key is registered to; it cannot impersonate";
                return Err(Box::new(Status::bad_request(words)));
            }
            signed::claimed_user(self, request.headers())?
        } else {
            self.user(client, request.headers())?
        };
        let asked = Attributes {
            verb: info.verb.as_str(),
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: None,
        };
        self.allow(&user, &asked)?;
        let reading = self.replica.reading();
        let Some(kind) =
            reading.derived.registry.resource(&info.group, &info.version, &info.resource).cloned()
        else {
            drop(reading);
            return self.unstored(user, request, info, query, agent).await;
        };
        drop(reading);
        if info.resource == "serviceaccounts" && info.subresource == "token" && info.group.is_empty() {
            return token_request::answer(self, &kind, request, &info).await;
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
        let asked = Asked { kind, user, info, query, agent: agent.to_owned() };
        match asked.info.verb {
            Verb::Get if asked.query.flag("history") => history::answer(self, asked, request.headers()).await,
            Verb::Get => get::answer(self, &asked, request.headers()),
            Verb::List => list::answer(self, &asked, request.headers()),
            Verb::Watch => watch::answer(self, &asked, request.headers()),
            _ => write::answer(self, asked, request).await,
        }
    }

    /// What is served but not stored.
    async fn unstored(
        self: &Arc<Self>,
        user: UserInfo,
        request: Request<Body>,
        info: RequestInfo,
        query: Query,
        agent: &str,
    ) -> Result<Response<Body>, Box<Status>> {
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
        if info.verb != Verb::Create || !info.name.is_empty() {
            let subject = Subject { group: &info.group, resource: &info.resource, name: "" };
            return Err(Box::new(Status::method_not_allowed(subject, info.verb.as_str())));
        }
        if info.resource == "transactions" {
            return write::transaction(self, user, request, &query, agent).await;
        }
        review::answer(self, user, request, &info).await
    }
}
