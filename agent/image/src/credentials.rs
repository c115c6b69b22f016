//! Credentials for registries, from Docker's configuration as Secrets hold it.
//!
//! Pure: bytes in, candidates out. Which entry is for which image is decided by kubelet's rules: the key is a host with
//! an optional port and path; each label of the host may have `*` and `?`; the path is a prefix of whole components.
//! All that match are tried, those with the longer path first. What is secret is shown nowhere and wiped when dropped.

use crate::digest::Digest;
use crate::limits::CREDENTIALS_BYTES;
use crate::reference::{DEFAULT_REGISTRY, Reference};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Tools write padding or leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a registry is shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// A name and a password.
    Basic {
        /// Who.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A refresh token, for which the registry's token server gives a token.
    Identity(Zeroizing<String>),
    /// A bearer token, shown as it is.
    Bearer(Zeroizing<String>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username:?})"),
            Self::Identity(_) => f.write_str("Identity"),
            Self::Bearer(_) => f.write_str("Bearer"),
        }
    }
}

impl Credential {
    /// What tells it from every other, and does not tell what it is; none for nothing. Of another salt it is another.
    #[must_use]
    pub fn fingerprint(&self, salt: &[u8]) -> Option<Digest> {
        let parts: [&[u8]; 3] = match self {
            Self::Anonymous => return None,
            Self::Basic { username, password } => [b"basic", username.as_bytes(), password.as_bytes()],
            Self::Identity(token) => [b"identity", b"", token.as_bytes()],
            Self::Bearer(token) => [b"bearer", b"", token.as_bytes()],
        };
        let mut bytes = Zeroizing::new(Vec::new());
        for part in [salt].into_iter().chain(parts) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Some(Digest::of(&bytes))
    }
}

/// Why a configuration holds no credentials. Never shows what it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No JSON of the form.
    #[error("it is not of the form of Docker's config.json: line {line}, column {column}")]
    Form {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Too many bytes.
    #[error("it has {0} bytes, and {CREDENTIALS_BYTES} is the most that is taken")]
    TooLarge(usize),
    /// `auth` that is not base64 of `name:password`.
    #[error("the field \"auth\" of {0:?} is not the base64 of NAME:PASSWORD")]
    Auth(String),
    /// A key that names no host.
    #[error("the key {0:?} names no registry")]
    Key(String),
    /// A type of Secret that holds no credentials for registries.
    #[error(
        "a Secret of type {0:?} holds no credentials for registries; kubernetes.io/dockerconfigjson does"
    )]
    SecretType(String),
    /// The Secret lacks its key.
    #[error("the Secret has no key {0:?}")]
    Missing(&'static str),
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default, deserialize_with = "secret")]
    auth: Option<Zeroizing<String>>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    password: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "secret")]
    identitytoken: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "secret")]
    registrytoken: Option<Zeroizing<String>>,
}

/// A text that is wiped when it is dropped.
fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Zeroizing::new))
}

/// Credentials by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    entries: Vec<(Pattern, Credential)>,
}

impl Keyring {
    /// No credentials.
    #[must_use]
    pub const fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// Of `config.json`, which is what `kubernetes.io/dockerconfigjson` holds.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub fn from_docker_config(json: &[u8]) -> Result<Self, CredentialError> {
        let config: DockerConfig = parse(json)?;
        Self::from_entries(config.auths)
    }

    /// Of the older `.dockercfg`: the same without `auths` around it.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub fn from_dockercfg(json: &[u8]) -> Result<Self, CredentialError> {
        Self::from_entries(parse(json)?)
    }

    /// Of a Secret, by its type.
    ///
    /// # Errors
    /// If it is of another type, or what is wrong in it.
    pub fn from_secret(secret_type: &str, data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CredentialError> {
        let value = |key: &'static str| data.get(key).ok_or(CredentialError::Missing(key));
        match secret_type {
            "kubernetes.io/dockerconfigjson" => Self::from_docker_config(value(".dockerconfigjson")?),
            "kubernetes.io/dockercfg" => Self::from_dockercfg(value(".dockercfg")?),
            other => Err(CredentialError::SecretType(other.to_owned())),
        }
    }

    /// Takes what another has; at equal rank, what was there stays in front.
    pub fn merge(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.rank();
    }

    /// What to show for an image, best first. Empty if nothing is for it: it is asked for anonymously then.
    #[must_use]
    pub fn for_image(&self, image: &Reference) -> Vec<Credential> {
        self.for_repository(image.registry(), image.repository())
    }

    /// What to show for a repository of a registry (of a mirror, for example).
    #[must_use]
    pub fn for_repository(&self, registry: &str, repository: &str) -> Vec<Credential> {
        let registry = canonical(registry);
        let fits = self.entries.iter().filter(|(pattern, _)| pattern.matches(registry, repository));
        fits.map(|(_, credential)| credential.clone()).collect()
    }

    fn from_entries(entries: BTreeMap<String, Entry>) -> Result<Self, CredentialError> {
        let mut keyring = Self::empty();
        for (key, entry) in entries {
            let pattern = Pattern::parse(&key).ok_or_else(|| CredentialError::Key(shown(&key)))?;
            if let Some(credential) = entry.credential(&key)? {
                keyring.entries.push((pattern, credential));
            }
        }
        keyring.rank();
        Ok(keyring)
    }

    /// Longer paths first, hosts without wildcards before those with, then by name.
    fn rank(&mut self) {
        self.entries.sort_by(|(a, _), (b, _)| {
            b.path
                .len()
                .cmp(&a.path.len())
                .then(a.wild().cmp(&b.wild()))
                .then(b.host.len().cmp(&a.host.len()))
        });
    }
}

