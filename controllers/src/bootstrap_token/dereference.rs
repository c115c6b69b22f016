//! The bootstrap tokens that there are, without what makes them tokens.

use super::{NAMESPACE, TYPE};
use crate::runtime::{Context, Failure, Subject};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::ListParams;

/// Tokens read at once.
const PAGE: u32 = 100;

/// One token's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// The very object.
    pub uid: String,
    /// Its revision.
    pub resource_version: String,
    /// What its `expiration` says; `None` for a token that does not expire.
    pub expiration: Option<String>,
}

impl Token {
    fn of(secret: Secret) -> Option<Self> {
        let expiration = secret.data.and_then(|mut data| data.remove("expiration"));
        Some(Self {
            name: secret.metadata.name?,
            uid: secret.metadata.uid?,
            resource_version: secret.metadata.resource_version?,
            // What is no text is no time either: it is kept as one that cannot be read.
            expiration: expiration.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()),
        })
    }
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// The tokens, those of other namespaces than `kube-system` not among them.
    pub tokens: Vec<Token>,
}

pub(super) async fn dereference(
    context: &Context,
    subject: &Subject<Namespace>,
) -> Result<Observed, Failure> {
    let now = context.now();
    let mut tokens = Vec::new();
    if &*subject.key.name != NAMESPACE {
        return Ok(Observed { now, tokens });
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), NAMESPACE);
    let mut params = ListParams::default().fields(&format!("type={TYPE}")).limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(Failure::of("list the bootstrap tokens"))?;
        tokens.extend(page.items.into_iter().filter_map(Token::of));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(Observed { now, tokens }),
        }
    }
}
