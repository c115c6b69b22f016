//! The registered keys of the state, and for whom they stand.
//!
//! Built once from the objects of the kind Identity, and then following effects: to know who signed a request reads
//! nothing and costs one look-up, but for a service account, whose own object has to be there. A key whose object is being
//! deleted is revoked already, whatever holds the object back.

use crate::authz::UserInfo;
use crate::genesis::MASTERS;
use crate::state::{ReadError, StateReader};
use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, PublicKey, Record};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where they are stored, named by the key in hexadecimal.
pub const IDENTITIES: &str = "hypermesh.online/identities";
/// The group of everyone who is known.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group of every service account, and the beginning of the name of each namespace's.
pub(crate) const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

#[derive(Deserialize)]
struct Stored {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    user: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    uid: String,
}

/// Registered keys. Cloning shares what they stand for.
#[derive(Clone, Debug, Default)]
pub struct Identities(BTreeMap<[u8; 32], Arc<UserInfo>>);

impl Identities {
    /// Reads all registered keys of a state.
    pub fn load(state: &(impl StateReader + ?Sized)) -> Result<Self, ReadError> {
        const PAGE: usize = 500;
        let mut identities = Self::default();
        let range = KeyRange { collection: IDENTITIES.to_owned(), namespace: None };
        let mut after: Option<ObjectKey> = None;
        loop {
            let page = state.scan(&range, after.as_ref(), PAGE)?;
            for (key, record) in &page {
                identities.put(key, record);
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return Ok(identities),
            }
        }
    }

    /// Follows one committed (or pending) write.
    pub fn follow(&mut self, effect: &Effect) {
        if !concerns(effect.key.collection()) {
            return;
        }
        match &effect.change {
            Change::Created(record) | Change::Updated(record) => self.put(&effect.key, record),
            Change::Deleted(_) => self.take(&effect.key),
        }
    }

    /// An object that does not decode registers nothing; validation keeps such objects out.
    fn put(&mut self, key: &ObjectKey, record: &Record) {
        match (key_of(key.name()), user_of(record)) {
            (Some(place), Some(user)) => {
                self.0.insert(place.0, Arc::new(user));
            }
            _ => self.take(key),
        }
    }

    fn take(&mut self, key: &ObjectKey) {
        if let Some(place) = key_of(key.name()) {
            self.0.remove(&place.0);
        }
    }

    /// For whom `key` stands; `None` for a key that is not registered. `get` reads an object: a service account's key
    /// counts as long as the very account is there.
    pub fn user(
        &self,
        key: &[u8; 32],
        get: impl FnOnce(&ObjectKey) -> Result<Option<Arc<Record>>, ReadError>,
    ) -> Result<Option<Arc<UserInfo>>, ReadError> {
        let Some(user) = self.0.get(key) else { return Ok(None) };
        if let Some(account) = account_of(&user.name) {
            let there = get(&account)?;
            if !there.is_some_and(|record| !record.facts.deleting && record.facts.uid.to_string() == user.uid)
            {
                return Ok(None);
            }
        }
        Ok(Some(Arc::clone(user)))
    }

    /// The name of the user whom `key` is registered to.
    pub fn name(&self, key: &[u8; 32]) -> Option<&str> {
        self.0.get(key).map(|user| user.name.as_str())
    }

    /// All keys, in order, and for whom each stands.
    pub fn iter(&self) -> impl Iterator<Item = (PublicKey, &UserInfo)> {
        self.0.iter().map(|(key, user)| (PublicKey(*key), user.as_ref()))
    }

    /// The keys that stand for a user.
    pub fn keys_of<'s>(&'s self, user: &'s str) -> impl Iterator<Item = ObjectKey> + 's {
        let keys = self.0.iter().filter(move |(_, known)| known.name == user);
        keys.filter_map(|(key, _)| ObjectKey::new(IDENTITIES, "", PublicKey(*key).to_string()))
    }

    /// The keys of administrators, but for one.
    pub(crate) fn administrators_beside<'s>(&'s self, name: &'s str) -> impl Iterator<Item = ObjectKey> + 's {
        let others = self.0.iter().filter(|(_, user)| user.groups.iter().any(|group| group == MASTERS));
        others
            .map(|(key, _)| PublicKey(*key).to_string())
            .filter(move |other| other != name)
            .filter_map(|other| ObjectKey::new(IDENTITIES, "", other))
    }
}

/// Whether an effect on `collection` changes who is known by a key.
pub(crate) fn concerns(collection: &str) -> bool {
    collection == IDENTITIES
}

/// The key that a name is: 64 lower-case hexadecimal digits.
pub(crate) fn key_of(name: &str) -> Option<PublicKey> {
    let plain = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if plain { name.parse().ok() } else { None }
}

/// For whom an Identity stands; `None` for one that is revoked.
pub(crate) fn user_of(record: &Record) -> Option<UserInfo> {
    if record.facts.deleting {
        return None;
    }
    let Stored { spec: Spec { user: name, mut groups, uid } } = serde_json::from_slice(&record.body).ok()?;
    if let Some(account) = account_of(&name) {
        groups = vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{}", account.namespace())];
    }
    groups.push(AUTHENTICATED.to_owned());
    Some(UserInfo { name, uid, groups, extra: Vec::new() })
}

/// Where the service account is stored that a user is.
pub(crate) fn account_of(user: &str) -> Option<ObjectKey> {
    let (namespace, name) = user.strip_prefix(UserInfo::SERVICE_ACCOUNT)?.split_once(':')?;
    ObjectKey::new("/serviceaccounts", namespace, name)
}
