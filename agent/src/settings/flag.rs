//! What is said of a node's settings in words, by `nexus-agent` and by `nexusctl up`, which have these flags in common.

use super::Settings;
use hypermesh_image::{Mirror, ReferenceError};
use hypermesh_runtime::spec::capability;
use hypermesh_schemas::value::Quantity;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// How large a file of a log may be said to grow, in bytes.
const LOG_SIZES: RangeInclusive<u64> = (4 << 10)..=(1 << 40);

/// Words that say no setting. What was wrong; the flag they came from is in front.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// `--node-label`
    #[error("--node-label {0}: write key=value")]
    Label(String),
    /// `--mirror`
    #[error("--mirror {0}: write registry=host[/prefix]")]
    MirrorForm(String),
    /// `--mirror`, of a host that is none.
    #[error("--mirror {words}")]
    Mirror {
        /// What was written.
        words: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// `--allow-capability`
    #[error("--allow-capability {0}: Linux has no such capability; NET_ADMIN would be one")]
    Capability(String),
    /// `--registry-ca`
    #[error("--registry-ca {}: it holds no certificate authorities in PEM", .0.display())]
    RegistryCa(PathBuf),
    /// `--registry-ca`, of a file that cannot be read.
    #[error("--registry-ca {}", path.display())]
    RegistryCaFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `--container-log-size`
    #[error("--container-log-size {0}: it is from 4Ki to 1Ti")]
    LogSize(String),
    /// `--signature-key`
    #[error("--signature-key {0}: a key has 64 hexadecimal digits, as `nexusctl auth keys` shows them")]
    SignatureKey(String),
}

impl Settings {
    /// Takes `key=value`, a label that the Node gets when it is made.
    ///
    /// # Errors
    /// If there is no `=`.
    pub fn add_label(&mut self, words: &str) -> Result<(), FlagError> {
        let (key, value) = words.split_once('=').ok_or_else(|| FlagError::Label(words.to_owned()))?;
        self.labels.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Takes `registry=host[/prefix]`, another place of a registry's images, to be tried after those that it has.
    ///
    /// # Errors
    /// If there is no `=`, or the host is none.
    pub fn add_mirror(&mut self, words: &str) -> Result<(), FlagError> {
        let (registry, place) =
            words.split_once('=').ok_or_else(|| FlagError::MirrorForm(words.to_owned()))?;
        let (host, prefix) = place.split_once('/').unwrap_or((place, ""));
        let place = Mirror { host: host.to_owned(), prefix: prefix.to_owned() };
        place.check().map_err(|source| FlagError::Mirror { words: words.to_owned(), source })?;
        self.images.mirrors.entry(registry.to_owned()).or_default().push(place);
        Ok(())
    }

    /// Takes a file of authorities that registries may have their certificates from, beside those of the machine.
    ///
    /// # Errors
    /// If it cannot be read, or holds none.
    pub fn add_registry_ca(&mut self, path: &Path) -> Result<(), FlagError> {
        let failed = |source| FlagError::RegistryCaFile { path: path.to_owned(), source };
        let pem = std::fs::read(path).map_err(failed)?;
        let found = hypermesh_image::authorities(&pem);
        self.images.authorities.extend(found.ok_or_else(|| FlagError::RegistryCa(path.to_owned()))?);
        Ok(())
    }

    /// Takes how large a container's log grows before it is put aside: `10Mi`.
    ///
    /// # Errors
    /// If it is so small that no line would stay, or so large that it is a mistake.
    pub fn set_log_size(&mut self, amount: &Quantity) -> Result<(), FlagError> {
        let bytes = u64::try_from(amount.units()).ok().filter(|bytes| LOG_SIZES.contains(bytes));
        self.policy.log_size = bytes.ok_or_else(|| FlagError::LogSize(amount.to_string()))?;
        Ok(())
    }

    /// Takes the name of a capability that containers may add: `NET_ADMIN`, or `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// If Linux has none of the name.
    pub fn allow_capability(&mut self, name: &str) -> Result<(), FlagError> {
        let known = capability(name).ok_or_else(|| FlagError::Capability(name.to_owned()))?;
        self.policy.capabilities.insert(known.to_owned());
        Ok(())
    }

    /// Takes a key that opens streams; where there is one, no other does, and nobody opens any without.
    ///
    /// # Errors
    /// If it is none.
    pub fn add_stream_key(&mut self, words: &str) -> Result<(), FlagError> {
        let key = words.parse().map_err(|_| FlagError::SignatureKey(words.to_owned()))?;
        self.policy.stream_keys.insert(key);
        self.policy.endorsed_streams = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn words_are_settings_or_say_how_to_write_them() {
        let mut settings = Settings::new("node-1", Path::new("/data"));
        settings.add_label("disk=fast").unwrap();
        settings.add_mirror("docker.io=mirror.example:5000/hub").unwrap();
        settings.add_mirror("docker.io=second.example").unwrap();
        settings.allow_capability("NET_ADMIN").unwrap();
        assert_eq!(settings.labels.get("disk").map(String::as_str), Some("fast"));
        let hosts: Vec<&str> = settings.images.mirrors["docker.io"].iter().map(|m| m.host.as_str()).collect();
        assert_eq!(hosts, ["mirror.example:5000", "second.example"]);
        assert_eq!(settings.policy.capabilities.len(), 1);
        let wrong = [
            settings.add_label("disk").unwrap_err(),
            settings.add_mirror("docker.io").unwrap_err(),
            settings.add_mirror("docker.io=").unwrap_err(),
            settings.allow_capability("FLY").unwrap_err(),
        ];
        assert_eq!(wrong[0].to_string(), "--node-label disk: write key=value");
        assert_eq!(wrong[1].to_string(), "--mirror docker.io: write registry=host[/prefix]");
        assert_eq!(wrong[2].to_string(), "--mirror docker.io=");
        assert!(wrong[3].to_string().contains("NET_ADMIN would be one"));
        assert!(settings.policy.endorsed_streams);
        assert!(settings.add_stream_key("ab").unwrap_err().to_string().contains("64 hexadecimal digits"));
        settings.add_stream_key(&"07".repeat(32)).unwrap();
        assert!(!settings.policy.endorsed_streams && settings.policy.stream_keys.len() == 1);
    }
}
