//! What is known of bearer tokens: verifying a signature costs more than most reads.
//!
//! An entry holds as long as the token does, and as long as no service account or Secret has changed since it was
//! learnt; so a deleted account's token is refused by the very next request.

use crate::access;
use hypermesh_api::Status;
use hypermesh_chain::{Hash, ObjectKey, PublicKey, Revision};
use hypermesh_machine::Reading;
use hypermesh_pipeline::authz::UserInfo;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tokens remembered at most; when there are more, all are forgotten and learnt anew.
const MOST: usize = 4096;
/// Seconds that an entry is used at most: bootstrap tokens end by the clock alone.
const LONGEST: i64 = 10;

/// What a token comes to, shared.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    /// For whom it stands.
    pub user: Arc<UserInfo>,
    /// For which audiences; empty for this server alone.
    pub audiences: Arc<[String]>,
}

#[derive(Clone, Debug)]
struct Known {
    bearer: Bearer,
    learnt: Revision,
    until: i64,
    instance: Option<(ObjectKey, String)>,
}

impl Known {
    /// Whether the Instance that the token is bound to is still there.
    fn is_bound(&self, reading: &Reading) -> Result<bool, Status> {
        let Some((key, uid)) = &self.instance else { return Ok(true) };
        let record = reading.get(key).map_err(Status::internal)?;
        Ok(record.is_some_and(|record| record.facts.uid.to_string() == *uid))
    }
}

/// Tokens that were verified. Only their digests are kept.
#[derive(Debug, Default)]
pub(crate) struct Tokens(RwLock<BTreeMap<Hash, Known>>);

impl Tokens {
    /// What a token comes to; `None` for one that nobody here issued.
    pub fn user(
        &self,
        reading: &Reading,
        key: &PublicKey,
        text: &str,
        now: i64,
    ) -> Result<Option<Bearer>, Status> {
        let digest = Hash::of(&[b"bearer token", text.as_bytes()]);
        let known = self.0.read().get(&digest).cloned();
        if let Some(known) = known
            && known.learnt >= reading.tokens_changed
            && now < known.until
            && known.is_bound(reading)?
        {
            return Ok(Some(known.bearer));
        }
        let Some(found) = access::token_user(&reading.state(), key, text, now)? else { return Ok(None) };
        let until = found.expires.min(now.saturating_add(LONGEST));
        let bearer = Bearer { user: Arc::new(found.user), audiences: Arc::from(found.audiences) };
        let known =
            Known { bearer: bearer.clone(), learnt: reading.revision, until, instance: found.instance };
        let mut all = self.0.write();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(digest, known);
        Ok(Some(bearer))
    }
}
