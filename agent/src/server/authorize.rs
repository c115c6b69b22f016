//! Which streams into containers are opened: those whose request the user signed, and those that the node's policy lets
//! an API server vouch for.
//!
//! A signature is of a key that the cluster has registered for the very user that the API server names, is fresh, and
//! counts once. Reading logs and usage takes no signature: what an API server may read of the store is more than that.
//!
//! What that is worth: who has a user's token, or has recorded a request, opens nothing with it. It is no protection from an
//! API server that lies. It says whose a key is, it has judged what the user may do, and it can register a key of its own;
//! that an Identity is in a certified state would prove no more as long as the one who certifies is the one who answers. An
//! operator who wants that names the keys ([`Policy::stream_keys`]): then nobody else's count, whatever is said of them.

use super::{Refusal, failed};
use crate::api::{NodeApi, ours};
use crate::failure::chain;
use crate::settings::Policy;
use hypermesh_chain::{ClusterId, Hash, PublicKey};
use hypermesh_stream::{Author, Caller, Route};
use jiff::Timestamp;
use kube::Api;
use kube::core::DynamicObject;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// For how long a request that was signed counts, in seconds, and how far clocks may differ.
const FRESH: u64 = 60;
/// Signatures that are remembered at most: more in that time are refused.
const REMEMBERED: usize = 10_000;

/// Judges requests for streams.
pub struct Judge {
    api: NodeApi,
    cluster: ClusterId,
    endorsed: bool,
    keys: BTreeSet<PublicKey>,
    seen: Mutex<Seen>,
}

impl Judge {
    /// By the identities of a cluster, as a node's policy has it.
    #[must_use]
    pub fn new(api: NodeApi, cluster: ClusterId, policy: &Policy) -> Self {
        let (endorsed, keys) = (policy.endorsed_streams, policy.stream_keys.clone());
        Self { api, cluster, endorsed, keys, seen: Mutex::default() }
    }

    /// Whether a request is answered.
    pub(super) async fn judge(&self, route: &Route, caller: &Caller) -> Result<(), Refusal> {
        if !matches!(route, Route::Exec(..) | Route::Attach(..) | Route::PortForward(..)) {
            return Ok(());
        }
        let refuse = |why: String| failed(403, "Forbidden", why);
        let Some(signed) = &caller.signed else {
            if self.endorsed {
                return Ok(());
            }
            return Err(refuse(
                "the agent opens streams only for what a user signed: use nexusctl with a registered key, or kubectl \
                 through nexusctl proxy"
                    .to_owned(),
            ));
        };
        let authors = signed.verify(&self.cluster, route).map_err(|error| refuse(chain(&error)))?;
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        is_named(&authors, &self.keys).map_err(refuse)?;
        for author in &authors {
            is_fresh(author, now).map_err(refuse)?;
            self.is_of(author, &caller.user.name).await?;
        }
        self.seen.lock().admit(&authors, now).map_err(refuse)
    }

    /// Whether a key is registered for a user.
    async fn is_of(&self, author: &Author, user: &str) -> Result<(), Refusal> {
        let identities: Api<DynamicObject> =
            Api::all_with(self.api.client().clone(), &ours("Identity", "identities"));
        let key = author.key.to_string();
        let found = identities.get_opt(&key).await;
        let found = found.map_err(|error| {
            let words = format!("the agent cannot ask whose the key {key} is: {}", chain(&error));
            failed(503, "ServiceUnavailable", words)
        })?;
        let of = found.as_ref().and_then(|found| found.data.pointer("/spec/user")?.as_str());
        if of == Some(user) {
            return Ok(());
        }
        Err(failed(403, "Forbidden", format!("the key {key} that signed is not registered for {user}")))
    }
}

/// Whether one of the keys that this node opens streams for has signed, where it names any.
fn is_named(authors: &[Author], keys: &BTreeSet<PublicKey>) -> Result<(), String> {
    if keys.is_empty() || authors.iter().any(|author| keys.contains(&author.key)) {
        return Ok(());
    }
    let signed: Vec<String> = authors.iter().map(|author| author.key.to_string()).collect();
    Err(format!(
        "this node opens streams for keys that it was told (--signature-key), and {} is none of them",
        signed.join(", ")
    ))
}

fn is_fresh(author: &Author, now: u64) -> Result<(), String> {
    let age = now.abs_diff(author.created);
    if age > FRESH {
        let when = if author.created < now { "ago" } else { "ahead" };
        return Err(format!(
            "the request was signed {age} s {when} of this node's clock; {FRESH} s are taken"
        ));
    }
    match author.expires {
        Some(expires) if expires < now => Err(format!("the signature expired {} s ago", now - expires)),
        _ => Ok(()),
    }
}

/// Signatures that counted already.
#[derive(Default)]
struct Seen(BTreeMap<[u8; 32], u64>);

impl Seen {
    fn admit(&mut self, authors: &[Author], now: u64) -> Result<(), String> {
        self.0.retain(|_, at| now.abs_diff(*at) <= 2 * FRESH);
        let digest = |Hash(digest): Hash| digest;
        if authors.iter().any(|author| self.0.contains_key(&digest(author.digest))) {
            return Err(
                "the signed request was answered already; a new one is signed for each stream".to_owned()
            );
        }
        if self.0.len() + authors.len() > REMEMBERED {
            return Err("too many streams were asked for in the last minutes".to_owned());
        }
        self.0.extend(authors.iter().map(|author| (digest(author.digest), now)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::SigningKey;

    fn author(created: u64, expires: Option<u64>, digest: u8) -> Author {
        let key = SigningKey::from_seed(&[1; 32]).public();
        Author { key, created, expires, digest: Hash([digest; 32]) }
    }

    #[test]
    fn where_keys_are_named_no_other_opens_anything() {
        let signed = author(0, None, 1);
        let other = SigningKey::from_seed(&[2; 32]).public();
        let of =
            |keys: &[PublicKey]| is_named(std::slice::from_ref(&signed), &keys.iter().copied().collect());
        assert_eq!((of(&[]), of(&[signed.key]), of(&[other, signed.key])), (Ok(()), Ok(()), Ok(())));
        assert!(of(&[other]).unwrap_err().contains(&signed.key.to_string()));
        assert!(is_named(&[], &[other].into()).is_err());
    }

    #[test]
    fn a_signature_counts_for_a_minute_and_once() {
        assert!(is_fresh(&author(1000, None, 1), 1060).is_ok());
        assert!(is_fresh(&author(1060, None, 1), 1000).is_ok());
        assert!(is_fresh(&author(1000, None, 1), 1061).unwrap_err().contains("61 s ago"));
        assert!(is_fresh(&author(1000, Some(1010), 1), 1011).unwrap_err().contains("expired"));
        let mut seen = Seen::default();
        assert!(seen.admit(&[author(0, None, 1)], 1000).is_ok());
        assert!(seen.admit(&[author(0, None, 1)], 1100).is_err());
        assert!(seen.admit(&[author(0, None, 2), author(0, None, 1)], 1100).is_err());
        assert!(seen.admit(&[author(0, None, 2)], 1100).is_ok(), "who was refused has not counted");
        assert!(seen.admit(&[author(0, None, 1)], 1200).is_ok(), "by then it is not fresh");
    }
}
