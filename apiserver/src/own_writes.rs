//! What the server writes by itself, by the way that every write takes.
//!
//! Nothing here bypasses the state machine: a write is a request that this replica endorses, for a user with rights of its
//! own, and is refused like any other.

use hypermesh_api::Status;
use hypermesh_chain::SigningKey;
use hypermesh_chain::request::{Authority, Endorsement, Media, Method, Request, User};
use hypermesh_chain::signature::{self, Message};
use hypermesh_machine::Replica;
use hypermesh_pipeline::{Call, Outcome};
use hypermesh_pki::{Pki, PkiError};
use serde_json::Value;

/// The manager of the fields that the server writes.
const MANAGER: &str = "nexus-apiserver";

/// In whose name the server writes.
#[derive(Clone)]
pub(crate) enum Author {
    /// The operator of this machine, who holds the keys of the cluster: what is prepared when a cluster is brought up.
    Operator,
    /// The same where there are several replicas: none of them may endorse this, and the administrator's key signs it.
    Administrator(Box<SigningKey>),
    /// The signer of certificates, with the rights of its default role.
    Signer,
}

impl Author {
    /// The operator, with the administrator's key if that is needed.
    pub fn operator(replica: &Replica, pki: &Pki) -> Result<Self, PkiError> {
        if replica.is_alone() {
            Ok(Self::Operator)
        } else {
            Ok(Self::Administrator(Box::new(pki.admin_key.signing_key()?)))
        }
    }

    fn user(&self) -> User {
        let (name, group) = match self {
            Self::Operator | Self::Administrator(_) => ("system:apiserver", Some("system:masters")),
            Self::Signer => (hypermesh_pipeline::genesis::SIGNER, None),
        };
        let groups = group.into_iter().chain(std::iter::once("system:authenticated"));
        User {
            name: name.to_owned(),
            uid: String::new(),
            groups: groups.map(str::to_owned).collect(),
            extra: Vec::new(),
        }
    }
}

/// Applies (server-side, by force) `object` at `path`; what is so already is not written.
pub(crate) async fn apply(
    replica: &Replica,
    author: Author,
    path: &str,
    object: &Value,
) -> Result<Outcome, Box<Status>> {
    let target = format!("{path}?fieldManager={MANAGER}&force=true");
    order(replica, author, Method::Patch, target, Media::ApplyPatch, object).await
}

/// Creates `object` in the collection at `path`.
pub(crate) async fn create(
    replica: &Replica,
    author: Author,
    path: &str,
    object: &Value,
) -> Result<Outcome, Box<Status>> {
    let target = format!("{path}?fieldManager={MANAGER}");
    order(replica, author, Method::Post, target, Media::Json, object).await
}

/// Deletes what is at `path`.
#[cfg(test)]
pub(crate) async fn delete(replica: &Replica, author: Author, path: &str) -> Result<Outcome, Box<Status>> {
    let options = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    order(replica, author, Method::Delete, path.to_owned(), Media::Json, &options).await
}

/// Replaces what is at `path`.
pub(crate) async fn replace(
    replica: &Replica,
    author: Author,
    path: &str,
    object: &Value,
) -> Result<Outcome, Box<Status>> {
    let target = format!("{path}?fieldManager={MANAGER}");
    order(replica, author, Method::Put, target, Media::Json, object).await
}

/// A nonce for a key that others use too.
fn chance() -> Result<u64, Box<Status>> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Box::new(Status::internal(error)))?;
    Ok(u64::from_le_bytes(bytes))
}

async fn order(
    replica: &Replica,
    author: Author,
    method: Method,
    target: String,
    media: Media,
    object: &Value,
) -> Result<Outcome, Box<Status>> {
    let body = serde_json::to_vec(object).map_err(|error| Box::new(Status::internal(error)))?;
    let authority = Authority::Signed { signatures: Vec::new() };
    let mut request = Request { method, target, media, body: body.into(), authority };
    request.authority = match &author {
        Author::Administrator(key) => {
            let created = replica.request_time().0 / 1_000_000;
            let (cluster, message) = (replica.cluster(), Message::of(&request));
            let signature = signature::sign(key, &cluster, &message, created, None, chance()?);
            Authority::Signed { signatures: vec![signature] }
        }
        Author::Operator | Author::Signer => Authority::Endorsed(Endorsement {
            replica: replica.key(),
            user: author.user(),
            received: replica.request_time(),
            nonce: replica.next_nonce(),
            manager: MANAGER.to_owned(),
        }),
    };
    let call = Call::decode(&request)?;
    let outcome = replica.submit(request, call).await.map_err(|unavailable| unavailable.0)?;
    if outcome.code < 400 {
        return Ok(outcome);
    }
    let refused = serde_json::from_slice::<Status>(outcome.body.bytes());
    Err(Box::new(refused.unwrap_or_else(Status::internal)))
}
