//! Who still uses the former authority while the cluster's authorities are changed.
//!
//! Which authority signed a client's certificate is read from the certificate itself: it serves to tell an operator who is
//! left, and to tell somebody whose connection outlived a rotation what has happened. Whom to let in is TLS' to decide.

use hypermesh_chain::PublicKey;
use hypermesh_pki::rotation::{self, Left, Seen};
use hypermesh_pki::{Pki, PkiError};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clients remembered at most.
const MOST: usize = 1000;
/// Keys remembered at most. One that is not remembered is told of as unseen, which is safe.
const MOST_KEYS: usize = 50_000;

/// Which clients use which authority.
#[derive(Debug, Default)]
pub(crate) struct Former {
    /// Whether there is anything to look at: almost never.
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Key identifier of the former authority of clients, while it counts.
    former: Option<Vec<u8>>,
    /// Key identifiers of those that counted in the life of this process.
    dropped: Vec<Vec<u8>>,
    seen: Seen,
}

/// How a client is told of: a user, and the beginning of a key.
pub(crate) fn shown(user: &str, key: &PublicKey) -> String {
    format!("{user} (key {:.16})", key.to_string())
}

fn note(seen: &mut Seen, key: String) {
    if seen.keys.len() < MOST_KEYS {
        seen.keys.insert(key);
    }
}

impl Former {
    /// Takes up which authorities there are.
    pub fn follow(&self, pki: &Pki) {
        let former = pki.old().and_then(|old| old.client_ca.key_identifier());
        let mut state = self.state.lock();
        if state.former == former {
            return;
        }
        let gone = state.former.take();
        state.dropped.extend(gone);
        state.former = former;
        let authority = pki.old().map(|old| old.ca.serial.clone()).unwrap_or_default();
        // What the process before this one has seen still holds.
        let before = rotation::seen(pki.dir()).ok().flatten();
        state.seen = before.unwrap_or_else(|| Seen { authority, ..Seen::default() });
        self.active.store(state.former.is_some() || !state.dropped.is_empty(), Ordering::Release);
    }

    /// Notes which authority signed a client's certificate. False for one that counts no more. A client is a user and a key:
    /// certificates are renewed over the same key, and who works from two machines has one on each.
    pub fn admits(&self, user: &str, key: Option<&[u8; 32]>, authority: Option<&[u8]>, now: i64) -> bool {
        if !self.active.load(Ordering::Acquire) {
            return true;
        }
        let key = key.map(|key| PublicKey(*key));
        let client = key.map_or_else(|| user.to_owned(), |key| shown(user, &key));
        let mut state = self.state.lock();
        let is = |known: &Vec<u8>| authority == Some(known.as_slice());
        if state.dropped.iter().any(is) {
            return false;
        }
        if state.former.as_ref().is_some_and(is) {
            if state.seen.clients.len() < MOST || state.seen.clients.contains_key(&client) {
                state.seen.clients.insert(client, now);
            }
        } else {
            state.seen.clients.remove(&client);
            if let Some(key) = key {
                note(&mut state.seen, key.to_string());
            }
        }
        true
    }

    /// Notes that keys have signed a request: whatever certificate came with it, their holders are about.
    pub fn signed(&self, keys: impl IntoIterator<Item = String>) {
        if self.active.load(Ordering::Acquire) {
            let mut state = self.state.lock();
            keys.into_iter().for_each(|key| note(&mut state.seen, key));
        }
    }

    /// What was seen until now, while a rotation is under way.
    pub fn seen(&self) -> Option<Seen> {
        if !self.active.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state.lock();
        state.former.is_some().then(|| state.seen.clone())
    }

    /// Tells what was seen until now, what was found in the cluster, and which certificate (its serial number) is shown, where
    /// a rotation is under way.
    pub fn tell(&self, dir: &Path, left: Option<Left>, shows: &str, now: i64) -> Result<(), PkiError> {
        if !self.active.load(Ordering::Acquire) {
            return Ok(());
        }
        let seen = {
            let mut state = self.state.lock();
            if state.former.is_none() {
                return Ok(());
            }
            if state.seen.since == 0 {
                state.seen.since = now;
            }
            state.seen.looked = now;
            shows.clone_into(&mut state.seen.shows);
            if let Some(left) = left {
                state.seen.left = left;
            }
            state.seen.clone()
        };
        rotation::tell(dir, &seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_pki::Settings;

    #[test]
    fn who_is_left_is_told_and_who_comes_late_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let settings = Settings::new("https://127.0.0.1:1".to_owned(), vec!["localhost".to_owned()]);
            Pki::open(dir.path(), settings, 1_800_000_000).unwrap()
        };
        let former = Former::default();
        let before = open().client_ca.key_identifier();
        former.follow(&open());
        assert!(former.admits("ann", None, before.as_deref(), 1));
        former.tell(dir.path(), None, "a1", 1).unwrap();
        assert_eq!(rotation::seen(dir.path()).unwrap(), None, "there is nothing to tell");
        open().begin_rotation(1_800_000_000).unwrap();
        former.follow(&open());
        let after = open().client_ca.key_identifier();
        let (one, two) = (Some(&[1; 32]), Some(&[2; 32]));
        for (user, key, authority) in [
            ("ann", None, &before),
            ("bob", one, &before),
            ("bob", two, &before),
            ("eve", None, &after),
            ("bob", one, &after),
        ] {
            assert!(former.admits(user, key, authority.as_deref(), 7));
        }
        former.tell(dir.path(), None, "a1", 8).unwrap();
        let seen = rotation::seen(dir.path()).unwrap().unwrap();
        let new: Vec<&String> = seen.keys.iter().collect();
        assert_eq!(new, ["01".repeat(32).as_str()], "whose key came with a new one");
        let left = [("ann".to_owned(), 7), ("bob (key 0202020202020202)".to_owned(), 7)];
        assert_eq!((seen.looked, seen.clients), (8, left.into()), "bob has a new one on one machine");
        // A server that starts anew goes on where that before it was.
        let again = Former::default();
        again.follow(&open());
        again.tell(dir.path(), None, "b2", 9).unwrap();
        let seen = rotation::seen(dir.path()).unwrap().unwrap();
        assert_eq!((seen.since, seen.looked, seen.shows.as_str(), seen.clients.len()), (8, 9, "b2", 2));
        again.signed([String::from("aa")]);
        assert!(again.seen().unwrap().keys.contains("aa"));
        open().finish_rotation(1_800_000_000).unwrap();
        former.follow(&open());
        assert!(!former.admits("ann", None, before.as_deref(), 9));
        assert!(former.admits("ann", None, after.as_deref(), 9) && former.admits("ann", None, None, 9));
    }
}
