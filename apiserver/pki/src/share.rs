//! Folders of replicas that one operator runs: one authority, one administrator, one signer of tokens among them.

use crate::error::PkiError;
use crate::files;
use crate::keys::KeyFile;
use std::path::Path;

/// What all of them have alike, with its permissions. A replica's own key and its server's are its own.
const SHARED: [(&str, u32); 9] = [
    ("ca.key", 0o600),
    ("ca.crt", 0o644),
    ("client-ca.key", 0o600),
    ("client-ca.crt", 0o644),
    ("admin.key", 0o600),
    ("controllers.key", 0o600),
    ("service-accounts.key", 0o600),
    ("service-accounts.pub", 0o644),
    ("admin.crt", 0o644),
];

/// Gives the data folder `to` the authorities and clients of the data folder `from`, which has been opened: to be called
/// before `to` is opened for the first time. What `to` has already stays.
///
/// # Errors
/// When a file cannot be read or written.
pub fn share(from: &Path, to: &Path) -> Result<(), PkiError> {
    let (from, to) = (from.join("pki"), to.join("pki"));
    files::make_folder(&to)?;
    for (name, mode) in SHARED {
        let target = to.join(name);
        if files::mode(&target)?.is_none()
            && let Some(text) = files::read(&from.join(name))?
        {
            files::replace(&target, &text, mode)?;
        }
    }
    Ok(())
}

/// The key of the replica of a data folder, made if need be.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub fn replica_key(dir: &Path) -> Result<KeyFile, PkiError> {
    let folder = dir.join("pki");
    files::make_folder(&folder)?;
    KeyFile::ed25519(folder.join("replica.key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pki, Settings};

    #[test]
    fn replicas_of_one_operator_have_one_authority_and_keys_of_their_own() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let settings = || Settings::new("https://127.0.0.1:6443".to_owned(), vec!["127.0.0.1".to_owned()]);
        let first = Pki::open(dirs[0].path(), settings(), 1_800_000_000).unwrap();
        share(dirs[0].path(), dirs[1].path()).unwrap();
        let second = Pki::open(dirs[1].path(), settings(), 1_800_000_000).unwrap();
        assert_eq!(first.bundle(), second.bundle());
        assert_eq!(first.admin_key.pem(), second.admin_key.pem());
        assert_eq!(first.service_account_key.pem(), second.service_account_key.pem());
        assert_ne!(first.replica_key.pem(), second.replica_key.pem());
        assert_ne!(first.server.serial, second.server.serial);
        // Once more changes nothing.
        let before = second.replica_key.pem().to_owned();
        share(dirs[0].path(), dirs[1].path()).unwrap();
        assert_eq!(Pki::open(dirs[1].path(), settings(), 1_800_000_000).unwrap().replica_key.pem(), before);
    }
}
