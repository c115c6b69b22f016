//! Who a request is from, as far as the state tells.
//!
//! A signed request is from whoever its keys are registered to. An endorsed one is from whom the replica says, within
//! what that replica may endorse. Signatures themselves are checked before the order (they need no state); here they
//! are taken as checked.

use crate::authz::{Attributes, UserInfo};
use crate::call::{Authority, Call};
use crate::fault::Fault;
use crate::identities::Identities;
use crate::overlay::Overlay;
use crate::state::StateReader;
use crate::system::{self, ClusterConfig, Grant};
use hypermesh_api::Status;
use hypermesh_chain::{Record, Timestamp};
use std::cell::RefCell;
use std::sync::Arc;

/// Refuses a request that was made too long before the block, or too far ahead of it.
pub fn check_validity(call: &Call, config: &ClusterConfig, now: Timestamp) -> Result<(), Status> {
    if let Authority::Signed { expires: Some(end), .. } = &call.authority
        && *end < now
    {
        let (end, now) = (crate::clock::rfc3339(*end), crate::clock::rfc3339(now));
        let why = format!("the request's signature expired at {end}, the cluster's time is {now}");
        return Err(Status::failure(401, "Unauthorized", why));
    }
    let validity = u64::from(config.request_validity_seconds) * 1_000_000;
    let made = call.authority.made();
    let newest = match &call.authority {
        Authority::Signed { newest, .. } => *newest,
        Authority::Endorsed { .. } => made,
    };
    if now.0.abs_diff(made.0) <= validity && now.0.abs_diff(newest.0) <= validity {
        return Ok(());
    }
    let way = if made < now { "too old" } else { "dated ahead of the cluster's time" };
    Err(Status::failure(
        401,
        "Unauthorized",
        format!(
            "the request is {way}: it was made at {}, the cluster's time is {}; a request is valid for {} s",
            crate::clock::rfc3339(made),
            crate::clock::rfc3339(now),
            config.request_validity_seconds
        ),
    ))
}

/// Whom the request is from.
pub fn authenticate<R: StateReader + ?Sized>(
    state: &Overlay<'_, R>,
    identities: &Identities,
    call: &Call,
) -> Result<UserInfo, Fault> {
    match &call.authority {
        Authority::Endorsed { user, .. } => Ok(user.clone()),
        Authority::Signed { keys, .. } => {
            let [key] = keys.as_slice() else {
                return Err(Status::failure(
                    401,
                    "Unauthorized",
                    "several keys signed the request, and no subject of this cluster acts by several keys",
                )
                .into());
            };
            let user = identities.user(key, |place| state.get(place))?.ok_or_else(|| {
                Status::failure(
                    401,
                    "Unauthorized",
                    "the key that signed the request is not registered in this cluster",
                )
            })?;
            Ok(UserInfo::clone(&user))
        }
    }
}

/// Refuses an endorsed request that its replica may not endorse.
pub fn check_grant<R: StateReader + ?Sized>(
    state: &Overlay<'_, R>,
    known: &KnownGrant,
    call: &Call,
    asked: &Attributes<'_>,
) -> Result<(), Fault> {
    let Authority::Endorsed { replica, .. } = &call.authority else { return Ok(()) };
    let place = system::key(system::GRANTS, &hex_of(replica)).ok_or_else(Status::unauthorized)?;
    if let Some(record) = state.get(&place)?
        && known.read(record)?.rules.iter().any(|rule| rule.allows(asked))
    {
        return Ok(());
    }
    Err(Status::failure(
        403,
        "Forbidden",
        format!(
            "no replica may vouch for this request ({} {}): sign it with a registered key (nexusctl does, and \
             `nexusctl proxy` does for other clients)",
            asked.verb, asked.resource
        ),
    )
    .into())
}

/// The grant that was read last: the requests of a block are mostly endorsed by one replica.
#[derive(Debug, Default)]
pub struct KnownGrant(RefCell<Option<(Arc<Record>, Arc<Grant>)>>);

impl KnownGrant {
    /// What a record of a grant says. Records do not change: the same one says the same.
    fn read(&self, record: Arc<Record>) -> Result<Arc<Grant>, Fault> {
        let mut known = self.0.borrow_mut();
        if let Some((of, grant)) = &*known
            && (Arc::ptr_eq(of, &record) || **of == *record)
        {
            return Ok(Arc::clone(grant));
        }
        let grant: Arc<Grant> = Arc::new(serde_json::from_slice(&record.body).map_err(Status::internal)?);
        *known = Some((record, Arc::clone(&grant)));
        Ok(grant)
    }
}

/// A key in hexadecimal: the name of its records.
pub fn hex_of(key: &[u8; 32]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(64);
    text.extend(key.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|n| DIGITS[usize::from(n)]));
    text
}
