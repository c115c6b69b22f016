//! Who may use an image that lies here: whoever was let in by where it came from, and those who can show the same.
//!
//! An image that one tenant pulled with a password is not the next one's for the asking. Of every pull it is remembered
//! which credential opened the repository, by a fingerprint, for good: across restarts too. Who has none of those is sent
//! to the registry again, which has nothing to transfer, and decides. What was given to somebody who showed nothing, or
//! was brought to this node as an archive, is for everybody.
//!
//! Before a pull begins, that is written down: an agent that dies between an image's being here and its being known who
//! opened it leaves an image for nobody, not one for everybody.
//!
//! Source: KEP-2535, Ensure secret pulled images.

use hypermesh_image::{Credential, Digest, Reference, Store, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Credentials that are remembered of a repository and an image. Whose is forgotten is asked for again.
const MOST_KEYS: usize = 64;
/// Images that are remembered before those are looked for that have gone.
const MANY: usize = 4096;

/// What is remembered.
#[derive(Debug)]
pub struct Access {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    /// What makes fingerprints of this node's own.
    salt: String,
    /// By the digest of a manifest.
    images: BTreeMap<String, Openings>,
    /// Pulls that go on, by name, and how many of each.
    pulls: BTreeMap<String, u32>,
    /// How many images there were when those were last looked for that have gone.
    #[serde(skip)]
    swept: usize,
}

/// How an image came here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Openings {
    /// As an archive.
    brought: bool,
    /// From repositories.
    repositories: BTreeMap<String, Opening>,
}

/// What opened a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Opening {
    /// Nothing had to be shown.
    open: bool,
    /// Fingerprints of what was.
    keys: BTreeSet<String>,
}

fn repository(name: &Reference) -> String {
    format!("{}/{}", name.registry(), name.repository())
}

impl Access {
    /// Reads what is remembered. Pulls that an agent before this one did not see the end of have opened nothing.
    ///
    /// # Errors
    /// When the file cannot be read or written: without it nobody would know who may use what.
    pub fn open(path: &Path, store: &Store) -> io::Result<Self> {
        let mut known = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Known::default(),
            Err(error) => return Err(error),
        };
        if known.salt.is_empty() {
            let mut salt = [0_u8; 16];
            getrandom::fill(&mut salt).map_err(io::Error::other)?;
            known.salt = salt.iter().map(|byte| format!("{byte:02x}")).collect();
        }
        for (name, _) in std::mem::take(&mut known.pulls) {
            let Ok(reference) = name.parse::<Reference>() else { continue };
            if let Some(record) = store.named(&reference) {
                let of = known.images.entry(record.manifest.to_string()).or_default();
                of.repositories.entry(repository(&reference)).or_default();
            }
        }
        known.sweep(store);
        let access = Self { path: path.to_owned(), known: Mutex::new(known) };
        access.keep(&access.known.lock())?;
        Ok(access)
    }

    /// Whether an image that is here may be used under a name, by who could show these credentials.
    pub fn allows(&self, digest: &Digest, name: &Reference, credentials: &[Credential]) -> bool {
        let known = self.known.lock();
        let wanted = repository(name);
        let Some(of) = known.images.get(&digest.to_string()) else {
            // It was here before anything was remembered, or is about to be: then who pulls it is not known yet.
            let pulled =
                |pull: &String| pull.parse::<Reference>().is_ok_and(|pull| repository(&pull) == wanted);
            return !known.pulls.keys().any(pulled);
        };
        let shown = || credentials.iter().filter_map(|one| one.fingerprint(known.salt.as_bytes()));
        of.brought
            || of.repositories.get(&wanted).is_some_and(|opening| {
                opening.open || shown().any(|fingerprint| opening.keys.contains(&fingerprint.to_string()))
            })
    }

    /// A pull begins; it ends when what comes back is dropped.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub fn begin(self: &Arc<Self>, name: &Reference) -> io::Result<Pull> {
        let name = name.to_string();
        let mut known = self.known.lock();
        *known.pulls.entry(name.clone()).or_default() += 1;
        let pull = Pull { access: Arc::clone(self), name };
        if let Err(error) = self.keep(&known) {
            drop(known);
            return Err(error);
        }
        Ok(pull)
    }

    /// Images came as an archive: whoever may bring them to a node brings them to all who are on it.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub fn brought<'d>(&self, digests: impl IntoIterator<Item = &'d Digest>) -> io::Result<()> {
        let mut known = self.known.lock();
        for digest in digests {
            known.images.entry(digest.to_string()).or_default().brought = true;
        }
        self.keep(&known)
    }

    /// Forgets images that have gone, where there are many more than there were.
    pub fn sweep(&self, store: &Store) {
        let mut known = self.known.lock();
        if known.images.len() > known.swept.saturating_mul(2).saturating_add(MANY) {
            known.sweep(store);
        }
    }

    /// Whoever reads sees all of the old or all of the new, after a loss of power too.
    fn keep(&self, known: &Known) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file =
            std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(known)?)?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)
    }
}

