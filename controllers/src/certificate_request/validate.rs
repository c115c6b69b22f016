//! What a request is, whoever sent it.

use super::Observed;
use crate::runtime::Subject;
use hypermesh_pki::request::CertificateRequest;
use hypermesh_pki::signer::{self, Signer};
use hypermesh_pki::{NODES, node_user};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

/// The group of who shows a bootstrap token.
const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// What the name of who shows one begins with.
pub(super) const TOKEN_USER: &str = "system:bootstrap:";

/// A node that somebody asks to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub node: String,
    /// The key that asks, in hexadecimal.
    pub key: String,
}

/// Where a request is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has decided.
    Pending,
    /// It is approved, and not signed yet.
    Approved,
    /// It was signed, denied, or has failed.
    Over,
}

/// By what right a node is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It showed a bootstrap token.
    Token,
    /// It is that node.
    Itself,
}

/// A request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Where it is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// It is being deleted.
    pub leaving: bool,
    /// The node that it asks to be, why it is none, or `None` for another signer.
    pub claim: Option<Result<Claim, String>>,
    /// By what right it may be approved without a person.
    pub right: Option<Right>,
    /// What is known beside it.
    pub observed: Observed,
}

/// The node that a request asks to be; `None` for one to another signer.
pub(super) fn claim(request: &CertificateSigningRequest) -> Option<Result<Claim, String>> {
    if Signer::of(&request.spec.signer_name) != Some(Signer::Node) {
        return None;
    }
    let read = || {
        let parsed = CertificateRequest::parse(&request.spec.request.0).map_err(|error| error.to_string())?;
        let usages = request.spec.usages.clone().unwrap_or_default();
        Signer::Node.check(&parsed, &usages).map_err(|refusal| refusal.message)?;
        let (node, key) = signer::node(&parsed).map_err(|refusal| refusal.message)?;
        Ok(Claim { node: node.to_owned(), key: key.iter().map(|byte| format!("{byte:02x}")).collect() })
    };
    Some(read())
}

pub(super) fn validate(subject: &Subject<CertificateSigningRequest>, observed: Observed) -> Valid {
    let request = &subject.object;
    let claim = claim(request);
    let groups = request.spec.groups.as_deref().unwrap_or_default();
    let member = |group: &str| groups.iter().any(|own| own == group);
    let user = request.spec.username.as_deref().unwrap_or_default();
    let right = match &claim {
        Some(Ok(_)) if member(BOOTSTRAPPERS) && user.starts_with(TOKEN_USER) => Some(Right::Token),
        Some(Ok(claim)) if member(NODES) && user == node_user(&claim.node) => Some(Right::Itself),
        _ => None,
    };
    let (stage, since) = stage(request, observed.now);
    Valid { stage, since, leaving: subject.deleting(), claim, right, observed }
}

fn stage(request: &CertificateSigningRequest, now: Timestamp) -> (Stage, Timestamp) {
    let conditions =
        request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind);
    let issued = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    let issued = issued.is_some_and(|certificate| !certificate.0.is_empty());
    let made = request.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let decided = conditions.iter().filter_map(|condition| condition.last_update_time.as_ref());
    let since = decided.map(|time| time.0).chain([made]).max().unwrap_or(made);
    let stage = if is("Denied") || is("Failed") || issued {
        Stage::Over
    } else if is("Approved") {
        Stage::Approved
    } else {
        Stage::Pending
    };
    (stage, since)
}