impl Entry {
    fn credential(self, key: &str) -> Result<Option<Credential>, CredentialError> {
        let filled = |text: Option<Zeroizing<String>>| text.filter(|text| !text.is_empty());
        if let Some(token) = filled(self.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(token) = filled(self.identitytoken) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(auth) = filled(self.auth) {
            let wrong = || CredentialError::Auth(shown(key));
            let decoded = Zeroizing::new(BASE64.decode(auth.trim()).map_err(|_| wrong())?);
            let text = std::str::from_utf8(&decoded).map_err(|_| wrong())?;
            let (username, password) = text.split_once(':').ok_or_else(wrong)?;
            // Docker pads with NUL characters.
            let password = Zeroizing::new(password.trim_end_matches('\0').to_owned());
            return Ok(Some(Credential::Basic { username: username.to_owned(), password }));
        }
        match (self.username, self.password) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Ok(Some(Credential::Basic { username, password }))
            }
            _ => Ok(None),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, CredentialError> {
    if json.len() > CREDENTIALS_BYTES {
        return Err(CredentialError::TooLarge(json.len()));
    }
    // serde's own message may quote a value.
    serde_json::from_slice(json)
        .map_err(|error| CredentialError::Form { line: error.line(), column: error.column() })
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Docker's registry has several names.
fn canonical(registry: &str) -> &str {
    match registry {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        other => other,
    }
}

/// `host[:port][/path]`, where the host's labels may have wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: String,
    port: Option<String>,
    path: Vec<String>,
}

impl Pattern {
    fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(canonical(authority));
        if host.is_empty() {
            return None;
        }
        let mut path: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        // `https://index.docker.io/v1/` is how Docker names its registry.
        if matches!(path.first().map(String::as_str), Some("v1" | "v2")) {
            path.remove(0);
        }
        Some(Self { host: host.to_ascii_lowercase(), port: port.map(str::to_owned), path })
    }

    fn wild(&self) -> bool {
        self.host.contains(['*', '?'])
    }

    fn matches(&self, registry: &str, repository: &str) -> bool {
        let (host, port) = host_and_port(registry);
        let host = host.to_ascii_lowercase();
        let hosts = if host.starts_with('[') {
            self.host == host
        } else {
            let (ours, theirs) = (self.host.split('.'), host.split('.'));
            ours.clone().count() == theirs.clone().count()
                && ours.zip(theirs).all(|(pattern, label)| glob(pattern.as_bytes(), label.as_bytes()))
        };
        let mut parts = repository.split('/');
        hosts && self.port.as_deref() == port && self.path.iter().all(|part| parts.next() == Some(part))
    }
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// `*` is any run and `?` any one character, within a label. Time is bounded by the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fingerprints_tell_credentials_apart_and_nothing_else() {
        let basic = |username: &str, password: &str| Credential::Basic {
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        };
        let all = [
            basic("a", "bc"),
            basic("ab", "c"),
            basic("", "abc"),
            Credential::Identity(Zeroizing::new("abc".to_owned())),
            Credential::Bearer(Zeroizing::new("abc".to_owned())),
        ];
        let of = |salt: &[u8]| all.iter().filter_map(|one| one.fingerprint(salt)).collect::<Vec<_>>();
        let (here, there) = (of(b"here"), of(b"there"));
        let distinct: std::collections::BTreeSet<_> = here.iter().chain(&there).collect();
        assert_eq!((distinct.len(), here == of(b"here")), (10, true));
        assert_eq!(Credential::Anonymous.fingerprint(b"here"), None);
    }