impl Known {
    fn sweep(&mut self, store: &Store) {
        let here = |digest: &str| {
            let Ok(digest) = digest.parse::<Digest>() else { return false };
            // What is damaged is here, too.
            !matches!(store.image(&digest), Err(StoreError::NoImage(_)))
        };
        self.images.retain(|digest, _| here(digest));
        self.swept = self.images.len();
    }
}

/// A pull that goes on.
#[derive(Debug)]
pub struct Pull {
    access: Arc<Access>,
    name: String,
}

impl Pull {
    /// It has come to its end: the image is here, and this opened it; none: nobody was asked.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub fn opened(
        &self,
        digest: &Digest,
        name: &Reference,
        credential: Option<&Credential>,
    ) -> io::Result<()> {
        let mut known = self.access.known.lock();
        let salt = known.salt.clone();
        let of = known.images.entry(digest.to_string()).or_default();
        let opening = of.repositories.entry(repository(name)).or_default();
        match credential {
            Some(Credential::Anonymous) => opening.open = true,
            Some(credential) => {
                let fingerprint = credential.fingerprint(salt.as_bytes());
                opening.keys.extend(fingerprint.map(|fingerprint| fingerprint.to_string()));
            }
            None => {}
        }
        while opening.keys.len() > MOST_KEYS {
            opening.keys.pop_first();
        }
        self.access.keep(&known)
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        let mut known = self.access.known.lock();
        if let Some(count) = known.pulls.get_mut(&self.name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                known.pulls.remove(&self.name);
            }
        }
        if let Err(error) = self.access.keep(&known) {
            // It is written with the next one; until then a restart takes the pull as one that broke off.
            tracing::warn!(%error, "the end of a pull cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_image::{PackSource, PackSpec, StoreOptions};

    const NAME: &str = "registry.example/alice/private:1";

    fn password(text: &str) -> Credential {
        Credential::Basic { username: "me".to_owned(), password: text.to_owned().into() }
    }

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    /// A store with an image that is called [`NAME`], and what is remembered beside it.
    struct Node {
        folder: tempfile::TempDir,
        store: Store,
        digest: Digest,
    }

    impl Node {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (store, _) = Store::open(&folder.path().join("images"), StoreOptions::default()).unwrap();
            let file = folder.path().join("file");
            std::fs::write(&file, "private").unwrap();
            let source = PackSource { from: file, to: "/file".into() };
            let spec =
                PackSpec { sources: vec![source], entrypoint: vec!["/file".into()], ..PackSpec::default() };
            let digest = store.pack(&name(NAME), &spec).unwrap().manifest;
            Self { folder, store, digest }
        }

        /// As after a start of the agent.
        fn open(&self) -> Arc<Access> {
            Arc::new(Access::open(&self.folder.path().join("access.json"), &self.store).unwrap())
        }

        fn pulled(&self, access: &Arc<Access>, by: &Credential) {
            let pull = access.begin(&name(NAME)).unwrap();
            pull.opened(&self.digest, &name(NAME), Some(by)).unwrap();
        }
    }

    #[test]
    fn who_shows_the_same_may_use_it_and_nobody_else() {
        let node = Node::new();
        let access = node.open();
        node.pulled(&access, &password("alice's"));
        for access in [access, node.open()] {
            let may = |text: &str, with: &[Credential]| access.allows(&node.digest, &name(text), with);
            assert!(may(NAME, &[password("wrong"), password("alice's")]));
            assert!(
                may("registry.example/alice/private:2", &[password("alice's")]),
                "the same by another tag"
            );
            let pinned = format!("registry.example/alice/private@{}", node.digest);
            assert!(may(&pinned, &[password("alice's")]) && !may(&pinned, &[]));
            assert!(
                !may(NAME, &[]) && !may(NAME, &[password("bob's")]) && !may(NAME, &[Credential::Anonymous])
            );
            // By a repository that did not give it, the password is not even for it.
            assert!(!may("registry.example/bob/own:1", &[password("alice's")]));
        }
        let kept = std::fs::read_to_string(node.folder.path().join("access.json")).unwrap();
        assert!(!kept.contains("alice's"), "{kept}");
        node.pulled(&node.open(), &password("bob's"));
        let both = node.open();
        assert!(both.allows(&node.digest, &name(NAME), &[password("alice's")]));
        assert!(both.allows(&node.digest, &name(NAME), &[password("bob's")]));
    }

    #[test]
    fn what_nobody_had_to_show_anything_for_is_for_all() {
        let node = Node::new();
        node.pulled(&node.open(), &Credential::Anonymous);
        assert!(node.open().allows(&node.digest, &name(NAME), &[]));
        // Brought as an archive, before or after somebody pulled it.
        for first in [true, false] {
            let node = Node::new();
            let access = node.open();
            if first {
                access.brought([&node.digest]).unwrap();
            }
            node.pulled(&access, &password("alice's"));
            if !first {
                access.brought([&node.digest]).unwrap();
            }
            assert!(node.open().allows(&node.digest, &name("anything:1"), &[]));
        }
        // It was there before anything was remembered.
        let node = Node::new();
        assert!(node.open().allows(&node.digest, &name(NAME), &[]));
    }

    #[test]
    fn a_pull_that_broke_off_has_opened_nothing() {
        let node = Node::new();
        let access = node.open();
        let pull = access.begin(&name(NAME)).unwrap();
        // The image is here already, and who pulled it is not known yet.
        assert!(!access.allows(&node.digest, &name(NAME), &[]));
        assert!(access.allows(&node.digest, &name("other:1"), &[]));
        // The agent is killed.
        std::mem::forget(pull);
        let after = node.open();
        assert!(!after.allows(&node.digest, &name(NAME), &[]));
        node.pulled(&after, &password("alice's"));
        assert!(after.allows(&node.digest, &name(NAME), &[password("alice's")]));
        // One that fails leaves nothing behind.
        let node = Node::new();
        drop(node.open().begin(&name(NAME)).unwrap());
        assert!(node.open().allows(&node.digest, &name(NAME), &[]));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let node = Node::new();
        let access = node.open();
        for number in 0..MOST_KEYS + 9 {
            node.pulled(&access, &password(&number.to_string()));
        }
        let remembered = |access: &Access| {
            let known = access.known.lock();
            let keys = known.images.values().flat_map(|of| of.repositories.values()).map(|of| of.keys.len());
            (known.images.len(), keys.sum::<usize>())
        };
        assert_eq!(remembered(&access), (1, MOST_KEYS));
        node.store.unname(&name(NAME)).unwrap();
        assert_eq!(remembered(&node.open()), (0, 0), "with the image its openings go");
        std::fs::write(node.folder.path().join("access.json"), "{").unwrap();
        let damaged = Access::open(&node.folder.path().join("access.json"), &node.store);
        assert!(damaged.is_err(), "nobody is let in for want of a memory");
    }
}
