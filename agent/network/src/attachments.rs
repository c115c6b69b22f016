//! Which instances are attached, kept as a file each, so that a new process finds what runs.
//!
//! The folder lies where a boot empties it, as namespaces and links go with a boot as well.

use crate::error::NetworkError;
use crate::pool::Ipv4Pool;
use crate::service::Service;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// The file of what is published.
const SERVICES: &str = "services.json";

/// One attached instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The instance's uid.
    pub id: String,
    /// Its stable address.
    pub ipv6: Ipv6Addr,
    /// Its IPv4 address on this node.
    pub ipv4: Ipv4Addr,
    /// Where its network namespace is mounted.
    pub namespace: PathBuf,
    /// The node's end of its pair of links.
    pub link: String,
}

impl Attachment {
    /// Its addresses, the stable one first.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.ipv6.into(), self.ipv4.into()]
    }
}

/// The folder of the files.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens it, makes it if need be.
    pub fn open(path: &Path) -> Result<Self, NetworkError> {
        let folder = Self(path.to_owned());
        for part in [folder.0.clone(), folder.0.join("namespaces"), folder.0.join("attachments")] {
            fs::create_dir_all(&part).map_err(|source| NetworkError::State { path: part, source })?;
        }
        Ok(folder)
    }

    /// The range of addresses that was chosen.
    pub fn pool(&self) -> Result<Option<Ipv4Pool>, NetworkError> {
        let path = self.0.join("pool");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Ipv4Pool::parse(text.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(NetworkError::State { path, source }),
        }
    }

    /// Keeps the range of addresses.
    pub fn keep_pool(&self, pool: Ipv4Pool) -> Result<(), NetworkError> {
        let path = self.0.join("pool");
        fs::write(&path, format!("{pool}\n")).map_err(|source| NetworkError::State { path, source })
    }

    /// Where the namespace of an instance is mounted.
    pub fn namespace(&self, id: &str) -> PathBuf {
        self.0.join("namespaces").join(id)
    }

    /// All that were kept. A file that cannot be read as one is put aside: what it was about is found as left over.
    pub fn read(&self) -> Result<BTreeMap<String, Attachment>, NetworkError> {
        let folder = self.0.join("attachments");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| NetworkError::State { path, source }
        };
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let path = entry.map_err(failed(&folder))?.path();
            let bytes = fs::read(&path).map_err(failed(&path))?;
            match serde_json::from_slice::<Attachment>(&bytes) {
                Ok(attachment) if path == self.file(&attachment.id) => {
                    found.insert(attachment.id.clone(), attachment);
                }
                _ => {
                    tracing::warn!(path = %path.display(), "not the state of an attachment: removed");
                    fs::remove_file(&path).map_err(failed(&path))?;
                }
            }
        }
        Ok(found)
    }

    /// Keeps one.
    pub fn keep(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        self.write(&self.file(&attachment.id), attachment)
    }

    /// Keeps what is published; of nothing, nothing is left.
    pub fn keep_services(&self, services: &[Service]) -> Result<(), NetworkError> {
        let path = self.0.join(SERVICES);
        if !services.is_empty() {
            return self.write(&path, &services);
        }
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(NetworkError::State { path, source })
            }
            _ => Ok(()),
        }
    }

    /// What was published last. What cannot be read is nothing: who publishes says it again.
    pub fn services(&self) -> Vec<Service> {
        let bytes = fs::read(self.0.join(SERVICES)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> Result<(), NetworkError> {
        let write = || {
            let bytes = serde_json::to_vec(value)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.write_all(&bytes)?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|source| NetworkError::State { path: path.to_owned(), source })
    }

    /// Forgets one.
    pub fn forget(&self, id: &str) -> Result<(), NetworkError> {
        let path = self.file(id);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(NetworkError::State { path, source })
            }
            _ => Ok(()),
        }
    }

    /// The namespaces that are mounted here, by instance.
    pub fn namespaces(&self) -> Result<Vec<String>, NetworkError> {
        let folder = self.0.join("namespaces");
        let failed = |source| NetworkError::State { path: folder.clone(), source };
        let entries =
            fs::read_dir(&folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok(entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Removes it, and what it lies in, unless something is left there.
    pub fn remove(&self) {
        for file in ["pool", SERVICES] {
            let _ = fs::remove_file(self.0.join(file));
        }
        let above = self.0.parent().map(Path::to_owned);
        for path in
            [self.0.join("namespaces"), self.0.join("attachments"), self.0.clone()].into_iter().chain(above)
        {
            let _ = fs::remove_dir(path);
        }
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join("attachments").join(format!("{id}.json"))
    }
}

/// Whether it may be the name of a file: a uid is, and nothing else comes here.
pub fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