    fn keyring(keys: &[&str]) -> Keyring {
        let entries =
            keys.iter().map(|key| (key.to_string(), serde_json::json!({"username": key, "password": "p"})));
        let config = serde_json::json!({"auths": entries.collect::<BTreeMap<_, _>>()});
        Keyring::from_docker_config(config.to_string().as_bytes()).unwrap()
    }

    fn who(keyring: &Keyring, image: &str) -> Vec<String> {
        let name = |credential| match credential {
            Credential::Basic { username, .. } => username,
            other => panic!("{other:?}"),
        };
        keyring.for_image(&image.parse().unwrap()).into_iter().map(name).collect()
    }

    #[test]
    fn entries_are_chosen_as_kubelet_chooses_them() {
        let ring = keyring(&[
            "*.example.org",
            "r.example.org",
            "r.example.org/team",
            "r.example.org:5000",
            "https://index.docker.io/v1/",
            "*.*.example.org",
            "r?.example.net/a/b",
            "[2001:db8::1]:5000",
        ]);
        assert_eq!(
            who(&ring, "r.example.org/team/app"),
            ["r.example.org/team", "r.example.org", "*.example.org"]
        );
        assert_eq!(who(&ring, "r.example.org/teams/app"), ["r.example.org", "*.example.org"]);
        assert_eq!(who(&ring, "r.example.org:5000/app"), ["r.example.org:5000"]);
        assert_eq!(who(&ring, "a.b.example.org/app"), ["*.*.example.org"]);
        assert_eq!(who(&ring, "busybox"), ["https://index.docker.io/v1/"]);
        assert_eq!(who(&ring, "r1.example.net/a/b/c"), ["r?.example.net/a/b"]);
        assert_eq!(who(&ring, "[2001:db8::1]:5000/x"), ["[2001:db8::1]:5000"]);
        assert!(who(&ring, "example.org/app").is_empty());
        assert!(who(&ring, "evil.org/r.example.org").is_empty());
    }

    #[test]
    fn every_form_of_secret_is_read() {
        let auth = base64::engine::general_purpose::STANDARD.encode("me:pa:ss\0\0");
        let json = format!(
            r#"{{"auths":{{"a.org":{{"auth":"{auth}"}},"b.org":{{"identitytoken":"i"}},"c.org":{{"registrytoken":"r"}},"d.org":{{}}}},"credsStore":"x"}}"#
        );
        let data = BTreeMap::from([(".dockerconfigjson".to_owned(), json.into_bytes())]);
        let ring = Keyring::from_secret("kubernetes.io/dockerconfigjson", &data).unwrap();
        let one = |image: &str| ring.for_image(&image.parse().unwrap()).pop();
        let basic =
            Credential::Basic { username: "me".to_owned(), password: Zeroizing::new("pa:ss".to_owned()) };
        assert_eq!(one("a.org/x"), Some(basic.clone()));
        assert!(!format!("{basic:?}").contains("pa:ss"));
        assert!(matches!(one("b.org/x"), Some(Credential::Identity(_))));
        assert!(matches!(one("c.org/x"), Some(Credential::Bearer(_))));
        assert_eq!(one("d.org/x"), None);
    }

    #[test]
    fn errors_tell_the_place_and_no_secret() {
        let error = Keyring::from_docker_config(br#"{"auths":{"a":{"auth":"aHVudGVyMg"}}}"#).unwrap_err();
        assert_eq!(error, CredentialError::Auth("a".to_owned()));
        let error = Keyring::from_docker_config(b"{\n \"auths\": {\"a\": {\"auth\": {\"hunter2\": 1}}}}")
            .unwrap_err();
        assert!(matches!(error, CredentialError::Form { line: 2, .. }));
        assert!(!error.to_string().contains("hunter2"));
        assert!(matches!(
            Keyring::from_secret("Opaque", &BTreeMap::new()),
            Err(CredentialError::SecretType(_))
        ));
        assert!(matches!(keyring_of("https:///x"), Err(CredentialError::Key(_))));
    }

    fn keyring_of(key: &str) -> Result<Keyring, CredentialError> {
        Keyring::from_dockercfg(serde_json::json!({key: {}}).to_string().as_bytes())
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Keyring::from_docker_config(&bytes);
        }

        #[test]
        fn a_pattern_without_wildcards_matches_itself_alone(a in "[a-z.]{1,20}", b in "[a-z.]{1,20}") {
            prop_assert_eq!(glob(a.as_bytes(), b.as_bytes()), a == b);
        }
    }
}
