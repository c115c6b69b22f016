//! Who sends a request, before any of its body is read: by signature, token or certificate, or nobody known.

use super::context::{Api, Client};
use super::signed::{self, Signed};
use crate::access;
use crate::budget::Caller;
use crate::streams::websocket;
use crate::tokens::Bearer;
use http::request::Parts;
use http::{HeaderMap, header};
use hypermesh_api::Status;
use hypermesh_api::selector::FieldSelector;
use hypermesh_pipeline::authz::{Attributes, UserInfo, node_of};
use std::sync::Arc;

/// Who sends a request.
pub(super) struct Who {
    /// In whose name it is executed.
    pub user: Arc<UserInfo>,
    /// Who is charged for what it takes: never whom it impersonates.
    pub caller: Caller,
    /// The author's signatures, verified, if that is how they are known.
    pub signed: Option<Signed>,
}

impl Who {
    /// Somebody who was authenticated, or the anonymous user.
    fn of(user: impl Into<Arc<UserInfo>>) -> Self {
        let user = user.into();
        let caller = if user.name == "system:anonymous" {
            Caller::Stranger
        } else {
            Caller::Known(user.name.as_str().into())
        };
        Self { user, caller, signed: None }
    }
}

impl Api {
    /// Who asks: the token if there is one, else the certificate, and then whom they stand for.
    pub(super) fn who(&self, client: &Client, headers: &HeaderMap) -> Result<Who, Box<Status>> {
        let reading = self.replica.reading();
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let user = match (lines.next(), lines.next()) {
            // Two of them name two callers, and what stands in front of this server may believe the other.
            (_, Some(_)) => return Err(Box::new(Status::unauthorized())),
            (Some(value), None) => self.bearer(value.to_str().unwrap_or_default())?,
            (None, None) => match (websocket::token(headers)?, &client.user) {
                (Some(token), _) => self.user_of_token(&token)?,
                (None, Some(_)) if client.expires.is_some_and(|at| at <= self.unix_now()) => {
                    return Err(Box::new(Status::unauthorized()));
                }
                (None, Some(user))
                    if !self.former.admits(
                        &user.name,
                        client.key.as_ref(),
                        client.authority.as_deref(),
                        self.unix_now(),
                    ) =>
                {
                    let words = "the authority that issued this certificate was dropped when the cluster's authorities \
                                 were changed: ask for another certificate (nexusctl certs request), or take the \
                                 kubeconfig that the cluster has written since";
                    return Err(Box::new(Status::failure(401, "Unauthorized", words)));
                }
                // In the mesh a key is the node, and a certificate only carries it: one whose key was revoked, or never
                // registered, is nobody's.
                (None, Some(user))
                    if node_of(user).is_some() && !client.is_registered(&reading.derived.identities) =>
                {
                    return Err(Box::new(Status::failure(
                        401,
                        "Unauthorized",
                        format!(
                            "the key of this certificate is not registered for {:?} in this cluster: it was revoked, or \
                             never registered",
                            user.name
                        ),
                    )));
                }
                (None, Some(user)) => Arc::clone(user),
                (None, None) => Arc::new(access::anonymous()),
            },
        };
        let mut who = Who::of(user);
        if access::wants_impersonation(headers) {
            who.user = Arc::new(access::impersonated(&reading.derived.policy, &who.user, headers)?);
        }
        Ok(who)
    }

    fn bearer(&self, text: &str) -> Result<Arc<UserInfo>, Box<Status>> {
        let token = text
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| !token.is_empty())
            .ok_or_else(Status::unauthorized)?;
        self.user_of_token(token)
    }

    fn user_of_token(&self, token: &str) -> Result<Arc<UserInfo>, Box<Status>> {
        let reading = self.replica.reading();
        let found = self.tokens.user(&reading, &self.token_key, token, self.unix_now())?;
        let Some(Bearer { user, audiences }) = found else {
            return Err(Box::new(Status::unauthorized()));
        };
        if !audiences.is_empty() && !audiences.contains(&self.issuer) {
            return Err(Box::new(Status::unauthorized()));
        }
        Ok(user)
    }

    /// Who signed, for a request that can be ordered; everything else is answered to whom connection or token name.
    pub(super) fn author(&self, head: &Parts) -> Result<Who, Box<Status>> {
        if access::wants_impersonation(&head.headers) {
            let words = "a signed request runs as whom its key is registered to; it cannot impersonate";
            return Err(Box::new(Status::bad_request(words)));
        }
        let (user, signed) = signed::verify(self, head)?;
        let mut who = Who::of(user);
        if !signed.fresh {
            who.caller = Caller::Stranger;
        }
        who.signed = Some(signed);
        Ok(who)
    }

    /// Fails unless the user may do what is asked; `fields` is what a list or a watch selects by fields.
    pub(super) fn allow(
        &self,
        user: &UserInfo,
        asked: &Attributes<'_>,
        fields: Option<&FieldSelector>,
    ) -> Result<(), Box<Status>> {
        let reading = self.replica.reading();
        let decision = reading.derived.decide(user, asked, fields, |key| reading.get(key));
        let Err(refused) = decision.map_err(|error| Box::new(Status::internal(error)))? else {
            return Ok(());
        };
        // Who is unknown is asked to say who they are.
        if user.name == "system:anonymous" && asked.path.is_none() {
            return Err(Box::new(Status::unauthorized()));
        }
        Err(refused)
    }
}
