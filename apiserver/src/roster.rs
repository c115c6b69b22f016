//! Where the replicas of a cluster are met: a file in each data folder, for people to read and to change when a machine
//! moves. Keys in it are checked against the genesis when a replica starts; it makes nobody a replica.

use crate::replication::Peer;
use crate::server::ServerError;
use hypermesh_chain::PublicKey;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file, in the data folder.
pub const ROSTER_FILE: &str = "replicas.toml";

const HEAD: &str = "# The replicas of this cluster, by their keys, and where each is met by the others (UDP).\n\
                    # Addresses may be changed while the replica of this folder is stopped; keys are those of the genesis.\n\n";

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Roster {
    replica: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    addresses: Vec<SocketAddr>,
}

/// Writes the roster of a data folder.
pub(crate) fn write(dir: &Path, peers: &[Peer]) -> Result<PathBuf, ServerError> {
    let path = dir.join(ROSTER_FILE);
    let entry = |peer: &Peer| Entry { key: peer.key.to_string(), addresses: peer.addresses.clone() };
    let failed = |why: String| ServerError::Roster { path: path.clone(), why };
    let roster = Roster { replica: peers.iter().map(entry).collect() };
    let text = toml::to_string(&roster).map_err(|error| failed(error.to_string()))?;
    std::fs::write(&path, format!("{HEAD}{text}")).map_err(|error| failed(error.to_string()))?;
    Ok(path)
}

/// Reads the roster of a data folder; nothing where there is none.
pub(crate) fn read(dir: &Path) -> Result<Option<Vec<Peer>>, ServerError> {
    let path = dir.join(ROSTER_FILE);
    let failed = |why: String| ServerError::Roster { path: path.clone(), why };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let roster: Roster = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let peer = |entry: Entry| {
        let key: PublicKey =
            entry.key.parse().map_err(|error| failed(format!("the key {:?}: {error}", entry.key)))?;
        Ok(Peer { key, addresses: entry.addresses })
    };
    roster.replica.into_iter().map(peer).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::SigningKey;

    #[test]
    fn what_was_written_is_read_and_what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let key = |seed| SigningKey::from_seed(&[seed; 32]).public();
        let peers: Vec<Peer> = (1..4)
            .map(|i| Peer { key: key(i), addresses: vec![SocketAddr::from(([10, 0, 0, i], 6446))] })
            .collect();
        let path = write(dir.path(), &peers).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap(), peers);
        for (text, why) in [
            ("replica = 3", "replica"),
            ("[[replica]]\nkey = \"zz\"\naddresses = []", "the key \"zz\""),
            ("[[replica]]\nkey = \"zz\"\naddresses = [\"nowhere\"]", "addresses"),
            ("[[replica]]\nname = \"zz\"\n", "name"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(ROSTER_FILE), "{error}");
        }
    }
}
