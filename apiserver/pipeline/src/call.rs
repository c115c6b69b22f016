//! A request, decoded: everything that can be known of it without the state.
//!
//! Decoding happens before the order, in parallel, and again on every replica; it is a pure function of the request.

use crate::authz::{Attributes, UserInfo};
use crate::verb::transaction;
use hypermesh_api::Status;
use hypermesh_api::json::decode_json;
use hypermesh_api::options::{DeleteOptions, WriteKind, WriteOptions};
use hypermesh_api::query::Query;
use hypermesh_api::request::{RequestInfo, Target, Verb};
use hypermesh_api::selector::{FieldSelector, LabelSelector};
use hypermesh_chain::request::{self, Media, Method};
use hypermesh_chain::{Hash, Timestamp};
use serde_json::Value;

/// The field manager of a request that names none.
const NO_MANAGER: &str = "unknown";

/// Who vouches for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Keys that signed it, in order.
    Signed {
        /// The keys.
        keys: Vec<[u8; 32]>,
        /// The oldest of the signatures' times.
        created: Timestamp,
        /// The newest of them.
        newest: Timestamp,
        /// The earliest end that a signature gives itself.
        expires: Option<Timestamp>,
        /// What running the request uses up, a digest for each signature.
        uses: Vec<Hash>,
    },
    /// A replica that authenticated the client.
    Endorsed {
        /// The replica's key.
        replica: [u8; 32],
        /// Counted up by the replica.
        nonce: u64,
        /// When the replica took it.
        received: Timestamp,
        /// The client.
        user: UserInfo,
    },
}

impl Authority {
    /// Who vouches for a request, without decoding the rest of it.
    pub fn of_request(request: &request::Request) -> Self {
        authority(request).0
    }

    /// The same, of nobody in particular: what the replay window needs of it.
    pub(crate) fn without_user(&self) -> Self {
        match self {
            Self::Signed { .. } => self.clone(),
            Self::Endorsed { replica, nonce, received, .. } => {
                let (nonce, received, user) = (*nonce, *received, UserInfo::default());
                Self::Endorsed { replica: *replica, nonce, received, user }
            }
        }
    }

    /// When the request was made.
    pub fn made(&self) -> Timestamp {
        match self {
            Self::Signed { created, .. } => *created,
            Self::Endorsed { received, .. } => *received,
        }
    }
}

/// A decoded request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request's digest.
    pub digest: Hash,
    /// Who vouches for it.
    pub authority: Authority,
    /// Verb, resource, namespace, name.
    pub info: RequestInfo,
    /// What the body is.
    pub media: Media,
    /// Options of a write; the field manager is settled.
    pub options: WriteOptions,
    /// Options of a deletion.
    pub delete: DeleteOptions,
    /// Which objects a `deletecollection` is about.
    pub labels: LabelSelector,
    /// Which objects a `deletecollection` is about.
    pub fields: FieldSelector,
    /// The body; null when there is none.
    pub body: Value,
    /// Keys that occur twice in the body.
    pub duplicates: Vec<String>,
}

impl Call {
    /// Decodes a request.
    ///
    /// # Errors
    /// The refusal, which needs no state and so is never ordered.
    pub fn decode(request: &request::Request) -> Result<Self, Box<Status>> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let query = Query::parse(query)?;
        let info = match Target::parse(method_word(request.method), path, &query)? {
            Target::Resource(info) => info,
            Target::NonResource(_) => return Err(Box::new(Status::unknown_path())),
        };
        let deletes = matches!(info.verb, Verb::Delete | Verb::DeleteCollection);
        let (body, duplicates) = if deletes || request.body.is_empty() {
            (Value::Null, Vec::new())
        } else {
            decode_json(&request.body).map_err(|why| {
                Box::new(Status::bad_request(format!("the body of the request is not JSON: {why}")))
            })?
        };
        let delete =
            if deletes { DeleteOptions::parse(&query, &request.body)? } else { DeleteOptions::default() };
        let mut options = match write_kind(request, &info) {
            Some(kind) => WriteOptions::parse(&query, kind)?,
            None => WriteOptions { dry_run: delete.dry_run, ..WriteOptions::default() },
        };
        let (authority, agent) = authority(request);
        options.field_manager = options.manager(agent);
        if options.field_manager.is_empty() {
            options.field_manager = NO_MANAGER.to_owned();
        }
        let selector = |key| query.first(key).unwrap_or_default();
        let bad = |why: String| Box::new(Status::bad_request(why));
        let labels = LabelSelector::parse(selector("labelSelector")).map_err(|why| bad(why.to_string()))?;
        let fields = FieldSelector::parse(selector("fieldSelector")).map_err(|why| bad(why.to_string()))?;
        Ok(Self {
            digest: request.digest(),
            authority,
            info,
            media: request.media,
            options,
            delete,
            labels,
            fields,
            body,
            duplicates,
        })
    }

    /// What RBAC is asked.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes {
            verb: self.info.verb.as_str(),
            group: &self.info.group,
            resource: &self.info.resource,
            subresource: &self.info.subresource,
            namespace: &self.info.namespace,
            name: &self.info.name,
            path: None,
        }
    }
}

fn method_word(method: Method) -> &'static str {
    match method {
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

fn write_kind(request: &request::Request, info: &RequestInfo) -> Option<WriteKind> {
    match request.method {
        Method::Post if transaction::is(info) => Some(WriteKind::Apply),
        Method::Post => Some(WriteKind::Create),
        Method::Put => Some(WriteKind::Update),
        Method::Patch if request.media == Media::ApplyPatch => Some(WriteKind::Apply),
        Method::Patch => Some(WriteKind::Patch),
        Method::Delete => None,
    }
}

fn authority(request: &request::Request) -> (Authority, &str) {
    match &request.authority {
        request::Authority::Signed { signatures } => {
            let keys = signatures.iter().map(|s| s.key.0).collect();
            let micros = |seconds: u64| Timestamp(seconds.saturating_mul(1_000_000));
            let times = || signatures.iter().map(|s| micros(s.created));
            let authority = Authority::Signed {
                keys,
                created: times().min().unwrap_or_default(),
                newest: times().max().unwrap_or_default(),
                expires: signatures.iter().filter_map(|s| s.expires).map(micros).min(),
                uses: request.uses(),
            };
            (authority, "")
        }
        request::Authority::Endorsed(endorsement) => {
            let user = &endorsement.user;
            let authority = Authority::Endorsed {
                replica: endorsement.replica.0,
                nonce: endorsement.nonce,
                received: endorsement.received,
                user: UserInfo {
                    name: user.name.clone(),
                    uid: user.uid.clone(),
                    groups: user.groups.clone(),
                    extra: user.extra.clone(),
                },
            };
            (authority, endorsement.manager.as_str())
        }
    }
}
